"""Which operators write over their input, and where in the shared buffer each value then lies.

A chain of values that take each other's place is one buffer whose size changes over time. Every move of the chain fixes how far
apart two values must be; the least offsets that satisfy all of them are best for each value at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.graph import Array, Graph
from edgekit.lag import Order

# At most this many plans are compared, times the number of nodes (each costs time in proportion to it).
COMPARISONS = 100_000


@dataclass(frozen=True)
class Move:
    """The value `to` is written over `source`, which dies: at the same place ("same"), at least `lag` bytes before it
    ("forward"), or at least `lag` bytes after it ("backward")."""

    source: str
    to: str
    order: Order
    lag: int


def offsets(moves: Collection[Move]) -> tuple[dict[str, str], dict[str, int]]:
    """(value -> the first value of its chain, value -> byte offset in the chain's buffer). Moves in order of execution."""
    heads: dict[str, str] = {}
    at: dict[str, int] = {}
    for move in moves:
        heads.setdefault(move.source, move.source)
        heads[move.to] = heads[move.source]
        at.setdefault(move.source, 0)
        at[move.to] = at[move.source] + move.lag if move.order == "backward" else at[move.source] if move.order == "same" else 0
    # A value raised by what comes after it may raise what comes before, and by equality what comes after again.
    changed = True
    while changed:
        changed = False
        for move in reversed(list(moves)):
            low = at[move.to] + move.lag
            if move.order in {"forward", "same"} and at[move.source] < low:
                at[move.source], changed = low, True
        for move in moves:
            low = at[move.source] + move.lag
            if move.order in {"backward", "same"} and at[move.to] < low:
                at[move.to], changed = low, True
    return heads, at


def fullness(
    graph: Graph, root: Mapping[str, str], last: Mapping[str, int], moves: Mapping[int, Move], scratch: Sequence[int]
) -> tuple[Array, list[tuple[int, Array, list[str]]]]:
    """(bytes before the first node, at each node, and after the last; (first moment, bytes from then on, values) of every
    chain). Arguments as of `choose`."""
    births = dict.fromkeys((*graph.inputs, *(s.input for s in graph.states)), -1)
    births |= {n: i for i, node in enumerate(graph.nodes) for n in node.outputs if root[n] == n}
    total = np.array([0, *scratch, 0], np.int64)
    heads, at = offsets(moves.values())
    chains: dict[str, list[str]] = {}
    for name in births:
        chains.setdefault(heads.get(name, name), []).append(name)
    rows: list[tuple[int, Array, list[str]]] = []
    for names in chains.values():
        spans = [(births[n] + 1, max(last.get(n, -1), births[n]) + 2, at.get(n, 0) + graph[n].nbytes) for n in names]
        start, end = min(s for s, _, _ in spans), max(e for _, e, _ in spans)
        row = np.zeros(end - start, np.int64)
        for first, stop, size in spans:
            np.maximum(row[first - start : stop - start], size, out=row[first - start : stop - start])
        total[start:end] += row
        rows.append((start, row, names))
    return total, rows


def choose(
    graph: Graph, root: Mapping[str, str], last: Mapping[str, int], ways: Mapping[int, Sequence[Move]], scratch: Sequence[int]
) -> tuple[tuple[int, float], dict[int, Move]]:
    """(how full memory gets, {node position: the move it makes}): from every first way, one change at a time while the fullest
    moment gets less full.

    How full: bytes at the fullest moment, then the sum of squares over all. root: value -> whose bytes it is; last: root ->
    position of its last reader; scratch: bytes of each node.
    """

    def crowd(moves: Mapping[int, Move]) -> tuple[tuple[int, float], set[str]]:
        """How full memory gets, and the values of every chain that is alive at the fullest moment."""
        total, rows = fullness(graph, root, last, moves, scratch)
        top = int(total.argmax())
        crowded = {n for start, row, names in rows if start <= top < start + len(row) and row[top - start] for n in names}
        return (int(total[top]), float(np.square(total.astype(np.float64)).sum())), crowded

    chosen: dict[int, Move] = {i: found[0] for i, found in ways.items()}
    best, crowded = crowd(chosen)
    left = COMPARISONS // max(len(graph.nodes), 1)
    improved = True
    while improved and left > 0:
        improved = False
        for position in [i for i, found in ways.items() if any({m.source, m.to} & crowded for m in found)]:
            for other in _others(ways[position], chosen.get(position)):
                trial = {
                    i: m for i in sorted({*chosen, position}) if (m := other if i == position else chosen.get(i)) is not None
                }
                found, places = crowd(trial)
                left -= 1
                if found < best:
                    best, crowded, chosen, improved = found, places, trial, True
            if left <= 0:
                break
    return best, chosen


def _others(found: Iterable[Move], now: Move | None) -> list[Move | None]:
    return [m for m in (*found, None) if m != now]
