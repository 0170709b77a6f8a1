"""The gate: limits on measurements and on their growth, and the verdict on each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.errors import BadConfig
from edgekit.measure import ERRORS, HOW, SHARES, UNITS, Measurement
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
    growth: the relative growth over earlier figures that the bound was made of (0.02 = 2 %); None for a bound of its own.
    """

    metric: str
    bound: float
    kind: Literal["max", "min"] = "max"
    target: str | None = None
    accept: str = DEFAULT_ACCEPT
    at_most_error: float | None = None
    growth: float | None = None


@dataclass(frozen=True)
class Verdict:
    """`over` is by how much the bound was missed (positive, in the metric's unit), None when that is not the reason;
    `reason` says why there was nothing to judge, or why it does not count; empty when it was judged by its value.
    before: the earlier value of the metric, when there are earlier figures."""

    limit: Limit
    target: str
    measurement: Measurement | None
    ok: bool
    over: float | None = None
    reason: str = ""
    before: float | None = None


def judge(report: RunReport, limits: Iterable[Limit], base: RunReport | None = None) -> list[Verdict]:
    """One verdict a limit and result it applies to; a limit that applies to none fails. base: earlier figures to show."""
    verdicts: list[Verdict] = []
    for limit in limits:
        results = [r for r in report.results if limit.target in (None, r.target)]
        if not results:
            verdicts.append(Verdict(limit, limit.target or "", None, False, reason=_not_measured(report)))
        verdicts += [_one(limit, r.target, r.get(limit.metric), _value(base, r.target, limit.metric)) for r in results]
    return _merge(verdicts)


def judge_growth(report: RunReport, base: RunReport, rules: Mapping[str, Mapping[str, float]]) -> list[Verdict]:
    """One verdict a rule (target -> metric -> largest relative growth); `accuracy` and other shares grow by falling. A figure
    that is missing on either side, or was obtained in another way, fails its rule with the reason."""
    verdicts: list[Verdict] = []
    for target, metrics in rules.items():
        for metric, growth in metrics.items():
            kind: Literal["max", "min"] = "min" if metric in SHARES else "max"
            now, then = _find(report, target, metric), _find(base, target, metric)
            if now is None or now.value is None or then is None or then.value is None:
                side = "" if now is None or now.value is None else "the earlier figure is "
                missing = now if side == "" else then
                limit = Limit(metric, math.nan, kind, target, growth=growth)
                verdicts.append(Verdict(limit, target, now, False, reason=side + _why_missing(missing)))
                continue
            limit = Limit(metric, _bound(metric, then.value, growth), kind, target, growth=growth)
            if now.how != then.how:
                reason = f"it is {now.how} and the earlier figure {then.how}: not comparable"
                verdicts.append(Verdict(limit, target, now, False, reason=reason, before=then.value))
                continue
            over = now.value - limit.bound if kind == "max" else limit.bound - now.value
            verdicts.append(Verdict(limit, target, now, over <= 0, over if over > 0 else None, "", then.value))
    return verdicts


def check_comparable(name: str, report: RunReport, base: RunReport, where: str) -> None:
    """Raise BadConfig, naming both, when a figure of both was made with different tools: a compiler's or an emulator's
    own difference would pass for the model's."""
    for result in report.results:
        for now in result.measurements:
            then = _find(base, result.target, now.metric)
            if then is not None and now.value is not None and then.value is not None and now.tool != then.tool:
                tools = f"with '{now.tool or 'no tool'}', in {where} with '{then.tool or 'no tool'}'"
                raise BadConfig(
                    f"model.{name}: {now.metric} on {result.target} was obtained {tools}: figures of different toolchains "
                    "cannot be compared",
                    "obtain both with the same one (`edgekit check --update-baseline`, or `--against` a branch)",
                )


def _one(limit: Limit, target: str, found: Measurement | None, before: float | None) -> Verdict:
    if found is None or found.value is None:
        return Verdict(limit, target, found, False, reason=_why_missing(found), before=before)
    if STRENGTH[found.how] < STRENGTH[limit.accept]:
        reason = f'it is {found.how}, and weaker than accept = "{limit.accept}"'
        return Verdict(limit, target, found, False, reason=reason, before=before)
    if limit.at_most_error is not None and found.how == "estimated" and found.error is None:
        reason = f'its error is not known, and at_most_error = "{percent(limit.at_most_error)}"'
        return Verdict(limit, target, found, False, reason=reason, before=before)
    if limit.at_most_error is not None and (found.error or 0) > limit.at_most_error:
        reason = f'its error of {percent(found.error or 0)} is above at_most_error = "{percent(limit.at_most_error)}"'
        return Verdict(limit, target, found, False, reason=reason, before=before)
    over = found.value - limit.bound if limit.kind == "max" else limit.bound - found.value
    return Verdict(limit, target, found, over <= 0, over if over > 0 else None, before=before)


def _bound(metric: str, before: float, growth: float) -> float:
    if metric in SHARES:
        return before * (1 - growth)
    bound = before * (1 + growth)
    # Bytes and counts are whole: the largest one allowed is what a person should read.
    return bound if UNITS[metric] in {"ms", "pt", "uJ"} or metric in ERRORS else float(math.floor(bound + 1e-9))


def _find(report: RunReport, target: str, metric: str) -> Measurement | None:
    result = next((r for r in report.results if r.target == target), None)
    return None if result is None else result.get(metric)


def _value(base: RunReport | None, target: str, metric: str) -> float | None:
    found = None if base is None else _find(base, target, metric)
    return None if found is None else found.value


def _why_missing(found: Measurement | None) -> str:
    return "not measured" if found is None else f"unavailable: {found.note.removeprefix('unavailable: ')}"


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
