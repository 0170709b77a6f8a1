"""How far latency estimates are from published latencies, with networks and devices left out of the fit.

    python -m benchmarks.estimates --latency published_latency.csv --features model_features.csv --baseline tflm_baseline.csv
                                   [--rows FILE.csv] [--write] [--json] [--widths] [--nested]

Fits all rows together (see `benchmarks.estimates.fit`), then again without each network and without each device, and prints by
engine the mean error of what the fit had not seen. --rows: another table of the same form; published, estimated and error of
every row, or why there is none; rows of its own are never fitted, and those that are in --latency are left out of it, network
by network. --write: coefficients into targets/*.toml, the table into README.md.
--widths: the widths of the priors that the rows' evidence asks for, as priors.py has them (minutes). --nested: the errors
again, with widths chosen without the fifth of networks or devices that is judged (half an hour).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.estimates.fit import Fitted, device_of, fitted, group_of, isa_of, kind_of, left_out, supported
from benchmarks.estimates.priors import SETTINGS
from benchmarks.estimates.readme import README, percent, written
from benchmarks.estimates.rows import RECENT, Row, counts, edgemark, instructions, read
from benchmarks.estimates.widths import chosen, nested
from edgekit.errors import EdgekitError
from edgekit.report.table import text_table

SKIPPED = {"tinymaix", "onnx"}
ALL, PLAIN = "all", "all but Helium"
Judged = list[tuple[Row, float | None]]


def label(row: Row) -> str:
    """The engine as the summary names it: plain TFLM runs on its reference kernels, whatever a table calls it."""
    engine = "TFLM ref" if row.family == "tflm-ref" else row.engine
    return f"{engine}, {row.precision}" if row.kind in {"phone", "sbc"} else engine


def errors(judged: Judged) -> list[float]:
    return [abs(ms / row.ms - 1) for row, ms in judged if ms is not None]


def summary(judged: Judged) -> dict[str, Any]:
    """rows, refused, mean relative error, shares within 10 and 20 %."""
    found = errors(judged)
    count = len(found) or 1
    return {
        "rows": len(found),
        "refused": len(judged) - len(found),
        "mape": sum(found) / count if found else None,
        "within_10": sum(e <= 0.10 for e in found) / count,
        "within_20": sum(e <= 0.20 for e in found) / count,
    }


def tables(networks: Judged, devices: Judged) -> list[dict[str, Any]]:
    """One entry an engine and class, then one a class, for microcontrollers also without Helium; shipped engines only."""
    groups = sorted({(kind_of(row), label(row)) for row, _ in networks})
    kinds = sorted({kind for kind, _ in groups})
    lines = [*groups, *((kind, ALL) for kind in kinds), *([("mcu", PLAIN)] if "mcu" in kinds else [])]
    found = []
    for kind, name in lines:
        sides = [
            [
                (r, ms)
                for r, ms in judged
                if kind_of(r) == kind and (name in {ALL, label(r)} or (name == PLAIN and isa_of(r) != "mve"))
            ]
            for judged in (networks, devices)
        ]
        found.append({"class": kind, "engine": name, "network": summary(sides[0]), "device": summary(sides[1])})
    return found


def print_tables(lines: Sequence[dict[str, Any]]) -> None:
    header = ["class", "engine"]
    header += [
        f"{what}" for side in ("network", "device") for what in (f"{side} left out: rows", "refused", "mean", "±10 %", "±20 %")
    ]
    rows = []
    for line in lines:
        cells = [line["class"], line["engine"]]
        for side in ("network", "device"):
            s = line[side]
            cells += [
                str(s["rows"]),
                str(s["refused"]),
                percent(s["mape"], 1),
                percent(s["within_10"], 1),
                percent(s["within_20"], 1),
            ]
        rows.append(cells)
    print(text_table(header, rows, list(range(2, 12))))


def edgemark_check(rows: Sequence[Row], full: Fitted) -> list[dict[str, Any]]:
    """The three latencies of EdgeMark, each left out by itself, and with all latencies of its network."""
    found = []
    for row in (r for r in rows if r.version == RECENT):
        alone = fitted([r for r in rows if r is not row], full).ms(row)
        network = left_out(rows, lambda r: r.key, [row], full)[0][1]
        found.append({"model": row.model, "published": row.ms, "row_left_out": alone, "network_left_out": network})
    return found


def print_nested(rows: Sequence[Row]) -> None:
    """The tables of `tables` with widths chosen without the part of the networks or devices that is judged."""
    networks: Judged = []
    devices: Judged = []
    for name in SETTINGS:
        members = [row for row in rows if group_of(row) == name]
        networks += nested(members, lambda row: row.key)
        devices += nested(members, lambda row: device_of(row.device))
    print_tables(tables(networks, devices))


def print_rows(path: Path, known: dict[str, Any], rows: Sequence[Row], groups: dict[str, Fitted]) -> list[dict[str, Any]]:
    """Every line of `path`: what the fit without its network gives, or why nothing."""
    _, refused, pairs = read(path, known)
    cache: dict[tuple[str, str], tuple[Fitted, list[Row]]] = {}
    lines: list[dict[str, Any]] = []
    for line, row in pairs:
        group = group_of(row)
        if (group, row.key) not in cache:
            rest = [r for r in rows if group_of(r) == group and (r.key != row.key or r.engine.startswith("instructions"))]
            same = len(rest) == sum(group_of(r) == group for r in rows)
            cache[(group, row.key)] = (groups[group] if same else fitted(rest, groups[group]), rest)
        without, rest = cache[(group, row.key)]
        entry: dict[str, Any] = {"device": row.device, "engine": row.engine, "threads": row.threads, "precision": row.precision}
        entry |= {"model": row.model, "input": line["input_shape"], "published": row.ms, "ours": row.ours}
        if supported(row, rest):
            ms = without.ms(row)
            entry |= {"estimated": ms, "error": ms / row.ms - 1}
        else:
            entry["why"] = "fewer than three other networks calibrate this engine on this instruction set"
        lines.append(entry)
    for line, why in refused:
        lines.append({"device": line["device"], "engine": line["runtime"], "model": line["model"], "why": why})
    shown = []
    for e in lines:
        if "estimated" in e:
            shown.append(
                [
                    e["device"],
                    e["engine"],
                    e["model"],
                    f"{e['published']:.4g}",
                    f"{e['estimated']:.4g}",
                    f"{100 * e['error']:+.1f} %",
                ]
            )
        else:
            shown.append(
                [e["device"], e["engine"], e["model"], f"{e['published']:.4g}" if "published" in e else "", "", e["why"]]
            )
    print(text_table(["device", "engine", "network", "published ms", "estimated ms", "error"], shown, [3, 4]))
    for which, ours in (("shipped engines", True), ("not our engine", False)):
        found = [abs(e["error"]) for e in lines if "error" in e and e["ours"] is ours]
        if found:
            print(f"{which}: {len(found)} rows, mean error {percent(sum(found) / len(found), 1)}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.estimates", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--widths", action="store_true")
    parser.add_argument("--nested", action="store_true")
    given = parser.parse_args(arguments)
    known = counts(given.features) if given.features else {}
    rows, refused, _ = read(given.latency, known)
    rows = [row for row in rows if row.family not in SKIPPED] + edgemark()
    rows += instructions(given.baseline) if given.baseline else []
    if given.widths:
        for name in SETTINGS:
            print(name, chosen([row for row in rows if group_of(row) == name]))
        return 0
    if given.nested:
        print_nested(rows)
        return 0
    groups = {name: fitted([r for r in rows if group_of(r) == name]) for name in ("mcu", "cpu")}
    if given.rows:
        lines = print_rows(given.rows, known, rows, groups)
        if given.json:
            print(json.dumps({"rows": lines}, indent=2))
        return 0
    networks: Judged = []
    devices: Judged = []
    for name, full in groups.items():
        members = [row for row in rows if group_of(row) == name]
        ours = [row for row in members if row.ours]
        networks += left_out(members, lambda row: row.key, ours, full)
        devices += left_out(members, lambda row: device_of(row.device), ours, full)
    lines = tables(networks, devices)
    checks = edgemark_check([row for row in rows if group_of(row) == "mcu"], groups["mcu"])
    if given.json:
        print(json.dumps({"engines": lines, "nucleo-l4r5zi": checks, "unused": len(refused)}, indent=2))
    else:
        print_tables(lines)
        print("\nNUCLEO-L4R5ZI, TFLM with CMSIS-NN (EdgeMark), ms")
        cells = [
            [c["model"], f"{c['published']:.4g}"]
            + [f"{c[k]:.4g} ({100 * (c[k] / c['published'] - 1):+.1f} %)" for k in ("row_left_out", "network_left_out")]
            for c in checks
        ]
        print(text_table(["network", "published", "this row left out", "all of its network left out"], cells, [1, 2, 3]))
        print(f"\n{len(rows)} rows fitted; {len(refused)} lines not used (--rows names them):")
        for why, count in Counter(re.sub(r"'.*?'", "…", why) for _, why in refused).most_common():
            print(f"  {count:4} {why}")
    if given.write:
        from benchmarks.estimates.profiles import write

        for path in write(rows, groups, networks, devices):
            print(f"wrote {path}", file=sys.stderr)
        README.write_text(written(README.read_text(encoding="utf-8"), lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (EdgekitError, OSError) as error:
        sys.exit(f"error: {error}")
