"""--max-drop: a network made hard for int8 comes back by itself, with a recipe that makes it again bit for bit."""

from __future__ import annotations

import json
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main
from edgekit.data import open_data
from edgekit.export.onnx import export_onnx
from edgekit.graph import Array, Graph, Node, Tensor, build, const
from edgekit.ladder import Climb, Way, climb
from edgekit.recipe import Recipe, read_recipe, recipe_text


def digits() -> tuple[dict[str, Array], dict[str, Array]]:
    """sklearn's digits: (train, test), x float32 [n, 64] in 0..1."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    test = np.arange(len(x)) % 4 == 0
    x = (x / 16).astype(np.float32)
    return {"x": x[~test], "y": y[~test]}, {"x": x[test], "y": y[test]}


def trained(train: dict[str, Array], seed: int = 0) -> list[Array]:
    """w and b of 64 -> 48 -> 32 -> 10, trained by plain gradient descent in NumPy."""
    rng = np.random.default_rng(seed)
    sizes = (64, 48, 32, 10)
    params = [p for a, b in pairwise(sizes) for p in (rng.normal(0, (2 / a) ** 0.5, (b, a)), np.zeros(b))]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
    x, y = train["x"].astype(np.float64), train["y"]
    for step in range(400):
        pick = rng.integers(0, len(x), 128)
        values = [x[pick]]
        for i in range(3):
            z = values[-1] @ params[2 * i].T + params[2 * i + 1]
            values.append(np.maximum(z, 0) if i < 2 else z)
        gap = np.exp(values[3] - values[3].max(1, keepdims=True))
        gap = gap / gap.sum(1, keepdims=True)
        gap[np.arange(128), y[pick]] -= 1
        for i in (2, 1, 0):
            grads = (gap.T @ values[i] / 128, gap.mean(0))
            gap = (gap @ params[2 * i]) * (values[i] > 0)
            for k, g in enumerate(grads):
                m, v = moments[2 * i + k]
                m += 0.1 * (g - m)
                v += 0.01 * (g * g - v)
                scaled = (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-8)
                params[2 * i + k] -= 4e-3 * scaled
    return params


def hard(params: list[Array], most: int = 6) -> Graph:
    """The network with channels of ranges up to 4**most apart."""
    rng = np.random.default_rng(1)
    params = [p.copy() for p in params]
    for i in (0, 1):
        power = 2.0 ** rng.integers(-most, most + 1, len(params[2 * i + 1]))
        params[2 * i] *= power[:, None]
        params[2 * i + 1] *= power
        params[2 * i + 2] /= power[None]
    tensors = {"input": Tensor("input", (1, 64), "float32")}
    nodes, last = [], "input"
    for i in range(3):
        w, b, y = f"w{i}", f"b{i}", "output" if i == 2 else f"h{i}"
        tensors |= {w: const(w, params[2 * i].astype(np.float32)), b: const(b, params[2 * i + 1].astype(np.float32))}
        tensors[y] = Tensor(y, (1, len(params[2 * i + 1])), "float32")
        nodes.append(Node("FULLY_CONNECTED", (last, w, b), (y,), {"activation": "RELU" if i < 2 else "NONE"}, f"layer {i}"))
        last = y
    return build("digits", ["input"], ["output"], nodes, tensors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hard.onnx, train.npz, test.npz."""
    path = tmp_path_factory.mktemp("ladder")
    train, test = digits()
    (path / "hard.onnx").write_bytes(export_onnx(hard(trained(train))))
    np.savez(path / "train.npz", x=train["x"], y=train["y"])
    np.savez(path / "test.npz", x=test["x"], y=test["y"])
    return path


