"""A profile's latency coefficients refitted to one's own measurements.

What the profile says already is the prior: one scale for all kinds of work moves freely, the proportions only as far as the
measurements insist. With one network only the scale can be known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.errors import BadData
from edgekit.estimate import KINDS, choose, macs_of, nanoseconds, precision_of, work
from edgekit.fitting import Observation, fit
from edgekit.graph import Graph
from edgekit.latency import OWN, Calibration
from edgekit.pipeline import open_model, prepare
from edgekit.report.model import RunReport, TargetResult
from edgekit.target import Target

# Widths of the priors, in log units: of the scale, and of each kind's share.
SCALE, SHARE = 3.0, 0.3


@dataclass(frozen=True)
class Measured:
    """One latency of one's own. amounts: the work of its network."""

    model: str
    engine: str
    precision: str
    threads: int
    amounts: dict[str, float]
    ms: float


@dataclass(frozen=True)
class Refit:
    """before, after: mean relative error of the measurements by the profile's coefficients (None: it had none for this) and by
    the new ones, each network predicted by a fit without it where there are two or more; held_out: whether that is so."""

    calibration: Calibration
    networks: int
    before: float | None
    after: float
    held_out: bool


def measured(reports: Sequence[tuple[Path, RunReport]], target: Target) -> list[Measured]:
    """The latencies that run files measured on `target`. Raises BadData for none, or a model that is gone."""
    found: list[Measured] = []
    for path, report in reports:
        for result in (r for r in report.results if r.target == target.name):
            latency = result.get("latency")
            if latency is None or latency.value is None or latency.how != "measured":
                continue
            graph = prepare(_model(path, report), result.engine if result.engine in {"c", "tflm", "onnx"} else "tflite")
            threads = _threads(result, latency.note)
            found.append(Measured(report.source, result.engine, precision_of(graph), threads, work(graph), latency.value))
    if not found:
        files = ", ".join(str(path) for path, _ in reports)
        raise BadData(
            f"no latency measured on {target.name} in {files}",
            f"measure with `edgekit bench MODEL --target {target.name}=ssh://… -o run.json` (or adb://, serial://)",
        )
    return found


def _model(path: Path, report: RunReport) -> Graph:
    for source in (report.source, str(path.parent / report.source)):
        if Path(re.sub(r"\.py:\w+$", ".py", source)).exists():
            opened = open_model(source)
            if report.sha256 and opened.sha256 and opened.sha256 != report.sha256:
                raise BadData(f"'{source}' is not the model that {path} was measured with any more", "measure it again")
            return opened.graph
    raise BadData(f"the model '{report.source}' of {path} is not there", "run where the path in the run file leads to it")


def _threads(result: TargetResult, note: str) -> int:
    match = re.search(r"(\d+) thread", note) or re.search(r"(\d+) thread", result.note)
    return int(match[1]) if match else 1


def refit(target: Target, given: Sequence[Measured]) -> list[Refit]:
    """New coefficients for every engine, precision and number of threads that was measured. Raises BadData where the profile
    has nothing of that precision to begin with."""
    groups: dict[tuple[str, str, int], list[Measured]] = {}
    for item in given:
        groups.setdefault((item.engine, item.precision, item.threads), []).append(item)
    return [_one(target, *key, items) for key, items in groups.items()]


def _one(target: Target, engine: str, precision: str, threads: int, items: Sequence[Measured]) -> Refit:
    own = choose(target, engine, precision, threads)
    start = own or choose(target, engine, precision) or next((c for c in target.latency if c.precision == precision), None)
    if start is None:
        raise BadData(
            f"the profile of {target.name} has no coefficients for {precision} to start from",
            "copy the [[latency]] tables of a device with the same core into it (`edgekit targets show`)",
        )
    networks = {item.model for item in items}
    before = None if own is None else _error([(item, own) for item in items])
    held_out = len(networks) > 1
    pairs = [(item, _fit(start, [o for o in items if o.model != item.model] if held_out else items)) for item in items]
    sizes = [macs_of(item.amounts) for item in items]
    after = _error(pairs)
    made = replace(
        _fit(start, items),
        engine=engine,
        title=start.title if start.engine == engine else engine,
        version="your measurements",
        threads=threads,
        error=after if held_out else max(after, start.error),
        outside=max(after, start.outside),
        checked="networks left out of the fit" if held_out else "one network: the error is that of the coefficients before",
        macs=(min(sizes), max(sizes)),
        rows=len(items),
        networks=len(networks),
        here=len(items),
        source=OWN,
    )
    return Refit(made, len(networks), before, after, held_out)


def _fit(start: Calibration, items: Sequence[Measured]) -> Calibration:
    priors = {"scale": (0.0, SCALE)} | {kind: (float(np.log(max(start.ns[kind], 1e-12))), SHARE) for kind in KINDS}
    rates = [[(kind, 1.0), ("scale", 1.0)] for kind in KINDS]
    rows = [Observation(np.array([item.amounts[k] for k in KINDS]), rates, item.ms * 1e6) for item in items]
    found = fit(rows, priors)
    return replace(start, ns={kind: float(np.exp(found.get(kind) + found.get("scale"))) for kind in KINDS})


def _error(pairs: Sequence[tuple[Measured, Calibration]]) -> float:
    return float(np.mean([abs(nanoseconds(item.amounts, c) / 1e6 / item.ms - 1) for item, c in pairs]))


def with_tables(profile: str, old: Sequence[Calibration], new: Sequence[Calibration]) -> str:
    """The profile's text with the new [[latency]] tables in place of those for the same engine, precision and threads."""
    from edgekit.latency import as_toml

    head = profile.split("[[latency]]")[0].rstrip("\n") + "\n"
    replaced = {(c.engine, c.precision, c.threads) for c in new}
    kept = [c for c in old if (c.engine, c.precision, c.threads) not in replaced]
    return head + "\n" + "\n".join(as_toml(c) for c in (*new, *kept))
