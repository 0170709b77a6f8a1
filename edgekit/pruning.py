"""The command `prune` as a function: choose, cut, recover, stop where asked to, and show on the target what it gained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit import ops
from edgekit.bench.measuring import measure
from edgekit.data import Dataset
from edgekit.dsp import isa_of
from edgekit.errors import BadConfig, EdgekitError
from edgekit.graph import Array, Graph
from edgekit.inspection import params
from edgekit.passes.io_layout import io_layout
from edgekit.passes.legalize import illegal
from edgekit.passes.prune import (
    LEAST,
    Budget,
    Coupling,
    Group,
    Scope,
    Score,
    choose,
    masked,
    masks_of,
    scores_of,
    without,
)
from edgekit.passes.simplify import simplify
from edgekit.pipeline import Source, prepare, quantize_graph
from edgekit.report.model import TargetResult
from edgekit.target import Target

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress
    from edgekit.tasks import Task

# Channels that a target's kernels take at once: rounding to them costs nothing, rounding away from them does.
MULTIPLES = {"dsp": 4, "mve": 16, "plain": 1}
VECTOR = 8  # of processors that run ONNX or TFLite (XNNPACK and MLAS tiles)
CALIBRATION = 64  # samples that the int8 form is calibrated on, for its sizes
PROBES = 6  # halvings of the search for --flash, --ram and --latency
DROP_STEPS = 6  # steps of a schedule that --max-drop may stop
MOST = 0.9  # of the MACs, when only --max-drop says where to end
SCAN_SHARES = (0.25, 0.5, 0.75)
SHOWN = 512  # judged samples that the metric shown between epochs is from


@dataclass(frozen=True)
class Settings:
    """How to prune. ratio: share of the MACs (of the weights, without structure) to leave out.

    macs, params: at most so many left. flash, ram: bytes, latency: ms, of the int8 form on the target. max_drop: points of the
    metric (percent of it, where it has no bound) that may be lost. pattern: (n, m): n of m weights stay. unstructured: single
    weights. multiple: channels that stay (None: what the target's kernels take). steps: prune and
    recover in so many steps, each of `epochs`.
    """

    ratio: float | None = None
    macs: int | None = None
    params: int | None = None
    flash: int | None = None
    ram: int | None = None
    latency: float | None = None
    max_drop: float | None = None
    score: Score = "l2"
    scope: Scope = "global"
    multiple: int | None = None
    least: float = LEAST
    steps: int | None = None
    unstructured: bool = False
    pattern: tuple[int, int] | None = None
    epochs: int = 10
    lr: float = 1e-3
    batch: int = 64
    seed: int = 0
    early_stop: int | None = None
    teacher: bool = True
    task: Task | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class StepTaken:
    """A step of the schedule: MACs left, the metric before recovery and after it (NaN: nothing to judge by)."""

    macs: int
    cut: float
    recovered: float


@dataclass(frozen=True)
class Judged:
    """A metric of the network before and after. drop: how much worse it got: points of shares, percent of the others."""

    metric: str
    higher: bool
    before: float
    after: float
    note: str

    @property
    def drop(self) -> float:
        worse = self.before - self.after if self.higher else self.after - self.before
        return 100.0 * worse if self.higher else 100.0 * worse / (abs(self.before) or 1.0)


@dataclass(frozen=True)
class PruneResult:
    """files: {file name: bytes}, one file. layers: (name, kind, units before, after). judged: None without data to judge on.
    bench: the target before and after (the form it runs: int8 where the target takes that). zeros: share of weights."""

    source: Source
    files: Mapping[str, bytes]
    graph: Graph
    layers: tuple[tuple[str, str, int, int], ...]
    macs: tuple[int, int]
    params: tuple[int, int]
    judged: Judged | None
    steps: tuple[StepTaken, ...]
    bench: tuple[TargetResult, TargetResult] | None
    zeros: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ScanRow:
    """The metric with a share of one layer's units left out, without recovery, for each of SCAN_SHARES."""

    layer: str
    kind: str
    units: int
    values: tuple[float, ...]


class Pruner:
    """One network with its data. Everything that trains is imported here, when there is data to train on."""

    def __init__(
        self,
        source: Source,
        settings: Settings,
        target: Target | None,
        data: Dataset | None,
        judged: Dataset | None,
        checkpoints: Path | None = None,
        progress: Callable[[str, Progress], None] | None = None,
    ) -> None:
        _check(settings, data, judged, target)
        self.source, self.settings, self.target = source, settings, target
        self.data = None if data is None else replace(data, held_out=None)
        self.judged, self.checkpoints, self.progress = judged, checkpoints, progress
        self.graph = simplify(source.graph, "train")
        if self.graph.is_quantized:
            raise BadConfig(f"'{self.graph.name}' is quantized already", "prune the float model it was made from")
        self.task: Task | None = settings.task
        known = data or judged
        if self.task is None and known is not None:
            from edgekit.tasks import task_of

            self.task = task_of(self.graph, known, settings.teacher)
        self.multiple = settings.multiple or multiple_of(target)

    # -- judging --------------------------------------------------------------------------------------------------------

    def metric(self, graph: Graph, on: Dataset | None = None) -> float:
        """The task's metric on the data to judge on (NaN without any)."""
        data = on or self.judged
        if data is None or self.task in {None, "teacher"}:
            return math.nan
        from edgekit.passes.finetune import evaluate
        from edgekit.trainable import to_module

        return evaluate(to_module(graph).to(self.settings.device), data, self.task)

    def compare(self, before: float, after: float) -> Judged | None:
        if self.judged is None or self.task in {None, "teacher"}:
            return None
        from edgekit.tasks import METRICS

        assert self.task is not None
        kind = METRICS[self.task]
        return Judged(kind.name, kind.higher, before, after, f"{len(self.judged)} samples of {self.judged.name}")

    # -- pruning --------------------------------------------------------------------------------------------------------

    def scores(self, graph: Graph, groups: list[Group]) -> list[Array]:
        found = None
        if self.settings.score == "taylor":
            from edgekit.passes.finetune_taylor import sensitivities

            assert self.data is not None
            found = sensitivities(graph, self.data, self.task)
        return scores_of(graph, groups, self.settings.score, found)

    def cut(self, graph: Graph, budget: Budget) -> Graph:
        """The graph within the budget, not yet recovered."""
        groups = Coupling(graph).groups()
        s = self.settings
        units = choose(
            graph,
            groups,
            self.scores(graph, groups),
            budget,
            scope=s.scope,
            multiple=self.multiple,
            least=s.least,
            raw=s.score == "taylor",
        )
        return without(graph, units)

    def recover(self, graph: Graph, name: str, epochs: int, masks: Mapping[str, Array] | None = None) -> Graph:
        """Batch norm's statistics set anew, then trained with the unpruned network as teacher. Without data: as it is."""
        if self.data is None:
            return graph
        from edgekit.passes import finetune
        from edgekit.trainable import to_graph, to_module

        s = self.settings
        module = to_module(graph).to(s.device)
        module.set_masks(masks or {})
        finetune.recalibrate(module, self.data)
        if epochs:
            data = self.data
            if s.early_stop is not None:
                data = data.split(0.1)
            elif self.judged is not None:  # shown, never chosen by
                data = replace(data, held_out=self.judged.subset(np.arange(min(SHOWN, len(self.judged)))))
            show = self.progress
            finetune.train(
                module,
                data,
                task=self.task,
                epochs=epochs,
                lr=s.lr,
                batch=s.batch,
                seed=s.seed,
                teacher=to_module(self.graph).to(s.device) if s.teacher and self.task != "embedding" else None,
                checkpoint=None if self.checkpoints is None else self.checkpoints / f"{name}.pt",
                early_stop=s.early_stop,
                progress=None if show is None else lambda p: show(name, p),
            )
        return to_graph(module.cpu())

    def run(self) -> tuple[Graph, list[StepTaken]]:
        """The pruned, recovered graph and the steps that led there. Raises BadConfig where a rule cannot be kept."""
        s = self.settings
        if s.unstructured or s.pattern is not None:
            return self._sparse()
        whole = (ops.macs(self.graph), params(self.graph))
        final = self._budget(whole)
        count = s.steps or (DROP_STEPS if s.max_drop is not None else 1)
        graph, taken, base = self.graph, list[StepTaken](), math.nan
        if s.max_drop is not None:
            base = self.metric(graph)
        for step in range(1, count + 1):
            budget = Budget(
                *(
                    None if w is None else _between(had, w, step / count)
                    for had, w in zip(whole, (final.macs, final.params), strict=True)
                )
            )
            cut = self.cut(graph, budget)
            done = self.recover(cut, f"step-{step}", s.epochs)
            found = StepTaken(ops.macs(done), self.metric(cut), self.metric(done))
            if s.max_drop is not None:
                judged = self.compare(base, found.recovered)
                assert judged is not None
                if judged.drop > s.max_drop:
                    if not taken:
                        share = 1 - found.macs / whole[0]
                        raise BadConfig(
                            f"leaving out {share:.0%} of the MACs already loses {judged.drop:.2f}, more than {s.max_drop}",
                            "more --epochs or --steps, a smaller --ratio, or a larger --max-drop",
                        )
                    break
            graph = done
            taken.append(found)
        return graph, taken

    def _sparse(self) -> tuple[Graph, list[StepTaken]]:
        s = self.settings
        masks = masks_of(self.graph, 0.0 if s.ratio is None else s.ratio, s.pattern)
        cut = masked(self.graph, masks)
        done = self.recover(cut, "sparse", s.epochs, masks)
        found = StepTaken(ops.macs(done), self.metric(cut), self.metric(done))
        return done, [found]

    def _budget(self, whole: tuple[int, int]) -> Budget:
        """What --ratio, --macs and --params leave; --flash, --ram and --latency by trying on the target."""
        s = self.settings
        macs = [int(whole[0] * (1 - s.ratio))] if s.ratio is not None else []
        macs += [s.macs] if s.macs is not None else []
        if not macs and s.params is None and s.max_drop is not None and s.flash is s.ram is s.latency is None:
            macs = [self._least_macs(1 - MOST)]
        budget = Budget(min(macs, default=None), s.params)
        limits = {k: v for k, v in (("flash", s.flash), ("ram", s.ram), ("latency", s.latency)) if v is not None}
        if not limits:
            return budget
        fits = self.graph if budget == Budget() else self.cut(self.graph, budget)
        if self._within(fits, limits):
            return budget
        high = ops.macs(fits)
        low = self._least_macs(1 - MOST)
        if not self._within(self.cut(self.graph, Budget(low, s.params)), limits):
            raise BadConfig(
                f"even at {low:,} MACs the network does not keep {_words(limits)}", "a larger limit, or another network"
            )
        for _ in range(PROBES):
            middle = (low + high) // 2
            if self._within(self.cut(self.graph, Budget(middle, s.params)), limits):
                low = middle
            else:
                high = middle
        return Budget(low, s.params)

    def _least_macs(self, share: float) -> int:
        """That share of the MACs, or what can be reached."""
        whole = ops.macs(self.graph)
        for left in np.arange(share, 1.0, 0.05):
            try:
                return ops.macs(self.cut(self.graph, Budget(int(whole * left))))
            except BadConfig:
                continue
        raise BadConfig(f"'{self.graph.name}' has next to nothing that can be left out")

    def _within(self, graph: Graph, limits: Mapping[str, float]) -> bool:
        result = self.on_target(graph)
        for metric, most in limits.items():
            found = result.get(metric)
            if found is None or found.value is None:
                raise BadConfig(f"--{metric} cannot be judged: {found.note if found else 'not measured'}", "--macs or --params")
            if found.value > most:
                return False
        return True

    def on_target(self, graph: Graph) -> TargetResult:
        """Every metric of the network on the target, in the form it would run there."""
        assert self.target is not None
        made = graph
        if self.data is not None and self.target.schemes[0] == "int8":
            part = self.data.subset(np.arange(min(CALIBRATION, len(self.data))))
            try:
                made = quantize_graph(graph, part, "c" if self.target.kind == "mcu" else "tflite").after
            except EdgekitError:
                made = graph  # measured as float32; the result's note says so
        return measure(made, [self.target])[0]

    def scan(self) -> tuple[float, list[ScanRow]]:
        """(the metric of the whole network, a row a group): how much each layer matters. Needs data to judge on."""
        if self.judged is None:
            raise BadConfig("--scan needs labelled data to judge on", "--eval D2 or --split 20%")
        groups = Coupling(self.graph).groups()
        part = self.judged.subset(np.arange(min(SHOWN, len(self.judged))))
        rows = []
        for group, scores in zip(groups, self.scores(self.graph, groups), strict=True):
            order = np.argsort(scores, kind="stable")
            values = []
            for share in SCAN_SHARES:
                count = min(round(share * group.size), group.size - 1)
                values.append(self.metric(without(self.graph, [group.units[i] for i in order[:count]]), part))
            rows.append(ScanRow(group.name, group.kind, group.size, tuple(values)))
        return self.metric(self.graph, part), rows

    def result(self, out: Path, bench: bool = True) -> PruneResult:
        """Prune, and show what it gained."""
        graph, steps = self.run()
        deployed = simplify(graph, "train").with_history("prune")
        sparse = self.settings.unstructured or self.settings.pattern is not None
        both = (self.on_target(self.graph), self.on_target(deployed)) if bench and self.target is not None else None
        before = self.metric(self.graph)
        after = steps[-1].recovered
        return PruneResult(
            self.source,
            {out.name: write(deployed, out)},
            deployed,
            () if sparse else _layers(self.graph, graph),
            (ops.macs(self.graph), ops.macs(deployed)),
            (params(self.graph), params(deployed)),
            self.compare(before, after),
            tuple(steps),
            both,
            _zeros(deployed) if sparse else None,
            () if self.data is None else self.data.notes,
        )


def multiple_of(target: Target | None) -> int:
    """Channels that the target's kernels take at once."""
    if target is None:
        return MULTIPLES["dsp"]
    return MULTIPLES[isa_of(target.core)] if target.kind == "mcu" else VECTOR


def write(graph: Graph, out: Path) -> bytes:
    """The float network as one file; .onnx keeps batch norm, unless other operators must be rewritten for it."""
    if out.suffix == ".onnx":
        from edgekit.export.onnx import export_onnx

        whole = io_layout(graph, "source")
        only_norms = all(where.startswith("BATCH_NORM ") for where, _, _ in illegal(whole, "onnx"))
        return export_onnx(whole if only_norms else prepare(graph, "onnx"))
    if out.suffix == ".tflite":
        from edgekit.export.tflite import export_tflite

        return export_tflite(prepare(graph, "tflite"))
    raise BadConfig(f"cannot tell the format of '{out}' from its suffix", "name the output .onnx or .tflite")


def _check(s: Settings, data: Dataset | None, judged: Dataset | None, target: Target | None) -> None:
    """Raises BadConfig for settings that contradict each other or the data."""
    rules = (s.ratio, s.macs, s.params, s.flash, s.ram, s.latency, s.max_drop)
    sparse = s.unstructured or s.pattern is not None
    faults = [
        (s.ratio is not None and not 0 < s.ratio < 1, f"a ratio of {s.ratio} leaves nothing or everything", "--ratio 0.5"),
        (sparse and any(r is not None for r in rules[1:]), "zeros save no MACs, flash or RAM", "--ratio alone, or --pattern"),
        (s.unstructured and s.ratio is None and s.pattern is None, "say how many weights go", "--ratio 0.5"),
        (s.max_drop is not None and judged is None, "--max-drop needs data to judge on", "--eval D2 or --split 20%"),
        (s.score == "taylor" and data is None, "the Taylor score needs data", "--data D"),
        (
            any(r is not None for r in (s.flash, s.ram, s.latency)) and target is None,
            "--flash, --ram and --latency are measured on a target",
            "--target T",
        ),
        (s.steps is not None and s.steps < 1, f"{s.steps} steps make no sense", "--steps 1"),
        (not 0 < s.least <= 1, f"a least share of {s.least} makes no sense", "0.1 keeps a tenth of each layer"),
    ]
    for wrong, what, hint in faults:
        if wrong:
            raise BadConfig(what, hint)


def check_goal(s: Settings) -> None:
    """Raises BadConfig when nothing says how much to prune."""
    if not (s.pattern or any(r is not None for r in (s.ratio, s.macs, s.params, s.flash, s.ram, s.latency, s.max_drop))):
        raise BadConfig("how much is to be pruned?", "--ratio 0.5, or --macs, --params, --flash, --ram, --latency, --max-drop")


def _between(had: int, wanted: int, share: float) -> int:
    """From what there is to what is wanted, as much each step."""
    return wanted if share >= 1 else round(had + (wanted - had) * share) if wanted < had else had


def _words(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f}" for name, value in limits.items())


def _zeros(graph: Graph) -> float:
    """Share of the weights that are zero."""
    names = {n.inputs[i] for n in graph.nodes for i in ops.TABLE[n.op].weights if i < len(n.inputs)}
    arrays = [graph[name].data for name in names if name is not None]
    known = [a for a in arrays if a is not None]
    return sum(int((a == 0).sum()) for a in known) / max(1, sum(a.size for a in known))


def _layers(before: Graph, after: Graph) -> tuple[tuple[str, str, int, int], ...]:
    """Each group's size before and after: along the first of its axes that the pruned graph still has."""
    rows = []
    for group in Coupling(before).groups():
        own = [(name, axis) for name, axis in group.axes if name in after.tensors]
        if own:
            name, axis = own[0]
            per = before[name].shape[axis] // group.size
            rows.append((group.name, group.kind, group.size, after[name].shape[axis] // max(1, per)))
    return tuple(rows)
