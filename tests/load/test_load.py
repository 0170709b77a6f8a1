"""load: the format is recognised by content, and every bad file gets one clear message."""

from __future__ import annotations

import io
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgekit import reference
from edgekit.errors import BadConfig, BadModel, EdgekitError
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.load import inferred, load, recognise


def small() -> Graph:
    w = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    tensors = [Tensor("x", (1, 4), "float32"), const("w", w), Tensor("y", (1, 3), "float32")]
    return build("small", ["x"], ["y"], [Node("FULLY_CONNECTED", ("x", "w"), ("y",), {}, "dense")], tensors)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A good file of each format, under names that say nothing."""
    found = {"onnx": tmp_path / "a.bin", "tflite": tmp_path / "b.bin"}
    found["onnx"].write_bytes(export_onnx(small()))
    found["tflite"].write_bytes(export_tflite(small()))
    return found


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_content_decides(files: dict[str, Path], kind: str) -> None:
    x = np.ones((1, 4), np.float32)
    graph = load(files[kind])
    assert recognise(files[kind]) == kind
    got = reference.run(graph, {graph.inputs[0]: x})
    np.testing.assert_allclose(next(iter(got.values())), reference.run(small(), {"x": x})["y"], rtol=1e-5)
    assert load(str(files[kind]), name="other").name == "other"


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_options_of_pytorch_do_not_apply(files: dict[str, Path], kind: str) -> None:
    with pytest.raises(BadConfig, match="--weights, --arg"):
        load(files[kind], weights="w.pth", args={"width": "1"})


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_damaged_files_are_told(files: dict[str, Path], kind: str, tmp_path: Path) -> None:
    whole = files[kind].read_bytes()
    rng = random.Random(0)
    for suffix in (".onnx", ".tflite", ".pt2"):
        path = tmp_path / f"damaged{suffix}"
        for size in (1, 7, 8, 12, 40, len(whole) // 2, len(whole) - 5):
            path.write_bytes(whole[:size])
            with pytest.raises(EdgekitError):
                load(path)
        path.write_bytes(rng.randbytes(2000))
        with pytest.raises(EdgekitError):
            load(path)


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"pt2")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.onnx", b"", "is empty"),
        ("m.onnx", b"hello, world, this is text", "not an ONNX file"),
        ("m.tflite", b"hello, world, this is text", "not a TFLite file"),
        ("m.xyz", b"hello, world, this is text", "no model that edgekit knows"),
        ("m.pkl", b"\x80\x04\x95" + bytes(100), "pickle"),
        ("m.safetensors", (100).to_bytes(8, "little") + b'{"a": 1}', "weights, without the network"),
        ("m.pt", zipped("net/archive_format", "net/models/model.json"), "rename it to m.pt2"),
        ("m.pth", zipped("net/data.pkl"), "--weights"),
        ("m.zip", zipped("readme.txt"), "holds no model"),
        ("m.pt2", zipped("net/code/a.py", "net/data.pkl"), "TorchScript"),
        ("m.zip", zipped("readme.txt")[:-30], "damaged zip"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadModel) as caught:
        load(path)
    assert says in str(caught.value)
    assert name in caught.value.message
    assert caught.value.hint


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for source in ("nowhere.onnx", "nowhere.py", "nowhere.py:build", "nowhere.pt2"):
        with pytest.raises(BadModel, match="nowhere"):
            load(tmp_path / source)
    with pytest.raises(BadModel, match="a folder"):
        load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert recognise(tmp_path) == "keras"


def test_a_function_must_be_a_name(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="function's name"):
        load("net.py:a b")


def test_a_graph_that_contradicts_itself_is_refused() -> None:
    graph = small()
    wrong = replace(graph, tensors={**graph.tensors, "y": Tensor("y", (1, 5), "float32")})
    with pytest.raises(BadModel, match="contradicts itself"):
        inferred(wrong)
    assert inferred(graph) is graph


@pytest.mark.parametrize(
    ("nodes", "shape", "says"),
    [
        ([("Gemm", ["x", "w"], "y")], (1, 4), "FULLY_CONNECTED (Gemm 'y'): input [1, 4] does not fit weights [3, 5]"),
        ([("Relu", ["x"], "y"), ("Relu", ["x"], "y")], (1, 4), "'y' is made twice"),
        ([("Relu", ["x"], "y")], (1, 0, 4), "input 'x' has a zero-size axis: [1,0,4]"),
        ([("Gemm", ["x", "none"], "y")], (1, 4), "values of size zero, which hold nothing"),
    ],
)
def test_what_is_wrong_with_a_model_comes_with_a_fix(
    nodes: list[tuple[str, list[str], str]], shape: tuple[int, ...], says: str, tmp_path: Path
) -> None:
    made = [helper.make_node(op, inputs, [output]) for op, inputs, output in nodes]
    values = [helper.make_tensor_value_info(name, 1, size) for name, size in (("x", shape), ("y", None))]
    weights = {"w": np.ones((5, 3), np.float32), "none": np.ones((4, 0), np.float32)}
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(made, "net", values[:1], values[1:], constants)
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    with pytest.raises(BadModel) as caught:
        load(path)
    assert says in caught.value.message
    assert caught.value.hint


def test_a_graph_that_reads_what_is_not_there_comes_with_a_fix() -> None:
    with pytest.raises(BadModel, match="uses undefined values: y") as caught:
        build("net", ["x"], ["y"], [Node("RELU", ("x",), ("y",))], [Tensor("x", (1, 4), "float32")])
    assert caught.value.hint
