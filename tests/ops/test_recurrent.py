from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from edgekit import ops, reference
from edgekit.errors import BadModel
from edgekit.graph import Array, Graph, Node, Quant, Tensor, const
from edgekit.ops.gates import SIGMOID, sigmoid16, tanh16
from tests.ops.lstm_judge import lstm_file, run_lstm
from tests.ops.ort_judge import run_ort
from tests.ops.recurrent_nets import feeds, float_net, int8_net

# The op table's gates in ONNX's order.
ROWS = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "RNN": (0,)}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {"reset_after": True}),
    ("GRU", {"reset_after": False}),
    ("RNN", {"activation": "TANH"}),
    ("RNN", {"activation": "RELU"}),
]


def onnx_outputs(graph: Graph, fed: dict[str, Array]) -> list[Array]:
    """The same node on ONNX Runtime: its gates in ONNX's order, time first, one direction."""
    (node,) = graph.nodes
    op, order = node.op, ROWS[node.op]
    arrays = [None if t is None else t.data if t.data is not None else fed[t.name] for t in graph.input_tensors(node)]
    x, w, r, b, h0, sixth = [*arrays, None, None, None][:6]
    assert x is not None
    assert w is not None
    assert r is not None
    units = r.shape[1]

    def in_onnx(a: Array) -> Array:
        parts = a.reshape(len(order), units, *a.shape[1:])
        return parts[list(order)].reshape(a.shape)[None]

    bias = np.zeros(len(w), np.float32) if b is None else b
    back = np.zeros(len(w), np.float32)
    if op == "GRU" and sixth is not None:
        back[2 * units :] = sixth
    inputs = [x.transpose(1, 0, 2), in_onnx(w), in_onnx(r), np.concatenate([in_onnx(bias), in_onnx(back)], axis=1)]
    inputs += [np.full(x.shape[0], x.shape[1], np.int32)]
    inputs += [np.zeros((1, x.shape[0], units), np.float32) if h0 is None else h0[None]]
    if op == "LSTM":
        inputs += [np.zeros((1, x.shape[0], units), np.float32) if sixth is None else sixth[None]]
    attrs: dict[str, Any] = {"hidden_size": units, "direction": "reverse" if node.attrs.get("reverse") else "forward"}
    if op == "GRU":
        attrs["linear_before_reset"] = int(node.attrs["reset_after"])
    if op == "RNN":
        attrs["activations"] = [{"TANH": "Tanh", "RELU": "Relu"}[node.attrs["activation"]]]
    y, *states = run_ort(op, inputs, len(graph.outputs), **attrs)
    return [y[:, 0].transpose(1, 0, 2), *(s[0] for s in states)]


@pytest.mark.parametrize(("op", "attrs"), CASES)
def test_float_equals_onnx_runtime(op: str, attrs: dict[str, Any]) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        graph = float_net(op, rng, state=seed % 2 == 1, reverse=seed % 3 == 1, **attrs)
        fed = feeds(graph, rng)
        ours = reference.run(graph, fed)
        for name, theirs in zip(graph.outputs, onnx_outputs(graph, fed), strict=True):
            np.testing.assert_allclose(ours[name], theirs, rtol=1e-4, atol=1e-5, err_msg=f"{seed} {name}")


def test_integer_lstm_equals_tflm() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        graph = int8_net("LSTM", rng)
        fed = feeds(graph, rng)
        np.testing.assert_array_equal(reference.run(graph, fed)["y"], run_lstm(graph, fed["x"]), err_msg=str(seed))


