"""CONV_2D (grouped too) and DEPTHWISE_CONV_2D: NHWC input, explicit padding, fused activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.fixedpoint import multiply_by_quantized_multiplier, multiply_by_quantized_multiplier_int64, wrap_int32
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.activation import clamp, fused_of
from edgekit.ops.op import Op, fail, given, optional, take, whole_numbers
from edgekit.ops.requant import activation_range, conv_requant, data_quant, zero_of
from edgekit.ops.windows import CHUNK_ELEMENTS, output_size, padded, patches, taps

ATTRS: Mapping[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0), "activation": "NONE"}


@dataclass(frozen=True)
class Window:
    """A convolution's geometry: (vertical, horizontal) pairs; pad = (top, bottom, left, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int, int, int]


def window_of(node: Node, weights: Shape) -> Window:
    """The node's geometry; its kernel is axes 1 and 2 of the weights."""
    a = {**ATTRS, **node.attrs}
    return Window((weights[1], weights[2]), tuple(a["stride"]), tuple(a["dilation"]), tuple(a["pad"]))


def infer_window(node: Node, x: Tensor, w: Tensor, bias: Tensor | None, channels: int) -> list[tuple[Shape, str]]:
    """Shape of a convolution of x[N,H,W,C] with weights w[.,kh,kw,.] into `channels`."""
    for name, least, count in (("stride", 1, 2), ("dilation", 1, 2), ("pad", 0, 4)):
        if name in node.attrs:
            whole_numbers(node, name, count, least)
    fused_of(node)
    if bias is not None and bias.shape != (channels,):
        fail(node, f"bias {list(bias.shape)} does not fit {channels} output channels")
    win = window_of(node, w.shape)
    size = output_size(node, (x.shape[1], x.shape[2]), win.kernel, win.stride, win.dilation, win.pad)
    return [((x.shape[0], *size, channels), x.dtype)]


