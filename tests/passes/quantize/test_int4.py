"""Scheme int4: weights of 4 bits, from a float network to every engine; single layers against TensorFlow Lite Micro."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.litert import run_litert
from edgekit.bench.ort import run_onnx
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import random_feeds, random_samples
from edgekit.data import Dataset
from edgekit.errors import BadConfig
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.export.tflm import tflm_problems
from edgekit.graph import Array, Graph, Quant, Tensor, const
from edgekit.inspection import weight_bytes
from edgekit.ladder import Way, climb
from edgekit.load.onnx import load_onnx
from edgekit.load.tflite import load_tflite
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import SCHEMES, Choice, choose, layer_sqnr, quantize_with_report
from edgekit.passes.quantize.narrow import row_scales
from edgekit.passes.quantize.observe import observe
from edgekit.passes.quantize.storage import stored
from edgekit.pipeline import prepare, quantize_graph
from edgekit.quantizing import quantize
from tests.ops.draw import activation, bias_for, ints, sum_quant, weights
from tests.passes.net import Net
from tests.tflm_judge import agree, feeds_for, one_node, same_pad

LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def network() -> Graph:
    net = Net(5)
    x = net.input(1, 8, 8, 3)
    y = net.add("CONV_2D", x, net.random(8, 3, 3, 3), net.random(8), pad=(1, 1, 1, 1), activation="RELU")
    z = net.add("DEPTHWISE_CONV_2D", y, net.random(1, 3, 3, 8), net.random(8), pad=(1, 1, 1, 1))
    z = net.add("ADD", net.add("CONV_2D", z, net.random(8, 1, 1, 8), net.random(8)), y, activation="RELU")
    z = net.add("MEAN", z, axes=(1, 2))
    return net.graph(net.add("SOFTMAX", net.add("FULLY_CONNECTED", z, net.random(5, 8), net.random(5))))


def quantized(graph: Graph, **ways: object) -> Graph:
    return quantize_with_report(graph, random_samples(graph, 16), scheme="int4", **ways)[0]  # type: ignore[arg-type]


def kinds(graph: Graph) -> dict[str, set[str]]:
    """Types of weights by operator."""
    found: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.op in LAYERS:
            found.setdefault(node.op, set()).add(graph[str(node.inputs[1])].dtype)
    return found


def test_every_engine() -> None:
    """TFLM, C and the files read back bit for bit; LiteRT to a step; ONNX Runtime in float32."""
    before = prepare(network(), "tflm", whole=True)
    whole = quantized(before)
    assert kinds(whole) == {op: {"int4"} for op in LAYERS}
    for node in whole.nodes:
        w = whole[str(node.inputs[1])] if node.op in LAYERS else None
        if w is not None and w.data is not None and w.quant is not None:
            assert 5 <= np.abs(w.data).max() <= 7
            assert w.quant.scale.size == w.shape[3 if node.op == "DEPTHWISE_CONV_2D" else 0]
            assert w.nbytes == -(-w.elements // 2)
    assert [why for _, why, _ in tflm_problems(whole)] == ["a dense layer of int4 weights has one scale there"]
    after = legalize(whole, "tflm")  # dense layers become convolutions there
    feeds = random_feeds(after, 4)
    expected = [reference.run(whole, feed)[whole.outputs[0]] for feed in feeds]
    model = compile_c(prepare(whole, "c"), "net", isa="dsp")
    again = load_tflite(export_tflite(whole))
    assert kinds(again) == kinds(whole)
    file = export_onnx(prepare(whole, "onnx", "nhwc"))
    back = prepare(load_onnx(file), "c", "nhwc")
    assert kinds(back) == kinds(whole)
    made = {
        "tflm": run_tflm(export_tflite(after), feeds),
        "tflite": [reference.run(again, feed) for feed in feeds],
        "onnx": [reference.run(back, feed) for feed in feeds],
        "c": run_c(model.files, model.interface, feeds, sanitize=True),
    }
    for name, outputs in made.items():
        for truth, output in zip(expected, outputs, strict=True):
            np.testing.assert_array_equal(output[whole.outputs[0]], truth, err_msg=name)
    near = {"litert": run_litert(export_tflite(whole), feeds, "default"), "ort": run_onnx(file, feeds)}
    for name, outputs in near.items():
        for truth, output in zip(expected, outputs, strict=True):
            assert np.abs(output[whole.outputs[0]].astype(int) - truth).max() <= 2, name


def test_some_layers_keep_8_bits() -> None:
    before = prepare(network(), "c", whole=True)
    after = quantized(before, keep_int8=["DEPTHWISE_CONV_2D", before.nodes[0].outputs[0]])
    assert kinds(after) == {"CONV_2D": {"int8", "int4"}, "DEPTHWISE_CONV_2D": {"int8"}, "FULLY_CONNECTED": {"int4"}}
    small, large = quantized(before), quantize_with_report(before, random_samples(before, 4))[0]
    assert weight_bytes(small) < weight_bytes(after) < weight_bytes(large)
    samples = [dict(sample) for sample in random_samples(before, 4)]
    with pytest.raises(BadConfig, match="8 bits"):
        quantize_graph(network(), Dataset("random", np.arange(4), samples.__getitem__), "c", keep_int8=["CONV_2D"])


def test_a_choice_says_which_weights_are_narrow() -> None:
    graph = prepare(network(), "c", whole=True)
    seen = observe(graph, random_samples(graph, 4), [t for t in graph.tensors if not graph[t].is_const])
    choice = choose(graph, seen, scheme=SCHEMES["int4"])
    assert len(choice.narrow) == 4
    assert Choice.from_json(choice.to_json()).narrow == choice.narrow


def test_rounding_by_data_lowers_the_error_of_4_bits() -> None:
    graph = prepare(network(), "c", whole=True)
    samples = random_samples(graph, 32)
    found = {}
    for rounding in ("nearest", "adaptive"):
        made = quantize_with_report(graph, samples, scheme="int4", rounding=rounding, bias_correction=rounding == "adaptive")[0]
        found[rounding] = next(x.cumulative for x in layer_sqnr(graph, made, samples) if x.op == "MEAN")
    assert found["adaptive"] > found["nearest"] + 3


def narrow(w: Tensor, per_tensor: bool = False) -> Tensor:
    assert w.data is not None
    assert w.quant is not None
    quant = Quant.per_tensor(float(w.quant.scale[0]) * 16, 0, "int4") if per_tensor else None
    return const("w", w.data >> 4, quant or replace(w.quant, scale=w.quant.scale * np.float32(16), dtype="int4"), "int4")


@pytest.mark.parametrize("op", sorted(LAYERS))
def test_single_layers_equal_tflm(op: str) -> None:
    """Odd sizes too: the last half byte is empty."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        o, c = ints(rng, 1, 7, 2)
        if op == "FULLY_CONNECTED":
            x = activation("x", (int(rng.integers(1, 4)), 5 * c), rng)
            w = narrow(weights((o, 5 * c), 0, rng), per_tensor=True)
            attrs = {}
        else:
            kernel = ints(rng, 1, 4, 2)
            x = activation("x", (1, *ints(rng, 5, 9, 2), c), rng)
            o = c * int(rng.integers(1, 3)) if op == "DEPTHWISE_CONV_2D" else o
            shape, axis = ((1, *kernel, o), 3) if op == "DEPTHWISE_CONV_2D" else ((o, *kernel, c), 0)
            w = narrow(weights(shape, axis, rng))
            attrs = {"pad": same_pad(x.shape[1:3], kernel, (1, 1), (1, 1))}
        graph = one_node(op, [x, w, bias_for(x, w, o, rng)], [sum_quant(x, w, rng)], attrs)
        agree(graph, feeds_for(graph, rng))


