"""Leaves out channels that no input can change: same outputs, fewer weights and multiplications.

A channel of an int8 value is dead when a bound on its sums, rescaled and clamped, leaves one value, or when every weight that
reads it is zero. Its producer stops making it, everything between passes the shorter value on, and the convolution or dense
layer that reads it takes its constant share into the bias. Padding holds the zero point, so a constant that is another value
does not stay one through a padded convolution: such channels are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.fixedpoint import multiply_by_quantized_multiplier, wrap_int32
from edgekit.graph import Array, Graph, Node, Quant, Shape, Tensor, build, const, fresh
from edgekit.ops import TABLE, attr, op_of
from edgekit.ops.requant import activation_range, dense_requant, int8_quant, zero_of

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
# No output falls when an input rises, so bounds of the inputs give bounds of the outputs.
MONOTONE = frozenset(
    "ADD AVERAGE_POOL_2D MAX_POOL_2D MEAN SUM REDUCE_MAX REDUCE_MIN MAXIMUM MINIMUM QUANTIZE RELU RELU6 RELU_N1_TO_1 "
    "LOGISTIC TANH PAD RESHAPE TRANSPOSE SLICE CONCATENATION".split()
)
# With inputs this many times coarser than the output, kernels' left shifts may wrap around: no bound is drawn.
COARSEST = 256.0
# Channel i of the output is made from channel i of the inputs alone.
CHANNELWISE = frozenset(
    "ADD SUB MUL MAXIMUM MINIMUM AVERAGE_POOL_2D MAX_POOL_2D MEAN SUM REDUCE_MAX REDUCE_MIN QUANTIZE RELU RELU6 RELU_N1_TO_1 "
    "LEAKY_RELU LOGISTIC TANH HARD_SWISH HARD_SIGMOID ELU PAD TRANSPOSE RESHAPE DEPTHWISE_CONV_2D".split()
)
# Values keep a multiple of this many channels: kernels load four bytes at a time.
KEPT_MULTIPLE = 4


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of each channel (last axis) of an int8 value, int64[C]."""

    low: Array
    high: Array

    @property
    def fixed(self) -> Array:
        """bool[C]: channels that hold one value."""
        found: Array = self.low == self.high
        return found


def drop_dead_channels(graph: Graph) -> Graph:
    """The graph without dead channels, bit for bit the same function. The same object when there are none."""
    while True:
        ranges = output_ranges(graph)
        gone = _removable(graph, ranges)
        if not any(np.any(mask) for mask in gone.values()):
            return graph
        graph = _rewrite(graph, gone, ranges)


# --- what values a channel can take ------------------------------------------------------------------------------------


def output_ranges(graph: Graph) -> dict[str, Range]:
    """A bound for each channel of every int8 value that a node makes or a constant holds."""
    ranges: dict[str, Range] = {}
    for name, tensor in graph.tensors.items():
        if tensor.dtype == "int8" and tensor.shape and tensor.elements:
            flat = None if tensor.data is None else tensor.data.reshape(-1, tensor.shape[-1]).astype(np.int64)
            ranges[name] = _anything(tensor) if flat is None else Range(flat.min(axis=0), flat.max(axis=0))
    for node in graph.nodes:
        ins, outs = graph.input_tensors(node), graph.output_tensors(node)
        if len(outs) != 1 or outs[0].name not in ranges or outs[0].quant is None:
            continue
        if node.op in WEIGHTED and _weights_known(graph, node):
            ranges[outs[0].name] = _weighted_range(graph, node, ranges)
        elif node.op in MONOTONE and all(t is not None and t.name in ranges and t.quant is not None for t in ins):
            ranges[outs[0].name] = _monotone_range(graph, node, ranges)
    return ranges


def _anything(tensor: Tensor) -> Range:
    return Range(np.full(tensor.shape[-1], -128, np.int64), np.full(tensor.shape[-1], 127, np.int64))


