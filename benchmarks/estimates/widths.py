"""Widths of the priors by the evidence of rows, and the error when they are chosen anew without the rows that are judged."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from benchmarks.estimates.fit import Fitted, fitted, left_out
from benchmarks.estimates.priors import Settings
from benchmarks.estimates.rows import COUNTED, Row

WIDTHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
NOISES = (0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2)
KEPT = {"emulated"}  # an emulated core has no clock: its instructions say nothing of speed, whatever the evidence
GAIN = 0.3  # of the evidence's logarithm, below which a setting stays as it is
ROUNDS = 2
FOLDS = 5
START = Settings(
    {
        "rate": 1.0, "matrix": 0.3, "isa": 0.4, "family": 0.3, "kernels": 0.15, "level": 1.0, "core": 0.4, "device": 0.15,
        "place": 0.15, "version": 0.4, "threads": 0.15, "table": 0.3, "bits": 0.3, "emulated": 1.0,
    },
    {"counted": 0.04, "ncnn": 0.1, "paddle": 0.1, "x-cube-ai": 0.1, "published": 0.1},
)  # fmt: skip


def chosen(rows: Sequence[Row], start: Settings = START, rounds: int = ROUNDS) -> Settings:
    """The settings of greatest evidence: one after the other moved along its grid for as long as that gains."""
    kinds = {"counted" if row.version == COUNTED else row.family for row in rows}
    tables = [{k: v for k, v in start.noises.items() if k in kinds or k == "published"}, dict(start.widths)]
    found = fitted(rows, None, Settings(tables[1], tables[0]))
    for _ in range(rounds):
        for table, grid in zip(tables, (NOISES, WIDTHS), strict=True):
            for key in table.keys() - KEPT:
                found = _moved(rows, tables, table, key, grid, found)
    return Settings(dict(tables[1]), dict(tables[0]))


def _moved(
    rows: Sequence[Row],
    tables: Sequence[dict[str, float]],
    table: dict[str, float],
    key: str,
    grid: Sequence[float],
    found: Fitted,
) -> Fitted:
    """`table[key]` one way along the grid, or else the other, while the evidence grows."""
    start = min(range(len(grid)), key=lambda i: abs(grid[i] - table[key]))
    for step in (1, -1):
        place = start + step
        while 0 <= place < len(grid):
            before, table[key] = table[key], grid[place]
            tried = fitted(rows, found, Settings(dict(tables[1]), dict(tables[0])))
            if tried.parameters.evidence < found.parameters.evidence + GAIN:
                table[key] = before
                break
            found, place = tried, place + step
        if place != start + step:
            break
    return found


def part_of(name: object) -> int:
    """Which of FOLDS a network or device belongs to; the same on every machine."""
    return zlib.crc32(repr(name).encode()) % FOLDS


def nested(
    rows: Sequence[Row], of: Callable[[Row], object], settings_of: Callable[[Sequence[Row]], Settings] = chosen
) -> list[tuple[Row, float | None]]:
    """`left_out` of all shipped rows, with settings that come from the other four parts of the rows alone: neither the
    settings nor the fit have heard of the network or device that is judged."""
    found: list[tuple[Row, float | None]] = []
    for part in range(FOLDS):
        judged = [row for row in rows if row.ours and part_of(of(row)) == part]
        if judged:
            settings = settings_of([row for row in rows if part_of(of(row)) != part or row.version == COUNTED])
            found += left_out(rows, of, judged, fitted(rows, None, settings))
    return found
