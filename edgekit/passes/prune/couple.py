"""Which indices of which axes must be left out together.

Every index of every axis of every value is a place. Places that stand for one channel are one class (found by union over the
nodes, from `Op.coupled` and the rules here); where an axis is made of several others (a flattened image, the heads of
attention, the groups of a convolution) its places are products of theirs: one goes when any of its factors goes. What touches
the network's edge, or an axis that no rule knows, is frozen. A unit is a class that may go, with all that goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.ops import TABLE, op_of
from edgekit.ops.spatial import block_of
from edgekit.passes.simplify.blocks import blocks_of

Axis = tuple[str, int]


@dataclass(frozen=True)
class Unit:
    """What goes together: {(tensor name, axis): indices}."""

    places: dict[Axis, tuple[int, ...]]


@dataclass(frozen=True)
class Group:
    """Units of one kind, which compete: the channels of a layer (and of those added to it), neurons, heads, states.

    name: of the layer that makes them. kind: "channels", "heads" (one takes several places of a layer with it), "groups" (of a
    convolution or a norm) or "units".
    axes: where each unit has one index.
    """

    name: str
    kind: str
    axes: tuple[Axis, ...]
    units: tuple[Unit, ...]

    @property
    def size(self) -> int:
        return len(self.units)


class Coupling:
    """The classes of a graph's places. `groups()` is what may go."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._count = 0
        self._first: dict[Axis, int] = {}
        for name, tensor in graph.tensors.items():
            for axis, size in enumerate(tensor.shape):
                self._first[name, axis] = self._count
                self._count += size
        self._parent = list(range(self._count))
        self._frozen: set[int] = set()
        self._products: list[tuple[Array, list[Array]]] = []
        for name in (*graph.inputs, *graph.outputs):
            for axis in range(len(graph[name].shape)):
                self.freeze(self.at(name, axis))
        for state in graph.states:  # what is carried out of a run is carried into the next
            for axis in range(len(graph[state.input].shape)):
                self.join(self.at(state.input, axis), self.at(state.output, axis))
        for node in graph.nodes:
            self._couple(node)

    # -- what the rules say -------------------------------------------------------------------------------------------

    def at(self, name: str, axis: int) -> Array:
        """The places of an axis, int64[size]."""
        first = self._first[name, axis]
        return np.arange(first, first + self.graph[name].shape[axis])

    def virtual(self, size: int) -> Array:
        """Places of an axis that no value has: the groups of a convolution, the gates of a cell."""
        first = self._count
        self._count += size
        self._parent += range(first, self._count)
        return np.arange(first, self._count)

    def join(self, *places: Array) -> None:
        """Index i of each goes with index i of the others."""
        for other in places[1:]:
            for a, b in zip(places[0].tolist(), other.tolist(), strict=True):
                a, b = self._root(a), self._root(b)
                if a != b:
                    self._parent[max(a, b)] = min(a, b)

    def freeze(self, places: Array) -> None:
        self._frozen.update(places.tolist())

    def product(self, whole: Array, *factors: Array) -> None:
        """Place (i, j, ...) of `whole`, in row-major order, goes when i, j, ... of any factor goes."""
        self._products.append((whole.reshape([f.size for f in factors]), list(factors)))

    def _root(self, place: int) -> int:
        while self._parent[place] != place:
            self._parent[place] = self._parent[self._parent[place]]
            place = self._parent[place]
        return place

    def _couple(self, node: Node) -> None:
        ins, outs = self.graph.input_tensors(node), self.graph.output_tensors(node)
        known: set[Axis] = set()
        rule = op_of(node).coupled
        if rule is not None and node.op != "RESHAPE":
            for group in rule(node, ins, outs):
                known |= set(group)
                self.join(*(self.at(*axis) for axis in dict.fromkeys(group)))
        if node.op in RULES:
            known |= set(RULES[node.op](self, node, ins, outs))
        for tensor in (*ins, *outs):
            for axis in range(0 if tensor is None else len(tensor.shape)):
                assert tensor is not None
                if (tensor.name, axis) not in known:
                    self.freeze(self.at(tensor.name, axis))

    # -- what follows -------------------------------------------------------------------------------------------------

    def groups(self) -> list[Group]:
        """The units that may go, in the order of the layers that make them. Axes of one index are left alone."""
        roots = np.array([self._root(p) for p in range(self._count)], np.int64)
        products = [(roots[whole], [roots[f] for f in factors]) for whole, factors in self._products]
        frozen = {int(roots[p]) for p in self._frozen}
        size = -1
        while size != len(frozen):
            size = len(frozen)
            for whole, factors in products:
                stuck = np.isin(whole, list(frozen))
                for axis, factor in enumerate(factors):
                    others = tuple(i for i in range(whole.ndim) if i != axis)
                    frozen.update(factor[stuck.any(axis=others)].tolist())
        made = {int(r) for whole, _ in products for r in whole.reshape(-1)}
        where: dict[int, list[tuple[Axis, int]]] = {}
        for key, first in self._first.items():
            for index, root in enumerate(roots[first : first + self.graph[key[0]].shape[key[1]]].tolist()):
                where.setdefault(root, []).append((key, index))
        virtual = {int(r) for r in roots} - set(where)
        closure = _Closure(products, frozen)
        # By where units have a place of their own; the second part is True for those that have none (groups).
        found: dict[tuple[tuple[Axis, ...], bool], list[Unit]] = {}
        for root in sorted({*where, *virtual} - frozen - made):
            gone = closure.of(root)
            if gone is None:
                continue
            places: dict[Axis, list[int]] = {}
            for place in sorted(gone):
                for key, index in where.get(place, ()):
                    places.setdefault(key, []).append(index)
            own = tuple(dict.fromkeys(key for key, _ in where.get(root, ())))
            unit = Unit({key: tuple(sorted(set(indices))) for key, indices in places.items()})
            found.setdefault((own or tuple(places), not own), []).append(unit)
        groups = [self._group(axes, units, apart) for (axes, apart), units in found.items() if len(units) > 1]
        rank = {name: i for i, name in enumerate(n for node in self.graph.nodes for n in node.outputs)}
        return sorted(groups, key=lambda g: min(rank.get(name, len(rank)) for name, _ in g.axes))

    def _group(self, axes: tuple[Axis, ...], units: list[Unit], apart: bool) -> Group:
        last = {name for name, axis in axes if axis == len(self.graph[name].shape) - 1 and not self.graph[name].is_const}
        names = {name for name, _ in axes}
        maker = next(
            (n for n in self.graph.nodes if TABLE[n.op].weights and (names & {*n.outputs, n.inputs[1]})),
            next((n for n in self.graph.nodes if names & {*n.outputs}), self.graph.nodes[0]),
        )
        wide = any(len(indices) > 1 for indices in units[0].places.values())
        kind = "groups" if apart else "channels" if last else "heads" if wide else "units"
        return Group(maker.source or maker.outputs[0], kind, axes, tuple(units))


