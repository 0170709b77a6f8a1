"""What a teacher is worth: the same student taught and alone. Part of benchmarks/compression.py.

Students: the teacher's own structure with every layer as much narrower as brings it to a quarter of the MACs, new weights; the
same few labelled samples, changes of them, order, rate and epochs for both. Alone it learns from the labels, taught from labels
and teacher. A fifth of the samples is set aside and decides which epoch's weights are taken, for both. Accuracy on the test
part, mean and standard deviation over seeds, which also draw the samples' order and the weights.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.compression_data import accuracy, opened, spread
from edgekit import deciding, ops
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
TASK_OF = {"lenet5": (500, "shift=2,mix=0.5", 60), "ds_cnn": (500, "shift=0x5x0,mix=0.5", 80)}
OTHER = (500, "mix=0.5", 60)
RATE = 3e-3


@dataclass(frozen=True)
class Students:
    """Accuracies 0..1 of the teacher and, one a seed, of the students on test and validation; macs: share of the teacher's."""

    net: str
    samples: int
    macs: float
    teacher: float
    alone: tuple[float, ...]
    taught: tuple[float, ...]
    alone_validation: tuple[float, ...]
    taught_validation: tuple[float, ...]

    @property
    def better(self) -> bool:
        return statistics.mean(self.taught) > statistics.mean(self.alone)


def quarter(graph: Graph) -> float:
    """The largest width whose network has at most SHARE of the MACs."""
    whole = ops.macs(graph)
    return next(w / 100 for w in range(99, 0, -1) if ops.macs(narrowed(graph, w / 100)) <= SHARE * whole)


def students(net: str, seeds: int, epochs: int | None, samples: int | None) -> Students:
    source, data, test = opened(net)
    usual_samples, changes, usual_epochs = TASK_OF.get(net, OTHER)
    few = selected(data, samples or usual_samples, None)
    divided = deciding.parts(few, None, test, deciding.SHARE)
    assert divided.train is not None
    assert divided.deciding is not None
    teacher = simplify(source.graph, "train")
    width, count, augment = quarter(teacher), epochs or usual_epochs, parse_augment(changes)
    found: dict[str, list[float]] = {name: [] for name in ("alone", "taught", "alone_validation", "taught_validation")}
    share = 0.0
    for seed in range(seeds):
        small = reinitialised(narrowed(teacher, width), seed)
        share = ops.macs(small) / ops.macs(teacher)
        module = to_module(small)
        finetune.train(
            module,
            replace(divided.train, held_out=divided.deciding),
            epochs=count,
            lr=RATE,
            seed=seed,
            early_stop=count,
            augment=augment,
        )
        own = DistilSettings({"logit": 1.0}, epochs=count, lr=RATE, seed=seed, early_stop=count, augment=augment)
        distiller = Distiller(source, Source("student", "", small), own, divided.train, None, val=divided.deciding)
        for name, graph in (("alone", to_graph(module)), ("taught", distiller.run(Path("student.onnx")).graph)):
            found[name].append(_judged(graph, test))
            found[f"{name}_validation"].append(_judged(graph, divided.deciding))
    return Students(net, len(few), share, _judged(teacher, test), **{name: tuple(values) for name, values in found.items()})


def _judged(graph: Graph, data: Dataset) -> float:
    return accuracy(simplify(graph, "deploy"), data)


def table(rows: Sequence[Students]) -> str:
    header = (
        "teacher",
        "test %",
        "student's MACs",
        "samples",
        "alone, test %",
        "taught, test %",
        "alone, validation %",
        "taught",
    )
    lines = []
    for r in rows:
        accuracies = map(spread, (r.alone, r.taught, r.alone_validation, r.taught_validation))
        lines.append((r.net, f"{100 * r.teacher:.2f}", f"{r.macs:.1%}", str(r.samples), *accuracies))
    return text_table(header, lines, range(1, 8))
