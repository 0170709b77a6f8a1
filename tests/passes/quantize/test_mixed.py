"""16 bits for some nodes of an int8 network: the same bits on every engine, finer where it counts, else refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.ort import run_onnx
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import random_feeds, random_samples
from edgekit.data import Dataset
from edgekit.errors import BadConfig
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Graph
from edgekit.ladder import Way, climb
from edgekit.load.tflite import load_tflite
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import layer_sqnr, quantize_with_report
from edgekit.passes.quantize.apply import IO
from edgekit.pipeline import prepare
from edgekit.sensitivity import in_16_bits
from tests.passes.net import Net
from tests.passes.quantize.test_schemes import network


def wide(graph: Graph) -> set[str]:
    """Operators that make int16 values, conversions apart."""
    return {n.op for n in graph.nodes if graph[n.outputs[0]].dtype == "int16" and n.op != "QUANTIZE"}


@pytest.mark.parametrize(
    ("names", "io"),
    [(["ADD", "CONCATENATION", "MAX_POOL_2D"], "float"), (["CONV_2D", "MUL", "SOFTMAX"], "int8")],
)
def test_the_same_on_every_engine(names: list[str], io: IO) -> None:
    before = prepare(network(), "tflm", whole=True)
    after, _ = quantize_with_report(before, random_samples(before, 16), int16=names, io=io)
    assert wide(after) == set(names)
    edge = "int8" if io == "int8" else "float32"
    assert {after[n].dtype for n in (*after.inputs, *after.outputs)} == {edge}
    legal = legalize(after, "tflm")
    file, feeds = export_tflite(legal), random_feeds(legal, 3)
    model = compile_c(prepare(after, "c"), "net", isa="dsp")
    again = load_tflite(file)
    expected = [reference.run(legal, feed)[legal.outputs[0]] for feed in feeds]
    made = {
        "tflm": run_tflm(file, feeds),
        "read back": [reference.run(again, feed) for feed in feeds],
        "c": run_c(model.files, model.interface, feeds, sanitize=True),
    }
    for name, outputs in made.items():
        for truth, output in zip(expected, outputs, strict=True):
            np.testing.assert_array_equal(output[legal.outputs[0]], truth, err_msg=name)
    near = run_onnx(export_onnx(prepare(after, "onnx", "nhwc")), feeds)
    step = 1 if io == "int8" else 1 / 256
    assert max(np.abs(n[legal.outputs[0]].astype(float) - t).max() for n, t in zip(near, expected, strict=True)) <= step


def test_a_value_in_16_bits_is_finer_and_the_rest_stays() -> None:
    before = prepare(network(), "c", whole=True)
    samples = random_samples(before, 8)
    add = next(n for n in before.nodes if n.op == "ADD")
    found = {}
    for names in ((), (add.outputs[0],)):
        after, _ = quantize_with_report(before, samples, int16=names)
        rows = {row.tensor: row.isolated for row in layer_sqnr(before, after, samples)}
        found[names] = rows[add.outputs[0]]
        assert sum(after[n.outputs[0]].dtype == "int16" for n in after.nodes if n.op != "QUANTIZE") == len(names)
    plain, finer = found.values()
    assert plain is not None
    assert finer is not None
    assert finer > plain + 3  # its int8 inputs are what is left


def test_what_has_no_16_bits_is_refused() -> None:
    before = prepare(network("HARD_SWISH"), "c", whole=True)
    with pytest.raises(BadConfig, match="no 16 bits for"):
        quantize_with_report(before, random_samples(before, 2), int16=["HARD_SWISH", "ADD"])
    net = Net(0)
    alone = net.graph(net.add("ELU", net.input(1, 4)))
    with pytest.raises(BadConfig, match="no 16 bits for") as caught:
        quantize_with_report(alone, random_samples(alone, 2), int16=["ELU"])
    assert caught.value.hint == "none of this model's operators has them"
    with pytest.raises(BadConfig, match="mixes 16 bits"):
        quantize_with_report(before, random_samples(before, 2), int16=["ADD"], scheme="int16x8")
    with pytest.raises(BadConfig, match="no node NOTHING"):
        quantize_with_report(before, random_samples(before, 2), int16=["NOTHING"])


def outliers() -> tuple[Graph, Dataset]:
    """A classifier whose large common part cancels in the last layer: 8 bits of the sum leave nothing of the rest."""
    rng = np.random.default_rng(0)
    net = Net(0)
    x = net.input(1, 16)
    y = net.add("FULLY_CONNECTED", x, net.value(np.eye(16, dtype=np.float32)), net.value(np.zeros(16, np.float32)))
    big = net.value(np.float32(3000.0) * np.ones((1, 16), np.float32))
    gate = net.add("MUL", net.add("LOGISTIC", net.add("MEAN", y, axes=(1,), keep_dims=True)), big)
    z = net.add("ADD", y, gate)
    pairs = np.eye(16, dtype=np.float32)[:8:2] - np.eye(16, dtype=np.float32)[1:8:2]
    end = net.add("FULLY_CONNECTED", z, net.value(pairs), net.value(np.zeros(4, np.float32)))
    graph = net.graph(end)
    data = rng.normal(0, 30, (300, 16)).astype(np.float32)
    truth = np.array([np.argmax(reference.run(graph, {graph.inputs[0]: row[None]})[end]) for row in data])
    return graph, Dataset("outliers", np.arange(300), lambda i: {graph.inputs[0]: data[i : i + 1]}, truth)


def test_max_drop_puts_the_values_that_need_it_in_16_bits() -> None:
    graph, data = outliers()
    gains = in_16_bits(prepare(graph, "tflm", whole=True), data, [data[i] for i in range(8)], scheme="int8", observer="minmax")
    assert gains
    assert gains[0][2] > 3
    found = climb(graph, data, data, "tflm", 2.0, start=Way(equalize=True, bias_correction=True, rounding="adaptive"))
    assert found.rungs[0].drop is not None
    assert found.rungs[0].drop > 5
    assert found.kept
    assert found.way.int16
    assert found.way.scheme == "int8"
    assert found.way.options()["int16"] == found.way.int16
