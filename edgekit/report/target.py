"""Device profiles as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.report.numbers import NONE, size
from edgekit.report.table import text_table
from edgekit.target import CLASSES, FIGURES, Target


def targets_text(targets: Sequence[Target]) -> str:
    """One line a device, and what the class names stand for."""
    rows = [(t.name, t.core, _mhz(t), _bytes(t.flash), _bytes(t.ram), ", ".join(t.engines)) for t in targets]
    classes = ", ".join(f"{name} = {target}" for name, target in CLASSES.items())
    return "\n".join(
        [text_table(("name", "core", "clock", "flash", "RAM", "runs"), rows, (2, 3, 4)), "", f"classes: {classes}"]
    )


def target_text(target: Target) -> str:
    """Every figure with its source."""
    return text_table(("", "", "source"), target_facts(target))


def target_facts(target: Target) -> list[tuple[str, str, str]]:
    """(fact, value, source or remark) of all that the profile gives."""
    facts: list[tuple[str, str, str]] = [
        ("name", target.name, ""),
        ("device", target.title, target.note),
        ("also", ", ".join(target.aliases), ""),
        ("core", target.core, target.isa),
        ("engines", ", ".join(target.engines), ""),
        ("schemes", ", ".join(target.schemes), ""),
    ]
    for key in FIGURES:
        if key in target.sources:
            checked = " (not checked)" if key in target.unverified else ""
            facts.append((key, _figure(key, getattr(target, key)), target.sources[key] + checked))
    return [row for row in facts if row[1]]


def _figure(key: str, value: Any) -> str:
    if key in {"flash", "ram"}:
        return size(value)
    if key.endswith("_origin"):
        return f"0x{value:08x}"
    return f"{value:g} MHz" if key == "clock_mhz" else f"{value:g} GB/s" if key == "memory_bandwidth_gbs" else f"{value}"


def _mhz(target: Target) -> str:
    return NONE if target.clock_mhz is None else f"{target.clock_mhz:g} MHz"


def _bytes(count: int | None) -> str:
    """Without rounding: the largest unit that divides it."""
    if count is None:
        return NONE
    unit = next((u for u in (3, 2, 1) if count % 1024**u == 0), 0)
    return f"{count // 1024**unit:,} {('B', 'KiB', 'MiB', 'GiB')[unit]}"
