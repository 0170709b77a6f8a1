"""What `export` wrote, for people and machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgekit.report.numbers import amount, evidence, size

if TYPE_CHECKING:
    from edgekit.exporting import Exported


def export_text(result: Exported, folder: str) -> str:
    """The target used, the files with their sizes, what was planned, and how to build."""
    target = result.target
    lines = [f"{result.name} for {target.name} ({target.title})" + (f": {target.note}" if target.note else ""), ""]
    width = max(len(name) for name in result.files)
    lines += [f"  {folder}/{name.ljust(width)}  {size(len(data))}" for name, data in sorted(result.files.items())]
    lines.append("")
    lines += [
        f"{m.metric}: {amount(m.metric, m.value)}, {evidence(m)}" + (f" ({m.note})" if m.note else "")
        for m in result.measurements
    ]
    lines += list(result.notes)
    if "Makefile" in result.files:
        lines.append(f"build: make -C {folder}")
    elif result.project != "none":
        lines.append(f"build: see {folder}/README.md")
    return "\n".join(lines)


def export_json(result: Exported, folder: str) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "name": result.name,
        "target": result.target.name,
        "format": result.format,
        "project": result.project,
        "out": folder,
        "files": {name: len(data) for name, data in sorted(result.files.items())},
        "measurements": [asdict(m) for m in result.measurements],
        "notes": list(result.notes),
    }
