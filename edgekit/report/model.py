"""What a benchmark found, and its JSON form (the form of `bench --json` and of run files)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekit import __version__, ledger
from edgekit.errors import BadData
from edgekit.ledger import Ledger
from edgekit.measure import HOW, UNITS, Measurement

FORM = "a run file is what `edgekit bench -o run.json` writes"


@dataclass(frozen=True)
class StepShare:
    """Instructions of one step of the firmware on the first sample, and their share (0..1) of the run; step -1: what
    surrounds the steps. source: the node it comes from."""

    step: int
    op: str
    source: str
    instructions: int
    share: float


@dataclass(frozen=True)
class TargetResult:
    """All measurements of one model on one target with one engine. note: what to know about the target ("class default").

    ledger: where the firmware's flash and RAM go, None without a firmware.
    breakdown: metric -> {part: its share of the metric's value}, what a gate explains growth by; by_op: instructions step by
    step; both empty unless asked for. device: what a run on a device found besides: its processor, clocks and temperatures
    before and after, times, the ratio to another model; plain data, empty without one.
    """

    target: str
    engine: str
    measurements: tuple[Measurement, ...]
    note: str = ""
    breakdown: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ledger: Ledger | None = None
    by_op: tuple[StepShare, ...] = ()
    device: Mapping[str, Any] = field(default_factory=dict)

    def get(self, metric: str) -> Measurement | None:
        """The measurement of `metric`, None when it is not there."""
        return next((m for m in self.measurements if m.metric == metric), None)


@dataclass(frozen=True)
class RunReport:
    """The results of one model. source: the file as the user named it; sha256 of its bytes."""

    source: str
    sha256: str
    results: tuple[TargetResult, ...]
    edgekit: str = field(default=__version__)

    def to_json(self) -> dict[str, Any]:
        """The JSON form; `value` and `error` are null when there is none."""
        return {
            "edgekit": self.edgekit,
            "model": {"source": self.source, "sha256": self.sha256},
            "results": [_as_json(result) for result in self.results],
        }


def _as_json(result: TargetResult) -> dict[str, Any]:
    data = asdict(result)
    return {key: value for key, value in data.items() if value or key not in {"breakdown", "ledger", "by_op", "device"}}


def from_json(data: Any, where: str) -> RunReport:
    """The RunReport that `to_json` wrote. Raises BadData naming what is wrong with it."""
    try:
        results = tuple(_result(item) for item in data["results"])
        model = data["model"]
        return RunReport(str(model["source"]), str(model["sha256"]), results, str(data["edgekit"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise BadData(f"{where} is not a run file: {what}", FORM) from error


def read_run(path: Path) -> RunReport:
    """Read a run file. Raises BadData."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadData(f"cannot read {path}: {error}", FORM) from error
    return from_json(data, str(path))


def _result(item: Mapping[str, Any]) -> TargetResult:
    measurements = tuple(_measurement(m) for m in item["measurements"])
    breakdown = {str(metric): _parts(parts) for metric, parts in item.get("breakdown", {}).items()}
    book = ledger.from_json(item["ledger"]) if item.get("ledger") else None
    by_op = tuple(StepShare(**step) for step in item.get("by_op", []))
    note = str(item.get("note", ""))
    device = dict(item.get("device") or {})
    return TargetResult(str(item["target"]), str(item["engine"]), measurements, note, breakdown, book, by_op, device)


def _parts(parts: Mapping[str, Any]) -> dict[str, float]:
    if not all(isinstance(share, (int, float)) for share in parts.values()):
        raise ValueError("a share in a breakdown is not a number")
    return {str(name): share for name, share in parts.items()}


def _measurement(item: Mapping[str, Any]) -> Measurement:
    metric, how, value, error = item["metric"], item["how"], item["value"], item.get("error")
    if metric not in UNITS:
        raise ValueError(f"unknown metric '{metric}'")
    if how not in HOW:
        raise ValueError(f"'{how}' is not a way to obtain a number ({', '.join(HOW)})")
    if not (value is None or isinstance(value, (int, float))) or not (error is None or isinstance(error, (int, float))):
        raise ValueError(f"the value of '{metric}' is not a number")
    if (value is None) != (how == "unavailable"):
        raise ValueError(f"'{metric}' is {how} but its value is {value}")
    return Measurement(metric, value, UNITS[metric], how, error, str(item.get("note", "")), str(item.get("tool", "")))
