"""Verdicts for people and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgekit.gate import Verdict
from edgekit.report.model import RunReport
from edgekit.report.numbers import NONE, amount, difference, evidence
from edgekit.report.table import markdown_table, text_table

HEADER = ("", "target", "metric", "value", "limit", "how", "")


def verdicts_text(name: str, verdicts: Sequence[Verdict], notes: Sequence[str] = ()) -> str:
    """A table of one model's verdicts, and a closing line."""
    table = text_table(HEADER, [_row(v) for v in verdicts], (3, 4)) if verdicts else "no limits"
    return "\n".join([name, "", table, "", *(f"note: {note}" for note in notes), summary(verdicts)])


def verdicts_markdown(name: str, verdicts: Sequence[Verdict], notes: Sequence[str] = ()) -> str:
    """The same as markdown."""
    table = markdown_table(HEADER, [_row(v) for v in verdicts], (3, 4)) if verdicts else "no limits"
    return "\n".join([f"### {name}", "", table, "", *(f"_{note}_\n" for note in notes), summary(verdicts)])


def check_json(name: str, report: RunReport, verdicts: Sequence[Verdict], notes: Sequence[str] = ()) -> dict[str, Any]:
    """One model's verdicts with all its measurements. `over` is in the metric's unit, null when it is not the reason."""
    return {
        "name": name,
        "ok": all(v.ok for v in verdicts),
        "verdicts": [{**asdict(v), "remark": remark(v)} for v in verdicts],
        "run": report.to_json(),
        "notes": list(notes),
    }


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
