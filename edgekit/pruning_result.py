"""What `prune` hands back: the network, how it got there, and what it gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit import deciding
from edgekit.data import Dataset
from edgekit.graph import Graph
from edgekit.passes.prune import Scope, Score
from edgekit.pipeline import Source
from edgekit.report.model import TargetResult

if TYPE_CHECKING:
    from edgekit.tasks import Metric


@dataclass(frozen=True)
class StepTaken:
    """A step of the schedule: MACs left, the metric before recovery and after it on what decides, or else on samples that were
    trained on (NaN: nothing to judge by)."""

    macs: int
    cut: float
    recovered: float


@dataclass(frozen=True)
class Tried:
    """A way of --score auto: MACs left, the metric on the samples that decide after a short recovery."""

    score: Score
    scope: Scope
    macs: int
    metric: float


@dataclass(frozen=True)
class Judged:
    """A metric of the network before and after. drop: how much worse it got: points of shares, percent of the others."""

    metric: str
    higher: bool
    before: float
    after: float
    note: str

    @classmethod
    def of(cls, metric: Metric, before: float, after: float, data: Dataset) -> Judged:
        return cls(metric.name, metric.higher, before, after, deciding.words(data))

    @property
    def drop(self) -> float:
        worse = self.before - self.after if self.higher else self.after - self.before
        return 100.0 * worse if self.higher else 100.0 * worse / (abs(self.before) or 1.0)


@dataclass(frozen=True)
class PruneResult:
    """files: {file name: bytes}, one file. layers: (name, kind, units before, after). judged: None without data to judge on.

    decided: on the samples that anything was decided by, which are none of those (None: nothing was). bench: the target
    before and after (the form it runs: int8 where the target takes that). zeros: share of weights. trained: samples learnt.
    """

    source: Source
    files: Mapping[str, bytes]
    graph: Graph
    layers: tuple[tuple[str, str, int, int], ...]
    macs: tuple[int, int]
    params: tuple[int, int]
    judged: Judged | None
    decided: Judged | None
    tried: tuple[Tried, ...]
    steps: tuple[StepTaken, ...]
    bench: tuple[TargetResult, TargetResult] | None
    zeros: float | None
    trained: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ScanRow:
    """The metric with a share of one layer's units left out, without recovery, for each of `pruning.SCAN_SHARES`."""

    layer: str
    kind: str
    units: int
    values: tuple[float, ...]