def test_scales_of_few_codes_are_those_of_least_error() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 200))
    rows[1] = 0
    scale, plain = row_scales(rows, 7), np.abs(rows).max(axis=1) / 7

    def error(s: Array) -> Array:
        s = np.maximum(s, 1e-30)[:, None]
        return ((np.clip(np.rint(rows / s), -7, 7) * s - rows) ** 2).sum(axis=1)  # type: ignore[no-any-return]

    assert np.all(error(scale) <= error(plain))
    assert error(scale)[0] < 0.9 * error(plain)[0]
    whole = np.array([[-7.0, 3.0, 1.0, 0.0]]) * 0.25
    np.testing.assert_allclose(row_scales(whole, 7), [0.25])


def dense(keep: bool) -> Graph:
    net = Net(3)
    x = net.input(2, 3, 70) if keep else net.input(2, 70)
    y = net.add("FULLY_CONNECTED", x, net.random(9, 70), net.random(9), activation="RELU", keep_dims=keep)
    return net.graph(net.add("FULLY_CONNECTED", y, net.random(5, 9), keep_dims=keep))


@pytest.mark.parametrize("keep", [True, False])
def test_blocks_are_multiplied_by_onnx_runtime(keep: bool) -> None:
    before = prepare(dense(keep), "onnx")
    after = stored(before, "int4-blocks", "onnx")
    w = after[str(after.nodes[0].inputs[1])]
    assert w.quant is not None
    assert (w.dtype, w.quant.block, w.quant.scale.size) == ("int4", 32, 9 * 3)
    file, feeds = export_onnx(after), random_feeds(after, 2)
    assert b"MatMulNBits" in file
    again = load_onnx(file)
    for fed, made in zip(feeds, run_onnx(file, feeds), strict=True):
        expected = reference.run(after, fed)[after.outputs[0]]
        np.testing.assert_allclose(made[after.outputs[0]], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(reference.run(again, fed)[again.outputs[0]], expected, rtol=1e-4, atol=1e-4)
    real = before[str(before.nodes[0].inputs[1])].real()
    assert np.abs(w.real() - real).max() < np.abs(real).max() / 7
    for engine in ("tflite", "c", "tflm"):
        with pytest.raises(BadConfig, match=f"int4-blocks is not for {engine}"):
            stored(prepare(dense(keep), engine), "int4-blocks", engine)


def test_4_bits_are_rounded_by_data_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    graph, rng = network(), np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(24, 8, 8, 3)).astype(np.float32))
    made = {
        rounding: quantize(graph, tmp_path / "m.tflite", tmp_path / "x.npy", scheme="int4", rounding=rounding)
        for rounding in (None, "nearest", "adaptive")
    }
    files = {rounding: result.files["m.tflite"] for rounding, result in made.items()}
    assert files[None] == files["adaptive"] != files["nearest"]
    # A recipe says it, since what is usual differs from the plain way.
    assert Way("int4").options() == {"scheme": "int4", "rounding": "nearest"}
    assert Way().options() == {}


