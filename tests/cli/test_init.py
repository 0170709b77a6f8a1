"""`init`: a first edgekit.toml that says where its limits come from, and that check keeps."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgekit.cache import key_of
from edgekit.cli import main
from edgekit.config import parse_amount, parse_config
from edgekit.errors import BadConfig
from edgekit.load import load
from edgekit.measure import ERRORS, SHARES, UNITS
from edgekit.starting import _rounded_up
from tests.gate_project import make_project, own_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def project(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path).unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(cache))
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def test_limits_are_todays_figures_and_a_margin(project: Path) -> None:
    found = json.loads(run("init", "net.onnx", "--data", "data.npz", "--eval", "data.npz", "--margin", "20%", "--json").stdout)
    (model,) = parse_config(tomllib.loads((project / "edgekit.toml").read_text()), project, "edgekit.toml")
    assert (project / "edgekit.toml").read_text() == found["text"]
    figures = {m["metric"]: m["value"] for m in found["run"]["results"][0]["measurements"]}
    limits = {limit.metric: limit.bound for limit in model.limits}
    assert {"flash", "ram", "instructions", "accuracy", "accuracy_drop"} <= set(limits)
    for metric in ("flash", "ram", "instructions"):
        assert 1.2 * figures[metric] <= limits[metric] <= 1.35 * figures[metric]
    assert figures["accuracy"] - 0.012 < limits["accuracy"] < figures["accuracy"]
    assert model.growth == {"mcu": {"flash": 0.02, "ram": 0.0}}
    assert f"# today {figures['flash']:,} B, emulated" in found["text"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data", "data.npz", "--split", "25%"],
        ["--data", "data.npz", "--eval", "data.npz", "--target", "mcu", "--target", "rpi", "--target", "phone"],
        [
            "--data",
            "data.npz",
            "--target",
            "arduino nano 33 ble",
            "--target",
            "cortex-m4:flash=512K,ram=64K",
            "-o",
            "sub/e.toml",
        ],
    ],
)
def test_what_it_writes_is_kept(project: Path, arguments: list[str]) -> None:
    assert run("init", "net.onnx", *arguments).exit_code == 0
    (file,) = project.rglob("e*.toml")
    done = run("check", "--config", str(file.relative_to(project)))
    assert done.exit_code == 0, done.output


def test_a_figure_that_cannot_be_had_is_a_remark_with_its_reason(project: Path) -> None:
    text = run("init", "net.onnx", "--target", "phone").stdout
    assert "\n# latency: no figure today, " in text
    assert "are far outside the" in text  # a network far smaller than what the phone is calibrated for
    assert "\n# accuracy: no figure today, no evaluation data" in text
    assert 'scheme = "float32"' in text


def test_it_replaces_nothing_unless_told_to(project: Path) -> None:
    (project / "edgekit.toml").write_text("mine")
    refused = run("init", "net.onnx")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--force" in refused.stderr
    assert (project / "edgekit.toml").read_text() == "mine"
    assert run("init", "net.onnx", "--force").exit_code == 0


def test_models_are_added_and_only_their_own_limits_replaced(project: Path) -> None:
    file = project / "edgekit.toml"
    assert run("init", "net.onnx", "--data", "data.npz").exit_code == 0
    first = file.read_text()
    file.write_text(first.replace("[model.net]", "[model.net]\n# mine") + "\n[model.'net.2'.limits.mcu]\nflash = 1\n")
    assert run("init", "net.onnx").exit_code == 2  # a model without a source: not a file to add to
    file.write_text(first.replace("[model.net]", "[model.net]\n# mine"))
    refused = run("init", "net.onnx")
    assert refused.exit_code == 2
    assert "has model.net already" in refused.stderr
    assert run("init", "net.onnx", "--name", "net.float", "--data", "data.npz", "--io", "float").exit_code == 0
    models = parse_config(tomllib.loads(file.read_text()), project, "edgekit.toml")
    assert [(m.name, m.io) for m in models] == [("net", "int8"), ("net.float", "float")]
    assert "# mine" in file.read_text()
    assert run("init", "net.onnx", "--scheme", "float32", "--force").exit_code == 0
    models = parse_config(tomllib.loads(file.read_text()), project, "edgekit.toml")
    assert [(m.name, m.scheme) for m in models] == [("net.float", "int8"), ("net", "float32")]
    assert "# mine" not in file.read_text()
    assert run("check").exit_code == 0


def test_how_a_model_is_loaded_is_written_too(project: Path) -> None:
    outputs = load(project / "net.onnx").nodes[-1].inputs[0]
    assert run("init", "net.onnx", "--outputs", str(outputs), "--target", "rpi").exit_code == 0
    (model,) = parse_config(tomllib.loads((project / "edgekit.toml").read_text()), project, "edgekit.toml")
    assert model.outputs == outputs
    table = """[model.a]
        source = "a.keras"
        trust = true
        task = "regression"
        states = { h = "next" }
        set = { rate = 16000 }
        [model.b]
        source = "b.onnx"
        task = "regresion"
        trust = 1
    """
    with pytest.raises(BadConfig, match=r"regression[\s\S]*trust"):
        parse_config(tomllib.loads(table), project, "edgekit.toml")
    (model,) = parse_config(tomllib.loads(table.partition("[model.b]")[0]), project, "edgekit.toml")
    assert (model.trust, model.task, model.states, model.fixed) == (True, "regression", {"h": "next"}, {"rate": "16000"})
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"outputs": "a"},
        {"task": None},
        {"fixed": {}},
        {"states": {}},
        {"trust": False},
        {"name": "other"},
    )
    keys = {key_of(replace(model, source=str(project / "net.onnx"), **change), []) for change in changes}
    assert len(keys) == 6


@pytest.mark.parametrize("model", ["none.onnx", "data.npz"])
def test_a_model_that_cannot_be_read_leaves_no_file(project: Path, model: str) -> None:
    done = run("init", model)
    assert done.exit_code == 2
    assert model in done.stderr
    assert not (project / "edgekit.toml").exists()


@pytest.mark.parametrize("metric", [m for m in UNITS if m not in {*SHARES, *ERRORS, "accuracy_drop"}])
def test_rounding_never_goes_below(metric: str) -> None:
    for value in (0.0317, 1.0, 63.5, 999.2, 8192.5, 12345.6, 999_999.0, 7_654_321.0):
        faults: list[str] = []
        bound = parse_amount(metric, _rounded_up(metric, value), "here", faults)
        assert faults == []
        assert value <= bound * (1 + 1e-9)
        assert bound <= max(1.2 * value, value + 64)
