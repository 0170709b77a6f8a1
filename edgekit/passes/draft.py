"""A Graph opened for editing: what rewriting passes share.

A rule is a function (Draft, Node) -> bool that looks at one node, edits the draft and says whether it did. `sweep` applies
rules until none fires. Nodes are named by their first output, which a graph never writes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.graph import Array, Graph, Node, Quant, Shape, Tensor, build, const
from edgekit.ops import infer

Rule = Callable[["Draft", Node], bool]


class Draft:
    """Nodes, values, makers and readers of a graph, editable; `finish` gives a checked Graph in execution order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.nodes: dict[str, Node] = {}
        self._rank: dict[str, int] = {}
        self._maker: dict[str, str] = {}
        self._readers: dict[str, dict[str, None]] = {}
        self._counter: dict[str, int] = {}
        # Names that must survive with their shape: the graph's edge.
        self.sources = {*graph.inputs, *(s.input for s in graph.states)}
        self.sinks = {*graph.outputs, *(s.output for s in graph.states)}
        for rank, node in enumerate(graph.nodes):
            self._insert(node, rank)

    # -- reading ------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str | None) -> Tensor:
        assert name is not None
        return self.tensors[name]

    def maker(self, name: str | None) -> Node | None:
        """The node that makes a value; None for inputs, constants and absent inputs."""
        key = None if name is None else self._maker.get(name)
        return None if key is None else self.nodes[key]

    def users(self, name: str) -> list[Node]:
        """The nodes that read a value."""
        return [self.nodes[key] for key in self._readers.get(name, {})]

    def private(self, name: str | None) -> bool:
        """True when exactly one node reads the value (once) and the outside world does not."""
        if name is None or name in self.sinks:
            return False
        users = self.users(name)
        return len(users) == 1 and users[0].inputs.count(name) == 1

    def private_maker(self, name: str | None) -> Node | None:
        """The node that makes a value nobody else reads, or None."""
        return self.maker(name) if self.private(name) else None

    def is_const(self, name: str | None) -> bool:
        return name is not None and self.tensors[name].is_const

    def data(self, name: str | None) -> Array:
        """A constant's array."""
        data = self[name].data
        assert data is not None
        return data

    def is_float(self, node: Node) -> bool:
        """True when no value of the node is quantized."""
        return all(n is None or self.tensors[n].quant is None for n in (*node.inputs, *node.outputs))

    # -- editing ------------------------------------------------------------------------------------------------------

    def fresh(self, base: str) -> str:
        """A name no value has."""
        name = base
        while name in self.tensors:
            self._counter[base] = self._counter.get(base, 0) + 1
            name = f"{base}_{self._counter[base]}"
        return name

    def const(self, base: str, data: Array | np.generic, quant: Quant | None = None, dtype: str | None = None) -> str:
        """Add a constant; its name, made from `base`."""
        name = self.fresh(base)
        self.tensors[name] = const(name, np.asarray(data), quant, dtype)
        return name

    def emit(
        self,
        op: str,
        inputs: Sequence[str | None],
        attrs: Mapping[str, Any],
        at: Node,
        names: Sequence[str],
        quants: Sequence[Quant | None] | None = None,
    ) -> Node:
        """Add a node near `at` (its place and source), with inferred output shapes. `names` must have no maker now."""
        node = Node(op, tuple(inputs), tuple(names), dict(attrs), at.source)
        given = [None if n is None else self.tensors[n] for n in node.inputs]
        shapes = infer(node, given)
        for i, (name, (shape, dtype)) in enumerate(zip(names, shapes, strict=True)):
            quant = quants[i] if quants is not None else None
            before = self.tensors.get(name)
            if before is not None and name in self.sinks:
                assert before.shape == shape, f"a pass changed the shape of '{name}': {before.shape} -> {shape}"
            self.tensors[name] = Tensor(name, shape, dtype, None, quant)
        self._insert(node, self._rank.get(at.outputs[0], len(self._rank)))
        return node

    def change(self, node: Node, **fields: Any) -> Node:
        """Replace a node by one that differs in inputs or attrs (not in outputs, not in their shapes)."""
        new = replace(node, **fields)
        rank = self._rank[node.outputs[0]]
        self.drop(node)
        self._insert(new, rank)
        return new

    def drop(self, node: Node) -> None:
        """Remove a node; its outputs have no maker until another takes them."""
        del self.nodes[node.outputs[0]]
        for name in node.outputs:
            del self._maker[name]
        for read in node.inputs:
            if read is not None:
                self._readers[read].pop(node.outputs[0], None)

    def bypass(self, node: Node, value: str) -> bool:
        """Let every reader of the node's only output read `value` (same shape, dtype) instead; False when it cannot be.

        An output of the graph keeps its name: the maker of `value` takes it over, where that is possible.
        """
        old = node.outputs[0]
        if old not in self.sinks:
            for user in self.users(old):
                self.change(user, inputs=tuple(value if n == old else n for n in user.inputs))
            self.drop(node)
            return True
        maker = self.maker(value)
        if maker is None or value in self.sinks or value in self.sources:
            return False
        quant = self.tensors[value].quant
        readers = [u for u in self.users(value) if u is not node]
        self.drop(node)
        rank = self._rank[maker.outputs[0]]
        self.drop(maker)
        self.tensors[old] = replace(self.tensors[old], quant=quant)
        self._insert(replace(maker, outputs=tuple(old if n == value else n for n in maker.outputs)), rank)
        for user in readers:
            self.change(user, inputs=tuple(old if n == value else n for n in user.inputs))
        return True

    def _insert(self, node: Node, rank: int) -> None:
        key = node.outputs[0]
        assert key not in self.nodes, f"'{key}' is made twice"
        self.nodes[key] = node
        self._rank[key] = rank
        for name in node.outputs:
            self._maker[name] = key
        for read in node.inputs:
            if read is not None:
                self._readers.setdefault(read, {})[key] = None

    # -- leaving ------------------------------------------------------------------------------------------------------

    def ordered(self) -> list[Node]:
        """The nodes an output needs, in execution order, as near to the original order as dependencies allow."""
        done: set[str] = set()
        order: list[Node] = []
        alive = self._alive()
        for start in sorted(alive, key=lambda key: self._rank[key]):
            stack = [start]
            while stack:
                key = stack[-1]
                if key in done:
                    stack.pop()
                    continue
                waits = [m for n in self.nodes[key].inputs if n is not None and (m := self._maker.get(n)) and m not in done]
                if waits:
                    stack += reversed(waits)
                else:
                    done.add(key)
                    order.append(self.nodes[stack.pop()])
        return order

    def _alive(self) -> list[str]:
        seen: dict[str, None] = {}
        stack = [self._maker[name] for name in sorted(self.sinks) if name in self._maker]
        while stack:
            key = stack.pop()
            if key not in seen:
                seen[key] = None
                stack += [self._maker[n] for n in self.nodes[key].inputs if n is not None and n in self._maker]
        return [key for key in self.nodes if key in seen]

    def finish(self, step: str) -> Graph:
        """The edited graph, checked."""
        graph = self.graph
        return build(
            graph.name,
            graph.inputs,
            graph.outputs,
            self.ordered(),
            self.tensors,
            states=graph.states,
            contract=graph.contract,
            history=(*graph.history, step),
        )


