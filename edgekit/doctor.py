"""What is installed here, what is missing, what each is needed for, and the line that installs it. Imports nothing heavy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from edgekit.bench.toolchain import cache_dir
from edgekit.errors import EdgekitError
from edgekit.target import profiles

STATES: dict[str, str] = {
    "ok": "installed and usable",
    "missing": "not installed; `fix` installs it",
    "version": "another version than the pinned one: figures cannot be compared with other machines'",
    "broken": "installed but does not work; `note` says how",
    "unavailable": "does not exist for this platform; `note` says what takes its place",
}


@dataclass(frozen=True)
class Finding:
    """One tool. state: a key of STATES. required: nothing works without it; otherwise only `purpose` does not."""

    name: str
    state: str
    version: str
    purpose: str
    fix: str = ""
    note: str = ""
    required: bool = False


# distribution, module, extra ("" = always installed), purpose
_PACKAGES: tuple[tuple[str, str, str, str], ...] = (
    ("numpy", "numpy", "", "everything"),
    ("click", "click", "", "the command line"),
    ("rich", "rich", "", "tables and progress"),
    ("onnx", "onnx", "", "reading and writing ONNX"),
    ("onnxscript", "onnxscript", "", "PyTorch models (its ONNX exporter)"),
    ("onnxruntime", "onnxruntime", "", "calibration, verify against ONNX Runtime"),
    ("flatbuffers", "flatbuffers", "", "reading and writing TFLite"),
    ("ai-edge-litert", "ai_edge_litert", "", "verify against LiteRT"),
    ("torch", "torch", "torch", "PyTorch models"),
    ("safetensors", "safetensors", "torch", "--weights x.safetensors"),
    ("torchmetrics", "torchmetrics", "train", "prune and distill --metric"),
    ("ziglang", "ziglang", "mcu", "building firmware"),
    ("unicorn", "unicorn", "mcu", "running firmware on an emulated Cortex-M"),
    ("tflite-micro", "tflite_micro", "mcu", "verify against TensorFlow Lite Micro"),
    ("paramiko", "paramiko", "ssh", "bench --target T=ssh://user@host"),
    ("pillow", "PIL", "data", "--data with a folder of images"),
)
# command, alternatives, purpose, how to get it
_PROGRAMS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "C compiler",
        ("cc", "gcc", "clang"),
        "verify of generated C on this machine",
        "apt install gcc (macOS: xcode-select --install)",
    ),
    ("make", ("make",), "projects of --project make", "apt install make (macOS: xcode-select --install)"),
    ("cmake", ("cmake",), "projects of --project cmake", "pip install cmake"),
    (
        "arm-none-eabi-gcc",
        ("arm-none-eabi-gcc",),
        "exported projects with CC=arm-none-eabi-gcc, bench --toolchain gcc",
        "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    ),
    ("adb", ("adb",), "bench --target T=adb://SERIAL", "apt install adb (macOS: brew install android-platform-tools)"),
    ("qemu-system-arm", ("qemu-system-arm",), "bench --toolchain gcc", "apt install qemu-system-arm"),
)


def diagnose() -> tuple[Finding, ...]:
    """Every tool edgekit can use, required ones first. Runs a few `--version` commands; installs and writes nothing else."""
    pins = _pins()
    found = [
        Finding("python", "ok", platform.python_version(), "everything", required=True),
        *(_package(*row, pins) for row in _PACKAGES),
        *(_program(*row) for row in _PROGRAMS),
        _cache(),
        _profiles(),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.required))


def healthy(findings: tuple[Finding, ...]) -> bool:
    """True when everything required is usable."""
    return all(finding.state == "ok" for finding in findings if finding.required)


def _pins() -> dict[str, str]:
    """distribution -> the exact version edgekit asks for, where it asks for one."""
    try:
        wanted = importlib.metadata.requires("edgekit") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder that was never installed
        return {}
    matches = (re.match(r"([\w-]+)==([^;\s]+)", line) for line in wanted)
    return {match[1]: match[2] for match in matches if match}


def _package(distribution: str, module: str, extra: str, purpose: str, pins: dict[str, str]) -> Finding:
    required = not extra
    pinned = pins.get(distribution)
    fix = f'pip install "edgekit[{extra}]"' if extra else f"pip install {distribution}"
    if distribution == "tflite-micro" and not _has_tflm_wheel():
        here = f"{platform.system()} {platform.machine()}"
        note = f"there is no wheel for {here}; the NumPy reference takes its place"
        return Finding(distribution, "unavailable", "", purpose, note=note)
    if importlib.util.find_spec(module) is None:
        return Finding(distribution, "missing", "", purpose, fix, required=required)
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "?"
    if pinned and version != pinned:
        return Finding(distribution, "version", version, purpose, f"pip install {distribution}=={pinned}", f"pinned: {pinned}")
    return Finding(distribution, "ok", version, purpose, required=required)


def _has_tflm_wheel() -> bool:
    return sys.platform == "linux" and platform.machine() in {"x86_64", "AMD64"}


def _program(name: str, commands: tuple[str, ...], purpose: str, fix: str) -> Finding:
    chosen = os.environ.get("CC") if name == "C compiler" else None
    path = next((p for p in map(shutil.which, (chosen, *commands) if chosen else commands) if p), None)
    if path is None:
        return Finding(name, "missing", "", purpose, fix)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, "broken", "", purpose, fix, str(error))
    line = (done.stdout or done.stderr).strip().partition("\n")[0]
    if done.returncode:
        return Finding(name, "broken", "", purpose, fix, line)
    return Finding(name, "ok", line, purpose)


def _cache() -> Finding:
    """The folder for compiled run-time libraries."""
    purpose = "building firmware"
    try:
        return Finding("cache folder", "ok", str(cache_dir()), purpose)
    except EdgekitError as error:
        return Finding("cache folder", "broken", "", purpose, error.hint, error.message)


def _profiles() -> Finding:
    count = len(profiles())
    if not count:
        return Finding("device profiles", "missing", "", "--target", "pip install --force-reinstall edgekit", required=True)
    return Finding("device profiles", "ok", f"{count} devices", "--target", required=True)
