"""The fit's coefficients for each device, into the [[latency]] tables of targets/*.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.estimates.fit import Fitted, device_of, fitted, group_of, isa_of, kind_of, observation, supported
from benchmarks.estimates.rows import COUNTED, RECENT, Row, core_of
from edgekit.estimate import KINDS, STRETCH, macs_of
from edgekit.fitting import rates_of
from edgekit.latency import Calibration, as_toml
from edgekit.target import Target, from_table, profiles

MARK = "# ---- Made by `python -m benchmarks.estimates --write` from published latencies; edit above this line only.\n"
# (family, version) that stands for an engine of edgekit's, best first; a version measured on the device itself goes before.
STANDS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "tflm": (("cmsis-mve", "tflite-micro", "TFLM with CMSIS-NN (Helium)"), ("cmsis", RECENT, "TFLM with CMSIS-NN")),
    "tflite": (("xnnpack", "2022-02-08", "XNNPACK"), ("tflite", "2020-03", "TensorFlow Lite")),
}
CORES = {"cortex-m4": "m4", "cortex-m7": "m7", "cortex-m33": "m33", "cortex-m55": "m55", "cortex-m85": "m85"}
Judged = Sequence[tuple[Row, float | None]]
LOW = 0.1  # share of an engine's rows that are the small networks of `smallest`
ENOUGH_HERE = 3  # latencies on the device itself, from which the error is that of networks left out


def asked(target: Target, engine: str, family: str, version: str, precision: str, threads: int, table: str) -> Row | None:
    """The device as a row without a network, as one of `table` would be."""
    if target.clock_mhz is None:
        return None
    if target.kind == "mcu":
        found = (CORES[target.core], float(target.clock_mhz)) if target.core in CORES else None
    else:
        found = core_of(target.core, target.title, float(target.clock_mhz), threads)
    if found is None:
        return None
    work = dict.fromkeys(KINDS, 1.0)
    return Row(
        target.title, *found, target.kind, engine, family, version, True, threads, precision, "", "", work, "", 1.0, table
    )  # fmt: skip


def _mean(judged: Judged, of: Sequence[Row]) -> float | None:
    """Mean relative error of those rows that were predicted; None without one."""
    wanted = {id(row) for row in of}
    errors = [abs(ms / row.ms - 1) for row, ms in judged if ms is not None and id(row) in wanted]
    return sum(errors) / len(errors) if errors else None


def smallest(rows: Sequence[Row], groups: Mapping[str, Fitted]) -> list[tuple[Row, float | None]]:
    """Networks under a STRETCH-th of all that a fit had: each engine's rows of at most LOW multiply-accumulates in its order,
    by a fit that has none of that group's below STRETCH times as many."""
    found: list[tuple[Row, float | None]] = []
    for name, full in groups.items():
        members = [row for row in rows if group_of(row) == name]
        for family, precision in sorted({(row.family, row.precision) for row in members if row.ours}):
            ours = [r for r in members if r.ours and (r.family, r.precision) == (family, precision)]
            limit = float(np.quantile([macs_of(row.work) for row in ours], LOW))
            small = [row for row in ours if macs_of(row.work) <= limit]
            rest = [row for row in members if macs_of(row.work) > limit * STRETCH or row.version == COUNTED]
            if not any(r.ours and (r.family, r.precision) == (family, precision) for r in rest):
                continue
            without = fitted(rest, full)
            found += [(row, without.ms(row)) for row in small]
    return found


def calibration(
    target: Target,
    engine: str,
    precision: str,
    threads: int,
    rows: Sequence[Row],
    fit: Fitted,
    judged: tuple[Judged, Judged, Judged],
) -> Calibration | None:
    """The first of STANDS that the rows support on this core; None when none does."""
    device = device_of(target.title)
    options = []
    for family, version, title in STANDS[engine]:
        here = [r for r in rows if r.ours and (r.family, r.precision) == (family, precision) and device_of(r.device) == device]
        versions = sorted(
            {r.version for r in here}, key=lambda v: (v == version, max(r.threads for r in here if r.version == v), v)
        )
        options.append((-len({r.key for r in here}), family, versions[-1] if versions else version, title, here))
    for _, family, version, title, here in sorted(options, key=lambda o: o[0]):
        tables = sorted(r.table for r in here or rows if (r.family, r.version) == (family, version))
        row = asked(target, engine, family, version, precision, threads, max(tables, key=tables.count, default=""))
        if row is None or (family == "cmsis-mve") != (isa_of(row) == "mve") or not supported(row, rows):
            continue
        seen = observation(row, fit.parameters.priors)
        rates = rates_of(seen, fit.parameters)
        ns = {kind: float(np.exp(rate)) / row.mhz * 1e3 for kind, rate in zip(KINDS, rates, strict=True)}
        alike = [r for r in rows if (r.family, r.precision) == (family, precision) and r.ours]
        known = len({r.key for r in here}) >= ENOUGH_HERE
        like = here if known else [r for r in alike if kind_of(r) == kind_of(row)] or alike
        error = _mean(judged[0 if known else 1], like) or _mean(judged[1], alike)
        outside = _mean(judged[2], alike) or _mean(judged[2], [r for r in rows if r.ours])
        if error is None or outside is None:
            continue
        amounts = [macs_of(r.work) for r in alike]
        return Calibration(
            engine, title, version, precision, threads, ns, error, max(error, outside),
            "networks left out of the fit" if known else "devices left out of the fit", (min(amounts), max(amounts)),
            len(alike), len({r.key for r in alike}), len(here), "benchmarks.estimates",
        )  # fmt: skip
    return None


def of_target(
    target: Target, rows: Sequence[Row], groups: Mapping[str, Fitted], judged: tuple[Judged, Judged, Judged]
) -> list[Calibration]:
    """Every calibration that the rows support for the device."""
    group = "mcu" if target.kind == "mcu" else "cpu"
    members = [row for row in rows if group_of(row) == group]
    found = []
    cases = [("tflm", "int8", 1)] if group == "mcu" else [("tflite", p, n) for p in ("int8", "float32") for n in (1, 4)]
    for engine, precision, threads in cases:
        if engine in target.engines and threads <= target.cores:
            found.append(calibration(target, engine, precision, threads, members, groups[group], judged))
    return [c for c in found if c is not None]


def write(rows: Sequence[Row], groups: Mapping[str, Fitted], networks: Judged, devices: Judged) -> list[Path]:
    """Put the tables below MARK into every profile; the paths that changed."""
    changed = []
    judged = (networks, devices, smallest(rows, groups))
    for path in profiles().values():
        text = path.read_text(encoding="utf-8")
        head = text.split(MARK)[0].rstrip("\n") + "\n"
        tables = of_target(from_table(tomllib.loads(head), str(path)), rows, groups, judged)
        made = head + ("\n" + MARK + "\n".join(as_toml(c) for c in tables) if tables else "")
        if made != text:
            path.write_text(made, encoding="utf-8")
            changed.append(path)
    return changed
