"""C text: literals, arrays, comments and strings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array

WIDTH = 120
BYTES = [str(v) for v in (*range(128), *range(-128, 0))]  # BYTES[v] is the literal of an int8


def integer(value: int) -> str:
    """An int32 literal; INT32_MIN has none of its own."""
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def real(value: float) -> str:
    """A float literal that reads back as the same float32."""
    number = np.float32(value)
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    text = str(number)
    return text + ("f" if "." in text or "e" in text else ".0f")


def literal(value: float) -> str:
    return real(value) if isinstance(value, float | np.floating) else integer(int(value))


def comment(text: str) -> str:
    """Text that may stand between /* and */ on one line: printable ASCII, no comment marks, no trigraphs."""
    plain = "".join(c if " " <= c <= "~" and c not in "\\?" else "_" for c in text)
    while "*/" in plain or "/*" in plain:
        plain = plain.replace("*/", "*_").replace("/*", "_*")
    return plain if len(plain) <= WIDTH else plain[: WIDTH - 3] + "..."


def string(text: str) -> str:
    """A C string literal of the text in UTF-8."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        out.append(char if " " <= char <= "~" and char not in '"\\?' else f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def wrapped(items: Sequence[str], indent: str = "    ") -> list[str]:
    """Comma-separated items in lines of at most WIDTH."""
    whole = ", ".join(items)
    # Where each item starts in `whole`, and one behind the last; large networks have tens of millions.
    starts = np.zeros(len(items) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, items), np.int64, len(items)) + 2, out=starts[1:])
    room, most = WIDTH - len(indent) + 1, WIDTH // 3 + 1
    lines: list[str] = []
    first = 0
    while first < len(items):
        window = starts[first + 1 : first + 1 + most]
        count = max(1, int(window.searchsorted(starts[first] + room, "right")))
        lines.append(f"{indent}{whole[starts[first] : starts[first + count] - 2]},")
        first += count
    return lines or [indent.rstrip()]


def array(c_type: str, name: str, data: Array, note: str = "") -> list[str]:
    """`static const` definition; the shape and `note` stand in a comment beside it."""
    shape = "".join(f"[{n}]" for n in data.shape) or "[1]"
    head = f"static const {c_type} {name}[{max(data.size, 1)}] = {{ /* {comment(f'{shape} {note}'.strip())} */"
    flat = data.reshape(-1)
    if data.dtype.kind in "iub":
        items = (
            list(map(BYTES.__getitem__, flat.tolist())) if data.dtype == np.int8 else [integer(int(v)) for v in flat.tolist()]
        )
    elif np.all(np.isfinite(flat)):
        items = [f"{v}f" for v in flat.astype(np.float32).astype(np.str_).tolist()]
    else:
        items = [real(v) for v in flat]
    return [head, *wrapped(items or ["0"]), "};"]