class _Closure:
    """All that goes with a class."""

    def __init__(self, products: list[tuple[Array, list[Array]]], frozen: set[int]) -> None:
        self.products, self.frozen = products, frozen
        self.factor_of: dict[int, set[int]] = {}
        self.part_of: dict[int, set[int]] = {}
        for number, (whole, factors) in enumerate(products):
            for root in whole.reshape(-1).tolist():
                self.part_of.setdefault(root, set()).add(number)
            for factor in factors:
                for root in factor.tolist():
                    self.factor_of.setdefault(root, set()).add(number)

    def of(self, root: int) -> set[int] | None:
        """The classes that go when `root` goes; None when that would take a frozen one, or part of a product with no factor."""
        gone, todo = {root}, [root]
        touched: set[int] = set()
        while todo:
            numbers = {n for r in todo for n in (*self.factor_of.get(r, ()), *self.part_of.get(r, ()))}
            touched |= numbers
            todo = []
            for number in numbers:
                whole, factors = self.products[number]
                list_gone = list(gone)
                removed = np.isin(whole, list_gone)
                for axis, factor in enumerate(factors):
                    shape = [-1 if i == axis else 1 for i in range(whole.ndim)]
                    removed = removed | np.isin(factor, list_gone).reshape(shape)
                    # A factor all of whose places went has gone too.
                    others = tuple(i for i in range(whole.ndim) if i != axis)
                    todo += [r for r in factor[removed.all(axis=others)].tolist() if r not in gone]
                todo += [r for r in whole[removed].tolist() if r not in gone]
            gone |= set(todo)
        if gone & self.frozen:
            return None
        for number in touched:
            whole, factors = self.products[number]
            covered = np.zeros(whole.shape, bool)
            for axis, factor in enumerate(factors):
                covered |= np.isin(factor, list(gone)).reshape([-1 if i == axis else 1 for i in range(whole.ndim)])
            if not np.array_equal(covered, np.isin(whole, list(gone))):
                return None
        return gone


