"""Sources that are read by way of another: Keras and TorchScript files (a child process), inputs that are fixed for good."""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.errors import BadConfig, BadModel, MissingTool, Unsupported
from edgekit.load import divided, keras_child, load, recognise, torch_child
from edgekit.load.child import run_child
from edgekit.load.onnx import load_onnx

# Keras ----------------------------------------------------------------------------------------------------------------


def keras_file(path: Path, config: Any, version: str = "3.9.0") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("model.weights.h5", b"")
    return path


def test_keras_files_are_recognised_by_their_content(tmp_path: Path) -> None:
    assert recognise(keras_file(tmp_path / "a.bin", {})) == "keras"
    (tmp_path / "b.bin").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert recognise(tmp_path / "b.bin") == "keras"


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed: it is not missing")
def test_without_tensorflow_the_install_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingTool) as caught:
        load(keras_file(tmp_path / "a.keras", {}))
    assert 'pip install "edgekit[keras]"' in caught.value.hint
    assert "--python" in caught.value.hint


def layer(kind: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "module": module, "registered_name": registered, "config": {"name": kind.lower(), **config}}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ([layer("Dense"), layer("GRU", "keras.src.layers.rnn.gru"), layer("Custom", None, None)], []),
        ([layer("LSTM", recurrent_activation={"module": "builtins", "class_name": "function", "config": "relu"})], []),
        ([layer("Functional", "keras.src.models.functional"), layer("GlorotUniform", "keras.initializers")], []),
        ([{"class_name": "Dense", "config": {"name": "d"}}], []),  # Keras 2 names no modules
        ([layer("Lambda", function={"class_name": "__lambda__"})], ["Lambda layer 'lambda'", "a Python lambda"]),
        ([layer("Wrapper", inner=layer("Lambda"))], ["Lambda layer 'lambda'"]),
        ([layer("system", "os")], ["os.system 'system'"]),
        ([layer("get_file", "keras.src.utils.file_utils")], ["keras.src.utils.file_utils.get_file 'get_file'"]),
        ([layer("get_file", "keras.utils")], ["keras.utils.get_file 'get_file'"]),
        ([layer("Mine", None, "mine>Mine")], ["custom class mine>Mine 'mine'"]),
        ([layer("Mine", "mine.layers", "mine>Mine")], ["mine.layers.Mine 'mine'", "custom class mine>Mine 'mine'"]),
    ],
)
def test_what_a_configuration_would_run(config: Any, found: list[str]) -> None:
    assert list(keras_child.code_in(config)) == found


def test_dynamic_axes_of_keras_inputs() -> None:
    assert keras_child.fixed_shapes({"a": [None, 3], "b": [2, None]}, {"b": [2, 7]}) == {"a": [1, 3], "b": [2, 7]}
    for declared, given, says in (
        ({"a": [None, None, 3]}, {}, "dynamic"),
        ({"a": [None, 3]}, {"x": [1, 3]}, "no input is named x"),
        ({"a": [None, 3]}, {"a": [1, 4]}, "cannot be"),
    ):
        with pytest.raises(keras_child.Refusal, match=says) as caught:
            keras_child.fixed_shapes(declared, given)
        assert says != "dynamic" or caught.value.hint == "fix them: --shape a=1,?,3"


def test_names_of_keras_values_are_unique() -> None:
    assert keras_child.unique(["a", "b", "a", "a"]) == ["a", "b", "a_1", "a_2"]


def test_options_reach_only_what_has_them(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "a.keras", {})
    for options in ({"weights": "w.pth"}, {"args": {"a": "1"}}, {"fixed": {"a": "1"}}):
        with pytest.raises(BadConfig, match="is not for Keras models"):
            load(path, **options)
    shared = {"python": "p", "trust": True, "shapes": {}}
    assert divided(path, path, shared) == (shared, {"python": "p", "trust": True})
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(20))
    assert divided(tmp_path / "m.tflite", tmp_path / "m.tflite", shared) == ({"shapes": {}}, {})
    given = {"weights": "w.pth", "python": "p", "shapes": {}}
    assert divided(tmp_path / "m.tflite", "net.py:build", given) == ({"shapes": {}}, {"weights": "w.pth", "python": "p"})
    assert divided("net.py:build", "net.py:build", given) == (given, {"python": "p"})
    assert divided(tmp_path / "m.tflite", tmp_path / "m.tflite", given)[0] == {"weights": "w.pth", "shapes": {}}


