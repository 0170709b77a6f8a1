"""PyTorch networks: `file.py:function`, `.pt2` and TorchScript, exported to ONNX in a child process, then read by the ONNX
reader. torch and the user's file are imported by the child only (torch_child.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit import contract as contracts
from edgekit.errors import BadModel
from edgekit.graph import Graph, InputContract, Shape
from edgekit.load.child import run_child
from edgekit.load.onnx import load_onnx
from edgekit.load.pt2 import inspect_pt2, is_torchscript

CHILD = Path(__file__).with_name("torch_child.py")
GENERIC = ("build", "model")  # names of functions and files that say nothing of the network


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
    """The network that `file.py:function` returns (default: `build` or `model`), or that a `.pt2` or TorchScript archive holds.

    weights: a .pth or .safetensors file for the module. args: the function's arguments, as text. shapes: {input: shape};
    inputs are float32, or int64 where the network takes only ids; without it the file's example_inputs() is asked.
    python: the interpreter that runs the file (default: this one). Raises BadModel for errors in the
    user's file (naming file and line), MissingTool without torch.
    """
    path, function = split_spec(str(spec))
    archive = path.suffix != ".py"
    script = archive and is_torchscript(path)
    if archive:
        if not script:
            inspect_pt2(path)
        if weights is not None or args:
            raise BadModel(f"'{path}' holds its own weights and takes no arguments", "leave out --weights and --arg")
    elif not path.is_file():
        raise BadModel(f"no file '{path}'", "give file.py:function, or a .pt2 archive")
    job = {
        "source": str(path.resolve()),
        "function": function,
        "torchscript": script,
        "weights": None if weights is None else str(Path(weights).resolve()),
        "args": dict(args or {}),
        "shapes": {k: list(v) for k, v in (shapes or {}).items()},
    }
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        answer = run_child(CHILD, job, Path(folder), python)
        fixed = shapes if archive and not script else None
        graph = load_onnx(Path(folder) / "model.onnx", name=name or name_of(path, function), shapes=fixed, outputs=outputs)
    graph = with_contract(graph, answer.get("contract") or {}, path)
    for note in ("load_torch", *answer.get("notes", [])):
        graph = graph.with_history(note)
    return graph


def name_of(path: Path, function: str | None) -> str:
    """What to call the network of a file: its function, where that says more than "build" or "model"; else the file, or its
    folder."""
    if function not in {None, *GENERIC}:
        return str(function)
    return path.resolve().parent.name or "model" if path.stem in GENERIC else path.stem


def split_spec(spec: str) -> tuple[Path, str | None]:
    """(file, function or None) of "file.py:function"."""
    head, colon, tail = spec.rpartition(":")
    if colon and head.endswith(".py"):
        if not tail.isidentifier():
            raise BadModel(f"'{tail}' in '{spec}' is not a function's name", "give file.py:function")
        return Path(head), tail
    return Path(spec), None


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
