"""Energy of one inference: the power that a profile gives for computing, times the latency. Only where a profile has one."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.measure import UNITS, Measurement
from edgekit.target import Target

# What one board drew at one clock with four engines, on MLPerf Tiny's keyword spotting and anomaly detection: NUCLEO-L4R5ZI,
# 45.0 to 52.3 mW (v1.0 and v1.1, energy/results.txt; see the profile's source). The largest of these over the least, less one.
SPREAD = 52.3 / 45.0 - 1


def of_run(target: Target, found: Mapping[str, Measurement]) -> Measurement | None:
    """The metric "energy" in microjoules from "latency"; None where the profile names no power or there is no latency."""
    latency = found.get("latency")
    if target.active_mw is None or latency is None or latency.value is None:
        return None
    checked = ", not checked" if "active_mw" in target.unverified else ""
    source = _short(target.sources["active_mw"]) + checked
    note = (
        f"{target.active_mw:g} mW while a network runs ({source}) x the latency, {latency.how}; engines differ by {SPREAD:.0%}"
        " in power; of the chip or of the board, as the source measured it"
    )
    unknown = latency.how == "estimated" and latency.error is None
    error = None if unknown else (1 + (latency.error or 0.0)) * (1 + SPREAD) - 1
    return Measurement("energy", target.active_mw * latency.value, UNITS["energy"], "estimated", error, note, latency.tool)


def _short(source: str) -> str:
    """A source without its address."""
    return source.partition(": https://")[0]
