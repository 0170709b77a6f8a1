"""edgekit prune, from the command line: what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")

from edgekit import ops
from edgekit.cli import main
from edgekit.export.onnx import export_onnx
from edgekit.load import load
from edgekit.passes import finetune
from edgekit.trainable import to_module
from tests.passes.digits import dataset, digits, trained


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def refused(*args: str | Path) -> str:
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "a fault of edgekit" not in result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx, trained; train.npz, test.npz."""
    path = tmp_path_factory.mktemp("prune")
    (path / "net.onnx").write_bytes(export_onnx(trained()))
    x, y = digits()
    np.savez(path / "train.npz", x=x[:800], y=y[:800])
    np.savez(path / "val.npz", x=x[1000:1200], y=y[1000:1200])
    np.savez(path / "test.npz", x=x[1200:], y=y[1200:])
    return path


def pruned(folder: Path, out: str, *more: str) -> dict[str, Any]:
    files = ("--data", folder / "train.npz", "--eval", folder / "test.npz")
    result = run("prune", folder / "net.onnx", "-o", folder / out, *files, "--no-bench", "--json", *more)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_half_the_macs_for_little_accuracy(folder: Path) -> None:
    found = pruned(folder, "half.onnx", "--ratio", "0.5", "--epochs", "4", "--lr", "5e-3", "--batch", "32")
    graph = load(str(folder / "half.onnx"))
    assert found["macs"]["after"] == ops.macs(graph) <= found["macs"]["before"] / 2
    assert found["judged"]["drop"] < 2.0
    kept = finetune.evaluate(to_module(graph), dataset(graph, 1200, 1797))
    assert kept == pytest.approx(found["judged"]["after"])
    assert "BATCH_NORM" in {node.op for node in graph.nodes}
    assert not (folder / "half.onnx.checkpoints").exists()
    again = pruned(folder, "again.onnx", "--ratio", "0.5", "--epochs", "4", "--lr", "5e-3", "--batch", "32")
    assert again["judged"] == found["judged"]
    assert (folder / "again.onnx").read_bytes() == (folder / "half.onnx").read_bytes()


def test_a_schedule_stops_before_too_much_is_lost(folder: Path) -> None:
    found = pruned(folder, "drop.onnx", "--max-drop", "3", "--steps", "4", "--epochs", "2", "--lr", "5e-3", "--batch", "32")
    assert found["judged"]["drop"] <= 3
    assert 1 <= len(found["steps"]) <= 4
    assert found["macs"]["after"] < found["macs"]["before"]


def test_what_decides_is_said_and_is_not_what_is_reported_on(folder: Path) -> None:
    options = ("--max-drop", "50", "--steps", "2", "--epochs", "1", "--ratio", "0.4", "--augment", "shift=1x1x0")
    found = pruned(folder, "said.onnx", *options)
    assert found["decided"]["note"] == f"160 samples of {folder / 'train.npz'} (held out)"
    assert found["trained"] == 640
    assert found["judged"]["note"] == f"597 samples of {folder / 'test.npz'}"
    found = pruned(folder, "named.onnx", *options, "--val", str(folder / "val.npz"))
    assert (found["trained"], found["decided"]["note"]) == (800, f"200 samples of {folder / 'val.npz'}")
    files = ("--data", folder / "train.npz", "--eval", folder / "test.npz", "--no-bench")
    text = run("prune", folder / "net.onnx", "-o", folder / "t2.onnx", *files, *options).stdout
    assert "reported on 597 samples" in text
    assert "decided on 160 samples" in text


def test_limits_are_shares_of_the_whole_network(folder: Path) -> None:
    found = pruned(folder, "share.onnx", "--macs", "40%", "--params", "50%", "--epochs", "0", "--multiple", "1")
    for what, share in (("macs", 0.4), ("params", 0.5)):
        assert found[what]["after"] <= share * found[what]["before"]


def test_zeros_are_honest(folder: Path) -> None:
    found = pruned(folder, "zeros.onnx", "--pattern", "2:4", "--epochs", "1")
    assert found["zeros"] == pytest.approx(0.5, abs=0.05)
    assert found["macs"]["after"] == found["macs"]["before"]
    result = run("prune", folder / "net.onnx", "-o", folder / "z.onnx", "--unstructured", "--ratio", "0.7", "--no-bench")
    assert result.exit_code == 0
    assert "no kernel skips them" in result.stdout


def test_scan_shows_every_layer(folder: Path) -> None:
    result = run("prune", folder / "net.onnx", "--scan", "--eval", folder / "test.npz", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [row["units"] for row in found["layers"]] == [16, 16, 16]
    assert max(row["values"][-1] for row in found["layers"]) < found["whole"]
    text = run("prune", folder / "net.onnx", "--scan", "--eval", folder / "test.npz").stdout
    assert "-25%" in text


def test_gains_are_shown_on_the_target(folder: Path) -> None:
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    result = run(
        "prune", folder / "net.onnx", "-o", folder / "t.onnx", "--ratio", "0.5", "--data", folder / "train.npz", "--epochs", "0"
    )
    assert result.exit_code == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("instructions"))
    assert "-" in line.split()[-2]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "how much is to be pruned"),
        (("--ratio", "1.5"), "leaves nothing or everything"),
        (("--ratio", "0.999"), "would empty layers"),
        (("--ratio", "0.5", "--score", "taylor"), "needs data"),
        (("--max-drop", "1"), "needs data to judge on"),
        (("--unstructured", "--macs", "1k"), "save no MACs"),
        (("--ratio", "0.5", "--data", "{}/none.npz"), "no data at"),
        (("--ratio", "0.5", "--data", "{}/unlabelled.npz", "--score", "taylor"), "needs labels"),
        (("--ratio", "0.5", "--data", "{}/wrong.npz"), "out of range"),
        (("--ratio", "0.5", "--data", "{}/train.npz", "--lr", "1e30", "--epochs", "2"), "the loss became"),
        (("--pattern", "two"), "not N:M"),
        (("--flash", "150%"), "no share of the whole"),
        (("--macs", "many"), "not a number"),
        (("--ratio", "0.5", "--score", "auto"), "tries networks after recovery"),
        (("--ratio", "0.5", "--data", "{}/train.npz", "--augment", "blur=2"), "'blur=2' is none"),
        (("--ratio", "0.5", "--data", "{}/train.npz", "--augment", "shift=1x1"), "has axes"),
    ],
)
def test_what_cannot_be_done_changes_nothing(folder: Path, options: tuple[str, ...], why: str) -> None:
    x, y = digits()
    np.savez(folder / "unlabelled.npz", x=x[:100])
    np.savez(folder / "wrong.npz", x=x[:100], y=y[:100] + 5)
    out = folder / "kept.onnx"
    out.write_bytes(b"mine")
    given = [o.format(folder) for o in options]
    message = refused("prune", folder / "net.onnx", "-o", out, "--force", "--no-bench", *given)
    assert why in message
    assert out.read_bytes() == b"mine"


def test_files_are_not_replaced(folder: Path) -> None:
    assert "exists" in refused("prune", folder / "net.onnx", "-o", folder / "net.onnx", "--ratio", "0.5")