def run(folder: Path, *args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def quantized(folder: Path, out: Path, *more: str) -> Result:
    data = ("--data", folder / "train.npz", "--eval", folder / "test.npz")
    return run(folder, "quantize", folder / "hard.onnx", "-o", out, *data, *more)


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_hard_network_comes_back_within_a_point_by_itself(folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"q.{suffix}"
    result = quantized(folder, out, "--max-drop", "1pt", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["float_accuracy"]["value"] > 0.94
    tried = found["tried"]
    assert tried[0]["name"] == "plain"
    assert tried[0]["drop"] > 5
    assert all(rung["drop"] > 1 for rung in tried[:-1])
    assert tried[-1]["drop"] <= 1
    assert found["decided"]["drop"] == tried[-1]["drop"]
    assert "(half of it)" in found["decided"]["on"]
    assert "(other half)" in found["measurements"][1]["note"]
    assert found["measurements"][1]["value"] <= 2.5  # no sample of these decided

    recipe = Path(f"{out}.recipe.toml")
    made = run(folder, "apply", recipe, "-o", tmp_path / f"again.{suffix}")
    assert made.exit_code == 0, made.output
    assert "bit for bit" in made.stdout
    assert out.read_bytes() == (tmp_path / f"again.{suffix}").read_bytes()


def test_every_rung_is_tried_and_the_best_is_kept(folder: Path) -> None:
    from edgekit.load import load

    graph = load(str(folder / "hard.onnx"))
    train, test = (open_data(folder / f"{n}.npz", graph, samples=s) for n, s in (("train", 200), ("test", 200)))
    found = climb(graph, train, test, "tflite", -50.0, start=Way())
    assert not found.kept
    names = [rung.name for rung in found.rungs]
    for part in ("plain", "observer entropy", "equalized", "biases corrected", "rounded adaptively", "in float", "int16x8"):
        assert any(part in name for name in names), part
    assert "trained 8 epochs" in names[-1]
    assert [names.index(n) for n in ("plain", "observer mse", "equalized", "int16x8")] == sorted(
        names.index(n) for n in ("plain", "observer mse", "equalized", "int16x8")
    )
    best = min(rung.drop for rung in found.rungs if rung.drop is not None)
    assert found.drop == best
    assert isinstance(found, Climb)


def test_a_changed_input_is_named_and_the_result_differs(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.tflite"
    assert quantized(folder, out, "--max-drop", "100", "--samples", "64").exit_code == 0
    recipe = Path(f"{out}.recipe.toml")
    text = recipe.read_text().replace("samples = 64", "samples = 32")
    recipe.write_text(text)
    made = run(folder, "apply", recipe, "-o", tmp_path / "other.tflite")
    assert made.exit_code == 1
    assert "not the same" in made.stdout
    assert "data is another" in made.stdout


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    for text, says in (("x = ", "cannot read"), ("command = 'fly'\n[options]", "not a recipe"), ("a = 1", "not a recipe")):
        path.write_text(text)
        result = CliRunner().invoke(main, ["apply", str(path)])
        assert result.exit_code == 2
        assert says in result.stderr
    path.write_text("command = 'quantize'\n[options]\nmodel = 'm.onnx'\nout = 'o.tflite'\ndata = 'd.npz'\nfly = true\n")
    result = CliRunner().invoke(main, ["apply", str(path)])
    assert result.exit_code == 2
    assert not (tmp_path / "o.tflite").exists()


def test_a_drop_that_cannot_be_judged_is_refused(folder: Path, tmp_path: Path) -> None:
    x = np.load(folder / "test.npz")["x"]
    np.savez(tmp_path / "plain.npz", x=x)
    data = ("--data", folder / "train.npz", "--eval", tmp_path / "plain.npz")
    result = run(folder, "quantize", folder / "hard.onnx", "-o", tmp_path / "q.tflite", *data, "--max-drop", "1")
    assert result.exit_code == 2
    assert "no labels" in result.stderr
    assert not list(tmp_path.glob("q*"))
    for wrong in ("much", "nan"):
        assert quantized(folder, tmp_path / "q.tflite", "--max-drop", wrong).exit_code == 2


def test_recipes_are_read_as_written(tmp_path: Path) -> None:
    options = {
        "model": str(tmp_path / "a b.py") + ":net(1)",
        "data": "d.npz",
        "out": "o.onnx",
        "keep_float": ("x 'y'", "z\\"),
        "qat": 3,
    }
    recipe = Recipe(
        "quantize",
        {**options, "load": {"weights": str(tmp_path / "w.pth"), "args": {"width": "0.5"}}},
        {"model": "ab"},
        {"numpy": "2"},
    )
    path = tmp_path / "sub" / "r.toml"
    path.parent.mkdir()
    path.write_text(recipe_text(recipe, path.parent))
    assert tomllib.loads(path.read_text())["options"]["model"] == "../a b.py:net(1)"
    read = read_recipe(path)
    arguments = read.arguments()
    assert arguments["model"] == str(tmp_path / "a b.py") + ":net(1)"
    assert arguments["weights"] == str(tmp_path / "w.pth")
    assert (arguments["keep_float"], arguments["qat"], arguments["args"]) == (options["keep_float"], 3, {"width": "0.5"})
    assert (read.lock, read.versions) == ({"model": "ab"}, {"numpy": "2"})
