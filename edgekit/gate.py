"""The gate: limits on measurements, and the verdict on each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.measure import HOW, Measurement
from edgekit.report.model import RunReport
from edgekit.report.numbers import percent

# Without `accept`, an estimate does not satisfy a limit; a memory plan does.
DEFAULT_ACCEPT = "planned"
STRENGTH = {how: rank for rank, how in enumerate(HOW)}


@dataclass(frozen=True)
class Limit:
    """A bound on one metric.

    target: the profile's name, or None for every result of the model. kind: "max" (value <= bound) or "min".
    accept: the weakest evidence that counts, a key of measure.HOW. at_most_error: largest relative error of an estimate.
    """

    metric: str
    bound: float
    kind: Literal["max", "min"] = "max"
    target: str | None = None
    accept: str = DEFAULT_ACCEPT
    at_most_error: float | None = None


@dataclass(frozen=True)
class Verdict:
    """`over` is by how much the bound was missed (positive, in the metric's unit), None when that is not the reason;
    `reason` says why there was nothing to judge, or why it does not count; empty when it was judged by its value."""

    limit: Limit
    target: str
    measurement: Measurement | None
    ok: bool
    over: float | None = None
    reason: str = ""


def judge(report: RunReport, limits: Iterable[Limit]) -> list[Verdict]:
    """One verdict a limit and result it applies to; a limit that applies to none fails."""
    verdicts: list[Verdict] = []
    for limit in limits:
        results = [r for r in report.results if limit.target in (None, r.target)]
        if not results:
            verdicts.append(Verdict(limit, limit.target or "", None, False, reason=_not_measured(report)))
        verdicts += [_one(limit, result.target, result.get(limit.metric)) for result in results]
    return _merge(verdicts)


def _one(limit: Limit, target: str, found: Measurement | None) -> Verdict:
    if found is None:
        return Verdict(limit, target, None, False, reason="not measured")
    if found.value is None:
        return Verdict(limit, target, found, False, reason=f"unavailable: {found.note.removeprefix('unavailable: ')}")
    if STRENGTH[found.how] < STRENGTH[limit.accept]:
        reason = f'it is {found.how}, and weaker than accept = "{limit.accept}"'
        return Verdict(limit, target, found, False, reason=reason)
    if limit.at_most_error is not None and (found.error or 0) > limit.at_most_error:
        reason = f'its error of {percent(found.error or 0)} is above at_most_error = "{percent(limit.at_most_error)}"'
        return Verdict(limit, target, found, False, reason=reason)
    over = found.value - limit.bound if limit.kind == "max" else limit.bound - found.value
    return Verdict(limit, target, found, over <= 0, over if over > 0 else None)


def _not_measured(report: RunReport) -> str:
    return f"not measured on this target (measured: {', '.join(r.target for r in report.results) or 'none'})"


def _merge(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A limit for every target, judged by the same figure on each, is said once."""
    seen: dict[tuple[object, ...], Verdict] = {}
    for v in verdicts:
        same = None if v.measurement is None else v.measurement.value
        key = (v.limit, same, v.ok, v.reason) if v.limit.target is None else (v.limit, v.target)
        seen.setdefault(key, v)
    return list(seen.values())
