"""The TFLite writer: the law load(export(g)) = g in integers, and what TFLM and LiteRT make of the files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.litert import run_litert
from edgekit.bench.tflm import run_tflm
from edgekit.errors import Unsupported
from edgekit.export.tflite import export_tflite, tflite_problems
from edgekit.export.tflite_versions import min_runtime, version_of
from edgekit.graph import Graph, InputContract, InputSpec, Node, OutputSpec, Quant, Tensor, build, const
from edgekit.load.tflite import load_tflite
from edgekit.load.tflite_file import parse
from edgekit.load.tflite_schema import schema
from tests.export.tflite_nets import feeds, network

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_int8_networks_mean_the_same_after_writing_and_reading(seed: int) -> None:
    graph = network(seed, int8=True)
    model = export_tflite(graph)
    again, samples = load_tflite(model), feeds(graph, seed, 3)
    judged = run_tflm(model, samples) if can_run_on_tflm(graph) else [reference.run(graph, s) for s in samples]
    for sample, expected in zip(samples, judged, strict=True):
        ours, reread = reference.run(graph, sample), reference.run(again, sample)
        assert list(ours) == list(reread)
        for name, value in ours.items():
            np.testing.assert_array_equal(value, reread[name])
            np.testing.assert_array_equal(value, expected[name], err_msg="TFLite-Micro")
    assert export_tflite(again) == export_tflite(load_tflite(export_tflite(again)))


def can_run_on_tflm(graph: Graph) -> bool:
    return all(n.op != "RELU_N1_TO_1" for n in graph.nodes)


@pytest.mark.parametrize("seed", SEEDS)
def test_float_networks_run_on_litert(seed: int) -> None:
    graph = network(seed, int8=False)
    model = export_tflite(graph)
    samples = feeds(graph, seed, 2)
    again = load_tflite(model)
    for resolver in ("reference", "default"):
        for sample, theirs in zip(samples, run_litert(model, samples, resolver), strict=True):
            ours, reread = reference.run(graph, sample), reference.run(again, sample)
            for name, value in theirs.items():
                np.testing.assert_array_equal(ours[name], reread[name])
                np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(value).max())))


def test_names_signature_contract_and_title_survive() -> None:
    graph = network(1, int8=True)
    contract = InputContract(
        {"image": InputSpec("image", "NCHW", (0, 2, 3, 1), (0.0, 1.0), (0.1, 0.2), (0.3, 0.4), 0.5, 7)},
        {graph.outputs[-1]: OutputSpec(("ja", "nö"), (1, 0))},
    )
    whole = build("ünit", graph.inputs, graph.outputs, graph.nodes, graph.tensors, contract=contract)
    again = load_tflite(export_tflite(whole))
    assert (again.name, again.inputs, again.outputs) == ("ünit", graph.inputs, graph.outputs)
    assert again.contract == contract
    assert load_tflite(export_tflite(whole, name="kws")).name == "kws"
    file = parse(export_tflite(whole))
    assert {file.tensors[i].name for i in range(len(file.tensors))} == {"", *graph.inputs, *graph.outputs}
    named = parse(export_tflite(whole, names=True))
    assert {t.name for t in named.tensors} >= set(graph.tensors) - {n for n in graph.tensors if graph[n].is_const}
    model = schema().ModelT.InitFromObj(schema().Model.GetRootAs(export_tflite(whole), 0))
    assert model.signatureDefs[0].signatureKey == b"serving_default"
    assert [i.name.decode() for i in model.signatureDefs[0].inputs] == list(graph.inputs)


def test_constants_are_aligned_and_shared() -> None:
    weights = const("w", np.arange(-12, 12, dtype=np.int8).reshape(4, 6), Quant.per_tensor(0.1))
    twin = const("w2", weights.data if weights.data is not None else np.zeros(0), Quant.per_tensor(0.2))
    q = Quant.per_tensor(0.1, 3)
    values = [Tensor("x", (1, 6), "int8", None, q), Tensor("a", (1, 4), "int8", None, q), Tensor("b", (1, 4), "int8", None, q)]
    nodes = [Node("FULLY_CONNECTED", ("x", w, None), (y,)) for w, y in (("w", "a"), ("w2", "b"))]
    model = export_tflite(build("g", ["x"], ["a", "b"], nodes, [*values, weights, twin]))
    assert model.count(bytes(range(244, 256)) + bytes(range(12))) == 1
    root = schema().Model.GetRootAs(model, 0)
    for i in range(root.BuffersLength()):
        table = root.Buffers(i)
        if table.DataLength():
            start = table._tab.Vector(table._tab.Offset(4))
            assert start % 16 == 0, f"buffer {i}"


def test_versions_and_runtime() -> None:
    q = Quant.per_tensor(0.1)
    x8, x32 = Tensor("x", (1, 4), "int8", None, q), Tensor("x", (1, 4), "float32")
    w8, b8 = Tensor("w", (2, 4), "int8", None, q), Tensor("b", (2,), "int32")
    out = [Tensor("y", (1, 2), "int8", None, q)]
    assert version_of("FULLY_CONNECTED", [x8, w8, b8], out, {}) == 4
    assert version_of("FULLY_CONNECTED", [x8, w8, b8], out, {"keep_dims": True}) == 5
    assert version_of("FULLY_CONNECTED", [x8, w8], out, {}) == 6
    assert version_of("FULLY_CONNECTED", [x32, w8, b8], out, {}) == 3  # hybrid: real numbers beside int8 weights
    assert version_of("FULLY_CONNECTED", [x32, Tensor("w", (2, 4), "float32"), b8], out, {}) == 1
    image = Tensor("i", (1, 5, 5, 4), "int8", None, q)
    for channels, version in ((4, 3), (2, 6)):
        assert version_of("CONV_2D", [image, Tensor("w", (4, 3, 3, channels), "int8", None, q), None], out, {}) == version
    big = Tensor("y", (1, 2), "int8", None, Quant.per_tensor(0.001))
    assert [version_of("MUL", [x8, x8], [o], {}) for o in (out[0], big)] == [2, 3]
    assert version_of("TRANSPOSE", [Tensor("x", (1, 1, 1, 1, 2), "float32")], out, {}) == 4
    assert min_runtime([("CONV_2D", 3), ("ADD", 1)]) == "1.14.0"
    assert min_runtime([("CONV_2D", 6), ("FULLY_CONNECTED", 5)]) == "2.9.0"
    assert min_runtime([("ADD", 1)]) == "1.5.0"
    assert parse(export_tflite(network(3, int8=False))).metadata["min_runtime_version"].rstrip(b"\0").count(b".") == 2


def test_what_tflite_cannot_spell_is_listed_at_once() -> None:
    values = [Tensor(n, (1, 6, 6, 2), "float32") for n in ("x", "a", "b", "c")]
    shifted = Tensor("d", (1, 7, 6, 2), "float32")
    nodes = [
        Node("HARD_SIGMOID", ("x",), ("a",), {}, "one"),
        Node("ELU", ("a",), ("b",), {"alpha": 0.5}, "two"),
        Node("RELU", ("b",), ("c",), {}, "three"),
        Node("MAX_POOL_2D", ("c",), ("d",), {"filter": (2, 2), "pad": (2, 0, 1, 0)}, "four"),
    ]
    graph = build("g", ["x"], ["d"], nodes, [*values, shifted])
    with pytest.raises(Unsupported) as refusal:
        export_tflite(graph)
    assert [where for where, _, _ in refusal.value.problems] == ["one", "two", "four"]
    assert list(refusal.value.problems) == tflite_problems(graph)
    assert all(fix for _, _, fix in refusal.value.problems)
    assert tflite_problems(network(2, int8=True)) == []


PROGRAM = """
import hashlib
from edgekit.export.tflite import export_tflite
from tests.export.tflite_nets import network
print(hashlib.sha256(b"".join(export_tflite(network(s, int8=bool(s % 2))) for s in range(6))).hexdigest())
"""


def test_same_bytes_in_every_process() -> None:
    expected = hashlib.sha256(b"".join(export_tflite(network(s, int8=bool(s % 2))) for s in range(6))).hexdigest()
    for hash_seed in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=120, check=True
        )
        assert run.stdout.strip() == expected


def test_a_convolution_without_bias_gets_zeros_for_litert() -> None:
    q = Quant.per_tensor(0.1, 3)
    weights: Any = const("w", np.full((3, 1, 1, 2), 5, np.int8), Quant.per_channel(np.array([0.1, 0.2, 0.3]), 0))
    values = [Tensor("x", (1, 2, 2, 2), "int8", None, q), Tensor("y", (1, 2, 2, 3), "int8", None, q), weights]
    graph = build("g", ["x"], ["y"], [Node("CONV_2D", ("x", "w", None), ("y",))], values)
    sample = {"x": np.arange(8, dtype=np.int8).reshape(1, 2, 2, 2)}
    expected = reference.run(graph, sample)["y"]
    np.testing.assert_array_equal(run_litert(export_tflite(graph), [sample])[0]["y"], expected)
    np.testing.assert_array_equal(run_tflm(export_tflite(graph), [sample])[0]["y"], expected)
