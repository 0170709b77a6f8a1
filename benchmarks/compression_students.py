"""What a teacher is worth: the same student taught and alone. Part of benchmarks/compression.py.

Students: the teacher's own structure with every layer as much narrower as brings it to a quarter of the MACs, new weights; the
same few labelled samples, changes of them (`--augment`), steps, order and rate for all. Alone it learns from the labels; taught
from labels and teacher; with unlabelled samples, the rest of the training data without its labels, the teacher answers for
those too, in as many steps. Nothing is chosen here: every student is taken as it is after the last step; the number of samples,
the changes and the steps were chosen beforehand by training samples that no student saw. Accuracy on the test part, mean and
standard deviation over seeds, which draw the weights and the order.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.compression_data import accuracy, opened, spread
from edgekit import ops
from edgekit.augment import parse_augment
from edgekit.data import Dataset, selected
from edgekit.distilling import Distiller, DistilSettings, narrowed, reinitialised
from edgekit.graph import Graph
from edgekit.passes import finetune
from edgekit.passes.simplify import simplify
from edgekit.pipeline import Source
from edgekit.report.table import text_table
from edgekit.trainable import to_graph, to_module

NETS = ("lenet5", "ds_cnn")
SHARE = 0.25  # of the teacher's MACs
# Labelled samples, how they are changed, epochs.
TASK_OF = {"lenet5": (300, "shift=2,mix=0.5", 150), "ds_cnn": (300, "shift=0x5x0,mix=0.5", 150)}
OTHER = (300, "mix=0.5", 150)
RATE = 3e-3


@dataclass(frozen=True)
class Students:
    """Accuracies 0..1 on the test part: of the teacher and, one a seed, of the students; samples: labelled and unlabelled;
    macs: share of the teacher's."""

    net: str
    samples: tuple[int, int]
    macs: float
    teacher: float
    alone: tuple[float, ...]
    taught: tuple[float, ...]
    unlabelled: tuple[float, ...]

    @property
    def better(self) -> bool:
        """With all that the teacher can answer for, by more than both spreads."""
        alone, more = self.alone, self.unlabelled
        gap = statistics.mean(more) - statistics.mean(alone)
        return gap > (sum(statistics.stdev(v) for v in (alone, more)) if len(alone) > 1 else 0.0)


def quarter(graph: Graph) -> float:
    """The largest width whose network has at most SHARE of the MACs."""
    whole = ops.macs(graph)
    return next(w / 100 for w in range(99, 0, -1) if ops.macs(narrowed(graph, w / 100)) <= SHARE * whole)


def students(net: str, seeds: int, epochs: int | None, samples: int | None) -> Students:
    source, data, test = opened(net)
    usual_samples, changes, usual_epochs = TASK_OF.get(net, OTHER)
    few = selected(data, samples or usual_samples, None)
    rest = replace(data.subset(np.setdiff1d(np.arange(len(data)), np.searchsorted(data.rows, few.rows))), labels=None)
    teacher = simplify(source.graph, "train")
    width, count, augment = quarter(teacher), epochs or usual_epochs, parse_augment(changes)
    alone, taught, more, share = list[float](), list[float](), list[float](), 0.0
    for seed in range(seeds):
        small = reinitialised(narrowed(teacher, width), seed)
        share = ops.macs(small) / ops.macs(teacher)
        module = to_module(small)
        finetune.train(module, few, epochs=count, lr=RATE, seed=seed, augment=augment)
        alone.append(_judged(to_graph(module), test))
        for unlabelled, results in ((None, taught), (rest, more)):
            size = len(few) + (0 if unlabelled is None else len(unlabelled))
            passes = max(1, round(count * len(few) / size))
            own = DistilSettings({"logit": 1.0}, epochs=passes, lr=RATE, seed=seed, augment=augment)
            pair = (source, Source("student", "", small), own, few, None)
            distiller = Distiller(*pair, unlabelled=unlabelled)
            results.append(_judged(distiller.run(Path("student.onnx")).graph, test))
    found = (tuple(values) for values in (alone, taught, more))
    return Students(net, (len(few), len(rest)), share, _judged(teacher, test), *found)


def _judged(graph: Graph, data: Dataset) -> float:
    return accuracy(simplify(graph, "deploy"), data)


def table(rows: Sequence[Students]) -> str:
    header = ("teacher", "%", "student's MACs", "labelled", "alone %", "taught %", "unlabelled besides", "taught %")
    lines = []
    for r in rows:
        alone, taught, more = map(spread, (r.alone, r.taught, r.unlabelled))
        known, rest = (f"{count:,}" for count in r.samples)
        lines.append((r.net, f"{100 * r.teacher:.2f}", f"{r.macs:.1%}", known, alone, taught, rest, more))
    return text_table(header, lines, range(1, 8))
