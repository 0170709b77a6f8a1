"""Channels that no input can change are left out, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.graph import Graph, Quant
from edgekit.ops import TABLE
from edgekit.passes.dead_channels import drop_dead_channels, output_ranges
from tests.export.c.nets import Net, Rng, feeds, tangle


def macs(graph: Graph) -> int:
    rules = ((TABLE[n.op].macs, n) for n in graph.nodes)
    return sum(rule(n, graph.input_tensors(n), graph.output_tensors(n)) for rule, n in rules if rule is not None)


def same(graph: Graph, smaller: Graph, rng: Rng) -> None:
    for _ in range(2):
        data = feeds(graph, rng)
        expected = reference.run(graph, data)
        for name, value in reference.run(smaller, data).items():
            np.testing.assert_array_equal(value, expected[name])


def weights(net: Net, shape: tuple[int, ...], axis: int, dead: float) -> tuple[str, str]:
    """Weights with a share of all-zero channels, and a bias that is large now and then: the output clamps to an end."""
    rng, count = net.rng, shape[axis]
    data = rng.integers(-60, 60, shape).astype(np.int8)
    still = rng.random(count) < dead
    data[(slice(None),) * axis + (still,)] = 0
    bias = rng.integers(-3000, 3000, count).astype(np.int32)
    bias[still & (rng.random(count) < 0.5)] = rng.choice((0, 10**6, -(10**6), 2**31 - 1))
    bias[rng.random(count) < dead / 3] = -(2**30)  # dead by its range alone
    scale = rng.uniform(0.001, 0.02, count)
    return net.const(data, Quant.per_channel(scale, axis)), net.const(bias, Quant.per_channel(scale, 0, "int32"))


def network(seed: int, dead: float = 0.5) -> Graph:
    """Convolutions, depthwise ones, pools, adds and dense layers with dead channels, padded and not."""
    rng = np.random.default_rng(seed)
    net = Net("int8", rng, extreme=False)
    x = net.input((1, 7, 6, int(rng.integers(1, 5))))
    for _ in range(int(rng.integers(3, 9))):
        channels = net.of(x).shape[3]
        kind = rng.choice(
            ("conv", "pointwise", "depthwise", "add", "pool", "relu", "pad"), p=(0.2, 0.3, 0.25, 0.1, 0.05, 0.05, 0.05)
        )
        pad = (1, 1, 1, 1) if rng.random() < 0.6 else (0, 0, 0, 0)
        low = Quant.per_tensor(0.05, int(rng.choice((-128, -128, 0, 3))))
        act = str(rng.choice(("NONE", "RELU")))
        height, width = net.of(x).shape[1:3]
        if kind == "conv" and min(height, width) >= 3:
            w = weights(net, (int(rng.integers(4, 20)), 3, 3, channels), 0, dead)
            x = net.op("CONV_2D", [x, *w], low, pad=pad, activation=act)[0]
        elif kind == "pointwise":
            w = weights(net, (int(rng.integers(4, 20)), 1, 1, channels), 0, dead)
            x = net.op("CONV_2D", [x, *w], low, activation=act)[0]
        elif kind == "depthwise" and min(height, width) >= 3:
            w = weights(net, (1, 3, 3, channels), 3, dead / 2)
            x = net.op("DEPTHWISE_CONV_2D", [x, *w], low, pad=pad, activation=act)[0]
        elif kind == "add":
            w = weights(net, (channels, 1, 1, channels), 0, dead)
            other = net.op("CONV_2D", [x, *w], low)[0]
            x = net.op("ADD", [x, other], net.quant(0.05), activation=act)[0]
        elif kind == "pool" and min(height, width) >= 4:
            op = str(rng.choice(("MAX_POOL_2D", "AVERAGE_POOL_2D")))
            x = net.op(op, [x], net.of(x).quant, filter=(2, 2), stride=(2, 2))[0]
        elif kind == "relu":
            x = net.op("RELU", [x], low)[0]
        elif kind == "pad":
            x = net.op("PAD", [x], net.of(x).quant, pads=((0, 0), (1, 0), (0, 1), (0, 0)))[0]
    shape = net.of(x).shape
    if rng.random() < 0.3:
        x = net.op("MEAN", [x], net.quant(0.04), axes=(1, 2), keep_dims=False)[0]
    else:
        flat = (1, shape[1] * shape[2] * shape[3])
        x = net.op("RESHAPE", [x], net.of(x).quant, shape=flat)[0]
    w = weights(net, (9, net.of(x).shape[-1]), 0, dead / 3)
    x = net.op("FULLY_CONNECTED", [x, *w], net.quant(0.3))[0]
    return net.graph([x])


@pytest.mark.parametrize("seed", range(60))
def test_smaller_networks_give_the_same_bits(seed: int) -> None:
    graph = network(seed)
    same(graph, drop_dead_channels(graph), np.random.default_rng(seed))


def test_most_of_them_get_smaller() -> None:
    graphs = [network(seed) for seed in range(30)]
    before, after = sum(map(macs, graphs)), sum(macs(drop_dead_channels(g)) for g in graphs)
    assert after < 0.7 * before


@pytest.mark.parametrize("seed", range(12))
def test_any_network_gives_the_same_bits(seed: int) -> None:
    graph = tangle("int8", 30, seed)
    same(graph, drop_dead_channels(graph), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(25))
def test_no_value_leaves_its_range(seed: int) -> None:
    graph = tangle("int8", 30, seed) if seed % 2 else network(seed)
    ranges = output_ranges(graph)
    values = reference.run(graph, feeds(graph, np.random.default_rng(seed)), keep=ranges)
    for name, held in ranges.items():
        flat = values[name].reshape(-1, len(held.low))
        assert np.all((flat >= held.low) & (flat <= held.high)), name


def two(value: int, pad: tuple[int, int, int, int], readers: int = 1) -> Graph:
    """A 1x1 convolution whose channels 4..7 always give `value` (scale 1, zero point -128), then a 3x3 one."""
    net = Net("int8", np.random.default_rng(0), extreme=False)
    x = net.input((1, 5, 5, 3), Quant.per_tensor(1.0))
    w = np.random.default_rng(1).integers(-5, 6, (8, 1, 1, 3)).astype(np.int8)
    w[4:] = 0
    bias = np.zeros(8, np.int32)
    bias[4:] = value + 128
    one = Quant.per_channel(np.ones(8), 0)
    y = net.op("CONV_2D", [x, net.const(w, one), net.const(bias)], Quant.per_tensor(1.0, -128))[0]
    more = np.random.default_rng(2).integers(-5, 6, (4, 3, 3, 8)).astype(np.int8)
    kernel = net.const(more, Quant.per_channel(np.ones(4), 0))
    outs = [net.op("CONV_2D", [y, kernel, None], Quant.per_tensor(50.0), pad=pad)[0] for _ in range(readers)]
    return net.graph(outs)


@pytest.mark.parametrize(("value", "pad", "kept"), [(-128, 1, 4), (-128, 0, 4), (7, 0, 4), (7, 1, 8)])
def test_only_the_zero_point_stays_constant_through_padding(value: int, pad: int, kept: int) -> None:
    graph = two(value, (pad, pad, pad, pad), readers=2)
    smaller = drop_dead_channels(graph)
    assert smaller.nodes[0].outputs == graph.nodes[0].outputs
    assert smaller[smaller.nodes[0].outputs[0]].shape[3] == kept
    same(graph, smaller, np.random.default_rng(3))


def test_outputs_keep_their_channels() -> None:
    graph = two(7, (0, 0, 0, 0))
    middle = graph.nodes[0].outputs[0]
    seen = Graph(graph.name, graph.inputs, (*graph.outputs, middle), graph.nodes, graph.tensors)
    assert drop_dead_channels(seen) is seen
