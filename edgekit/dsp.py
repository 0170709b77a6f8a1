"""Which nodes the kernels for cores with packed 16-bit multiplication (Arm's DSP extension) take, and their scratch.

They take int8 convolutions and dense layers whose rescale only shifts right (as nearly all do: a left shift means an output
finer than the products); everything else runs the plain kernels. `packed` is the choice, `rescale` what it is made on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.fixedpoint import multiply_by_quantized_multiplier
from edgekit.graph import Array, Graph, Node, Shape
from edgekit.ops import TABLE, attr
from edgekit.ops.requant import (
    activation_range,
    add_params,
    conv_requant,
    dense_requant,
    int8_quant,
    weight_quant,
    zero_of,
)

ISAS = ("plain", "dsp", "mve")
CORES = frozenset({"cortex-m4", "cortex-m7", "cortex-m33"})  # those with the extension and no vectors, of `target.CORES`
HELIUM = frozenset({"cortex-m55", "cortex-m85"})  # those with vectors: see `edgekit.mve`
PIXELS = 4  # a tile of `tile_dsp`
OFFSETS = 32  # bytes before a tile for weights of 4 bits (see offsets_s4_dsp.c)


def isa_of(core: str) -> str:
    """The kernels (one of ISAS) for a core of `target.CORES`, or for anything else."""
    return "mve" if core in HELIUM else "dsp" if core in CORES else "plain"


@dataclass(frozen=True)
class Rescale:
    """Of one convolution or dense layer, by output channel: bias with the input's zero point folded in, multiplier, right
    shift; weights: as given, but 0 in channels that no input can change. exact: every shift is 1..31 and no input gives a sum
    of 2**30 or more; narrow: as `narrow`."""

    weights: Array
    bias: Array
    multiplier: Array
    right: Array
    exact: bool
    narrow: bool
    zero: int
    low: int
    high: int


def rescale(graph: Graph, node: Node, weights: Array) -> Rescale:
    """weights: int64[O, ...], less their zero point.

    A channel whose largest and smallest sum come out as the same integer is a constant: it is written as a small bias that
    gives it, since its own may leave 2**30.
    """
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    y = graph[node.outputs[0]]
    assert x is not None
    assert w is not None
    folded = folded_bias(graph, node, weights)
    multiplier, shift = (dense_requant if node.op == "FULLY_CONNECTED" else conv_requant)(node, x, w, y)
    shift = np.where(multiplier == 0, -1, shift)
    low, high = _sums(weights, folded)
    clamp = activation_range(str(attr(node, TABLE[node.op], "activation")), int8_quant(node, y))
    zero = zero_of(int8_quant(node, y))
    ends = [np.clip(multiply_by_quantized_multiplier(end, multiplier, shift) + zero, *clamp) for end in (low, high)]
    fixed = (ends[0] == ends[1]) & (low >= -(1 << 31)) & (high < 1 << 31) & (shift < 0)
    small = 4 * (ends[0] - zero)  # times 2**30 / 2**31, then / 2
    weights = np.where(fixed.reshape(-1, *[1] * (weights.ndim - 1)), 0, weights)
    folded, low, high = (np.where(fixed, small, each) for each in (folded, low, high))
    multiplier, shift = np.where(fixed, 1 << 30, multiplier), np.where(fixed, -1, shift)
    exact = bool(np.all(shift < 0) and np.all(shift > -32) and np.all(low > -(1 << 30)) and np.all(high < 1 << 30))
    return Rescale(weights, folded, multiplier, -shift, exact, narrow(weights, folded), zero, *clamp)


def folded_bias(graph: Graph, node: Node, weights: Array) -> Array:
    """int64[O]: the bias with the share of the input's zero point. weights: int64[O, ...], less their zero point."""
    x = graph.tensor(node.inputs[0])
    assert x is not None
    given = graph.tensor(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(len(weights), np.int64)
    if given is not None and given.data is not None:
        bias = given.data.astype(np.int64)
    folded: Array = bias - zero_of(int8_quant(node, x)) * weights.reshape(len(weights), -1).sum(axis=1)
    return folded


def _sums(weights: Array, folded: Array) -> tuple[Array, Array]:
    """Least and largest sum by channel, over all inputs."""
    flat = weights.reshape(len(weights), -1)
    low, high = (pick(flat * -128, flat * 127).sum(axis=1) for pick in (np.minimum, np.maximum))
    return folded + low, folded + high


def narrow(weights: Array, folded: Array) -> bool:
    """True when all sums and biases are below 2**23 and 256 * w[second channel] + w[first] is an int16 in each pair: then one
    word of weights gives both channels' products (see packed.c)."""
    flat = weights.reshape(len(weights), -1).astype(np.int64)
    pairs = flat[: len(flat) // 2 * 2].reshape(-1, 2, flat.shape[1])
    low, high = _sums(flat, folded)
    least, most = min(low.min(initial=0), folded.min(initial=0)), max(high.max(initial=0), folded.max(initial=0))
    return bool(least >= -(1 << 23) and most < 1 << 23 and np.all(256 * pairs[:, 1] + pairs[:, 0] >= -(1 << 15)))


def packed_s4(graph: Graph, node: Node) -> tuple[str, int] | None:
    """As `packed` of a convolution or dense layer with weights of 4 bits, whose sums and biases all are below 2**23."""
    x, w, y = graph[str(node.inputs[0])], graph[str(node.inputs[1])], graph[node.outputs[0]]
    b = graph.tensor(node.inputs[2]) if len(node.inputs) > 2 else None
    if w.data is None or w.quant is None or (b is not None and b.data is None) or 0 in (*x.shape, *y.shape):
        return None
    if node.op == "FULLY_CONNECTED":
        centred = w.data.astype(np.int64) - w.quant.zero_point.reshape(-1, 1)
        if centred.min() < -8 or centred.max() > 7 or not narrow(centred, folded_bias(graph, node, centred)):
            return None
        rows = x.elements // w.shape[1]
        if rows >= PIXELS and w.shape[1] % 4 == 0 and rescale(graph, node, centred).exact:
            return "dense_rows_dsp_s4", OFFSETS + 2 * PIXELS * w.shape[1]
        return "dense_dsp_s4", padded(w.shape[1]) if w.shape[1] % 4 else 0
    if w.shape[3] != x.shape[3]:
        return None
    stride, pad = tuple(attr(node, TABLE[node.op], "stride")), tuple(attr(node, TABLE[node.op], "pad"))
    pointwise = w.shape[1:3] == (1, 1) and stride == (1, 1) and not any(pad)
    centred = w.data.astype(np.int64)
    if pointwise and x.elements < PIXELS * w.shape[3] and narrow(centred, folded_bias(graph, node, centred)):
        return "dense_dsp_s4", padded(w.shape[3]) if w.shape[3] % 4 else 0
    made = rescale(graph, node, centred)
    if not made.exact or not made.narrow:
        return None
    run = padded(w.shape[2] * w.shape[3])
    tile = OFFSETS + 2 * PIXELS * w.shape[1] * run
    if pointwise and w.shape[3] % 4 == 0:
        return "conv_1x1_dsp_s4", tile
    return "conv_dsp_s4", tile + padded((PIXELS - 1) * stride[1] * w.shape[3] + run)


def by_channel(node: Node, w: Array) -> Array:
    """int64[O, ...] of a weighted node's weights."""
    wide = w.astype(np.int64)
    return wide.reshape(-1, w.shape[3]).T if node.op == "DEPTHWISE_CONV_2D" else wide


def padded(depth: int) -> int:
    """Depth in whole words of four."""
    return -(-depth // 4) * 4


def transposed(node: Node, x: Shape, y: Shape) -> bool:
    """True when a depthwise plane is cheaper walked down its columns: outputs come in pairs, and a line costs about three.

    Only where the size stays, so that the output may always take the input's place: a channel's lines are read before the
    output's, which then never lie behind them.
    """
    return x[1:3] == y[1:3] and (-(-y[1] // 2) + 3) * y[2] < (-(-y[2] // 2) + 3) * y[1]


def lines_scratch(along: int, stride: int) -> int:
    """Bytes that the depthwise kernel needs: scale, weights and three lines of inputs for `along` outputs, of two channels."""
    return 2 * (64 + 12 * (-(-along // 2) * stride + 1))


def add_order(graph: Graph, node: Node) -> tuple[int, int] | None:
    """(operand of the larger scale, the other) of an ADD of equal shapes whose rescales shift right; else None.

    The larger scale is rescaled by exactly a half, which leaves one product less.
    """
    a, b, y = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1]), graph[node.outputs[0]]
    if a is None or b is None or not a.shape == b.shape == y.shape:
        return None
    p = add_params(node, a, b, y)
    for first, other in ((0, 1), (1, 0)):
        half = p.multipliers[first] == 1 << 30 and p.shifts[first] == 0
        if half and -31 <= p.shifts[other] < 0 and -31 <= p.out_shift < 0:
            return first, other
    return None


def packed(graph: Graph, node: Node) -> tuple[str, int] | None:
    """(kernel, scratch bytes) of an int8 node, or None when the plain kernels take it."""
    if node.op == "ADD":
        return ("add_dsp_s8", 0) if add_order(graph, node) else None
    if node.op not in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
        return None
    x, w, y = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1]), graph[node.outputs[0]]
    b = graph.tensor(node.inputs[2]) if len(node.inputs) > 2 else None
    if x is None or w is None or w.data is None or (b is not None and b.data is None) or 0 in (*x.shape, *y.shape):
        return None
    if node.op == "FULLY_CONNECTED":
        centred = w.data.astype(np.int64) - weight_quant(node, w).zero_point.reshape(-1, 1)
        rows, tidy = x.elements // w.shape[1], w.shape[1] % 4 == 0 and centred.min() >= -128 and centred.max() <= 127
        if rows >= PIXELS and tidy and rescale(graph, node, centred).exact:
            return "dense_rows_dsp_s8", 2 * PIXELS * w.shape[1]  # rows side by side, as pixels are
        return "dense_dsp_s8", padded(w.shape[1]) if w.shape[1] % 4 else 0
    if not rescale(graph, node, by_channel(node, w.data)).exact:
        return None
    stride, pad = tuple(attr(node, TABLE[node.op], "stride")), tuple(attr(node, TABLE[node.op], "pad"))
    dilation = tuple(attr(node, TABLE[node.op], "dilation"))
    if node.op == "DEPTHWISE_CONV_2D":
        fits = w.shape[1:3] == (3, 3) and w.shape[3] == x.shape[3] > 1 and dilation == (1, 1)
        if not fits or stride[0] != stride[1] or stride[0] not in {1, 2}:
            return None
        along = y.shape[1] if transposed(node, x.shape, y.shape) else y.shape[2]
        return "depthwise_dsp_s8", lines_scratch(along, stride[0])
    if w.shape[3] != x.shape[3]:
        return None
    run = padded(w.shape[2] * w.shape[3])
    tile = 2 * PIXELS * w.shape[1] * run
    if w.shape[1:3] == (1, 1) and stride == (1, 1) and not any(pad) and w.shape[3] % 4 == 0:
        return "conv_1x1_dsp_s8", tile
    # Behind the tile: a row of four pixels' windows, put together byte by byte where memory has none.
    return "conv_dsp_s8", tile + padded((PIXELS - 1) * stride[1] * w.shape[3] + run)
