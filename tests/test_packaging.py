"""The rules of the house that no tool checks: who may import what, and what the package holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edgekit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgekit"
FRAMEWORKS = {
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "tensorflow",
    "tflite_micro",
    "ai_edge_litert",
    "flatbuffers",
}
# Library -> the modules (path prefixes) that may import it. What is not named may be imported by anyone.
ALLOWED = {
    "torch": ("load/torch", "trainable", "passes/finetune"),
    "torchmetrics": ("passes/finetune_metrics", "doctor"),
    "onnx": ("load/onnx", "load/torch", "export/onnx", "bench/ort"),
    "onnxruntime": ("bench/ort", "passes/quantize/observe", "doctor"),
    "tensorflow": ("load/keras",),
    "flatbuffers": ("load/tflite", "export/tflite"),
    "click": ("cli",),
}
# These import no framework, nor does what they import.
CORE = ("graph", "ops", "fixedpoint", "errors", "schedule", "memory")


def imports(file: Path) -> set[str]:
    """Dotted names a module imports anywhere, those for type checking only left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        n for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)
    }
    nodes = [n for n in ast.walk(tree) if n not in typing_only]
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return names | {f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) and n.module for a in n.names}


MODULES = {file.relative_to(PACKAGE).with_suffix("").as_posix(): imports(file) for file in sorted(PACKAGE.rglob("*.py"))}


def test_imports_keep_the_rules_of_the_house() -> None:
    broken = []
    for module, names in MODULES.items():
        tops = {name.split(".")[0] for name in names}
        broken += [f"{module}: {lib}" for lib in tops & set(ALLOWED) if not module.startswith(ALLOWED[lib])]
        if module.split("/")[0] in CORE:
            broken += [f"{module}: {name}" for name in tops & FRAMEWORKS]
        broken += [
            f"{module}: {n}" for n in names if n.startswith("edgekit.cli") and not module.startswith(("cli", "__main__"))
        ]
    assert broken == []


def test_the_core_loads_no_framework_by_way_of_others() -> None:
    code = f"import sys, {', '.join(f'edgekit.{name}' for name in CORE)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not FRAMEWORKS & set(loaded)


def test_help_loads_no_library_but_click() -> None:
    code = "import sys; from edgekit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in loaded
    assert not {"numpy", "rich", *FRAMEWORKS} & set(loaded)


def test_the_verbs_are_functions_of_the_package() -> None:
    code = "import edgekit.load, edgekit.export; import edgekit; print(callable(edgekit.load), callable(edgekit.export))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True True\n"
    assert callable(edgekit.quantize)
    with pytest.raises(AttributeError, match="quantise"):
        _ = edgekit.quantise


def test_pins_are_exact_where_figures_depend_on_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert all("==" in item for item in project["optional-dependencies"]["mcu"])
    assert not any("==" in item for item in project["dependencies"])


def test_nothing_that_ships_names_a_place_of_one_machine() -> None:
    suspicious = re.compile(rb"/(?:root|home/\w+|Users/\w+)/|file:///|site-packages/")
    shipped = [f for part in ("edgekit", "models", "targets") for f in (ROOT / part).rglob("*") if f.is_file()]
    assert [str(f) for f in shipped if "__pycache__" not in f.parts and suspicious.search(f.read_bytes())] == []
