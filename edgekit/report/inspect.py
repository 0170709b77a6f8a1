"""What `inspect` found, for people and machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgekit.delegates import DelegateCheck
from edgekit.graph import short
from edgekit.inspection import Inspection, Port
from edgekit.report.ledger import ledger_text
from edgekit.report.numbers import NONE, size
from edgekit.report.table import text_table

SHOWN = 2  # nodes named with a reason


def inspect_json(found: Inspection) -> dict[str, Any]:
    """All of it as plain data; problems as {node, why, instead}."""
    data = asdict(found)
    data["ops"] = dict(found.ops)
    data["delegates"] = [
        {**asdict(d), "refused": [{"node": node, "op": op, "why": why} for node, op, why in d.refused]} for d in found.delegates
    ]
    data["engines"] = {
        check.engine: [{"node": node, "why": why, "instead": instead} for node, why, instead in check.problems]
        for check in found.engines
    }
    return data


def inspect_text(found: Inspection) -> str:
    """Inputs and outputs, totals, operators, and what each engine cannot run."""
    peak = NONE if found.peak_ram is None else f"{size(found.peak_ram)} planned, C engine"
    totals = [
        ("parameters", f"{found.params:,}, stored in {size(found.weight_bytes)}"),
        ("MACs", f"{found.macs:,}"),
        ("peak RAM", peak),
        ("", f"set by {found.peak_by}" if found.peak_ram is not None else found.peak_by),
    ]
    if found.residual_transposes:
        totals.append(("transposes", f"{found.residual_transposes} left after the layout change: each copies a tensor"))
    ports = [("input", p) for p in found.inputs] + [("output", p) for p in found.outputs]
    lines = [
        f"{found.name} ({'int8' if found.quantized else 'float'})",
        "",
        _columns([(kind, p.name, f"{p.dtype} {list(p.shape)}", _meaning(p)) for kind, p in ports]),
        *(f"        {p.name}: {line}" for p in found.inputs for line in p.about),
        "",
        _columns(totals),
        "",
        text_table(("operator", "count"), [(op, str(count)) for op, count in found.ops], (1,)),
        "",
    ]
    if found.ledger is not None:
        lines += [ledger_text(found.ledger), ""]
    for check in found.engines:
        lines.append(
            f"{check.engine}: " + ("runs all of it" if not check.problems else f"cannot run {len(check.problems)} node(s)")
        )
        lines += [f"  {node}: {why}" + (f" (instead: {fix})" if fix else "") for node, why, fix in check.problems]
    if found.delegates:
        lines += ["", "Accelerators, by their makers' lists; a driver may refuse more. Times that edgekit shows are the CPU's."]
    for delegate in found.delegates:
        lines += _delegate(delegate)
    return "\n".join(lines)


def _delegate(found: DelegateCheck) -> list[str]:
    """What an accelerator takes, and each kind of refusal with the nodes that it met."""
    head = f"{found.name} ({found.title})"
    if found.problem:
        return [f"{head}: cannot tell: {found.problem}"]
    if not found.refused:
        return [f"{head}: takes all {found.taken} nodes in {_pieces(found.parts, '')}"]
    if not found.taken:
        where = "refuses all of it"
    else:
        pieces = f"{_pieces(found.parts, ' there')} and {found.cpu_parts} on the CPU"
        nodes = len(found.refused) + found.taken
        where = f"refuses {len(found.refused)} of {nodes} nodes: {pieces}, {found.macs:.0%} of the MACs there"
    lines, whys = [f"{head}: {where}"], dict.fromkeys(why for _, _, why in found.refused)
    for why in whys:
        met = [(node, op) for node, op, reason in found.refused if reason == why]
        ops = ", ".join(f"{count} {op}" for op, count in Counter(op for _, op in met).items())
        more = ", ..." if len(met) > SHOWN else ""
        lines.append(f"  {ops}: {why} ({', '.join(short(node) for node, _ in met[:SHOWN])}{more})")
    return lines


def _pieces(count: int, where: str) -> str:
    return f"{count} part{'s' if count != 1 else ''}{where}"


def _meaning(port: Port) -> str:
    words = [] if port.kind in {"", "tensor"} else [port.kind]
    if port.layout:
        words.append(port.layout)
    if port.scale is not None:
        words.append(f"real = {port.scale:.6g} * (q - {port.zero_point})")
    if port.labels:
        shown = ", ".join(port.labels[:4]) + (", ..." if len(port.labels) > 4 else "")
        words.append(f"{len(port.labels)} labels: {shown}")
    return ", ".join(words)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
