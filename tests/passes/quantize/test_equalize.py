"""equalize: the same function, bit for bit, with channels of like ranges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import metrics, reference
from edgekit.boundary import from_outputs, to_feeds
from edgekit.graph import Array, Graph
from edgekit.passes.quantize import quantize
from edgekit.passes.quantize.equalize import channel_ranges, equalize
from edgekit.passes.simplify import simplify
from tests.passes.net import Net, assert_same, feeds_of
from tests.passes.random_net import random_graph


def samples(graph: Graph, count: int = 16) -> list[dict[str, Array]]:
    return [feeds_of(graph, seed) for seed in range(count)]


def sqnr(before: Graph, after: Graph) -> float:
    pairs = [
        [from_outputs(g, reference.run(g, to_feeds(g, s)))[g.outputs[0]] for s in samples(before)] for g in (before, after)
    ]
    return metrics.sqnr_db(*pairs)


def uneven(graph: Graph, *layers: tuple[str, int], seed: int = 0) -> Graph:
    """Input columns of weights (name, axis) as they are, their makers' rows not: channels differ by up to 2**12."""
    made, tensors = graph.producers(), dict(graph.tensors)
    rng = np.random.default_rng(seed)
    for name, axis in layers:
        node = next(n for n in graph.nodes if n.inputs[1:2] == (name,))
        maker = made[str(node.inputs[0])]
        size = graph[maker.outputs[0]].shape[-1]
        power = rng.integers(-6, 7, size)
        for own, sign, at in ((name, -1, axis), (maker.inputs[1], 1, None), (maker.inputs[2], 1, 0)):
            data = tensors[str(own)].data
            assert data is not None
            along = at if at is not None else 3 if maker.op == "DEPTHWISE_CONV_2D" else 0
            shape = [-1 if i == along else 1 for i in range(data.ndim)]
            tensors[str(own)] = replace(tensors[str(own)], data=np.ldexp(data, sign * power.reshape(shape)))
    return replace(graph, tensors=tensors)


def mobile() -> tuple[Graph, list[tuple[str, int]]]:
    """Convolution, depthwise, pointwise, mean, dense; and the weights that read uneven channels."""
    net = Net()
    x = net.input(1, 8, 8, 3)
    a = net.add("CONV_2D", x, net.random(8, 3, 3, 3), net.random(8), pad=(1, 1, 1, 1), activation="RELU")
    each, point, dense = net.random(1, 3, 3, 8), net.random(12, 1, 1, 8), net.random(5, 12)
    b = net.add("DEPTHWISE_CONV_2D", a, each, net.random(8), pad=(1, 1, 1, 1), activation="RELU")
    c = net.add("CONV_2D", b, point, net.random(12), activation="RELU")
    d = net.add("MEAN", c, axes=(1, 2))
    y = net.add("FULLY_CONNECTED", d, dense, net.random(5))
    return net.graph(y), [(each, 3), (point, 3)]


@pytest.mark.parametrize("seed", range(12))
def test_a_random_network_stays_the_same_function(seed: int) -> None:
    graph = simplify(random_graph(seed, 18), "deploy")
    assert_same(graph, equalize(graph, samples(graph, 4))[0], exact=True)


def test_uneven_channels_come_back() -> None:
    plain, places = mobile()
    hard = uneven(plain, *places)
    even, count = equalize(hard, samples(hard))
    assert count
    assert_same(hard, even, exact=True)
    before, after = sqnr(hard, quantize(hard, samples(hard))), sqnr(hard, quantize(even, samples(hard)))
    assert before < 15
    assert after > 28


def test_channels_are_evened_out() -> None:
    hard = uneven(*(lambda made: (made[0], made[1][0]))(mobile()))
    value = hard.nodes[0].outputs[0]

    def spread(graph: Graph) -> float:
        reach = channel_ranges(graph, samples(graph), [value])[value]
        return float(reach.max() / reach[reach > 0].min())

    assert spread(hard) > 50
    assert spread(equalize(hard, samples(hard))[0]) < 2.1  # a depthwise layer takes any scale a channel


def test_outliers_of_a_normalisation_move_into_the_next_layer() -> None:
    net = Net()
    x = net.input(1, 6, 16)
    gamma = np.ones(16, np.float32)
    gamma[3] = 100.0
    w = net.rng.normal(0, 0.3, (8, 16))
    w[:, 3] /= 100
    n = net.add("LAYER_NORM", x, net.value(gamma), net.random(16), axis=2)
    y = net.add("FULLY_CONNECTED", n, net.value(w.astype(np.float32)), net.random(8), keep_dims=True)
    graph = net.graph(y)
    even, count = equalize(graph, samples(graph))
    assert count == 1
    assert_same(graph, even, exact=True)
    assert sqnr(graph, quantize(even, samples(graph))) > sqnr(graph, quantize(graph, samples(graph))) + 10


def test_what_cannot_be_scaled_is_left_alone() -> None:
    net = Net()
    x = net.input(1, 4, 4, 3)
    a = net.add("CONV_2D", x, net.random(4, 1, 1, 3), net.random(4), activation="RELU6")  # a clamp at 6 is not
    y = net.add("CONV_2D", a, net.random(4, 1, 1, 4), net.random(4))
    graph = net.graph(y)
    assert equalize(graph, samples(graph)) == (graph, 0)