def sweep(draft: Draft, rules: Sequence[Rule]) -> int:
    """Apply rules, in order, to every node until none fires; the number of edits. Raises RuntimeError if that never ends."""
    edits = 0
    for _ in range(1000):
        before = edits
        live = draft.ordered()
        keep = {node.outputs[0] for node in live}
        for key in [key for key in draft.nodes if key not in keep]:
            draft.drop(draft.nodes[key])
        for node in live:
            for rule in rules:
                current = draft.nodes.get(node.outputs[0])
                if current is None:
                    break
                edits += rule(draft, current)
        if edits == before:
            return edits
    raise RuntimeError(f"rewriting '{draft.graph.name}' does not end")


def same_quant(a: Tensor, b: Tensor) -> bool:
    """True when two values hold real numbers the same way."""
    return b.quant is None if a.quant is None else a.quant.same_as(b.quant)


def per_channel_vector(data: Array, shape: Shape, channels: int) -> Array | None:
    """A constant that broadcasts along the last axis of `shape` only, as a vector of `channels`; None when it does not."""
    if data.size not in {1, channels} or len(data.shape) > len(shape):
        return None
    if data.size != 1 and data.shape[-1] != channels:
        return None
    return np.broadcast_to(data.reshape(-1).astype(np.float64), (channels,))
