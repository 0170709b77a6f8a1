"""How recurrent operators (LSTM, GRU, RNN) are quantized: what their states hold, which values are 16 bits, scales by gate.

A state of the op table's 16-bit kind (the LSTM's c, the GRU's h) is int16 with a power of two as scale: "wide". Values that
only re-arrange it are wide, too, so that it can be handed on; every other reader gets it requantized to int8.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.ops import op_of

# Operators that hand a wide value on: every engine moves 16 bits with them.
MOVES = frozenset({"RESHAPE", "TRANSPOSE", "SLICE", "SPLIT", "CONCATENATION"})
# Of a wide scale. `ops.gates` takes less, LiteRT's LSTM does not: its tanh counts 15 + power integer bits.
LEAST_POWER, MOST_POWER = -15, 0
Affine = tuple[float, int]


def wide_affine(low: float, high: float) -> Affine:
    """(scale, 0): the least power of two with which int16 holds low..high."""
    most = max(abs(low), abs(high))
    power = math.ceil(math.log2(most / 32767)) if most > 0 else LEAST_POWER
    return 2.0 ** min(max(power, LEAST_POWER), MOST_POWER), 0


def ties(node: Node) -> list[tuple[int, str | None, str, str]]:
    """(input index, the first state or None, the last state, dtype) of each state of a recurrent node; [] for others."""
    entry = op_of(node).recurrent
    if entry is None:
        return []
    firsts = [node.inputs[i] if i < len(node.inputs) else None for i, _, _ in entry.ties]
    return [(i, first, node.outputs[o], kind) for first, (i, o, kind) in zip(firsts, entry.ties, strict=True)]


def wide_values(graph: Graph, islands: Mapping[str, str]) -> set[str]:
    """The float graph's values that become int16. A state carried from run to run is wide at both ends or at neither."""
    barred: set[str] = set()
    forced: set[str] = set()
    while True:
        found = _wide(graph, islands, barred, forced)
        joined = _joined(graph, {s.output for s in graph.states if s.input in found and s.output not in found}) - forced
        if joined:  # what a state is joined of (h beside c, say) is widened there
            forced |= joined
            continue
        uneven = {n for s in graph.states if (s.input in found) != (s.output in found) for n in (s.input, s.output)}
        if uneven <= barred:
            return found
        barred |= uneven


def _joined(graph: Graph, names: set[str]) -> set[str]:
    """The CONCATENATIONs that these values are, and what re-arranges them after."""
    made, found = graph.producers(), set[str]()
    for name in names:
        chain: list[str] = []
        while name in made and made[name].op in MOVES - {"CONCATENATION"}:
            chain.append(name)
            name = str(made[name].inputs[0])
        if name in made and made[name].op == "CONCATENATION":
            found |= {name, *chain}
    return found


def _wide(graph: Graph, islands: Mapping[str, str], barred: set[str], forced: set[str]) -> set[str]:
    made = graph.producers()
    given = {*graph.inputs, *(s.input for s in graph.states)} - barred
    wide: set[str] = set()
    for node in graph.nodes:
        for _, first, last, kind in ties(node) if node.outputs[0] not in islands else []:
            if kind != "int16":
                continue
            wide.add(last)
            source = first
            while source is not None and source in made and made[source].op in MOVES - {"CONCATENATION"}:
                source = made[source].inputs[0]
            if source in given and source is not None:
                wide.add(source)
    wide |= forced - barred
    for node in graph.nodes:
        if node.op in MOVES and all(n in wide for n in node.inputs) and barred.isdisjoint(node.outputs):
            wide |= set(node.outputs)
    return wide


def origin(graph: Graph, name: str, makers: Mapping[str, Node]) -> str:
    """The value that this one is a re-arrangement of."""
    while name in makers and makers[name].op in MOVES - {"CONCATENATION"}:
        name = str(makers[name].inputs[0])
    return name


def narrowed(graph: Graph, wide: Collection[str]) -> set[str]:
    """The wide values that some node reads in int8."""
    found: set[str] = set()
    for node in graph.nodes:
        kept = {first for _, first, _, kind in ties(node) if kind == "int16"}
        if node.outputs[0] not in wide or op_of(node).quant != "same":
            found |= {n for n in node.inputs if n in wide and n not in kept and n is not None}
    return found


def weight_scales(node: Node, weight: Tensor, floor: Array) -> Array:
    """float64[rows]: largest |weight| / 127 of each gate, or row by row, but at least `floor`."""
    entry = op_of(node).recurrent
    assert entry is not None
    rows: Array = np.maximum(np.abs(weight.real().astype(np.float64)).max(axis=1) / 127, floor)
    if entry.gates:
        rows = np.repeat(rows.reshape(entry.gates, -1).max(axis=1), len(rows) // entry.gates)
    return rows


def bias_floor(graph: Graph, node: Node, index: int, scale: float, largest: int) -> Array:
    """float64[rows]: the least weight scales (of input `index`) that keep the bias of that product within `largest` steps.
    scale: of what the weights multiply."""
    op = op_of(node)
    rows = graph[str(node.inputs[index])].shape[0]
    floor = np.zeros(rows)
    at = op.bias if index == next(iter(op.weights)) else op.recurrent.recurrent_bias if op.recurrent is not None else None
    bias = graph.tensor(node.inputs[at]) if at is not None and at < len(node.inputs) else None
    if bias is not None:
        needed = np.abs(bias.real().astype(np.float64)) / (scale * largest)
        floor[rows - len(needed) :] = needed
    return floor
