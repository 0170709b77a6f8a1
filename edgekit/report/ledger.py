"""RAM and flash by part, for people."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.graph import short
from edgekit.ledger import Ledger, Part
from edgekit.report.numbers import size
from edgekit.report.table import text_table

ALIVE = 4  # tensors named at the peak


def ledger_text(book: Ledger) -> str:
    """Two tables (flash, RAM), who sets the peak, and what was saved."""
    whole = book.how == "emulated"
    unknown = "" if whole else ", planned: code, constants, static data and stack are known when it is built (bench)"
    lines = [f"memory by part{unknown}", ""]
    rows = _rows("flash", book.flash, book.flash_total, whole) + _rows("RAM", book.ram, book.ram_total, whole)
    lines += [text_table(("", "part", "bytes", "what"), rows, (2,)), ""]
    shown = [f"{short(name)} {count:,} B" for name, count in book.alive[:ALIVE]]
    more = len(book.alive) - len(shown)
    lines.append(
        f"peak of the arena, {size(book.arena)}: {book.peak}, with the buffers of {' + '.join(shown)}"
        + (f" + {more} more" if more else "")
    )
    lines.append(f"inputs and outputs take {size(book.io)}, in the arena")
    for saving in book.savings:
        note = f" ({saving.note})" if saving.note else ""
        if saving.size > 0:
            lines.append(f"saved by {saving.technique}: {saving.size:,} B of {saving.memory}, planned{note}")
        else:
            lines.append(f"cost of {saving.technique}: {-saving.size:,} B of {saving.memory}, planned{note}")
    return "\n".join(lines)


def _rows(memory: str, parts: Sequence[Part], total: int, whole: bool) -> list[tuple[str, str, str, str]]:
    rows = [(memory if i == 0 else "", part.name, f"{part.size:,}", part.note) for i, part in enumerate(parts)]
    return [*rows, ("", "total" if whole else "known so far", f"{total:,}", "")]
