"""Recipes: a TOML file that says how an artefact was made, with a lock, so that `edgekit apply` makes it again bit for bit."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import __version__
from edgekit.data import Dataset
from edgekit.errors import BadConfig

# command -> the options it cannot do without.
COMMANDS = {"quantize": ("model", "out"), "distill": ("teacher", "out", "data")}
# Options that name files: kept relative to the recipe.
PATHS = ("model", "data", "unlabelled", "val", "eval", "teacher", "student", "student_weights", "out")
# What can change the arithmetic of making an artefact.
DISTRIBUTIONS = ("numpy", "onnx", "onnxruntime", "torch")


@dataclass(frozen=True)
class Recipe:
    """command: the verb; options: its arguments as the API names them (files relative to `folder`). lock: what went in and
    came out: versions, sha256 of models, data and result."""

    command: str
    options: Mapping[str, Any]
    lock: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()

    def arguments(self) -> dict[str, Any]:
        """The options with files as seen from here."""
        made = {k: _moved(str(v), self.folder) if k in PATHS else v for k, v in self.options.items() if k != "load"}
        load = {k: _moved(str(v), self.folder) if k == "weights" else v for k, v in self.options.get("load", {}).items()}
        return {**made, **load}


def versions() -> dict[str, str]:
    """Versions of what is installed here of all that can change the result."""
    found = {"edgekit": __version__, "python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def data_hash(data: Dataset | None) -> str:
    """sha256 of all samples and labels; "" for no data."""
    if data is None:
        return ""
    digest = hashlib.sha256()
    for sample in data:
        for name, array in sample.items():
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    if data.labels is not None:
        digest.update(np.ascontiguousarray(data.labels).tobytes())
    return digest.hexdigest()


def recipe_text(recipe: Recipe, folder: Path) -> str:
    """The file's text; files are named relative to `folder`, where it will lie."""
    plain = {k: v for k, v in recipe.options.items() if k != "load" and v not in (None, (), [], {}, "")}
    lines = ["# `edgekit apply` on this file makes the artefact again, bit for bit.", f"command = {_value(recipe.command)}", ""]
    lines += ["[options]", *(f"{k} = {_value(_seen_from(v, folder) if k in PATHS else v)}" for k, v in plain.items()), ""]
    load = {k: v for k, v in recipe.options.get("load", {}).items() if v}
    if load:
        lines += ["[options.load]"]
        lines += [f"{k} = {_value(_seen_from(v, folder) if k == 'weights' else v)}" for k, v in load.items()] + [""]
    lines += ["[lock]", *(f"{k} = {_value(v)}" for k, v in recipe.lock.items() if v), ""]
    lines += ["[lock.versions]", *(f"{k} = {_value(v)}" for k, v in recipe.versions.items())]
    return "\n".join(lines) + "\n"


def read_recipe(path: Path) -> Recipe:
    """Raises BadConfig for a file that is none."""
    hint = "recipes are what `edgekit quantize --max-drop` and `edgekit distill` write"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(f"cannot read {path}: {error}", hint) from error
    command, options, lock, held = data.get("command"), data.get("options", {}), data.get("lock", {}), {}
    if isinstance(lock, dict):
        held = lock.get("versions", {})
    tables = (options, lock, held, options.get("load", {}) if isinstance(options, dict) else None)
    if command not in COMMANDS or not all(isinstance(table, dict) for table in tables):
        raise BadConfig(f"{path} is not a recipe: it needs command ({', '.join(COMMANDS)}) and [options]", hint)
    missing = [name for name in COMMANDS[command] if not isinstance(options.get(name), str)]
    if missing:
        raise BadConfig(f"{path}: [options] of {command} lacks {', '.join(missing)}, or it is no text", hint)
    extra = sorted(set(data) - {"command", "options", "lock"})
    if extra:
        raise BadConfig(f"{path}: unknown keys {', '.join(extra)}", hint)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return Recipe(command, plain, {k: str(v) for k, v in lock.items() if k != "versions"}, held, path.parent)


def changes(recipe: Recipe, lock: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as the lock has it, a line each: inputs (sha256) and versions."""
    found = [f"{name}: {now.get(name, 'not installed')} here, {held} in the lock" for name, held in recipe.versions.items()]
    found = [line for line, (name, held) in zip(found, recipe.versions.items(), strict=True) if now.get(name) != held]
    names = [k for k, v in recipe.lock.items() if v and k in lock and lock[k] != v]
    return [*(f"{name} is another: {lock[name][:12]} here, {recipe.lock[name][:12]} in the lock" for name in names), *found]


def _moved(spec: str, folder: Path) -> str:
    head, tail = _split(spec)
    return spec if Path(head).is_absolute() else f"{os.path.normpath(folder / head)}{tail}"


def _seen_from(spec: Any, folder: Path) -> str:
    head, tail = _split(str(spec))
    return f"{Path(os.path.relpath(head, folder)).as_posix()}{tail}"


def _split(spec: str) -> tuple[str, str]:
    """A path, and the ":function(...)" of a Python file."""
    found = re.fullmatch(r"(.*\.py)(:.*)", spec)
    return (found[1], found[2]) if found else (spec, "")


def _value(value: Any) -> str:
    """A TOML value: strings are written as JSON writes them, which TOML reads alike."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(str(k))} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
