"""A number and how it was obtained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# how -> what it means, weakest evidence first.
HOW: dict[str, str] = {
    "unavailable": "could not be had; the note says why",
    "estimated": "a calibrated model; `error` is its cross-validated error",
    "planned": "from the memory plan",
    "emulated": "the firmware ran on an emulated core; sizes and instructions are exact",
    "measured": "on that device",
    "computed": "exact, from the file or the bit-exact reference",
}
UNITS: dict[str, str] = {
    "latency": "ms",
    "latency_p90": "ms",
    "latency_p99": "ms",
    "load": "ms",
    "first_run": "ms",
    "peak_memory": "B",
    "energy": "uJ",
    "instructions": "",
    "cycles": "",
    "flash": "B",
    "ram": "B",
    "arena": "B",
    "file": "B",
    "file_gz": "B",
    "accuracy": "",
    "label_accuracy": "",
    "mean_iou": "",
    "recall_at_1": "",
    "mean_absolute_error": "",
    "mean_square_error": "",
    "perplexity": "",
    "accuracy_drop": "pt",
    "macs": "",
    "params": "",
}
# What labels can mean.
Judged = Literal["classification", "multilabel", "regression", "segmentation", "reconstruction", "language", "embedding"]
JUDGED_TASKS: tuple[Judged, ...] = get_args(Judged)
# What a network is good for, by its task (see edgekit.tasks): shares, of which more is better, and errors, of which less is.
SHARES = ("accuracy", "label_accuracy", "mean_iou", "recall_at_1")
ERRORS = ("mean_absolute_error", "mean_square_error", "perplexity")
OTHER_TASKS = (*SHARES[1:], *ERRORS)  # absent where the task is another; only of "accuracy" it is said why there is none
# Metrics that only a run on a device or a profile with a power gives: absent, not "unavailable", where there was none.
ON_DEVICE = ("latency_p90", "latency_p99", "load", "first_run", "peak_memory", "energy")


@dataclass(frozen=True)
class Measurement:
    """metric and unit as in UNITS; value None when `how` is "unavailable"; error is relative (0.1 = 10 %) or None."""

    metric: str
    value: float | None
    unit: str
    how: str
    error: float | None = None
    note: str = ""
    tool: str = ""


def unavailable(metric: str, why: str) -> Measurement:
    """A metric that cannot be had, with the reason."""
    return Measurement(metric, None, UNITS[metric], "unavailable", None, why)
