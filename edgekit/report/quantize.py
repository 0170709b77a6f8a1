"""What `quantize` did and what it cost, for people and machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgekit.gate import Limit
from edgekit.measure import SHARES, Measurement
from edgekit.report.numbers import amount, difference, size, title
from edgekit.report.table import text_table

if TYPE_CHECKING:
    from edgekit.quantizing import QuantizeResult

WORST = 5  # layers shown


def kept(result: QuantizeResult, limit: Limit | None) -> bool:
    """Whether the accuracy keeps the limit on its drop, where that is decided; a drop that is not known does not."""
    drop = result.accuracy_drop.value if result.climb is None else result.climb.drop
    return limit is None or (drop is not None and drop <= limit.bound)


def quantize_text(result: QuantizeResult, out: str, limit: Limit | None = None) -> str:
    """What was written, accuracy before and after, the worst layers, and everything that was not plain sailing."""
    report = result.report
    lines = [f"wrote {out}: {size(sum(len(data) for data in result.files.values()))}", ""]
    lines += _accuracy(result, limit)
    lines += _rungs(result, out)
    if result.qat is not None:
        t = result.qat.training
        lines += [
            f"trained {len(t.losses)} epochs: loss {t.losses[0]:.4g} to {t.losses[-1]:.4g}" if t.losses else "not trained"
        ]
        if result.qat.agreement is not None:
            words = f"{result.qat.agreement:.2%} of {result.qat.samples} samples"
            lines += [f"float32 training mode and integer network decide alike on {words}"]
    told = [f"calibrated on {report.samples} samples"] if report.samples else []
    lines += [*told, *(f"  {note}" for note in result.notes), ""]
    if result.layers:
        worst = {(layer.op, layer.source): layer for layer in reversed(result.layers)}  # of several outputs, the worst
        shown = [layer for layer in result.layers if worst[layer.op, layer.source] is layer][:WORST]
        rows = [
            (layer.op, layer.source, f"{layer.cumulative:.1f} dB", "" if layer.isolated is None else f"{layer.isolated:.1f} dB")
            for layer in shown
        ]
        lines += [text_table(("worst layers", "", "SQNR so far", "of its own"), rows, (2, 3))]
        lines += [f"SQNR: on {result.layer_samples} of the calibration samples; of its own: fed the float network's values", ""]
    lines += _part("stayed float", [f"{op} {source}: {why}" for op, source, why in report.islands])
    lines += _part("requantized (two scales meet)", [f"{name}: {a:.6g} to {b:.6g}" for name, a, b in report.requantizes])
    flushed = [f"{name}: {zeros:,} of {channels:,} channels" for name, zeros, channels in report.flushed]
    lines += _part("channels that cannot move the output, set to zero", flushed)
    lines += _part("masks before a softmax, made just low enough", [f"{name}: {value:.4g}" for name, value in report.masks])
    held = [f"{name}: {db:.1f} dB in int8" for name, db in report.choice.shares.items()]
    lines += _part("attention made in 16 bits (a step of 1/256 is too coarse for its softmax)", held)
    return "\n".join(lines).rstrip()


def quantize_json(result: QuantizeResult, out: str) -> dict[str, Any]:
    """The same as plain data."""
    report = result.report
    return {
        "model": {"source": result.source.text, "sha256": result.source.sha256},
        "out": out,
        "bytes": sum(len(data) for data in result.files.values()),
        "float_accuracy": asdict(result.float_accuracy),
        "measurements": [asdict(result.accuracy), asdict(result.accuracy_drop)],
        "decided": None if result.climb is None else {"on": result.decided, "drop": result.climb.drop},
        "samples": report.samples,
        "layer_samples": result.layer_samples,
        "layers": [asdict(layer) for layer in result.layers],
        "islands": [{"op": op, "node": source, "why": why} for op, source, why in report.islands],
        "requantizes": [{"tensor": name, "from": a, "to": b} for name, a, b in report.requantizes],
        "flushed": [{"tensor": name, "zero": zero, "channels": channels} for name, zero, channels in report.flushed],
        "masks": [{"tensor": name, "value": value} for name, value in report.masks],
        "shares": [{"tensor": name, "int8_db": db} for name, db in report.choice.shares.items()],
        "way": asdict(result.way),
        "tried": [asdict(rung) for rung in result.climb.rungs] if result.climb is not None else [],
        "qat": None
        if result.qat is None
        else {"losses": result.qat.training.losses, "agreement": result.qat.agreement, "samples": result.qat.samples},
        "notes": list(result.notes),
    }


def _accuracy(result: QuantizeResult, limit: Limit | None) -> list[str]:
    before, after, drop = result.float_accuracy, result.accuracy, result.accuracy_drop
    name, climbed = title(after.metric), result.climb
    if drop.value is not None:
        scheme = result.report.choice.scheme.name
        lines = [f"{name}: float {_value(before)}, {scheme} {_value(after)}, {_lost(after.metric, drop.value)} ({after.note})"]
    else:
        lines = [f"{name}: unavailable, {after.note if after.value is None else before.note}"]
    if limit is None:
        return lines
    decides = drop.value if climbed is None else climbed.drop
    if climbed is not None:
        lines.append(f"decided on {result.decided}: {_lost(climbed.before.metric, climbed.drop)}")
    if decides is None:
        lines.append("FAIL: --max-drop cannot be judged")
    elif decides > limit.bound:
        bound, over = _points(after.metric, limit.bound), _points(after.metric, decides - limit.bound)
        lines.append(f"FAIL: --max-drop {bound} exceeded by {over}")
    elif drop.value is not None and drop.value > limit.bound:
        lines.append(f"more than {_points(after.metric, limit.bound)} on the samples reported on, which did not decide")
    return lines


def _points(metric: str, drop: float) -> str:
    """Points of a share, percent of an error; never "0.00" unless it is zero."""
    return difference("accuracy_drop", drop) if metric in SHARES else difference("accuracy_drop", drop).replace("pt", "%")


def _lost(metric: str, drop: float) -> str:
    if metric in SHARES:
        return f"drop {amount('accuracy_drop', drop)}"
    return f"{abs(drop):.2f} % {'worse' if drop > 0 else 'better'}"


def _rungs(result: QuantizeResult, out: str) -> list[str]:
    """What was tried for --max-drop."""
    if result.climb is None:
        return []
    metric = result.climb.before.metric
    rows = [
        (
            rung.name,
            amount(metric, rung.accuracy),
            _points(metric, rung.drop) if rung.drop is not None else f"not tried: {rung.why}",
            "taken" if rung.way == result.way and rung.drop == result.climb.drop else "",
        )
        for rung in result.climb.rungs
    ]
    wrote = [f"wrote {out}.recipe.toml: `edgekit apply` makes it again"] if result.recipe is not None else []
    return [
        "",
        text_table(("tried for --max-drop", title(metric), "drop" if metric in SHARES else "worse by", ""), rows, (1, 2)),
        *wrote,
        "",
    ]


def _value(found: Measurement) -> str:
    return amount(found.metric, found.value)


def _part(title: str, items: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {item}" for item in items), ""] if items else []
