"""Loops of recurrent layers, as TensorFlow's converter writes them, judged by LiteRT, which runs the loops themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekit import reference
from edgekit.errors import Unsupported
from edgekit.graph import Array
from edgekit.load import inferred
from edgekit.load.tflite import load_tflite
from tests.load.tflite_maker import O, T, constant, make

STEPS, WIDTH, UNITS = 5, 3, 4
SCALAR = np.zeros((), np.int32)


@dataclass
class Body:
    """A subgraph that grows: each operator method returns the name of its result."""

    tensors: list[T] = field(default_factory=list)
    ops: list[O] = field(default_factory=list)
    rng: Any = field(default_factory=lambda: np.random.default_rng(0))

    def new(self, shape: tuple[int, ...], dtype: str = "float32") -> str:
        self.tensors.append(T(f"t{len(self.tensors)}", shape, dtype))
        return self.tensors[-1].name

    def const(self, data: Any) -> str:
        self.tensors.append(constant(f"t{len(self.tensors)}", data))
        return self.tensors[-1].name

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(next(t for t in self.tensors if t.name == name).shape)

    def op(self, code: str, inputs: list[str], shape: tuple[int, ...], kind: str = "", dtype: str = "float32", **o: Any) -> str:
        out = self.new(shape, dtype)
        self.ops.append(O(code, inputs, [out], kind, o))
        return out

    def unary(self, code: str, x: str) -> str:
        return self.op(code, [x], self.shape(x))

    def binary(self, code: str, a: str, b: str, dtype: str = "float32") -> str:
        return self.op(code, [a, b], self.shape(a) or self.shape(b), f"{code.title()}Options", dtype)

    def dense(self, x: str, units: int, bias: bool = True) -> str:
        weights = self.rng.normal(0, 0.5, (units, self.shape(x)[1])).astype(np.float32)
        inputs = [x, self.const(weights)]
        inputs += [self.const(self.rng.normal(0, 0.3, units).astype(np.float32))] if bias else []
        return self.op("FULLY_CONNECTED", inputs, (1, units), "FullyConnectedOptions")

    def split(self, x: str, parts: int) -> list[str]:
        units = self.shape(x)[1] // parts
        outs = [self.new((1, units)) for _ in range(parts)]
        self.ops.append(O("SPLIT", [self.const(np.int32(1)), x], outs, "SplitOptions", {"numSplits": parts}))
        return outs

    def reshape(self, x: str, shape: tuple[int, ...], dtype: str = "float32") -> str:
        return self.op("RESHAPE", [x, self.const(np.array(shape, np.int32))], shape, "ReshapeOptions", dtype, newShape=shape)

    def one_minus(self, x: str) -> str:
        return self.op("SUB", [self.const(np.float32(1)), x], self.shape(x), "SubOptions")


Step = Callable[[Body, str, list[str]], list[str]]


def lstm(b: Body, x: str, states: list[str]) -> list[str]:
    h, c = states
    i, f, g, o = b.split(b.binary("ADD", b.dense(x, 4 * UNITS), b.dense(h, 4 * UNITS, bias=False)), 4)
    kept = b.binary("MUL", b.unary("LOGISTIC", f), c)
    c = b.binary("ADD", kept, b.binary("MUL", b.unary("LOGISTIC", i), b.unary("TANH", g)))
    return [b.binary("MUL", b.unary("LOGISTIC", o), b.unary("TANH", c)), c]


def lstm_swapped(b: Body, x: str, states: list[str]) -> list[str]:
    """The memory before the output, a product for each gate, operands the other way round."""
    c, h = states
    i, f, g, o = (b.binary("ADD", b.dense(h, UNITS), b.dense(x, UNITS)) for _ in range(4))
    added = b.binary("MUL", b.unary("TANH", g), b.unary("LOGISTIC", i))
    c = b.binary("ADD", added, b.binary("MUL", c, b.unary("LOGISTIC", f)))
    return [c, b.binary("MUL", b.unary("TANH", c), b.unary("LOGISTIC", o))]


def gru(b: Body, x: str, states: list[str]) -> list[str]:
    h = states[0]
    xz, xr, xn = b.split(b.dense(x, 3 * UNITS), 3)
    hz, hr, hn = b.split(b.dense(h, 3 * UNITS), 3)
    z, r = b.unary("LOGISTIC", b.binary("ADD", xz, hz)), b.unary("LOGISTIC", b.binary("ADD", xr, hr))
    n = b.unary("TANH", b.binary("ADD", xn, b.binary("MUL", r, hn)))
    return [b.binary("ADD", b.binary("MUL", z, h), b.binary("MUL", b.one_minus(z), n))]


def gru_before(b: Body, x: str, states: list[str]) -> list[str]:
    h = states[0]
    xz, xr, xn = b.split(b.dense(x, 3 * UNITS), 3)
    z = b.unary("LOGISTIC", b.binary("ADD", xz, b.dense(h, UNITS, bias=False)))
    r = b.unary("LOGISTIC", b.binary("ADD", xr, b.dense(h, UNITS, bias=False)))
    n = b.unary("TANH", b.binary("ADD", xn, b.dense(b.binary("MUL", r, h), UNITS, bias=False)))
    return [b.binary("ADD", b.binary("MUL", z, h), b.binary("MUL", b.one_minus(z), n))]


def rnn(b: Body, x: str, states: list[str]) -> list[str]:
    return [b.unary("TANH", b.binary("ADD", b.dense(x, UNITS), b.dense(states[0], UNITS)))]


def rnn_relu(b: Body, x: str, states: list[str]) -> list[str]:
    return [b.unary("RELU", b.binary("ADD", b.dense(x, UNITS), b.dense(states[0], UNITS)))]


def clipped(b: Body, x: str, states: list[str]) -> list[str]:
    return [b.unary("RELU6", b.binary("ADD", b.dense(x, UNITS), b.dense(states[0], UNITS)))]


def leaking(b: Body, x: str, states: list[str]) -> list[str]:
    """A GRU without the 1 - z: no cell of the table."""
    h = states[0]
    z = b.unary("LOGISTIC", b.binary("ADD", b.dense(x, UNITS), b.dense(h, UNITS)))
    n = b.unary("TANH", b.binary("ADD", b.dense(x, UNITS), b.binary("MUL", z, b.dense(h, UNITS))))
    return [b.binary("ADD", b.binary("MUL", z, h), b.binary("MUL", z, n))]


def looped(step: Step, states: int, *, whole: bool, backwards: bool = False, hidden: int = 0, limit: int = STEPS) -> bytes:
    """x [1,T,I] to y: all steps [1,T,H], or the last [1,1,H]."""
    rows = STEPS if whole else 1
    carried = [(rows, 1, UNITS), *[(1, UNITS)] * states, (STEPS, 1, WIDTH)]
    cond, body, main = Body(), Body(), Body()
    cond_in = [cond.new((), "int32"), *(cond.new(s) for s in carried)]
    less = cond.op("LESS", [cond_in[0], cond.const(np.int32(limit))], (), "LessOptions", "bool")
    t, acc, *rest = [body.new((), "int32"), *(body.new(s) for s in carried)]
    x = body.op("GATHER", [rest[-1], t], (1, WIDTH), "GatherOptions")
    made = step(body, x, rest[:-1])
    after = body.binary("ADD", t, body.const(np.int32(1)), "int32")
    row = body.reshape(made[hidden], (1, 1, UNITS))
    if whole:
        head = body.op("CONCATENATION", [body.reshape(t, (1,), "int32"), body.const(np.array([-1, -1], np.int32))],
                       (3,), "ConcatenationOptions", "int32", axis=0)  # fmt: skip
        tail = body.op("CONCATENATION", [body.reshape(after, (1,), "int32"), body.const(np.zeros(2, np.int32))],
                       (3,), "ConcatenationOptions", "int32", axis=0)  # fmt: skip
        ahead = body.op("SLICE", [acc, body.const(np.zeros(3, np.int32)), head], (1, 1, UNITS), "SliceOptions")
        behind = body.op("SLICE", [acc, tail, body.const(np.full(3, -1, np.int32))], (1, 1, UNITS), "SliceOptions")
        row = body.op("CONCATENATION", [ahead, row, behind], (STEPS, 1, UNITS), "ConcatenationOptions", axis=0)
        for tensor in (t for t in body.tensors if t.name in (ahead, behind)):  # their length grows with the loop
            tensor.signature = (-1, 1, UNITS)
    source = main.new((1, STEPS, WIDTH))
    sequence = main.reshape(source, (STEPS, 1, WIDTH))
    if backwards:
        sequence = main.op("REVERSE_V2", [sequence, main.const(np.array([0], np.int32))], (STEPS, 1, WIDTH), "ReverseV2Options")
    first = [main.const(np.zeros(s, np.float32)) for s in carried[:-1]]
    outs = [main.new((), "int32"), *(main.new(s) for s in carried)]
    main.ops.append(
        O(
            "WHILE",
            [main.const(SCALAR), *first, sequence],
            outs,
            "WhileOptions",
            {"condSubgraphIndex": 1, "bodySubgraphIndex": 2},
        )
    )
    y = main.reshape(outs[1], (1, rows, UNITS))
    if backwards and whole:
        y = main.op("REVERSE_V2", [y, main.const(np.array([1], np.int32))], (1, rows, UNITS), "ReverseV2Options")
    others = [
        (cond.tensors, cond.ops, cond_in, [less]),
        (body.tensors, body.ops, [t, acc, *rest], [after, row, *made, rest[-1]]),
    ]
    return make(main.tensors, main.ops, [source], [y], others=others)


def litert(data: bytes, x: Array) -> Array:
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("step", "states", "hidden", "kind"),
    [
        (lstm, 2, 0, "LSTM"),
        (lstm_swapped, 2, 1, "LSTM"),
        (gru, 1, 0, "GRU"),
        (gru_before, 1, 0, "GRU"),
        (rnn, 1, 0, "RNN"),
        (rnn_relu, 1, 0, "RNN"),
    ],
)
def test_a_loop_is_one_node(step: Step, states: int, hidden: int, kind: str, whole: bool, backwards: bool) -> None:
    data = looped(step, states, whole=whole, backwards=backwards, hidden=hidden)
    graph = inferred(load_tflite(data))
    x = np.random.default_rng(1).normal(size=(1, STEPS, WIDTH)).astype(np.float32)
    (y,) = reference.run(graph, {graph.inputs[0]: x}).values()
    assert [n.op for n in graph.nodes if n.op in ("LSTM", "GRU", "RNN", "WHILE")] == [kind]
    assert next(n for n in graph.nodes if n.op == kind).attrs["reverse"] == backwards
    np.testing.assert_allclose(y, litert(data, x), atol=2e-6)
    if backwards and whole:  # turned round before and after: neither is left
        assert not any(-1 in n.attrs["stride"] for n in graph.nodes if n.op == "SLICE")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (looped(clipped, 1, whole=False), "has the activation|RELU6"),
        (looped(leaking, 1, whole=False), "no step of a plain LSTM, GRU or RNN"),
        (looped(lstm, 2, whole=False, hidden=1), "other values than the cell's output"),
        (looped(rnn, 1, whole=True, limit=STEPS - 1), "its loop of 4 steps reads a sequence"),
    ],
)
def test_other_loops_are_refused_by_name(data: bytes, why: str) -> None:
    with pytest.raises(Unsupported, match=why) as caught:
        load_tflite(data)
    assert "WHILE" in str(caught.value)
