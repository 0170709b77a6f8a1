"""Operators over three spatial axes (video, volumes) as operators over two: the same numbers, and so exact in integers, too.

A depth of D lies in the batch: [N*D,H,W,C]. A convolution that reaches over depth reads its kd planes side by side in the
channels; one that reaches over depth alone is one over [N,D,H*W,C]. A pool goes over each plane, then over the depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array
from edgekit.load.onnx.builder import Builder, Call, Cannot

Pads = list[tuple[int, int]]  # (before, after) of depth, height and width


def is_volume(b: Builder, name: str) -> bool:
    return len(b.shape(name)) == 5


def planes(b: Builder, name: str) -> str:
    """[N,C,D,H,W] as [N,D,H,W,C]."""
    return b.transpose(b.tensor(name), (0, 2, 3, 4, 1))


def volume(b: Builder, y: str, depth: int) -> str:
    """[N*D,H,W,C] as [N,C,D,H,W]."""
    count, height, width, channels = b.tensors[y].shape
    return b.transpose(b.reshape(y, (count // depth, depth, height, width, channels)), (0, 4, 1, 2, 3))


def triple(values: Sequence[int] | None, default: int = 1) -> tuple[int, int, int]:
    """Strides, dilations or a window over depth, height and width."""
    given = (default,) * 3 if values is None else tuple(int(v) for v in values)
    if len(given) != 3:
        raise ValueError(f"{list(given)} does not fit three spatial axes")
    return given[0], given[1], given[2]


def pads_of(c: Call, size: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> Pads:
    """From pads or auto_pad; `window` is the dilated kernel."""
    auto = str(c.get("auto_pad", "NOTSET"))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, window, stride, strict=True)]
        return [(t // 2, t - t // 2) if auto == "SAME_UPPER" else (t - t // 2, t // 2) for t in total]
    given = [0] * 6 if auto == "VALID" else [int(v) for v in c.get("pads", [0] * 6)]
    if len(given) != 6:
        raise ValueError(f"pads {given} do not fit three spatial axes")
    if min(given) < 0:
        raise Cannot("it has negative padding", "crop with Slice first")
    return list(zip(given[:3], given[3:], strict=True))


def conv(b: Builder, c: Call) -> list[str]:
    x, w, bias = c.needed(0), c.needed(1), c.input(2)
    weight = b.array(w)
    if weight is None or (bias is not None and b.array(bias) is None):
        raise Cannot("its weights are computed at run time", "make weight and bias initializers")
    if weight.ndim != 5:
        raise ValueError(f"weight {list(weight.shape)} does not fit an input of rank 5")
    n, channels, *size = b.shape(x)
    (out, inner, *kernel), groups = weight.shape, int(c.get("group", 1))
    if groups < 1 or channels % groups or inner * groups != channels or out % groups:
        raise ValueError(f"weight {list(weight.shape)} with group={groups} does not fit {channels} channels")
    stride, dilation = triple(c.get("strides")), triple(c.get("dilations"))
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = pads_of(c, size, window, stride)
    depth = (size[0] + sum(pads[0]) - window[0]) // stride[0] + 1
    if depth < 1:
        raise ValueError(f"a window of {window} does not fit {size}")
    frames = planes(b, x)
    last = None if bias is None else b.weight(bias, "", lambda a: a)
    if kernel[1:] == [1, 1] and stride[1:] == (1, 1) and not any(map(sum, pads[1:])):
        data = b.reshape(frames, (n, size[0], size[1] * size[2], channels))
        made = b.weight(w, "over depth", lambda a: a[..., 0, 0].transpose(0, 2, 1)[:, :, None])
        attrs = {"stride": (stride[0], 1), "dilation": (dilation[0], 1), "pad": (*pads[0], 0, 0)}
        y = b.one("CONV_2D", [data, made, last], **attrs)
        return [volume(b, b.reshape(y, (n * depth, *size[1:], out)), depth)]

    def arrange(a: Array) -> Array:
        """[O,I,kd,kh,kw] as [O,kh,kw,kd*I], in groups [O,kh,kw,I*kd]."""
        order = (0, 3, 4, 2, 1) if groups == 1 else (0, 3, 4, 1, 2)
        return a.transpose(order).reshape(a.shape[0], *a.shape[3:], -1)

    data = _side_by_side(b, frames, groups, depth, kernel[0], stride[0], dilation[0], pads[0])
    attrs = {"stride": stride[1:], "dilation": dilation[1:], "pad": (*pads[1], *pads[2])}
    return [volume(b, b.one("CONV_2D", [data, b.weight(w, "planes", arrange), last], **attrs), depth)]


def _side_by_side(
    b: Builder, frames: str, groups: int, depth: int, taps: int, stride: int, dilation: int, pad: tuple[int, int]
) -> str:
    """[N*depth,H,W,taps*C] of [N,D,H,W,C]: the planes that each place reads; in groups, a channel's planes are neighbours."""
    n, size, height, width, channels = b.tensors[frames].shape
    row = height * width * channels
    flat = b.reshape(frames, (n, size, row))
    if any(pad):
        flat = b.one("PAD", [flat], pads=((0, 0), pad, (0, 0)), value=0.0)
    parts = [flat]
    if (taps, stride, depth) != (1, 1, b.tensors[flat].shape[1]):
        steps = {"size": (n, depth, row), "stride": (1, stride, 1)}
        parts = [b.one("SLICE", [flat], begin=(0, k * dilation, 0), **steps) for k in range(taps)]
    shape = (n * depth, height, width, channels) if groups == 1 else (n * depth * height * width, channels, 1)
    parts = [b.reshape(part, shape) for part in parts]
    joined = b.one("CONCATENATION", parts, axis=len(shape) - 1) if taps > 1 else parts[0]
    return b.reshape(joined, (n * depth, height, width, channels * taps))


