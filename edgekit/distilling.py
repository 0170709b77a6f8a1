"""The command `distill` as a function: a small network learns from a large one's answers, features and attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit import deciding, ops
from edgekit.augment import Augment
from edgekit.boundary import source_shape
from edgekit.data import Dataset
from edgekit.errors import BadConfig
from edgekit.graph import Array, Graph
from edgekit.inspection import params
from edgekit.ops import op_of
from edgekit.passes.finite import check_finite
from edgekit.passes.prune import Coupling, scores_of, without
from edgekit.passes.simplify import simplify
from edgekit.pipeline import Source
from edgekit.pruning import check_suffix, write
from edgekit.pruning_result import Judged
from edgekit.tasks_further import metric_of

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress
    from edgekit.passes.finetune_losses import Loss
    from edgekit.recipe import Recipe
    from edgekit.tasks import Task

LOSSES = ("logit", "feature", "attention")
# What each loss counts beside the labels' when no weight is given. Attention maps are small numbers.
WEIGHTS = {"logit": 1.0, "feature": 0.5, "attention": 10.0}


@dataclass(frozen=True)
class DistilSettings:
    """How to distil. loss: what of the teacher counts, name -> weight. labels: weight of the labels' own loss (0: none).

    reinit: the student starts from new weights, not from its own. width: of a student made of the teacher (None: it is given).
    """

    loss: Mapping[str, float]
    temperature: float = 4.0
    labels: float = 1.0
    width: float | None = None
    reinit: bool = False
    epochs: int = 10
    lr: float = 1e-3
    batch: int = 64
    seed: int = 0
    early_stop: int | None = None
    augment: Augment | None = None
    task: Task | None = None
    metric: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class DistilResult:
    """files: {file name: bytes}, one file. judged: the student before and after; teacher: its metric (NaN without data to judge
    on). pairs: values inside the networks that were compared, (loss, student's, teacher's). decided: what --early-stop
    chose the epoch by, none of it judged on ("": it did not); trained: samples learnt from."""

    teacher: Source
    student: Source
    files: Mapping[str, bytes]
    graph: Graph
    macs: tuple[int, int]
    params: tuple[int, int]
    judged: Judged | None
    teacher_metric: float
    pairs: tuple[tuple[str, str, str], ...]
    losses: tuple[float, ...]
    decided: str
    trained: int
    notes: tuple[str, ...]
    recipe: Recipe | None = None


def parse_losses(text: str) -> dict[str, float]:
    """ "logit,feature=0.5" -> {"logit": 1.0, "feature": 0.5}. Raises BadConfig."""
    found: dict[str, float] = {}
    for part in (p.strip() for p in text.split(",") if p.strip()):
        name, equals, value = part.partition("=")
        try:
            weight = float(value) if equals else WEIGHTS[name]
        except (KeyError, ValueError):
            weight = math.nan
        if name not in WEIGHTS or not 0 < weight < math.inf:
            raise BadConfig(f"--loss {text}: '{part}' is none", f"of {', '.join(LOSSES)}, or with a weight: logit,feature=0.5")
        found[name] = weight
    if not found:
        raise BadConfig("--loss names nothing", f"of {', '.join(LOSSES)}")
    return found


def narrowed(graph: Graph, width: float) -> Graph:
    """The network with that share of the channels, neurons and heads of every layer: those with the largest weights.

    Raises BadConfig for a width not between 0 and 1, or where nothing can go.
    """
    if not 0 < width < 1:
        raise BadConfig(f"a width of {width:g} makes no student", "a share of the teacher's channels: --student-width 0.5")
    groups = Coupling(graph).groups()
    units = []
    for group, scores in zip(groups, scores_of(graph, groups, "l2", None), strict=True):
        order = np.argsort(scores, kind="stable")
        units += [group.units[i] for i in order[: group.size - max(1, round(width * group.size))].tolist()]
    if not units:
        raise BadConfig(f"nothing of '{graph.name}' can be left out", "name a STUDENT of its own")
    return without(graph, units)


def reinitialised(graph: Graph, seed: int) -> Graph:
    """New weights: normal with variance 2 / inputs (He et al. 2015) for layers, biases 0, normalisations as new.

    Embeddings and constants that are added or multiplied keep theirs.
    """
    rng, tensors = np.random.default_rng(seed), dict(graph.tensors)

    def put(name: str | None, data: Array) -> None:
        if name is not None and graph[name].is_const and graph[name].dtype == "float32":
            tensors[name] = replace(graph[name], data=data.astype(np.float32).reshape(graph[name].shape))

    for node in graph.nodes:
        entry = op_of(node)
        for index, axis in entry.weights.items():
            name = node.inputs[index] if index < len(node.inputs) else None
            if name is not None and graph[name].is_const:
                shape = graph[name].shape
                fan = math.prod(shape) // max(1, shape[axis])
                put(name, rng.normal(0, math.sqrt((1.0 if entry.recurrent else 2.0) / max(1, fan)), shape))
        if entry.bias is not None and entry.bias < len(node.inputs) and node.inputs[entry.bias] is not None:
            put(node.inputs[entry.bias], np.zeros(graph[str(node.inputs[entry.bias])].shape))
        if node.op in {"BATCH_NORM", "LAYER_NORM", "RMS_NORM", "GROUP_NORM"}:
            for name, value in zip(node.inputs[1:], (1.0, 0.0, 0.0, 1.0), strict=False):
                if name is not None:
                    put(name, np.full(graph[name].shape, value))
    return replace(graph, tensors=tensors).with_history(f"new weights, seed {seed}")


class Distiller:
    """One teacher, one student, their data. Raises BadConfig for a pair that does not fit."""

    def __init__(
        self,
        teacher: Source,
        student: Source | None,
        settings: DistilSettings,
        data: Dataset,
        judged: Dataset | None,
        checkpoint: Path | None = None,
        progress: Callable[[str, Progress], None] | None = None,
        val: Dataset | None = None,
        unlabelled: Dataset | None = None,
    ) -> None:
        divided = deciding.parts(data, val, judged, None if settings.early_stop is None else deciding.ENDS)
        assert divided.train is not None
        self.settings, self.data, self.deciding, self.judged = settings, divided.train, divided.deciding, divided.judged
        self.checkpoint, self.progress = checkpoint, progress
        self.source = teacher
        self.teacher = _float(teacher.graph, "teacher")
        if (student is None) == (settings.width is None):
            raise BadConfig("a student is needed, and only one", "name STUDENT, or --student-width 0.5")
        self.own = student or Source(f"{teacher.text} at width {settings.width:g}", "", teacher.graph)
        graph = narrowed(self.teacher, settings.width) if settings.width is not None else _float(self.own.graph, "student")
        self.student = reinitialised(graph, settings.seed) if settings.reinit else graph
        self._check()
        if unlabelled is not None:
            self.data = deciding.joined(self.data, unlabelled)
        from edgekit.tasks import task_of

        self.task: Task = settings.task or ("teacher" if settings.labels == 0 else task_of(self.student, data, True))
        if self.task != "teacher" and settings.metric is not None:
            metric_of(self.task, settings.metric)  # known before anything is trained

    def _check(self) -> None:
        """Both must take the same data; that answers fit is checked with the loss that compares them."""
        s, t = self.student, self.teacher
        ours, theirs = ([source_shape(g, n)[1:] for n in g.inputs] for g in (s, t))
        if ours != theirs:
            raise BadConfig(
                f"the teacher takes {_shapes(theirs)}, the student {_shapes(ours)}: they cannot see the same samples",
                "use networks of the same inputs, in the same order",
            )
        kinds = [[g[n].dtype for n in g.inputs] for g in (s, t)]
        if kinds[0] != kinds[1]:
            raise BadConfig(f"the teacher takes {', '.join(kinds[1])}, the student {', '.join(kinds[0])}", "inputs of one kind")
        pair = [g.contract.output(g.outputs[0]).labels for g in (s, t)]
        if pair[0] and pair[1] and pair[0] != pair[1]:
            raise BadConfig(
                "teacher and student name their classes differently, or in another order", "the same labels in one order"
            )

    def losses(self) -> tuple[list[Loss], list[tuple[str, str, str]]]:
        """The terms, and the values that those inside the networks compare."""
        from edgekit.passes.finetune_distil import attention_loss, feature_loss
        from edgekit.passes.finetune_losses import task_loss, teacher_loss

        s, found = self.settings, list["Loss"]()
        if self.task != "teacher" and s.labels > 0:
            found.append(replace(task_loss(), weight=s.labels))
        if "logit" in s.loss:
            found.append(teacher_loss(self.student, self.teacher, s.temperature, s.loss["logit"]))
        inside = []
        if "feature" in s.loss:
            inside.append(feature_loss(self.student, self.teacher, s.loss["feature"], s.seed))
        if "attention" in s.loss:
            inside.append(attention_loss(self.student, self.teacher, s.loss["attention"]))
        if self.task == "teacher" and "logit" not in s.loss:
            raise BadConfig(
                "without labels nothing teaches the student's last layer", "add logit to --loss, or labels to the data"
            )
        pairs = [(loss.name, a, b) for loss in inside for a, b in zip(loss.keep, loss.teacher_keep, strict=True)]
        return [*found, *inside], pairs

    def metric(self, graph: Graph) -> float:
        if self.judged is None or self.task == "teacher":
            return math.nan
        from edgekit.passes.finetune import evaluate
        from edgekit.trainable import device_of, to_module

        return evaluate(
            to_module(graph).to(device_of(self.settings.device)), self.judged, self.task, metric=self.settings.metric
        )

    def run(self, out: Path) -> DistilResult:
        """Train the student. Raises BadData (labels, NaN), BadConfig (a pair that does not fit, another run's checkpoint)."""
        from edgekit import evaluate
        from edgekit.passes import finetune
        from edgekit.trainable import device_of, to_graph, to_module

        check_suffix(out)
        s, show = self.settings, self.progress
        losses, pairs = self.losses()
        with finetune.repeatable(s.seed):
            module, teacher = (to_module(g).to(device_of(s.device)) for g in (self.student, self.teacher))
        before, best = self.metric(self.student), self.metric(self.teacher)
        done = finetune.train(
            module,
            replace(self.data, held_out=self.deciding),
            task=self.task,
            epochs=s.epochs,
            lr=s.lr,
            batch=s.batch,
            seed=s.seed,
            teacher=teacher,
            losses=losses,
            checkpoint=self.checkpoint,
            early_stop=s.early_stop,
            augment=s.augment,
            metric=s.metric if self.task != "teacher" else None,
            progress=None if show is None else lambda p: show("student", p),
        )
        made = simplify(to_graph(module.cpu()), "train").with_history("distill")
        after = self.metric(made)
        judged = None
        told = evaluate.unlabelled((self.student, self.teacher, made), self.judged) if self.task == "teacher" else None
        if told is not None and self.judged is not None:
            before, best, after = told[1]
            judged = Judged.of(told[0], before, after, self.judged)
        elif self.judged is not None and self.task != "teacher":
            judged = Judged.of(metric_of(self.task, s.metric), before, after, self.judged)
        return DistilResult(
            self.source,
            self.own,
            {out.name: write(made, out)},
            made,
            (ops.macs(self.teacher), ops.macs(made)),
            (params(self.teacher), params(made)),
            judged,
            best,
            tuple(pairs),
            tuple(done.losses),
            deciding.words(self.deciding) if self.deciding is not None and s.early_stop is not None else "",
            len(self.data),
            self.data.notes,
        )


def _float(graph: Graph, who: str) -> Graph:
    if graph.is_quantized:
        raise BadConfig(f"the {who} '{graph.name}' is quantized already", f"use the float model the {who} was made from")
    check_finite(graph, who)
    return simplify(graph, "train")


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(str(list(s)) for s in shapes)
