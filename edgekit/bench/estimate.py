"""The runner `estimate`: latency without the device.

Phones, boards with Linux and TFLM: the profile's calibration (`edgekit.estimate`). The generated C on a microcontroller: what
ran on the emulated core, in cycles (`edgekit.bench.cycles`) or instructions, over the clock. No figure of the latter kind was
ever compared with a board running this code: its error is the spread of what boards take for other code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.errors import EdgekitError
from edgekit.estimate import latency
from edgekit.graph import Graph
from edgekit.measure import UNITS, Measurement, unavailable
from edgekit.pipeline import prepare
from edgekit.report.numbers import amount, percent
from edgekit.target import Target

# Cycles an instruction of TFLM with CMSIS-NN on cores whose timings Arm does not publish: MLPerf Tiny's four networks,
# published times over the instructions of an emulated core. kws, ResNet-8, vww, ad.
RATES: dict[str, tuple[str, tuple[float, ...]]] = {
    "cortex-m33": ("EK-RA6M4 at 200 MHz", (1.31, 1.65, 1.35, 1.58)),
    "cortex-m85": ("EK-RA8D1 at 480 MHz", (0.93, 0.85, 1.00, 1.70)),
}
NEVER = "never measured on that board"


def of_engine(graph: Graph, target: Target, engine: str) -> Measurement:
    """Latency of the graph exported for `engine`, by the profile's calibration."""
    try:
        return latency(prepare(graph, engine), target, engine)
    except EdgekitError as error:
        return unavailable("latency", error.message)


def of_firmware(found: Mapping[str, Measurement], target: Target) -> Measurement:
    """Latency of generated C from the cycles or instructions that its run on the emulated core took."""
    if target.clock_mhz is None:
        return unavailable("latency", "the profile names no clock")
    cycles, instructions = found.get("cycles"), found.get("instructions")
    if cycles is not None and cycles.value is not None:
        note = f"the cycles at {target.clock_mhz:g} MHz; {NEVER}"
        return Measurement(
            "latency", cycles.value / target.clock_mhz / 1e3, UNITS["latency"], "estimated", cycles.error, note, cycles.tool
        )
    if instructions is None or instructions.value is None:
        why = instructions.note if instructions is not None else "nothing ran on an emulated core"
        return unavailable("latency", why)
    if target.core not in RATES:
        return unavailable(
            "latency",
            f"no published times tell how many cycles an instruction takes on {target.core}; measure on the board (serial://)",
        )
    board, rates = RATES[target.core]
    rate = sum(rates) / len(rates)
    error = max(abs(other / rate - 1) for other in rates)
    note = (
        f"instructions x {rate:.2f} cycles at {target.clock_mhz:g} MHz, what TFLM with CMSIS-NN takes on {board} "
        f"({min(rates):.2f} to {max(rates):.2f} by network); {NEVER}"
    )
    value = instructions.value * rate / target.clock_mhz / 1e3
    return Measurement("latency", value, UNITS["latency"], "estimated", error, note, instructions.tool)


def on_board(graph: Graph, target: Target, found: Mapping[str, Measurement]) -> Measurement:
    """`of_firmware`, with what TFLM is estimated to take there in its note."""
    own = of_firmware(found, target)
    tflm = of_engine(graph, target, "tflm") if "tflm" in target.engines else None
    if tflm is None or tflm.value is None or own.value is None:
        return own
    return replace(
        own,
        note=f"{own.note}; TFLM with CMSIS-NN there: {amount('latency', tflm.value)} ±{percent(tflm.error or 0)} (estimated)",
    )
