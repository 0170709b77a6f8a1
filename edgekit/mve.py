"""Which nodes the kernels for Helium (Arm's M-profile vector extension) take, and their scratch.

They take int8 convolutions, dense layers and additions with any rescale, and average pools; groups, depth multipliers of more
than one channel and computed weights run the plain kernels. `laned` is the choice, `rescale` what a layer does with its sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.dsp import add_order, by_channel
from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.ops import TABLE, attr
from edgekit.ops.requant import activation_range, conv_requant, dense_requant, int8_quant, zero_of

LANES = 16  # int8 values a vector holds
CHANNELS = 64  # whose sums are kept before they are rescaled
PIXELS = 3  # of a tile


@dataclass(frozen=True)
class Rescale:
    """Of one layer, by output channel: bias with the input's zero point folded in (modulo 2**32, as sums are), multiplier, left
    shift. kind: "relu" (no left shift; what rounding does to negative halves cannot show), "right" (right shifts only), "any".
    """

    bias: Array
    multiplier: Array
    shift: Array
    kind: str
    zero: int
    low: int
    high: int


def rescale(graph: Graph, node: Node, weights: Array) -> Rescale:
    """weights: int64[O, ...], less their zero point."""
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    y = graph[node.outputs[0]]
    assert x is not None
    assert w is not None
    given = graph.tensor(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(len(weights), np.int64)
    if given is not None and given.data is not None:
        bias = given.data.astype(np.int64)
    folded = bias - zero_of(int8_quant(node, x)) * weights.reshape(len(weights), -1).sum(axis=1)
    folded = ((folded + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    multiplier, shift = (dense_requant if node.op == "FULLY_CONNECTED" else conv_requant)(node, x, w, y)
    shift = np.where(multiplier == 0, -1, shift)
    low, high = activation_range(str(attr(node, TABLE[node.op], "activation")), int8_quant(node, y))
    zero = zero_of(int8_quant(node, y))
    kind = "relu" if low >= zero and np.all(shift <= 0) else "right" if np.all(shift < 0) else "any"
    return Rescale(folded, multiplier, shift, kind, zero, low, high)


def rounded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def laned(graph: Graph, node: Node) -> tuple[str, int] | None:
    """(kernel, scratch bytes) of an int8 node, or None when the plain kernels take it."""
    if node.op == "ADD":
        return ("add_mve_s8", 0) if add_order(graph, node) else None
    if node.op == "AVERAGE_POOL_2D":
        rows, columns = attr(node, TABLE[node.op], "filter")
        return ("average_pool_2d_mve_s8", 0) if rows * columns <= 255 else None
    if node.op not in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
        return None
    x, w, y = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1]), graph[node.outputs[0]]
    b = graph.tensor(node.inputs[2]) if len(node.inputs) > 2 else None
    if x is None or w is None or w.data is None or (b is not None and b.data is None) or 0 in (*x.shape, *w.shape, *y.shape):
        return None
    if node.op == "DEPTHWISE_CONV_2D" and x.shape[3] > 1:
        return _depthwise(node, x, w, y)
    row = 4 * min(rounded(y.shape[-1], LANES), CHANNELS)
    if node.op == "FULLY_CONNECTED":
        return "dense_mve_s8", row
    if node.op == "CONV_2D" and w.shape[3] != x.shape[3]:
        return None
    sums = 4 * CHANNELS * (PIXELS - 1) + row
    stride, pad = tuple(attr(node, TABLE[node.op], "stride")), tuple(attr(node, TABLE[node.op], "pad"))
    if node.op == "CONV_2D" and w.shape[1:3] == (1, 1) and stride == (1, 1) and not any(pad):
        return "conv_1x1_mve_s8", sums
    return "conv_mve_s8", sums + PIXELS * w.shape[1] * w.shape[2] * x.shape[3]


def _depthwise(node: Node, x: Tensor, w: Tensor, y: Tensor) -> tuple[str, int] | None:
    assert w.data is not None
    if w.shape[3] != x.shape[3]:
        return None
    taps = in_pairs(by_channel(node, w.data))
    if (np.abs(taps[:, 0::2]) + np.abs(taps[:, 1::2])).max(initial=0) > 255:
        return None  # two products might leave int16
    entry = TABLE[node.op]
    stride, dilation = attr(node, entry, "stride"), attr(node, entry, "dilation")
    lines = (w.shape[1] - 1) * dilation[0] + 1
    wide = (y.shape[2] - 1) * stride[1] + (w.shape[2] - 1) * dilation[1] + 1
    return "depthwise_mve_s8", 4 * taps.shape[1] + lines * wide * LANES


def in_pairs(weights: Array) -> Array:
    """int64[C, taps]; an odd last tap gets a zero beside it."""
    flat = weights.reshape(len(weights), -1)
    return np.concatenate([flat, np.zeros((len(flat), flat.shape[1] % 2), flat.dtype)], axis=1)
