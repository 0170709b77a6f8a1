"""What `doctor` found, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgekit.doctor import Finding, healthy
from edgekit.report.table import text_table


def doctor_text(findings: Sequence[Finding]) -> str:
    """A line a tool, what to do about those that are not well, and the verdict."""
    rows = [(f.state, f.name, f.version, f.purpose) for f in findings]
    lines = [text_table(("", "tool", "version", "needed for"), rows), ""]
    for finding in findings:
        if finding.state != "ok":
            lines.append(f"{finding.name}: {finding.state}" + (f", {finding.note}" if finding.note else ""))
            lines += [f"  fix: {finding.fix}"] if finding.fix else []
    well = healthy(tuple(findings))
    lines.append("edgekit can work here" if well else "edgekit cannot work here: something it needs is missing")
    return "\n".join(lines)


def doctor_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The same as plain data."""
    return {"healthy": healthy(tuple(findings)), "tools": [asdict(f) for f in findings]}
