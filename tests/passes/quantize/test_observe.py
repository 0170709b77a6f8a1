"""observe: exact histograms however the range grows; streaming; what overflows is named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

from edgekit.errors import BadData, BadModel
from edgekit.graph import Array
from edgekit.passes.quantize import observe, wanted
from edgekit.passes.quantize.observe import BINS, Histogram, Observations, Observed
from edgekit.passes.quantize.ranges import minmax, mse, percentile
from tests.passes.net import Net


def histogram(*batches: Array) -> Observed:
    seen = Observed(histogram=Histogram.empty())
    assert seen.histogram is not None
    for batch in batches:
        low, high = float(batch.min()), float(batch.max())
        seen.low, seen.high = min(seen.low, low), max(seen.high, high)
        seen.histogram.add(batch, low, high)
    return seen


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1e-3, 1.0, 1e3), (1e3, 1e-3), (0.0, 5.0), (1e-38, 1e30)])
def test_histogram_counts_every_value_in_its_bin(scales: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    batches = [(rng.normal(0.3, 1, 5000) * s).astype(np.float32) for s in scales]
    grid = histogram(*batches).histogram
    assert grid is not None
    values = np.concatenate(batches).astype(np.float64)
    edges = np.ldexp(grid.start + np.arange(BINS + 1, dtype=np.float64), grid.exponent)
    index = np.searchsorted(edges, values, side="right") - 1
    assert np.array_equal(grid.counts, np.bincount(index, minlength=BINS))


def test_histogram_keeps_at_least_half_of_its_bins_in_use() -> None:
    grid = histogram(np.linspace(0.001, 1000, 100000).astype(np.float32)).histogram
    assert grid is not None
    used = np.flatnonzero(grid.counts)
    assert used[-1] - used[0] + 1 >= BINS / 2


@pytest.mark.parametrize("values", [(5.0, -3.0, 7.5), (-1e30, 2.0), (3e38, 3e38), (1e-40, 1.0)])
def test_histogram_of_a_tensor_of_one_element(values: tuple[float, ...]) -> None:
    """The first sample is a single value, which any grid holds: its index must not outgrow an integer."""
    seen = histogram(*(np.array([value], np.float32) for value in values))
    assert seen.histogram is not None
    assert seen.histogram.counts.sum() == len(values)
    assert percentile(seen, "int8") == (seen.low, seen.high)
    low, high = mse(seen, "int8")
    assert min(seen.low, 0) <= low <= high <= max(seen.high, 0)


def test_percentile_leaves_outliers_outside() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    values[:3] = (1000.0, -2000.0, 900.0)
    seen = histogram(values)
    low, high = percentile(seen, "int8")
    assert minmax(seen, "int8") == (-2000.0, 1000.0)
    # A bin of this histogram is 2 wide, so the range is good to that.
    assert -4 <= low <= -1
    assert 1 <= high <= 4


def test_mse_beats_minmax_on_long_tails_and_equals_it_on_a_uniform() -> None:
    rng = np.random.default_rng(0)
    tails, even = rng.laplace(0, 1, 200_000).astype(np.float32), rng.uniform(-1, 1, 20_000).astype(np.float32)

    def error(values: Array, low: float, high: float) -> float:
        step = (high - low) / 255
        return float(np.mean((np.clip(np.round((values - low) / step), 0, 255) * step + low - values) ** 2))

    seen = histogram(tails)
    assert error(tails, *mse(seen, "int8")) < 0.8 * error(tails, *minmax(seen, "int8"))
    assert mse(histogram(even), "int8") == pytest.approx((-1, 1), abs=0.03)


def test_mse_of_zeros_is_zero() -> None:
    assert mse(histogram(np.zeros(9, np.float32)), "int8") == (0.0, 0.0)


def test_observing_reads_the_data_once_and_streams() -> None:
    net = Net()
    y = net.dense(net.input(1, 4), 3)
    graph = net.graph(y)
    rng = np.random.default_rng(1)
    data = [rng.normal(0, 3, (1, 4)).astype(np.float32) for _ in range(5)]
    alive: list[int] = []

    def stream() -> Iterator[dict[str, Array]]:
        for index, x in enumerate(data):
            alive.append(index)
            yield {"x": x}

    seen = observe(graph, stream(), wanted(graph), histograms=True)
    assert alive == [0, 1, 2, 3, 4]
    assert seen.samples == 5
    assert seen.tensors["x"].low == min(x.min() for x in data)
    results = [x @ graph["c1"].real().T + graph["c2"].real() for x in data]
    assert seen.tensors[y].high == pytest.approx(max(r.max() for r in results), rel=1e-5)
    grid = seen.tensors[y].histogram
    assert grid is not None
    assert grid.counts.sum() == 15


def test_tensors_are_observed_in_bounded_groups() -> None:
    net = Net()
    x = net.input(1, 4)
    for _ in range(4):
        x = net.dense(x, 4, activation="RELU")
    graph = net.graph(x)
    data = [{"x": np.ones((1, 4), np.float32)}]
    whole = observe(graph, data, wanted(graph))
    split = observe(graph, data, wanted(graph), session_bytes=32)
    assert {n: (s.low, s.high) for n, s in split.tensors.items()} == {n: (s.low, s.high) for n, s in whole.tensors.items()}


def test_json_round_trip_is_exact() -> None:
    seen = Observations({"a": histogram(np.array([0.1, -7.3], np.float32)), "b": Observed(-1.0, 2.0)}, 3)
    again = Observations.from_json(json.loads(json.dumps(seen.to_json())))
    assert again.samples == 3
    assert again.tensors["a"].low == seen.tensors["a"].low
    assert again.tensors["b"].histogram is None
    one, two = seen.tensors["a"].histogram, again.tensors["a"].histogram
    assert one is not None
    assert two is not None
    assert (one.exponent, one.start) == (two.exponent, two.start)
    assert np.array_equal(one.counts, two.counts)


def test_no_samples_and_values_that_overflow() -> None:
    net = Net()
    y = net.add("MUL", net.input(1, 4), net.value(np.full(4, 1e38, np.float32)))
    graph = net.graph(y)
    with pytest.raises(BadData, match="no samples"):
        observe(graph, [], wanted(graph))
    with pytest.raises(BadModel, match=f"'{y}' is not finite on calibration sample 1"):
        observe(graph, [{"x": np.full((1, 4), v, np.float32)} for v in (1.0, 1e3)], wanted(graph))
    assert math.isinf(Observed().low)
