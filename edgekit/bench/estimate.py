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
# Most memory of the process that runs a network: (engine, precision) -> (bytes without one, a byte of weights, a byte of the
# activations that live at once, mean error of networks left out of the fit). `python -m benchmarks.memory`: ten networks of 0.1
# to 28 MB of weights, Python, x86-64 Linux, one thread; LiteRT 2.3.0, ONNX Runtime 1.31.1.
PROCESS: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("tflite", "float32"): (40.4e6, 2.19, 1.27, 0.020),
    ("tflite", "int8"): (40.5e6, 2.80, 0.75, 0.019),
    ("onnx", "float32"): (57.7e6, 1.89, 4.32, 0.044),
    ("onnx", "int8"): (57.3e6, 3.22, 6.86, 0.043),
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
    error = "error not known" if tflm.error is None else f"±{percent(tflm.error)}"
    return replace(own, note=f"{own.note}; TFLM with CMSIS-NN there: {amount('latency', tflm.value)} {error} (estimated)")


def live_bytes(graph: Graph) -> int:
    """Bytes of activations at the fullest moment, were each freed after its last use: the least that any plan takes."""
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs if name is not None}
    last |= dict.fromkeys(graph.outputs, len(graph.nodes))
    alive, peak = set(graph.inputs), 0
    for i, node in enumerate(graph.nodes):
        alive |= set(node.outputs)
        peak = max(peak, sum(graph[name].nbytes for name in alive))
        alive = {name for name in alive if last.get(name, -1) > i}
    return peak


def memory(graph: Graph, engine: str) -> Measurement | None:
    """The metric "peak_memory" of a process on a system like this one's; None where nothing was measured to tell it from (other
    engines)."""
    precision = "int8" if graph.is_quantized else "float32"
    if (engine, precision) not in PROCESS:
        return None
    try:
        ready = prepare(graph, engine)
    except EdgekitError:
        return None
    base, by_weights, by_activations, error = PROCESS[engine, precision]
    weights, active = sum(t.nbytes for t in ready.tensors.values() if t.is_const), live_bytes(ready)
    value = round(base + by_weights * weights + by_activations * active)
    note = (
        f"{base / 1e6:.0f} MB of Python and the runtime, {by_weights} x {weights:,} B of weights, "
        f"{by_activations} x {active:,} B of activations: "
        f"fitted to ten networks on x86-64 Linux, one thread, {percent(error)} off there when left out; "
        "never compared with this device, so its error here is not known"
    )
    return Measurement("peak_memory", value, UNITS["peak_memory"], "estimated", None, note, "edgekit estimate")