def test_max_drop_gives_the_worst_layers_8_bits() -> None:
    """Weights with outliers: 4 bits leave little of the rest."""
    rng = np.random.default_rng(0)
    net = Net(0)
    y = net.input(1, 24)
    for i, outs in enumerate((24, 24, 6)):
        w = rng.normal(0, 0.2, (outs, 24)).astype(np.float32)
        w[:, 0] = rng.choice([-6.0, 6.0], outs) if i == 1 else w[:, 0]
        y = net.add("FULLY_CONNECTED", y, net.value(w), net.value(np.zeros(outs, np.float32)))
    graph = net.graph(y)
    x = rng.normal(size=(200, 24)).astype(np.float32)
    labels = np.array([np.argmax(reference.run(graph, {graph.inputs[0]: row[None]})[y]) for row in x])
    data = Dataset("outliers", np.arange(200), lambda i: {graph.inputs[0]: x[i : i + 1]}, labels)
    start = Way("int4", equalize=True, bias_correction=True, rounding="adaptive")
    found = climb(graph, data, data, "tflm", 5.0, start=start)
    assert found.kept
    assert found.rungs[0].drop is not None
    assert found.rungs[0].drop > 5
    assert found.rungs[-1].name.endswith("in 8 bits")
    assert graph.nodes[1].outputs[0] in found.way.keep_int8