# Rules ---------------------------------------------------------------------------------------------------------------
# Each couples axes that `Op.coupled` leaves out, and returns those it knows.

Rule = Callable[[Coupling, Node, Sequence[Tensor | None], Sequence[Tensor]], list[Axis]]


def _names(*tensors: Tensor | None) -> list[str]:
    return [t.name for t in tensors if t is not None]


def _optional(ins: Sequence[Tensor | None], index: int) -> Tensor | None:
    return ins[index] if index < len(ins) else None


def _reshape(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    x, y = ins[0], outs[0]
    assert x is not None
    known: list[Axis] = []
    for block in blocks_of(x.shape, y.shape) or []:
        before = [(x.name, a) for a in block.before if x.shape[a] > 1]
        after = [(y.name, a) for a in block.after if y.shape[a] > 1]
        known += [*before, *after]
        left, right = [c.at(*axis) for axis in before], [c.at(*axis) for axis in after]
        if len(left) == len(right) == 1:
            c.join(left[0], right[0])
        elif len(left) == 1:
            c.product(left[0], *right)
        elif len(right) == 1:
            c.product(right[0], *left)
        elif left:
            whole = c.virtual(int(np.prod([p.size for p in left])))
            c.product(whole, *left)
            c.product(whole, *right)
    return known


def _concatenation(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """CONCATENATION and SPLIT, along their axis."""
    axis = int(node.attrs["axis"])
    whole, parts = (outs[0], ins) if node.op == "CONCATENATION" else (ins[0], outs)
    names = _names(*parts)
    assert whole is not None
    c.join(c.at(whole.name, axis), np.concatenate([c.at(name, axis) for name in names]))
    return [(name, axis) for name in (whole.name, *names)]


def _slice(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    (name,), y = _names(ins[0]), outs[0]
    known: list[Axis] = []
    for axis, (begin, stride) in enumerate(zip(node.attrs["begin"], node.attrs["stride"], strict=True)):
        if abs(int(stride)) == 1:
            places = int(begin) + int(stride) * np.arange(y.shape[axis])
            c.join(c.at(y.name, axis), c.at(name, axis)[places])
            known += [(name, axis), (y.name, axis)]
    return known


def _pad(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    (name,), y = _names(ins[0]), outs[0]
    known: list[Axis] = []
    for axis, (before, after) in enumerate(node.attrs["pads"]):
        if before or after:
            c.join(c.at(name, axis), c.at(y.name, axis)[int(before) : y.shape[axis] - int(after)])
            known += [(name, axis), (y.name, axis)]
    return known


def _gather(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """Rows that a constant names."""
    x, indices = ins[0], ins[1]
    assert x is not None
    assert indices is not None
    if indices.data is None or len(indices.shape) != 1:
        return []
    axis = int(node.attrs.get("axis", 0))
    c.join(c.at(outs[0].name, axis), c.at(x.name, axis)[indices.data.astype(np.int64)])
    return [(x.name, axis), (outs[0].name, axis)]


def _dense(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """Several trailing axes of the input as the inputs of one row."""
    x, w = ins[0], ins[1]
    assert x is not None
    assert w is not None
    if x.shape[-1] == w.shape[1]:
        return []
    for first in range(len(x.shape)):
        axes = [(x.name, axis) for axis in range(first, len(x.shape))]
        if int(np.prod(x.shape[first:])) == w.shape[1]:
            c.product(c.at(w.name, 1), *(c.at(*axis) for axis in axes))
            return [*axes, (w.name, 1)]
    return []


def _convolution(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """Grouped ones: channels are (group, channel of the group), in and out."""
    x, w, y = ins[0], ins[1], outs[0]
    assert x is not None
    assert w is not None
    if w.shape[3] == x.shape[3]:
        return []
    groups = c.virtual(x.shape[3] // w.shape[3])
    bias = _names(_optional(ins, 2))
    c.product(c.at(x.name, 3), groups, c.at(w.name, 3))
    c.join(c.at(w.name, 0), c.at(y.name, 3), *(c.at(name, 0) for name in bias))
    c.product(c.at(w.name, 0), groups, c.virtual(w.shape[0] // groups.size))
    return [(x.name, 3), (w.name, 3), (w.name, 0), (y.name, 3), *((name, 0) for name in bias)]


def _depthwise(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """With a multiplier: output channels are (input channel, one of its own)."""
    x, w, y = ins[0], ins[1], outs[0]
    assert x is not None
    assert w is not None
    if w.shape[3] == x.shape[3]:
        return []
    bias = _names(_optional(ins, 2))
    c.join(c.at(w.name, 3), c.at(y.name, 3), *(c.at(name, 0) for name in bias))
    c.product(c.at(w.name, 3), c.at(x.name, 3), c.virtual(w.shape[3] // x.shape[3]))
    return [(x.name, 3), (w.name, 3), (y.name, 3), *((name, 0) for name in bias)]


def _recurrent(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """LSTM, GRU, RNN: a unit has a row of each gate in w, r and b, a column in r, and its places in y and the states."""
    x, w, r, y = ins[0], ins[1], ins[2], outs[0]
    assert x is not None
    assert w is not None
    assert r is not None
    units = c.at(r.name, 1)
    gates = c.virtual(w.shape[0] // units.size)
    c.freeze(gates)
    known: list[Axis] = [(x.name, 2), (w.name, 1), (r.name, 1), (y.name, 2), (x.name, 0), (y.name, 0), (x.name, 1), (y.name, 1)]
    c.join(c.at(x.name, 2), c.at(w.name, 1))
    c.join(c.at(x.name, 1), c.at(y.name, 1))
    c.join(c.at(x.name, 0), c.at(y.name, 0))
    c.join(units, c.at(y.name, 2))
    for name in _names(w, r, _optional(ins, 3)):
        c.product(c.at(name, 0), gates, units)
        known.append((name, 0))
    for tensor in (*outs[1:], *ins[4:]):
        if tensor is not None:
            c.join(units, c.at(tensor.name, len(tensor.shape) - 1))
            known.append((tensor.name, len(tensor.shape) - 1))
            if len(tensor.shape) == 2:
                c.join(c.at(x.name, 0), c.at(tensor.name, 0))
                known.append((tensor.name, 0))
    return known


def _group_norm(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """Whole groups may go: the others' statistics stay the same."""
    x, y = ins[0], outs[0]
    assert x is not None
    last = len(x.shape) - 1
    inner = c.virtual(x.shape[last] // int(node.attrs["groups"]))
    c.freeze(inner)
    side = [(name, 0) for name in _names(*ins[1:])]
    axes = [(x.name, last), (y.name, last), *side]
    c.join(*(c.at(*axis) for axis in axes))
    c.product(c.at(x.name, last), c.virtual(int(node.attrs["groups"])), inner)
    return axes


def _width(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """LAYER_NORM, RMS_NORM over the last axis: what is left is normalised as if the rest were zero (see `cut`)."""
    x, y = ins[0], outs[0]
    assert x is not None
    last = len(x.shape) - 1
    if int(node.attrs["axis"]) != last:
        return []
    axes = [(x.name, last), (y.name, last), *((name, 0) for name in _names(*ins[1:]))]
    c.join(*(c.at(*axis) for axis in axes))
    return axes


def _space(c: Coupling, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Axis]:
    """DEPTH_TO_SPACE, SPACE_TO_DEPTH: the deep side's channels are (place in the block, channel)."""
    (name,), y = _names(ins[0]), outs[0].name
    deep, flat = (name, y) if node.op == "DEPTH_TO_SPACE" else (y, name)
    places = c.virtual(block_of(node) ** 2)
    c.freeze(places)
    c.product(c.at(deep, 3), places, c.at(flat, 3))
    return [(name, 3), (y, 3)]


RULES: dict[str, Rule] = {
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "SPLIT": _concatenation,
    "SLICE": _slice,
    "PAD": _pad,
    "GATHER": _gather,
    "FULLY_CONNECTED": _dense,
    "CONV_2D": _convolution,
    "TRANSPOSE_CONV": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "GROUP_NORM": _group_norm,
    **dict.fromkeys(("LAYER_NORM", "RMS_NORM"), _width),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), _space),
}
