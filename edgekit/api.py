"""The verbs of the command line as functions. Each takes a model as the command does and returns plain data.

None writes a file: results carry `files`, {name: bytes}, for the caller to save. Data is named as on the command line, or
is a Dataset: `samples` and `split` hold for both, `data_scale` only for data that is read here.
"""

from __future__ import annotations

import hashlib
import inspect as inspect_module
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.augment import parse_augment
from edgekit.bench.measuring import RUNNERS, measure
from edgekit.bench.on_device import Settings as TimingSettings
from edgekit.bench.remote import Address, address, bound, is_address
from edgekit.data import DEFAULT_SAMPLES, Dataset, Scale, open_data
from edgekit.distilling import Distiller, DistilResult, DistilSettings, parse_losses
from edgekit.errors import BadConfig
from edgekit.exporting import Exported, export_files
from edgekit.graph import Graph
from edgekit.inspection import Inspection, inspect_graph
from edgekit.load import divided
from edgekit.load import load as load  # the first verb, as it is
from edgekit.pipeline import Layout, open_model
from edgekit.pruning import Pruner
from edgekit.pruning_result import PruneResult, ScanRow
from edgekit.pruning_settings import NAMES, Settings, check_goal, settings_of
from edgekit.quantizing import quantize as quantize
from edgekit.recipe import Recipe, changes, data_hash, versions
from edgekit.report.model import RunReport
from edgekit.target import Target, find_target, parse_size
from edgekit.tasks import Task
from edgekit.verdict import VerifyReport
from edgekit.verify import RANDOM_SAMPLES, verify_model

if TYPE_CHECKING:
    from edgekit.bench.serial import BoardTest
    from edgekit.passes.finetune import Progress

__all__ = ["apply", "bench", "distill", "export", "inspect", "load", "prune", "quantize", "verify"]

# Samples that a benchmark runs on the emulated core when data is given (instruction counts hardly vary with the data).
BENCH_SAMPLES = 4

Judging = tuple[str | Path | Dataset | None, str | Path | Dataset | None, float | str | None]  # val, eval, split


def inspect(model: str | Path | Graph, target: str | Target | None = None, **load_options: Any) -> Inspection:
    """The facts of a model; with a target, only that target's engines and its accelerators are checked."""
    source = open_model(model, **load_options)
    if target is None:
        return inspect_graph(source.graph)
    device = find_target(target)
    return inspect_graph(source.graph, device.engines, device.accelerators)


@dataclass(frozen=True)
class Applied:
    """content: the artefact; same: whether its sha256 is the lock's; changes: what is not as the lock has it."""

    content: bytes
    sha256: str
    same: bool
    changes: tuple[str, ...]


def apply(recipe: Recipe, out: str | Path | None = None) -> Applied:
    """Make a recipe's artefact again. Raises BadConfig for options no longer known, and what the recipe's command does."""
    verbs: dict[str, Callable[..., Any]] = {"quantize": quantize, "distill": distill}
    arguments = {"student": None} if recipe.command == "distill" else {}
    arguments |= recipe.arguments() | ({} if out is None else {"out": str(out)})
    _check_options(recipe, verbs[recipe.command])
    try:
        bound = inspect_module.signature(verbs[recipe.command]).bind(**arguments)
    except TypeError as error:
        raise BadConfig(f"the recipe does not fit `{recipe.command}`: {error}", "write it again") from error
    result = verbs[recipe.command](*bound.args, **bound.kwargs)
    (content,) = result.files.values()
    sha = hashlib.sha256(content).hexdigest()
    lock = dict(result.recipe.lock) if result.recipe is not None else {}
    found = changes(recipe, {k: v for k, v in lock.items() if k != "out"}, versions())
    return Applied(content, sha, sha == recipe.lock.get("out"), tuple(found))


def _check_options(recipe: Recipe, verb: Callable[..., Any]) -> None:
    """Raises BadConfig listing options that the command does not know, or that are of another kind than its default."""
    known = {n: p.default for n, p in inspect_module.signature(verb).parameters.items() if p.kind is not p.VAR_KEYWORD}
    if recipe.command == "distill":
        known |= {f.name: f.default for f in fields(DistilSettings)}
    faults = [f"there is no option {name}" for name in recipe.options if name not in {*known, "load"}]
    loading = inspect_module.signature(load).parameters
    faults += [f"there is no option load.{name}" for name in recipe.options.get("load", {}) if name not in loading]
    for name, value in recipe.options.items():
        default = known.get(name)
        kinds = (int, float) if isinstance(default, float) else type(default)
        plain = isinstance(default, bool | int | float | str)
        if plain and (not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool)):
            faults.append(f"{name} = {value!r} is no {type(default).__name__}")
    if faults:
        raise BadConfig(f"the recipe does not fit `{recipe.command}`: {'; '.join(faults)}", "write it again")


