"""Least squares for times that are sums of positive parts, in relative error.

Observation r: log time = log(sum over kinds k of amount[r, k] x exp(rate[r, k])) + sum of effects. A rate is a sum of
parameters (what all engines share, what one engine adds), an effect a parameter times a number (a device's speed, the
logarithm of the threads). Every parameter has a prior, mean and width in log units, so that what few observations say is
drawn towards what many say: a coefficient is never negative, and a kind of work that no observation has keeps its prior.
Solved by damped Gauss-Newton steps; observations far off count less (Huber's weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.graph import Array

NOISE = 0.08  # spread of repeated publications of one figure, in log units
HUBER = 2.0  # in units of NOISE
STEPS, ENOUGH = 200, 1e-5  # at most so many; the relative gain below which it is done


@dataclass(frozen=True)
class Observation:
    """amounts: one number a kind. rates: for each kind the names of the parameters whose sum is the logarithm of its
    nanoseconds a unit. effects: (name, factor) pairs. time: nanoseconds; nan when only a prediction is wanted."""

    amounts: Array
    rates: Sequence[Sequence[str]]
    effects: Sequence[tuple[str, float]] = ()
    time: float = float("nan")


@dataclass
class Parameters:
    """Name -> (mean, width) of its prior, both in log units; `values` after a fit."""

    priors: dict[str, tuple[float, float]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)

    def get(self, name: str) -> float:
        """The fitted value; the prior's mean for a parameter that no observation had."""
        return self.values.get(name, self.priors[name][0])


class _Table:
    """Observations as arrays: which parameters each sums."""

    def __init__(self, rows: Sequence[Observation], index: Mapping[str, int]) -> None:
        kinds, depth = len(rows[0].rates), max(len(names) for row in rows for names in row.rates)
        self.amounts = np.array([row.amounts for row in rows])
        self.rates = np.full((len(rows), kinds, depth), -1)
        width = max(1, *(len(row.effects) for row in rows))
        self.effects, self.factors = np.full((len(rows), width), -1), np.zeros((len(rows), width))
        for r, row in enumerate(rows):
            for k, names in enumerate(row.rates):
                self.rates[r, k, : len(names)] = [index[name] for name in names]
            for e, (name, factor) in enumerate(row.effects):
                self.effects[r, e], self.factors[r, e] = index[name], factor

    def predict(self, p: Array) -> tuple[Array, Array]:
        """(log time, share of each kind in the sum)."""
        padded = np.append(p, 0.0)  # index -1
        parts = self.amounts * np.exp(padded[self.rates].sum(axis=2))
        total = parts.sum(axis=1)
        return np.log(total) + (padded[self.effects] * self.factors).sum(axis=1), parts / total[:, None]

    def jacobian(self, shares: Array, count: int) -> Array:
        found = np.zeros((len(shares), count + 1))
        rows = np.arange(len(shares))
        for d in range(self.rates.shape[2]):
            for k in range(self.rates.shape[1]):
                np.add.at(found, (rows, self.rates[:, k, d]), shares[:, k])
        for e in range(self.effects.shape[1]):
            np.add.at(found, (rows, self.effects[:, e]), self.factors[:, e])
        return found[:, :count]


def fit(rows: Sequence[Observation], priors: Mapping[str, tuple[float, float]], start: Parameters | None = None) -> Parameters:
    """The parameters that the observations name, at the maximum of likelihood times priors. Raises KeyError for one without a
    prior. start: values to begin with, of an earlier fit to nearly the same observations."""
    used = sorted({name for row in rows for names in row.rates for name in names} | {n for row in rows for n, _ in row.effects})
    index = {name: i for i, name in enumerate(used)}
    mean, width = np.array([priors[name][0] for name in used]), np.array([priors[name][1] for name in used])
    table, wanted = _Table(rows, index), np.log([row.time for row in rows])
    p = mean if start is None else np.array([start.values.get(name, priors[name][0]) for name in used])
    damping, best = 1e-3, np.inf
    for _ in range(STEPS):
        predicted, shares = table.predict(p)
        gap = wanted - predicted
        weight = np.minimum(1.0, HUBER * NOISE / np.maximum(np.abs(gap), 1e-12)) / NOISE**2
        jacobian = table.jacobian(shares, len(used))
        normal = (jacobian * weight[:, None]).T @ jacobian + np.diag(width**-2.0)
        slope = jacobian.T @ (weight * gap) + (mean - p) / width**2
        best = _cost(gap, (p - mean) / width)
        while damping < 1e9:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope)
            tried = p + step
            cost = _cost(wanted - table.predict(tried)[0], (tried - mean) / width)
            if cost <= best:
                break
            damping *= 10
        else:
            break
        p, damping = tried, max(damping / 10, 1e-9)
        if best - cost < ENOUGH * max(best, 1.0):
            break
    return Parameters(dict(priors), {name: float(v) for name, v in zip(used, p, strict=True)})


def _cost(gap: Array, prior: Array) -> float:
    """Huber's loss of the gaps and the squares of the priors' distances."""
    size = np.abs(gap) / NOISE
    loss = np.where(size <= HUBER, size**2 / 2, HUBER * (size - HUBER / 2))
    return float(np.sum(loss) + np.sum(prior**2) / 2)


def predict(row: Observation, found: Parameters) -> float:
    """Nanoseconds that the parameters give `row`."""
    rates = [sum(found.get(name) for name in names) for names in row.rates]
    effects = sum(found.get(name) * factor for name, factor in row.effects)
    return float(np.sum(row.amounts * np.exp(rates)) * np.exp(effects))
