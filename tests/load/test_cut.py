"""--outputs: models cut at named values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.cli import main
from edgekit.errors import BadModel, Unsupported
from edgekit.export.tflite import export_tflite
from edgekit.load import load
from edgekit.passes.legalize import legalize
from edgekit.passes.simplify import simplify


def detector(path: Path) -> Path:
    """Boxes and scores of an image, and non-maximum suppression with a threshold that is fed."""
    rng = np.random.default_rng(0)
    stored = [
        numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(np.array([1, 4, 36], np.int64), "shape"),
        numpy_helper.from_array(np.array([5], np.int64), "most"),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["features"], name="head"),
        helper.make_node("Reshape", ["features", "shape"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["scores"]),
        helper.make_node("Transpose", ["flat"], ["boxes"], perm=[0, 2, 1]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "limit"], ["selected"], name="nms"),
    ]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8]),
        helper.make_tensor_value_info("limit", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info("selected", TensorProto.INT64, [None, 3])]
    graph = helper.make_graph(nodes, "detector", inputs, outputs, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_an_onnx_detector_is_cut_before_its_suppression(tmp_path: Path) -> None:
    path = detector(tmp_path / "detector.onnx")
    with pytest.raises(Unsupported, match="--outputs boxes,scores\\)"):
        load(path)
    graph = load(path, outputs=["boxes", "scores"])
    assert (graph.inputs, graph.outputs) == (("image",), ("boxes", "scores"))
    found = reference.run(graph, {"image": np.ones((1, 3, 8, 8), np.float32)})
    assert found["boxes"].shape == (1, 36, 4)
    np.testing.assert_allclose(found["scores"], 1 / (1 + np.exp(-found["boxes"].transpose(0, 2, 1))), rtol=1e-5)


def test_scores_taken_class_by_class_are_cut_before_they_part(tmp_path: Path) -> None:
    """As torchvision's detectors are exported: a NonZero and a GatherND a class."""
    classes = 12
    stored = [numpy_helper.from_array(np.array([0.3], np.float32), "limit")]
    stored += [numpy_helper.from_array(np.array(k, np.int64), f"k{k}") for k in range(classes)]
    nodes = [helper.make_node("Softmax", ["x"], ["scores"], axis=1), helper.make_node("Exp", ["b"], ["boxes"])]
    for k in range(classes):
        nodes += [
            helper.make_node("Gather", ["scores", f"k{k}"], [f"s{k}"], axis=1),
            helper.make_node("Greater", [f"s{k}", "limit"], [f"g{k}"]),
            helper.make_node("NonZero", [f"g{k}"], [f"n{k}"]),
            helper.make_node("Transpose", [f"n{k}"], [f"t{k}"], perm=[1, 0]),
            helper.make_node("GatherND", ["boxes", f"t{k}"], [f"y{k}"]),
        ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [20, classes]), ("b", [20, 4]))]
    outputs = [helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, [None, 4]) for k in range(classes)]
    path = tmp_path / "classes.onnx"
    graph = helper.make_graph(nodes, "classes", inputs, outputs, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with pytest.raises(Unsupported) as refused:
        load(path)
    assert str(refused.value.hint).endswith("--outputs scores,boxes")
    assert load(path, outputs=["scores", "boxes"]).outputs == ("scores", "boxes")


def test_a_tflite_file_is_cut_at_inner_values(tmp_path: Path) -> None:
    graph = load(detector(tmp_path / "detector.onnx"), outputs=["boxes", "scores"])
    legal = legalize(simplify(graph), "tflite")
    path = tmp_path / "detector.tflite"
    path.write_bytes(export_tflite(legal, names=True))
    conv = next(n.outputs[0] for n in legal.nodes if n.op == "CONV_2D")
    cut = load(path, outputs=[conv])
    assert [n.op for n in cut.nodes if n.op != "TRANSPOSE"] == ["CONV_2D"]
    assert cut.outputs == (conv,)


def test_unknown_names_are_told_with_the_nearest(tmp_path: Path) -> None:
    path = detector(tmp_path / "detector.onnx")
    with pytest.raises(BadModel) as refused:
        load(path, outputs=["score", "boxes"])
    assert "score" in refused.value.message
    assert "scores" in str(refused.value.hint)
    with pytest.raises(BadModel, match="names no value"):
        load(path, outputs=[])


def test_the_command_line_has_the_option(tmp_path: Path) -> None:
    path = detector(tmp_path / "detector.onnx")
    done = CliRunner().invoke(main, ["inspect", str(path), "--outputs", "boxes, scores"])
    assert done.exit_code == 0, done.output
    assert "boxes" in done.output
