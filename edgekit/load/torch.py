"""PyTorch networks: `file.py:function` and `.pt2`, exported to ONNX in a child process, then read by the ONNX reader.

torch and the user's file are imported by the child only (torch_child.py). TorchScript is refused with the way to re-export.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit import contract as contracts
from edgekit import errors
from edgekit.errors import BadModel, EdgekitError
from edgekit.graph import Graph, InputContract, Shape
from edgekit.load.onnx import load_onnx
from edgekit.load.pt2 import inspect_pt2

CHILD = Path(__file__).with_name("torch_child.py")


def load_torch(
    spec: str | Path,
    *,
    weights: str | Path | None = None,
    args: Mapping[str, str] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    name: str | None = None,
    python: str | Path | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """The network that `file.py:function` returns (default: `build` or `model`), or that a `.pt2` archive holds.

    weights: a .pth or .safetensors file for the module. args: the function's arguments, as text. shapes: {input: shape} of
    float32 inputs; without it the file's example_inputs() is asked. python: the interpreter that runs the file (default:
    this one). Raises BadModel for errors in the user's file (naming file and line), MissingTool without torch.
    """
    path, function = split_spec(str(spec))
    if path.suffix == ".pt2":
        inspect_pt2(path)
        if weights is not None or args:
            raise BadModel(f"'{path}' holds its own weights and takes no arguments", "leave out --weights and --arg")
    elif not path.is_file():
        raise BadModel(f"no file '{path}'", "give file.py:function, or a .pt2 archive")
    job = {
        "source": str(path.resolve()),
        "function": function,
        "weights": None if weights is None else str(Path(weights).resolve()),
        "args": dict(args or {}),
        "shapes": {k: list(v) for k, v in (shapes or {}).items()},
    }
    stem = path.resolve().parent.name if path.stem == "model" else path.stem
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        answer = run_child(job, Path(folder), python)
        fixed = shapes if path.suffix == ".pt2" else None
        graph = load_onnx(Path(folder) / "model.onnx", name=name or stem, shapes=fixed, outputs=outputs)
    graph = with_contract(graph, answer.get("contract") or {}, path)
    for note in ("load_torch", *answer.get("notes", [])):
        graph = graph.with_history(note)
    return graph


def split_spec(spec: str) -> tuple[Path, str | None]:
    """(file, function or None) of "file.py:function"."""
    head, colon, tail = spec.rpartition(":")
    if colon and head.endswith(".py"):
        if not tail.isidentifier():
            raise BadModel(f"'{tail}' in '{spec}' is not a function's name", "give file.py:function")
        return Path(head), tail
    return Path(spec), None


def run_child(job: Mapping[str, Any], folder: Path, python: str | Path | None = None) -> dict[str, Any]:
    """What torch_child.py answers; model.onnx lies in `folder`. Raises its refusals as edgekit errors."""
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    environment = dict(os.environ)
    if python is None:
        # The user's file may import edgekit (for its contract), also where edgekit runs from a source tree.
        root = str(Path(errors.__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(p for p in (environment.get("PYTHONPATH"), root) if p)
    command = [str(python or sys.executable), str(CHILD), str(folder / "job.json"), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    except OSError as error:
        raise errors.MissingTool(f"cannot run '{command[0]}': {error.strerror}", "check --python") from None
    answer_file = folder / "answer.json"
    if not answer_file.is_file():
        last = [line for line in done.stderr.strip().splitlines() if line.strip()][-3:]
        died = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with status {done.returncode}"
        raise BadModel(
            "\n  ".join([f"the process that runs '{job['source']}' {died}", *last]), "run the file by itself to see why"
        )
    answer: dict[str, Any] = json.loads(answer_file.read_text("utf-8"))
    if not answer["ok"]:
        kind: type[EdgekitError] = getattr(errors, answer["kind"])
        raise kind(answer["message"], answer["hint"])
    return answer


def with_contract(graph: Graph, data: Mapping[str, Any], path: Path) -> Graph:
    """The graph with the file's own contract, over what the reader knows (layouts)."""
    given = contracts.from_json(data, where=f"'{path}'")
    unknown = [n for n in given.inputs if n not in graph.inputs] + [n for n in given.outputs if n not in graph.outputs]
    if unknown:
        has = f"the network has {', '.join((*graph.inputs, *graph.outputs))}"
        raise BadModel(f"contract() of '{path}' names '{unknown[0]}', which is no input or output", has)
    inputs = dict(graph.contract.inputs)
    for key, spec in given.inputs.items():
        read = graph.contract.input(key)
        inputs[key] = replace(spec, layout=spec.layout or read.layout, perm=read.perm)
    return replace(graph, contract=InputContract(inputs, {**graph.contract.outputs, **given.outputs}))
