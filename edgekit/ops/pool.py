"""AVERAGE_POOL_2D (padding is not counted) and MAX_POOL_2D: NHWC, explicit padding, fused activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.fixedpoint import integer_range
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.activation import clamp, fused_of
from edgekit.ops.conv import Window
from edgekit.ops.op import REQUIRED, Op, fail, given, take, whole_numbers
from edgekit.ops.requant import activation_range, data_quant
from edgekit.ops.windows import output_size, padded, taps

ATTRS: Mapping[str, Any] = {"filter": REQUIRED, "stride": (1, 1), "pad": (0, 0, 0, 0), "activation": "NONE"}


def window_of(node: Node) -> Window:
    """The node's geometry."""
    a = {**ATTRS, **node.attrs}
    return Window(tuple(a["filter"]), tuple(a["stride"]), (1, 1), tuple(a["pad"]))


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    if len(x.shape) != 4:
        fail(node, f"needs an input of rank 4, has {list(x.shape)}")
    for name, least, count in (("filter", 1, 2), ("stride", 1, 2), ("pad", 0, 4)):
        if name in node.attrs:
            whole_numbers(node, name, count, least)
    fused_of(node)
    win = window_of(node)
    if any(win.pad[2 * a] >= win.kernel[a] or win.pad[2 * a + 1] >= win.kernel[a] for a in (0, 1)):
        fail(node, f"padding {win.pad} leaves windows of {win.kernel} that hold nothing but padding")
    size = output_size(node, (x.shape[1], x.shape[2]), win.kernel, win.stride, (1, 1), win.pad)
    return [((x.shape[0], *size, x.shape[3]), x.dtype)]


def out_size(x: Array, win: Window) -> tuple[int, int]:
    """(OH, OW) for an array that passed infer."""
    h, w = x.shape[1] + win.pad[0] + win.pad[1], x.shape[2] + win.pad[2] + win.pad[3]
    return (h - win.kernel[0]) // win.stride[0] + 1, (w - win.kernel[1]) // win.stride[1] + 1


def window_sum(x: Array, win: Window) -> Array:
    """Sum of every window, padding counting as nothing, in x's dtype."""
    size = out_size(x, win)
    out = np.zeros((x.shape[0], *size, x.shape[3]), x.dtype)
    for _, _, view in taps(padded(x, win.pad, 0), win.kernel, win.stride, (1, 1), size):
        out += view
    return out


def window_max(x: Array, win: Window, lowest: float) -> Array:
    """Largest value of every window; padding counts as `lowest`."""
    size = out_size(x, win)
    out = np.full((x.shape[0], *size, x.shape[3]), lowest, x.dtype)
    for _, _, view in taps(padded(x, win.pad, lowest), win.kernel, win.stride, (1, 1), size):
        np.maximum(out, view, out=out)
    return out


def window_count(x: Array, win: Window) -> Array:
    """How many values of x (padding aside) each window holds: int64[1,OH,OW,1]."""
    return window_sum(np.ones((1, x.shape[1], x.shape[2], 1), np.int64), win)


def real_average(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    win = window_of(node)
    return [clamp(window_sum(x, win) / window_count(x, win).astype(x.dtype), fused_of(node))]


def real_max(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    return [clamp(window_max(x, window_of(node), -np.inf), fused_of(node))]


def integer_average(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """One scale in and out: sum / count, halves away from zero."""
    (x,), win = given(inputs), window_of(node)
    total, count = window_sum(x.astype(np.int64), win), window_count(x, win)
    half = count // 2
    mean = np.where(total > 0, (total + half) // count, -((half - total) // count))
    return [np.clip(mean, *activation_range(fused_of(node), data_quant(node, outs[0]))).astype(NUMPY_DTYPES[outs[0].dtype])]


def integer_max(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """One scale in and out."""
    kind, clamp_range = outs[0].dtype, activation_range(fused_of(node), data_quant(node, outs[0]))
    largest = window_max(given(inputs)[0], window_of(node), integer_range(kind)[0])
    return [np.clip(largest, *clamp_range).astype(NUMPY_DTYPES[kind])]


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    (x,), y = given(inputs), outputs[0]
    return [[(x.name, axis), (y.name, axis)] for axis in (0, 3)]


OPS: tuple[Op, ...] = (
    Op("AVERAGE_POOL_2D", infer, real_average, integer_average, attrs=ATTRS, quant="same", coupled=coupled),
    Op("MAX_POOL_2D", infer, real_max, integer_max, attrs=ATTRS, quant="same", coupled=coupled),
)
