"""Schemes other than int8, from a float network to the engines: int16x8, float16, dynamic."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.litert import run_litert
from edgekit.bench.ort import run_onnx
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import random_feeds, random_samples
from edgekit.errors import BadConfig, Unsupported
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, Quant
from edgekit.load import load
from edgekit.load.tflite import load_tflite
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import layer_sqnr, quantize_with_report
from edgekit.passes.quantize.storage import stored
from edgekit.pipeline import prepare
from tests.passes.net import Net


def network(extra: str | None = None) -> Graph:
    """A small residual network with most operators that int16 has; extra: one operator more, before the end."""
    net = Net(3)
    x = net.input(1, 8, 8, 3)
    y = net.add("CONV_2D", x, net.random(8, 3, 3, 3), net.random(8), pad=(1, 1, 1, 1), activation="RELU")
    z = net.add("DEPTHWISE_CONV_2D", y, net.random(1, 3, 3, 8), net.random(8), pad=(1, 1, 1, 1))
    z = net.add("ADD", net.add("CONV_2D", z, net.random(8, 1, 1, 8), net.random(8)), y, activation="RELU")
    z = net.add("MUL", z, net.add("LOGISTIC", z))
    z = net.add("CONCATENATION", z, net.add("TANH", y), axis=3)
    if extra is not None:
        z = net.add(extra, z)
    z = net.add("MAX_POOL_2D", z, filter=(2, 2), stride=(2, 2))
    z = net.add("LEAKY_RELU", net.add("MEAN", z, axes=(1, 2)), alpha=0.1)
    small = net.value((net.rng.normal(0, 0.03, (10, 16))).astype(np.float32))
    z = net.add("FULLY_CONNECTED", z, small, net.random(10))
    return net.graph(net.add("SOFTMAX", z))


def decibels(truth: Array, made: Array) -> float:
    noise = float(np.sum((truth.astype(np.float64) - made) ** 2))
    return 10 * float(np.log10(np.sum(truth.astype(np.float64) ** 2) / max(noise, 1e-300)))


def quantized(graph: Graph, scheme: str = "int16x8") -> Graph:
    return quantize_with_report(graph, random_samples(graph, 16), scheme=scheme)[0]


def test_int16x8_is_finer_than_int8() -> None:
    before = prepare(network(), "tflm", whole=True)
    last = {}
    for scheme in ("int8", "int16x8"):
        after = quantized(before, scheme)
        own = [layer for layer in layer_sqnr(before, after, random_samples(before, 4)) if layer.op in {"ADD", "MUL", "SOFTMAX"}]
        last[scheme] = min(layer.isolated for layer in own if layer.isolated is not None)
    assert last["int16x8"] > last["int8"] + 25


def test_int16x8_is_the_same_on_every_engine() -> None:
    """TFLM, C and the file read back bit for bit; LiteRT to a few steps of 65,536; ONNX Runtime, in float32, to 60 dB."""
    after = legalize(quantized(prepare(network(), "tflm", whole=True)), "tflm")
    kinds = {t.dtype for node in after.nodes for t in after.output_tensors(node)}
    assert kinds == {"int16"}
    file, feeds = export_tflite(after), random_feeds(after, 4)
    expected = [reference.run(after, feed)[after.outputs[0]] for feed in feeds]
    again = load_tflite(file)
    model = compile_c(prepare(after, "c"), "net", isa="dsp")
    made = {
        "tflm": run_tflm(file, feeds),
        "read back": [reference.run(again, feed) for feed in feeds],
        "c": run_c(model.files, model.interface, feeds, sanitize=True),
    }
    for name, outputs in made.items():
        for truth, output in zip(expected, outputs, strict=True):
            np.testing.assert_array_equal(next(iter(output.values())), truth, err_msg=name)
    for truth, output in zip(expected, run_litert(file, feeds), strict=True):
        assert np.abs(next(iter(output.values())).astype(int) - truth).max() <= 8
    for truth, output in zip(expected, run_onnx(export_onnx(after), feeds), strict=True):
        assert decibels(truth, next(iter(output.values()))) > 60


def test_int16x8_in_onnx_is_read_back(tmp_path: pytest.TempPathFactory) -> None:
    after = quantized(prepare(network(), "onnx", whole=True))
    path = tmp_path / "net.onnx"  # type: ignore[operator]
    path.write_bytes(export_onnx(after))
    again, feeds = load(str(path)), random_feeds(after, 2)
    for feed in feeds:
        ours, theirs = reference.run(after, feed), reference.run(again, dict(zip(again.inputs, feed.values(), strict=True)))
        assert decibels(next(iter(ours.values())), next(iter(theirs.values()))) > 60


def test_operators_without_int16_stay_float_islands() -> None:
    before = prepare(network("HARD_SWISH"), "tflm", whole=True)
    after, report = quantize_with_report(before, random_samples(before, 4), scheme="int16x8")
    assert [(op, why) for op, _, why in report.islands] == [("HARD_SWISH", "HARD_SWISH has no int16 meaning")]
    feeds = random_feeds(after, 2)
    for made, feed in zip(run_tflm(export_tflite(legalize(after, "tflm")), feeds), feeds, strict=True):
        truth = reference.run(after, feed)[after.outputs[0]]
        assert np.abs(next(iter(made.values())).astype(int) - truth).max() <= 1  # one float operator, two libraries


def test_int16_files_that_would_lose_their_meaning_are_refused() -> None:
    """Biases of 32 bits: sums would be, too. A zero point: no kernel has one."""
    net = Net(0)
    x = net.input(1, 4, quant=Quant.per_tensor(0.1, 0, "int16"))
    w = net.value(np.ones((2, 4), np.int8), Quant.per_tensor(0.1))
    b = net.value(np.ones(2, np.int32), Quant.per_tensor(0.01, 0, "int32"))
    narrow = net.graph(net.add("FULLY_CONNECTED", x, w, b, quant=Quant.per_tensor(0.1, 0, "int16")))
    with pytest.raises(Unsupported, match="bias is int32 beside int16"):
        load_tflite(export_tflite(narrow))
    net = Net(0)
    x = net.input(1, 4, quant=Quant.per_tensor(0.1, 5, "int16"))
    shifted = net.graph(net.add("RESHAPE", x, shape=(4,), quant=Quant.per_tensor(0.1, 5, "int16")))
    with pytest.raises(Unsupported, match="int16 with a zero point"):
        load_tflite(export_tflite(shifted))


@pytest.mark.parametrize(("scheme", "kept", "near"), [("float16", 40.0, 100.0), ("dynamic", 15.0, 25.0)])
@pytest.mark.parametrize("engine", ["tflite", "onnx"])
def test_weights_in_fewer_bits(scheme: str, kept: float, near: float, engine: str) -> None:
    """kept: dB to the float network. near: dB from the reference to the engine (LiteRT's hybrid kernels round inputs)."""
    before = prepare(network("HARD_SWISH"), engine)
    after = stored(before, scheme, engine)
    feeds = random_feeds(after, 4)
    write, run = (export_tflite, run_litert) if engine == "tflite" else (export_onnx, run_onnx)
    file = write(after)
    ends = [reference.run(graph, feed)[after.outputs[0]] for graph in (before, after) for feed in feeds]
    truth, mine = np.stack(ends[:4]), np.stack(ends[4:])
    theirs = np.stack([next(iter(output.values())) for output in run(file, feeds)])
    assert kept < decibels(truth, mine) < 120
    assert decibels(mine, theirs) > near
    kinds = {t.dtype for t in after.tensors.values() if t.is_const and t.elements >= 64}
    assert kinds == {"float16" if scheme == "float16" else "int8"}


@pytest.mark.parametrize("scheme", ["float16", "dynamic"])
def test_stored_weights_are_refused_where_they_would_be_widened_in_memory(scheme: str) -> None:
    for engine in ("c", "tflm"):
        with pytest.raises(BadConfig, match=f"{scheme} is not for {engine}"):
            stored(prepare(network(), engine), scheme, engine)
    with pytest.raises(Unsupported, match="no C kernel"):
        compile_c(stored(prepare(network(), "tflite"), scheme, "tflite"), "net")


def test_rows_of_little_variance_in_16_bits_are_the_same_on_every_engine() -> None:
    """A norm's epsilon is less than a step of int16: added there, its inverse root would be infinite."""
    net = Net(2)
    x = net.add("FULLY_CONNECTED", net.input(1, 6, 8), net.random(2, 8), keep_dims=True)
    graph = net.graph(net.add("LAYER_NORM", x, net.random(2), net.random(2), axis=2))
    before = prepare(graph, "tflm")
    after = quantized(before)
    assert {after[n.outputs[0]].dtype for n in after.nodes if n.op == "RSQRT"} == {"float32"}
    name = after.inputs[0]
    small = np.random.default_rng(0).integers(-60, 60, after[name].shape).astype(np.int16)
    feeds = [{name: small}, *random_feeds(after, 3)]
    expected = [reference.run(after, feed)[after.outputs[0]] for feed in feeds]
    for truth, made in zip(expected, run_tflm(export_tflite(after), feeds), strict=True):
        assert np.abs(made[after.outputs[0]].astype(int) - truth).max() <= 1
