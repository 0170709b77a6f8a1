"""The README's table of estimates, made from the summary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import BadData

README = Path("README.md")
BLOCK = re.compile(r"(<!-- python -m benchmarks\.estimates .*?-->\n)(.*?)(<!-- end -->)", re.DOTALL)
CLASSES = {"mcu": "microcontrollers", "pi": "Raspberry Pi", "phone": "phones, CPU", "sbc": "STM32MP1"}
HEADER = (
    "| class | engine | network left out: rows | mean | ±10 % | ±20 % "
    "| device left out: rows | refused | mean | ±10 % | ±20 % |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines of `tables` as a Markdown table; those that nothing was estimated of say so."""
    found = HEADER
    for line in lines:
        cells = [CLASSES.get(line["class"], line["class"]), line["engine"].replace("all", "**all**")]
        for side, refusals in (("network", False), ("device", True)):
            s = line[side]
            shares = [percent(s[key]) if s["rows"] else "–" for key in ("within_10", "within_20")]
            rows = str(s["rows"]) if s["rows"] else f"{s['refused']} refused" if not refusals else "0"
            cells += [rows, *([str(s["refused"])] if refusals else []), percent(s["mape"], 1), *shares]
        found += "| " + " | ".join(cells) + " |\n"
    return found


def written(text: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """`text` with its table replaced. Raises BadData where it has no place for one."""
    if not BLOCK.search(text):
        raise BadData(
            f"{README} has no place for the table of estimates",
            "put <!-- python -m benchmarks.estimates --write --> and <!-- end --> around where it belongs",
        )
    return BLOCK.sub(lambda match: match[1] + markdown(lines) + match[3], text)
