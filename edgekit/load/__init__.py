"""load: any supported model file as a Graph, recognised by what is in it, not by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import BadConfig, BadModel
from edgekit.graph import REMAKE, Graph, Shape, check
from edgekit.load.foreign import KINDS, told, told_of_folder, told_of_torch, told_of_zip
from edgekit.ops import infer

NAMES = {"onnx": "ONNX files", "tflite": "TFLite files", "keras": "Keras models", "torch": "PyTorch networks"}
# Options that not every format has: the flag, and which have it.
FLAGS = {
    "weights": ("--weights", ("torch",)),
    "args": ("--arg", ("torch",)),
    "python": ("--python", ("torch", "keras")),
    "trust": ("--trust", ("keras",)),
    "fixed": ("--set", ("onnx",)),
}
RUN = ("python", "trust")  # how a model's file is run


def load(
    source: str | Path,
    *,
    name: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    weights: str | Path | None = None,
    args: Mapping[str, str] | None = None,
    python: str | Path | None = None,
    outputs: Sequence[str] | None = None,
    states: Mapping[str, str] | None = None,
    audio: str | None = None,
    image: str | None = None,
    fixed: Mapping[str, str] | None = None,
    trust: bool = False,
) -> Graph:
    """The model as a checked Graph.

    source: a path, or "file.py:function". shapes: {input: shape} for dynamic axes (and for the inputs of a PyTorch file
    without example_inputs()). outputs: values to cut the network at, instead of its own outputs.
    states: {input: output} that the network carries from run to run (see `edgekit.states`). audio: a front-end to put
    before it (see `edgekit.audio`). image: how its pictures are prepared (see `edgekit.image`). fixed: {input: its value,
    as text} of inputs that become constants (ONNX). weights, args: for PyTorch files only (see `load_torch`); python: for
    these and Keras. trust: run code that a Keras file or SavedModel holds. Raises BadModel for a missing, damaged or unknown
    file, Unsupported listing all operators that cannot be read, BadConfig for options that do not apply.
    """
    kind = recognise(source)
    given = {"weights": weights, "args": args, "python": python, "trust": trust, "fixed": fixed}
    useless = [FLAGS[key][0] for key, value in given.items() if value and kind not in FLAGS[key][1]]
    if useless:
        raise BadConfig(f"{', '.join(useless)} is not for {NAMES[kind]}, as '{source}' is", "leave it out")
    if kind == "torch":
        from edgekit.load.torch import load_torch

        graph = load_torch(source, weights=weights, args=args, shapes=shapes, name=name, python=python, outputs=outputs)
    elif kind == "keras":
        from edgekit.load.keras import load_keras

        graph = load_keras(source, name=name, shapes=shapes, python=python, outputs=outputs, trust=trust)
    elif kind == "tflite":
        from edgekit.load.tflite import load_tflite

        graph = load_tflite(source, name=name, shapes=shapes, outputs=outputs)
    else:
        from edgekit.load.onnx import load_onnx

        graph = load_onnx(source, name=name, shapes=shapes, outputs=outputs, fixed=fixed)
    graph = inferred(graph)
    if states:
        from edgekit.states import carry

        graph = carry(graph, states)
    if image:
        from edgekit.image import declare

        graph = declare(graph, image)
    if audio:
        from edgekit.audio import read_spec
        from edgekit.frontend import attach

        graph = attach(graph, read_spec(audio))
    return graph


def divided(
    source: str | Path | Graph, other: str | Path | Graph, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options to load `source` with, options to load `other` with): the other gets those that only its format has, and both
    what says how to run a file (python, trust), where they have it."""

    def has(model: str | Path | Graph, key: str) -> bool:
        return not isinstance(model, Graph) and recognise(model) in FLAGS[key][1]

    mine = {k: v for k, v in options.items() if k not in FLAGS or has(source, k) or not (has(other, k) or k in RUN)}
    theirs = {k: v for k, v in options.items() if k in FLAGS and has(other, k) and (k in RUN or k not in mine)}
    return mine, theirs