def test_integer_lstm_is_near_litert() -> None:
    """LiteRT computes sigmoid and tanh otherwise."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        graph = int8_net("LSTM", rng)
        fed = feeds(graph, rng)
        judge = litert.Interpreter(model_content=lstm_file(graph))
        judge.allocate_tensors()
        judge.set_tensor(judge.get_input_details()[0]["index"], fed["x"])
        judge.invoke()
        theirs = judge.get_tensor(judge.get_output_details()[0]["index"])
        assert np.abs(theirs.astype(int) - reference.run(graph, fed)["y"]).max() <= 1


@pytest.mark.parametrize(("op", "attrs"), CASES)
def test_a_sequence_may_be_cut_where_its_state_is_handed_on(op: str, attrs: dict[str, Any]) -> None:
    for make in (float_net, int8_net):
        rng = np.random.default_rng(3)
        graph = make(op, rng, state=True, **attrs)
        fed = feeds(graph, rng)
        whole = reference.run(graph, fed)
        (node,), states = graph.nodes, {n: fed[n] for n in graph.inputs if n != "x"}
        for t in range(fed["x"].shape[1]):
            arrays = [None if n is None else states.get(n, graph[n].data) for n in node.inputs]
            arrays[0] = fed["x"][:, t : t + 1]
            entry, ins, outs = ops.op_of(node), graph.input_tensors(node), graph.output_tensors(node)
            made = entry.integer(node, arrays, ins, outs) if outs[0].quant and entry.integer else entry.real(node, arrays)
            np.testing.assert_allclose(made[0][:, 0], whole["y"][:, t], rtol=1e-5, atol=1e-6)
            states = dict(zip([n for n in ("h0", "c0") if n in graph.inputs], made[1:], strict=True))


@pytest.mark.parametrize(("op", "attrs"), CASES)
def test_integers_follow_the_real_numbers(op: str, attrs: dict[str, Any]) -> None:
    """GRU and RNN have no judge: their integers are near what the same weights give on real numbers."""
    rng = np.random.default_rng(11)
    units, width = 16, 8
    rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[op] * units
    x = Tensor("x", (2, 12, width), "int8", None, Quant.per_tensor(2 / 127, 3))
    y = Quant.per_tensor(3 / 255, -20) if attrs.get("activation") == "RELU" else Quant.per_tensor(1 / 127, -1)
    wide = Quant.per_tensor(2.0**-14 if op == "LSTM" else 2.0**-15, 0, "int16")

    def weights(name: str, depth: int) -> Tensor:
        scale = Quant.per_channel(np.full(rows, 0.3 / 127, np.float32), 0)
        return const(name, rng.integers(-127, 128, (rows, depth)).astype(np.int8), scale)

    w, r = weights("w", width), weights("r", units)
    node = Node(op, ("x", "w", "r"), ("y", "h", "c")[: 3 if op == "LSTM" else 2], attrs, "the node")
    state = Quant.per_tensor(float(y.scale[0]), int(y.zero_point[0])) if op != "GRU" else wide
    outs = [Tensor("y", (2, 12, units), "int8", None, y), Tensor("h", (2, units), state.dtype, None, state)]
    outs += [Tensor("c", (2, units), "int16", None, wide)] if op == "LSTM" else []
    data = rng.integers(-128, 128, x.shape).astype(np.int8)
    entry = ops.op_of(node)
    assert entry.integer is not None
    ints = entry.integer(node, [data, w.data, r.data], [x, w, r], outs)
    reals = entry.real(node, [((data.astype(np.float32) - 3) * x.quant.scale).astype(np.float32), w.real(), r.real()])  # type: ignore[union-attr]
    for q, real, t in zip(ints, reals, outs, strict=True):
        assert t.quant is not None
        error = (q.astype(np.float64) - t.quant.zero_point) * t.quant.scale - real
        assert np.sum(real**2) / np.sum(error**2) > 10**2.6, f"{t.name} below 26 dB"


def test_tables_are_near_the_functions() -> None:
    x = np.arange(-32768, 32768)
    for power in (-15, -12, -11, -9):
        real = x * 2.0**power
        assert np.abs(sigmoid16(x, power) / 32768 - 1 / (1 + np.exp(-real))).max() < 1e-4
        assert np.abs(tanh16(x, power) / 32768 - np.tanh(real)).max() < 1.5e-4
    assert SIGMOID[[0, 1, 255]].tolist() == [32768, 33451, 65535]


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        (((1, 4, 3), (8, 2), (8, 2)), "do not fit"),
        (((4, 3), (8, 3), (8, 2)), "needs x"),
        (((1, 4, 3), (8, 3), (8, 2), (7,)), "bias"),
        (((1, 4, 3), (8, 3), (8, 2), (8,), (2, 2)), "first state"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...], why: str) -> None:
    ins = [Tensor(f"t{i}", s, "float32") for i, s in enumerate(shapes)]
    with pytest.raises(BadModel, match=why):
        ops.infer(Node("LSTM", tuple(t.name for t in ins), ("y", "h", "c"), {}, "the node"), ins)


def test_integer_states_of_the_wrong_scale_are_refused() -> None:
    graph = int8_net("LSTM", np.random.default_rng(0))
    node, ins = graph.nodes[0], graph.input_tensors(graph.nodes[0])
    y, h, c = graph.output_tensors(node)
    entry = ops.op_of(node)
    assert entry.integer is not None
    given = feeds(graph, np.random.default_rng(0))
    arrays = [None if t is None else given.get(t.name, t.data) for t in ins]
    for wrong in (
        [y, h, Tensor("c", c.shape, "int16", None, Quant.per_tensor(0.001, 0, "int16"))],
        [y, Tensor("h", h.shape, "int8", None, Quant.per_tensor(0.5, 0)), c],
    ):
        with pytest.raises(BadModel):
            entry.integer(node, arrays, ins, wrong)
