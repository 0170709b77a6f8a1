"""Masks before a softmax: -inf, -1e4 and the like mean "not this one", and must not stretch an integer range.

A masked score need only be so far below the row's others that nothing of it is left in the softmax's 256 steps. So a mask's
huge constants are first made finite (`tame`), and, once the scores have been observed, as small as does (`settle`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgekit.graph import Array, Graph, Node, Tensor, const, fresh
from edgekit.passes.quantize.observe import Observations, Observed

HUGE = 1e3  # no score is as large
FINITE = 1e4
BELOW = 8.0  # exp(-8) is a tenth of a softmax step; rows longer than SHORT add up more of them
SHORT = 16
VIEWS = frozenset({"RESHAPE", "TRANSPOSE"})
# What a mask is computed with, from an input or from constants.
CONE = VIEWS | frozenset("MUL SUB ADD NEG SLICE GATHER CONCATENATION BROADCAST_TO TILE SELECT_V2 PAD MAXIMUM MINIMUM".split())


@dataclass(frozen=True)
class Mask:
    """A node that masks scores: its output, the scores, the mask it adds (ADD) or puts in their place (SELECT_V2), and how long
    the softmax's rows are."""

    output: str
    op: str
    scores: str
    mask: str
    beta: float
    row: int

    @property
    def below(self) -> float:
        """How far below the lowest score a masked one has to be."""
        return (BELOW + math.log(max(self.row / SHORT, 1.0))) / self.beta


def find(graph: Graph) -> list[Mask]:
    """The masks of a float graph, inner ones first."""
    maker = {out: node for node in graph.nodes for out in node.outputs}
    found: dict[str, Mask] = {}
    for softmax in graph.nodes:
        if softmax.op != "SOFTMAX":
            continue
        name, beta = softmax.inputs[0], float(softmax.attrs.get("beta", 1.0))
        while (node := maker.get(str(name))) is not None and (node.op in VIEWS or node.op in {"ADD", "SELECT_V2"}):
            if node.op in VIEWS:
                name = node.inputs[0]
                continue
            mask = _mask(graph, maker, node, beta, graph[softmax.outputs[0]].shape[-1])
            if mask is None:
                break
            found[mask.output] = mask
            name = mask.scores
    order = {out: i for i, node in enumerate(graph.nodes) for out in node.outputs}
    return sorted(found.values(), key=lambda m: order[m.output])


def _mask(graph: Graph, maker: Mapping[str, Node], node: Node, beta: float, row: int) -> Mask | None:
    if graph[node.outputs[0]].dtype != "float32" or graph[node.outputs[0]].quant is not None:
        return None
    pair = [str(n) for n in node.inputs[-2:]]
    if node.attrs.get("activation", "NONE") != "NONE":
        return None
    for mask, scores in (pair, pair[::-1]):
        if not graph[scores].is_const and any(_is_huge(graph[name]) for name in _cone(graph, maker, mask)):
            return Mask(node.outputs[0], node.op, scores, mask, beta, row)
    return None


def _cone(graph: Graph, maker: Mapping[str, Node], mask: str) -> list[str]:
    """The float values a mask is computed from, itself included."""
    seen: dict[str, None] = {}
    stack = [mask]
    while stack:
        name = stack.pop()
        if name in seen or graph[name].dtype != "float32":
            continue
        seen[name] = None
        node = maker.get(name)
        if node is not None and node.op in CONE:
            stack += [n for n in node.inputs if n is not None]
    return list(seen)


def _is_huge(tensor: Tensor) -> bool:
    return tensor.data is not None and tensor.elements > 0 and bool(np.any(np.abs(tensor.data) >= HUGE))


def tame(graph: Graph) -> Graph:
    """The graph with the masks' constants within -FINITE..FINITE."""
    maker = {out: node for node in graph.nodes for out in node.outputs}
    names = {n for mask in find(graph) for n in _cone(graph, maker, mask.mask) if _is_huge(graph[n])}
    return _with_constants(graph, {n: np.clip(_data(graph[n]), -FINITE, FINITE) for n in names})


def watched(graph: Graph) -> list[str]:
    """The values whose ranges `settle` needs."""
    return list(dict.fromkeys(mask.scores for mask in find(graph)))


def settle(graph: Graph, seen: Observations) -> tuple[Graph, Observations, list[tuple[str, float]]]:
    """(graph with small masks, observations that fit it, [(masking value, what it now adds or puts)])."""
    maker = {out: node for node in graph.nodes for out in node.outputs}
    ranges = dict(seen.tensors)
    changed: dict[str, Array] = {}
    notes: list[tuple[str, float]] = []
    for mask in find(graph):
        scores = ranges[mask.scores]
        low, high = min(scores.low, 0.0), max(scores.high, 0.0)
        floor = low - mask.below
        least = floor if mask.op == "SELECT_V2" else floor - high
        cone = _cone(graph, maker, mask.mask)
        own = [_data(graph[n]) for n in cone if n == mask.mask and graph[n].is_const]
        shown = np.concatenate([v[np.abs(v) < HUGE] for v in own]) if own else np.zeros(0)
        extra = (min(float(shown.min()), 0.0), max(float(shown.max()), 0.0)) if shown.size else (0.0, 0.0)
        for name in cone:
            if _is_huge(graph[name]):
                data = changed.get(name, _data(graph[name]))
                changed[name] = np.where(data <= -HUGE, least, np.where(data >= HUGE, -least, data)).astype(np.float32)
            elif name in ranges:
                ranges[name] = _within(ranges[name], least, -least)
        if mask.op == "ADD":
            ranges[mask.output] = _within(ranges.get(mask.output, scores), floor + extra[0], high + extra[1], exactly=True)
        elif mask.output in ranges:
            ranges[mask.output] = _within(ranges[mask.output], floor, high)
        notes.append((mask.output, least))
    return _with_constants(graph, changed), replace(seen, tensors=ranges), notes


def _within(seen: Observed, low: float, high: float, exactly: bool = False) -> Observed:
    """The observation with its range cut to low..high, or made low..high."""
    return replace(seen, low=low if exactly else max(seen.low, low), high=high if exactly else min(seen.high, high))


def _data(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return tensor.data


def _with_constants(graph: Graph, data: Mapping[str, Array]) -> Graph:
    """The graph whose masks read these values; other readers of the same constant keep theirs."""
    if not data:
        return graph
    tensors, nodes = dict(graph.tensors), list(graph.nodes)
    for name, values in data.items():
        new = fresh(tensors, f"{name}_mask")
        tensors[new] = const(new, values.astype(np.float32))
        for i, node in enumerate(nodes):
            if name in node.inputs and node.op in CONE:
                nodes[i] = replace(node, inputs=tuple(new if n == name else n for n in node.inputs))
    return replace(graph, tensors=tensors, nodes=tuple(nodes))
