"""Verdicts for people and machines: text, markdown, JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgekit.attribution import Part, Why, explain
from edgekit.gate import Limit, Verdict
from edgekit.measure import UNITS
from edgekit.report.numbers import NONE, amount, difference, evidence, percent
from edgekit.report.table import markdown_table, text_table

if TYPE_CHECKING:
    from edgekit.checking import ModelCheck

FEW, MANY = 5, 25  # parts of an attribution: of a violated limit, and when asked why


def check_text(checks: Sequence[ModelCheck], why: bool = False) -> str:
    """A table a model, why violated limits are violated (with `why`: what every changed figure is made of), a closing line."""
    blocks = []
    for check in checks:
        lines = [verdicts_text(check.name, check.verdicts, check.notes, check.base_name)]
        for found in reasons(check, why):
            lines += ["", why_title(found, check.base_name), text_rows(found, MANY if why else FEW)]
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, *([total(checks)] if len(checks) > 1 else [])])


def check_markdown(checks: Sequence[ModelCheck], why: bool = False) -> str:
    """The same as markdown, the verdict first: what a pull request's comment shows."""
    mark = "✅" if all(c.ok for c in checks) else "❌"
    blocks = [f"## {mark} edgekit: {total(checks)}"]
    for check in checks:
        blocks.append(verdicts_markdown(check.name, check.verdicts, check.notes, check.base_name))
        for found in reasons(check, why):
            header, rows = _why_rows(found, MANY if why else FEW)
            right = (1,) if len(header) == 2 else (1, 2, 3)
            title = why_title(found, check.base_name).rstrip(":").replace("<", "&lt;")
            table = markdown_table(header, rows, right)
            blocks.append(f"<details><summary>{title}</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(blocks)


def check_json(checks: Sequence[ModelCheck]) -> dict[str, Any]:
    """Verdicts with all measurements. `over` is in the metric's unit, null when it is not the reason; `why` lists the parts
    that changed, or all parts where there are no earlier figures."""
    return {
        "ok": all(c.ok for c in checks),
        "models": [
            {
                "name": c.name,
                "ok": c.ok,
                "against": c.base_name or None,
                "verdicts": [_verdict_json(v) for v in c.verdicts],
                "why": [asdict(found) for found in reasons(c, True)],
                "run": c.run.to_json(),
                "notes": list(c.notes),
            }
            for c in checks
        ],
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    data = {**asdict(verdict), "remark": remark(verdict)}
    if math.isnan(verdict.limit.bound):  # growth without an earlier figure has no bound, and JSON no NaN
        data["limit"]["bound"] = None
    return data


def verdicts_text(name: str, verdicts: Sequence[Verdict], notes: Sequence[str] = (), base_name: str = "") -> str:
    """A table of one model's verdicts, and a closing line."""
    header, rows, right = _grid(verdicts, base_name)
    table = text_table(header, rows, right) if verdicts else "no limits"
    return "\n".join([name, "", table, "", *(f"note: {note}" for note in notes), summary(verdicts)])


def verdicts_markdown(name: str, verdicts: Sequence[Verdict], notes: Sequence[str] = (), base_name: str = "") -> str:
    """The same as markdown."""
    header, rows, right = _grid(verdicts, base_name)
    table = markdown_table(header, rows, right) if verdicts else "no limits"
    return "\n".join([f"### {name}", "", table, "", *(f"_{note}_\n" for note in notes), summary(verdicts)])


def summary(verdicts: Sequence[Verdict]) -> str:
    """As "12 limits kept" or "2 of 12 limits violated"."""
    broken = sum(not v.ok for v in verdicts)
    count = f"{len(verdicts)} limit{'' if len(verdicts) == 1 else 's'}"
    return f"{broken} of {count} violated" if broken else f"{count} kept"


def total(checks: Sequence[ModelCheck]) -> str:
    """The summary over all models."""
    where = f" in {len(checks)} models" if len(checks) > 1 else ""
    return summary([v for c in checks for v in c.verdicts]) + where


def remark(verdict: Verdict) -> str:
    """Why it failed: "over by 3,120 B", "under by 0.0100", or what was missing."""
    if verdict.over is not None:
        return f"{'over' if verdict.limit.kind == 'max' else 'under'} by {difference(verdict.limit.metric, verdict.over)}"
    return verdict.reason


def title_of(verdict: Verdict) -> str:
    """The metric of a verdict: "flash", or "flash growth"."""
    return verdict.limit.metric + (" growth" if verdict.limit.growth is not None else "")


def value_and_bound(verdict: Verdict) -> tuple[str, str]:
    """What was found and what is allowed; never two texts alike for numbers that are not."""
    limit, found = verdict.limit, verdict.measurement
    value = None if found is None else found.value
    shown, bound = distinct(limit.metric, value, None if math.isnan(limit.bound) else limit.bound)
    return shown, _bound(limit, bound, verdict.before)


def distinct(metric: str, a: float | None, b: float | None) -> tuple[str, str]:
    """Both numbers with their unit, with as many digits as it takes to tell them apart."""
    texts = amount(metric, a), amount(metric, b)
    for digits in range(4, 18):
        if a is None or b is None or a == b or texts[0] != texts[1]:
            break
        texts = tuple(f"{x:,.{digits}g} {UNITS[metric]}".rstrip() for x in (a, b))  # type: ignore[assignment]  # a pair
    return texts


def _bound(limit: Limit, bound: str, before: float | None) -> str:
    sign = "≤" if limit.kind == "max" else "≥"
    if limit.growth is None:
        return f"{sign} {bound}"
    change = f"{'+' if limit.kind == 'max' else '-'}{_exact_percent(limit.growth)}"
    return change if before is None or bound == NONE else f"{sign} {bound} ({amount(limit.metric, before)} {change})"


def _exact_percent(share: float) -> str:
    return f"{share * 100:.6g} %"


def _grid(verdicts: Sequence[Verdict], base_name: str) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    compared = any(v.before is not None for v in verdicts)
    header = ["", "target", "metric", "value", "limit", *([f"since {base_name}"] if compared else []), "how", ""]
    rows = []
    for v in verdicts:
        value, bound = value_and_bound(v)
        how = "" if v.measurement is None else evidence(v.measurement)
        start = ["ok" if v.ok else "FAIL", v.target, title_of(v), value, bound]
        rows.append([*start, *([_change(v)] if compared else []), how, remark(v)])
    return header, rows, (3, 4, 5) if compared else (3, 4)


def _change(verdict: Verdict) -> str:
    before, now = verdict.before, verdict.measurement
    if before is None or now is None or now.value is None:
        return NONE
    change = now.value - before
    return "same" if change == 0 else _signed(verdict.limit.metric, change) + _relative(change, before)


def _relative(change: float, before: float) -> str:
    return "" if before <= 0 else f" ({'+' if change > 0 else '-'}{percent(abs(change) / before)})"


def _signed(metric: str, change: float) -> str:
    return ("+" if change > 0 else "-") + difference(metric, abs(change))


# ------------------------------------------------------------------------------------------------------------------- why


def reasons(check: ModelCheck, why: bool) -> list[Why]:
    """Attributions of violated limits; with `why` of every judged figure that changed, or of all where none is earlier."""
    wanted = [v for v in check.verdicts if (why or not v.ok) and v.measurement is not None and v.measurement.value is not None]
    if why and check.base is not None:
        wanted = [v for v in wanted if not v.ok or (v.before is not None and v.before != v.measurement.value)]  # type: ignore[union-attr]  # checked above
    found = {(v.limit.metric, v.target): explain(check.run, check.base, v.target, v.limit.metric) for v in wanted}
    return [one for one in found.values() if one is not None]


def why_title(found: Why, base_name: str) -> str:
    """As "flash on mcu: +1,024 B since main" or "flash on mcu: 34,192 B are"."""
    if found.before is None:
        return f"{found.metric} on {found.target}, {amount(found.metric, found.after)}, is:"
    change = found.after - found.before
    moved = _signed(found.metric, change) + _relative(change, found.before) if change else "no more or less"
    return f"{found.metric} on {found.target}: {moved} since {base_name}:"


def text_rows(found: Why, most: int) -> str:
    """A line a part, indented."""
    _, rows = _why_rows(found, most)
    last = [max(len(row[i]) for row in rows) for i in range(1, len(rows[0]))]
    lines = []
    for name, *cells in rows:
        numbers = [cell.rjust(width) for cell, width in zip(cells, last, strict=True)]
        shown = numbers[0] if len(numbers) == 1 else f"{numbers[2]}  {numbers[0]} → {numbers[1]}"
        lines.append(f"  {shown}  {name}".rstrip())
    return "\n".join(lines)


def _why_rows(found: Why, most: int) -> tuple[list[str], list[list[str]]]:
    """Columns part and share; with earlier figures part, before, after and change."""
    shown, rest = found.parts[:most], found.parts[most:]
    if rest:
        shown = (*shown, Part(f"{len(rest)} smaller", sum(p.before for p in rest), sum(p.after for p in rest)))
    metric = found.metric
    if found.before is None:
        return ["part", "share"], [[p.name, amount(metric, p.after)] for p in shown]
    rows = [
        [p.name, amount(metric, p.before), amount(metric, p.after), _signed(metric, p.change) if p.change else "same"]
        for p in shown
    ]
    return ["part", "before", "after", "change"], rows