def export(
    model: str | Path | Graph,
    target: str | Target,
    *,
    format: str | None = None,
    project: str | None = None,
    name: str | None = None,
    data: str | Path | Dataset | None = None,
    samples: int = DEFAULT_SAMPLES,
    const_input: bool = False,
    ram_budget: int | str | None = None,
    io_layout: Layout | None = None,
    data_scale: Scale | None = None,
    **load_options: Any,
) -> Exported:
    """Deployable files for a target: format "c" (default on microcontrollers), "tflm", "tflite" (default elsewhere), "onnx".

    A float model for an int8-only target is quantized with `data`; without data, BadModel says the exact line.
    ram_budget: bytes (or "20K") that C may take in RAM, stack included: layers then run a few rows at a time.
    Golden vectors of the project come from `data`, or are random. Raises DoesNotFit when the plan exceeds the board.
    """
    source, board = open_model(model, data, **load_options), find_target(target)
    dataset = None
    if data is not None:  # whose labels nobody looks at
        dataset = open_data(data, source.graph, samples=samples, scale=data_scale, role="train", task="teacher")
    return export_files(
        source,
        board,
        format=format,
        project=project,
        name=name,
        data=dataset,
        const_input=const_input,
        ram_budget=None if ram_budget is None else parse_size(ram_budget),
        layout=io_layout,
    )


def bench(
    model: str | Path | Graph,
    targets: str | Target | list[str | Target],
    *,
    runner: str = "auto",
    against: str | Path | Graph | None = None,
    engines: tuple[str, ...] = (),
    threads: int = 1,
    data: str | Path | Dataset | None = None,
    eval: str | Path | Dataset | None = None,
    task: Task | None = None,
    samples: int = BENCH_SAMPLES,
    opt: str = "-O2",
    toolchain: str = "zig",
    data_scale: Scale | None = None,
    details: bool = False,
    per_op: bool = False,
    ram_budget: int | str | None = None,
    **load_options: Any,
) -> RunReport:
    """Every metric of a model on every target, each saying how it was obtained, or why it could not be.

    runner: "auto"; "emulate"; "estimate" builds no firmware; "host" times this machine (no targets); an address such as
    "ssh://pi@host" for the one target.
    A target is bound to its device as "raspberry-pi-4=ssh://pi@host". against: a model timed in turns with this one on each
    device; engines ("tflite", "onnx", "c"): timed there, default the best one; threads: of LiteRT and ONNX Runtime.
    data: what the firmware runs (`samples` of it; random inputs otherwise). eval: labelled data for the accuracy, or the metric
    of `task`. toolchain: "zig", or "gcc" for the system's arm-none-eabi-gcc and QEMU. details: also what each figure is made of
    (TargetResult.breakdown); ram_budget: as of `export`; per_op: instructions step by step
    (TargetResult.by_op), and on devices that are reached the time of each operator (TargetResult.device)."""
    source = open_model(model, data or eval, **load_options)
    feed = None
    if data is not None:
        feed = open_data(data, source.graph, samples=samples, scale=data_scale, role="test", task="teacher")
    judged = None if eval is None else open_data(eval, source.graph, scale=data_scale, role="test", task=task)
    named = targets if isinstance(targets, list) else [targets]
    boards, devices = bindings(named, runner)
    if (against is not None or engines) and runner != "host" and not any(devices):
        raise BadConfig("against and engines go with devices that are reached", "--runner host, or T=ssh://user@host")
    other = None if against is None else open_model(against)
    exported = None
    if data is not None and any(d is not None and d.scheme == "serial" for d in devices):
        exported = open_data(data, source.graph, samples=DEFAULT_SAMPLES, scale=data_scale, role="train", task="teacher")
    timing = TimingSettings(
        threads,
        against=None if other is None else (other.text, other.graph),
        engines=engines,
        exported=exported,
        per_op=per_op,
    )
    results = measure(
        source.graph,
        boards,
        runner=runner if runner in {"auto", "emulate", "estimate", "host"} else "auto",
        devices=devices,
        settings=timing,
        feed=feed,
        judged=judged,
        task=task,
        opt=opt,
        toolchain=toolchain,
        details=details,
        per_op=per_op,
        ram_budget=None if ram_budget is None else parse_size(ram_budget),
    )
    return RunReport(source.text, source.sha256, tuple(results))


