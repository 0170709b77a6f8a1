"""What `verify` found, as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgekit.report.numbers import NONE, amount, title
from edgekit.report.table import text_table
from edgekit.verdict import EngineRow, LayerGap, VerifyReport

if TYPE_CHECKING:
    from edgekit.bench.serial import BoardTest

SHOWN = 5  # differing samples and layers a row names
HEADER = ("", "engine", "result", "max LSB", "one op", "SQNR", "argmax")


def verify_text(report: VerifyReport) -> str:
    """One row an engine, then why any failed or is missing, where it parts from the reference, and the verdict."""
    kind = "random inputs" if report.random else "samples"
    lines = [
        f"{report.model}: {report.samples:,} {kind}",
        "",
        text_table(
            (*HEADER, title(report.metric), "differ"), [_row(r, report.metric) for r in report.rows], (3, 4, 5, 6, 7, 8)
        ),
        "",
    ]
    rules = dict.fromkeys(row.rule for row in report.rows if row.rule and row.passed is not None)
    lines += [f"held to {rule}: {', '.join(r.title for r in report.rows if r.rule == rule)}" for rule in rules]
    for row in report.rows:
        if row.reason:
            lines += [f"{row.title}: {row.status}, {row.reason}"]
        if row.passed is False and row.worst_samples:
            lines.append(f"  samples that differ most: {_listed(row.worst_samples)}")
        if row.passed is False:
            lines += [f"  {g.op} {g.source}: {_lsb(g.max_lsb)} LSB{_alone(g)}, {_db(g.sqnr)}" for g in row.layers[:SHOWN]]
    if report.accuracy_note:
        lines.append(report.accuracy_note)
    if report.layers:
        rows = [(layer.op, layer.source, _db(layer.cumulative)) for layer in report.layers[:SHOWN]]
        lines += ["", text_table(("worst layers", "", "SQNR"), rows, (2,)), ""]
    failed = [row.title for row in report.rows if row.passed is False]
    missing = sum(row.status == "unavailable" for row in report.rows)
    asked = f" ({missing} unavailable)" if missing else ""
    verdict = f"verified{asked}" if report.judged else f"nothing was verified{asked}"
    lines.append(f"FAIL: {', '.join(failed)}" if failed else verdict)
    return "\n".join(lines)


def board_text(test: BoardTest) -> str:
    """A row a vector of the board's self-test, and the verdict."""
    found = test.found
    header = ("vector", "result", "differ", "time", "cycles", "argmax", "")
    rows = [
        (
            str(run.index),
            "equal" if run.passed else "different" if not run.status else f"status {run.status}",
            f"{run.different:,}",
            "" if run.micros is None else f"{run.micros:,} µs",
            "" if run.cycles is None else f"{run.cycles:,}",
            str(run.argmax),
            run.label,
        )
        for run in found.runs
    ]
    lines = [f"{found.name} on the board: {found.vectors} golden vectors", "", text_table(header, rows, (0, 2, 3, 4, 5)), ""]
    latency = test.latency
    if latency.value is not None:
        lines.append(f"latency {latency.value:,.3g} ms, measured: {latency.note}")
    if test.doubt and test.ours is None:
        lines.append(test.doubt)
    return "\n".join([*lines, "verified" if test.passed else f"FAIL: {test.reason}"])


def _row(row: EngineRow, metric: str) -> tuple[str, ...]:
    mark = "" if row.passed is None else "ok" if row.passed else "FAIL"
    judged = row.sqnr is not None
    return (
        mark,
        row.title,
        row.status,
        _lsb(row.max_lsb),
        _lsb(row.op_lsb),
        _db(row.sqnr) if judged else "",
        "" if row.argmax is None else f"{row.argmax:.2%}",
        "" if row.accuracy is None else amount(metric, row.accuracy),
        f"{row.differing:,}" if judged and row.engine != "against" else "",
    )


def _alone(gap: LayerGap) -> str:
    return "" if gap.op_lsb is None else f" ({gap.op_lsb} of its own)"


def _lsb(value: int | None) -> str:
    return "" if value is None else str(value)


def _db(value: float | None) -> str:
    return NONE if value is None else "equal" if value == math.inf else f"{value:.1f} dB"


def _listed(indices: tuple[int, ...]) -> str:
    return ", ".join(map(str, indices[:SHOWN])) + (", ..." if len(indices) > SHOWN else "")
