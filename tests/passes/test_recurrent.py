"""Recurrent networks through quantization and every format: the same integers everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit import api, reference
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import to_feeds
from edgekit.data import from_arrays
from edgekit.errors import BadModel
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, Node, Tensor, build, const
from edgekit.load.onnx import load_onnx
from edgekit.load.tflite import load_tflite
from edgekit.ops import infer
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import Choice, choose, observe, quantize, wanted
from edgekit.passes.rebatch import rebatch
from edgekit.verify import verify_model

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def net(op: str, state: bool = False, steps: int = 12, **attrs: Any) -> Graph:
    """x [1,T,6] through a recurrent layer of 10 units; its h through a dense layer."""
    rng = np.random.default_rng(GATES[op])
    units, width, rows = 10, 6, GATES[op] * 10

    def some(*shape: int) -> Array:
        return (rng.uniform(-1, 1, shape) * 0.6).astype(np.float32)

    tensors = [Tensor("x", (1, steps, width), "float32"), const("w", some(rows, width)), const("r", some(rows, units))]
    tensors += [const("b", some(rows)), const("dense", some(4, units)), const("rb", some(units))]
    tensors += [Tensor(n, (1, units), "float32") for n in (("h0", "c0") if op == "LSTM" else ("h0",)) if state]
    inputs: list[str | None] = ["x", "w", "r", "b", "h0" if state else None]
    sixth: dict[str, list[str | None]] = {"LSTM": ["c0" if state else None], "GRU": ["rb"], "RNN": []}
    inputs += sixth[op]
    while inputs[-1] is None:
        inputs.pop()
    table = {t.name: t for t in tensors}
    node = Node(op, tuple(inputs), ("y", "h", "c")[: 3 if op == "LSTM" else 2], attrs, "cell")
    for name, (shape, dtype) in zip(node.outputs, infer(node, [None if n is None else table[n] for n in inputs]), strict=True):
        table[name] = Tensor(name, shape, dtype)
    table["z"] = Tensor("z", (1, 4), "float32")
    last = Node("FULLY_CONNECTED", ("h", "dense"), ("z",), {}, "dense")
    fed = [n for n in ("x", "h0", "c0") if n in table]
    return build("net", fed, ("z", *node.outputs) if state else ("z", "y"), [node, last], table)


def samples(graph: Graph, count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    scale = {"x": 1.0, "h0": 0.3, "c0": 0.5}
    return [{n: (rng.normal(size=graph[n].shape) * scale[n]).astype(np.float32) for n in graph.inputs} for _ in range(count)]


def sqnr(graph: Graph, integer: Graph, data: list[dict[str, Array]], name: str) -> float:
    pairs = [(reference.run(graph, d)[name], reference.run(integer, d)[name]) for d in data]
    return float(10 * np.log10(sum(np.sum(a**2) for a, _ in pairs) / sum(np.sum((a - b) ** 2) for a, b in pairs)))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("state", [False, True])
def test_quantized_networks_are_near_and_survive_onnx(op: str, state: bool) -> None:
    graph = net(op, state)
    data = samples(graph, 12)
    integer = quantize(graph, data, io="float")
    for name in graph.outputs:
        assert sqnr(graph, integer, data, name) > 28, name
    again = load_onnx(export_onnx(integer))
    assert [n.op for n in again.nodes if n.op == op] == [op]
    assert again[next(n for n in again.nodes if n.op == op).outputs[0]].dtype == "int8"
    for sample in data[:2]:
        ours, theirs = reference.run(integer, sample), reference.run(again, sample)
        for name in graph.outputs:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_states_of_sixteen_bits_keep_what_eight_would_lose() -> None:
    """The LSTM's c and the GRU's h are int16 with a power of two as scale; what reads them otherwise gets int8."""
    for op, wide in (("LSTM", "c"), ("GRU", "h")):
        graph = net(op, True)
        integer = quantize(graph, samples(graph, 4), io="int8")
        quant = integer[wide].quant
        assert integer[wide].dtype == "int16"
        assert quant is not None
        assert np.log2(float(quant.scale[0])) % 1 == 0
        assert integer[f"{wide}0"].dtype == "int16"
        assert quant.same_as(integer[f"{wide}0"].quant)
        dense = integer.nodes[-1]
        assert all(t is None or t.dtype in ("int8", "int32") for t in integer.input_tensors(dense))


def test_a_choice_survives_json() -> None:
    graph = net("GRU", True)
    choice = choose(graph, observe(graph, samples(graph, 2), wanted(graph)))
    assert choice.wide
    assert Choice.from_json(choice.to_json()) == choice


def test_cells_are_observed_at_every_step() -> None:
    """The cell state's range is that of the whole sequence, not of its end."""
    graph = net("LSTM", steps=30)
    seen = observe(graph, samples(graph, 4), wanted(graph))
    ends = [reference.run(graph, s, ["c"])["c"] for s in samples(graph, 4)]
    assert seen.tensors["c"].high > max(float(e.max()) for e in ends)


