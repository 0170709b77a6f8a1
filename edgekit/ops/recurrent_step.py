"""One step of LSTM, GRU and RNN in plain operators, and their integer meaning where the attribute `loop` is set.

Engines without these operators run the step in a loop (TensorFlow Lite's WHILE). On real numbers that means the same; on
integers it is T applications of the step, by the int16 rules of its operators (`ops.int16`), not `ops.recurrent_integer`:
x and h are widened to int16, gates are int16 of scale 2**-11 (LSTM 2**-12; RNN with RELU: a 64th of y's), products are summed
in 64 bits. The states have the types and scales that they have without `loop`, so that nothing more is to be calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import NUMPY_DTYPES, Array, Node, Quant, Shape, Tensor, const
from edgekit.ops.op import fail, given, optional
from edgekit.ops.recurrent_integer import LSTM_POWER, OWN_POWER, RELU_BITS
from edgekit.ops.requant import data_quant, scale_of

UNIT_POWER = -15


@dataclass
class Step:
    """inputs: x [N,I], h [N,H] and, for LSTM, c [N,H]. outputs: y [N,H] and the states after the step, in the same order."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def needed(self, y: bool) -> list[Node]:
        """The nodes, without the one that only makes y where that is not wanted."""
        row, *states = self.outputs
        return [n for n in self.nodes if y or row in states or row not in n.outputs]


