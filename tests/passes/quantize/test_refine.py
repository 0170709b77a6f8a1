"""refine (adaptive rounding, bias correction), the entropy observer, layers kept float."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import metrics, reference
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import BadConfig, BadModel
from edgekit.graph import Array, Graph, State
from edgekit.passes.quantize import quantize, quantize_with_report
from edgekit.passes.quantize.observe import Histogram, Observed
from edgekit.passes.quantize.ranges import entropy
from edgekit.passes.quantize.refine import round_rows
from edgekit.passes.simplify import simplify
from tests.passes.net import Net, feeds_of
from tests.passes.random_net import random_graph


def net() -> Graph:
    """All layers that are refined: grouped, strided, dilated, with and without bias."""
    made = Net(3)
    x = made.input(1, 9, 9, 4)
    a = made.add("CONV_2D", x, made.random(8, 3, 3, 4), made.random(8), pad=(1, 1, 1, 1), stride=(2, 2), activation="RELU")
    b = made.add("CONV_2D", a, made.random(8, 3, 3, 4), None, pad=(2, 2, 2, 2), dilation=(2, 2), activation="RELU")
    c = made.add("DEPTHWISE_CONV_2D", b, made.random(1, 3, 3, 16), made.random(16), pad=(0, 1, 1, 0), activation="RELU6")
    d = made.add("RESHAPE", made.add("MEAN", c, axes=(1, 2)), shape=(1, 16))
    return made.graph(made.add("FULLY_CONNECTED", d, made.random(6, 16)))


def samples(graph: Graph, count: int = 48, first: int = 0) -> list[dict[str, Array]]:
    """Correlated inputs, as pictures are: rounding has something to gain."""
    made = []
    for seed in range(first, first + count):
        sample = feeds_of(graph, seed)
        made.append({n: (v + 2 * v.mean(axis=-1, keepdims=True) + 1).astype(np.float32) for n, v in sample.items()})
    return made


def sqnr(before: Graph, after: Graph, data: list[dict[str, Array]]) -> float:
    pairs = [[from_outputs(g, reference.run(g, to_feeds(g, s)))[g.outputs[0]] for s in data] for g in (before, after)]
    return metrics.sqnr_db(*pairs)


def test_rounding_is_up_or_down_and_no_layer_is_worse() -> None:
    graph = net()
    data = samples(graph)
    plain = quantize(graph, data)
    made, report = quantize_with_report(graph, data, rounding="adaptive")
    assert len(report.refined) == 4
    for layer in report.refined:
        assert layer.before is not None
        assert layer.after is not None
        assert layer.after <= layer.before
    changed = 0
    for old in (t for t in plain.tensors.values() if t.is_const and t.dtype == "int8"):
        new = made[old.name]
        assert new.data is not None
        assert old.data is not None
        step = np.abs(new.data.astype(int) - old.data)
        assert step.max() <= 1
        changed += int(step.sum())
    assert changed > 50
    first = report.refined[0]
    assert (first.after or 0.0) < 0.9 * (first.before or 0.0)


def test_refined_networks_are_nearer_on_other_data() -> None:
    graph = net()
    data, other = samples(graph), samples(graph, 24, 1000)
    plain = sqnr(graph, quantize(graph, data), other)
    refined = sqnr(graph, quantize_with_report(graph, data, rounding="adaptive", bias_correction=True)[0], other)
    assert refined > plain + 1


@pytest.mark.parametrize("seed", [1, 5, 8, 12])
def test_random_networks_of_any_batch_are_refined(seed: int) -> None:
    graph = simplify(random_graph(seed, 18), "deploy")
    data = [feeds_of(graph, i) for i in range(20)]
    made, _ = quantize_with_report(graph, data, rounding="adaptive", bias_correction=True)
    # Few samples of noise: nothing to gain, and nothing may break.
    assert sqnr(graph, made, data) > sqnr(graph, quantize(graph, data), data) - 3


def test_a_network_with_states_is_refused() -> None:
    made = Net()
    x, h = made.input(1, 4), made.input(1, 4, name="h")
    made.inputs.remove("h")
    y = made.add("FULLY_CONNECTED", made.add("ADD", x, h), made.random(4, 4), made.random(4))
    graph = made.graph(y, states=[State("h", y, np.zeros((1, 4), np.float32))])
    with pytest.raises(BadModel, match="from run to run"):
        quantize_with_report(graph, samples(graph, 4), rounding="adaptive")


def test_round_rows_finds_the_best_of_all_roundings() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (1, 200, 6)) @ rng.normal(0, 1, (6, 6))
    real, scale = rng.normal(0, 0.05, (1, 6)), np.full((1, 1), 0.1)
    found, (before, after) = round_rows(real, np.rint(real / scale), scale, x, x, 127, centred=False)
    every = np.array(np.meshgrid(*[[0, 1]] * 6)).reshape(6, -1).T + np.floor(real / scale)
    errors = [float(np.mean((x[0] @ (real - e * scale).T) ** 2)) for e in every[:, None]]
    assert after <= before
    assert after <= sorted(errors)[3]  # one change at a time reaches one of the best of 64
    assert after == pytest.approx(float(np.mean((x[0] @ (real - found * scale).T) ** 2)))


def test_bias_correction_takes_out_the_mean_error() -> None:
    graph = net()
    data = samples(graph, 128)

    def mean_error(after: Graph) -> float:
        pairs = [[from_outputs(g, reference.run(g, to_feeds(g, s)))[g.outputs[0]] for s in data] for g in (graph, after)]
        return float(np.abs(np.mean(np.array(pairs[0]) - np.array(pairs[1]), axis=0)).mean())

    made, report = quantize_with_report(graph, data, bias_correction=True)
    assert mean_error(made) < 0.5 * mean_error(quantize(graph, data))
    assert all(layer.after is None for layer in report.refined)
    assert any(layer.moved for layer in report.refined)


def test_layers_that_stay_float() -> None:
    graph = net()
    first = graph.nodes[0]
    made, report = quantize_with_report(graph, samples(graph, 4), keep_float=[first.source])
    assert [source for _, source, _ in report.islands] == [first.source]
    assert made[first.inputs[1]].dtype == "float32"  # type: ignore[index]
    with pytest.raises(BadConfig, match="no node conv_2d9") as error:
        quantize_with_report(graph, samples(graph, 4), keep_float=["conv_2d9"])
    assert first.source in (error.value.hint or "")
    told = replace(graph, nodes=(replace(first, source="Conv '/net/conv'"), *graph.nodes[1:]))
    for name in ("/net/conv", "Conv '/net/conv'", first.outputs[0]):
        _, report = quantize_with_report(told, samples(told, 2), keep_float=[name])
        assert len(report.islands) == 1, name


def test_entropy_leaves_rare_outliers_outside() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 100_000).astype(np.float32)
    values[:3] = 40
    seen = Observed(float(values.min()), float(values.max()), Histogram.empty())
    assert seen.histogram is not None
    seen.histogram.add(values, seen.low, seen.high)
    low, high = entropy(seen, "int8")
    assert high < 20
    assert low < -2