def verify(
    model: str | Path | Graph,
    *,
    against: str | Path | Graph | None = None,
    data: str | Path | Dataset | None = None,
    samples: int | None = None,
    tolerance: float | None = None,
    require: tuple[str, ...] = (),
    task: Task | None = None,
    engines: tuple[str, ...] | None = None,
    target: str | Target = "mcu",
    data_scale: Scale | None = None,
    **load_options: Any,
) -> VerifyReport:
    """Run the model on every engine that can, and compare: bit for bit with the reference where that is the law, by SQNR and
    argmax elsewhere; with `against`, its source model too (options that only its format has, such as weights, are for it).
    samples: at most so many of `data`, or so many random inputs
    (default: all, or 100). Returns a verify.VerifyReport."""
    theirs: dict[str, Any] = {}
    if against is not None:
        load_options, theirs = divided(model, against, load_options)
    source = open_model(model, data, **load_options)
    other = None if against is None else open_model(against, source.graph, **theirs).graph
    dataset = None
    if data is not None:
        dataset = open_data(data, source.graph, samples=samples, scale=data_scale, role="test", task=task)
    return verify_model(
        source.graph,
        engines,
        dataset,
        count=samples or RANDOM_SAMPLES,
        against=other,
        tolerance=tolerance,
        require=require,
        task=task,
        target=find_target(target),
    )


def distill(
    teacher: str | Path | Graph,
    student: str | Path | Graph | None,
    out: str | Path,
    data: str | Path | Dataset,
    *,
    unlabelled: str | Path | Dataset | None = None,
    val: str | Path | Dataset | None = None,
    eval: str | Path | Dataset | None = None,
    split: float | str | None = None,
    data_scale: Scale | None = None,
    loss: str | Mapping[str, float] = "logit",
    student_weights: str | None = None,
    student_args: Mapping[str, str] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    **options: Any,
) -> DistilResult:
    """Teach `student` (None: made of the teacher, `width`) on `data`. loss: "logit,feature=0.5", or {name: weight}.
    unlabelled: samples that only the teacher answers for. val: what --early-stop decides by (default: part of `data`); eval:
    what is reported on. options: fields of `distilling.DistilSettings`, or how the teacher is loaded. checkpoint: a file from
    which an interrupted run goes on.
    Raises BadConfig (a pair that does not fit), BadData, BadModel, Unsupported."""
    names = {f.name for f in fields(DistilSettings)}
    chosen = {k: v for k, v in options.items() if k in names}
    if isinstance(chosen.get("augment"), str):
        chosen["augment"] = parse_augment(chosen["augment"])
    settings = DistilSettings(parse_losses(loss) if isinstance(loss, str) else loss, **chosen)
    load_options = {k: v for k, v in options.items() if k not in names}
    large = open_model(teacher, data, **load_options)
    own = {k: v for k, v in (("weights", student_weights), ("args", student_args)) if v}
    small = None if student is None else open_model(student, data, **own)
    training, decides, judged = _opened(data, (val, eval, split), large.graph, data_scale, settings.task)
    assert training is not None
    more = None if unlabelled is None else open_data(unlabelled, large.graph, scale=data_scale, role="unlabelled")
    result = Distiller(large, small, settings, training, judged, checkpoint, progress, decides, more).run(Path(out))
    if any(isinstance(v, Dataset | Graph) for v in (teacher, student, data, unlabelled, val, eval)):
        return result
    files = {
        "teacher": teacher,
        "student": student,
        "student_weights": student_weights,
        "out": out,
        "data": data,
        "unlabelled": unlabelled,
        "val": val,
        "eval": eval,
    }
    plain = {"split": split, "data_scale": data_scale, "student_args": student_args, "loss": loss}
    plain |= {k: v for k, v in options.items() if k in names}
    lock = {
        "teacher": large.sha256,
        "student": "" if small is None else small.sha256,
        "data": data_hash(training),
        "out": hashlib.sha256(result.files[Path(out).name]).hexdigest(),
    }
    named = {k: str(v) for k, v in files.items() if v is not None}
    return replace(result, recipe=Recipe("distill", {**named, **plain, "load": load_options}, lock, versions()))


