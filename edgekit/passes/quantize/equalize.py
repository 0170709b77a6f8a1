"""Equalize: move scale between channels so that one scale per tensor suits them all. The function stays the same, bit for bit.

A channel c of a value is divided by s[c] where it is made (rows of weights, bias, gamma, beta) and multiplied back where it is
read (columns of weights). Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, sec. 4.1;
Xiao et al. 2023, SmoothQuant, eq. 4: s[c] = max|x[c]|^a / max|w[:, c]|^(1 - a). Every s[c] is a power of two, so that no
float32 product is rounded differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgekit.graph import Array, Graph, Node
from edgekit.ops import op_of
from edgekit.passes.quantize.observe import values_of

SHARE = 0.5  # SmoothQuant's alpha: how much of the imbalance the weights take
FURTHEST = 24  # |log2 s|: keeps weights far from float32's ends
ROUNDS = 4  # a layer's columns change with its rows

# f(x / s) = f(x) / s for s > 0, channel by channel.
_PASSES = frozenset(
    "RELU LEAKY_RELU PRELU MAX_POOL_2D AVERAGE_POOL_2D MEAN SUM REDUCE_MAX REDUCE_MIN PAD RESHAPE TRANSPOSE SLICE "
    "ADD SUB MUL".split()
)
_NORMS = frozenset({"LAYER_NORM", "RMS_NORM", "GROUP_NORM", "BATCH_NORM"})
_SAME_SIGN = frozenset({"NONE", "RELU"})


@dataclass
class _Group:
    """Values whose channels are scaled together. rows: (constant, axis) divided by s; columns: multiplied by it."""

    channels: int
    values: list[str] = field(default_factory=list)
    rows: list[tuple[str, int]] = field(default_factory=list)
    columns: list[tuple[str, int]] = field(default_factory=list)
    tied: list[tuple[str, int]] = field(default_factory=list)  # those of rows whose weights share one scale
    free: bool = True  # every reader has a scale for each of these channels, so weights pay nothing


def equalize(graph: Graph, data: Iterable[Mapping[str, Array]]) -> tuple[Graph, int]:
    """(the same function with channels of like ranges, how many values were re-scaled), on at least one sample of `data`.

    graph: float, deployed. data: samples in the source's layout. Values of the result differ from the graph's by powers of two
    a channel, its outputs by nothing. Raises BadModel for values that are not finite.
    """
    groups = _Finder(graph).groups()
    if not groups:
        return graph, 0
    names = [n for g in groups for n in g.values]
    reach = channel_ranges(graph, data, names)
    constants = {n: graph[n].real().astype(np.float64) for g in groups for n, _ in (*g.rows, *g.columns)}
    ranges = {n: r.astype(np.float64) for n, r in reach.items()}
    scaled: set[str] = set()
    for _ in range(ROUNDS):
        for group in groups:
            power = _powers(group, ranges, constants)
            if not power.any():
                continue
            scaled |= set(group.values)
            for name in group.values:
                ranges[name] = np.ldexp(ranges[name], -np.resize(power, ranges[name].size))
            for sign, places in ((-1, group.rows), (1, group.columns)):
                for name, axis in places:
                    shape = [-1 if i == axis else 1 for i in range(constants[name].ndim)]
                    tiled = np.resize(power, constants[name].shape[axis]).reshape(shape)
                    constants[name] = np.ldexp(constants[name], sign * tiled)
    if not scaled or not all(_holds(v) for v in constants.values()):
        return graph, 0
    tensors = {**graph.tensors, **{n: replace(graph[n], data=v.astype(np.float32)) for n, v in constants.items()}}
    return replace(graph, tensors=tensors).with_history("equalize"), len(scaled)


def _holds(values: Array) -> bool:
    """Whether float32 takes the values as they are: none overflows or loses bits at the small end."""
    return bool(np.array_equal(values.astype(np.float32).astype(np.float64), values))


def channel_ranges(graph: Graph, data: Iterable[Mapping[str, Array]], names: list[str]) -> dict[str, Array]:
    """{name: float32[C], the largest |value| of each index of the last axis} over all samples."""
    names = list(dict.fromkeys(names))
    found: dict[str, Array] = {}
    for results in values_of(graph, data, names):
        for name in names:
            most = np.abs(results[name]).reshape(-1, results[name].shape[-1]).max(axis=0)
            found[name] = np.maximum(found[name], most) if name in found else most
    return found


def _powers(group: _Group, ranges: Mapping[str, Array], constants: Mapping[str, Array]) -> Array:
    """int[C]: log2 of s."""
    reach = np.max([ranges[n].reshape(-1, group.channels).max(axis=0) for n in group.values], axis=0)
    weight = np.max([_along(constants[n], axis, group.channels) for n, axis in group.columns], axis=0)
    rows = np.max([_along(constants[n], axis, group.channels) for n, axis in group.tied or group.rows], axis=0)
    alive = (reach > 0) & (weight > 0) & np.isfinite(reach) & (rows > 0)
    if alive.sum() < 2:
        return np.zeros(group.channels, np.int64)
    log = np.zeros(group.channels)
    made = np.log2(reach[alive])
    if group.tied:  # rows beside the values they make: both have one scale
        made = (made + np.log2(rows[alive])) / 2
    log[alive] = made if group.free else SHARE * made - (1 - SHARE) * np.log2(weight[alive])
    log[alive] -= np.median(log[alive])  # only ratios matter: most channels stay
    # A channel that was always zero: its rows become like the others', which may share a scale with them.
    silent = ~alive & (rows > 0)
    log[silent] = np.log2(rows[silent]) - np.median(np.log2(rows[alive]) - log[alive])
    power: Array = np.clip(np.rint(log), -FURTHEST, FURTHEST).astype(np.int64)
    return power


def _along(data: Array, axis: int, channels: int) -> Array:
    """The largest |value| of each channel: index i of `axis` is channel i modulo `channels`."""
    rows: Array = np.abs(np.moveaxis(data, axis, 0)).reshape(data.shape[axis], -1).max(axis=1)
    return np.asarray(rows.reshape(-1, channels).max(axis=0))


class _Finder:
    """Union-find over the float values; a value that some node cannot take re-scaled is pinned."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parent: dict[str, str] = {}
        self.pinned: set[str] = {*graph.inputs, *graph.outputs, *(n for s in graph.states for n in (s.input, s.output))}
        self.rows: list[tuple[str, str, int]] = []  # value, constant, axis
        self.columns: list[tuple[str, str, int, bool]] = []
        self.tied = {str(n.inputs[1]) for n in graph.nodes if n.op == "FULLY_CONNECTED"}
        self.uses: dict[str, int] = {}
        for node in graph.nodes:
            for name in node.inputs:
                if name is not None and graph[name].is_const:
                    self.uses[name] = self.uses.get(name, 0) + 1

    def groups(self) -> list[_Group]:
        for node in self.graph.nodes:
            self._add(node)
        members: dict[str, _Group] = {}
        barred = {self._find(n) for n in self.pinned}
        for name in list(self.parent):
            size = self.graph[name].shape[-1] if self.graph[name].shape else 1
            group = members.setdefault(self._find(name), _Group(size))
            group.channels = min(group.channels, size)
            group.values.append(name)
        for value, constant, axis in self.rows:
            members[self._find(value)].rows.append((constant, axis))
            if constant in self.tied:
                members[self._find(value)].tied.append((constant, axis))
        for value, constant, axis, free in self.columns:
            group = members[self._find(value)]
            group.columns.append((constant, axis))
            group.free &= free
        sized = [g for root, g in members.items() if root not in barred and g.rows and g.columns and g.channels > 1]
        return [g for g in sized if all(n % g.channels == 0 for n in self._sizes(g))]

    def _sizes(self, group: _Group) -> Iterator[int]:
        yield from (self.graph[n].shape[-1] for n in group.values)
        yield from (self.graph[n].shape[axis] for n, axis in (*group.rows, *group.columns))

    def _find(self, name: str) -> str:
        while self.parent.setdefault(name, name) != name:
            name = self.parent[name]
        return name

    def _unite(self, a: str, b: str) -> None:
        self.parent[self._find(a)] = self._find(b)

    def _own(self, name: str | None) -> bool:
        """A float constant that this one node reads."""
        return name is None or (self.graph[name].is_const and self.graph[name].dtype == "float32" and self.uses[name] == 1)

    def _add(self, node: Node) -> None:
        reals = [n for n in node.inputs if n is not None and not self.graph[n].is_const and self.graph[n].dtype == "float32"]
        for name in (*reals, *(n for n in node.outputs if self.graph[n].dtype == "float32")):
            self._find(name)
        if not (self._weighted(node) or self._norm(node) or self._factors(node) or self._passed(node, reals)):
            self.pinned |= {*reals, *node.outputs} & self.parent.keys()

    def _weighted(self, node: Node) -> bool:
        """Layers: rows of the weights make the output's channels, columns read the input's."""
        if node.op not in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}:
            return False
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        x, weight = str(node.inputs[0]), str(node.inputs[1])
        if self.graph[x].is_const or not self._own(weight) or not self._own(bias):
            return False
        shape, axis = self.graph[weight].shape, op_of(node).weights[1]
        depth = self.graph[x].shape[-1]
        each = node.op == "DEPTHWISE_CONV_2D"
        if shape[-1] != depth and (node.op != "FULLY_CONNECTED" or shape[-1] % depth):
            return False  # groups, a depthwise multiplier
        self.columns.append((x, weight, len(shape) - 1, each))
        self.rows += [(node.outputs[0], weight, axis)] + ([(node.outputs[0], bias, 0)] if bias is not None else [])
        if node.attrs.get("activation", "NONE") not in _SAME_SIGN:
            self.pinned.add(node.outputs[0])
        return True

    def _norm(self, node: Node) -> bool:
        """Normalisations take any input scale only by themselves, but make channels by gamma and beta."""
        gamma = node.inputs[1] if len(node.inputs) > 1 else None
        beta = node.inputs[2] if len(node.inputs) > 2 else None
        if node.op not in _NORMS or gamma is None or not self._own(gamma) or not self._own(beta):
            return False
        self.pinned.add(str(node.inputs[0]))
        self.rows += [(node.outputs[0], n, len(self.graph[n].shape) - 1) for n in (gamma, beta) if n is not None]
        return self.graph[gamma].shape[-1] == self.graph[node.outputs[0]].shape[-1]

    def _factors(self, node: Node) -> bool:
        """MUL and ADD by a constant a channel (a normalisation's last steps where the engine has no such operator)."""
        if node.op not in {"ADD", "MUL"} or sum(self.graph[str(n)].is_const for n in node.inputs) != 1:
            return False
        constant, x = sorted((str(n) for n in node.inputs), key=lambda n: not self.graph[n].is_const)
        shape, out = self.graph[constant].shape, self.graph[node.outputs[0]]
        if not shape or shape[-1] != out.shape[-1] or self.graph[x].shape != out.shape or not self._own(constant):
            return False
        if node.attrs.get("activation", "NONE") not in _SAME_SIGN:
            self.pinned.add(node.outputs[0])
        self.rows.append((node.outputs[0], constant, len(shape) - 1))
        if node.op == "MUL":
            self.columns.append((x, constant, len(shape) - 1, False))
        else:
            self._unite(x, node.outputs[0])
        return True

    def _passed(self, node: Node, reals: list[str]) -> bool:
        """Operators that keep each channel where it is, with its scale."""
        if node.op not in _PASSES or node.attrs.get("activation", "NONE") not in _SAME_SIGN or not reals:
            return False
        y = self.graph[node.outputs[0]]
        sizes = {self.graph[n].shape[-1] if self.graph[n].shape else 1 for n in reals}
        if not y.shape or len(sizes) != 1:
            return False
        (size,), rank = sizes, len(self.graph[reals[0]].shape)
        if node.op in {"ADD", "SUB", "MUL"} and (len(reals) != (1 if node.op == "MUL" else 2) or y.shape[-1] != size):
            return False
        if node.op == "MUL":
            other = next(str(n) for n in node.inputs if n not in reals)
            if self.graph[other].elements != 1:
                return False
        if "axes" in node.attrs and rank - 1 in node.attrs["axes"]:
            return False
        if node.op == "PAD" and (node.attrs.get("value", 0.0) != 0 or any(node.attrs["pads"][-1])):
            return False
        if node.op == "TRANSPOSE" and node.attrs["perm"][-1] != rank - 1:
            return False
        if y.shape[-1] != size and (node.op != "RESHAPE" or y.shape[-1] % size):
            return False
        for name in reals:
            self._unite(name, y.name)
        return True