def step(node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> Step:
    """The step of a recurrent node of constant weights. Raises BadModel for others, and for scales that do not fit."""
    return _Builder(node, ins, outs).run()


class _Builder:
    def __init__(self, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> None:
        self.node, self.outs, self.made = node, outs, Step()
        (self.x, self.w, self.r), self.bias, self.sixth = given(ins, 3), optional(ins, 3), optional(ins, 5)
        if any(t is not None and t.data is None for t in (self.w, self.r, self.bias)):
            fail(node, "its weights are computed by the network")
        self.units, self.batch = self.r.shape[1], self.x.shape[0]
        self.integer = self.x.quant is not None
        relu = node.op == "RNN" and node.attrs.get("activation", "TANH") == "RELU"
        gate = 2.0 ** (LSTM_POWER if node.op == "LSTM" else OWN_POWER)
        if relu and self.integer:
            gate = scale_of(data_quant(node, outs[0])) / (1 << RELU_BITS)
        self.gate = self.wide(gate)
        self.unit = self.wide(2.0**UNIT_POWER)

    def wide(self, scale: float) -> Quant | None:
        return Quant.per_tensor(scale, 0, "int16") if self.integer else None

    def place(self, name: str, shape: Shape, quant: Quant | None) -> str:
        self.made.tensors[name] = Tensor(name, shape, "float32" if quant is None else quant.dtype, None, quant)
        return name

    def many(
        self, op: str, inputs: Sequence[str | None], shapes: Sequence[Shape], quant: Quant | None, **attrs: Any
    ) -> list[str]:
        names = [self.place(f"{op.lower()}{len(self.made.tensors)}_{i}", shape, quant) for i, shape in enumerate(shapes)]
        self.made.nodes.append(Node(op, tuple(inputs), tuple(names), attrs, self.node.source))
        return names

    def op(self, op: str, quant: Quant | None, *inputs: str) -> str:
        attrs = {} if op != "QUANTIZE" or quant is None else {"dtype": quant.dtype}
        return self.many(op, inputs, [self.made.tensors[inputs[0]].shape], quant, **attrs)[0]

    def split(self, x: str, count: int) -> list[str]:
        shapes = [(self.batch, self.units)] * count
        return self.many("SPLIT", (x,), shapes, self.made.tensors[x].quant, axis=1, sizes=(self.units,) * count)

    def constant(self, tensor: Tensor) -> str:
        self.made.tensors[tensor.name] = tensor
        return tensor.name

    def widened(self, name: str) -> str:
        """An int8 value as int16 of the same scale."""
        quant = self.made.tensors[name].quant
        if quant is None or quant.dtype == "int16":
            return name
        return self.op("QUANTIZE", self.wide(scale_of(quant)), name)

    def dense(self, x: str, tag: str, weights: Tensor, bias: Tensor | None) -> str:
        """x times rows of weights, in the gates' scale."""
        x = self.widened(x)
        inputs = [x, self.constant(Tensor(tag, weights.shape, weights.dtype, weights.data, weights.quant))]
        if bias is not None:
            inputs.append(self.constant(self.added(f"{tag}_bias", bias, self.made.tensors[x], weights)))
        return self.many("FULLY_CONNECTED", inputs, [(self.batch, weights.shape[0])], self.gate)[0]

    def added(self, name: str, bias: Tensor, x: Tensor, weights: Tensor) -> Tensor:
        """The bias in steps of the product."""
        if not self.integer:
            return Tensor(name, bias.shape, bias.dtype, bias.data, None)
        if bias.quant is None or weights.quant is None or x.quant is None or bias.data is None:
            fail(self.node, f"its bias '{bias.name}' has no scale")
        scale = np.broadcast_to(scale_of(x.quant) * weights.quant.scale.astype(np.float64), bias.shape)
        before = np.broadcast_to(bias.quant.scale.astype(np.float64), bias.shape)
        same = np.allclose(before, scale, rtol=1e-5, atol=0)
        values = (
            bias.data.astype(np.int64) if same else fixedpoint.round_half_away(bias.data * (before / scale)).astype(np.int64)
        )
        return const(name, values, Quant.per_channel(scale.astype(np.float32), 0, "int64"), "int64")

    def rows(self, tensor: Tensor, first: int, last: int) -> Tensor:
        """Gates first..last of weights or of a bias."""
        where = slice(first * self.units, last * self.units)
        assert tensor.data is not None
        quant = tensor.quant
        if quant is not None and quant.scale.size > 1:
            quant = Quant(quant.scale[where], quant.zero_point[where], 0, None, quant.dtype)
        data = np.ascontiguousarray(tensor.data[where])
        return Tensor(tensor.name, data.shape, tensor.dtype, data, quant)

    def run(self) -> Step:
        node, shape = self.node, (self.batch, self.units)
        x = self.place("x", (self.batch, self.x.shape[2]), self.x.quant)
        h = self.place("h", shape, self.outs[1].quant)
        forward = self.dense(x, "w", self.w, self.bias)
        if node.op == "LSTM":
            c = self.place("c", shape, self.outs[2].quant)
            self.made.inputs, self.made.outputs = (x, h, c), self.lstm(forward, h, c)
        else:
            self.made.inputs, self.made.outputs = (x, h), self.gru(forward, h) if node.op == "GRU" else self.rnn(forward, h)
        return self.made

    def lstm(self, forward: str, h: str, c: str) -> tuple[str, ...]:
        total = self.op("ADD", self.gate, forward, self.dense(h, "r", self.r, None))
        i, f, g, o = self.split(total, 4)
        power = self.outs[2].quant
        new = self.op("MUL", power, self.op("LOGISTIC", self.unit, i), self.op("TANH", self.unit, g))
        cell = self.op("ADD", power, self.op("MUL", power, self.op("LOGISTIC", self.unit, f), c), new)
        return self.ended(self.op("MUL", self.unit, self.op("LOGISTIC", self.unit, o), self.op("TANH", self.unit, cell)), cell)

    def ended(self, h: str, *more: str) -> tuple[str, ...]:
        """(y, h, ...) with h in y's scale."""
        h = h if self.outs[0].quant is None else self.op("QUANTIZE", self.outs[0].quant, h)
        return (h, h, *more)

    def gru(self, forward: str, h: str) -> tuple[str, ...]:
        own = self.sixth
        if own is not None and own.data is None:
            fail(self.node, "its weights are computed by the network")
        after = bool(self.node.attrs.get("reset_after", True))
        z, reset, inner = self.split(forward, 3)
        if after:
            back_z, back_reset, last = self.split(self.dense(h, "r", self.r, self.behind(own)), 3)
        else:
            back_z, back_reset = self.split(self.dense(h, "r", self.rows(self.r, 0, 2), None), 2)
        z = self.op("LOGISTIC", self.unit, self.op("ADD", self.gate, z, back_z))
        reset = self.op("LOGISTIC", self.unit, self.op("ADD", self.gate, reset, back_reset))
        state = self.outs[1].quant
        if after:
            last = self.op("MUL", self.gate, reset, last)
        else:
            last = self.dense(self.op("MUL", state, reset, h), "r_last", self.rows(self.r, 2, 3), own)
        n = self.op("TANH", self.unit, self.op("ADD", self.gate, inner, last))
        # h' = n + z (h - n); the difference is at most twice what h may be, or 2.
        span = None if state is None else self.wide(max(scale_of(state), 2.0**UNIT_POWER) * 2)
        moved = self.op("MUL", span, z, self.op("SUB", span, h, n))
        new = self.op("ADD", state, n, moved)
        return (new if state is None else self.op("QUANTIZE", self.outs[0].quant, new), new)

    def behind(self, own: Tensor | None) -> Tensor | None:
        """The bias of the last gate as one of all three."""
        if own is None or own.data is None:
            return None
        data = np.concatenate([np.zeros(2 * self.units, own.data.dtype), own.data])
        quant = own.quant
        if quant is not None:
            scale = np.broadcast_to(quant.scale, (self.units,))
            quant = Quant(
                np.concatenate([np.ones(2 * self.units, np.float32), scale]),
                np.zeros(data.size, np.int64),
                0,
                None,
                quant.dtype,
            )
        return Tensor(own.name, data.shape, own.dtype, data, quant)

    def rnn(self, forward: str, h: str) -> tuple[str, ...]:
        total = self.op("ADD", self.gate, forward, self.dense(h, "r", self.r, None))
        relu = self.node.attrs.get("activation", "TANH") == "RELU"
        return self.ended(self.op("RELU", self.gate, total) if relu else self.op("TANH", self.unit, total))


def integer(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """The integer meaning with `loop`: y, h (and c) of the steps, one after the other."""
    from edgekit.ops import TABLE

    made = step(node, ins, outs)
    (x,) = given(inputs)
    values: dict[str, Array | None] = {n: t.data for n, t in made.tensors.items()}
    for name, index in zip(made.inputs[1:], (4, 5), strict=False):
        values[name] = first_state(made.tensors[name], optional(inputs, index))
    y = np.empty((*x.shape[:2], outs[0].shape[2]), NUMPY_DTYPES[outs[0].dtype])
    order = range(x.shape[1])
    for t in reversed(order) if node.attrs.get("reverse", False) else order:
        values[made.inputs[0]] = x[:, t]
        for inner in made.nodes:
            rule = TABLE[inner.op].integer
            assert rule is not None
            tensors = [None if n is None else made.tensors[n] for n in inner.inputs]
            results = rule(
                inner,
                [None if n is None else values[n] for n in inner.inputs],
                tensors,
                [made.tensors[n] for n in inner.outputs],
            )
            for name, array in zip(inner.outputs, results, strict=True):
                values[name] = np.asarray(array).astype(NUMPY_DTYPES[made.tensors[name].dtype])
        ends = [values[n] for n in made.outputs]
        y[:, t] = ends[0]
        values |= dict(zip(made.inputs[1:], ends[1:], strict=True))
    return [y, *(v for n in made.inputs[1:] if (v := values[n]) is not None)]


def first_state(state: Tensor, data: Array | None) -> Array:
    """The state before the first step: what is given, or zero."""
    if data is not None:
        return data
    zero = 0 if state.quant is None else int(state.quant.zero_point[0])
    return np.full(state.shape, zero, NUMPY_DTYPES[state.dtype])