def grouped(node: Node, inputs: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Input [N,H,W,C] and weights [O,kh,kw,C/groups]. Raises BadModel when they do not fit each other."""
    x, w = take(node, inputs, 2, 1)
    if len(x.shape) != 4 or len(w.shape) != 4:
        fail(node, f"needs input and weights of rank 4, has {list(x.shape)} and {list(w.shape)}")
    c, per_group = x.shape[3], w.shape[3]
    if per_group == 0 or c % per_group or w.shape[0] % (c // per_group):
        fail(node, f"weights {list(w.shape)} do not divide {c} input channels into whole groups")
    return x, w


def infer_conv(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, w = grouped(node, inputs)
    return infer_window(node, x, w, optional(inputs, 2), w.shape[0])


def infer_depthwise(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, w = take(node, inputs, 2, 1)
    if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[0] != 1:
        fail(node, f"needs input [N,H,W,C] and weights [1,kh,kw,C*m], has {list(x.shape)} and {list(w.shape)}")
    if x.shape[3] == 0 or w.shape[3] % x.shape[3]:
        fail(node, f"{w.shape[3]} output channels are no multiple of {x.shape[3]} input channels")
    return infer_window(node, x, w, optional(inputs, 2), w.shape[3])


def correlate(x: Array, w: Array, win: Window) -> Array:
    """Sum over the window: x[N,H,W,C] already padded, w[O,kh,kw,C/g] of the same dtype -> [N,OH,OW,O]. One GEMM a group."""
    n, h, width, c = x.shape
    o, kh, kw, per_group = w.shape
    reach = [(k - 1) * d + 1 for k, d in zip(win.kernel, win.dilation, strict=True)]
    oh, ow = (h - reach[0]) // win.stride[0] + 1, (width - reach[1]) // win.stride[1] + 1
    groups = c // per_group
    out = np.empty((n, oh, ow, o), x.dtype)
    rows = max(1, CHUNK_ELEMENTS // max(1, ow * kh * kw * c))
    view = patches(x, win.kernel, win.stride, win.dilation, (oh, ow))
    if groups == 1:
        matrix = np.ascontiguousarray(w.reshape(o, -1).T)
    else:
        stacked = np.ascontiguousarray(w.reshape(groups, o // groups, -1).transpose(0, 2, 1))
    for batch in range(n):
        for top in range(0, oh, rows):
            part = view[batch, top : top + rows]
            if groups == 1:
                out[batch, top : top + rows] = (part.reshape(-1, kh * kw * c) @ matrix).reshape(-1, ow, o)
                continue
            split = part.reshape(-1, ow, kh, kw, groups, per_group).transpose(4, 0, 1, 2, 3, 5)
            product = split.reshape(groups, -1, kh * kw * per_group) @ stacked
            out[batch, top : top + rows] = product.transpose(1, 0, 2).reshape(-1, ow, o)
    return out


def correlate_depthwise(x: Array, w: Array, win: Window) -> Array:
    """Each channel by itself: x[N,H,W,C] already padded, w[1,kh,kw,C*m] of the same dtype -> [N,OH,OW,C*m]."""
    n, h, width, c = x.shape
    reach = [(k - 1) * d + 1 for k, d in zip(win.kernel, win.dilation, strict=True)]
    size = ((h - reach[0]) // win.stride[0] + 1, (width - reach[1]) // win.stride[1] + 1)
    if w.shape[3] != c:
        x = np.repeat(x, w.shape[3] // c, axis=3)
    out = np.zeros((n, *size, w.shape[3]), x.dtype)
    for i, j, view in taps(x, win.kernel, win.stride, win.dilation, size):
        out += view * w[0, i, j]
    return out


def real_conv(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    win = window_of(node, w.shape)
    sums = (correlate if node.op == "CONV_2D" else correlate_depthwise)(padded(x, win.pad, 0), w, win)
    return [clamp(sums if bias is None else sums + bias, fused_of(node))]


def exact_dtype(weights: Array, reach: int) -> type[np.floating]:
    """float32 when sums of integers up to `reach`, weighted by weights[O, ...], are exact in it; else float64.

    Every partial sum is a whole number below the largest sum of absolute weights times `reach`.
    """
    largest = int(np.abs(weights.astype(np.int64)).reshape(weights.shape[0], -1).sum(axis=1).max(initial=0)) * reach
    return np.float32 if largest < 1 << 24 else np.float64


def reach_of(x: Tensor) -> int:
    """The largest |q - zero point| that x can hold."""
    return 32768 if x.dtype == "int16" else 255


def finish(node: Node, sums: Array, bias: Array | None, requant: tuple[Array, Array], y: Tensor) -> Array:
    """Outputs from exact sums (a float array of whole numbers): bias, rescale a channel, zero point, clamp. int8 ones have a
    bias and sums of 32 bits, int16 ones of 64."""
    quant = data_quant(node, y)
    total = sums.astype(np.int64)
    if bias is not None:
        if (bias.dtype == np.int64) != (y.dtype == "int16"):
            fail(node, f"its bias is {bias.dtype} beside {y.dtype} values")
        total = total + bias if y.dtype == "int16" else wrap_int32(total + bias)
    rescale = multiply_by_quantized_multiplier_int64 if y.dtype == "int16" else multiply_by_quantized_multiplier
    scaled = rescale(total, *requant) + zero_of(quant)
    clamped: Array = np.clip(scaled, *activation_range(fused_of(node), quant)).astype(NUMPY_DTYPES[y.dtype])
    return clamped


def integer_conv(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """int8 w (symmetric, one scale or one a channel); int8 x and int32 bias, exact sums modulo 2**32; or int16 and int64."""
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    tx, tw = given(ins, 2)
    requant = conv_requant(node, tx, tw, outs[0])
    dense = node.op == "CONV_2D"
    kind = exact_dtype(w if dense else w.reshape(-1, w.shape[3]).T, reach_of(tx))
    win = window_of(node, w.shape)
    centred = padded(x.astype(kind) - kind(zero_of(data_quant(node, tx))), win.pad, 0)
    sums = (correlate if dense else correlate_depthwise)(centred, w.astype(kind), win)
    return [finish(node, sums, bias, requant, outs[0])]


def macs(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    _, w = given(inputs, 2)
    each = w.shape[1] * w.shape[2] * (w.shape[3] if node.op == "CONV_2D" else 1)
    return outputs[0].elements * each


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    """A grouped convolution's channels (and a depthwise multiplier's) are tied by position, not by index: left out."""
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    y = outputs[0]
    batch = [(x.name, 0), (y.name, 0)]
    side = [(bias.name, 0)] if bias is not None else []
    if node.op == "DEPTHWISE_CONV_2D":
        return [batch, [(x.name, 3), (w.name, 3), *side, (y.name, 3)]] if w.shape[3] == x.shape[3] else [batch]
    if w.shape[3] != x.shape[3]:
        return [batch]
    return [batch, [(x.name, 3), (w.name, 3)], [(w.name, 0), *side, (y.name, 3)]]


OPS: tuple[Op, ...] = (
    Op("CONV_2D", infer_conv, real_conv, integer_conv, attrs=ATTRS, weights={1: 0}, bias=2, macs=macs, coupled=coupled),
    Op(
        "DEPTHWISE_CONV_2D",
        infer_depthwise,
        real_conv,
        integer_conv,
        attrs=ATTRS,
        weights={1: 3},
        bias=2,
        macs=macs,
        coupled=coupled,
    ),
)
