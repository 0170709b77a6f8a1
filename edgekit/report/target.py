"""Device profiles as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.report.numbers import NONE, percent, size
from edgekit.report.table import text_table
from edgekit.target import CLASSES, SIZES, Target

if TYPE_CHECKING:
    from edgekit.calibrate import Refit


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
        ("has", ", ".join(target.isa_extensions), ""),
        ("engines", ", ".join(target.engines), ""),
        ("accelerators", ", ".join(target.accelerators), "what `inspect` lists refusals of; not timed"),
        ("schemes", ", ".join(target.schemes), ""),
    ]
    for key in target.figures:
        checked = " (not checked)" if key in target.unverified else ""
        facts.append((key, _figure(key, getattr(target, key)), target.sources[key] + checked))
    return [row for row in (*facts, *_latency(target)) if row[1]]


def refits_text(target: Target, refits: Sequence[Refit], out: str | None) -> str:
    """Error before and after, one line an engine, precision and number of threads."""
    rows = [
        (
            r.calibration.engine,
            r.calibration.precision,
            str(r.calibration.threads),
            str(r.networks),
            NONE if r.before is None else percent(r.before),
            percent(r.after),
            "each network by a fit without it" if r.held_out else "the fit itself: with one network only the scale is known",
        )
        for r in refits
    ]
    table = text_table(("engine", "precision", "threads", "networks", "error before", "after", ""), rows, (2, 3, 4, 5))
    end = f"wrote {out}: --target {out}" if out else "-o FILE.toml writes the profile with the new coefficients"
    return f"{target.name}\n\n{table}\n\n{end}"


def _latency(target: Target) -> list[tuple[str, str, str]]:
    """One line for each calibration of the profile."""
    return [
        (
            "latency",
            f"{c.engine} {c.precision}, {c.threads} thread{'s' * (c.threads > 1)}: estimated ±{percent(c.error)}",
            f"{c.title} {c.version}; {c.rows} latencies of {c.networks} networks, {c.here} here; error of {c.checked}; "
            f"{c.source}",
        )
        for c in target.latency
    ]


def _figure(key: str, value: Any) -> str:
    if key in SIZES:
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
