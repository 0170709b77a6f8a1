"""The MLPerf Tiny reference networks, end to end: bit-exactness, firmware figures, projects that build, file sizes, int8 loss.

    python -m benchmarks.mlperf FOLDER [--quick] [--json]

FOLDER holds mlperf_*_int8.tflite, mlperf_*_f32.tflite and the inputs INPUTS names. Every int8 file goes through generated C
(on this machine and on the emulated Cortex-M4) and TFLite-Micro (as edgekit writes the file, and as the file came) on random
and on all given real inputs; through `bench`, `export` and `make` as a user would run them; and the float files through
`benchmarks.quantization`. Exit status 1 when a bound is violated. --quick: a few inputs of each kind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import quantization
from edgekit import metrics, reference
from edgekit.bench.emulate import run_elf
from edgekit.bench.litert import run_litert
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import from_outputs, random_samples, to_feeds
from edgekit.data import Dataset, open_data
from edgekit.errors import EdgekitError
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph
from edgekit.load.tflite import load_tflite
from edgekit.pipeline import prepare
from edgekit.report.table import text_table
from edgekit.target import find_target
from edgekit.verdict import VerifyReport
from edgekit.verify import RANDOM_SAMPLES, verify_model

TARGET = "mcu"
EXACT_ENGINES = ("c", "emulated", "tflm")
FIRMWARE = ("flash", "ram", "arena", "instructions")
KEYWORDS = "mlperf_kws_dscnn"
# Real inputs: model -> (file, what its integers mean).
INPUTS: dict[str, tuple[str, tuple[float, int] | None]] = {
    KEYWORDS: ("kws01_mfcc_int8_1000.npz", None),
    **{case.model: (case.data, case.scale) for case in quantization.CASES},
}
# The bounds. The accuracy of the keyword network is the one known for its int8 file on these 1,000 inputs.
KEYWORD_ACCURACY, LARGEST_DROP, LARGEST_SQNR_LOSS, LARGEST_GROWTH = 0.902, 0.01, 1.0, 0.03
QUICK_RANDOM, QUICK_REAL = 5, 8


@dataclass(frozen=True)
class Bound:
    """One promise: what, the limit and the value in words, and whether it is kept."""

    what: str
    limit: str
    value: str
    kept: bool


@dataclass(frozen=True)
class Exactness:
    """One network on one kind of inputs. differing: engine -> samples that are not equal to the reference bit for bit, or why
    there is no answer; accuracy: engine -> top-1 (the first of equal scores), where the inputs are labelled. "file": TFLM on
    the file as it came; "litert": LiteRT's optimized kernels on it, which round differently and are not judged here.
    ties: samples whose largest score several classes share; with_ties: accuracy of the reference if any of them counts."""

    model: str
    inputs: str
    samples: int
    differing: dict[str, int | str]
    accuracy: dict[str, float]
    ties: int
    with_ties: float | None
    seconds: float


def stem(file: Path) -> str:
    return file.name.removesuffix("_int8.tflite")


def real_inputs(folder: Path, model: str, graph: Graph, samples: int | None) -> Dataset | None:
    if model not in INPUTS:
        return None
    name, scale = INPUTS[model]
    return open_data(folder / name, graph, samples=samples, scale=scale)


# ------------------------------------------------------------------------------------------------------- bit for bit


def exactness(file: Path, quick: bool) -> list[Exactness]:
    """Random inputs, then the given ones."""
    graph = load_tflite(file)
    made_up = random_samples(graph, QUICK_RANDOM if quick else RANDOM_SAMPLES)
    given = real_inputs(file.parent, stem(file), graph, QUICK_REAL if quick else None)
    rows = [_exactness(file, graph, "random", made_up, None)]
    return rows if given is None else [*rows, _exactness(file, graph, INPUTS[stem(file)][0], list(given), given.labels)]


def _exactness(file: Path, graph: Graph, name: str, samples: Sequence[Mapping[str, Array]], labels: Array | None) -> Exactness:
    start = time.perf_counter()
    report = verify_model(graph, EXACT_ENGINES, samples, labels=labels, require=EXACT_ENGINES, target=find_target(TARGET))
    differing = {engine: _differing(report, engine) for engine in EXACT_ENGINES}
    accuracy = {row.engine: row.accuracy for row in report.rows if row.accuracy is not None}
    # The judge that shares no line with edgekit: the interpreter on the file's own bytes.
    feeds = [to_feeds(graph, sample) for sample in samples]
    outputs = run_tflm(file.read_bytes(), feeds)
    truth = [reference.run(graph, feed) for feed in feeds]
    differing["file"] = sum(
        not all(np.array_equal(want[name], got[name]) for name in graph.outputs)
        for want, got in zip(truth, outputs, strict=True)
    )
    ties, with_ties, first = 0, None, graph.outputs[0]
    if labels is not None:
        accuracy["file"] = metrics.accuracy([from_outputs(graph, got)[first] for got in outputs], labels)
        try:
            judged = run_litert(file.read_bytes(), feeds, "default")
            accuracy["litert"] = metrics.accuracy([from_outputs(graph, got)[first] for got in judged], labels)
        except EdgekitError:
            pass  # it rejects files that TFLM runs
        winners = [np.flatnonzero(want[first].reshape(-1) == want[first].max()) for want in truth]
        ties = sum(len(w) > 1 for w in winners)
        with_ties = float(np.mean([label in w for w, label in zip(winners, metrics.class_labels(labels), strict=True)]))
    spent = time.perf_counter() - start
    return Exactness(stem(file), name, len(samples), differing, accuracy, ties, with_ties, spent)


def _differing(report: VerifyReport, engine: str) -> int | str:
    row = report.row(engine)
    return row.differing if row.status in {"exact", "close", "different"} else f"{row.status}: {row.reason}"


def exactness_bounds(row: Exactness, quick: bool) -> list[Bound]:
    where = f"{row.model}, {row.samples} of {row.inputs}"
    wrong = {engine: count for engine, count in row.differing.items() if count != 0}
    value = "all equal" if not wrong else ", ".join(f"{engine}: {count}" for engine, count in wrong.items())
    bounds = [Bound(f"C = emulated C = TFLM = reference: {where}", "bit for bit", value, not wrong)]
    if row.model == KEYWORDS and row.accuracy and not quick:
        bound = {engine: value for engine, value in row.accuracy.items() if engine != "litert"}
        # Int8 scores tie; which of the equals an argmax takes is the application's choice, so a tied label counts here.
        kept = len(set(bound.values())) == 1 and row.with_ties is not None and round(row.with_ties, 3) == KEYWORD_ACCURACY
        shown = f"{row.with_ties:.3f}; the first of {row.ties} ties taken: "
        shown += ", ".join(f"{engine} {value:.3f}" for engine, value in row.accuracy.items())
        bounds.append(Bound(f"accuracy: {where}", f"{KEYWORD_ACCURACY} alike on every engine, ties counted", shown, kept))
    return bounds


# ---------------------------------------------------------------------------------------------------------- commands


@dataclass(frozen=True)
class Firmware:
    """What `bench --json` says of one network; metric -> value, None where it is unavailable (`reason` says why)."""

    model: str
    values: dict[str, float | None]
    reason: str
    tool: str


def edgekit(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of one command, as a user would run it."""
    done = subprocess.run([sys.executable, "-m", "edgekit", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def data_options(file: Path) -> list[str]:
    if stem(file) not in INPUTS:
        return []
    name, scale = INPUTS[stem(file)]
    return ["--data", str(file.parent / name), *([] if scale is None else ["--data-scale", f"{scale[0]},{scale[1]}"])]


def firmware(file: Path) -> Firmware:
    status, out, err = edgekit("bench", str(file), "--target", TARGET, "--runner", "emulate", *data_options(file), "--json")
    if status != 0:
        return Firmware(stem(file), dict.fromkeys(FIRMWARE), err.strip(), "")
    found = {m["metric"]: m for m in json.loads(out)["results"][0]["measurements"]}
    lacking = [f"{metric} is {found[metric]['how']}" for metric in FIRMWARE if found[metric]["how"] != "emulated"]
    values = {metric: found[metric]["value"] for metric in FIRMWARE}
    return Firmware(stem(file), values, "; ".join(lacking), found["flash"]["tool"])


@dataclass(frozen=True)
class Project:
    """An exported project: built with `make` alone, run on the emulated core and on this machine. "" where all is well."""

    model: str
    vectors: int
    fault: str
    seconds: float


def project(file: Path) -> Project:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgekit-mlperf-") as folder:
        vectors, fault = _project(file, Path(folder, "D"))
    return Project(stem(file), vectors, fault, time.perf_counter() - start)


def _project(file: Path, folder: Path) -> tuple[int, str]:
    name = stem(file)
    status, _, err = edgekit("export", str(file), "--target", TARGET, "--name", name, "-o", str(folder), *data_options(file))
    if status != 0:
        return 0, f"export: {err.strip()}"
    # As in an activated environment: the `python3` that make finds has the compiler.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for line in (["make"], ["make", "host"]):
        done = subprocess.run(line, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return 0, f"{' '.join(line)}: {(done.stderr or done.stdout).strip()[:400]}"
    text, status = run_elf((folder / "build" / f"{name}.elf").read_bytes(), find_target(TARGET))
    runs = sum(line.startswith("run ") for line in text.splitlines())
    return runs, "" if status == 0 and runs and text.rstrip().endswith("end pass") else f"firmware: {text.strip()[-200:]}"


# ------------------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class Size:
    """Bytes of a file as it came, and as edgekit writes it: the same int8 network, re-exported."""

    model: str
    theirs: int
    ours: int

    @property
    def growth(self) -> float:
        return self.ours / self.theirs - 1


def size(file: Path) -> Size:
    return Size(stem(file), file.stat().st_size, len(export_tflite(prepare(load_tflite(file), "tflite"))))


def size_bound(what: str, ours: int, theirs: int) -> Bound:
    growth = ours / theirs - 1
    return Bound(f"file size: {what}", f"at most {LARGEST_GROWTH:+.0%}", f"{growth:+.2%}", growth <= LARGEST_GROWTH)


def quantization_bounds(case: quantization.Case, row: quantization.Row) -> list[Bound]:
    """The bound of each task: accuracy where there are labels, SQNR against the reference file's where there is a signal to
    rebuild, the same class on the photos."""
    judged = f"{case.model}, calibrated on {row.calibrated}, judged on {row.judged}"
    bounds = [size_bound(f"{case.model} quantized from float", row.bytes_ours, row.bytes_theirs)]
    if row.accuracy_float is not None and row.accuracy_ours is not None:
        drop = row.accuracy_float - row.accuracy_ours
        bounds.append(
            Bound(f"accuracy lost: {judged}", f"at most {LARGEST_DROP:.0%}", f"{100 * drop:.2f} pt", drop <= LARGEST_DROP)
        )
    elif case.calibrate:
        loss = row.sqnr_theirs - row.sqnr_ours
        limit = f"at most {LARGEST_SQNR_LOSS:g} dB under theirs"
        value = f"{row.sqnr_ours:.2f} against {row.sqnr_theirs:.2f} dB"
        bounds.append(Bound(f"SQNR: {judged}", limit, value, loss <= LARGEST_SQNR_LOSS))
    else:
        bounds.append(Bound(f"argmax: {judged}", "equal on all", f"{row.argmax_ours:.0%}", row.argmax_ours == 1.0))
    return bounds


# ------------------------------------------------------------------------------------------------------------ report


@dataclass(frozen=True)
class Result:
    exact: tuple[Exactness, ...]
    firmware: tuple[Firmware, ...]
    projects: tuple[Project, ...]
    sizes: tuple[Size, ...]
    quantized: tuple[quantization.Row, ...]
    bounds: tuple[Bound, ...]

    @property
    def kept(self) -> bool:
        return all(bound.kept for bound in self.bounds)

    def to_json(self) -> dict[str, Any]:
        return {"mlperf": {"kept": self.kept, **asdict(self)}}


def run(folder: Path, quick: bool) -> Result:
    """Everything. Raises SystemExit when the folder holds no int8 file."""
    files = sorted(folder.glob("*_int8.tflite"))
    if not files:
        raise SystemExit(f"{folder} holds no *_int8.tflite")
    exact = [row for file in files for row in exactness(file, quick)]
    measured = tuple(firmware(file) for file in files)
    built = tuple(project(file) for file in files)
    sizes = tuple(size(file) for file in files)
    cases = [case for case in quantization.CASES if (folder / f"{case.model}_f32.tflite").exists()]
    quantized = tuple(quantization.measure(case, folder, "minmax") for case in cases)
    bounds = [bound for row in exact for bound in exactness_bounds(row, quick)]
    bounds += [
        Bound(f"bench gives {', '.join(FIRMWARE)}: {row.model}", "emulated", row.reason or "all", not row.reason)
        for row in measured
    ]
    bounds += [
        Bound(
            f"make in the export; its firmware: {row.model}", "vectors pass", row.fault or f"{row.vectors} pass", not row.fault
        )
        for row in built
    ]
    bounds += [size_bound(f"{row.model} re-exported", row.ours, row.theirs) for row in sizes]
    bounds += [bound for case, row in zip(cases, quantized, strict=True) for bound in quantization_bounds(case, row)]
    return Result(tuple(exact), measured, built, sizes, quantized, tuple(bounds))


def text(result: Result) -> str:
    engines = ("c", "emulated", "tflm", "file")
    titles = ("C", "emulated M4", "TFLM", "TFLM, the file itself")
    exact = [
        (
            row.model,
            row.inputs,
            f"{row.samples:,}",
            *(f"{row.differing[engine]}" for engine in engines),
            " ".join(f"{row.accuracy[e]:.3f}" for e in ("reference", *engines, "litert") if e in row.accuracy) or "-",
            f"{row.seconds:.0f}",
        )
        for row in result.exact
    ]
    heads = ("network", "inputs", "samples", *titles, "accuracy: reference, then each, LiteRT", "s")
    parts = ["Samples that are not equal to the reference, bit for bit", text_table(heads, exact, (2, 3, 4, 5, 6, 8))]
    measured = [
        (row.model, *("-" if row.values[m] is None else f"{row.values[m]:,.0f}" for m in FIRMWARE), row.reason)
        for row in result.firmware
    ]
    board = find_target(TARGET).title
    parts += [f"\nFirmware on {board}, emulated ({result.firmware[0].tool})"]
    parts += [text_table(("network", *(f"{m} B" for m in FIRMWARE[:3]), "instructions", ""), measured, (1, 2, 3, 4))]
    built = [(row.model, f"{row.vectors}", row.fault or "pass", f"{row.seconds:.1f}") for row in result.projects]
    parts += ["\nExported project, `make`, its firmware on the emulated core"]
    parts += [text_table(("network", "vectors", "result", "s"), built, (1, 3))]
    sizes = [(row.model, f"{row.theirs:,}", f"{row.ours:,}", f"{row.growth:+.2%}") for row in result.sizes]
    parts += ["\nThe int8 file, and as edgekit writes the same network"]
    parts += [text_table(("network", "theirs B", "ours B", ""), sizes, (1, 2, 3))]
    if result.quantized:
        parts += ["\nQuantized from float, against the reference int8 file", quantized_table(result.quantized)]
    bounds = [(b.what, b.limit, b.value, "ok" if b.kept else "VIOLATED") for b in result.bounds]
    parts += ["\nBounds", text_table(("what", "limit", "found", ""), bounds)]
    return "\n".join(parts)


def quantized_table(rows: Sequence[quantization.Row]) -> str:
    def shown(*values: float | None) -> str:
        return " / ".join("-" if value is None else f"{value:.3f}" for value in values)

    cells = [
        (
            row.case,
            f"{row.calibrated}/{row.judged}",
            shown(row.accuracy_float, row.accuracy_ours, row.accuracy_theirs),
            f"{row.sqnr_ours:.1f} / {row.sqnr_theirs:.1f}",
            shown(row.argmax_ours, row.argmax_theirs),
            f"{row.bytes_ours:,} / {row.bytes_theirs:,}",
            f"{row.cpu_s:.1f}",
        )
        for row in rows
    ]
    heads = ("network", "cal/judged", "accuracy f32/ours/theirs", "SQNR dB ours/theirs", "argmax", "bytes ours/theirs", "CPU s")
    return text_table(heads, cells, (1, 6))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mlperf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the MLPerf Tiny models and inputs")
    parser.add_argument("--quick", action="store_true", help="a few inputs of each kind; accuracy bounds are not judged")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    result = run(options.folder, options.quick)
    print(json.dumps(result.to_json(), indent=2) if options.json else text(result))
    return 0 if result.kept else 1


if __name__ == "__main__":
    sys.exit(main())
