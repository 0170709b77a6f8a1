"""The command `prune` as a function: choose, cut, recover, stop where asked to, and show on the target what it gained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit import deciding, ops
from edgekit.bench.measuring import measure
from edgekit.data import Dataset
from edgekit.dsp import isa_of
from edgekit.errors import BadConfig, EdgekitError
from edgekit.graph import Array, Graph
from edgekit.inspection import params
from edgekit.passes.finite import check_finite
from edgekit.passes.io_layout import io_layout
from edgekit.passes.legalize import illegal
from edgekit.passes.prune import (
    Budget,
    Coupling,
    Group,
    choose,
    masked,
    masks_of,
    scores_of,
    without,
)
from edgekit.passes.simplify import simplify
from edgekit.pipeline import Source, prepare, quantize_graph
from edgekit.pruning_result import Judged, PruneResult, ScanRow, StepTaken, Tried
from edgekit.pruning_search import sizes, within
from edgekit.pruning_settings import WAYS, Limit, Settings, Share, check
from edgekit.report.model import TargetResult
from edgekit.target import Target
from edgekit.tasks_further import metric_of

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress
    from edgekit.tasks import Task

# Channels that a target's kernels take at once: rounding to them costs nothing, rounding away from them does.
MULTIPLES = {"dsp": 4, "mve": 16, "plain": 1}
VECTOR = 8  # of processors that run ONNX or TFLite (XNNPACK and MLAS tiles)
CALIBRATION = 64  # samples that the int8 form is calibrated on, for its sizes
DROP_STEPS = 6  # steps of a schedule that --max-drop may stop
MOST = 0.9  # of the MACs, when only --max-drop says where to end
TRIAL = 5  # of the epochs one in so many goes to each way that --score auto tries
SCAN_SHARES = (0.25, 0.5, 0.75)
SHOWN = 512  # samples that a metric shown by the way is from, at most


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
        val: Dataset | None = None,
    ) -> None:
        check(settings, data is not None, (judged or val) is not None, target is not None)
        self.source, self.settings, self.target = source, settings, target
        s = settings
        whole = s.max_drop is not None or s.score == "auto"
        share = deciding.SHARE if whole else deciding.ENDS if s.early_stop is not None else None
        divided = deciding.parts(data, val, judged, share)
        self.data, self.deciding, self.judged = divided.train, divided.deciding, divided.judged
        self.checkpoints, self.progress = checkpoints, progress
        self.graph = simplify(source.graph, "train")
        if self.graph.is_quantized:
            raise BadConfig(f"'{self.graph.name}' is quantized already", "prune the float model it was made from")
        check_finite(source.graph)
        self.task: Task | None = settings.task
        known = data or judged or val
        if self.task is None and known is not None:
            from edgekit.tasks import task_of

            self.task = task_of(self.graph, known, settings.teacher)
        if self.task not in {None, "teacher"} and settings.metric is not None:
            metric_of(self.task, settings.metric)  # known before anything is cut
        self.tried: list[Tried] = []
        self.multiple = settings.multiple or multiple_of(target)

    # -- judging --------------------------------------------------------------------------------------------------------

    def metric(self, graph: Graph, on: Dataset | None) -> float:
        """The task's metric on that data (NaN without any, or without a task)."""
        if on is None or self.task in {None, "teacher"}:
            return math.nan
        from edgekit.passes.finetune import evaluate
        from edgekit.trainable import device_of, to_module

        return evaluate(to_module(graph).to(device_of(self.settings.device)), on, self.task, metric=self.settings.metric)

    def compare(self, before: float, after: float, on: Dataset | None) -> Judged | None:
        if on is None or self.task in {None, "teacher"}:
            return None
        assert self.task is not None
        return Judged.of(metric_of(self.task, self.settings.metric), before, after, on)

    def _unlabelled(self, graph: Graph) -> Judged | None:
        """What the network was taught to keep is reported on where its data needs no labels for that."""
        from edgekit import evaluate

        found = evaluate.unlabelled((self.graph, graph), self.judged) if self.task == "teacher" else None
        if found is None or self.judged is None:
            return None
        metric, (before, after) = found
        return Judged.of(metric, before, after, self.judged)

    @cached_property
    def watched(self) -> Dataset | None:
        """What steps are shown by: what decides, else some of what is trained on; never what is reported on."""
        if self.deciding is not None or self.data is None:
            return self.deciding
        return self.data.subset(np.arange(min(SHOWN, len(self.data))))

    # -- pruning --------------------------------------------------------------------------------------------------------

    def scores(self, graph: Graph, groups: list[Group]) -> list[Array]:
        found, score = None, self.settings.score
        assert score != "auto"
        if score == "taylor":
            from edgekit.passes.finetune_taylor import sensitivities

            assert self.data is not None
            found = sensitivities(graph, self.data, self.task)
        return scores_of(graph, groups, score, found)

    def _best_way(self) -> Settings:
        """--score auto: the settings with the way that does best on the samples that decide, after a short recovery."""
        if self.task in {None, "teacher"}:
            raise BadConfig("--score auto needs labels to decide by", "labelled data, or --score l2")
        mine, faults = self.settings, list[BadConfig]()
        for score, scope in WAYS:
            self.settings = replace(mine, score=score, scope=scope)
            try:
                graph = self.cut(self.graph, self._budget(self.graph))
            except BadConfig as error:
                faults.append(error)
                continue
            done = self.recover(graph, f"try-{score}-{scope}", max(1, mine.epochs // TRIAL))
            self.tried.append(Tried(score, scope, ops.macs(done), self.metric(done, self.deciding)))
        if not self.tried:
            raise faults[0]
        higher = metric_of(self.task, mine.metric).higher
        best = max(self.tried, key=lambda t: t.metric if higher else -t.metric)
        return replace(mine, score=best.score, scope=best.scope)

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
        from edgekit.trainable import device_of, to_graph, to_module

        s = self.settings
        module = to_module(graph).to(device_of(s.device))
        module.set_masks(masks or {})
        finetune.recalibrate(module, self.data)
        if epochs:
            data, show = replace(self.data, held_out=self.deciding), self.progress
            finetune.train(
                module,
                data,
                task=self.task,
                epochs=epochs,
                lr=s.lr,
                batch=s.batch,
                seed=s.seed,
                teacher=to_module(self.graph).to(device_of(s.device)) if s.teacher and self.task != "embedding" else None,
                checkpoint=None if self.checkpoints is None else self.checkpoints / f"{name}.pt",
                early_stop=s.early_stop,
                augment=s.augment,
                metric=s.metric if self.task != "teacher" else None,
                progress=None if show is None else lambda p: show(name, p),
            )
        return to_graph(module.cpu())

    def run(self) -> tuple[Graph, list[StepTaken]]:
        """The pruned, recovered graph and the steps that led there. Raises BadConfig where a rule cannot be kept."""
        s = self.settings
        if s.unstructured or s.pattern is not None:
            return self._sparse()
        if s.score == "auto":
            s = self.settings = self._best_way()
        whole = sizes(self.graph)
        final = self._budget(self.graph)
        count = s.steps or (DROP_STEPS if s.max_drop is not None else 1)
        graph, taken, base = self.graph, list[StepTaken](), math.nan
        if s.max_drop is not None:
            base = self.metric(graph, self.deciding)
        for step in range(1, count + 1):
            if step == count and step > 1:
                final = self._budget(graph)  # what was found for the whole network cuts the recovered one elsewhere
            pairs = ((whole["macs"], final.macs), (whole["params"], final.params))
            budget = Budget(*(None if w is None else _between(had, w, step / count) for had, w in pairs))
            cut = self.cut(graph, budget)
            done = self.recover(cut, f"step-{step}", s.epochs)
            found = StepTaken(ops.macs(done), self.metric(cut, self.watched), self.metric(done, self.watched))
            if s.max_drop is not None:
                lost = self.compare(base, found.recovered, self.deciding)
                assert lost is not None
                if lost.drop > s.max_drop:
                    if not taken:
                        share = 1 - found.macs / whole["macs"]
                        raise BadConfig(
                            f"leaving out {share:.0%} of the MACs already loses {lost.drop:.2f}, more than {s.max_drop} "
                            f"({lost.note})",
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
        found = StepTaken(ops.macs(done), self.metric(cut, self.watched), self.metric(done, self.watched))
        return done, [found]

    def _budget(self, graph: Graph) -> Budget:
        """What --ratio, --macs and --params leave of the whole network; the limits on the target by trying cuts of `graph`."""
        s, whole = self.settings, sizes(self.graph)
        macs = [int(whole["macs"] * (1 - s.ratio))] if s.ratio is not None else []
        macs += [_absolute(s.macs, whole["macs"])] if s.macs is not None else []
        limits = s.limits()
        if not macs and s.params is None and s.max_drop is not None and not limits:
            macs = [self._least_macs(1 - MOST)]
        budget = Budget(min(macs, default=None), None if s.params is None else _absolute(s.params, whole["params"]))
        if not limits:
            return budget
        had = _figures(self.whole_on_target, limits)
        most = {name: limit.of_whole * had[name] if isinstance(limit, Share) else limit for name, limit in limits.items()}
        return within(graph, budget, most, lambda b: self.cut(graph, b), lambda g: _figures(self.on_target(g), limits))

    def _least_macs(self, share: float) -> int:
        """That share of the MACs, or what can be reached."""
        whole = ops.macs(self.graph)
        for left in np.arange(share, 1.0, 0.05):
            try:
                return ops.macs(self.cut(self.graph, Budget(int(whole * left))))
            except BadConfig:
                continue
        raise BadConfig(f"'{self.graph.name}' has next to nothing that can be left out")

    @cached_property
    def whole_on_target(self) -> TargetResult:
        return self.on_target(self.graph)

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
        judged = self.deciding or self.judged
        if judged is None:
            raise BadConfig("--scan needs labelled data to judge on", "--val D3, --eval D2 or --split 20%")
        groups = Coupling(self.graph).groups()
        part = judged.subset(np.arange(min(SHOWN, len(judged))))
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
        check_suffix(out)
        graph, steps = self.run()
        deployed = simplify(graph, "train").with_history("prune")
        sparse = self.settings.unstructured or self.settings.pattern is not None
        both = (self.whole_on_target, self.on_target(deployed)) if bench and self.target is not None else None
        ends = self.metric(self.graph, self.judged), self.metric(graph, self.judged)
        chosen = None
        if self.tried or self.settings.max_drop is not None or self.settings.early_stop is not None:
            chosen = self.compare(self.metric(self.graph, self.deciding), steps[-1].recovered, self.deciding)
        return PruneResult(
            self.source,
            {out.name: write(deployed, out)},
            deployed,
            () if sparse else _layers(self.graph, graph),
            (ops.macs(self.graph), ops.macs(deployed)),
            (params(self.graph), params(deployed)),
            self.compare(*ends, self.judged) or self._unlabelled(deployed),
            chosen,
            tuple(self.tried),
            tuple(steps),
            both,
            _zeros(deployed) if sparse else None,
            0 if self.data is None or not self.settings.epochs else len(self.data),
            () if self.data is None else self.data.notes,
        )


def _figures(result: TargetResult, metrics: Iterable[str]) -> dict[str, float]:
    """What limits are held against. Raises BadConfig where it cannot be had."""
    values = {}
    for metric in metrics:
        found = result.get(metric)
        if found is None or found.value is None:
            raise BadConfig(f"--{metric} cannot be judged: {found.note if found else 'not measured'}", "--macs or --params")
        values[metric] = found.value
    return values


def multiple_of(target: Target | None) -> int:
    """Channels that the target's kernels take at once."""
    if target is None:
        return MULTIPLES["dsp"]
    return MULTIPLES[isa_of(target.core)] if target.kind == "mcu" else VECTOR


def check_suffix(out: Path) -> None:
    """Raises BadConfig for a file that `write` cannot make: said before anything is trained."""
    if out.suffix not in {".onnx", ".tflite"}:
        raise BadConfig(f"cannot tell the format of '{out}' from its suffix", "name the output .onnx or .tflite")


def write(graph: Graph, out: Path) -> bytes:
    """The float network as one file; .onnx keeps batch norm, unless other operators must be rewritten for it."""
    check_suffix(out)
    if out.suffix == ".onnx":
        from edgekit.export.onnx import export_onnx

        whole = io_layout(graph, "source")
        only_norms = all(where.startswith("BATCH_NORM ") for where, _, _ in illegal(whole, "onnx"))
        return export_onnx(whole if only_norms else prepare(graph, "onnx"))
    from edgekit.export.tflite import export_tflite

    return export_tflite(prepare(graph, "tflite"))


def _absolute(limit: Limit, whole: float) -> int:
    return int(limit.of_whole * whole if isinstance(limit, Share) else limit)


def _between(had: int, wanted: int, share: float) -> int:
    """From what there is to what is wanted, as much each step."""
    return wanted if share >= 1 else round(had + (wanted - had) * share) if wanted < had else had


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