def conv_transpose(b: Builder, c: Call) -> list[str]:
    """Over depth as a convolution of planes with planes of zeros between them, over height and width as it is."""
    x, w, bias = c.needed(0), c.needed(1), c.input(2)
    weight, groups = b.array(w), int(c.get("group", 1))
    if weight is None or (bias is not None and b.array(bias) is None):
        raise Cannot("its weights are computed at run time", "make weight and bias initializers")
    n, channels, *size = b.shape(x)
    if weight.ndim != 5 or groups < 1 or weight.shape[0] != channels or channels % groups:
        raise ValueError(f"weight {list(weight.shape)} with group={groups} does not fit {channels} channels")
    kernel = triple(weight.shape[2:])
    stride, dilation = triple(c.get("strides")), triple(c.get("dilations"))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads, extra = _crops(c, size, reach, stride)
    length = (size[0] - 1) * stride[0] + 1
    depth = length + reach[0] - 1 + extra[0] - sum(pads[0])
    if depth < 1:
        raise ValueError(f"its output would have {depth} planes")
    height, width = size[1:]
    row = height * width * channels
    data = planes(b, x)
    if stride[0] > 1:
        data = b.one(
            "PAD", [b.reshape(data, (n, size[0], 1, row))], pads=((0, 0), (0, 0), (0, stride[0] - 1), (0, 0)), value=0.0
        )
    data = b.reshape(data, (n, size[0] * stride[0], row))
    first = reach[0] - 1 - pads[0][0]  # planes before the first
    begin, kept = max(-first, 0), min(length, depth + reach[0] - 1 - first) - max(-first, 0)
    if (begin, kept) != (0, size[0] * stride[0]):
        data = b.one("SLICE", [data], begin=(0, begin, 0), size=(n, kept, row), stride=(1, 1, 1))
    around = (max(first, 0), depth + reach[0] - 1 - max(first, 0) - kept)
    frames = b.reshape(data, (n, kept, height, width, channels))
    data = _side_by_side(b, frames, groups, depth, kernel[0], 1, dilation[0], around)

    def arrange(a: Array) -> Array:
        """[C,O / groups,kd,kh,kw] as [O,kh,kw,kd*C], the last plane first, in groups [O,kh,kw,C / groups*kd]."""
        full = a[:, :, ::-1].reshape(groups, -1, *a.shape[1:])
        order = (0, 2, 4, 5, 3, 1) if groups == 1 else (0, 2, 4, 5, 1, 3)
        return full.transpose(order).reshape(groups * a.shape[1], *kernel[1:], -1)

    inputs = [data, b.weight(w, f"planes back/{groups}", arrange), None if bias is None else b.weight(bias, "", lambda a: a)]
    attrs = {"stride": stride[1:], "dilation": dilation[1:], "pad": (*pads[1], *pads[2]), "output_padding": extra[1:]}
    return [volume(b, b.one("TRANSPOSE_CONV", inputs, **attrs), depth)]


