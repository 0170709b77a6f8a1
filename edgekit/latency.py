"""What a device's profile says of its speed: `[[latency]]` tables, one an engine, precision and number of threads.

Each holds nanoseconds for one unit of every kind of work (`edgekit.estimate.KINDS`), the error that cross-validation found and
the range of networks it was fitted to. `benchmarks.estimates --write` makes them from published latencies,
`edgekit targets calibrate` from one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENGINES = ("tflm", "tflite", "onnx", "c")
PRECISIONS = ("int8", "float32")
# The kinds of work; `edgekit.estimate` counts them.
KINDS: dict[str, str] = {
    "first": "multiply-accumulates of convolutions that read at most four channels (the image layer)",
    "conv": "multiply-accumulates of other convolutions larger than 1x1",
    "pointwise": "multiply-accumulates of 1x1 convolutions",
    "depthwise": "multiply-accumulates of depthwise convolutions",
    "dense": "multiply-accumulates of dense and recurrent layers and matrix products",
    "taps": "places of a kernel times places of its output, for convolutions larger than 1x1 (the windows gathered)",
    "idle": "multiply-accumulates by which the above do not fill vectors of sixteen",
    "outputs": "elements that the above write",
    "moved": "elements that all other operators write",
    "weights": "constant elements",
    "ops": "operators",
}
LATER = ("taps", "idle")  # kinds that profiles written before they were counted do not have: nothing
OWN = "edgekit targets calibrate"  # the source of a calibration by one's own measurements
TEXTS = ("engine", "title", "version", "precision", "checked", "source")


@dataclass(frozen=True)
class Calibration:
    """ns: kind of work -> nanoseconds a unit. error: mean relative error of networks (or devices, as `checked` says) left out
    of the fit. macs: multiply-accumulates of the smallest and largest network it was fitted to. rows, networks: published
    latencies of this engine that it rests on, and how many networks they are of; here: how many were measured on this device.
    outside: mean relative error of networks with a 32nd of the multiply-accumulates of all that were fitted.
    """

    engine: str
    title: str
    version: str
    precision: str
    threads: int
    ns: Mapping[str, float]
    error: float
    outside: float
    checked: str
    macs: tuple[float, float]
    rows: int
    networks: int
    here: int
    source: str


def from_tables(tables: Any, faults: list[str]) -> tuple[Calibration, ...]:
    """The profile's [[latency]] tables; what is wrong with them is added to `faults`."""
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        faults.append("'latency' must be [[latency]] tables")
        return ()
    found: list[Calibration] = []
    for number, table in enumerate(tables, 1):
        before = len(faults)
        where = f"[[latency]] {number}"
        needed = (*TEXTS, "threads", "ns", "error", "outside", "macs", "rows", "networks", "here")
        faults += [f"{where}: '{key}' is missing" for key in needed if key not in table]
        faults += [f"{where}: unknown key '{key}'" for key in table if key not in needed]
        faults += [f"{where}: '{key}' must be a text" for key in TEXTS if not isinstance(table.get(key, ""), str)]
        for key, allowed in (("engine", ENGINES), ("precision", PRECISIONS)):
            if key in table and table[key] not in allowed:
                faults.append(f"{where}: '{key}' has '{table[key]}', not one of {', '.join(allowed)}")
        ns = table.get("ns", {})
        if not isinstance(ns, dict) or set(ns) | set(LATER) != set(KINDS) or not all(_number(v) for v in ns.values()):
            faults.append(f"{where}: 'ns' must give nanoseconds for each of {', '.join(KINDS)}")
        macs = table.get("macs", [0, 0])
        if not isinstance(macs, list) or len(macs) != 2 or not all(_number(v) for v in macs):
            faults.append(f"{where}: 'macs' must be [smallest, largest]")
        for key in ("error", "outside"):
            if not _number(table.get(key, 0)):
                faults.append(f"{where}: '{key}' must be a number, 0.12 for 12 %")
        for key in ("threads", "rows", "networks", "here"):
            if not isinstance(table.get(key, 0), int):
                faults.append(f"{where}: '{key}' must be a whole number")
        if len(faults) == before:
            whole = dict.fromkeys(LATER, 0.0) | ns
            found.append(Calibration(**{**table, "ns": whole, "macs": (float(macs[0]), float(macs[1]))}))
    return tuple(found)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def as_toml(found: Calibration) -> str:
    """The calibration as one [[latency]] table."""
    texts = {key: getattr(found, key) for key in TEXTS}
    lines = ["[[latency]]", *(f"{key} = {_quoted(text)}" for key, text in texts.items())]
    lines += [f"threads = {found.threads}", f"error = {found.error:.3f}", f"outside = {found.outside:.3f}"]
    lines += [f"macs = [{found.macs[0]:.0f}, {found.macs[1]:.0f}]"]
    lines += [f"{key} = {getattr(found, key)}" for key in ("rows", "networks", "here")]
    lines += ["ns = { " + ", ".join(f"{kind} = {found.ns[kind]:.4g}" for kind in KINDS) + " }"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
