"""Figures of models that have not changed: kept by the content of everything they depend on, so that they cost nothing.

An entry is a file of its own, replaced in one step: two processes may write the same one, and a damaged one counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.bench.toolchain import cache_dir
from edgekit.config import ModelConfig
from edgekit.errors import BadData, EdgekitError
from edgekit.report.model import RunReport, from_json
from edgekit.target import Target

# Figures depend on the versions of these.
TOOLS = ("ziglang", "unicorn", "tflite-micro", "onnxruntime", "numpy", "onnx", "onnxscript", "torch", "ai-edge-litert")
# What a Python file may read from its own folder: part of its content as far as the cache is concerned.
BESIDE = frozenset(".py .pth .pt .pt2 .safetensors .npz .npy .csv .onnx .tflite .bin .ckpt .wav".split())
KEPT = 256  # entries; the oldest go first
# Fields of a model's configuration that its figures do not depend on, or only by the contents of what they name.
APART = frozenset({"name", "source", "folder", "data", "eval", "weights", "limits", "growth"})
# A location of ONNX external data: StringStringEntryProto {key: "location", value: ...} as protobuf writes it.
EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


def key_of(config: ModelConfig, targets: Iterable[Target]) -> str:
    """A hash of all that one model's figures depend on; limits, names of folders and dates are not among it.

    Model, weights and data by their bytes (a folder of data by every file's); a Python file with what lies beside it.
    What a Python file reads from elsewhere is not seen. Raises OSError when a file cannot be read.
    """
    whole = hashlib.sha256()

    def add(*items: object) -> None:
        for item in items:
            data = item if isinstance(item, bytes) else json.dumps(item, sort_keys=True, default=str).encode()
            whole.update(len(data).to_bytes(8, "little") + data)

    add(__version__, _own_code(), {name: _version(name) for name in TOOLS}, sys.version_info[:2], platform.machine())
    add([asdict(target) for target in targets], list(config.targets))
    add({f.name: getattr(config, f.name) for f in fields(config) if f.name not in APART})
    for spec in (config.source, config.data, config.eval, config.weights, *config.spec_files):
        add(None if spec is None else Path(spec).name)
        for name, digest in _contents(spec) if spec else ():
            add(name, digest)
    return whole.hexdigest()


def load(key: str) -> RunReport | None:
    """The figures kept under `key`; None when there are none, or the entry is damaged."""
    path = _path(key)
    try:
        entry = json.loads(path.read_text(encoding="utf-8")) if path else {}
        if entry.get("key") != key or entry.get("sha256") != _digest(entry["run"]):
            return None
        report = from_json(entry["run"], str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadData):
        return None
    with contextlib.suppress(OSError):
        if path:
            os.utime(path)  # the oldest entries go first
    return report


def save(key: str, report: RunReport) -> None:
    """Keep figures. A cache that cannot be written is no reason to fail. Nothing is kept of a firmware that could not be
    built or run: the reason may be a passing one."""
    path = _path(key)
    if path is None or any(_failed(result) for result in report.results):
        return
    run = report.to_json()
    text = json.dumps({"key": key, "sha256": _digest(run), "run": run}, ensure_ascii=False)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _trim(path.parent)


def _failed(result: Any) -> bool:
    flash = result.get("flash")
    return result.engine in {"c", "tflm"} and (flash is None or flash.value is None)


def _path(key: str) -> Path | None:
    try:
        return cache_dir() / "check" / f"{key}.json"
    except EdgekitError:
        return None


def _trim(folder: Path) -> None:
    entries = sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in entries[KEPT:]:
        old.unlink(missing_ok=True)


def _digest(run: Any) -> str:
    return hashlib.sha256(json.dumps(run, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _own_code() -> str:
    """edgekit itself: a checkout changes without its version."""
    return _together(sorted(p for p in Path(__file__).parent.rglob("*") if p.is_file() and p.suffix not in {".pyc", ".pyo"}))


def _contents(spec: str) -> Iterator[tuple[str, str]]:
    """(name, hash) of the files behind a model, weights or data."""
    code = re.fullmatch(r"(?P<file>.+\.py)(?::\w+(?:\(\w+\))?)?", spec)
    path = Path(code["file"] if code else spec)
    if code:
        files = [p for p in path.parent.iterdir() if p.is_file() and (p.suffix.lower() in BESIDE or p == path)]
    elif path.is_dir():
        files = [p for p in path.rglob("*") if p.is_file()]
    else:
        files = [path, *_external(path)]
    root = path if path.is_dir() else path.parent
    for file in sorted(files):
        yield file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name, _hash(file)


def _external(path: Path) -> Iterator[Path]:
    """Files that an ONNX model keeps its weights in."""
    if path.suffix != ".onnx":
        return
    data = path.read_bytes()
    for match in {m.end(): m for m in EXTERNAL.finditer(data)}.values():
        name = data[match.end() : match.end() + match[1][0]]
        file = path.parent / name.decode("utf-8", "replace").replace("\0", "")
        if file.is_file():
            yield file


def _together(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(_hash(file).encode())
    return whole.hexdigest()


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