def _crops(c: Call, size: Sequence[int], reach: Sequence[int], stride: Sequence[int]) -> tuple[Pads, tuple[int, int, int]]:
    """(what is cropped, output_padding) of a transposed convolution, from pads, output_shape or auto_pad."""
    auto, given = str(c.get("auto_pad", "NOTSET")), c.get("output_shape")
    extra = list(triple(c.get("output_padding"), 0))
    if given is None and auto not in ("SAME_UPPER", "SAME_LOWER"):
        return pads_of(c, size, reach, stride), (extra[0], extra[1], extra[2])
    wanted = triple(given[-3:]) if given is not None else [n * s for n, s in zip(size, stride, strict=True)]
    pads: Pads = []
    for axis in range(3):
        total = stride[axis] * (size[axis] - 1) + extra[axis] + reach[axis] - wanted[axis]
        extra[axis] += max(-total, 0)
        total = max(total, 0)
        small = total // 2
        pads.append((small, total - small) if auto == "SAME_UPPER" else (total - small, small))
    return pads, (extra[0], extra[1], extra[2])


def pool(b: Builder, c: Call) -> list[str]:
    """MaxPool and AveragePool: each is separable, the count of an average's places too."""
    from edgekit.load.onnx.spatial import pooled

    x, maximum = c.needed(0), c.op == "MaxPool"
    if len(c.outputs) > 1:
        raise Cannot("it also returns indices", "pool without indices")
    kernel, stride, dilation = triple(c.attrs["kernel_shape"]), triple(c.get("strides")), triple(c.get("dilations"))
    n, channels, *size = b.shape(x)
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = pads_of(c, size, window, stride)
    rules = (bool(c.get("ceil_mode", 0)), not maximum and bool(c.get("count_include_pad", 0)))
    data = b.reshape(planes(b, x), (n * size[0], *size[1:], channels))
    flat = pooled(b, data, maximum, kernel[1:], stride[1:], dilation[1:], (*pads[1], *pads[2]), *rules)
    _, height, width, _ = b.tensors[flat].shape
    data = b.reshape(flat, (n, size[0], height * width, channels))
    y = pooled(b, data, maximum, (kernel[0], 1), (stride[0], 1), (dilation[0], 1), (*pads[0], 0, 0), *rules)
    depth = b.tensors[y].shape[1]
    return [volume(b, b.reshape(y, (n * depth, height, width, channels)), depth)]


def global_pool(b: Builder, c: Call) -> list[str]:
    n, channels, *size = b.shape(c.needed(0))
    data = b.reshape(planes(b, c.needed(0)), (n, int(np.prod(size)), channels))
    y = b.one("REDUCE_MAX" if c.op == "GlobalMaxPool" else "MEAN", [data], axes=(1,), keep_dims=True)
    return [b.reshape(y, (n, channels, 1, 1, 1))]


def batch_norm(b: Builder, x: str, statistics: Sequence[str], epsilon: float) -> list[str]:
    n, channels, depth, height, width = b.shape(x)
    data = b.reshape(planes(b, x), (n * depth, height, width, channels))
    return [volume(b, b.one("BATCH_NORM", [data, *statistics], epsilon=epsilon), depth)]
