"""Boxes of two strided arrays, merged into as few axes as possible: the `ek_walk` of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.graph import Shape

OUTER_AXES = 5  # of ek_walk


@dataclass(frozen=True)
class Walk:
    """sizes, and the strides in array a and array b, outermost first; the last axis is the inner run."""

    sizes: tuple[int, ...]
    a: tuple[int, ...]
    b: tuple[int, ...]

    @property
    def fits(self) -> bool:
        return len(self.sizes) <= OUTER_AXES + 1

    def rows(self) -> list[tuple[Sequence[object], str]]:
        """The struct's values, for `Site.block`."""
        pad = OUTER_AXES + 1 - len(self.sizes)
        runs = 1
        for n in self.sizes[:-1]:
            runs *= n
        outer = [
            "{" + ", ".join(str(v) for v in (*[fill] * pad, *values[:-1])) + "}"
            for fill, values in ((1, self.sizes), (0, self.a), (0, self.b))
        ]
        return [
            ((self.sizes[-1], self.a[-1], self.b[-1], runs), "inner elements, their steps, runs"),
            (tuple(outer), "outer axes, their strides"),
        ]


def walk(sizes: Sequence[int], a: Sequence[int], b: Sequence[int]) -> Walk:
    """The same visits in the same order, with axes merged where both arrays allow it."""
    axes: list[tuple[int, int, int]] = []
    for n, sa, sb in zip(sizes, a, b, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * sa and axes[-1][2] == n * sb:
            axes[-1] = (axes[-1][0] * n, sa, sb)
        else:
            axes.append((n, sa, sb))
    axes = axes or [(1, 0, 0)]
    return Walk(tuple(x[0] for x in axes), tuple(x[1] for x in axes), tuple(x[2] for x in axes))


def strides(shape: Shape) -> tuple[int, ...]:
    """Elements between neighbours along each axis of a dense array."""
    result: list[int] = []
    step = 1
    for n in reversed(shape):
        result.append(step)
        step *= n
    return tuple(reversed(result))


def broadcast(shape: Shape, out: Shape) -> tuple[int, ...]:
    """Strides with which an array of `shape` is read for each element of `out`."""
    full = (*(1 for _ in range(len(out) - len(shape))), *shape)
    return tuple(0 if n == 1 else s for n, s in zip(full, strides(full), strict=True))
