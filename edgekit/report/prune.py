"""What `prune` left out, what it cost and what it gained, for people and machines."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgekit.passes.prune.sparse import HONEST
from edgekit.report.numbers import amount, percent, size
from edgekit.report.table import text_table

if TYPE_CHECKING:
    from edgekit.pruning_result import PruneResult, ScanRow

GAINS = ("flash", "ram", "arena", "instructions", "latency", "file", "file_gz")


def prune_text(result: PruneResult, out: str) -> str:
    """Text for a terminal."""
    lines = [f"wrote {out}: {size(sum(len(data) for data in result.files.values()))}", ""]
    judged = result.judged
    if judged is not None:
        unit = "pt" if judged.higher else "%"
        lines.append(
            f"{judged.metric}: {_value(judged.metric, judged.before)} -> {_value(judged.metric, judged.after)}, "
            f"drop {judged.drop:.2f} {unit} (reported on {judged.note})"
        )
    else:
        lines.append("accuracy: unavailable, no labelled data to report on: --eval D2 or --split 20%")
    chosen = result.decided
    if chosen is not None:
        unit = "pt" if chosen.higher else "%"
        lines.append(
            f"decided on {chosen.note}: {_value(chosen.metric, chosen.before)} -> {_value(chosen.metric, chosen.after)}, "
            f"drop {chosen.drop:.2f} {unit}; the network before may have been trained on them"
        )
    if result.trained:
        lines.append(f"trained on {result.trained:,} samples")
    lines += [f"  {note}" for note in result.notes]
    if result.tried:
        tried = [(t.score, t.scope, f"{t.macs:,}", _number(t.metric)) for t in result.tried]
        lines += ["", text_table(("tried", "", "MACs", "decides"), tried, (2, 3))]
    if len(result.steps) > 1:
        rows = [(str(i), f"{s.macs:,}", _number(s.cut), _number(s.recovered)) for i, s in enumerate(result.steps, 1)]
        lines += ["", text_table(("step", "MACs", "cut", "recovered"), rows, (0, 1, 2, 3))]
    shown = [("MACs", *result.macs), ("parameters", *result.params)]
    rows = [(name, f"{a:,}", f"{b:,}", _change(a, b)) for name, a, b in shown]
    reasons: dict[str, list[str]] = {}
    if result.bench is not None:
        before, after = result.bench
        for metric in GAINS:
            a, b = before.get(metric), after.get(metric)
            if a is None or b is None:
                continue
            if a.value is not None and b.value is not None:
                rows.append(
                    (f"{metric} ({b.how})", amount(metric, a.value), amount(metric, b.value), _change(a.value, b.value))
                )
            elif metric in {"flash", "ram", "instructions"}:
                reasons.setdefault((b if b.value is None else a).note, []).append(metric)
        lines += ["", f"on {after.target}" + (f" ({after.note})" if after.note else "")]
    lines += ["", text_table(("", "before", "after", ""), rows, (1, 2, 3))]
    lines += [f"{', '.join(metrics)}: unavailable, {why}" for why, metrics in reasons.items()]
    if result.layers:
        table = [(name, kind, f"{a:,}", f"{b:,}") for name, kind, a, b in result.layers]
        lines += ["", text_table(("layer", "", "before", "after"), table, (2, 3))]
    if result.zeros is not None:
        lines += ["", f"{percent(result.zeros)} of the weights are zero: {HONEST}"]
    return "\n".join(lines)


def prune_json(result: PruneResult, out: str) -> dict[str, Any]:
    """The same as plain data."""
    judged, chosen = result.judged, result.decided
    return {
        "model": {"source": result.source.text, "sha256": result.source.sha256},
        "out": out,
        "bytes": sum(len(data) for data in result.files.values()),
        "macs": {"before": result.macs[0], "after": result.macs[1]},
        "params": {"before": result.params[0], "after": result.params[1]},
        "judged": None if judged is None else {**asdict(judged), "drop": judged.drop},
        "decided": None if chosen is None else {**asdict(chosen), "drop": chosen.drop},
        "tried": [asdict(t) for t in result.tried],
        "trained": result.trained,
        "steps": [{k: None if _missing(v) else v for k, v in asdict(step).items()} for step in result.steps],
        "layers": [{"layer": name, "kind": kind, "before": a, "after": b} for name, kind, a, b in result.layers],
        "zeros": result.zeros,
        "target": None if result.bench is None else result.bench[0].target,
        "before": [] if result.bench is None else [asdict(m) for m in result.bench[0].measurements],
        "after": [] if result.bench is None else [asdict(m) for m in result.bench[1].measurements],
        "notes": list(result.notes),
    }


def scan_text(whole: float, rows: list[ScanRow], shares: tuple[float, ...]) -> str:
    """A table of each layer's sensitivity."""
    header = ("layer", "", "units", *(f"-{share:.0%}" for share in shares))
    table = [(row.layer, row.kind, f"{row.units:,}", *(_number(v) for v in row.values)) for row in rows]
    return "\n".join(
        [
            f"whole network: {_number(whole)}; with a share of one layer left out, not recovered:",
            "",
            text_table(header, table, tuple(range(2, len(header)))),
        ]
    )


def scan_json(whole: float, rows: list[ScanRow], shares: tuple[float, ...]) -> dict[str, Any]:
    return {"whole": whole, "shares": list(shares), "layers": [asdict(row) for row in rows]}


def _missing(value: float) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _number(value: float) -> str:
    return "-" if _missing(value) else f"{value:.4f}"


def _value(metric: str, value: float) -> str:
    return amount("accuracy", value) if metric == "accuracy" else _number(value)


def _change(before: float, after: float) -> str:
    return "" if not before else f"{100 * (after - before) / before:+.0f} %"
