"""A project in a folder: a small network, labelled data that it answers well, edgekit.toml, in git when asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.bench.toolchain import cache_dir
from edgekit.data import from_arrays
from edgekit.evaluate import outputs
from edgekit.load import load

CLASSES, SIDE = 4, 12
TOML = """\
# limits of the project
[model.net]
source = "net.onnx"
data = "data.npz"
eval = "data.npz"
accuracy = ">= 0.85"

[model.net.limits.mcu]
flash = "{flash}"
ram = "8 KiB"
growth = {{ ram = "0 %", flash = "10 %" }}
"""


def network(width: int = 16, middle: int = 4, broken: bool = False) -> onnx.ModelProto:
    """x [1, 1, 12, 12] -> 4 logits: two convolutions, a pool, a dense layer. width: channels that lie in flash rather than
    in RAM; middle: channels at the peak of RAM. broken: its last layer answers otherwise."""
    rng = np.random.default_rng(0)
    pool_c = 16 if width < 16 else width
    weights = {
        "w1": rng.normal(0, 0.5, (24, 1, 3, 3))[:middle],
        "b1": rng.normal(0, 0.1, 24)[:middle],
        "w2": rng.normal(0, 0.3, (64, 24, 3, 3))[:pool_c, :middle],
        "b2": rng.normal(0, 0.1, 64)[:pool_c],
        "w3": rng.normal(0, 1, (CLASSES, 64))[:, :pool_c],
        "b3": np.zeros(CLASSES),
    }
    if broken:
        weights["w3"] = weights["w3"][::-1]
    same: dict[str, Any] = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", **same),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], "second", strides=[2, 2], **same),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"], "mean"),
        helper.make_node("Flatten", ["g"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "last", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.ascontiguousarray(w, np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def save_network(folder: Path, **options: int | bool) -> None:
    (folder / "net.onnx").write_bytes(network(**options).SerializeToString())  # type: ignore[arg-type]  # int and bool


def make_project(folder: Path, flash: str = "64 KiB") -> Path:
    """edgekit.toml of a new project in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_network(folder)
    graph = load(folder / "net.onnx")
    x = np.random.default_rng(1).normal(0, 1, (256, 1, SIDE, SIDE)).astype(np.float32)
    answers = [result[graph.outputs[0]].ravel() for result in outputs(graph, from_arrays(graph, {"x": x}))]
    logits = np.array(answers)
    best = np.sort(logits, axis=1)
    sure = np.argsort(best[:, -2] - best[:, -1])[:128]  # quantizing hardly moves these
    np.savez(folder / "data.npz", x=x[sure], y=logits[sure].argmax(1))
    (folder / "edgekit.toml").write_text(TOML.format(flash=flash))
    return folder / "edgekit.toml"


def git(folder: Path, *arguments: str) -> str:
    """Run git there, without the configuration of whoever runs the tests."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    line = ["git", *who, *arguments]
    return subprocess.run(line, cwd=folder, env={**os.environ, **own}, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str = "as it is") -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def own_cache(folder: Path) -> Path:
    """A cache of its own that shares the compiler's libraries, which take seconds to build."""
    shared = cache_dir()
    (shared / "zig").mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for item in shared.iterdir():
        if item.name != "check":
            (folder / item.name).symlink_to(item)
    return folder
