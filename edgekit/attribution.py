"""Why a figure changed: the parts that grew, shrank, came and went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.report.model import RunReport


@dataclass(frozen=True)
class Part:
    """A part of a figure. before, after: its share in the metric's unit, 0 where the part is not there."""

    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Why:
    """What a metric of a target is made of: with earlier figures, the parts that changed, else all; largest first.

    before: the earlier value, None when there is none (or it has no breakdown)."""

    metric: str
    target: str
    before: float | None
    after: float
    parts: tuple[Part, ...]


def explain(report: RunReport, base: RunReport | None, target: str, metric: str) -> Why | None:
    """The attribution of one figure; None when its run holds no breakdown of it, or nothing changed."""
    now = _parts(report, target, metric)
    value = next((r.get(metric) for r in report.results if r.target == target), None)
    if not now or value is None or value.value is None:
        return None
    then = None if base is None else _parts(base, target, metric)
    if not then:
        parts = sorted((Part(name, 0, share) for name, share in now.items()), key=lambda p: (-abs(p.after), p.name))
        return Why(metric, target, None, value.value, tuple(parts))
    names = sorted({*now, *then})
    changed = [Part(name, then.get(name, 0), now.get(name, 0)) for name in names if then.get(name, 0) != now.get(name, 0)]
    changed.sort(key=lambda p: (-abs(p.change), p.name))
    return Why(metric, target, sum(then.values()), value.value, tuple(changed)) if changed else None


def _parts(report: RunReport, target: str, metric: str) -> Mapping[str, float] | None:
    result = next((r for r in report.results if r.target == target), None)
    return None if result is None else result.breakdown.get(metric)
