"""Convolutions, pools and batch norm: ONNX's NCHW / NCL with auto_pad and ceil_mode, as NHWC with explicit pads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from edgekit.graph import Array
from edgekit.load.onnx import volume
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler

LOWEST = float(np.finfo(np.float32).min)


def pair(values: Sequence[int] | None, rank: int, default: int = 1) -> tuple[int, int]:
    """A spatial attribute as (vertical, horizontal); 1-D ones are horizontal."""
    given = [default] * (rank - 2) if values is None else [int(v) for v in values]
    if len(given) != rank - 2:
        raise ValueError(f"{given} does not fit rank {rank}")
    return (default, given[0]) if rank == 3 else (given[0], given[1])


def conv_pads(
    c: Call, rank: int, size: Sequence[int], window: Sequence[int], stride: Sequence[int]
) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) from pads or auto_pad; `window` is the dilated kernel."""
    auto = c.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads: list[int] = []
        for axis, (n, k, s) in enumerate(zip(size, window, stride, strict=True)):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            small = total // 2
            idle = rank == 3 and axis == 0
            pads += [0, 0] if idle else [small, total - small] if auto == "SAME_UPPER" else [total - small, small]
        return (pads[0], pads[1], pads[2], pads[3])
    if auto == "VALID":
        return (0, 0, 0, 0)
    given = [int(v) for v in c.get("pads", [0] * (2 * rank - 4))]
    if len(given) != 2 * rank - 4:
        raise ValueError(f"pads {given} do not fit rank {rank}")
    if min(given) < 0:
        raise Cannot("it has negative padding", "crop with Slice first")
    return (0, 0, given[0], given[1]) if rank == 3 else (given[0], given[2], given[1], given[3])


def rank_of(b: Builder, name: str) -> int:
    rank = len(b.shape(name))
    if rank not in (3, 4):
        kind = "3-D" if rank == 5 else f"rank-{rank}"
        raise Cannot(f"it is a {kind} operator", "only 1-D and 2-D spatial operators run on these engines")
    return rank


def weights_of(b: Builder, c: Call) -> tuple[int, Array]:
    """(rank, weights) of a convolution. Raises Cannot where they or the bias are computed, ValueError where they do not fit."""
    rank, weight, bias = rank_of(b, c.needed(0)), b.array(c.needed(1)), c.input(2)
    if weight is None or (bias is not None and b.array(bias) is None):
        raise Cannot("its weights are computed at run time", "make weight and bias initializers")
    if weight.ndim != rank:
        raise ValueError(f"weight {list(weight.shape)} does not fit an input of rank {rank}")
    return rank, weight


def conv(b: Builder, c: Call) -> list[str]:
    if volume.is_volume(b, c.needed(0)):
        return volume.conv(b, c)
    rank, weight = weights_of(b, c)
    x, w, bias = c.needed(0), c.needed(1), c.input(2)
    kernel = pair(weight.shape[2:], rank)
    stride, dilation = pair(c.get("strides"), rank), pair(c.get("dilations"), rank)
    data = b.to_spatial(b.tensor(x))
    size, channels, groups = b.tensors[data].shape[1:3], b.tensors[data].shape[3], int(c.get("group", 1))
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pad = conv_pads(c, rank, size, window, stride)
    if groups < 1 or channels % groups or weight.shape[1] * groups != channels or weight.shape[0] % groups:
        raise ValueError(f"weight {list(weight.shape)} with group={groups} does not fit {channels} channels")
    depthwise = groups == channels and channels > 1

    def arrange(a: Array) -> Array:
        full = a.reshape(a.shape[0], a.shape[1], *kernel)
        return full.transpose(1, 2, 3, 0) if depthwise else full.transpose(0, 2, 3, 1)

    op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    kernel_tensor = b.weight(w, op, arrange, axis=3 if depthwise else 0)
    bias_tensor = None if bias is None else b.weight(bias, "", lambda a: a)
    y = b.one(op, [data, kernel_tensor, bias_tensor], stride=stride, dilation=dilation, pad=pad)
    return [b.from_spatial(y, rank)]


def pool(b: Builder, c: Call) -> list[str]:
    """MaxPool and AveragePool. Dilated windows become a MAXIMUM or ADD of slices, included padding a PAD."""
    x, maximum = c.needed(0), c.op == "MaxPool"
    if volume.is_volume(b, x):
        return volume.pool(b, c)
    rank = rank_of(b, x)
    if len(c.outputs) > 1:
        raise Cannot("it also returns indices", "pool without indices")
    kernel, stride = pair(c.attrs["kernel_shape"], rank), pair(c.get("strides"), rank)
    dilation = pair(c.get("dilations"), rank)
    data = b.to_spatial(b.tensor(x))
    size = b.tensors[data].shape[1:3]
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pad = conv_pads(c, rank, size, window, stride)
    included = not maximum and bool(c.get("count_include_pad", 0))
    y = pooled(b, data, maximum, kernel, stride, dilation, pad, bool(c.get("ceil_mode", 0)), included)
    return [b.from_spatial(y, rank)]


