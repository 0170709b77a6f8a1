"""Recurrent layers step by step in plain operators, for engines that lack them.

A few steps, as in streaming, are unrolled. More of them become a loop (see `ops.recurrent_step`): a step is a dozen operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.graph import Graph, Node
from edgekit.ops.recurrent import GATES
from edgekit.passes.draft import Draft

MOST_STEPS = 4


def short(graph: Graph | Draft, node: Node) -> bool:
    """True for a recurrent node of few enough steps."""
    return node.op in {"LSTM", "GRU", "RNN"} and graph[str(node.inputs[0])].shape[1] <= MOST_STEPS


def unroll(draft: Draft, node: Node) -> bool:
    """GRU and RNN, and an LSTM whose states are given or read, of at most MOST_STEPS steps."""
    if not short(draft, node) or not draft.is_float(node) or not all(draft.is_const(n) for n in node.inputs[1:4] if n):
        return False
    if node.op == "LSTM" and all(n is None for n in node.inputs[4:]) and not _read(draft, node.outputs[2]):
        return False  # the builtin will do
    _Steps(draft, node).run()
    return True


def _read(draft: Draft, name: str) -> bool:
    return bool(draft.users(name)) or name in draft.sinks


class _Steps:
    """The operators of one node, under construction."""

    def __init__(self, draft: Draft, node: Node) -> None:
        self.draft, self.node = draft, node
        self.x, self.w, self.r, self.bias, self.h, self.sixth = [*node.inputs, None, None, None][:6]
        self.batch, self.steps, _ = draft[self.x].shape
        self.units = draft[self.r].shape[1]

    def op(self, op: str, *inputs: str | None, **attrs: Any) -> str:
        return self.many(op, inputs, 1, **attrs)[0]

    def many(self, op: str, inputs: tuple[str | None, ...], count: int, **attrs: Any) -> list[str]:
        names: list[str] = []
        for _ in range(count):
            name = self.draft.fresh(f"{self.node.outputs[0]}_{op.lower()}")
            while name in names:
                name = self.draft.fresh(f"{name}_next")
            names.append(name)
        self.draft.emit(op, inputs, attrs, self.node, tuple(names))
        return names

    def parts(self, x: str, *units: int) -> list[str]:
        return self.many("SPLIT", (x,), len(units), axis=1, sizes=tuple(n * self.units for n in units))

    def dense(self, x: str, rows: slice, bias: bool = True) -> str:
        """x times rows of the recurrent weights, with GRU's own bias of the last gate."""
        base, data = self.node.outputs[0], self.draft.data(self.r)[rows]
        inputs = [x, self.draft.const(f"{base}_back", np.ascontiguousarray(data))]
        if bias and self.node.op == "GRU" and self.sixth is not None:
            own = np.zeros(len(data), np.float32)
            own[-self.units :] = self.draft.data(self.sixth)
            inputs.append(self.draft.const(f"{base}_back_bias", own))
        return self.op("FULLY_CONNECTED", *inputs)

    def run(self) -> None:
        draft, node = self.draft, self.node
        draft.drop(node)
        bias = () if self.bias is None else (self.bias,)
        forward = self.op("FULLY_CONNECTED", self.x, self.w, *bias, keep_dims=True)
        wide = draft[forward].shape[2]
        h, c = self.h, self.sixth if node.op == "LSTM" else None
        made: dict[int, str] = {}
        order = range(self.steps - 1, -1, -1) if node.attrs.get("reverse", False) else range(self.steps)
        for t in order:
            now = forward
            if self.steps > 1:
                now = self.op("SLICE", forward, begin=(0, t, 0), size=(self.batch, 1, wide), stride=(1, 1, 1))
            now = self.op("RESHAPE", now, shape=(self.batch, wide))
            if node.op == "LSTM":
                h, c = self.lstm(now, h, c)
            else:
                h = self.gru(now, h) if node.op == "GRU" else self.rnn(now, h)
            made[t] = self.op("RESHAPE", h, shape=(self.batch, 1, self.units))
        rows = [made[t] for t in sorted(made)]
        shape = (self.batch, self.steps, self.units)
        if len(rows) > 1:
            draft.emit("CONCATENATION", rows, {"axis": 1}, node, node.outputs[:1])
        else:
            draft.emit("RESHAPE", rows, {"shape": shape}, node, node.outputs[:1])
        for name, value in zip(node.outputs[1:], (h, c), strict=False):
            draft.emit("RESHAPE", (value,), {"shape": (self.batch, self.units)}, node, (name,))

    def lstm(self, now: str, h: str | None, c: str | None) -> tuple[str, str]:
        total = now if h is None else self.op("ADD", now, self.dense(h, slice(None)))
        i, f, g, o = self.parts(total, 1, 1, 1, 1)
        new = self.op("MUL", self.op("LOGISTIC", i), self.op("TANH", g))
        cell = new if c is None else self.op("ADD", self.op("MUL", self.op("LOGISTIC", f), c), new)
        return self.op("MUL", self.op("LOGISTIC", o), self.op("TANH", cell)), cell

    def gru(self, now: str, h: str | None) -> str:
        gates, inner = self.parts(now, 2, 1)
        after = bool(self.node.attrs.get("reset_after", True))
        if h is None:
            z, reset = self.parts(self.op("LOGISTIC", gates), 1, 1)
            if self.sixth is not None:
                inner = self.op("ADD", inner, self.op("MUL", reset, self.sixth) if after else self.sixth)
            n = self.op("TANH", inner)
            return self.op("SUB", n, self.op("MUL", z, n))
        if after:
            back, last = self.parts(self.dense(h, slice(None)), 2, 1)
            z, reset = self.parts(self.op("LOGISTIC", self.op("ADD", gates, back)), 1, 1)
            last = self.op("MUL", reset, last)
        else:
            back = self.dense(h, slice(0, 2 * self.units), bias=False)
            z, reset = self.parts(self.op("LOGISTIC", self.op("ADD", gates, back)), 1, 1)
            last = self.dense(self.op("MUL", reset, h), slice(2 * self.units, None))
        n = self.op("TANH", self.op("ADD", inner, last))
        return self.op("ADD", n, self.op("MUL", z, self.op("SUB", h, n)))

    def rnn(self, now: str, h: str | None) -> str:
        total = now if h is None else self.op("ADD", now, self.dense(h, slice(None)))
        return self.op(str(self.node.attrs.get("activation", "TANH")), total)