def _weights_known(graph: Graph, node: Node) -> bool:
    """int8 in and out, weights of 8 or 4 bits and bias that are constants."""
    x, w, *rest = graph.input_tensors(node)
    bias = rest[0] if rest else None
    known = x is not None and w is not None and w.is_const and w.quant is not None and (bias is None or bias.is_const)
    kinds = x is not None and w is not None and x.dtype == "int8" and w.dtype in {"int8", "int4"} and x.quant is not None
    return known and kinds


def _centred(node: Node, w: Tensor) -> Array:
    """Weights less their zero point, int64[O, taps, inputs of one output]."""
    assert w.data is not None
    assert w.quant is not None
    data = w.data.astype(np.int64)
    if node.op == "DEPTHWISE_CONV_2D":
        return data.reshape(-1, w.shape[3]).T[:, :, None]
    if node.op == "CONV_2D":
        return data.reshape(w.shape[0], -1, w.shape[3])
    return (data - w.quant.zero_point.reshape(-1, 1))[:, None, :]


def _padded(node: Node) -> bool:
    return node.op != "FULLY_CONNECTED" and any(attr(node, TABLE[node.op], "pad"))


def _weighted_range(graph: Graph, node: Node, ranges: Mapping[str, Range]) -> Range:
    x, w, *rest = graph.input_tensors(node)
    y = graph[node.outputs[0]]
    assert x is not None
    assert w is not None
    weights = _centred(node, w)
    outs, _, each = weights.shape
    bounds = [v - zero_of(int8_quant(node, x)) for v in (ranges[x.name].low, ranges[x.name].high)]
    if _padded(node):  # a place outside the image counts as 0
        bounds = [np.minimum(bounds[0], 0), np.maximum(bounds[1], 0)]
    if node.op == "FULLY_CONNECTED":
        if each % len(bounds[0]):
            bounds = [np.full(each, b, np.int64) for b in (bounds[0].min(), bounds[1].max())]
        bounds = [np.broadcast_to(np.tile(b, each // len(b)), (outs, each)) for b in bounds]
    else:  # the inputs of an output: its group, or its one channel
        groups = len(bounds[0]) // each
        bounds = [np.repeat(b.reshape(groups, each), outs // groups, axis=0) for b in bounds]
    bias = rest[0].data if rest and rest[0] is not None else None
    start = np.zeros(outs, np.int64) if bias is None else bias.astype(np.int64)
    positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
    low = start + (positive * bounds[0] + negative * bounds[1]).sum(axis=1)
    high = start + (positive * bounds[1] + negative * bounds[0]).sum(axis=1)
    multipliers, shifts = dense_requant(node, x, w, y)
    quant = int8_quant(node, y)
    clamp = activation_range(str(attr(node, TABLE[node.op], "activation")), quant)
    ends = [np.clip(multiply_by_quantized_multiplier(v, multipliers, shifts) + zero_of(quant), *clamp) for v in (low, high)]
    # Sums that may wrap around, or that a left shift may push out of 32 bits, say nothing.
    reach = np.maximum(np.abs(low), np.abs(high)) << np.clip(shifts, 0, 31)
    sure = reach < 1 << 31
    return Range(np.where(sure, ends[0], clamp[0]), np.where(sure, ends[1], clamp[1]))


def _monotone_range(graph: Graph, node: Node, ranges: Mapping[str, Range]) -> Range:
    ins, outs = graph.input_tensors(node), graph.output_tensors(node)
    rule = op_of(node).integer
    assert rule is not None
    coarsest = max(float(t.quant.scale.max()) for t in ins if t is not None and t.quant is not None)
    if outs[0].quant is None or coarsest > COARSEST * float(outs[0].quant.scale.min()):
        return _anything(outs[0])
    ends = []
    for side in ("low", "high"):
        arrays = [np.broadcast_to(getattr(ranges[t.name], side), t.shape).astype(np.int8) for t in ins if t is not None]
        ends.append(rule(node, arrays, ins, outs)[0].astype(np.int64).reshape(-1, outs[0].shape[-1]))
    return Range(ends[0].min(axis=0), ends[1].max(axis=0))


# --- which channels can be left out ------------------------------------------------------------------------------------


def _removable(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Array]:
    """value -> bool[C], the channels that go: the largest set that every reader and producer agrees on."""
    readers, makers = graph.consumers(), graph.producers()
    edge = {*graph.inputs, *graph.outputs, *(s.input for s in graph.states), *(s.output for s in graph.states)}
    gone: dict[str, Array] = {}
    for name in ranges:
        maker = makers.get(name)
        if maker is None or name in edge or not (_makes(graph, maker) or _passes(graph, maker)):
            continue
        may = np.ones(len(ranges[name].low), bool)
        for reader in readers[name]:
            if _passes(graph, reader):
                continue
            may &= _foldable(graph, reader, name, ranges[name])
        gone[name] = may
    ties = [(x, node.outputs[0]) for node in graph.nodes if _passes(graph, node) for x in _data(graph, node)]
    while True:
        _agree(graph, gone, ties)
        short = [name for name, mask in gone.items() if mask.any() and np.count_nonzero(~mask) % KEPT_MULTIPLE]
        short += [name for name, mask in gone.items() if len(mask) and mask.all()]
        if not short:
            return {name: mask for name, mask in gone.items() if mask.any()}
        mask = gone[short[0]]
        mask[np.flatnonzero(mask)[0]] = False


def _agree(graph: Graph, gone: dict[str, Array], ties: Sequence[tuple[str, str]]) -> None:
    """Shrinks the masks until both sides of every tie are the same. A reshape may put several pixels' channels in one row."""
    changed = True
    while changed:
        changed = False
        for x, y in ties:
            width, wide = graph[x].shape[-1], graph[y].shape[-1]
            mine, theirs = gone.get(x, np.zeros(width, bool)), gone.get(y, np.zeros(wide, bool))
            both = mine & theirs.reshape(-1, width).all(axis=0)
            spread = np.tile(both, wide // width)
            changed |= bool(np.any(both != mine) or np.any(spread != theirs))
            if x in gone:
                gone[x] = both
            if y in gone:
                gone[y] = spread


def _data(graph: Graph, node: Node) -> list[str]:
    """The values a channelwise node reads, without weights and bias."""
    return [n for i in TABLE[node.op].data_inputs(node) if (n := node.inputs[i]) is not None]


def _makes(graph: Graph, node: Node) -> bool:
    """True when the node can stop making any of its channels."""
    if node.op not in {"CONV_2D", "FULLY_CONNECTED"} or not _weights_known(graph, node):
        return False
    return node.op == "FULLY_CONNECTED" or graph[node.inputs[1] or ""].shape[3] == graph[node.inputs[0] or ""].shape[3]


def _passes(graph: Graph, node: Node) -> bool:
    """True when the node can do without a channel that its inputs and output lack alike."""
    if node.op not in CHANNELWISE or len(node.outputs) != 1:
        return False
    names, y = _data(graph, node), graph[node.outputs[0]]
    tensors = [graph[n] for n in names]
    if any(t.is_const or t.dtype != "int8" or not t.shape for t in (*tensors, y)):
        return False
    if node.op == "DEPTHWISE_CONV_2D":
        return _weights_known(graph, node) and y.shape[3] == tensors[0].shape[3]
    if len(tensors) > 1:
        return all(t.shape == y.shape for t in tensors)
    x = tensors[0]
    last = len(x.shape) - 1
    if node.op == "RESHAPE":
        return bool(y.shape) and x.shape[-1] > 0 and y.shape[-1] % x.shape[-1] == 0 and y.shape[-1] > 0
    if node.op == "TRANSPOSE":
        return bool(node.attrs["perm"][-1] == last)
    if node.op == "PAD":
        return not any(node.attrs["pads"][-1])
    if "axes" in node.attrs:
        return last not in node.attrs["axes"]
    return True


def _foldable(graph: Graph, node: Node, name: str, held: Range) -> Array:
    """bool[C]: channels of `name` that this reader can do without."""
    if not _makes(graph, node) or node.inputs[0] != name:
        return np.zeros(len(held.low), bool)
    x, w = graph[name], graph[node.inputs[1] or ""]
    weights = _centred(node, w)
    if weights.shape[2] != x.shape[-1]:
        return np.zeros(len(held.low), bool)
    fixed = held.fixed & ((held.low == zero_of(int8_quant(node, x))) if _padded(node) else True)
    without: Array = np.logical_or(fixed, ~weights.any(axis=(0, 1)))
    return without


# --- the smaller graph -------------------------------------------------------------------------------------------------


def _rewrite(graph: Graph, gone: Mapping[str, Array], ranges: Mapping[str, Range]) -> Graph:
    tensors = dict(graph.tensors)
    for name, mask in gone.items():
        shape = graph[name].shape
        tensors[name] = replace(graph[name], shape=(*shape[:-1], int(np.count_nonzero(~mask))))
    nodes = []
    for node in graph.nodes:
        change = _CHANGES.get(node.op)
        touched = any(n in gone for n in (*node.inputs, *node.outputs))
        nodes.append(change(graph, node, gone, ranges, tensors) if change and touched else node)
    made = build(graph.name, graph.inputs, graph.outputs, nodes, tensors, states=graph.states, contract=graph.contract)
    return replace(made, history=graph.history)


def _kept(gone: Mapping[str, Array], name: str, width: int) -> Array:
    mask = gone.get(name)
    return np.arange(width) if mask is None else np.flatnonzero(~mask)


def _added(tensors: dict[str, Tensor], old: str, data: Array, quant: Quant | None) -> str:
    kind = "int4" if quant is not None and quant.dtype == "int4" else None
    made = const(fresh(tensors, old), np.ascontiguousarray(data), quant, kind)
    tensors[made.name] = made
    return made.name


def _scales(quant: Quant | None, kept: Array) -> Quant | None:
    if quant is None or quant.scale.size == 1:
        return quant
    return replace(quant, scale=quant.scale[kept], zero_point=quant.zero_point[kept])


def _weighted_change(
    graph: Graph, node: Node, gone: Mapping[str, Array], ranges: Mapping[str, Range], tensors: dict[str, Tensor]
) -> Node:
    x, w, *rest = graph.input_tensors(node)
    assert x is not None
    assert w is not None
    assert w.data is not None
    y = graph[node.outputs[0]]
    outs = _kept(gone, y.name, y.shape[-1])
    depthwise = node.op == "DEPTHWISE_CONV_2D"
    bias = rest[0] if rest else None
    sums = np.zeros(y.shape[-1], np.int64) if bias is None or bias.data is None else bias.data.astype(np.int64)
    if not depthwise and x.name in gone:
        mask, zero = gone[x.name], zero_of(int8_quant(node, x))
        # Of a channel that no weight reads any value does.
        sums = sums + (_centred(node, w).sum(axis=1)[:, mask] * (ranges[x.name].low[mask] - zero)).sum(axis=1)
    sums = wrap_int32(sums)
    if depthwise:
        data = w.data[..., outs]
    elif x.name in gone:
        data = w.data[outs][..., ~gone[x.name]]
    else:
        data = w.data[outs]
    inputs: list[str | None] = [x.name, _added(tensors, w.name, data, _scales(w.quant, outs)), None]
    if bias is not None or np.any(sums):
        quant = None if bias is None else _scales(bias.quant, outs)
        inputs[2] = _added(tensors, f"{w.name} bias" if bias is None else bias.name, sums[outs].astype(np.int32), quant)
    return replace(node, inputs=tuple(inputs))


def _reshape_change(
    graph: Graph, node: Node, gone: Mapping[str, Array], ranges: Mapping[str, Range], tensors: dict[str, Tensor]
) -> Node:
    shape: Shape = tensors[node.outputs[0]].shape
    return replace(node, attrs={**node.attrs, "shape": shape})


_Change = Callable[[Graph, Node, Mapping[str, Array], Mapping[str, Range], dict[str, Tensor]], Node]
_CHANGES: Mapping[str, _Change] = {**dict.fromkeys(WEIGHTED, _weighted_change), "RESHAPE": _reshape_change}