def pooled(
    b: Builder, data: str, maximum: bool, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int],
    pad: tuple[int, int, int, int], ceil: bool, included: bool,
) -> str:  # fmt: skip
    """A pool of [N,H,W,C]. included: padding counts in an average."""
    size = b.tensors[data].shape[1:3]
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    out, grown = pool_output(size, window, stride, pad, ceil)
    if min(out) < 1:
        raise ValueError(f"a window of {window} does not fit {list(size)} with pads {pad}")
    covered = all(p < k for p, k in zip(grown, (kernel[0], kernel[0], kernel[1], kernel[1]), strict=True))
    if included and any(pad):
        extra = tuple(g - p for g, p in zip(grown, pad, strict=True))
        data = b.one("PAD", [data], pads=((0, 0), pad[:2], pad[2:], (0, 0)), value=0.0)
        pad, grown = (0, 0, 0, 0), (extra[0], extra[1], extra[2], extra[3])
    if (*kernel, *stride, *out) == (1, 1, 1, 1, *size):
        return data
    if dilation == (1, 1) and covered:
        return b.one("MAX_POOL_2D" if maximum else "AVERAGE_POOL_2D", [data], filter=kernel, stride=stride, pad=grown)
    return sliced_pool(b, data, maximum, kernel, stride, dilation, grown, out)


def pool_output(
    size: Sequence[int], window: Sequence[int], stride: Sequence[int], pad: tuple[int, int, int, int], ceil: bool
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """((rows, columns), pads with which floor() gives them).

    With ceil, a last window must start inside the input or the front padding.
    """
    out: list[int] = []
    grown = list(pad)
    for axis in (0, 1):
        n, k, s, before, after = size[axis], window[axis], stride[axis], pad[2 * axis], pad[2 * axis + 1]
        span = n + before + after - k
        count = span // s + 1
        if ceil and span % s and count * s < n + before:
            count += 1
            grown[2 * axis + 1] = (count - 1) * s + k - n - before
        out.append(count)
    return (out[0], out[1]), (grown[0], grown[1], grown[2], grown[3])


def sliced_pool(
    b: Builder, data: str, maximum: bool, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
    pad: tuple[int, int, int, int], out: Sequence[int],
) -> str:  # fmt: skip
    """A pool as one strided slice for each place in the window, combined: any dilation and any padding."""
    n, height, width, channels = b.tensors[data].shape
    if kernel[0] * kernel[1] > 64:
        raise Cannot(f"its dilated window has {kernel[0] * kernel[1]} places", "use a window of at most 64 places")
    if any(pad):
        data = b.one("PAD", [data], pads=((0, 0), pad[:2], pad[2:], (0, 0)), value=LOWEST if maximum else 0.0)
    valid = np.pad(np.ones((height, width), np.float32), (pad[:2], pad[2:]))
    count = np.zeros(tuple(out), np.float32)
    total: str | None = None
    for row, column in product(range(kernel[0]), range(kernel[1])):
        top, left = row * dilation[0], column * dilation[1]
        piece = b.one("SLICE", [data], begin=(0, top, left, 0), size=(n, *out, channels), stride=(1, *stride, 1))
        count += valid[
            top : top + (out[0] - 1) * stride[0] + 1 : stride[0], left : left + (out[1] - 1) * stride[1] + 1 : stride[1]
        ]
        total = piece if total is None else b.one("MAXIMUM" if maximum else "ADD", [total, piece])
    assert total is not None
    if maximum:
        return total
    inverse = (1.0 / np.maximum(count, 1.0)).reshape(1, *out, 1).astype(np.float32)
    return b.one("MUL", [total, b.constant(inverse, "inverse_count")])


def global_pool(b: Builder, c: Call) -> list[str]:
    x = c.needed(0)
    if volume.is_volume(b, x):
        return volume.global_pool(b, c)
    rank = rank_of(b, x)
    op = "REDUCE_MAX" if c.op == "GlobalMaxPool" else "MEAN"
    y = b.one(op, [b.to_spatial(b.tensor(x))], axes=(1, 2), keep_dims=True)
    return [b.from_spatial(y, rank)]


def batch_norm(b: Builder, c: Call) -> list[str]:
    x = c.needed(0)
    rank = len(b.shape(x))
    if c.get("training_mode", 0) or len(c.outputs) > 1:
        raise Cannot("it is in training mode", "export after model.eval()")
    if any(b.array(c.needed(i)) is None for i in range(1, 5)):
        raise Cannot("its statistics are computed at run time", "export after model.eval()")
    statistics = [b.weight(c.needed(i), "", lambda a: a) for i in range(1, 5)]
    epsilon = float(c.get("epsilon", 1e-5))
    if rank == 5 and (c.opset >= 9 or c.get("spatial", 1)):
        return volume.batch_norm(b, x, statistics, epsilon)
    if rank > 4 or (c.opset < 9 and not c.get("spatial", 1)):  # spatial=0: each position has its own statistics
        scale, shift, mean, variance = (b.consts[c.needed(i)].astype(np.float64) for i in range(1, 5))
        factor = scale / np.sqrt(variance + epsilon)
        wide = scale.shape if scale.ndim > 1 else (-1, *[1] * (rank - 2))
        steps = [a.astype(np.float32).reshape(wide) for a in (factor, shift - mean * factor)]
        y = b.one("MUL", [b.tensor(x), b.constant(steps[0], "factor")])
        return [b.one("ADD", [y, b.constant(steps[1], "shift")])]
    if rank == 2:
        return [b.one("BATCH_NORM", [b.tensor(x), *statistics], epsilon=epsilon)]
    y = b.one("BATCH_NORM", [b.to_spatial(b.tensor(x)), *statistics], epsilon=epsilon)
    return [b.from_spatial(y, rank)]


HANDLERS: dict[str, Handler] = {
    "Conv": conv,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "BatchNormalization": batch_norm,
}