def prune(
    model: str | Path | Graph,
    out: str | Path,
    data: str | Path | Dataset | None = None,
    *,
    val: str | Path | Dataset | None = None,
    eval: str | Path | Dataset | None = None,
    split: float | str | None = None,
    target: str | Target | None = "mcu",
    no_bench: bool = False,
    data_scale: Scale | None = None,
    checkpoints: Path | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    **options: Any,
) -> PruneResult:
    """Leave out what matters least and recover on `data` (without data: only leave out). val: what --max-drop and --early-stop
    decide by (default: part of `data`); eval: what is reported on. options: fields of `pruning_settings.Settings`, or how the
    model is loaded; flash and ram as "64K", every limit as "50%" too. checkpoints: a folder from which an interrupted run goes
    on. Raises BadConfig, BadData, BadModel, Unsupported."""
    pruner, own = _pruner(model, data, (val, eval, split), target, data_scale, checkpoints, progress, options)
    check_goal(own)
    return pruner.result(Path(out), not no_bench)


def prune_scan(
    model: str | Path | Graph,
    data: str | Path | Dataset | None = None,
    *,
    val: str | Path | Dataset | None = None,
    eval: str | Path | Dataset | None = None,
    split: float | str | None = None,
    data_scale: Scale | None = None,
    **options: Any,
) -> tuple[float, list[ScanRow]]:
    """(metric of the whole network, how it falls with shares of one layer left out): needs labelled data to judge on."""
    target = options.pop("target", None)
    options.pop("no_bench", None)
    return _pruner(model, data, (val, eval, split), target, data_scale, None, None, options)[0].scan()


def _pruner(
    model: str | Path | Graph,
    data: str | Path | Dataset | None,
    judging: Judging,
    target: str | Target | None,
    scale: Scale | None,
    checkpoints: Path | None,
    progress: Callable[[str, Progress], None] | None,
    options: dict[str, Any],
) -> tuple[Pruner, Settings]:
    own = settings_of(options)
    source = open_model(model, data, **{k: v for k, v in options.items() if k not in NAMES})
    training, val, judged = _opened(data, judging, source.graph, scale, own.task)
    board = None if target is None else find_target(target)
    return Pruner(source, own, board, training, judged, checkpoints, progress, val), own


def _opened(
    data: str | Path | Dataset | None, judging: Judging, graph: Graph, scale: Scale | None, task: Task | None
) -> tuple[Dataset | None, Dataset | None, Dataset | None]:
    """(to train on, to decide by, to report on). What --split sets aside is reported on; with --eval it decides."""
    val, eval, split = judging
    opened = partial(open_data, graph=graph, scale=scale, task=task)
    training = None if data is None else opened(data, split=split, role="train")
    held = None if training is None else training.held_out
    deciding = opened(val, role="val") if val is not None else held if eval is not None else None
    judged = held if eval is None else opened(eval, role="test")
    return training, deciding, judged


def verify_board(
    model: str | Path | Graph,
    runner: str,
    *,
    data: str | Path | Dataset | None = None,
    data_scale: Scale | None = None,
    **load_options: Any,
) -> BoardTest:
    """The self-test of an exported project on a board, read over its serial line and held against the model. runner:
    "serial:///dev/ttyACM0?baud=115200"; data: what the project was exported with. Raises BadConfig, BadData, EdgekitError."""
    from edgekit.bench.serial import announce, ask_board

    where = address(runner)
    if where.scheme != "serial":
        raise BadConfig(f"verify reads boards over serial://, not {runner}", "bench --runner ssh://… checks outputs there too")
    graph = open_model(model, data, **load_options).graph
    exported = None if data is None else open_data(data, graph, samples=DEFAULT_SAMPLES, scale=data_scale, role="train")
    return ask_board(where, graph, exported, announce)


def bindings(targets: Sequence[str | Target], runner: str = "auto") -> tuple[list[Target], list[Address | None]]:
    """The targets, and where each is reached: as its text binds it, or the runner's address for the only one. Raises BadConfig,
    BadTarget."""
    pairs = [bound(t) if isinstance(t, str) else (t, None) for t in targets]
    devices = [None if where is None else address(where) for _, where in pairs]
    if runner not in {"auto", "emulate", "estimate", "host"}:
        if not is_address(runner):
            raise BadConfig(f"there is no runner '{runner}'", RUNNERS)
        if len(pairs) != 1 or any(devices):
            raise BadConfig(f"--runner {runner} is one device; there are several targets", f"bind each: --target T={runner}")
        devices = [address(runner)]
    return [find_target(t) for t, _ in pairs], devices