@pytest.mark.parametrize("reverse", [False, True])
def test_tflm_gives_the_same_bits(reverse: bool) -> None:
    graph = legalize(net("LSTM", reverse=reverse), "tflm")
    data = samples(graph, 3)
    integer = quantize(graph, data)
    file = export_tflite(integer)
    fed = [to_feeds(integer, d) for d in data]
    again = load_tflite(file)
    for one, theirs in zip(fed, run_tflm(file, fed), strict=True):
        ours, read = reference.run(integer, one), reference.run(again, one)
        for name in integer.outputs:
            np.testing.assert_array_equal(ours[name], theirs[name])
            np.testing.assert_array_equal(ours[name], read[name])


def test_float_lstm_in_tflite() -> None:
    graph = legalize(net("LSTM"), "tflite")
    file, data = export_tflite(graph), samples(graph, 2)
    again = load_tflite(file)
    assert any("reset" in step for step in again.history)
    for sample, theirs in zip(data, run_tflm(file, data), strict=True):
        for name, value in reference.run(graph, sample).items():
            np.testing.assert_allclose(theirs[name], value, atol=1e-5)
            np.testing.assert_allclose(reference.run(again, sample)[name], value, atol=1e-6)


@pytest.mark.parametrize(("op", "state"), [("GRU", False), ("RNN", False), ("LSTM", True), ("GRU", True)])
def test_what_tflite_lacks_is_a_loop_of_the_same_bits(op: str, state: bool) -> None:
    graph, count = net(op, state, steps=24), 8
    data = samples(graph, count)
    integer = legalize(quantize(legalize(graph, "tflm", whole=True), data, io="float"), "tflm")
    assert [n.attrs["loop"] for n in integer.nodes if n.op == op] == [True]
    for name in graph.outputs:
        assert sqnr(graph, integer, data, name) > 30, name
    for sample, theirs in zip(data[:2], run_tflm(export_tflite(integer), data[:2]), strict=True):
        for name, value in reference.run(integer, sample).items():
            np.testing.assert_array_equal(theirs[name], value)


def test_damaged_metadata_is_refused() -> None:
    import onnx

    graph = net("LSTM")
    model = onnx.load_from_string(export_onnx(quantize(graph, samples(graph, 2))))
    for prop in model.metadata_props:
        if prop.key == "edgekit.cells":
            prop.value = '{"a": {"y": [1]}}'
    with pytest.raises(BadModel, match=r"edgekit\.cells"):
        load_onnx(model.SerializeToString())


def test_weights_that_are_computed_stay_float() -> None:
    graph = net("LSTM")
    weights = Tensor("w", graph["w"].shape, "float32")
    fed = replace(graph, inputs=("x", "w"), tensors={**graph.tensors, "w": weights})
    rng = np.random.default_rng(0)
    data = [{"x": samples(graph, 1)[0]["x"], "w": rng.normal(size=weights.shape).astype(np.float32)} for _ in range(2)]
    integer = quantize(fed, data, io="float")
    assert next(n for n in integer.nodes if n.op == "LSTM").source == "cell"
    assert integer[next(n for n in integer.nodes if n.op == "LSTM").outputs[0]].dtype == "float32"


@pytest.mark.parametrize("op", GATES)
def test_a_batch_is_as_many_runs(op: str) -> None:
    graph = net(op, True)
    data = samples(graph, 3)
    wide = reference.run(rebatch(graph, 3), {n: np.concatenate([d[n] for d in data]) for n in graph.inputs})
    for name in graph.outputs:
        each = np.concatenate([reference.run(graph, d)[name] for d in data])
        np.testing.assert_allclose(wide[name], each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("state", [False, True])
def test_a_few_steps_run_in_plain_operators(op: str, state: bool) -> None:
    """What TFLite has no builtin for: the same numbers, and the same bits on TFLM."""
    for attrs in ({"reset_after": True}, {"reset_after": False}) if op == "GRU" else ({},):
        graph = net(op, state, steps=3, reverse=state, **attrs)
        flat = legalize(graph, "tflm")
        data = samples(graph, 4)
        for sample in data:
            ours = reference.run(flat, sample)
            for name, value in reference.run(graph, sample).items():
                np.testing.assert_allclose(ours[name], value, atol=1e-5, err_msg=name)
        integer = quantize(flat, data)
        fed = [to_feeds(integer, d) for d in data[:2]]
        for one, theirs in zip(fed, run_tflm(export_tflite(integer), fed), strict=True):
            for name, value in reference.run(integer, one).items():
                np.testing.assert_array_equal(value, theirs[name])


def test_loops_of_tflite_are_told_and_c_made_of_them_is_verified() -> None:
    graph = net("GRU")
    data = from_arrays(graph, {"x": np.concatenate([s["x"] for s in samples(graph, 6)])})
    made = api.quantize(graph, "net.tflite", data)
    assert any("GRU: a loop of TFLite operators" in note for note in made.notes)
    report = verify_model(load_tflite(made.files["net.tflite"]), engines=["c", "tflm", "onnx"], count=4)
    rows = {row.engine: row for row in report.rows}
    assert rows["c"].status == rows["tflm"].status == "exact"
    assert "its own way" in rows["c"].title
    assert rows["onnx"].passed is not False
    whole = api.quantize(graph, "net.onnx", data)
    assert whole.notes == ()
    legalize(whole.graph, "c")
