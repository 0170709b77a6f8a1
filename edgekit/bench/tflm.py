"""Run a TFLite file on the TensorFlow Lite Micro interpreter (its host build, the `tflite-micro` wheel), in a child process."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.bench import child
from edgekit.errors import EdgekitError, MissingTool
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.load.tflite_file import FileModel

LARGEST_ARENA = 1 << 30


@dataclass(frozen=True)
class TflmRun:
    """outputs: one dict a sample. arena: bytes the host interpreter used (64-bit structs: neither exact nor a bound for a
    32-bit core). allocations: its own report, line by line."""

    outputs: list[dict[str, Array]]
    arena: int | None
    allocations: tuple[str, ...]


def run_tflm(model: bytes, samples: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """One {output name: array} a sample, in the file's own dtypes; names as `load_tflite` gives them.

    Raises MissingTool without the wheel, BadModel, BadData, or EdgekitError with TFLM's own message.
    """
    return run_tflm_reporting(model, samples, report=False).outputs


def host_arena(model: bytes) -> int:
    """Arena bytes that TFLM's host build uses for the model. Raises as `run_tflm`."""
    arena = run_tflm_reporting(model, [], report=True).arena
    if arena is None:
        raise EdgekitError("TFLM did not report its arena")
    return arena


def run_tflm_reporting(model: bytes, samples: Sequence[Mapping[str, Array]], report: bool = True) -> TflmRun:
    """As `run_tflm`, with what the interpreter says of its arena when `report`."""
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingTool("the TFLite-Micro interpreter is not installed", 'pip install "edgekit[mcu]" (x86-64 Linux only)')
    file, feeds = child.open_model(model, samples)
    arena = first_arena(file)
    while True:
        job = {"samples": len(samples), "inputs": len(file.inputs), "outputs": len(file.outputs)}
        try:
            outputs, error, printed = child.ask("tflm", model, job | {"arena": arena, "report_arena": report}, feeds)
        except child.ChildDied as death:
            if arena >= LARGEST_ARENA or not starved(death.printed):
                raise
            error, printed = "the interpreter crashed", death.printed
        lines = printed.strip().splitlines()
        if not error:
            break
        if arena >= LARGEST_ARENA or not starved(printed):
            raise EdgekitError(f"TFLM cannot run the model: {error.strip()}" + (f" ({lines[0]})" if lines else ""))
        arena *= 4
    used = re.search(r"Arena allocation total (\d+) bytes", printed)
    return TflmRun(child.by_name(file, outputs, len(samples)), int(used[1]) if used else None, tuple(lines))


def starved(printed: str) -> bool:
    """True when TFLM says that its arena is too small (it may crash after saying so)."""
    return any(words in printed for words in ("Failed to allocate", "Failed to resize buffer", "Arena size is too small"))


def first_arena(file: FileModel) -> int:
    """Bytes to begin with: all activations at once, and room for structs."""
    active = [t for t in file.tensors if t.data is None and t.dtype in NUMPY_DTYPES]
    held = sum(int(np.prod([max(n, 1) for n in t.shape], dtype=np.int64)) * 4 for t in active)
    # The bytes behind per-channel scales are copied to the arena as multipliers and shifts.
    scales = sum(t.scale.size for t in file.tensors if t.scale is not None)
    return (1 << 20) + 4 * held + 64 * scales + 2048 * (len(file.ops) + len(file.tensors))
