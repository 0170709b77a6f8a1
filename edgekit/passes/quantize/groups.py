"""Which values of a float graph must share a scale, which have a fixed one, and which nodes stay float.

Values that an operator only moves share one (union-find over the op table's "same" rule). Values with a fixed scale (softmax
and the like) keep it; where they meet others in such a group, a requantize is put between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np

from edgekit.fixedpoint import integer_range
from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.ops import op_of
from edgekit.ops.int16 import WIDE
from edgekit.ops.op import Op
from edgekit.passes.quantize import sound
from edgekit.passes.quantize.recurrent import origin, ties, wide_affine, wide_values
from edgekit.passes.quantize.scheme import SCHEMES, Affine, Scheme, affine

SATURATED = 1e30  # padding and clamp constants beyond this mean "the lowest (highest) value there is", not a range to hold
KEPT = "it was asked to (--keep-float)"
POLES = frozenset({"RSQRT", "RECIPROCAL", "LOG"})
POLE = "what it adds is less than a step of its integers, and keeps what reads it from infinity"
LONGEST_LOG_SOFTMAX = 4095  # a sum of as many exponentials, each at most 1, has 12 integer bits


def why_float(graph: Graph, node: Node, scheme: Scheme = SCHEMES["int8"]) -> str:
    """Why a node with float values cannot be made of integers; "" when it can."""
    op = op_of(node)
    if scheme.activations == "int16" and node.op not in WIDE:
        return f"{node.op} has no int16 meaning"
    if op.integer is None or op.quant == "none":
        return f"{node.op} has no int8 meaning"
    own_bias = [] if op.recurrent is None else [op.recurrent.recurrent_bias]
    for index in (i for i in (*op.weights, op.bias, *own_bias) if i is not None):
        tensor = graph.tensor(node.inputs[index]) if index < len(node.inputs) else None
        if tensor is not None and not tensor.is_const:
            return "its weights are not constant"
    if node.op == "LOG_SOFTMAX" and graph[node.outputs[0]].shape[-1] > LONGEST_LOG_SOFTMAX:
        return f"the sum of {graph[node.outputs[0]].shape[-1]} exponentials does not fit its 12 integer bits"
    if node.op == "DIV" and not _never_zero(graph[str(node.inputs[1])]):
        return "its divisor may round to zero"  # a range always holds zero, and integer kernels do not divide by it
    if node.op == "POW" and not (graph[str(node.inputs[1])].is_const and graph[str(node.inputs[1])].elements == 1):
        return "its exponent is not one constant"
    if node.op == "SCATTER_ND" and not _each_once(graph[str(node.inputs[0])]):
        return "it may add several values at one place"
    return ""


def _before_poles(graph: Graph, scheme: Scheme) -> list[str]:
    """Sums with a constant (a norm's epsilon) that only float nodes read which are infinite at zero."""
    readers = graph.consumers()
    return [
        node.outputs[0]
        for node in graph.nodes
        if node.op == "ADD"
        and any(n is not None and graph[n].is_const for n in node.inputs)
        and node.outputs[0] not in graph.outputs
        and (after := readers.get(node.outputs[0], []))
        and all(n.op in POLES and why_float(graph, n, scheme) for n in after)
    ]


def _each_once(indices: Tensor) -> bool:
    """True for constant indices of which no two are the same."""
    if indices.data is None:
        return False
    rows = indices.data.reshape(-1, indices.shape[-1])
    return len(np.unique(rows, axis=0)) == len(rows)


def _never_zero(divisor: Tensor) -> bool:
    """True for a constant of which no element becomes the zero point."""
    if not divisor.is_const:
        return False
    values = divisor.real()
    scale, _ = affine(float(values.min()), float(values.max()), "int8")
    return bool(np.all(np.abs(values) > 0.51 * scale))


class Groups:
    """The float graph's activations, united where one scale must hold for all (see `Op.quant`)."""

    def __init__(self, graph: Graph, scheme: Scheme, keep_float: Collection[str] = ()) -> None:
        self.graph, self.scheme = graph, scheme
        self.islands: dict[str, str] = dict.fromkeys(keep_float, KEPT)
        self.pins: dict[str, Affine] = {}  # outputs of fixed scale
        self.bounds: dict[str, list[float]] = {}  # constants and padding that a group must be able to hold
        self.parent: dict[str, str] = {}
        self.moving: list[Node] = []
        self.parts: dict[str, str] = {}  # a value within a CONCATENATION -> the value
        moves = [n for n in graph.nodes if op_of(n).quant == "same"]
        self.movers = Counter(name for n in moves for name in dict.fromkeys(n.inputs))
        self.sources: dict[str, None] = dict.fromkeys(n for n in graph.inputs if self._is_real(n))
        for name in self.sources:
            self.find(name)
        self.islands |= {n.outputs[0]: why for n in graph.nodes if op_of(n).recurrent and (why := why_float(graph, n, scheme))}
        self.islands |= dict.fromkeys(sound.front_end(graph), sound.WHY)
        self.islands |= dict.fromkeys(_before_poles(graph, scheme), POLE)
        self.wide = wide_values(graph, self.islands)
        self.widened: dict[str, str] = {}  # an int8 value where it is joined with wide ones -> the value that it is made of
        for node in graph.nodes:
            self._add(node)
        for state in graph.states:
            if self._is_real(state.input):
                self._unite(state.input, state.output)
                self._bound(state.input, state.init)

    def _is_real(self, name: str | None) -> bool:
        return name is not None and self.graph[name].dtype == "float32"

    def _add(self, node: Node) -> None:
        op = op_of(node)
        outputs = [n for n in node.outputs if self._is_real(n)]
        if not outputs and not any(self._is_real(n) for n in node.inputs):
            return  # works on ids
        why = why_float(self.graph, node, self.scheme) or self.islands.get(node.outputs[0], "")
        for name in outputs:
            self.find(name)
        if why:
            self.islands[node.outputs[0]] = why
            self.sources |= dict.fromkeys(outputs)
        elif op.quant == "fixed":
            self.pins |= dict.fromkeys(outputs, op.fixed[self.scheme.activations])
        elif op.quant == "same":
            self._move(node, op, outputs)
        elif op.recurrent is not None:
            self._recur(node, outputs)
        else:
            self.sources |= dict.fromkeys(outputs)
        if not why:
            for index in op.data_inputs(node):
                tensor = self.graph[str(node.inputs[index])]
                if tensor.is_const and self._is_real(tensor.name):
                    self.find(tensor.name)
                    self._bound(tensor.name, tensor.real())

    def _move(self, node: Node, op: Op, outputs: list[str]) -> None:
        self.moving.append(node)
        reals = [node.inputs[i] for i in op.data_inputs(node) if self._is_real(node.inputs[i])]
        whole = all(n in self.wide for n in outputs)  # moved in 16 bits
        joined = self._joined(node)
        for name in [*(n for n in reals if n is not None), *outputs]:
            if whole and name not in self.wide:
                self.widened[f"{name} in int16"] = origin(self.graph, name, self.graph.producers())
                self._unite(f"{name} in int16", outputs[0])
            else:
                self._unite(name if whole else joined.get(name) or self._narrow(name), outputs[0])
        if node.op == "PAD":
            self._bound(outputs[0], np.array([node.attrs.get("value", 0.0)]))

    def _joined(self, node: Node) -> dict[str, str]:
        """Inputs of a CONCATENATION that come from a value of fixed scale -> a name for what they are within it.

        They are requantized there, not where they were made: other readers (the box's part of a detector's sigmoid) keep
        the fine scale.
        """
        names = [n for n in dict.fromkeys(node.inputs) if n is not None and self._is_real(n)]
        held = {n: frozenset(self.pins[m] for m in self.pins if self.find(m) == self.find(n)) for n in names}
        if node.op != "CONCATENATION" or len(set(held.values())) == 1:
            return {}
        alone = [n for n in names if held[n] and n not in self.wide and self.movers[n] == 1]
        self.parts |= {f"{n} joined": n for n in alone}
        return {n: f"{n} joined" for n in alone}

    def _recur(self, node: Node, outputs: list[str]) -> None:
        """States: those of 8 bits share y's scale. A first state of another width is requantized when it is read."""
        self.sources |= dict.fromkeys(outputs)
        for _, first, last, kind in ties(node):
            if kind == "int8":
                self._unite(last, outputs[0])
            if first is not None and self._is_real(first) and (first in self.wide) == (kind == "int16"):
                self._unite(first, last)

    def _unite(self, a: str, b: str) -> None:
        self.parent[self.find(a)] = self.find(b)

    def _narrow(self, name: str) -> str:
        """The int8 form of a wide value, as a value of its own; any other is itself."""
        return f"{name} in int8" if name in self.wide else name

    def _bound(self, name: str, values: Array) -> None:
        held = values[np.abs(values) < SATURATED]
        self.bounds.setdefault(name, []).extend([float(held.min()), float(held.max())] if held.size else [])

    def find(self, name: str) -> str:
        """The value that stands for all that share its scale."""
        root = name
        while self.parent.setdefault(root, root) != root:
            root = self.parent[root]
        while self.parent[name] != root:
            self.parent[name], name = root, self.parent[name]
        return root

    def solve(self, sources: Mapping[str, tuple[float, float]]) -> tuple[dict[str, Affine], dict[str, Affine]]:
        """({tensor: scale and zero point}, {pinned tensor: what its movers read it in}) from the sources' ranges."""
        plain = {self._narrow(n): n for n in self.wide} | self.widened
        for name in plain:
            self.find(name)
        members: dict[str, list[str]] = {}
        for name in self.parent:
            members.setdefault(self.find(name), []).append(name)
        activations: dict[str, Affine] = {}
        requantize: dict[str, Affine] = {}
        within: dict[str, Affine] = {}

        def held(root: str, above: tuple[str, ...] = ()) -> list[float]:
            """The ends of what a group holds, its own fixed scales apart; above: groups whose part it is, left out."""
            names = members[root]
            found = [v for n in names for v in (*sources.get(plain.get(n, n), ()), *self.bounds.get(n, ()))]
            others = dict.fromkeys(self.find(self.parts[n]) for n in names if n in self.parts)
            for whole in (o for o in others if o not in (*above, root)):
                found += held(whole, (*above, root))
                found += [v for m in members[whole] if m in self.pins for v in self._reach(self.pins[m])]
            return found

        for root, names in members.items():
            free = held(root)
            if not self.wide.isdisjoint(names):
                activations |= dict.fromkeys(
                    [n for n in names if n not in plain], wide_affine(min([0.0, *free]), max([0.0, *free]))
                )
                continue
            pinned = {n: self.pins[n] for n in names if n in self.pins}
            group = self._pin_that_holds(pinned, free)
            if group is None:
                reach = [v for pin in pinned.values() for v in self._reach(pin)]
                group = affine(min([0.0, *free, *reach]), max([0.0, *free, *reach]), self.scheme.activations)
                requantize |= dict.fromkeys(pinned, group)
            activations |= {n: pinned.get(n, group) for n in names if n not in plain and n not in self.parts}
            requantize |= {plain[n]: group for n in names if n in plain}
            within |= {self.parts[n]: group for n in names if n in self.parts}
        requantize |= {n: group for n, group in within.items() if activations[n] != group}
        return activations, requantize

    def _pin_that_holds(self, pinned: Mapping[str, Affine], free: list[float]) -> Affine | None:
        """The one fixed scale of a group, when it is one and holds every other value of the group to half a step."""
        if len(set(pinned.values())) != 1:
            return None
        pin = next(iter(pinned.values()))
        low, high = self._reach(pin)
        return pin if all(low - pin[0] / 2 <= v <= high + pin[0] / 2 for v in free) else None

    def _reach(self, pin: Affine) -> tuple[float, float]:
        smallest, largest = integer_range(self.scheme.activations)
        return pin[0] * (smallest - pin[1]), pin[0] * (largest - pin[1])
