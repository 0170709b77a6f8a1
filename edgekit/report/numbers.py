"""How numbers are written: whole bytes with separators, never rounded until two different ones look the same."""

from __future__ import annotations

from edgekit.measure import ERRORS, SHARES, UNITS, Measurement

NONE = "–"  # a number that could not be had


def amount(metric: str, value: float | None) -> str:
    """The value of a metric with its unit: "31,980 B", "0.9020", "0.35 pt", "60.1 ms"."""
    if value is None:
        return NONE
    if metric in SHARES:
        return f"{value:.4f}"
    if metric in ERRORS:
        return f"{value:.4g}"
    unit = UNITS[metric]
    if unit in {"ms", "uJ"}:
        text = f"{value:,.3g}" if abs(value) < 100 else f"{value:,.1f}"
    elif unit == "pt":
        text = f"{value:.2f}"
    else:
        text = f"{value:,.0f}"
    return f"{text} {unit}".rstrip()


def title(metric: str) -> str:
    """A metric's name in a sentence: "mean absolute error"."""
    return {"mean_iou": "mean IoU", "recall_at_1": "recall@1"}.get(metric, metric.replace("_", " "))


def difference(metric: str, value: float) -> str:
    """By how much a limit was missed, as exact as the number is: "3,120 B", "0.0100"; never "0 B" unless it is zero."""
    text = amount(metric, value)
    digits = text.split(" ")[0]
    if value != 0 and not digits.strip("-0.,"):
        return f"{value:.3g} {UNITS[metric]}".rstrip()
    return text


def percent(share: float) -> str:
    """A share as "12 %"; one digit more when small."""
    return f"{share * 100:.0f} %" if abs(share) >= 0.095 else f"{share * 100:.1f} %"


def size(count: int) -> str:
    """Bytes for reading, with the power of 1024: "31,980 B (31.2 KiB)"."""
    if count < 1024:
        return f"{count} B"
    scaled, unit = (count / 1024, "KiB") if count < 1024**2 else (count / 1024**2, "MiB")
    return f"{count:,} B ({scaled:.1f} {unit})"


def evidence(measurement: Measurement) -> str:
    """How the number was obtained, with its error: "emulated", "estimated ±12 %"."""
    return measurement.how if measurement.error is None else f"{measurement.how} ±{percent(measurement.error)}"
