"""Observe: run the float graph on data and record, per tensor, the values seen. Streaming; the record is plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit import reference, states
from edgekit.boundary import to_feeds
from edgekit.errors import BadData, BadModel, Unsupported
from edgekit.graph import Array, Graph, Node
from edgekit.ops import op_of

BINS = 2048
MOST = 2.0**40  # bins from zero to the farthest value: indices and centers stay exact in int64 and float64
SESSION_BYTES = 256 << 20


@dataclass(eq=False)
class Histogram:
    """Counts of values on a grid of width 2**exponent; bin i holds [(start + i), (start + i + 1)) * 2**exponent.

    The grid coarsens by merging whole bins as the range grows, so counts are exact and at least BINS / 2 bins are in use
    once the range has been seen. Zero is always a bin's edge.
    """

    exponent: int
    start: int
    counts: Array

    @staticmethod
    def empty() -> Histogram:
        return Histogram(-64, 0, np.zeros(BINS, np.int64))

    def add(self, values: Array, low: float, high: float) -> None:
        """Count `values` (float32, finite), whose extremes are low and high."""
        used = np.flatnonzero(self.counts)
        if used.size:
            low = min(low, math.ldexp(self.start + int(used[0]), self.exponent))
            high = max(high, math.ldexp(self.start + int(used[-1]), self.exponent))
        self._cover(low, high)
        # float64: float32 cannot hold the scaled value of a subnormal, nor its index where start is large.
        index = np.floor(np.ldexp(values.reshape(-1).astype(np.float64), -self.exponent)).astype(np.int64) - self.start
        self.counts += np.bincount(index, minlength=BINS)

    def _cover(self, low: float, high: float) -> None:
        exponent = self.exponent
        # A tensor's first sample may hold one value only, which fits any grid: hence the second bound.
        while (
            math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= BINS
            or math.ldexp(max(-low, high), -exponent) >= MOST
        ):
            exponent += 1
        start = math.floor(math.ldexp(low, -exponent))
        if exponent == self.exponent and self.start <= start and math.floor(math.ldexp(high, -exponent)) < self.start + BINS:
            return
        used = np.flatnonzero(self.counts)
        moved = ((self.start + used) >> (exponent - self.exponent)) - start
        counts = np.zeros(BINS, np.int64)
        np.add.at(counts, moved, self.counts[used])
        self.exponent, self.start, self.counts = exponent, start, counts

    @property
    def centers(self) -> Array:
        """The middle of each bin, float64."""
        return np.asarray(np.ldexp(self.start + np.arange(BINS) + 0.5, self.exponent))


@dataclass(eq=False)
class Observed:
    """What one tensor held: smallest and largest value, and (if asked) where its values lie.

    step: of a grid, 0 for none. lost: for each of `rows` rows (along the last axis), the share of its sum of squares that
    rounding to the grid takes away, added up.
    """

    low: float = math.inf
    high: float = -math.inf
    histogram: Histogram | None = None
    step: float = 0.0
    rows: int = 0
    lost: float = 0.0


@dataclass(eq=False)
class Observations:
    """tensor name -> what it held over `samples` runs."""

    tensors: dict[str, Observed] = field(default_factory=dict)
    samples: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data, for saving; `from_json` reads it back exactly."""
        tensors: dict[str, Any] = {}
        for name, seen in self.tensors.items():
            entry: dict[str, Any] = {"low": seen.low, "high": seen.high}
            if seen.step:
                entry["grid"] = {"step": seen.step, "rows": seen.rows, "lost": seen.lost}
            if seen.histogram is not None:
                used = seen.histogram.counts.tolist()
                entry["histogram"] = {"exponent": seen.histogram.exponent, "start": seen.histogram.start, "counts": used}
            tensors[name] = entry
        return {"samples": self.samples, "tensors": tensors}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Observations:
        tensors = {}
        for name, entry in data["tensors"].items():
            grid = entry.get("histogram")
            histogram = None if grid is None else Histogram(grid["exponent"], grid["start"], np.array(grid["counts"], np.int64))
            tensors[name] = Observed(entry["low"], entry["high"], histogram, **entry.get("grid", {}))
        return Observations(tensors, data["samples"])


