"""The model of all rows together, and its cross-validation.

log cycles = log(sum of amount x rate) + effects, see `edgekit.fitting`. A rate is what all engines of an instruction set and
precision share, plus what a family of kernels adds. Effects: how fast a core is a clock (shared by all engines, so that rows of
engines that edgekit does not ship still say how fast a core is), the device, the engine's version there, the threads. A device
or network that was left out is predicted by what the others say of its core and its layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.estimates.rows import COUNTED, Row
from edgekit.estimate import KINDS
from edgekit.fitting import Observation, Parameters, fit, predict

# Cycles of one unit, as a first guess: (plain integer core, DSP, vector unit). Only their order of size matters.
GUESS: Mapping[str, tuple[float, float, float]] = {
    "first": (12.0, 5.0, 0.5), "conv": (10.0, 3.0, 0.25), "pointwise": (10.0, 3.0, 0.25), "depthwise": (20.0, 10.0, 1.0),
    "dense": (8.0, 3.0, 0.5), "outputs": (60.0, 30.0, 2.0), "moved": (30.0, 15.0, 2.0), "weights": (0.5, 0.5, 0.5),
    "ops": (3000.0, 3000.0, 5000.0),
}  # fmt: skip
# Instruction sets that a core brings for networks: they decide the proportions of the rates.
ISA = {
    "m0": "plain", "m3": "plain", "m4": "dsp", "m7": "dsp", "m33": "dsp", "m55": "mve", "m85": "mve", "lx6": "plain",
    "lx7": "pie", "rv32": "plain", "rv32-pie": "pie", "arm11": "plain", "a76": "dot", "a77": "dot", "a78": "dot",
    "a55": "dot", "x1": "dot", "x3": "dot", "x4": "dot",
}  # fmt: skip
MATRIX = ("conv", "pointwise", "dense")
# float32 multiply-accumulates a cycle of a core's vector unit, in units of Cortex-A72's; what it makes of them is fitted.
PIPES = {
    "a7": 0.25, "arm11": 0.125, "a53": 0.5, "a55": 0.5, "a75": 1.0, "kryo": 1.0, "a76": 2.0, "a77": 2.0, "a78": 2.0, "x1": 4.0,
    "x3": 4.0, "x4": 4.0, "apple-a7": 2.0, "apple-a12": 3.0,
}  # fmt: skip
SHARE = 0.5
# Widths of the priors, in log units.
WIDTHS = {
    "rate": 1.0, "matrix": 0.3, "isa": 0.4, "family": 0.3, "kernels": 0.15, "level": 1.0, "core": 0.5, "device": 0.15,
    "place": 0.15, "version": 0.4, "threads": 0.15,
}  # fmt: skip
THREADS = 0.75  # speed grows with threads to this power, before the rows are heard

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


def observation(row: Row, priors: dict[str, tuple[float, float]], place: str | None = None) -> Observation:
    """The row for the fit; its parameters' priors are added to `priors`."""
    isa, what = isa_of(row), row.precision
    group = group_of(row)
    rates: list[list[str]] = []
    for kind in KINDS:
        version = f"rate {row.family} {row.version} {what} {kind}"
        names = [f"rate {group} {what} {kind}", f"rate {isa} {what} {kind}", f"rate {row.family} {what} {kind}", version]
        priors[names[0]] = (float(np.log(GUESS[kind][1 if group == "mcu" else 2])), WIDTHS["rate"])
        if kind in MATRIX:  # one inner loop makes them all: what is known of one tells of the others
            names.insert(0, f"rate {group} {what} matrix")
            priors |= {names[0]: (0.0, WIDTHS["level"]), names[1]: (priors[names[1]][0], WIDTHS["matrix"])}
        for name, width in zip(names[-3:], ("isa", "family", "kernels"), strict=True):
            priors[name] = (0.0, WIDTHS[width])
        rates.append(names)
    device = device_of(row.device)
    speeds = {
        f"level {row.family} {what}": (0.0, WIDTHS["level"]),
        f"level {isa} {what}": (0.0, WIDTHS["level"]),
        f"level {row.family} {isa} {what}": (0.0, WIDTHS["isa"]),
        f"core {row.core}": (-SHARE * float(np.log(PIPES.get(row.core, 1.0))), WIDTHS["core"]),
        f"core {row.core} {what}": (0.0, WIDTHS["device"]),
        f"device {device}": (0.0, WIDTHS["level" if row.version == COUNTED else "device"]),
        f"place {device} {row.family} {what}": (0.0, WIDTHS["place"]),
        f"version {row.family} {row.version}{' 32-bit' * ('32-bit' in row.device)}": (0.0, WIDTHS["version"]),
    }
    priors |= speeds
    effects = [(name, 1.0) for name in speeds]
    if row.threads > 1:
        extra = {f"threads {row.family}": (-THREADS, 0.1), f"threads {device}": (0.0, WIDTHS["threads"])}
        priors |= extra
        effects += [(name, float(np.log(row.threads))) for name in extra]
    amounts = np.array([row.work[kind] for kind in KINDS])
    return Observation(amounts, rates, effects, row.ms * row.mhz * 1e3)


def group_of(row: Row) -> str:
    """Rows of different groups share no parameter: they are fitted apart."""
    return "mcu" if row.kind.startswith("mcu") else "cpu"


def kind_of(row: Row) -> str:
    """Class of a row, boards named after the fruit apart from other single-board computers."""
    return "mcu" if row.kind.startswith("mcu") else "pi" if "Raspberry" in row.device else row.kind


@dataclass
class Fitted:
    parameters: Parameters

    def ms(self, row: Row) -> float:
        return predict(observation(row, self.parameters.priors), self.parameters) / row.mhz / 1e3


def fitted(rows: Sequence[Row], start: Fitted | None = None) -> Fitted:
    priors: dict[str, tuple[float, float]] = {}
    seen = [observation(row, priors) for row in rows]
    return Fitted(fit(seen, priors, start.parameters if start else None))


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
        without = fitted(rest, full)
        found += [(row, without.ms(row) if supported(row, rest) else None) for row in members]
    return found
