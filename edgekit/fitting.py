"""Least squares for times that are sums of positive parts, in relative error.

Observation r: log time = log(sum over kinds k of amount[r, k] x exp(rate[r, k])). A rate is a sum of terms, a parameter times
a number each: what all engines share, what one engine adds, a device's speed, the logarithm of the threads. What speeds up
arithmetic need not speed up fetching weights: each kind has its own terms. Every parameter has a prior, mean and width in log
units, so that what few observations say is drawn towards what many say: a coefficient is never negative, and a kind of work
that no observation has keeps its prior. Solved by damped Gauss-Newton steps; observations far off count less (Huber's weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.graph import Array

NOISE = 0.08  # spread of repeated publications of one figure, in log units
HUBER = 2.0  # in units of an observation's noise
STEPS, ENOUGH = 200, 1e-5  # at most so many; the relative gain below which it is done


@dataclass(frozen=True)
class Observation:
    """amounts: one number a kind. rates: for each kind the (parameter, factor) pairs whose sum of products is the logarithm of
    its nanoseconds a unit. time: nanoseconds; nan when only a prediction is wanted. noise: its spread, in log units."""

    amounts: Array
    rates: Sequence[Sequence[tuple[str, float]]]
    time: float = float("nan")
    noise: float = NOISE


@dataclass
class Parameters:
    """Name -> (mean, width) of its prior, both in log units. After a fit: `values`, and `evidence`, the logarithm of the
    observations' probability over all values of the parameters (Laplace's approximation, up to a constant)."""

    priors: dict[str, tuple[float, float]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    evidence: float = float("nan")

    def get(self, name: str) -> float:
        """The fitted value; the prior's mean for a parameter that no observation had."""
        return self.values.get(name, self.priors[name][0])


class _Table:
    """Observations as arrays: which parameters each sums."""

    def __init__(self, rows: Sequence[Observation], index: Mapping[str, int]) -> None:
        kinds, depth = len(rows[0].rates), max(len(terms) for row in rows for terms in row.rates)
        self.amounts = np.array([row.amounts for row in rows])
        self.names = np.full((len(rows), kinds, depth), len(index))
        self.factors = np.zeros((len(rows), kinds, depth))
        for r, row in enumerate(rows):
            for k, terms in enumerate(row.rates):
                for t, (name, factor) in enumerate(terms):
                    self.names[r, k, t], self.factors[r, k, t] = index[name], factor

    def predict(self, p: Array) -> tuple[Array, Array]:
        """(log time, share of each kind in the sum)."""
        parts = self.amounts * np.exp((np.append(p, 0.0)[self.names] * self.factors).sum(axis=2))
        total = parts.sum(axis=1)
        return np.log(total), parts / total[:, None]

    def jacobian(self, shares: Array, count: int) -> Array:
        where = np.arange(len(shares))[:, None, None] * (count + 1) + self.names
        sums = np.bincount(where.ravel(), (shares[:, :, None] * self.factors).ravel(), len(shares) * (count + 1))
        return sums.reshape(len(shares), count + 1)[:, :count]


def fit(rows: Sequence[Observation], priors: Mapping[str, tuple[float, float]], start: Parameters | None = None) -> Parameters:
    """The parameters that the observations name, at the maximum of likelihood times priors. Raises KeyError for one without a
    prior. start: values to begin with, of an earlier fit to nearly the same observations."""
    used = sorted({name for row in rows for terms in row.rates for name, _ in terms})
    index = {name: i for i, name in enumerate(used)}
    mean, width = np.array([priors[name][0] for name in used]), np.array([priors[name][1] for name in used])
    table, wanted = _Table(rows, index), np.log([row.time for row in rows])
    noise = np.array([row.noise for row in rows])
    p = mean if start is None else np.array([start.values.get(name, priors[name][0]) for name in used])
    damping, best = 1e-3, np.inf
    for _ in range(STEPS):
        predicted, shares = table.predict(p)
        gap = wanted - predicted
        weight = np.minimum(1.0, HUBER * noise / np.maximum(np.abs(gap), 1e-12)) / noise**2
        jacobian = table.jacobian(shares, len(used))
        normal = (jacobian * weight[:, None]).T @ jacobian + np.diag(width**-2.0)
        slope = jacobian.T @ (weight * gap) + (mean - p) / width**2
        best = _cost(gap / noise, (p - mean) / width)
        while damping < 1e9:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope)
            tried = p + step
            cost = _cost((wanted - table.predict(tried)[0]) / noise, (tried - mean) / width)
            if cost <= best:
                break
            damping *= 10
        else:
            break
        p, damping = tried, max(damping / 10, 1e-9)
        if best - cost < ENOUGH * max(best, 1.0):
            break
    predicted, shares = table.predict(p)
    jacobian = table.jacobian(shares, len(used)) / noise[:, None] * width
    _, volume = np.linalg.slogdet(np.eye(len(used)) + jacobian.T @ jacobian)
    evidence = -_cost((wanted - predicted) / noise, (p - mean) / width) - volume / 2 - float(np.sum(np.log(noise)))
    return Parameters(dict(priors), {name: float(v) for name, v in zip(used, p, strict=True)}, evidence)


def _cost(gap: Array, prior: Array) -> float:
    """Huber's loss of the gaps and the squares of the priors' distances, both in units of their widths."""
    size = np.abs(gap)
    loss = np.where(size <= HUBER, size**2 / 2, HUBER * (size - HUBER / 2))
    return float(np.sum(loss) + np.sum(prior**2) / 2)


def predict(row: Observation, found: Parameters) -> float:
    """Nanoseconds that the parameters give `row`."""
    return float(np.sum(row.amounts * np.exp(rates_of(row, found))))


def rates_of(row: Observation, found: Parameters) -> list[float]:
    """The logarithm of each kind's nanoseconds a unit."""
    return [sum(found.get(name) * factor for name, factor in terms) for terms in row.rates]
