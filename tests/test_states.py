"""States: streaming gives what the whole sequence gives, in every format, and in C between runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit import reference, states
from edgekit.bench.host_c import run_c
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import to_feeds
from edgekit.data import open_data
from edgekit.errors import BadConfig, BadData, BadModel
from edgekit.evaluate import outputs
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, Node, State, Tensor, build, const
from edgekit.load import load
from edgekit.load.onnx import load_onnx
from edgekit.load.tflite import load_tflite
from edgekit.ops import infer
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import quantize
from edgekit.passes.simplify import simplify
from edgekit.schedule import schedule
from edgekit.verify import verify_model
from tests.passes.test_recurrent import net

STEPS = 9


class Made:
    """A graph under construction, shapes inferred."""

    def __init__(self, **inputs: tuple[int, ...]) -> None:
        self.tensors = {n: Tensor(n, s, "float32") for n, s in inputs.items()}
        self.nodes: list[Node] = []

    def const(self, name: str, data: Array) -> str:
        self.tensors[name] = const(name, data.astype(np.float32))
        return name

    def op(self, op: str, inputs: list[str | None], name: str, **attrs: Any) -> str:
        node = Node(op, tuple(inputs), (name,), attrs, name)
        ((shape, dtype),) = infer(node, [None if n is None else self.tensors[n] for n in inputs])
        self.tensors[name] = Tensor(name, shape, dtype)
        self.nodes.append(node)
        return name


def streaming_convolution() -> tuple[Graph, Graph]:
    """(a convolution over 3 steps that keeps the last two, step by step; the same over all steps at once)."""
    rng = np.random.default_rng(0)
    weights, dense = rng.normal(size=(5, 1, 3, 4)) * 0.4, rng.normal(size=(2, 5)) * 0.5
    m = Made(x=(1, 1, 1, 4), kept=(1, 1, 2, 4))
    joined = m.op("CONCATENATION", ["kept", "x"], "window", axis=2)
    m.op("SLICE", [joined], "next", begin=(0, 0, 1, 0), size=(1, 1, 2, 4), stride=(1, 1, 1, 1))
    m.op("CONV_2D", [joined, m.const("w", weights)], "conv", activation="RELU")
    m.op("FULLY_CONNECTED", ["conv", m.const("d", dense)], "y")
    step = build("stream", ["x", "kept"], ["y", "next"], m.nodes, m.tensors)
    whole = Made(x=(1, 1, STEPS, 4))
    whole.op("CONV_2D", ["x", whole.const("w", weights)], "conv", activation="RELU", pad=(0, 0, 2, 0))
    whole.op("FULLY_CONNECTED", ["conv", whole.const("d", dense)], "y", keep_dims=True)
    return states.carry(step, {"kept": "next"}), build("whole", ["x"], ["y"], whole.nodes, whole.tensors)


def key_value_cache() -> Graph:
    """Attention of one query over the last four keys and values, kept as two states; the new ones push the oldest out."""
    rng = np.random.default_rng(1)
    m = Made(x=(1, 6), keys=(4, 6), values=(4, 6))
    for kind, name in (("k", "keys"), ("v", "values")):
        new = m.op("FULLY_CONNECTED", ["x", m.const(f"w{kind}", rng.normal(size=(6, 6)) * 0.5)], kind)
        rest = m.op("SLICE", [name], f"{name}_rest", begin=(1, 0), size=(3, 6), stride=(1, 1))
        m.op("CONCATENATION", [rest, new], f"{name}_now", axis=0)
    scores = m.op("FULLY_CONNECTED", ["keys_now", m.const("query", rng.normal(size=(1, 6)) * 0.5)], "scores")
    share = m.op("SOFTMAX", [m.op("RESHAPE", [scores], "row", shape=(1, 4))], "share")
    column = m.op("RESHAPE", [share], "column", shape=(4, 1))
    m.op("SUM", [m.op("MUL", ["values_now", column], "weighted")], "y", axes=(0,), keep_dims=True)
    graph = build("cache", ["x", "keys", "values"], ["y", "keys_now", "values_now"], m.nodes, m.tensors)
    return states.carry(graph, {"keys": "keys_now", "values": "values_now"})


def cells(op: str) -> Graph:
    return states.carry(net(op, True, steps=1), {"h0": "h"} | ({"c0": "c"} if op == "LSTM" else {}))


NETS: dict[str, Callable[[], Graph]] = {
    "convolution": lambda: streaming_convolution()[0],
    "cache": key_value_cache,
    "LSTM": lambda: cells("LSTM"),
}


def sequences(graph: Graph, count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(5)
    return [{n: rng.normal(size=(STEPS, *graph[n].shape)).astype(np.float32) for n in graph.inputs} for _ in range(count)]


def equal(mine: list[dict[str, Array]], theirs: list[dict[str, Array]]) -> None:
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        for name in a:
            if a[name].dtype.kind == "f":
                np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_streaming_convolution_gives_what_the_whole_one_gives() -> None:
    step, whole = streaming_convolution()
    sample = sequences(step, 1)[0]
    at_once = reference.run(whole, {"x": sample["x"].reshape(1, 1, STEPS, 4)})["y"]
    by_step = np.concatenate([o["y"] for o in states.run(step, sample)])
    np.testing.assert_allclose(by_step, at_once.reshape(STEPS, 2), atol=1e-5)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_a_cell_step_by_step_gives_what_the_sequence_gives(op: str) -> None:
    step, sample = cells(op), sequences(cells(op), 1)[0]
    whole = reference.run(net(op, steps=STEPS), {"x": sample["x"].reshape(1, STEPS, 6)})["y"]
    np.testing.assert_allclose(np.concatenate([o["y"] for o in states.run(step, sample)], axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_quantized_states_in_every_format(name: str) -> None:
    """int8 near float; ONNX and TFLite bring the states back; C carries them, resets them and equals the reference."""
    graph = NETS[name]()
    data = sequences(graph, 6)
    integer = quantize(graph, data)
    for state in integer.states:
        quant = integer[state.input].quant
        assert quant is not None
        assert quant.same_as(integer[state.output].quant)
    out = graph.outputs[0]
    quant = integer[out].quant
    assert quant is not None
    real = np.concatenate([o[out] for d in data for o in states.run(graph, d)])
    found = np.concatenate([o[out] for d in data for o in states.run(integer, d)])
    error = (found.astype(np.float64) - quant.zero_point) * quant.scale - real
    assert 10 * np.log10(np.sum(real**2) / np.sum(error**2)) > 25
    for before in (graph, integer):
        again = load_onnx(export_onnx(before))
        assert [again[s.input].dtype for s in again.states] == [before[s.input].dtype for s in before.states]
        for sample in data[:2]:
            equal(states.run(before, sample), states.run(again, sample))
    for before, isa in ((graph, "plain"), (integer, "dsp")):
        model = compile_c(before, "net", isa=isa)
        fed = [to_feeds(before, f) for d in data[:2] for f in states.frames(before, d)]
        wanted = [o for d in data[:2] for o in states.run(before, d)]
        form: Any = "run" if isa == "plain" else "static"
        equal(wanted, run_c(model.files, model.interface, fed, sanitize=True, form=form, period=STEPS))


@pytest.mark.parametrize("name", [*NETS, "GRU"])
def test_tflite_has_states_as_inputs_and_outputs(name: str) -> None:
    graph = legalize(simplify(NETS[name]() if name in NETS else cells(name), "deploy"), "tflm")
    data = sequences(graph, 3)
    integer = quantize(graph, data)
    file = export_tflite(integer)
    again = load_tflite(file)
    assert [s.input for s in again.states] == [s.input for s in integer.states]
    equal(states.run(integer, data[0]), states.run(again, data[0]))
    plain, held = states.expose(integer), states.start(integer)
    fed, wanted = [], []
    for frame in states.frames(integer, data[0]):
        fed.append({**to_feeds(integer, frame), **held})
        made, held = states.step(integer, to_feeds(integer, frame), held)
        wanted.append({**made, **{s.output: held[s.input] for s in integer.states}})
    equal([{n: w[n] for n in plain.outputs} for w in wanted], run_tflm(file, fed))


def test_states_may_hand_on_one_another() -> None:
    """A delay line: what one state holds is the next one's value, and the network's output."""
    tensors = [Tensor(n, (1, 3), "float32") for n in ("x", "a", "b", "y")]
    node = Node("ADD", ("x", "b"), ("y",), {}, "sum")
    carried = (State("a", "x", np.full((1, 3), 2, np.float32)), State("b", "a", np.arange(3, dtype=np.float32)[None]))
    graph = build("delay", ["x"], ["y", "b"], [node], tensors, states=carried)
    sample = sequences(graph, 1)[0]
    made = np.concatenate([o["b"] for o in states.run(graph, sample)])
    np.testing.assert_array_equal(made, np.concatenate([[[0, 1, 2]], [[2, 2, 2]], sample["x"][:-2, 0]]))
    model = compile_c(graph, "net")
    fed = states.frames(graph, sample)
    equal(states.run(graph, sample) * 2, run_c(model.files, model.interface, fed * 2, sanitize=True, period=STEPS))
    equal(states.run(graph, sample), states.run(load_onnx(export_onnx(graph)), sample))


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_a_state_is_made_where_it_lies(op: str) -> None:
    """No copy after the run; one that is shown besides is copied, so that the caller's bytes are the caller's."""
    pairs = {"h0": "h", "c0": "c"} if op == "LSTM" else {"h0": "h"}
    graph = states.carry(net(op, True, steps=3), pairs)
    steps = schedule(graph).steps
    assert [step.node.op for step in steps if step.node is not None] == [op, "FULLY_CONNECTED"]
    assert len(steps) == 2
    shown = schedule(replace(graph, outputs=(*graph.outputs, "h"))).steps
    assert [step.kernel for step in shown if step.node is None] == ["copy_f32"]


def test_state_option(tmp_path: Any) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(export_onnx(net("LSTM", True, steps=1)))
    graph = load(path, states={"h0": "h", "c0": "c"})
    assert graph.inputs == ("x",)
    assert [(s.input, s.output) for s in graph.states] == [("h0", "h"), ("c0", "c")]
    assert not any(np.any(s.init) for s in graph.states)
    with pytest.raises(BadConfig, match="there is no input 'h'"):
        load(path, states={"h": "h0"})
    with pytest.raises(BadConfig, match=r"\[1, 10\] is fed from float32\[1, 1, 10\]"):
        load(path, states={"h0": "y"})


def test_sequences_of_the_wrong_shape_are_refused() -> None:
    graph = streaming_convolution()[0]
    with pytest.raises(BadData, match="time"):
        states.frames(graph, {"x": np.zeros((3, 1, 2, 4), np.float32)})
    assert len(states.frames(graph, {"x": np.zeros((1, 1, 1, 4), np.float32)})) == 1


def test_states_that_make_no_sense_are_refused() -> None:
    tensors = [Tensor("x", (1, 3), "float32"), Tensor("a", (1, 3), "float32"), Tensor("y", (1, 3), "float32")]
    node = Node("ADD", ("x", "a"), ("y",), {}, "sum")
    for wrong in (State("x", "y", np.zeros((1, 3), np.float32)), State("a", "y", np.zeros((3, 1), np.float32))):
        with pytest.raises(BadModel, match="state"):
            build("net", ["x"], ["y"], [node], tensors, states=(wrong,))


def test_damaged_metadata_is_refused() -> None:
    for text in ("{", '[{"input": "none", "output": "y", "shown": false, "init": [0]}]', "[1]"):
        with pytest.raises(BadModel, match=r"edgekit\.states"):
            states.restored(net("LSTM", True), text)


def test_verify_steps_through_sequences() -> None:
    """Every step on every engine, and the generated code's own carrying; a wrong first value shows."""
    graph = cells("LSTM")
    data = sequences(graph, 2)
    integer = quantize(graph, data)
    report = verify_model(integer, ["c", "onnx"], data, against=graph)
    assert report.samples == 2 * STEPS
    assert report.row("c").status == "exact"
    assert report.passed
    wrong = State("h0", "h", integer.states[0].init + np.int8(50))
    other = replace(integer, states=(wrong, *integer.states[1:]))
    worse = verify_model(other, ["c"], data, against=graph).row("against").sqnr
    best = report.row("against").sqnr
    assert worse is not None
    assert best is not None
    assert worse < best - 6