def test_a_child_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text("import os, sys\nprint('the last words', file=sys.stderr, flush=True)\nos.abort()\n")
    with pytest.raises(BadModel, match=r"was ended by signal 6\n  the last words"):
        run_child(script, {"source": "m.keras"}, tmp_path)
    with pytest.raises(MissingTool, match="cannot run"):
        run_child(script, {"source": "m.keras"}, tmp_path, tmp_path / "no-python")


# TorchScript ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of torch about TorchScript
def test_torchscript_is_exported_with_the_shapes_given(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    code = tmp_path / "net.py"
    code.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.table, self.dense = torch.nn.Embedding(10, 4), torch.nn.Linear(7, 2)\n"
        "    def forward(self, x, ids):\n"
        "        return torch.relu(self.dense(torch.cat([x, self.table(ids).mean(1)], 1)))\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        spec = importlib.util.spec_from_file_location("net", code)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["net"] = module
        spec.loader.exec_module(module)
        net = module.Net().eval()
        torch.jit.script(net).save(str(tmp_path / "net.bin"))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("net", None)
    path = tmp_path / "net.bin"
    assert recognise(path) == "torch"
    with pytest.raises(torch_child.Refusal, match="what the inputs") as caught:
        torch_child.export_script(path, {}, tmp_path / "net.onnx")
    assert "--shape x=" in caught.value.hint
    assert "--shape ids=" in caught.value.hint
    notes = torch_child.export_script(path, {"x": (1, 3), "ids": (1, 5)}, tmp_path / "net.onnx")["notes"]
    assert notes == ["TorchScript", "its ids were taken to be int64"]
    graph = load_onnx(tmp_path / "net.onnx")
    assert [graph.tensors[n].dtype for n in graph.inputs] == ["float32", "int32"]
    x, ids = np.ones((1, 3), np.float32), np.array([[1, 2, 3, 4, 9]])
    with torch.no_grad():
        truth = net(torch.from_numpy(x), torch.from_numpy(ids)).numpy()
    (y,) = reference.run(graph, {"x": x, "ids": ids.astype(np.int32)}).values()
    np.testing.assert_allclose(y, truth, atol=1e-6)


# Fixed inputs and If --------------------------------------------------------------------------------------------------


def two_rates() -> bytes:
    """y = 2 x when sr is 16000, else x + w, where w is an input."""
    then = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["a"])],
        "then",
        [],
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.full(1, 2, np.float32), "two")],
    )
    other = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["b"])],
        "else",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 4])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Equal", ["sr", "rate"], ["is16k"]),
            helper.make_node("If", ["is16k"], ["y"], then_branch=then, else_branch=other),
        ],
        "rates",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("sr", TensorProto.INT64, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.array(16000), "rate")],
    )
    model: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return model


def test_an_if_on_a_fixed_input_is_decided() -> None:
    x = np.arange(4, dtype=np.float32)[None]
    doubled = load_onnx(two_rates(), fixed={"sr": "16000"})
    assert "MUL" in [n.op for n in doubled.nodes]
    assert "ADD" not in [n.op for n in doubled.nodes]
    assert "sr" not in doubled.inputs
    feeds = dict.fromkeys(doubled.inputs, x)
    np.testing.assert_array_equal(reference.run(doubled, feeds)["y"], 2 * x)
    added = load_onnx(two_rates(), fixed={"sr": "8000", "w": "1,2,3,4"})
    np.testing.assert_array_equal(reference.run(added, {"x": x})["y"], x + np.array([1, 2, 3, 4]))


def test_an_if_at_run_time_is_refused_with_the_option() -> None:
    with pytest.raises(Unsupported, match=r"If 'y'.*--set"):
        load_onnx(two_rates())


@pytest.mark.parametrize(
    ("fixed", "says"),
    [
        ({"rate": "1"}, "no input 'rate'"),
        ({"sr": "fast"}, "not of type int64"),
        ({"sr": "1.5"}, "not of type int64"),
        ({"w": "1,2"}, "do not fit the shape"),
    ],
)
def test_values_that_do_not_fit_are_refused(fixed: dict[str, str], says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        load_onnx(two_rates(), fixed=fixed)
