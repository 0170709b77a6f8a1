"""A newcomer's way, from the README alone: a PyTorch class in their file, its weights in a .pth, labelled data in an .npz,
to firmware on an emulated board that prints the right labels. Each step is the command they would type."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.bench.emulate import run_elf
from edgekit.target import find_target

MODEL = """
import torch
from torch import nn


class DigitNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        )
        self.classifier = nn.Linear(2 * width * 4 * 4, 10)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def make_net(width=8):
    return DigitNet(int(width))


def contract():
    from edgekit.graph import InputContract, OutputSpec

    return InputContract(outputs={"output": OutputSpec(labels="zero one two three four five six seven eight nine".split())})
"""
LABELS = "zero one two three four five six seven eight nine".split()
# The project's Makefile calls the Python that has zig.
TOOLS = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
BOARD = "arduino nano 33 ble"


def edgekit(folder: Path, *words: str) -> str:
    """stdout of one command, run as a user would in `folder`; it must succeed."""
    done = subprocess.run([sys.executable, "-m", "edgekit", *words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: net.py, best.pth (saved as Lightning does), train.npz, test.npz."""
    import torch
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("stranger")
    (folder / "net.py").write_text(MODEL)
    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32)[:, None]
    y = digits.target.astype(np.int64)
    np.savez(folder / "train.npz", x=x[:1400], y=y[:1400])
    np.savez(folder / "test.npz", x=x[1400:], y=y[1400:])
    names: dict[str, object] = {}
    exec(compile(MODEL, "net.py", "exec"), names)
    torch.manual_seed(0)
    net = names["make_net"]()  # type: ignore[operator]
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    inputs, labels = torch.from_numpy(x[:1400]), torch.from_numpy(y[:1400])
    for _ in range(12):
        for batch in torch.randperm(1400).reshape(-1, 56):
            optimizer.zero_grad()
            torch.autograd.backward(torch.nn.functional.cross_entropy(net(inputs[batch]), labels[batch]))
            optimizer.step()
    state = {f"model.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 12}, folder / "best.pth")
    return folder


def test_from_a_class_and_weights_to_firmware_that_prints_the_right_labels(workplace: Path) -> None:
    shape = ("--shape", "x=1,1,8,8")
    model = ("net.py:make_net", "--weights", "best.pth", *shape)
    words = (
        "quantize",
        *model,
        "-o",
        "digits.tflite",
        "--data",
        "train.npz",
        "--eval",
        "test.npz",
        "--target",
        BOARD,
        "--json",
    )
    answer = json.loads(edgekit(workplace, *words))
    before, after = answer["float_accuracy"]["value"], answer["measurements"][0]["value"]
    assert before > 0.85, "the float network must be worth deploying"
    assert after >= before - 0.02

    # Four digits it has never seen go into the firmware as golden vectors.
    test = np.load(workplace / "test.npz")
    np.savez(workplace / "four.npz", x=test["x"][:4], y=test["y"][:4])
    flags = ("--target", BOARD, "--project", "make", "--name", "kws", "--data", "four.npz", "-o", "firmware")
    edgekit(workplace, "export", "digits.tflite", *flags)
    built = subprocess.run(["make"], cwd=workplace / "firmware", env=TOOLS, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    elves = sorted((workplace / "firmware").rglob("*.elf"))
    assert len(elves) == 1
    text, status = run_elf(elves[0].read_bytes(), find_target(BOARD))
    assert status == 0, text
    assert re.findall(r" label (\w+)$", text, re.MULTILINE) == [LABELS[digit] for digit in test["y"][:4]], text

    verified = json.loads(edgekit(workplace, "verify", "digits.tflite", "--data", "test.npz", "--samples", "20", "--json"))
    assert verified["passed"], verified