def test_data_with_a_time_axis(tmp_path: Any) -> None:
    graph = cells("GRU")
    rng = np.random.default_rng(0)
    path = tmp_path / "d.npz"
    np.savez(path, x=rng.normal(size=(3, STEPS, 1, 6)).astype(np.float32), y=np.array([0, 1, 2]))
    dataset = open_data(path, graph)
    assert [s["x"].shape for s in dataset] == [(STEPS, 1, 1, 6)] * 3
    answers = list(outputs(graph, dataset))
    np.testing.assert_allclose(answers[0]["z"], states.run(graph, dataset[0])[-1]["z"])
    np.savez(path, x=np.zeros((3, 1, 1, 5), np.float32))
    with pytest.raises(BadData, match="time"):
        open_data(path, graph)


def test_a_state_that_holds_h_and_c_in_one_keeps_sixteen_bits() -> None:
    """As voice activity detectors have it: [2, N, H], split at the start, joined at the end."""
    cell = net("LSTM", True, steps=1)
    m = Made(s=(2, 1, 10))
    m.tensors |= cell.tensors
    m.nodes.append(Node("SPLIT", ("s",), ("s0", "s1"), {"axis": 0, "sizes": (1, 1)}, "split"))
    m.tensors |= {n: Tensor(n, (1, 1, 10), "float32") for n in ("s0", "s1")}
    for part, name in (("s0", "h0"), ("s1", "c0")):
        m.op("RESHAPE", [part], name, shape=(1, 10))
    m.nodes += cell.nodes
    for name in ("h", "c"):
        m.op("RESHAPE", [name], f"{name}1", shape=(1, 1, 10))
    m.op("CONCATENATION", ["h1", "c1"], "next", axis=0)
    graph = states.carry(build("packed", ["x", "s"], ["z", "next"], m.nodes, m.tensors), {"s": "next"})
    data = sequences(graph, 4)
    integer = quantize(graph, data)
    assert integer["s"].dtype == "int16"
    assert integer["h"].dtype == "int8"
    equal(states.run(integer, data[0]), states.run(load_onnx(export_onnx(integer)), data[0]))
    model = compile_c(integer, "net")
    fed = [to_feeds(integer, f) for f in states.frames(integer, data[0])]
    equal(states.run(integer, data[0]), run_c(model.files, model.interface, fed, period=STEPS))
