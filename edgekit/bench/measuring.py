"""Every metric of one model on several targets: the numbers behind `edgekit bench`."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgekit import breakdown, evaluate, ledger, ops, states
from edgekit.bench import cycles, energy, estimate
from edgekit.bench.emulate import emulate
from edgekit.bench.host import host_target
from edgekit.bench.on_device import Settings
from edgekit.bench.reaching import Reached, reach, reach_host
from edgekit.bench.remote import Address
from edgekit.boundary import random_feeds, to_feeds
from edgekit.budget import Unreachable, for_board
from edgekit.cores import CORES
from edgekit.data import Dataset
from edgekit.dsp import isa_of
from edgekit.errors import BadConfig, DoesNotFit, EdgekitError
from edgekit.export.c import compile_program
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Graph
from edgekit.inspection import params
from edgekit.measure import ON_DEVICE, OTHER_TASKS, UNITS, Measurement, unavailable
from edgekit.pipeline import prepare
from edgekit.report.model import StepShare, TargetResult
from edgekit.target import Target
from edgekit.tasks import Task

RANDOM_RUNS = 2
RUNNERS = "--runner auto, emulate (microcontrollers), estimate, host, ssh://user@host, adb://SERIAL or serial:///dev/ttyACM0"
NO_FIRMWARE = "--runner estimate builds no firmware"
NOT_A_BOARD = "only a microcontroller's firmware has it"


def measure(
    graph: Graph,
    targets: Sequence[Target],
    *,
    runner: str = "auto",
    feed: Dataset | None = None,
    judged: Dataset | None = None,
    task: Task | None = None,
    opt: str = "-O2",
    toolchain: str = "zig",
    details: bool = False,
    per_op: bool = False,
    ram_budget: int | None = None,
    devices: Sequence[Address | None] = (),
    settings: Settings | None = None,
) -> list[TargetResult]:
    """One TargetResult a target, with a Measurement for every metric there is. feed: inputs for the emulated firmware;
    judged, task: what accuracy (or the task's metric) is judged on, and what its labels mean (default: see `tasks.task_of`);
    toolchain: "zig" or "gcc", see `edgekit.bench.emulate`.
    ram_budget: bytes that the firmware's RAM may take, stack included (see `edgekit.budget`).
    details: fill the breakdowns; per_op: fill `by_op`; either takes one more build and run.
    runner "host": times on this machine, one result an engine; targets must then be empty. devices: where each target is
    reached, None where it is not; settings: how long and with what is timed there.

    Raises BadConfig for a runner that is not there. What fails on one target is `unavailable` there, with the reason; what
    fails on a device that was to be reached is raised.
    """
    if runner not in {"auto", "emulate", "estimate", "host"}:
        raise BadConfig(f"there is no runner '{runner}'", RUNNERS)
    how = settings or Settings()
    here = reach_host(graph, targets, feed, how) if runner == "host" else []
    there = reach(graph, targets, devices, feed, how)
    lowered = prepare(graph, "c")
    shared = [
        Measurement("macs", ops.macs(lowered), UNITS["macs"], "computed"),
        Measurement("params", params(graph), UNITS["params"], "computed"),
        *_judged(graph, judged, task),
        unavailable("accuracy_drop", "nothing to compare with: `edgekit quantize --eval` prints it"),
    ]
    parts = breakdown.of_graph(lowered) if details else {}
    build = _Build(toolchain, opt, details, per_op, ram_budget, runner != "estimate")
    each: list[tuple[Target, Reached | None]] = [(host_target(), found) for found in here]
    for target, reached in zip(targets, there, strict=True):
        each += [(target, found) for found in reached] or [(target, None)]
    return [_on_target(graph, target, shared, feed, build, parts, found) for target, found in each]


def _judged(graph: Graph, data: Dataset | None, task: Task | None) -> list[Measurement]:
    """The task's metric, and why there is no accuracy where it is another."""
    found = evaluate.judged(graph, data, task=task)
    if found.metric == "accuracy":
        return [found]
    return [found, unavailable("accuracy", f"the labels are judged by {found.metric} (--task says otherwise)")]


@dataclass(frozen=True)
class _Build:
    """How the firmware is built, and what is wanted of it besides its metrics."""

    toolchain: str
    opt: str
    details: bool
    per_op: bool
    ram_budget: int | None
    wanted: bool = True


@dataclass(frozen=True)
class _Firmware:
    """What was found out about a firmware."""

    measurements: list[Measurement]
    breakdown: breakdown.Breakdown = field(default_factory=dict)
    ledger: ledger.Ledger | None = None
    by_op: tuple[StepShare, ...] = ()


def _on_target(
    graph: Graph,
    target: Target,
    shared: list[Measurement],
    feed: Dataset | None,
    build: _Build,
    parts: breakdown.Breakdown,
    reached: Reached | None,
) -> TargetResult:
    board = target.kind == "mcu"
    firmware = board and build.wanted
    engine = reached.engine if reached else "c" if firmware else "tflm" if board else target.engines[0]
    own = _firmware(graph, target, feed, build) if firmware else _Firmware([])
    file, file_parts = _file(graph, "onnx" if engine == "onnx" else "tflite", build.details)
    found = {m.metric: m for m in (*own.measurements, *file, *shared, *(reached.measurements if reached else ()))}
    if "latency" not in found:
        found["latency"] = estimate.on_board(graph, target, found) if firmware else estimate.of_engine(graph, target, engine)
    if not board and reached is None and (held := estimate.memory(graph, engine)) is not None:
        found["peak_memory"] = held
    if (drawn := energy.of_run(target, found)) is not None:
        found["energy"] = drawn
    metrics = [metric for metric in UNITS if metric in found or metric not in (*ON_DEVICE, *OTHER_TASKS)]
    measurements = [found.get(metric) or unavailable(metric, NO_FIRMWARE if board else NOT_A_BOARD) for metric in metrics]
    notes = (target.note, _scheme_note(graph, target), *(reached.notes if reached else ()))
    note = "; ".join(text for text in notes if text)
    found_parts = {**own.breakdown, **file_parts, **parts}
    details = reached.details if reached else {}
    return TargetResult(target.name, engine, tuple(measurements), note, found_parts, own.ledger, own.by_op, details)


def _scheme_note(graph: Graph, target: Target) -> str:
    """What to know when a float model is measured on a target that `export` quantizes for."""
    if graph.is_quantized or "float32" in target.schemes:
        return ""
    what = "firmware" if target.kind == "mcu" else "model"
    return f"float32 {what}; this target takes {', '.join(target.schemes)} (edgekit quantize)"


def _file(graph: Graph, engine: str, details: bool) -> tuple[list[Measurement], breakdown.Breakdown]:
    """Size of the model as one file of the engine's format, plain and through gzip; and its breakdown."""
    try:
        prepared = prepare(graph, engine)
        data = export_onnx(prepared) if engine == "onnx" else export_tflite(prepared)
    except EdgekitError as error:
        return [unavailable(metric, error.message) for metric in ("file", "file_gz")], {}
    packed = len(gzip.compress(data, 9, mtime=0))
    note = f"as .{engine}"
    sizes = [
        Measurement("file", len(data), UNITS["file"], "computed", None, note),
        Measurement("file_gz", packed, UNITS["file_gz"], "computed", None, f"{note}, gzip -9"),
    ]
    return sizes, breakdown.of_file(prepared, len(data)) if details else {}


def _firmware(graph: Graph, target: Target, feed: Dataset | None, build: _Build) -> _Firmware:
    """Flash, RAM, arena, instructions and cycles of the generated C on the target's emulated core; their breakdown; where
    flash and RAM go; instructions by step."""
    metrics = ("instructions", "flash", "ram", "arena")
    if target.core not in CORES:
        return _sources_only(graph, target)
    isa = isa_of(target.core)
    cache = None if cycles.why_not(target) else cycles.FLASH_CACHE
    try:
        prepared = prepare(graph, "c")
        ledger.check_flash(prepared, target, isa=isa)
        fit = for_board(prepared, target.ram, ram_budget=build.ram_budget, isa=isa)
        model = compile_program(fit.program, "model")
        files, iface = model.files, model.interface
        feeds = (
            random_feeds(prepared, RANDOM_RUNS)
            if feed is None
            else [to_feeds(prepared, frame) for sample in feed for frame in states.frames(prepared, sample)]
        )
        by_step = build.details or build.per_op
        run = emulate(files, iface, target, feeds, toolchain=build.toolchain, opt=build.opt, per_op=by_step, flash_cache=cache)
    except EdgekitError as error:
        if isinstance(error, Unreachable):  # what was asked for, not what the board has
            raise
        book = ledger.planned(prepared, isa=isa) if isinstance(error, DoesNotFit) else None
        return _Firmware([unavailable(metric, str(error)) for metric in (*metrics, "cycles")], ledger=book)
    inputs = f"mean of {len(feeds)} runs on " + ("random inputs" if feed is None else feed.name)
    notes = {
        "instructions": f"{inputs}; start-up apart: {run.init_instructions:,}",
        "flash": _parts(run.flash_parts),
        "ram": _parts(run.ram_parts),
        "arena": "; ".join(text for text in ("inputs and outputs included", fit.note) if text),
    }
    values = {"instructions": run.mean_instructions, "flash": run.flash, "ram": run.ram, "arena": run.arena}
    measured = [Measurement(m, round(values[m]), UNITS[m], "emulated", None, notes[m], run.tool) for m in metrics]
    measured.append(cycles.measurement(run.profile, target, run.tool))
    parts = breakdown.of_firmware(iface, run, fit.program) if build.details else {}
    total = sum(step.instructions for step in run.by_op) or 1
    by_op = tuple(StepShare(s.index, s.op, s.source, s.instructions, s.instructions / total) for s in run.by_op)
    book = ledger.of_firmware(prepared, run, isa=isa, program=fit.program)
    return _Firmware(measured, parts, book, by_op if build.per_op else ())


def _sources_only(graph: Graph, target: Target) -> _Firmware:
    """What can be said of a core that edgekit only writes sources for: the plan."""
    why = f"edgekit compiles and emulates nothing for {target.core}; export the sources and build them there"
    found = [unavailable(metric, why) for metric in ("instructions", "flash", "ram", "cycles")]
    try:
        book = ledger.planned(prepare(graph, "c"))
    except EdgekitError as error:
        return _Firmware([*found, unavailable("arena", error.message)])
    arena = Measurement(
        "arena", book.arena, UNITS["arena"], "planned", None, "inputs and outputs included", "edgekit memory plan"
    )
    return _Firmware([*found, arena], ledger=book)


def _parts(parts: dict[str, int]) -> str:
    """ "weights 22,604 + code 5,120": the parts that are not empty, largest first."""
    shown = sorted(((size, name) for name, size in parts.items() if size), reverse=True)
    return " + ".join(f"{name} {size:,}" for size, name in shown)
