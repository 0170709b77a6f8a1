"""A RunReport for people: one table, a column pair a target, and why any number is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.graph import short
from edgekit.measure import UNITS, Measurement
from edgekit.report.ledger import ledger_text
from edgekit.report.model import RunReport, StepShare
from edgekit.report.numbers import amount, evidence
from edgekit.report.table import markdown_table, text_table


def run_text(report: RunReport) -> str:
    """Title, table and notes as plain text, then the memory of each firmware by part, and its instructions by step."""
    header, rows, right = _grid(report)
    lines = [f"{report.source}", "", text_table(header, rows, right), *_spaced([f"  {n}" for n in notes(report)])]
    for result in report.results:
        if result.ledger is not None:
            lines += ["", f"{result.target}: {ledger_text(result.ledger)}"]
        if result.by_op:
            lines += ["", f"{result.target}: instructions by step, on the first sample", "", _steps(result.by_op)]
        if times := result.device.get("per_op"):
            lines += ["", f"{result.target}, {result.engine}: {times['why'] or times['how']}", *_times(times)]
    return "\n".join(lines)


def _steps(by_op: Sequence[StepShare]) -> str:
    rows = [[str(s.step) if s.step >= 0 else "", s.op, short(s.source), f"{s.instructions:,}", f"{s.share:.1%}"] for s in by_op]
    return text_table(["step", "op", "source", "instructions", "share"], rows, [0, 3, 4])


def _times(per_op: Mapping[str, Any]) -> list[str]:
    """The table of times by operator, with their sum beside the whole run's."""
    if not per_op["steps"]:
        return []
    rows = [[s["op"], short(s["source"]), f"{s['ms']:.4f}", f"{s['share']:.1%}"] for s in per_op["steps"]]
    total = sum(s["ms"] for s in per_op["steps"])
    rows.append(["", "sum; a whole run takes " + amount("latency", per_op["whole"]), f"{total:.4f}", ""])
    return ["", text_table(["op", "source", "ms", "share"], rows, [2, 3])]


def run_markdown(report: RunReport) -> str:
    """The same as markdown."""
    header, rows, right = _grid(report)
    return "\n".join(
        [f"### {report.source}", "", markdown_table(header, rows, right), *_spaced([f"- {n}" for n in notes(report)])]
    )


def notes(report: RunReport) -> list[str]:
    """What to know about the numbers, each once, with the metrics (and the target, if there are several) it is about."""
    about: dict[str, list[str]] = {}
    targets: dict[str, list[str]] = {}
    lines: list[str] = []
    names = [result.target for result in report.results]
    for result in report.results:
        name = result.target if names.count(result.target) == 1 else f"{result.target} ({result.engine})"
        if result.note:
            lines.append(f"{name}: {result.note}")
        for measurement in result.measurements:
            for text in (_why(measurement), measurement.tool and f"by {measurement.tool}"):
                if text:
                    about.setdefault(text, [])
                    targets.setdefault(text, [])
                    if measurement.metric not in about[text]:
                        about[text].append(measurement.metric)
                    if name not in targets[text]:
                        targets[text].append(name)
    for text, metrics in about.items():
        where = f" on {', '.join(targets[text])}" if len(targets[text]) < len(report.results) else ""
        lines.append(f"{', '.join(metrics)}{where}: {text}")
    return lines


def _why(measurement: Measurement) -> str:
    if measurement.value is None:
        return f"unavailable, {measurement.note.removeprefix('unavailable: ')}"
    return measurement.note


def _grid(report: RunReport) -> tuple[list[str], list[list[str]], list[int]]:
    header = [""]
    for result in report.results:
        header += [f"{result.target} ({result.engine})", "how"]
    rows: list[list[str]] = []
    for metric in UNITS:
        found = [result.get(metric) for result in report.results]
        if any(found):
            rows.append([metric, *(cell for m in found for cell in _cells(m))])
    return header, rows, list(range(1, len(header), 2))


def _cells(measurement: Measurement | None) -> tuple[str, str]:
    return ("", "") if measurement is None else (amount(measurement.metric, measurement.value), evidence(measurement))


def _spaced(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []
