"""Measure the models of edgekit.toml as it says, and judge them: the work behind `edgekit check`.

Nothing heavy is imported before a figure must be measured: judging what is known already takes no time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import base, cache
from edgekit import errors as kinds
from edgekit.config import TABLES, ModelConfig
from edgekit.errors import BadConfig, BadData, BadModel, EdgekitError, Unsupported
from edgekit.gate import Verdict, check_comparable, judge, judge_growth
from edgekit.measure import UNITS, Measurement
from edgekit.report.model import RunReport
from edgekit.target import find_target

if TYPE_CHECKING:
    from edgekit.graph import Graph

# A model without limits on a target is measured as this one: sizes and accuracy need some target.
DEFAULT_TARGET = "mcu"
LFS = b"version https://git-lfs"
NO_BASE = "growth needs earlier figures to compare with, and was not judged (--against main, or --update-baseline once)"


class NeedsData(BadConfig):
    """A float model is to be quantized, and there is nothing to calibrate it on."""


@dataclass(frozen=True)
class ModelCheck:
    """One model judged. base: earlier figures, None when there are none; base_name: where they are from ("main", a file)."""

    name: str
    run: RunReport
    verdicts: tuple[Verdict, ...]
    base: RunReport | None = None
    base_name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when every limit is kept."""
        return all(v.ok for v in self.verdicts)


@dataclass(frozen=True)
class Earlier:
    """Earlier figures. where: what they are of ("main", a file), "" when nothing is compared with; reports: by model, those
    that are new absent; failed: model -> why it could not be measured there."""

    where: str = ""
    reports: Mapping[str, RunReport] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def judge_model(config: ModelConfig, run: RunReport, compared: Earlier) -> ModelCheck:
    """Verdicts on all limits and, where there are earlier figures, on growth. Raises BadConfig for figures of different
    toolchains."""
    where, earlier = compared.where, compared.reports.get(config.name)
    notes: list[str] = []
    verdicts = []
    if earlier is not None:
        earlier = base.align(earlier, config)
        check_comparable(config.name, run, earlier, where)
    verdicts += judge(run, config.limits, earlier)
    if config.growth and earlier is not None:
        verdicts += judge_growth(run, earlier, config.growth)
    elif config.growth and config.name in compared.failed:
        notes.append(f"{where} could not be measured, so growth was not judged: {compared.failed[config.name]}")
    elif config.growth:
        notes.append(f"{where} has no figures of this model: growth was not judged" if where else NO_BASE)
    return ModelCheck(config.name, run, tuple(verdicts), earlier, where if earlier is not None else "", tuple(notes))


def given_figures(models: Sequence[ModelConfig], files: Sequence[str]) -> dict[str, RunReport]:
    """The figures of every model from run files. Raises BadData for a model without any, or whose file is another now."""
    found = base.reports_of(models, files)
    if missing := [m.name for m in models if m.name not in found]:
        raise BadData(
            f"--results holds no figures of {', '.join(missing)}", "add its run file, or name the models to be checked"
        )
    for m in models:
        _check_current(m, found[m.name])
    return found


def _check_current(config: ModelConfig, report: RunReport) -> None:
    """Figures of another content of the model's own file must not pass for its figures."""
    path = Path(config.source)
    same_name = report.source.replace("\\", "/").rsplit("/", 1)[-1] == path.name
    if not same_name or not report.sha256 or config.weights or not path.is_file():
        return
    from hashlib import sha256

    if sha256(path.read_bytes()).hexdigest() != report.sha256:
        raise BadData(
            f"model.{config.name}: the figures given are of another {path.name} than {path} is now",
            "measure it again: edgekit bench",
        )


def earlier_figures(models: Sequence[ModelConfig], file: Path, against: str | None, *, use_cache: bool = True) -> Earlier:
    """Of run files or a git ref named by `against`, else of the committed baseline beside `file`, else none.

    A model or data that is broken in the ref is no reason to fail: today's version may be what repairs it. Raises BadConfig,
    BadData, MissingTool."""
    if against is None:
        known = file.parent / base.BASELINE
        if not known.is_file():
            return Earlier()
        reports = base.read_runs(known)
        return Earlier(base.BASELINE, {m.name: reports[m.name] for m in models if m.name in reports})
    if against.endswith(".json") or Path(against).is_file():
        return Earlier(against, base.reports_of(models, [against]))
    commit = base.commit_of(against, file.parent)
    found: dict[str, RunReport] = {}
    failed: dict[str, str] = {}
    with base.tree_of(commit, file.parent) as tree:
        for model in models:
            theirs = base.base_config(model, file, tree)
            try:
                if theirs is not None:
                    found[model.name] = figures(theirs, use_cache=use_cache, apart=True)
            except (BadModel, BadData, Unsupported) as error:
                failed[model.name] = error.message.replace(f"{tree}/", "")
    return Earlier(against, found, failed)


