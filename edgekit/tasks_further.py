"""Metrics of a task beside its own, by name: what `--metric` takes. torchmetrics computes them (`passes.finetune_metrics`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.errors import BadConfig
from edgekit.tasks import METRICS, Metric, Task


@dataclass(frozen=True)
class Further:
    """A class of torchmetrics and its arguments; what the metric is called, and whether more is better."""

    maker: str
    metric: Metric
    arguments: Mapping[str, str | int]


def _f(name: str, maker: str, *, higher: bool = True, **arguments: str | int) -> Further:
    return Further(maker, Metric(name, higher, ""), arguments)


# Averages are of classes ("macro"), each counting as much, or of samples ("micro").
FURTHER: Mapping[Task, Mapping[str, Further]] = {
    "classification": {
        "auroc": _f("area under ROC", "MulticlassAUROC", average="macro"),
        "balanced": _f("balanced accuracy", "MulticlassAccuracy", average="macro"),
        "f1": _f("F1", "MulticlassF1Score", average="macro"),
        "mcc": _f("Matthews correlation", "MulticlassMatthewsCorrCoef"),
        "precision": _f("precision", "MulticlassPrecision", average="macro"),
        "recall": _f("recall", "MulticlassRecall", average="macro"),
        "top5": _f("top-5 accuracy", "MulticlassAccuracy", average="micro", top_k=5),
    },
    "multilabel": {
        "auroc": _f("area under ROC", "MultilabelAUROC", average="macro"),
        "exact": _f("exact matches", "MultilabelExactMatch"),
        "f1": _f("F1", "MultilabelF1Score", average="macro"),
        "map": _f("mean average precision", "MultilabelAveragePrecision", average="macro"),
    },
    "regression": {
        "mse": _f("mean square error", "MeanSquaredError", higher=False),
        "r2": _f("R2", "R2Score"),
    },
    "reconstruction": {"mae": _f("mean absolute error", "MeanAbsoluteError", higher=False)},
    "segmentation": {
        "dice": _f("Dice", "MulticlassF1Score", average="macro"),
        "pixels": _f("accuracy of pixels", "MulticlassAccuracy", average="micro"),
    },
    "language": {"tokens": _f("accuracy of tokens", "MulticlassAccuracy", average="micro")},
}
NAMES: tuple[str, ...] = tuple(dict.fromkeys(name for table in FURTHER.values() for name in table))


def metric_of(task: Task, name: str | None = None) -> Metric:
    """The task's own metric, or the named one. Raises BadConfig for one that the task does not have."""
    return METRICS[task] if name is None else further(task, name).metric


def further(task: Task, name: str) -> Further:
    """Raises BadConfig for a metric that the task does not have."""
    known = FURTHER.get(task, {})
    if name not in known:
        hint = f"of {', '.join(known)}, or none for {METRICS[task].name}" if known else "leave it out"
        raise BadConfig(f"{task} has no metric {name}", hint)
    return known[name]