def observe(
    graph: Graph,
    data: Iterable[Mapping[str, Array]],
    tensors: Sequence[str],
    *,
    histograms: bool = False,
    steps: Mapping[str, float] | None = None,
    session_bytes: int = SESSION_BYTES,
) -> Observations:
    """Run `graph` (float) on every sample of `data` and record what each of `tensors` held.

    data: samples in the source model's layout (see `edgekit.data`; sequences for a graph with states); read once, one sample
    in memory at a time. steps: of tensors whose loss by rounding is asked for.
    session_bytes: the tensors are spread over as many sessions as keep each one's share of a sample below this.
    Raises BadData when there are no samples, BadModel naming the tensor and sample where values stop being finite.
    """
    grids = {name: (steps or {}).get(name, 0.0) for name in tensors}
    seen = Observations({n: Observed(histogram=Histogram.empty() if histograms else None, step=s) for n, s in grids.items()})
    plain = states.expose(graph)
    fed = [name for name in tensors if name in plain.inputs]
    cells = [node for node in graph.nodes if op_of(node).recurrent is not None]
    read = {n for node in cells for n in node.inputs if n is not None and not graph[n].is_const}
    unseen = [n for n in graph.tensors if n in read and n not in seen.tensors]
    groups = _groups(graph, [n for n in (*tensors, *unseen) if n not in plain.inputs], session_bytes)
    groups = groups or [[]]
    runs = [runner(plain, group) for group in groups]
    for sample in data:
        held = states.start(graph)
        for frame in states.frames(graph, sample):
            feeds = {**to_feeds(graph, frame), **held}
            for name in fed:
                _record(seen, name, feeds[name])
            values = {n: feeds[n] for n in read if n in feeds}
            for group, run in zip(groups, runs, strict=True):
                results = run(feeds)
                held = {s.input: feeds.get(s.output, results.get(s.output, held[s.input])) for s in graph.states}
                values |= {n: results[n] for n in group if n in read}
                for name in group:
                    if name in seen.tensors:
                        _record(seen, name, results[name])
            for node in cells:
                _record_held(seen, graph, node, values)
        seen.samples += 1
    if not seen.samples:
        raise BadData("there are no samples to calibrate on", "give --data with at least one sample; 100 or more are better")
    return seen


def values_of(graph: Graph, data: Iterable[Mapping[str, Array]], names: list[str]) -> Iterator[dict[str, Array]]:
    """What `names` and the inputs hold on each sample (source layout), and on each step of a graph with states."""
    run = runner(states.expose(graph), names)
    for sample in data:
        held = states.start(graph)
        for frame in states.frames(graph, sample):
            feeds = {**to_feeds(graph, frame), **held}
            results = {**feeds, **run(feeds)}
            held = {s.input: results.get(s.output, held[s.input]) for s in graph.states}
            yield results


def runner(graph: Graph, tensors: list[str]) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """feeds -> values by name of `tensors` (and the graph's outputs).

    ONNX Runtime runs the graph, or the NumPy reference where ONNX cannot spell it.
    """
    from edgekit.bench.ort import Session  # heavy imports
    from edgekit.export.onnx import export_onnx

    try:
        model = export_onnx(graph, keep=tensors)
    except Unsupported:
        return lambda feeds: {
            name: values for name, values in reference.run(graph, feeds, tensors).items() if name in {*tensors, *graph.outputs}
        }
    return Session(model).run


def _record(seen: Observations, name: str, values: Array) -> None:
    if values.size == 0:
        return
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadModel(
            f"'{name}' is not finite on calibration sample {seen.samples}: {low} to {high}",
            "the float model overflows on this sample; check the data's scale, or clamp masks of -inf",
        )
    entry = seen.tensors[name]
    entry.low, entry.high = min(entry.low, low), max(entry.high, high)
    if entry.step:
        off = values - np.round(values / entry.step) * entry.step
        power, lost = (np.sum(np.square(v, dtype=np.float64), axis=-1) for v in (values, off))
        entry.rows += power.size
        entry.lost += float(np.sum(lost / np.maximum(power, np.finfo(np.float64).tiny)))
    if entry.histogram is not None:
        entry.histogram.add(values, low, high)


def _record_held(seen: Observations, graph: Graph, node: Node, values: Mapping[str, Array]) -> None:
    """What a recurrent node's states hold at every step."""
    entry = op_of(node).recurrent
    assert entry is not None
    arrays = [None if n is None else graph[n].data if graph[n].is_const else values[n] for n in node.inputs]
    for index, held in entry.held(node, arrays).items():
        for array in held if node.outputs[index] in seen.tensors else []:
            _record(seen, node.outputs[index], array)


def _groups(graph: Graph, tensors: Sequence[str], limit: int) -> list[list[str]]:
    groups: list[list[str]] = []
    size = limit
    for name in tensors:
        if size + graph[name].nbytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += graph[name].nbytes
    return groups
