"""Features of very different ranges under float inputs: scaled one by one, in float, before they are quantized.

One step for all of an input's values loses the features that move less than a few of them. Where the input is float32, what
is done to it before the first layer with weights stays float, and there
    x' = (x - centre) * (1 / half),  W' = W * half,  b' = b + W @ centre
puts every feature into -1..1 by what calibration saw, and keeps the function (W' x' + b' = W x + b): nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.fixedpoint import integer_range
from edgekit.graph import Array, Graph, Node, build, const, fresh
from edgekit.passes.quantize.observe import values_of

WHY = "it brings the input's features to one range"
LEAST_STEPS = 16  # features that move less are worth two float operations an element
# What may stand between an input and the first weights: each index of the last axis by itself, or only moved.
_ELEMENTWISE = frozenset({"ADD", "SUB", "MUL", "DIV", "BATCH_NORM"})
_MOVING = frozenset({"RESHAPE", "TRANSPOSE", "PAD", "SLICE"})
# Operator -> (index of the weights whose last axis are x's features, index of the bias).
_READERS = {"FULLY_CONNECTED": (1, 2), "CONV_2D": (1, 2), "LSTM": (1, 3), "GRU": (1, 3), "RNN": (1, 3)}


@dataclass(frozen=True)
class Scaled:
    """graph: of the same function. kept: values made in float before the quantizing. notes: what was done, for the user."""

    graph: Graph
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def scaled(graph: Graph, data: Iterable[Mapping[str, Array]], skip: Sequence[str] = (), activations: str = "int8") -> Scaled:
    """Scale the features of float inputs (tables, sequences) of `graph` (float, deployed) that one step cannot hold, by their
    ranges in `data` (samples in the source's layout). skip: nodes, by the value they make, that stay float anyway; activations:
    the integers that the input becomes."""
    real = [name for name in graph.inputs if graph[name].dtype == "float32" and len(graph[name].shape) in (2, 3)]
    paths = {name: _path(graph, name) for name in real}
    if not paths:
        return Scaled(graph)
    ranges = _ranges(graph, data, [*dict.fromkeys(v for path in paths.values() for v in path)])
    smallest, largest = integer_range(activations)
    kept: list[str] = []
    notes: list[str] = []

    def coarse(value: str) -> bool:
        """Whether a feature that moves at all moves less than LEAST_STEPS of the one step for all."""
        low, high = ranges[value]
        step = (max(0.0, float(high.max())) - min(0.0, float(low.min()))) / (largest - smallest)
        return bool(np.any((high > low) & (high - low < LEAST_STEPS * step)))

    for name, path in paths.items():
        # Of each value on the way, its last axis: which of them are the features is known at the end only.
        last = max((i for i, value in enumerate(path) if coarse(value)), default=None)
        if last is None:
            continue
        if last + 1 < len(path):
            kept += path[1 : last + 2]
            notes.append(
                f"input '{name}': its features have very different ranges; the operations that even them out stay float"
            )
            continue
        readers = [node for node in graph.nodes if path[-1] in node.inputs]
        if path[-1] in graph.outputs or not all(_foldable(graph, node, path[-1]) for node in readers) or not readers:
            continue
        if any(node.outputs[0] in skip for node in readers):
            continue
        low, high = ranges[path[-1]]
        graph, made = _insert(graph, path[-1], readers, low, high)
        kept += [*path[1:], *made]
        notes.append(
            f"input '{name}': each of its {low.size} features is scaled by its own range in float before it is quantized, and "
            f"the weights that read it are scaled back; the function is the same"
        )
    return Scaled(graph, tuple(dict.fromkeys(kept)), tuple(notes))


def _path(graph: Graph, name: str) -> list[str]:
    """The values from an input to the first weights, as long as each has one reader that treats features apart."""
    path = [name]
    while True:
        readers = [node for node in graph.nodes if path[-1] in node.inputs]
        if len(readers) != 1 or readers[0].op not in _ELEMENTWISE | _MOVING or path[-1] in graph.outputs:
            return path
        node = readers[0]
        others = [n for n in node.inputs if n is not None and n != path[-1]]
        if not all(graph[n].is_const for n in others) or node.attrs.get("activation", "NONE") != "NONE":
            return path
        path.append(node.outputs[0])


def _ranges(graph: Graph, data: Iterable[Mapping[str, Array]], names: list[str]) -> dict[str, tuple[Array, Array]]:
    """{name: least and largest of each index of the last axis} over all samples, and steps of sequences."""
    found: dict[str, tuple[Array, Array]] = {}
    for results in values_of(graph, data, names):
        for name in names:
            rows = np.asarray(results[name], np.float64).reshape(-1, graph[name].shape[-1])
            low, high = rows.min(axis=0), rows.max(axis=0)
            before = found.get(name, (low, high))
            found[name] = np.minimum(before[0], low), np.maximum(before[1], high)
    return found


def _foldable(graph: Graph, node: Node, name: str) -> bool:
    """Whether the node only reads `name` as features that its own constant weights multiply."""
    if node.op not in _READERS or node.inputs[0] != name or name in node.inputs[1:]:
        return False
    weight, bias = _READERS[node.op]
    tensors = [graph.tensor(node.inputs[i]) for i in (weight, bias) if i < len(node.inputs)]
    whole = tensors[0] is not None and tensors[0].shape[-1] == graph[name].shape[-1]  # no groups
    return whole and all(t is None or (t.is_const and t.dtype == "float32") for t in tensors)


def _padded(node: Node) -> bool:
    return node.op == "CONV_2D" and any(node.attrs.get("pad", (0, 0, 0, 0)))


def _insert(graph: Graph, name: str, readers: Sequence[Node], low: Array, high: Array) -> tuple[Graph, list[str]]:
    """(the graph with (name - centre) * factor before `readers`, whose weights are scaled back; the two values made).

    Before padding with zeros the centre is zero.
    """
    centre = np.zeros(low.size) if any(map(_padded, readers)) else (low + high) / 2
    half = np.maximum(high - centre, centre - low)
    # What is folded must be what is computed: both constants as float32 has them.
    centre = centre.astype(np.float32).astype(np.float64)
    factor = (1 / np.where(half > 0, half, 1.0)).astype(np.float32)
    tensors = dict(graph.tensors)

    def add(base: str, data: Array) -> str:
        own = fresh(tensors, base)
        tensors[own] = const(own, data)
        return own

    source = f"scaling of '{name}'"
    nodes: list[Node] = []
    last, made = name, []
    for op, data in (("SUB", centre.astype(np.float32)), ("MUL", factor)):
        if op == "SUB" and not centre.any():
            continue
        value = fresh(tensors, f"{name}_{'centred' if op == 'SUB' else 'scaled'}")
        tensors[value] = replace(graph[name], name=value)
        nodes.append(Node(op, (last, add(f"{value}_by", data)), (value,), {}, source))
        made.append(value)
        last = value
    replaced = {}
    for node in readers:
        at, bias = _READERS[node.op]
        weight = graph[str(node.inputs[at])]
        w = weight.real().astype(np.float64)
        inputs = [*node.inputs, *[None] * (bias + 1 - len(node.inputs))]
        moved = (w * centre).reshape(len(w), -1).sum(axis=1)
        if inputs[bias] is not None:
            moved = moved + graph[str(inputs[bias])].real().astype(np.float64)
        inputs[0], inputs[at] = last, add(f"{weight.name}_scaled", (w / factor.astype(np.float64)).astype(np.float32))
        if inputs[bias] is not None or moved.any():
            inputs[bias] = add(f"{weight.name}_shift", moved.astype(np.float32))
        while inputs[-1] is None:
            inputs.pop()
        replaced[id(node)] = replace(node, inputs=tuple(inputs))
    first = min(i for i, node in enumerate(graph.nodes) if id(node) in replaced)
    ordered = [*graph.nodes[:first], *nodes, *(replaced.get(id(node), node) for node in graph.nodes[first:])]
    parts: dict[str, Any] = {"states": graph.states, "contract": graph.contract, "history": graph.history}
    return build(graph.name, graph.inputs, graph.outputs, ordered, tensors, **parts).with_history(f"scale {name}"), made
