"""The Python API where it differs from the command line: graphs and data sets in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit import api
from edgekit.data import Dataset, from_arrays
from edgekit.errors import BadConfig, BadModel, OpenShape
from edgekit.export.onnx import export_onnx
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.load.torch import name_of
from edgekit.pipeline import open_model


def dense() -> Graph:
    weight = const("w", np.random.RandomState(0).normal(size=(3, 4)).astype(np.float32))
    tensors = [Tensor("x", (1, 4), "float32"), weight, Tensor("y", (1, 3), "float32")]
    return build("dense", ["x"], ["y"], [Node("FULLY_CONNECTED", ("x", "w"), ("y",))], tensors)


def labelled(graph: Graph, count: int) -> Dataset:
    x = np.random.RandomState(1).normal(size=(count, 4)).astype(np.float32)
    return from_arrays(graph, {"x": x}, np.arange(count) % 3)


def test_samples_and_split_hold_for_data_in_memory_too() -> None:
    graph = dense()
    found = api.quantize(graph, "dense.tflite", labelled(graph, 40), split="25%", samples=12)
    assert found.report.samples == 12
    assert found.accuracy.value is not None
    assert found.accuracy.note.startswith("10 samples")
    assert list(found.files) == ["dense.tflite"]
    report = api.verify(found.graph, data=labelled(graph, 40), samples=5, engines=())
    assert report.samples == 5


def test_schemes_that_store_weights_need_no_data_and_others_say_so_before_loading() -> None:
    graph = dense()
    for scheme, out in (("float16", "a.tflite"), ("dynamic", "a.onnx")):
        found = api.quantize(graph, out, scheme=scheme, eval=labelled(graph, 12))
        assert (found.report.samples, found.layers, found.notes) == (0, (), ())
        assert found.accuracy.value is not None
    with pytest.raises(BadConfig, match="int8 needs data") as caught:
        api.quantize("missing.onnx", "a.tflite")
    assert "--scheme float16" in caught.value.hint
    with pytest.raises(BadConfig, match="split"):
        api.quantize(graph, "a.tflite", scheme="float16", split="20%")


def test_sizes_come_from_data_or_from_the_model_compared_with(tmp_path: Path) -> None:
    file = tmp_path / "open.onnx"
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", "t"]) for n in ("x", "y"))
    onnx.save(helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])), file)
    with pytest.raises(OpenShape) as caught:
        open_model(file)
    assert caught.value.inputs == ("x",)
    np.save(tmp_path / "rows.npy", np.zeros((5, 7), np.float32))
    graph = open_model(file, tmp_path / "rows.npy").graph
    assert graph["x"].shape == (1, 7)
    assert open_model(file, graph).graph["x"].shape == (1, 7)
    proof = api.verify(graph, against=file, engines=(), samples=3)
    assert proof.row("against").status == "exact"


def test_weights_that_are_no_numbers_are_refused_when_a_model_is_opened(tmp_path: Path) -> None:
    graph = dense()
    broken = replace(graph["w"], data=np.full((3, 4), np.nan, np.float32))
    (tmp_path / "nan.onnx").write_bytes(export_onnx(replace(graph, tensors={**graph.tensors, "w": broken})))
    with pytest.raises(BadModel, match="NaN"):
        api.inspect(tmp_path / "nan.onnx")


def test_networks_are_named_after_what_says_most() -> None:
    specs = [("nets.py", "wine"), ("nets.py", "build"), ("nets.py", None), ("kws/model.py", "build"), ("kws/model.onnx", None)]
    names = [name_of(Path(file), function) for file, function in specs]
    assert names == ["wine", "nets", "nets", "kws", "kws"]
