"""The model of all rows together, and its cross-validation.

log cycles = log(sum of amount x rate), see `edgekit.fitting`. A rate is what all engines of an instruction set and precision
share, plus what a family of kernels and its version add, plus how fast a core is a clock (shared by all engines, so that rows
of engines that edgekit does not ship still say how fast a core is), the device, the table a row was published in, the threads.
Fetching weights and calling operators gain nothing from threads or vectors and less from a faster core. A device or network
that was left out is predicted by what the others say of its core and its layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.estimates.priors import (
    BITS_32,
    COLUMN,
    GUESS,
    ISA,
    MATRIX,
    PIPES,
    SCALAR,
    SERIAL,
    SETTINGS,
    SHARE,
    THREADS,
    Settings,
)  # fmt: skip
from benchmarks.estimates.rows import COUNTED, Row
from edgekit.estimate import KINDS
from edgekit.fitting import Observation, Parameters, fit, predict

CHIPS = re.compile(
    r"L4R5|U575|U585|H7A3|F746|[FH]769|H747|H743|Pixel 2|SD835|Pixel (?:\(1\)|\d)|RK3399|SD855\+?|SD845|RA6M4|RA8D1|nRF5340|"
    r"ESP32-[A-Z]\d|ESP32|Raspberry Pi (?:Zero 2|Zero|\d)|Galaxy S\d+|STM32MP1\d\d"
)
LEAST = 3  # networks of an engine on an instruction set, below which nothing is said of another network or device


@cache
def device_of(name: str) -> str:
    """One name for a chip that tables name in several ways."""
    match = CHIPS.search(name)
    return match[0] if match else name.split(" (")[0]


def isa_of(row: Row) -> str:
    isa = "portable" if row.family == "tflm-ref" else ISA.get(row.core, "neon")
    return "neon" if isa == "dot" and row.precision != "int8" else isa


def observation(row: Row, priors: dict[str, tuple[float, float]], settings: Settings | None = None) -> Observation:
    """The row for the fit; its parameters' priors are added to `priors`."""
    isa, what, group, device = isa_of(row), row.precision, group_of(row), device_of(row.device)
    given = settings or SETTINGS[group]
    widths, noises, many = given.widths, given.noises, float(np.log(row.threads))

    def term(name: str, width: str, mean: float = 0.0, factor: float = 1.0) -> tuple[str, float]:
        priors[name] = (mean, widths[width])
        return name, factor

    chip = [
        term(f"device {device}", "emulated" if row.version == COUNTED else "device"),
        term(f"place {device} {row.family} {what}", "place"),
    ]
    core = [
        term(f"core {row.core}", "core", -SHARE * float(np.log(PIPES.get(row.core, 1.0)))),
        term(f"core {row.core} {what}", "device"),
    ]
    speed = [
        *core,
        term(f"level {row.family} {what}", "level"),
        term(f"level {isa} {what}", "level"),
        term(f"level {row.family} {isa} {what}", "isa"),
        term(f"version {row.family} {row.version}", "version"),
        *([term(f"table {row.table}", "table")] if row.table else []),
    ]
    if row.threads > 1:
        speed += [
            term(f"threads {row.family}", "threads", -THREADS, many),
            term(f"threads {row.kind}", "threads", 0.0, many),
            term(f"threads {device}", "threads", 0.0, many),
        ]
    serial = [(name, factor * SCALAR) for name, factor in core]
    usual = COLUMN["dsp" if group == "mcu" else "neon"]
    column = COLUMN[isa] if group == "mcu" else usual
    rates: list[list[tuple[str, float]]] = []
    for kind in KINDS:
        guess, own = float(np.log(GUESS[kind][usual])), float(np.log(GUESS[kind][column] / GUESS[kind][usual]))
        terms = [
            term(f"rate {group} {what} {kind}", "matrix" if kind in MATRIX else "rate", guess),
            term(f"rate {isa} {what} {kind}", "isa", own),
            term(f"rate {row.family} {what} {kind}", "family"),
            term(f"rate {row.family} {row.version} {what} {kind}", "kernels"),
            term(f"rate {row.family} {isa} {what} {kind}", "kernels"),
            *chip,
            *(serial if kind in SERIAL else speed),
        ]
        if kind in MATRIX:  # one inner loop makes them all: what is known of one tells of the others
            terms.append(term(f"rate {group} {what} matrix", "level"))
        if row.core in BITS_32 or "32-bit" in row.device:
            terms.append(term(f"rate {row.family} 32-bit {what} {kind}", "bits"))
        rates.append(terms)
    noise = noises.get("counted" if row.version == COUNTED else row.family, noises["published"])
    return Observation(np.array([row.work[kind] for kind in KINDS]), rates, row.ms * row.mhz * 1e3, noise)


def group_of(row: Row) -> str:
    """Rows of different groups share no parameter: they are fitted apart."""
    return "mcu" if row.kind.startswith("mcu") else "cpu"


def kind_of(row: Row) -> str:
    """Class of a row, boards named after the fruit apart from other single-board computers."""
    return "mcu" if row.kind.startswith("mcu") else "pi" if "Raspberry" in row.device else row.kind


@dataclass
class Fitted:
    parameters: Parameters
    settings: Settings | None = None

    def ms(self, row: Row) -> float:
        return predict(observation(row, self.parameters.priors, self.settings), self.parameters) / row.mhz / 1e3


def fitted(rows: Sequence[Row], start: Fitted | None = None, settings: Settings | None = None) -> Fitted:
    """settings: None for those of the rows' group."""
    priors: dict[str, tuple[float, float]] = {}
    seen = [observation(row, priors, settings) for row in rows]
    return Fitted(fit(seen, priors, start.parameters if start else None), settings)


def supported(row: Row, rows: Iterable[Row]) -> bool:
    """Whether `rows` hold enough of the row's engine, instruction set and precision to predict it at all."""
    alike = {r.key for r in rows if (r.family, isa_of(r), r.precision) == (row.family, isa_of(row), row.precision)}
    alike_here = {r.key for r in rows if isa_of(r) == isa_of(row) and r.precision == row.precision and r.version != COUNTED}
    return len(alike) >= LEAST and len(alike_here) >= LEAST


def left_out(
    rows: Sequence[Row], of: Callable[[Row], object], judged: Iterable[Row], full: Fitted
) -> list[tuple[Row, float | None]]:
    """Each judged row with the milliseconds that a fit without all latencies of the same `of` gives it, None where what is
    left says too little. Counts of instructions on emulated cores stay: they are no latencies."""
    groups: dict[object, list[Row]] = {}
    for row in judged:
        groups.setdefault(of(row), []).append(row)
    found: list[tuple[Row, float | None]] = []
    for key, members in groups.items():
        rest = [row for row in rows if of(row) != key or row.version == COUNTED]
        without = fitted(rest, full, full.settings)
        found += [(row, without.ms(row) if supported(row, rest) else None) for row in members]
    return found
