"""16-bit activations for some nodes of an integer network: one graph from two quantizations of the same float graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edgekit.errors import BadConfig, BadModel
from edgekit.graph import Graph, Node, Tensor, build, fresh
from edgekit.ops import op_of
from edgekit.ops.int16 import WIDE
from edgekit.passes.draft import same_quant

BETWEEN = frozenset({"QUANTIZE", "DEQUANTIZE"})  # what `apply` puts between nodes; a float graph has none


def mixed(graph: Graph, plain: Graph, wide: Graph, names: Collection[str]) -> Graph:
    """The nodes with these first outputs as `wide` has them, all others as `plain` has them, QUANTIZE where they meet.

    graph: the float graph that both were made of by `apply`. The edge of the network is plain's. Raises BadConfig, listing all
    nodes that have no 16 bits, BadModel for a graph with states.
    """
    if graph.states:
        raise BadModel(f"'{graph.name}' carries values from run to run, in one width", "--scheme int16x8, or without --int16")
    lacking = [n.source or n.outputs[0] for n in graph.nodes if n.outputs[0] in names and not is_wide(wide, n)]
    if lacking:
        able = ", ".join(sorted(WIDE & {n.op for n in graph.nodes if is_wide(wide, n)}))
        fix = f"of this model's operators they are there for {able}" if able else "none of this model's operators has them"
        raise BadConfig(f"--int16: no 16 bits for {', '.join(lacking)}", fix)
    return _Splice(graph, plain, wide, frozenset(names)).run()


def is_wide(wide: Graph, node: Node) -> bool:
    """True when a float node became one of int16 values in `wide`."""
    made = [wide.tensors.get(form) for name in node.outputs for form in (name, f"{name}_int16")]
    kinds = {t.dtype for t in made if t is not None}
    return node.op in WIDE and "int16" in kinds and bool(op_of(node).integer)


class _Splice:
    def __init__(self, graph: Graph, plain: Graph, wide: Graph, names: frozenset[str]) -> None:
        self.graph, self.plain, self.wide, self.names = graph, plain, wide, names
        self.made: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.native: dict[str, str] = {}  # a float value -> its name here as it was made
        self.forms: dict[str, list[str]] = {}  # and all its forms
        self.consts: dict[tuple[bool, str], str] = {}

    def run(self) -> Graph:
        for name in self.graph.inputs:
            self._declare(name, self.plain[name])
        sides = [[n for n in side.nodes if n.op not in BETWEEN] for side in (self.plain, self.wide)]
        for node, own, other in zip(self.graph.nodes, *sides, strict=True):
            chosen = node.outputs[0] in self.names
            home, form = (self.wide, other) if chosen else (self.plain, own)
            inputs = [self._read(v, n, home) for v, n in zip(node.inputs, form.inputs, strict=True)]
            for value, name in zip(node.outputs, form.outputs, strict=True):
                self._declare(value, home[name])
            outputs = tuple(self.native[value] for value in node.outputs)
            self.nodes.append(replace(form, inputs=tuple(inputs), outputs=outputs))
        for name in self.graph.outputs:
            if self.plain[name].is_const:
                self.made[name] = self.plain[name]
            elif name not in self.made:
                self._form(name, self.plain[name])
        step = f"int16 {len(self.names)} nodes"
        rest = {"contract": self.plain.contract, "history": (*self.plain.history, step)}
        return build(self.plain.name, self.plain.inputs, self.plain.outputs, self.nodes, self.made, **rest)

    def _read(self, value: str | None, name: str | None, home: Graph) -> str | None:
        if value is None or name is None:
            return None
        if not home[name].is_const:
            return self._form(value, home[name])
        key = (home is self.wide, name)
        if key not in self.consts:
            own = name if name not in self.made else self._fresh(name, home[name])
            self.made[own] = replace(home[name], name=own)
            self.consts[key] = own
        return self.consts[key]

    def _declare(self, value: str, tensor: Tensor) -> None:
        """A value as it is made. It bears the float value's name, unless the edge of the network wants that in another form."""
        kept = value not in {*self.graph.inputs, *self.graph.outputs} or _alike(tensor, self.plain[value])
        own = value if kept and value not in self.made else self._fresh(value, tensor)
        self.made[own] = replace(tensor, name=own)
        self.native[value], self.forms[value] = own, [own]

    def _form(self, value: str, like: Tensor) -> str:
        """The value held as `like` holds it."""
        for name in self.forms[value]:
            if _alike(self.made[name], like):
                return name
        asked = value in self.graph.outputs and value not in self.made and _alike(like, self.plain[value])
        own = value if asked else self._fresh(value, like)
        self.made[own] = replace(like, name=own, data=None)
        self.forms[value].append(own)
        op = "DEQUANTIZE" if like.dtype == "float32" else "QUANTIZE"
        attrs = {"dtype": like.dtype} if op == "QUANTIZE" and like.dtype != "int8" else {}
        self.nodes.append(Node(op, (self.native[value],), (own,), attrs, value))
        return own

    def _fresh(self, name: str, tensor: Tensor) -> str:
        kind = tensor.dtype if tensor.quant is not None else "float"
        return fresh({**self.graph.tensors, **self.made}, f"{name}_{kind}")


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and same_quant(a, b)