def recognise(source: str | Path) -> str:
    """ "onnx", "tflite", "keras" (SavedModels too) or "torch". Raises BadModel, saying what it seems to be, for others."""
    text = str(source)
    path = Path(text)
    if text.rpartition(":")[0].endswith(".py") or path.suffix == ".py":
        return "torch"
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "keras"
        what, fix = told_of_folder(path)
        raise BadModel(f"'{path}' is {what}", fix)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise BadModel(f"cannot read '{path}': {error.strerror}", f"give {KINDS}") from None
    if not head:
        raise BadModel(f"'{path}' is empty", "the copy or download failed; fetch it again")
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return "keras"
    if head[:4] == b"PK\x03\x04":
        return _recognise_zip(path)
    if looks_like_onnx(head):
        return "onnx"
    what, fix = told(path, head)
    raise BadModel(f"'{path}' is {what}", fix)


def _recognise_zip(path: Path) -> str:
    """A zip: .pt2, or what a person may take for a model."""
    from edgekit.load.pt2 import is_torchscript

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        inner = [n.partition("/")[2] or n for n in names]
    except (OSError, zipfile.BadZipFile, ValueError):
        raise BadModel(f"'{path}' is a damaged zip archive", "the copy or download failed; fetch it again") from None
    if path.suffix == ".pt2":
        return "torch"
    if "archive_format" in inner:
        raise BadModel(f"'{path}' is a torch.export archive with another suffix", f"rename it to {path.stem}.pt2")
    if any(n in {"config.json", "model.weights.h5"} for n in (*inner, path.name)):
        return "keras"
    if is_torchscript(path):
        return "torch"
    if any(n.startswith("code/") for n in inner) or "data.pkl" in inner:
        what, fix = told_of_torch(path)
        raise BadModel(f"'{path}' is no model that can be read as it is: {what}", fix)
    what, fix = told_of_zip(path, names)
    raise BadModel(f"'{path}' is {what}", fix)


def looks_like_onnx(head: bytes) -> bool:
    """True when the bytes start as a ModelProto does: known fields, in their wire types, with sizes that make sense."""
    # Field number -> wire type of ModelProto's fields (onnx.proto).
    fields = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2}
    at = seen = 0
    while at < len(head) and seen < 4:
        key, at = _varint(head, at)
        if key is None:
            return False
        if fields.get(key >> 3) != key & 7:
            return False
        size, at = _varint(head, at)
        if size is None:
            return seen > 0
        at += size if key & 7 == 2 else 0
        seen += 1
    return seen > 0


def _varint(data: bytes, at: int) -> tuple[int | None, int]:
    """(value, next position) of a protobuf varint; None when it is cut short or too long."""
    value = 0
    for i in range(10):
        if at + i >= len(data):
            return None, at
        value |= (data[at + i] & 0x7F) << (7 * i)
        if not data[at + i] & 0x80:
            return value, at + i + 1
    return None, at


def inferred(graph: Graph) -> Graph:
    """The graph, checked: every node's declared output shape and dtype is what its inputs give. Raises BadModel."""
    check(graph)
    empty = [f"'{name}' {list(tensor.shape)}" for name, tensor in graph.tensors.items() if 0 in tensor.shape]
    if empty:
        raise BadModel(f"'{graph.name}' has values of size zero, which hold nothing: {', '.join(empty[:8])}", REMAKE)
    faults: list[str] = []
    for node in graph.nodes:
        for (shape, dtype), tensor in zip(infer(node, graph.input_tensors(node)), graph.output_tensors(node), strict=True):
            if shape != tensor.shape or (dtype != tensor.dtype and tensor.quant is None):
                declared = f"{tensor.dtype}{list(tensor.shape)}"
                faults.append(f"{node.op} '{node.source}' gives {dtype}{list(shape)}, the file declares {declared}")
    if faults:
        raise BadModel(f"'{graph.name}' contradicts itself:\n  " + "\n  ".join(faults[:8]), "save the model again")
    return graph
