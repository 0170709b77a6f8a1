"""Observers: from the values a tensor was seen to hold to the range its integers should span."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.fixedpoint import integer_range
from edgekit.graph import Array
from edgekit.passes.quantize.observe import Histogram, Observed

Observer = Callable[[Observed, str], tuple[float, float]]
TAIL = 1e-4  # percentile: the share of values left outside at either end
SHRINKS = np.linspace(1.0, 0.2, 81)  # mse: the shares of the range that are tried


def minmax(seen: Observed, dtype: str) -> tuple[float, float]:
    """Everything that was seen."""
    return seen.low, seen.high


def percentile(seen: Observed, dtype: str) -> tuple[float, float]:
    """All but the lowest and highest 0.01 % of the values (99.99th percentile), to a histogram bin."""
    grid = _grid(seen)
    below = np.cumsum(grid.counts)
    allowed = TAIL * below[-1]
    first = int(np.searchsorted(below, allowed, side="right"))
    last = int(np.searchsorted(below, below[-1] - allowed, side="left"))
    width = 2.0**grid.exponent
    return max(seen.low, (grid.start + first) * width), min(seen.high, (grid.start + last + 1) * width)


def mse(seen: Observed, dtype: str) -> tuple[float, float]:
    """The range of least squared error: both ends shrunk together, then each by itself."""
    grid = _grid(seen)
    used = np.flatnonzero(grid.counts)
    values, counts = grid.centers[used], grid.counts[used].astype(np.float64)
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if low == high:
        return low, high
    both = _best(values, counts, low * SHRINKS, high * SHRINKS, dtype)
    upper = _best(values, counts, np.full(SHRINKS.size, both[0]), high * SHRINKS, dtype)
    return _best(values, counts, low * SHRINKS, np.full(SHRINKS.size, upper[1]), dtype)


def entropy(seen: Observed, dtype: str) -> tuple[float, float]:
    """The range whose integers' distribution is nearest to the values' by Kullback-Leibler divergence.

    Migacz 2017, 8-bit Inference with TensorRT: what lies outside counts at the ends, and every integer's count is spread
    evenly over the values (bins that hold any) it stands for. Both ends are shrunk together, then each by itself. The bin at
    zero counts as its neighbour does: a ReLU's zeros are exact in any range, and would drown the rest.
    """
    grid = _grid(seen)
    used = np.flatnonzero(grid.counts)
    values, counts = grid.centers[used], grid.counts[used].astype(np.float64)
    zero = int(np.searchsorted(values, 0.0))
    if zero + 1 < counts.size:
        counts[zero] = min(counts[zero], counts[zero + 1])
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if low == high:
        return low, high
    shrinks = SHRINKS if dtype == "int8" else SHRINKS[:1]  # 2,048 bins say nothing about 65,536 steps

    def best(lows: Array, highs: Array) -> tuple[float, float]:
        found = [_divergence(values, counts, float(a), float(b), dtype) for a, b in zip(lows, highs, strict=True)]
        at = int(np.argmin(found))
        return float(lows[at]), float(highs[at])

    both = best(low * shrinks, high * shrinks)
    upper = best(np.full(shrinks.size, both[0]), high * shrinks)
    return best(low * shrinks, np.full(shrinks.size, upper[1]))


def _divergence(values: Array, counts: Array, low: float, high: float, dtype: str) -> float:
    """KL divergence (nats) of the quantized distribution from the clipped one."""
    inside = (values >= low) & (values <= high)
    if inside.sum() < 2:
        return float("inf")
    smallest, largest = integer_range(dtype)
    scale = max((high - low) / (largest - smallest), float(np.finfo(np.float64).tiny))
    kept = np.flatnonzero(inside)
    real = counts[kept].copy()
    real[0] += counts[: kept[0]].sum()
    real[-1] += counts[kept[-1] + 1 :].sum()
    step = np.rint((values[kept] - low) / scale).astype(np.int64)
    _, step = np.unique(step, return_inverse=True)
    spread = (np.bincount(step, counts[kept]) / np.bincount(step))[step]
    p, q = real / real.sum(), spread / spread.sum()
    return float(np.sum(p * np.log(p / q)))


def _best(values: Array, counts: Array, lows: Array, highs: Array, dtype: str) -> tuple[float, float]:
    """The pair (lows[i], highs[i]) that represents the values with the least squared error."""
    smallest, largest = integer_range(dtype)
    scale = np.maximum((highs - lows) / (largest - smallest), np.finfo(np.float64).tiny)[:, None]
    zero = np.clip(np.rint(smallest - lows[:, None] / scale), smallest, largest)
    steps = np.clip(np.rint(values / scale) + zero, smallest, largest)
    errors = ((steps - zero) * scale - values) ** 2 @ counts
    best = int(np.argmin(errors))
    return float(lows[best]), float(highs[best])


def _grid(seen: Observed) -> Histogram:
    assert seen.histogram is not None, "this observer needs observe(..., histograms=True)"
    return seen.histogram


OBSERVERS: dict[str, Observer] = {"minmax": minmax, "percentile": percentile, "mse": mse, "entropy": entropy}