def figures(config: ModelConfig, *, use_cache: bool = True, apart: bool = False) -> RunReport:
    """All measurements that the limits of one model may be about; from the cache when nothing they depend on has changed.

    apart: measure in a process of its own, whose Python modules are not those of other versions of the same files.
    Raises what loading, data and targets raise, and NeedsData for a float model that is to be quantized.
    """
    names = config.targets or (DEFAULT_TARGET,)
    boards = [find_target(base.target_spec(name, config.folder)) for name in names]
    _refuse_pointer(config)
    key = None
    if use_cache:
        try:
            key = cache.key_of(config, boards)
        except OSError:
            key = None  # something is missing: loading it says what, and how to fix it
        if key is not None and (known := cache.load(key)) is not None:
            return replace(known, source=_own_name(config))
    report = _in_child(config) if apart else measure_model(config)
    if key is not None:
        cache.save(key, report)
    return report


def measure_model(config: ModelConfig) -> RunReport:
    """As `figures`, measured now. A float model is quantized first, as `scheme` says.

    Targets keep the names the configuration gives them; paths in notes are relative to its folder.
    """
    from edgekit import api, breakdown
    from edgekit.pipeline import open_model

    names = config.targets or (DEFAULT_TARGET,)
    boards = [find_target(base.target_spec(name, config.folder)) for name in names]
    source = open_model(config.source, config.data or config.eval, **_load_options(config))
    judged = config.eval or _own_test_split(config.data)
    own: list[Measurement] = []
    parts: breakdown.Breakdown = {}
    graph: Graph = source.graph
    if not source.graph.is_quantized and config.scheme != "float32":
        if config.data is None:
            raise NeedsData(f"model.{config.name}: the model is float and has no data to be quantized on", 'add data = "..."')
        done = api.quantize(
            source.graph,
            f"{config.name}.tflite",
            config.data,
            eval=judged,
            split=config.split,
            task=config.task,
            scheme=config.scheme,
            observer=config.observer,
            samples=config.samples,
            io=config.io,
            target=boards[0] if all(board.kind == "mcu" for board in boards) else None,
        )
        told = replace(done.accuracy_drop, note="; ".join([done.accuracy_drop.note, *done.notes]))
        graph, own, judged = done.graph, [done.accuracy, told], None
        parts = breakdown.of_accuracy(done.float_accuracy, done.accuracy)
    report = api.bench(graph, list(boards), eval=judged, task=config.task, details=True, ram_budget=config.ram_budget)
    results = tuple(
        replace(
            result,
            target=name,
            measurements=tuple(_shown(m, config) for m in _with(result.measurements, own)),
            breakdown={**result.breakdown, **parts},
        )
        for name, result in zip(names, report.results, strict=True)
    )
    return replace(report, source=_own_name(config), sha256=source.sha256, results=results)


def _load_options(config: ModelConfig) -> dict[str, Any]:
    from edgekit.load.cut import cut_at

    given = {key: getattr(config, key) for key in (*TABLES.values(), "weights", "shapes", "audio", "image", "trust")}
    given["outputs"] = cut_at(config.outputs)
    return {key: value for key, value in given.items() if value}


def _own_test_split(data: str | None) -> str | None:
    """A function that gives the data knows its own test split; a file is one set, and judging on it would flatter."""
    return data if data is not None and re.fullmatch(r".+\.py(:\w+)?", str(Path(data))) else None


def _with(measurements: tuple[Measurement, ...], own: list[Measurement]) -> tuple[Measurement, ...]:
    found = {m.metric: m for m in (*measurements, *own)}
    return tuple(found[metric] for metric in UNITS if metric in found)


def _own_name(config: ModelConfig) -> str:
    return _relative(config.source, config.folder)


def _shown(measurement: Measurement, config: ModelConfig) -> Measurement:
    """Notes as they are wherever the project lies."""
    return replace(measurement, note=_relative(measurement.note, config.folder))


def _relative(text: str, folder: Path) -> str:
    """`text` with the paths in it that start with `folder` relative to it."""
    return text if folder == Path() else re.sub(rf"(?<![\w./\\-]){re.escape(str(folder))}[/\\]", "", text)


def _refuse_pointer(config: ModelConfig) -> None:
    """A model or data file that Git LFS has not fetched is a text of three lines."""
    for spec in (config.source, config.data, config.eval, config.weights, *config.spec_files):
        if spec and Path(spec).is_file():
            with Path(spec).open("rb") as file:
                if file.read(len(LFS)) == LFS:
                    raise BadModel(f"'{spec}' is a Git LFS pointer, not the file itself", "git lfs pull")


def _in_child(config: ModelConfig) -> RunReport:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            report, failure = pool.submit(_answer, config).result()
        except BrokenProcessPool:
            raise EdgekitError(
                f"the process that measured the earlier '{_own_name(config)}' ended before it was done"
            ) from None
    if report is None:
        kind: type[EdgekitError] = getattr(kinds, failure[0])
        raise kind(failure[1], failure[2])
    return report


def _answer(config: ModelConfig) -> tuple[RunReport | None, tuple[str, str, str]]:
    """(report, no failure) or (None, kind, message and hint): errors of several arguments do not survive pickling."""
    try:
        return measure_model(config), ("", "", "")
    except EdgekitError as error:
        name = type(error).__name__
        known: Mapping[str, Any] = vars(kinds)
        if isinstance(error, Unsupported):
            name = BadModel.__name__
        return None, (name if name in known else EdgekitError.__name__, error.message, error.hint)
