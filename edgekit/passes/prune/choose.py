"""Which units go: globally, by what they matter for what they cost, or the same share of every layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgekit.errors import BadConfig
from edgekit.graph import Array, Graph, Shape
from edgekit.passes.prune.couple import Group, Unit
from edgekit.passes.prune.cut import cost

Scope = Literal["global", "uniform"]
LEAST = 0.1  # of a group's units stay, whatever they score
# Of a group's score, so that the last units never count for nothing.
SMALL = 1e-3


@dataclass(frozen=True)
class Budget:
    """What may be left: multiply-accumulates and parameters (None: any)."""

    macs: int | None = None
    params: int | None = None

    def met(self, macs: int, params: int) -> bool:
        return (self.macs is None or macs <= self.macs) and (self.params is None or params <= self.params)


@dataclass
class _State:
    """How many units of each group are gone, and the sizes that leaves."""

    graph: Graph
    groups: Sequence[Group]
    order: list[Array]  # units by rising score
    gone: list[int]
    shapes: dict[str, Shape] = field(default_factory=dict)

    def take(self, counts: Sequence[int]) -> tuple[int, int]:
        """(macs, params) with `counts` units gone of each group. Units of one group share no place with another's."""
        lost: dict[tuple[str, int], set[int]] = {}
        for group, order, count in zip(self.groups, self.order, counts, strict=True):
            for i in order[:count].tolist():
                for axis, indices in group.units[i].places.items():
                    lost.setdefault(axis, set()).update(indices)
        shapes = {name: list(t.shape) for name, t in self.graph.tensors.items()}
        for (name, axis), indices in lost.items():
            shapes[name][axis] -= len(indices)
        return cost(self.graph, {name: tuple(shape) for name, shape in shapes.items()})


def choose(
    graph: Graph,
    groups: Sequence[Group],
    scores: Sequence[Array],
    budget: Budget,
    *,
    scope: Scope = "global",
    multiple: int = 1,
    least: float = LEAST,
    raw: bool = False,
) -> list[Unit]:
    """The units to leave out, so that `budget` is met. multiple: channels that stay are a multiple of it (or all of them).

    global: the next units to go are those with the least loss of score for what they save; a group's scores count as shares of
    it, or as they are (`raw`). Raises BadConfig when there is nothing to prune, or not enough.
    """
    if not groups:
        raise BadConfig(
            f"'{graph.name}' has no channels, neurons or heads that can be left out", "its layers all touch the edge"
        )
    order = [np.argsort(s, kind="stable") for s in scores]
    state = _State(graph, groups, order, [0] * len(groups))
    steps = [_steps(group, multiple, least) for group in groups]
    most = state.take([s[-1] for s in steps])
    if not budget.met(*most):
        raise BadConfig(
            _too_much(state.take([0] * len(groups)), most, budget, least), "prune less, or allow more accuracy to go"
        )
    counts = _uniform(state, steps, budget) if scope == "uniform" else _global(state, steps, scores, budget, raw)
    return [g.units[i] for g, o, count in zip(groups, order, counts, strict=True) for i in o[:count].tolist()]


def _steps(group: Group, multiple: int, least: float) -> list[int]:
    """How many units may be gone: 0, and what leaves a multiple; at least one unit (or one multiple) stays."""
    grain = multiple if group.kind == "channels" else 1
    floor = max(1, math.ceil(least * group.size))
    return [group.size - n for n in range(group.size, floor - 1, -1) if n == group.size or n % grain == 0]


def _too_much(all_of_it: tuple[int, int], most: tuple[int, int], budget: Budget, least: float) -> str:
    parts = []
    for what, had, can, wanted in zip(("MACs", "parameters"), all_of_it, most, (budget.macs, budget.params), strict=True):
        if wanted is not None and can > wanted:
            parts.append(f"{what} can fall from {had:,} to {can:,}, not to {wanted:,}")
    return f"that would empty layers: {'; '.join(parts)} (at least {least:.0%} of each layer's units stay)"


def _uniform(state: _State, steps: Sequence[Sequence[int]], budget: Budget) -> list[int]:
    """The smallest share, the same of every group, that meets the budget."""

    def counts(share: float) -> list[int]:
        return [min(s, key=lambda n: (abs(n - share * group.size), n)) for s, group in zip(steps, state.groups, strict=True)]

    shares = sorted({n / g.size for s, g in zip(steps, state.groups, strict=True) for n in s} | {1.0})
    low, high = 0, len(shares) - 1
    while low < high:
        middle = (low + high) // 2
        if budget.met(*state.take(counts(shares[middle]))):
            high = middle
        else:
            low = middle + 1
    return counts(shares[low])


def _global(state: _State, steps: Sequence[Sequence[int]], scores: Sequence[Array], budget: Budget, raw: bool) -> list[int]:
    """Greedy: again and again the step that loses least for what it saves."""
    at, now = [0] * len(steps), state.take([0] * len(steps))
    losses = [_loss(np.sort(s), raw) for s in scores]
    known: dict[int, float] = {}
    while not budget.met(*now):
        best: tuple[float, int] | None = None
        for i, s in enumerate(steps):
            if at[i] + 1 >= len(s):
                continue
            if i not in known:
                tried = state.take([s[p + (j == i)] for j, (s, p) in enumerate(zip(steps, at, strict=True))])
                saved = _saved(now, tried, budget)
                lost = losses[i](s[at[i]], s[at[i] + 1])
                known[i] = math.inf if saved <= 0 else lost / saved
            if best is None or known[i] < best[0]:
                best = (known[i], i)
        assert best is not None
        i = best[1]
        at[i] += 1
        now = state.take([s[p] for s, p in zip(steps, at, strict=True)])
        # What one step saves depends on its neighbours only a little: the others are measured again when next in line.
        known.pop(i)
        if len(known) and len(steps) <= 64:
            known.clear()
    return [s[p] for s, p in zip(steps, at, strict=True)]


def _saved(now: tuple[int, int], then: tuple[int, int], budget: Budget) -> float:
    """The share of what is still too much that goes."""
    parts = []
    for had, has, wanted in zip(now, then, (budget.macs, budget.params), strict=True):
        if wanted is not None and had > wanted:
            parts.append((had - has) / had)
    return sum(parts)


def _loss(rising: Array, raw: bool) -> Callable[[int, int], float]:
    """(units gone before, after) -> what that loses: of the scores, or of the logarithm of the share that is left."""
    sums = np.concatenate([[0.0], np.cumsum(rising)])
    if raw:
        return lambda before, after: float(sums[after] - sums[before])
    whole = float(sums[-1]) or 1.0
    left = 1.0 - sums / whole + SMALL
    return lambda before, after: float(np.log(left[before]) - np.log(left[after]))
