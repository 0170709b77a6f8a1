"""A table as plain text or markdown."""

from __future__ import annotations

from collections.abc import Sequence

Row = Sequence[str]


def text_table(header: Row, rows: Sequence[Row], right: Sequence[int] = (), gap: int = 2) -> str:
    """Columns padded to their widest cell, a rule under the header; columns in `right` are flush right. No trailing blanks."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Row) -> str:
        cells = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        return (" " * gap).join(cells).rstrip()

    return "\n".join([line(header), (" " * gap).join("─" * w for w in widths).rstrip(), *(line(row) for row in rows)])


def markdown_table(header: Row, rows: Sequence[Row], right: Sequence[int] = ()) -> str:
    """A GitHub-flavoured table; cells are escaped."""
    rule = ["---:" if i in right else ":---" for i in range(len(header))]
    lines = [[_escape(cell) for cell in header], rule, *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>").replace("<", "&lt;").replace("&lt;br>", "<br>")
