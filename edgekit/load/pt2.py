"""A look into a `.pt2` archive (torch.export.save) before torch opens it: nothing in it may run code."""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import BadModel

RESAVE = "save it again: torch.export.save(torch.export.export(net, inputs), 'model.pt2')"
# What torch.save of plain tensors refers to; everything else in a pickle is code of someone's.
TENSOR_GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch\.serialization _get_layout|torch Size"
    r"|torch (Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage|torch (float|int|uint|bfloat)\d+|torch bool"
)
# Symbolic sizes are evaluated by torch: names and arithmetic only, written as it is or in SymPy's constructors.
SAFE_SIZE = re.compile(
    r"(?:[su]\d+|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|oo|int_oo|Add|Mul|Pow|Integer|Rational|[\d\s+\-*/(),<>=]"
    r"|Symbol\('[su]\d+'(?:, \w+=(?:True|False))*\))*"
)


def inspect_pt2(path: Path) -> None:
    """Raises BadModel for what is not a .pt2 archive, and for pickled objects, custom objects or odd expressions in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = [n.partition("/")[2] or n for n in names]
            if not any(re.fullmatch(r"models/[^/]+\.json|serialized_exported_program\.json", n) for n in (*inner, *names)):
                raise BadModel(f"'{path}' is not a torch.export archive", what_it_is(inner))
            problems = [problem for n in names for problem in _problems(n, archive.read(n))]
    except OSError as error:
        raise BadModel(f"cannot read '{path}': {error.strerror or error}", "give the path of a .pt2 file") from None
    except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError):
        raise BadModel(f"'{path}' is not a whole .pt2 archive", RESAVE) from None
    if problems:
        raise BadModel(f"'{path}' holds what is not loaded: " + "; ".join(dict.fromkeys(problems)), RESAVE)


def is_torchscript(path: Path) -> bool:
    """Whether the file is what torch.jit.save writes: a zip with code/ and constants.pkl."""
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [n.partition("/")[2] for n in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    return "constants.pkl" in inner and "data.pkl" in inner and any(n.startswith("code/") for n in inner)


def what_it_is(inner: list[str]) -> str:
    """How to go on with a zip that is no .pt2: TorchScript, or weights."""
    if any(n.startswith("code/") for n in inner):
        return "it is TorchScript: give it the suffix .pt"
    if "data.pkl" in inner:
        return "it holds weights or a pickled module: give the code that builds the network, file.py:function --weights FILE"
    return RESAVE


def _problems(name: str, data: bytes) -> Iterator[str]:
    if name.endswith((".pkl", ".debug_pkl")):
        yield from (f"pickled {g} in {name}" for g in globals_of(data) if not TENSOR_GLOBALS.fullmatch(g))
    elif "custom_obj" in name:
        yield f"a custom object, {name}"
    elif name.endswith(".json"):
        yield from _json_problems(name, json.loads(data))
    elif zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as nested:
            for inner in nested.namelist():
                yield from _problems(f"{name}/{inner}", nested.read(inner))
    elif name.endswith((".pt", ".py", ".so")):
        yield f"code or an old pickle, {name}"


def _json_problems(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _json_problems(name, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "as_custom_obj" or (key == "use_pickle" and item):
                yield f"{'a custom object' if key == 'as_custom_obj' else 'a pickled tensor'} in {name}"
            elif key == "expr_str" and not (isinstance(item, str) and SAFE_SIZE.fullmatch(item)):
                yield f"the size {item!r} in {name}"
            else:
                yield from _json_problems(name, item)


def globals_of(pickle: bytes) -> list[str]:
    """Every "module name" that a pickle would import, without running it. Raises ValueError for a damaged one.

    A name that is not spelled right before its use (it may come from the memo) is "a hidden name".
    """
    found: list[str] = []
    texts: list[str] = []  # pushed one after the other, up to here
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "FRAME"}:
            continue  # the stack stays as it is
        if opcode.name in {"GLOBAL", "INST"}:
            found.append(str(argument))
        elif opcode.name == "STACK_GLOBAL":
            found.append(" ".join(texts[-2:]) if len(texts) > 1 else "a hidden name")
        elif opcode.name.startswith("EXT"):
            found.append("extension " + str(argument))
        texts = [*texts, argument] if isinstance(argument, str) and "UNICODE" in opcode.name else []
    return found
