"""A training command killed at some step and started again writes what it would have written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from edgekit.cli import main
from edgekit.export.onnx import export_onnx
from edgekit.load import load
from tests.passes.digits import digits, untrained

ROOT = Path(__file__).parents[2]
TRAINING = ("--data", "data.npz", "--epochs", "6", "--batch", "16", "--lr", "5e-3")
COMMANDS = {
    "prune": ("prune", "net.onnx", "-o", "{}", "--ratio", "0.3", "--steps", "2", "--multiple", "1", "--no-bench", *TRAINING),
    "distill": ("distill", "net.onnx", "-o", "{}", "--student-width", "0.5", "--loss", "logit,feature", *TRAINING),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interrupted")
    (path / "net.onnx").write_bytes(export_onnx(untrained(width=4)))
    x, y = digits()
    np.savez(path / "data.npz", x=x[:160], y=y[:160])
    return path


def killed(command: list[str], folder: Path, name: str) -> bool:
    """Start it, and kill it some time after its first checkpoint. False when it was faster each time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "edgekit", *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        limit = time.monotonic() + 120
        while not list(folder.glob(f"{name}.checkpoint*")) and child.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(random.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        if child.wait() == -signal.SIGKILL:
            return True
        Path(name).unlink()
    return False


@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_and_started_again_it_writes_the_same(folder: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def command(out: str) -> list[str]:
        return [a.format(out) for a in COMMANDS[verb]]

    whole = CliRunner().invoke(main, command(f"{verb}-whole.onnx"))
    assert whole.exit_code == 0, whole.stderr
    name = f"{verb}-killed.onnx"
    assert killed(command(name), folder, name), "it ended before it was killed, three times"
    assert not Path(name).exists()
    again = CliRunner().invoke(main, command(name))
    assert again.exit_code == 0, again.stderr
    assert not list(folder.glob(f"{name}.checkpoint*"))
    ours, theirs = load(name), load(f"{verb}-whole.onnx")
    assert ours.tensors.keys() == theirs.tensors.keys()
    for tensor in ours.tensors.values():
        other = theirs[tensor.name].data
        if tensor.data is not None:
            assert other is not None
            assert np.array_equal(tensor.data, other), tensor.name
    losses = [line for line in whole.stderr.splitlines() if "loss" in line]
    assert [line for line in again.stderr.splitlines() if "loss" in line] == losses[-len(again.stderr.splitlines()) :]
