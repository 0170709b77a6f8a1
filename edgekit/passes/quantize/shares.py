"""Attention's shares in 16 bits where eight lose them: softmaxes whose rows lie below a few steps of 1/256.

A share that is rounded to 1/256 is off by up to half a step whatever its size, and a product with n values adds up n such
errors: over 196 even shares the noise is 13 dB below the product. TFLite fixes the step of an int8 softmax, so these are made
in int16 (1/32768 a step) from the product of queries and keys on to the product with the values, whose int8 factors are
widened as they are. Every engine has those operators in both widths.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edgekit import metrics
from edgekit.graph import Graph, Node, Quant
from edgekit.passes.draft import Draft
from edgekit.passes.quantize.observe import Observations

STEP = 1 / 256  # of an int8 softmax
ENOUGH_DB = 20.0  # shares that int8 holds as well as this stay in eight bits: 16 take three times the memory
VIEWS = frozenset({"RESHAPE", "TRANSPOSE"})
SUMS = frozenset({"ADD", "SUB"})
MOST_APART = 2.0**13  # scales of a sum's inputs to its output's: half of what the kernels take
FACTOR = 128  # int8 less its zero point is 255 at most: times this it is an int16


def find(graph: Graph) -> list[str]:
    """The softmax outputs of a float graph that only products of two values read, moved before or not."""
    draft = Draft(graph)
    names = [node.outputs[0] for node in graph.nodes if node.op == "SOFTMAX"]
    return [name for name in names if draft[name].dtype == "float32" and _multiplied(draft, name)]


def coarse(graph: Graph, seen: Observations) -> dict[str, float]:
    """The softmaxes to be made in 16 bits: {output: dB of its rows over what steps of 1/256 lose, in the mean}."""
    held = {name: seen.tensors[name] for name in find(graph) if name in seen.tensors and seen.tensors[name].rows}
    decibels = {name: metrics.decibels(o.rows, o.lost) for name, o in held.items()}
    return {name: round(db, 1) for name, db in decibels.items() if db < ENOUGH_DB}


def _multiplied(draft: Draft, name: str) -> bool:
    users = [] if name in draft.sinks else draft.users(name)
    return bool(users) and all(
        user.op == "BATCH_MATMUL" or (user.op in VIEWS and _multiplied(draft, user.outputs[0])) for user in users
    )


def widen(graph: Graph, names: Collection[str]) -> Graph:
    """The integer graph with these int8 softmaxes, the scores before them and the products behind them in int16."""
    wide = _Wide(Draft(graph))
    for name in names:
        node = wide.draft.maker(name)
        if node is not None and node.op == "SOFTMAX" and wide.draft[name].dtype == "int8":
            scores = wide.made(str(node.inputs[0]))
            wide.remake(node, [scores], 1 / 32768)
            for user in wide.draft.users(name):
                wide.forward(user)
    return wide.draft.finish("shares in int16") if names else graph


class _Wide:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.forms: dict[str, str] = {}  # int8 values -> the same in int16

    def remake(self, node: Node, inputs: list[str], scale: float, name: str = "") -> None:
        """The node with int16 inputs and output; `name`: what it makes, else what it made before."""
        self.draft.drop(node)
        quant = Quant.per_tensor(scale, 0, "int16")
        self.draft.emit(node.op, inputs, node.attrs, node, (name or node.outputs[0],), [quant])

    def forward(self, node: Node) -> None:
        """A reader of shares."""
        y = self.draft[node.outputs[0]]
        if node.op in VIEWS:
            self.remake(node, [str(node.inputs[0])], 1 / 32768)
            for user in self.draft.users(y.name):
                self.forward(user)
        elif node.op == "BATCH_MATMUL" and y.quant is not None and y.dtype == "int8":
            inputs, wide = [self.as_it_is(str(n)) for n in node.inputs], self.draft.fresh(f"{y.name}_int16")
            self.remake(node, inputs, _reach(y.quant) / 32767, wide)
            self.draft.emit("QUANTIZE", (wide,), {}, node, (y.name,), [y.quant])

    def as_it_is(self, name: str) -> str:
        """The int8 value in int16, the same number for number."""
        tensor = self.draft[name]
        if tensor.quant is None or tensor.dtype != "int8":
            return name
        if name not in self.forms:
            quant = Quant.per_tensor(float(tensor.quant.scale[0]) / FACTOR, 0, "int16")
            if tensor.data is not None:
                data = (tensor.data.astype(np.int64) - tensor.quant.zero_point[0]) * FACTOR
                self.forms[name] = self.draft.const(f"{name}_int16", data.astype(np.int16), quant)
            else:
                self.forms[name] = self.draft.fresh(f"{name}_int16")
                at = self.draft.maker(name) or self.draft.users(name)[0]
                self.draft.emit("QUANTIZE", (name,), {"dtype": "int16"}, at, (self.forms[name],), [quant])
        return self.forms[name]

    def made(self, name: str) -> str:
        """Scores made in int16 where they are a product or a sum that nothing else reads; any other value is widened."""
        node, quant = self.draft.maker(name), self.draft[name].quant
        if node is None or quant is None or not self.draft.private(name):
            return self.as_it_is(name)
        before = [(n, q) for n in node.inputs if n is not None and (q := self.draft[n].quant) is not None]
        if len(before) != len(node.inputs) or any(q.dtype != "int8" for _, q in before):
            return self.as_it_is(name)
        scale = _reach(quant) / 32767
        if node.op in VIEWS:
            source = self.made(before[0][0])
            held = self.draft[source].quant
            assert held is not None
            self.remake(node, [source], float(held.scale[0]))
        elif node.op == "BATCH_MATMUL":
            self.remake(node, [self.as_it_is(n) for n, _ in before], scale)
        elif node.op in SUMS and node.attrs.get("activation", "NONE") == "NONE":
            if max(float(q.scale[0]) for _, q in before) / FACTOR > MOST_APART * scale:
                return self.as_it_is(name)
            self.remake(node, [self.made(n) for n, _ in before], scale)
        else:
            return self.as_it_is(name)
        return name


def _reach(quant: Quant) -> float:
    """The largest size of what an int8 Quant holds."""
    zero = int(quant.zero_point[0])
    return float(quant.scale[0]) * max(127 - zero, zero + 128)