def loop(draft: Draft, node: Node) -> bool:
    """What is left of recurrent nodes runs its step in a loop, if TFLite's LSTM will not do."""
    if node.op not in GATES or node.attrs.get("loop") or refused(draft, node, "") or _builtin(draft, node):
        return False
    draft.change(node, attrs={**node.attrs, "loop": True})
    return True


def _builtin(draft: Draft, node: Node) -> bool:
    """True for what UNIDIRECTIONAL_SEQUENCE_LSTM spells: forward, from zero, only y read."""
    given = any(n is not None for n in node.inputs[4:])
    return node.op == "LSTM" and not (given or node.attrs.get("reverse") or any(_read(draft, n) for n in node.outputs[1:]))


def refused(graph: Graph | Draft, node: Node, engine: str) -> str:
    """Why the engine cannot run a recurrent node; "" when it can, or when the node is none."""
    if node.op not in GATES:
        return ""
    fixed = [n for n in (*node.inputs[1:4], *(node.inputs[5:6] if node.op == "GRU" else ())) if n is not None]
    if any(not graph[n].is_const for n in fixed):
        return "its weights are computed by the network"
    wide = [n for n in (node.inputs[0], node.outputs[0]) if n is not None and graph[n].dtype not in ("float32", "int8")]
    return f"'{wide[0]}' is {graph[wide[0]].dtype}, and {engine} runs it in float32 and int8" if wide else ""
