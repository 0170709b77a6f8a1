"""What `distill` taught, and what the student is beside its teacher, for people and machines."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgekit.report.numbers import percent, size
from edgekit.report.table import text_table

if TYPE_CHECKING:
    from edgekit.distilling import DistilResult


def distill_text(result: DistilResult, out: str) -> str:
    """Text for a terminal."""
    lines = [f"wrote {out}: {size(sum(len(data) for data in result.files.values()))}", ""]
    judged = result.judged
    if judged is not None:
        lines.append(
            f"{judged.metric}: student {judged.before:.4f} -> {judged.after:.4f}, "
            f"teacher {result.teacher_metric:.4f} (reported on {judged.note})"
        )
    else:
        lines.append("accuracy: unavailable, no labelled data to report on: --eval D2 or --split 20%")
    if result.losses:
        lines.append(f"loss: {result.losses[0]:.4g} -> {result.losses[-1]:.4g} in {len(result.losses)} epochs")
    lines.append(f"trained on {result.trained:,} samples" + (f", stopped by {result.decided}" if result.decided else ""))
    lines += [f"  {note}" for note in result.notes]
    rows = [
        (name, f"{a:,}", f"{b:,}", percent(b / a) if a else "")
        for name, (a, b) in (("MACs", result.macs), ("parameters", result.params))
    ]
    lines += ["", text_table(("", "teacher", "student", ""), rows, (1, 2, 3))]
    if result.pairs:
        lines += ["", text_table(("compared inside", "student", "teacher"), list(result.pairs), ())]
    if result.recipe is not None:
        lines += ["", f"wrote {out}.recipe.toml: `edgekit apply` makes it again"]
    return "\n".join(lines)


def distill_json(result: DistilResult, out: str) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "teacher": {"source": result.teacher.text, "sha256": result.teacher.sha256},
        "student": {"source": result.student.text, "sha256": result.student.sha256},
        "out": out,
        "bytes": sum(len(data) for data in result.files.values()),
        "macs": {"teacher": result.macs[0], "student": result.macs[1]},
        "params": {"teacher": result.params[0], "student": result.params[1]},
        "judged": None if result.judged is None else asdict(result.judged),
        "teacher_metric": None if math.isnan(result.teacher_metric) else result.teacher_metric,
        "pairs": [{"loss": loss, "student": a, "teacher": b} for loss, a, b in result.pairs],
        "trained": result.trained,
        "decided": result.decided or None,
        "losses": list(result.losses),
        "notes": list(result.notes),
    }
