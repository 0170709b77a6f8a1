"""Functions, choices and indices of ONNX beyond its node tests: indices of run time, ids, scatters; judged by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.litert import run_litert
from edgekit.bench.ort import run_onnx
from edgekit.errors import Unsupported
from edgekit.export.c import export_c, interface
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.load.onnx import load_onnx
from edgekit.passes.legalize import legalize
from edgekit.passes.simplify import simplify

Step = tuple[str, Sequence[str], str, dict[str, Any]]


def model(steps: Sequence[Step], feeds: Mapping[str, Array], consts: Mapping[str, Array]) -> bytes:
    """A file of (operator, inputs, output, attributes); the last output is the model's."""
    nodes = [helper.make_node(op, list(ins), [out], **attrs) for op, ins, out, attrs in steps]
    inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        inputs,
        [onnx.ValueInfoProto(name=steps[-1][2])],
        [numpy_helper.from_array(a, n) for n, a in consts.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(onnx.shape_inference.infer_shapes(made).SerializeToString())


def agree(steps: Sequence[Step], feeds: Mapping[str, Array], consts: Mapping[str, Array], compiled: bool = False) -> None:
    """The reference and every writer give what ONNX Runtime gives; compiled: generated C as well."""
    data = model(steps, feeds, consts)
    (want,) = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, dict(feeds))
    graph = load_onnx(data)
    fed = {n: a.astype(NUMPY_DTYPES[graph[n].dtype]) for n, a in feeds.items()}
    (name,) = graph.outputs
    results = {
        "reference": reference.run(graph, fed),
        "onnx": run_onnx(export_onnx(legalize(simplify(graph), "onnx")), [fed])[0],
        "tflite": run_litert(export_tflite(legalize(simplify(graph), "tflite")), [fed], "default")[0],
    }
    if compiled:
        legal = legalize(simplify(graph), "c")
        results["c"] = run_c(export_c(legal, "net"), interface(legal, "net"), [fed], sanitize=True)[0]
    for engine, got in results.items():
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6, err_msg=engine)


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_indices_of_run_time() -> None:
    """Negative ones count from the end."""
    agree(
        [("GatherElements", ["x", "i"], "y", {"axis": 1})], {"x": X, "i": np.array([[[2, -1, 0, 1]]] * 2, np.int64)}, {}, True
    )
    agree([("GatherND", ["x", "i"], "y", {})], {"x": X, "i": np.array([[1, 2], [0, 1]], np.int64)}, {})
    agree([("GatherND", ["x", "i"], "y", {"batch_dims": 1})], {"x": X, "i": np.array([[1], [2]], np.int64)}, {})
    one_hot: list[Step] = [("OneHot", ["i", "depth", "values"], "y", {"axis": 1})]
    consts: dict[str, Array] = {"depth": np.array(4, np.int64), "values": np.array([0.5, 2.0], np.float32)}
    agree(one_hot, {"i": np.array([1, -1, 3], np.int64)}, consts)


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatters_of_run_time(reduction: str) -> None:
    feeds: dict[str, Array] = {"x": X, "i": np.array([[1, 2], [0, -1]], np.int64), "u": -np.ones((2, 4), np.float32)}
    agree([("ScatterND", ["x", "i", "u"], "y", {"reduction": reduction})], feeds, {}, reduction == "none")


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatters_to_constant_places(reduction: str) -> None:
    feeds = {"x": X, "u": np.array([[[5.0, -3.0, 7.0, 2.0]]], np.float32)}
    places = np.array([[[2, 0, -1, 2]]], np.int64)
    agree([("ScatterElements", ["x", "i", "u"], "y", {"axis": 1, "reduction": reduction})], feeds, {"i": places})


def test_arithmetic_on_ids() -> None:
    """Position ids and a padding mask from token ids, as language models have them."""
    steps: list[Step] = [
        ("Equal", ["ids", "padding"], "is_pad", {}),
        ("Not", ["is_pad"], "is_word", {}),
        ("Cast", ["is_word"], "number", {"to": onnx.TensorProto.INT64}),
        ("CumSum", ["number", "axis"], "count", {}),
        ("Mul", ["count", "number"], "place", {}),
        ("Add", ["place", "padding"], "position", {}),
        ("Min", ["position", "most"], "clipped", {}),
        ("Gather", ["table", "clipped"], "embedded", {}),
        ("Unsqueeze", ["is_word", "last"], "wide", {}),
        ("Where", ["wide", "embedded", "low"], "y", {}),
    ]
    consts: dict[str, Array] = {
        "padding": np.array(1, np.int64),
        "axis": np.array(1, np.int64),
        "most": np.array(4, np.int64),
        "table": np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32),
        "last": np.array([2], np.int64),
        "low": np.array(-8, np.float32),
    }
    agree(steps, {"ids": np.array([[7, 9, 3, 1, 1, 5]], np.int64)}, consts, compiled=True)


def test_whole_number_arithmetic() -> None:
    feeds = {"a": np.array([-7, 7, 5, -3], np.int64), "b": np.array([3, -3, 2, 2], np.int64)}
    for op in ("Div", "Mod", "Max", "Min", "Sub", "Pow"):
        fed = {**feeds, "b": np.abs(feeds["b"])} if op == "Pow" else feeds
        agree([(op, ["a", "b"], "y", {})], fed, {})


def test_shape_arithmetic_is_folded() -> None:
    """What is computed from shapes is a constant, whatever the operators."""
    steps: list[Step] = [
        ("Shape", ["x"], "s", {}),
        ("Gather", ["s", "one"], "n", {}),
        ("Range", ["zero", "n", "one"], "places", {}),
        ("Less", ["places", "two"], "front", {}),
        ("Where", ["front", "places", "two"], "rows", {}),
        ("Gather", ["x", "rows"], "y", {"axis": 1}),
    ]
    consts = {n: np.array(v, np.int64) for n, v in {"zero": 0, "one": 1, "two": 2}.items()}
    assert [n.op for n in load_onnx(model(steps, {"x": X}, consts)).nodes] == ["GATHER"]
    agree(steps, {"x": X}, consts)


def test_powers_become_functions() -> None:
    for exponent, op in ((2.0, "SQUARE"), (0.5, "SQRT"), (-0.5, "RSQRT"), (-1.0, "RECIPROCAL"), (3.0, "POW")):
        graph = load_onnx(model([("Pow", ["x", "e"], "y", {})], {"x": X}, {"e": np.array(exponent, np.float32)}))
        assert [n.op for n in graph.nodes] == [op]


def test_sizes_of_run_time_are_refused_by_name() -> None:
    data = model([("Range", ["a", "b", "c"], "y", {})], {n: np.array(1, np.int64) for n in "abc"}, {})
    with pytest.raises(Unsupported, match="Range 'y': the size of its result is computed at run time"):
        load_onnx(data)
