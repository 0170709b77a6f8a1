"""Verdicts as workflow commands of GitHub Actions: an annotation at the line of each violated limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.gate import Verdict
from edgekit.report.gate import FEW, reasons, remark, text_rows, title_of, total, value_and_bound, why_title

if TYPE_CHECKING:
    from edgekit.checking import ModelCheck


def check_github(checks: Sequence[ModelCheck], file: str, text: str) -> str:
    """`::error file=...` a violated limit, `::notice` a note, and the verdict. file: the configuration's path in the
    repository; text: what it holds, to find the lines. Format: GitHub, "Workflow commands for GitHub Actions"."""
    lines = []
    for check in checks:
        explained = {(w.metric, w.target): w for w in reasons(check, False)}
        for v in (v for v in check.verdicts if not v.ok):
            value, bound = value_and_bound(v)
            message = [f"{check.name} on {v.target}: {title_of(v)} is {value}, limit {bound}: {remark(v)}"]
            if (found := explained.get((v.limit.metric, v.target))) is not None:
                message += [why_title(found, check.base_name), text_rows(found, FEW)]
            at = line_of(text, check.name, v)
            place = {"file": file, **({"line": str(at)} if at else {}), "title": f"edgekit: {check.name} {title_of(v)}"}
            lines.append(_command("error", place, "\n".join(message)))
        lines += [_command("notice", {"file": file, "title": f"edgekit: {check.name}"}, note) for note in check.notes]
    return "\n".join([*lines, f"edgekit: {total(checks)}"])


def line_of(text: str, model: str, verdict: Verdict) -> int | None:
    """The line (from 1) where edgekit.toml gives the limit; None when it is written in a way not looked for."""
    table = ["model", model, *(["limits", verdict.limit.target] if verdict.limit.target else [])]
    key = "growth" if verdict.limit.growth is not None else verdict.limit.metric
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$", line):
            inside = [part.strip(" \"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", header[1])] == table
        elif inside and re.match(rf"\s*{key}\s*=", line):
            return number
    return None


def _command(kind: str, place: dict[str, str], message: str) -> str:
    properties = ",".join(f"{key}={_escape(value, ':,')}" for key, value in place.items())
    return f"::{kind} {properties}::{_escape(message)}"


def _escape(text: str, also: str = "") -> str:
    for sign in ("%", "\r", "\n", *also):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
