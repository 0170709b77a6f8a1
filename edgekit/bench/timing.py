"""Times of many runs and what to say of them: percentiles, spread, and the ratio of two models timed in turns.

A model is timed in several launches, each a process of its own: it loads the model, runs it once (the first run), warms up
and then times every run. So the figures hold what differs from process to process (where memory came to lie) as well as what
differs from run to run. Two models are compared launch by launch, in turns: what slows the machine for a while slows both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom; beyond, the normal distribution's.
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
NORMAL95 = 1.960
WIDE = 0.1  # a spread above this is said to be one


@dataclass(frozen=True)
class Policy:
    """How long is measured. Every launch runs until it has both `runs / launches` runs and `seconds / launches` seconds, and
    stops early after `at_most` runs or `limit_s` seconds; `warm_s`: seconds of untimed runs before (at least one run).

    launches: processes for one model; turns: processes for each of two that are compared.
    """

    runs: int = 30
    seconds: float = 3.0
    warm_s: float = 0.5
    launches: int = 3
    turns: int = 5
    at_most: int = 20_000
    limit_s: float = 120.0

    def launch(self, turns: bool = False) -> tuple[int, float]:
        """(runs, seconds) of one launch."""
        count = self.turns if turns else self.launches
        return math.ceil(self.runs / count), self.seconds / count


@dataclass(frozen=True)
class Launch:
    """What one process reported. times: of each run after the warm-up, s; load: until the model could run, s; first: its first
    run, s; warm: untimed runs; peak: most bytes of memory that the process ever held, None where the system does not say; base:
    the same before the model was loaded; engine, threads: what ran it."""

    times: tuple[float, ...]
    load: float
    first: float
    warm: int
    engine: str
    threads: int
    peak: int | None = None
    base: int | None = None


@dataclass(frozen=True)
class Stats:
    """Times in ms. spread: the middle half's width over the median; between: the largest difference of two launches' medians
    over the median; load, first: medians of the launches; peak, base: bytes, the largest of the launches."""

    runs: int
    launches: int
    median: float
    mean: float
    least: float
    p90: float
    p99: float
    spread: float
    between: float
    load: float
    first: float
    engine: str
    threads: int
    peak: int | None
    base: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def cpu(self) -> str:
        """ "CPU, 1 thread" """
        return f"CPU, {self.threads} thread{'s' if self.threads != 1 else ''}"

    def sentence(self) -> str:
        """All but the median in words."""
        parts = [
            self.cpu,
            f"median of {self.runs:,} runs in {self.launches} process{'es' if self.launches != 1 else ''}",
            f"p90 {short_ms(self.p90)}, p99 {short_ms(self.p99)}",
            f"middle half {self.spread:.1%} wide" + (", restless: measure again" if self.spread > WIDE else ""),
            f"load {short_ms(self.load)}, first run {short_ms(self.first)}",
        ]
        if self.between > WIDE:
            parts.append(f"the processes' medians differ by {self.between:.0%}")
        return "; ".join(parts)


def short_ms(value: float) -> str:
    """ "0.213 ms", "60.1 ms", "1,204.0 ms" """
    return f"{value:,.3g} ms" if value < 100 else f"{value:,.1f} ms"


@dataclass(frozen=True)
class Ratio:
    """How many times longer the other model takes: geometric mean over the turns, and its 95 % interval (Student's t on the
    logarithms of the turns' ratios)."""

    ratio: float
    low: float
    high: float
    turns: int

    @property
    def verdict(self) -> str:
        """ "faster", "slower", or "no difference" where the interval holds 1."""
        return "faster" if self.low > 1 else "slower" if self.high < 1 else "no difference"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "verdict": self.verdict}

    def sentence(self, this: str, other: str) -> str:
        """ "int8 is 1.83 times as fast as float32 (95 % interval 1.79 to 1.87, 5 turns)"; what is slower is said aloud."""
        found = f"(95 % interval {self.low:.2f} to {self.high:.2f}, {self.turns} turns)"
        if self.verdict == "no difference":
            return f"{this} and {other} take the same time as far as can be told: ratio {self.ratio:.2f} {found}"
        if self.verdict == "faster":
            return f"{this} is {self.ratio:.2f} times as fast as {other} {found}"
        inverse = f"(95 % interval {1 / self.high:.2f} to {1 / self.low:.2f}, {self.turns} turns)"
        return f"{this} is SLOWER than {other} here: it takes {1 / self.ratio:.2f} times as long {inverse}"


def read_launch(text: bytes | str, what: str) -> Launch:
    """The JSON object that a runner prints (runner/timer.py, runner/runner.c). Raises EdgekitError when it is not that: the
    runner was cut off, or something else printed it."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    lines = [line for line in said.splitlines() if line.startswith("{")]
    try:
        data = json.loads(lines[-1])
        times = tuple(float(ns) * 1e-9 for ns in data["times_ns"])
        if not times or min(times) < 0 or not all(map(math.isfinite, times)):
            raise ValueError("no times")
        sizes = [None if data.get(key) is None else int(data[key]) * 1024 for key in ("peak_kb", "base_kb")]
        load, first = float(data["load_ns"]) * 1e-9, float(data["first_ns"]) * 1e-9
        return Launch(times, load, first, int(data["warm"]), str(data["engine"]), int(data["threads"]), *sizes)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        shown = said.strip()[-300:] or "nothing"
        raise EdgekitError(
            f"{what} did not report its times; it printed: {shown}", "run it again; --debug shows more"
        ) from error


def stats(launches: Sequence[Launch]) -> Stats:
    """What all runs of all launches say together."""
    times = np.concatenate([np.asarray(launch.times) for launch in launches]) * 1e3
    low, median, high, p90, p99 = (float(v) for v in np.percentile(times, [25, 50, 75, 90, 99]))
    middles = [float(np.median(launch.times)) * 1e3 for launch in launches]
    peaks = [launch.peak for launch in launches if launch.peak is not None]
    bases = [launch.base for launch in launches if launch.base is not None]
    return Stats(
        runs=times.size,
        launches=len(launches),
        median=median,
        mean=float(times.mean()),
        least=float(times.min()),
        p90=p90,
        p99=p99,
        spread=(high - low) / median if median else 0.0,
        between=(max(middles) - min(middles)) / median if median else 0.0,
        load=float(np.median([launch.load for launch in launches])) * 1e3,
        first=float(np.median([launch.first for launch in launches])) * 1e3,
        engine=launches[0].engine,
        threads=launches[0].threads,
        peak=max(peaks, default=None),
        base=max(bases, default=None),
    )


def ratio(these: Sequence[Launch], others: Sequence[Launch]) -> Ratio:
    """How many times as fast `these` are as `others`, launches in the order they were made, in turns; at least two of each."""
    if len(these) != len(others) or len(these) < 2:
        raise ValueError("as many launches of each, at least two")
    logs = [math.log(np.median(b.times) / np.median(a.times)) for a, b in zip(these, others, strict=True)]
    count, mean = len(logs), float(np.mean(logs))
    half = t95(count - 1) * float(np.std(logs, ddof=1)) / math.sqrt(count)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), count)


def t95(freedom: int) -> float:
    """Two-sided 95 % point of Student's t."""
    return _T95[freedom - 1] if freedom <= len(_T95) else NORMAL95
