"""prune's stop rules: each bound is kept, and one that cannot be kept is said, with nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from edgekit import ops
from edgekit.cli import main
from edgekit.export.onnx import export_onnx
from edgekit.inspection import params
from edgekit.load import load
from tests.passes.digits import digits, trained
from tests.passes.prune_nets import conv, dense, net

NONE = ("--epochs", "0", "--multiple", "1", "--no-bench")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limits")
    (path / "net.onnx").write_bytes(export_onnx(trained()))
    n = net()  # of a size that estimates are calibrated for
    y = conv(n, conv(n, conv(n, n.input((1, 64, 64, 3)), 24), 32), 32)
    (path / "large.onnx").write_bytes(export_onnx(n.graph([dense(n, n.op("MEAN", [y], None, axes=(1, 2))[0], 4)])))
    images, labels = digits()
    np.savez(path / "train.npz", x=images[:300], y=labels[:300])
    np.savez(path / "val.npz", x=images[1200:1500], y=labels[1200:1500])
    return path


def pruned(folder: Path, *options: str) -> dict[str, Any]:
    """What --json says; the written network is what it speaks of."""
    out = folder / "out.onnx"
    files: tuple[str | Path, ...] = (folder / "net.onnx", "-o", out, "--data", folder / "train.npz")
    if "raspberry-pi-4" in options:
        files = (folder / "large.onnx", "-o", out)
    result = CliRunner().invoke(main, ["prune", *(str(f) for f in files), "--force", "--json", *options])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    graph = load(str(out))
    assert (found["macs"]["after"], found["params"]["after"]) == (ops.macs(graph), params(graph))
    assert found["macs"]["after"] < found["macs"]["before"]
    return found


def measured(found: dict[str, Any], when: str, metric: str) -> float:
    return float(next(m["value"] for m in found[when] if m["metric"] == metric))


@pytest.mark.parametrize(
    ("option", "most"),
    [
        (("--ratio", "0.4"), {"macs": 0.6}),
        (("--macs", "60%"), {"macs": 0.6}),
        (("--params", "70%"), {"params": 0.7}),
        (("--macs", "70%", "--params", "50%"), {"macs": 0.7, "params": 0.5}),
    ],
)
def test_macs_and_params_are_kept_and_not_more_than_needed(
    folder: Path, option: tuple[str, ...], most: dict[str, float]
) -> None:
    found = pruned(folder, *option, *NONE)
    shares = {name: found[name]["after"] / found[name]["before"] for name in most}
    assert all(shares[name] <= most[name] for name in most)
    assert any(shares[name] > most[name] - 0.1 for name in most)


def test_absolute_numbers(folder: Path) -> None:
    found = pruned(folder, "--macs", "0.1M", "--params", "3k", *NONE)
    assert found["macs"]["after"] <= 100_000
    assert found["params"]["after"] <= 3_000


def test_latency_is_what_the_target_is_estimated_to_need(folder: Path) -> None:
    board = ("--target", "raspberry-pi-4", "--epochs", "0")
    whole = measured(pruned(folder, "--ratio", "0.1", *board), "before", "latency")
    found = pruned(folder, "--latency", f"{0.7 * whole:.6f}", *board)
    after = next(m for m in found["after"] if m["metric"] == "latency")
    assert after["how"] == "estimated"
    assert 0.4 * whole < after["value"] <= 0.7 * whole


def test_flash_ram_and_cycles_of_the_firmware(folder: Path) -> None:
    """One search for several limits; what is measured afterwards keeps them."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    found = pruned(folder, "--flash", "90%", "--ram", "90%", "--instructions", "70%", "--latency", "70%", "--epochs", "0")
    for metric, most in {"flash": 0.9, "ram": 0.9, "instructions": 0.7, "latency": 0.7}.items():
        assert measured(found, "after", metric) <= most * measured(found, "before", metric), metric


def test_a_drop_that_may_be_lost(folder: Path) -> None:
    options = ("--val", str(folder / "val.npz"), "--steps", "3", "--epochs", "2", "--lr", "5e-3", "--batch", "32", "--no-bench")
    found = pruned(folder, "--max-drop", "10", *options)
    assert found["decided"]["drop"] <= 10
    assert found["decided"]["before"] - found["decided"]["after"] == pytest.approx(found["decided"]["drop"] / 100)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--macs", "10", "--no-bench"), "would empty layers"),
        (("--params", "10", "--no-bench"), "would empty layers"),
        (("--latency", "50", "--target", "rpi"), "--latency cannot be judged"),  # no estimate for one so small
        (("--flash", "1K", "--target", "rpi"), "--flash cannot be judged"),
        (("--ram", "10%", "--target", "rpi"), "--ram cannot be judged"),
        (("--max-drop", "-90", "--steps", "2", "--val", "{}/val.npz", "--no-bench"), "already loses"),
        (("--macs", "many", "--no-bench"), "not a number"),
        (("--flash", "150%"), "no share of the whole network"),
        (("--latency", "soon"), "not a number"),
    ],
)
def test_bounds_that_cannot_be_kept(folder: Path, options: tuple[str, ...], why: str) -> None:
    out = folder / "nothing.onnx"
    given = [o.format(folder) for o in options]
    command = ["prune", str(folder / "net.onnx"), "-o", str(out), "--data", str(folder / "train.npz"), "--epochs", "0", *given]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert why in result.stderr
    assert not out.exists()


def test_flash_that_no_firmware_keeps(folder: Path) -> None:
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    for limit, least in (("--flash", "100"), ("--latency", "0.001")):
        command = ["prune", str(folder / "net.onnx"), "-o", str(folder / "nothing.onnx"), limit, least, "--epochs", "0"]
        result = CliRunner().invoke(main, [*command, "--least", "0.9"])
        assert result.exit_code == 2
        assert f"does not keep {limit[2:]} " in result.stderr
        assert not (folder / "nothing.onnx").exists()
