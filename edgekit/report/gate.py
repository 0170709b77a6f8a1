"""Verdicts for people and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgekit.gate import Verdict
from edgekit.report.numbers import NONE, amount, difference, evidence
from edgekit.report.table import markdown_table, text_table

HEADER = ("", "target", "metric", "value", "limit", "how", "")


def verdicts_text(name: str, verdicts: Sequence[Verdict]) -> str:
    """A table of one model's verdicts, and a closing line."""
    return "\n".join([name, "", text_table(HEADER, [_row(v) for v in verdicts], (3, 4)), "", summary(verdicts)])


def verdicts_markdown(name: str, verdicts: Sequence[Verdict]) -> str:
    """The same as markdown."""
    return "\n".join([f"### {name}", "", markdown_table(HEADER, [_row(v) for v in verdicts], (3, 4)), "", summary(verdicts)])


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """One verdict as plain data; `over` in the metric's unit, null when the value keeps the limit or there is none."""
    return asdict(verdict)


def summary(verdicts: Sequence[Verdict]) -> str:
    """As "12 limits kept" or "2 of 12 limits violated"."""
    broken = sum(not v.ok for v in verdicts)
    count = f"{len(verdicts)} limit{'' if len(verdicts) == 1 else 's'}"
    return f"{broken} of {count} violated" if broken else f"{count} kept"


def _row(verdict: Verdict) -> tuple[str, ...]:
    limit, found = verdict.limit, verdict.measurement
    bound = f"{'≤' if limit.kind == 'max' else '≥'} {amount(limit.metric, limit.bound)}"
    value, how = (NONE, "") if found is None else (amount(found.metric, found.value), evidence(found))
    return ("ok" if verdict.ok else "FAIL", verdict.target, limit.metric, value, bound, how, remark(verdict))


def remark(verdict: Verdict) -> str:
    """Why it failed: "over by 3,120 B", "under by 0.0100", or what was missing."""
    if verdict.over is not None:
        return f"{'over' if verdict.limit.kind == 'max' else 'under'} by {difference(verdict.limit.metric, verdict.over)}"
    return verdict.reason
