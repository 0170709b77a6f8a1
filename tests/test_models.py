"""The networks in models/: their files belong together, their data is the same everywhere, their cards say the truth."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

from edgekit.graph import Array

FOLDER = Path(__file__).parent.parent / "models"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/model.py"))
CLASSIFIERS = [name for name in NAMES if name != "autoencoder"]


def module(name: str) -> ModuleType:
    return importlib.import_module(f"models.{name}.model")


def predict(name: str, x: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(FOLDER / name / f"{name}.onnx", options)
    return np.concatenate([session.run(None, {"input": row[None]})[0] for row in x])


def test_all_five_are_there() -> None:
    assert NAMES == ["autoencoder", "ds_cnn", "lenet5", "mlp", "resnet8"]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_complete_and_small(name: str) -> None:
    for file in (f"{name}.onnx", "weights.safetensors", "card.md", "recipe.toml", "train.py"):
        assert 0 < (FOLDER / name / file).stat().st_size < 400_000


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_card_states_the_accuracy_reached_and_splits_are_apart(name: str) -> None:
    test, train = module(name).data("test"), module(name).data("train")
    assert test["x"].dtype == np.float32
    assert not {row.tobytes() for row in test["x"]} & {row.tobytes() for row in train["x"]}
    reached = float(np.mean(predict(name, test["x"]).argmax(-1) == test["y"]))
    card = (FOLDER / name / "card.md").read_text(encoding="utf-8")
    line = next(line for line in card.splitlines() if line.startswith("| Accuracy"))
    stated = [float(number) for number in re.findall(r"0\.\d{3}", line)]
    # The synthetic voices of another build of eSpeak NG differ a little.
    assert min(abs(reached - value) for value in stated) < (0.02 if name == "ds_cnn" else 0.0006)


def test_the_autoencoder_tells_anomalies_apart() -> None:
    model = module("autoencoder")
    normal, strange = model.data("test")["x"], model.anomalies()["x"]
    errors = [np.mean((predict("autoencoder", x) - x) ** 2, axis=1) for x in (normal, strange)]
    # Area under the ROC curve: the chance that an anomaly scores above a normal sample.
    assert np.mean(errors[1][:, None] > errors[0][None]) == pytest.approx(0.990, abs=0.0006)


@pytest.mark.parametrize("name", NAMES)
def test_the_pytorch_module_is_the_onnx_file(name: str) -> None:
    import torch

    model = module(name)
    (example,) = model.example_inputs()
    x = np.random.default_rng(0).normal(0, 1, (2, *example.shape[1:])).astype(np.float32)
    with torch.no_grad():
        expected = model.build()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(predict(name, x), expected, rtol=0, atol=1e-4)
    assert not np.allclose(model.build(trained=False)(torch.from_numpy(x)).detach().numpy(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_names_the_files_inputs(name: str) -> None:
    contract = module(name).contract()
    assert list(contract.inputs) == ["input"]
    if name in CLASSIFIERS:
        labels = contract.output("output").labels
        assert len(labels) == predict(name, module(name).data("test")["x"][:1]).shape[-1]
