"""simplify: each rewrite fires where it should, leaves alone what it must, and never changes what the graph computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from edgekit.graph import Graph, Quant
from edgekit.passes.simplify import residual_transposes, simplify
from tests.passes.net import Net, assert_same, ops
from tests.passes.random_net import random_graph, random_int8_graph

Q = Quant.per_tensor(0.05, 3)
LEVELS: tuple[Literal["train", "deploy"], ...] = ("train", "deploy")


def deploy(net: Net, *outputs: str) -> list[str]:
    """The operators left, after checking that the results are the same."""
    graph = net.graph(*outputs)
    after = simplify(graph)
    assert_same(graph, after)
    return ops(after)


# -- identities -------------------------------------------------------------------------------------------------------


def identity(op: str) -> Net:
    net = Net()
    x = net.add("TANH", net.input(2, 3, 4))
    attrs: dict[str, dict[str, Any]] = {
        "RESHAPE": {"shape": (2, 3, 4)},
        "TRANSPOSE": {"perm": (0, 1, 2)},
        "PAD": {"pads": ((0, 0),) * 3},
        "SLICE": {"begin": (0, 0, 0), "size": (2, 3, 4), "stride": (1, 1, 1)},
        "SPLIT": {"axis": 1, "sizes": (3,)},
        "CONCATENATION": {"axis": 1},
        "CAST": {"to": "float32"},
    }
    net.add(op, x, **attrs[op])
    return net


@pytest.mark.parametrize("op", ["RESHAPE", "TRANSPOSE", "PAD", "SLICE", "SPLIT", "CONCATENATION", "CAST"])
def test_identities_are_dropped(op: str) -> None:
    net = identity(op)
    last = net.nodes[-1].outputs[0]
    assert deploy(net, last) == ["TANH"]
    assert deploy(net, net.add("RELU", last)) == ["TANH", "RELU"]


def test_an_identity_between_input_and_output_stays() -> None:
    net = Net()
    graph = net.graph(net.reshape(net.input(2, 3), 2, 3))
    assert ops(simplify(graph)) == ["RESHAPE"]


def test_a_reversing_slice_is_not_an_identity() -> None:
    net = Net()
    x = net.add("TANH", net.input(4))
    assert deploy(net, net.add("SLICE", x, begin=(3,), size=(4,), stride=(-1,))) == ["TANH", "SLICE"]


def test_requantizing_to_the_same_scale_is_dropped_and_to_another_is_not() -> None:
    for quant, left in ((Q, ["RELU"]), (Quant.per_tensor(0.06, 3), ["QUANTIZE", "RELU"])):
        net = Net()
        y = net.add("QUANTIZE", net.input(1, 4, quant=Q), quant=quant)
        graph = net.graph(net.add("RELU", y, quant=quant))
        after = simplify(graph)
        assert_same(graph, after, exact=True)
        assert ops(after) == left


def test_a_reshape_that_changes_the_scale_stays() -> None:
    net = Net()
    net.input(1, 4, quant=Q)
    y = net.add("RELU", "x", quant=Q)
    y = net.add("RESHAPE", y, shape=(1, 4), quant=Quant.per_tensor(0.1))
    graph = net.graph(net.add("RELU", y, quant=Quant.per_tensor(0.1)))
    assert ops(simplify(graph)) == ops(graph)


def test_dead_nodes_and_unused_constants_go() -> None:
    net = Net()
    x = net.input(1, 4)
    y = net.add("TANH", x)
    net.dense(y, 3)
    after = simplify(net.graph(y))
    assert ops(after) == ["TANH"]
    assert set(after.tensors) == {x, y}


def test_an_unused_input_stays() -> None:
    net = Net()
    x = net.input(1, 4)
    net.input(1, 2, name="unused")
    assert simplify(net.graph(net.add("TANH", x))).inputs == ("x", "unused")


def test_chains_of_moves_merge() -> None:
    net = Net()
    x = net.add("TANH", net.input(2, 3, 4))
    y = net.add("TRANSPOSE", net.add("TRANSPOSE", x, perm=(1, 2, 0)), perm=(1, 0, 2))
    assert deploy(net, net.dense(y, 3, keep_dims=True)) == ["TRANSPOSE", "TANH", "FULLY_CONNECTED"]
    net = Net()
    x = net.add("TANH", net.input(2, 3, 4))
    assert deploy(net, net.dense(net.reshape(net.reshape(x, 6, 4), 2, 12), 3)) == ["TANH", "RESHAPE", "FULLY_CONNECTED"]
    net = Net()
    x = net.add("TANH", net.input(2, 3))
    y = net.add("PAD", net.add("PAD", x, pads=((0, 0), (1, 0))), pads=((0, 0), (0, 2)))
    assert deploy(net, y) == ["TANH", "PAD"]


def test_constants_are_folded() -> None:
    net = Net()
    c = net.add("MUL", net.add("RESHAPE", net.random(2, 3), shape=(1, 6)), net.random(6))
    graph = net.graph(net.add("MAXIMUM", net.input(2, 6), c))
    after = simplify(graph)
    assert_same(graph, after)
    assert ops(after) == ["MAXIMUM"]


def test_a_constant_output_is_left_to_a_node() -> None:
    net = Net()
    x = net.input(1, 2)
    c = net.add("TANH", net.random(3))
    assert sorted(ops(simplify(net.graph(net.add("TANH", x), c)))) == ["TANH", "TANH"]


def test_large_results_of_small_constants_are_not_folded() -> None:
    net = Net()
    c = net.add("MUL", net.random(512, 1), net.random(1, 512))
    assert deploy(net, net.add("MAXIMUM", net.input(1, 512), c)) == ["MUL", "MAXIMUM"]


def test_repeated_work_is_shared() -> None:
    net = Net()
    x = net.input(1, 4)
    y = net.add("DIV", net.add("TANH", x), net.add("LOGISTIC", net.add("TANH", x)))
    assert deploy(net, y) == ["TANH", "LOGISTIC", "DIV"]


def test_split_and_concatenation_cancel() -> None:
    net = Net()
    parts = net.many("SPLIT", net.add("TANH", net.input(2, 6)), axis=1, sizes=(2, 1, 3), outputs=3)
    assert deploy(net, net.add("CONCATENATION", *parts, axis=1)) == ["TANH"]
    net = Net()
    parts = net.many("SPLIT", net.add("TANH", net.input(2, 6)), axis=1, sizes=(3, 3), outputs=2)
    assert deploy(net, net.add("CONCATENATION", *parts[::-1], axis=1)) == ["TANH", "SPLIT", "CONCATENATION"]


def test_mean_drops_the_axes_that_a_reshape_drops() -> None:
    net = Net()
    y = net.add("MEAN", net.add("TANH", net.input(2, 3, 3, 5)), axes=(1, 2), keep_dims=True)
    assert deploy(net, net.reshape(y, 2, 5)) == ["TANH", "MEAN"]


# -- layout -----------------------------------------------------------------------------------------------------------


def residual_block() -> Net:
    net = Net()
    x = net.add("RELU", net.norm(net.conv(net.input(1, 3, 8, 8), 8)))
    y = net.add("RELU", net.norm(net.conv(x, 8)))
    y = net.norm(net.conv(y, 8))
    y = net.add("RELU", net.add("ADD", y, x))
    y = net.add("MEAN", y, axes=(2, 3), keep_dims=True)
    net.dense(net.reshape(y, 1, 8), 5)
    return net


def squeeze_excite() -> Net:
    net = Net()
    x = net.add("HARD_SWISH", net.conv(net.input(1, 3, 8, 8), 8))
    gate = net.add("MEAN", x, axes=(2, 3), keep_dims=True)
    gate = net.add("HARD_SIGMOID", net.conv(net.add("RELU", net.conv(gate, 4, 1)), 8, 1))
    net.conv(net.add("MUL", x, gate), 6, 1)
    return net


def squeeze_excite_dense() -> Net:
    net = Net()
    x = net.conv(net.input(1, 3, 8, 8), 8)
    gate = net.reshape(net.add("MEAN", x, axes=(2, 3), keep_dims=True), 1, 8)
    gate = net.reshape(net.add("LOGISTIC", net.dense(gate, 8)), 1, 8, 1, 1)
    net.conv(net.add("MUL", x, gate), 6, 1)
    return net


def shuffle() -> Net:
    net = Net()
    x = net.conv(net.input(1, 3, 6, 6), 8)
    left, right = net.many("SPLIT", x, axis=1, sizes=(4, 4), outputs=2)
    y = net.add("CONCATENATION", left, net.conv(right, 4, groups=4), axis=1)
    y = net.add("TRANSPOSE", net.reshape(y, 1, 2, 4, 6, 6), perm=(0, 2, 1, 3, 4))
    net.conv(net.reshape(y, 1, 8, 6, 6), 4, 1)
    return net


def inception() -> Net:
    net = Net()
    x = net.conv(net.input(2, 3, 9, 7), 4)
    parts = [net.conv(x, 3, 1), net.conv(x, 5), net.pool(x, filter=(3, 3), pad=(1, 1, 1, 1))]
    y = net.add("CONCATENATION", *parts, axis=1)
    y = net.add("PAD", y, pads=((0, 0), (1, 0), (0, 1), (2, 0)))
    y = net.add("SLICE", y, begin=(0, 2, 1, 0), size=(2, 8, 8, 4), stride=(1, 1, 1, 2))
    y = net.add("PRELU", y, net.random(8, 1, 1))
    y = net.add("ADD", net.add("MUL", y, net.random(1, 8, 1, 1)), net.random(8, 4))
    net.conv(y, 3)
    return net


def flatten_dense() -> Net:
    net = Net()
    x = net.add("TANH", net.conv(net.input(2, 3, 5, 4), 6))
    y = net.add("RELU", net.norm(net.dense(net.norm(net.reshape(x, 2, 120)), 7)))
    net.dense(y, 3)
    return net


def decoder() -> Net:
    net = Net()
    x = net.add("RELU", net.dense(net.input(2, 6), 3 * 4 * 5))
    net.conv(net.reshape(x, 2, 3, 4, 5), 4)
    return net


def normalised_input() -> Net:
    net = Net()
    x = net.add("DIV", net.add("SUB", net.input(1, 3, 8, 8), net.random(1, 3, 1, 1)), net.value(np.full((3, 1, 1), 0.3)))
    x = net.add("PAD", x, pads=((0, 0), (0, 0), (1, 1), (1, 1)), value=0.5)
    net.conv(x, 4, pad=(0, 0, 0, 0))
    return net


def two_heads() -> Net:
    net = Net()
    x = net.add("RELU", net.conv(net.input(1, 3, 8, 8), 4))
    net.add("LOGISTIC", net.conv(x, 2, 1))
    net.add("CONCATENATION", net.add("TANH", net.conv(x, 5, 1)), net.nodes[-1].outputs[0], axis=1)
    return net


def softmax_head() -> Net:
    net = Net()
    x = net.conv(net.input(1, 3, 8, 8), 4)
    net.nchw(net.add("SOFTMAX", net.nhwc(x)))
    return net


def input_skip() -> Net:
    """The input itself is added to what a convolution makes of it."""
    net = Net()
    x = net.input(1, 3, 8, 8)
    net.conv(net.add("ADD", x, net.conv(x, 3)), 2)
    return net


NETS: dict[str, Callable[[], Net]] = {
    f.__name__: f
    for f in (
        residual_block,
        squeeze_excite,
        squeeze_excite_dense,
        inception,
        flatten_dense,
        decoder,
        normalised_input,
        two_heads,
        softmax_head,
        input_skip,
    )
}


def finished(net: Net) -> Graph:
    return net.graph(net.nodes[-1].outputs[0])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
def test_only_edge_transposes_are_left(make: Callable[[], Net], level: Literal["train", "deploy"]) -> None:
    graph = finished(make())
    after = simplify(graph, level)
    assert_same(graph, after)
    assert residual_transposes(after) == []
    assert len(after.nodes) <= len(graph.nodes)
    assert ops(simplify(after, level)) == ops(after)


def test_a_channel_shuffle_costs_one_transpose() -> None:
    graph = finished(shuffle())
    after = simplify(graph)
    assert_same(graph, after)
    assert len(residual_transposes(after)) == 1


def test_levels() -> None:
    graph = finished(residual_block())
    assert "BATCH_NORM" in ops(simplify(graph, "train"))
    assert "BATCH_NORM" not in ops(simplify(graph, "deploy"))
    with pytest.raises(ValueError, match="level"):
        simplify(graph, "fast")  # type: ignore[arg-type]


def test_a_transpose_of_the_batch_stays_a_transpose() -> None:
    net = Net()
    x = net.add("TANH", net.input(1, 5, 3))
    y = net.dense(net.add("TRANSPOSE", x, perm=(1, 0, 2)), 2, keep_dims=True)
    assert "TRANSPOSE" in deploy(net, y)


def test_a_transpose_of_ones_is_a_reshape() -> None:
    net = Net()
    x = net.conv(net.input(1, 1, 6, 6), 4, 6, pad=(0, 0, 0, 0))
    assert deploy(net, net.reshape(x, 1, 4)) == ["RESHAPE", "CONV_2D", "RESHAPE"]


# -- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_norm_folds_into_the_convolution_before(groups: int) -> None:
    net = Net()
    y = net.add("RELU6", net.norm(net.conv(net.input(2, 4, 5, 5), 8, groups=groups, bias=groups == 1)))
    assert deploy(net, y) == ["TRANSPOSE", "DEPTHWISE_CONV_2D" if groups == 4 else "CONV_2D", "TRANSPOSE"]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_norm_folds_into_the_convolution_after(groups: int) -> None:
    net = Net()
    x = net.add("TANH", net.input(2, 4, 5, 5))
    y = net.conv(net.norm(x), 8, groups=groups, pad=(0, 0, 0, 0), bias=groups != 2)
    assert "BATCH_NORM" not in deploy(net, y)
    net = Net()
    y = net.conv(net.norm(net.add("TANH", net.input(2, 4, 5, 5))), 8, groups=groups)
    assert "BATCH_NORM" in deploy(net, y), "padding is not the normalised zero"


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL", "DIV", "RSUB"])
def test_constants_fold_into_dense_layers(op: str) -> None:
    for after in (False, True):
        net = Net()
        x = net.add("TANH", net.input(3, 6))
        x = net.dense(x, 5, bias=op != "MUL") if not after else x
        c = net.value(np.abs(net.rng.normal(1, 0.3, net.shape(x)[-1])) + 0.2)
        y = net.add("SUB", c, x) if op == "RSUB" else net.add(op, x, c)
        y = net.dense(y, 4) if after else net.add("RELU", y)
        assert deploy(net, y) == ["TANH", "FULLY_CONNECTED"]


def test_what_others_read_is_not_folded() -> None:
    net = Net()
    y = net.dense(net.input(2, 3), 4)
    z = net.add("RELU", y)
    assert deploy(net, y, z) == ["FULLY_CONNECTED", "RELU"]
    net = Net()
    y = net.dense(net.input(2, 3), 4)
    assert deploy(net, net.add("MAXIMUM", net.norm(y), y)) == ["FULLY_CONNECTED", "BATCH_NORM", "MAXIMUM"]


# -- patterns ---------------------------------------------------------------------------------------------------------


def relu6_of_x_plus_3(net: Net, x: str, fused: bool) -> str:
    if fused:
        return net.add("ADD", net.value(np.float32(3)), x, activation="RELU6")
    return net.add("RELU6", net.add("ADD", x, net.value(np.full((1, 4), 3.0))))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("form", ["x*(r/6)", "(x*r)/6", "(x/6)*r", "r*x*sixth", "x*hard_sigmoid"])
def test_hard_swish_is_recognised(form: str, fused: bool) -> None:
    net = Net()
    x = net.add("TANH", net.input(2, 4))
    r = relu6_of_x_plus_3(net, x, fused)
    six, sixth = net.value(np.float32(6)), net.value(np.float32(1 / 6))
    y = {
        "x*(r/6)": lambda: net.add("MUL", x, net.add("DIV", r, six)),
        "(x*r)/6": lambda: net.add("DIV", net.add("MUL", x, r), six),
        "(x/6)*r": lambda: net.add("MUL", net.add("DIV", x, six), r),
        "r*x*sixth": lambda: net.add("MUL", net.add("MUL", r, x), sixth),
        "x*hard_sigmoid": lambda: net.add("MUL", net.add("HARD_SIGMOID", x, alpha=1 / 6), x),
    }[form]()
    assert deploy(net, y) == ["TANH", "HARD_SWISH"]


def test_near_hard_swish_is_left_alone() -> None:
    net = Net()
    x = net.add("TANH", net.input(2, 4))
    y = net.add("MUL", x, net.add("HARD_SIGMOID", x, alpha=0.2))
    assert deploy(net, y) == ["TANH", "HARD_SIGMOID", "MUL"]


def test_clamps_are_relus() -> None:
    net = Net()
    y = net.add("MAXIMUM", net.value(np.zeros(1)), net.add("TANH", net.input(2, 4)))
    assert deploy(net, y) == ["TANH", "RELU"]
    net = Net()
    y = net.add(
        "MINIMUM", net.add("MAXIMUM", net.add("TANH", net.input(2, 4)), net.value(np.zeros(1))), net.value(np.float32(6))
    )
    assert deploy(net, y) == ["TANH", "RELU6"]


def test_padding_goes_into_convolutions_and_safe_pools() -> None:
    net = Net()
    x = net.add("PAD", net.add("TANH", net.input(1, 2, 5, 5)), pads=((0, 0), (0, 0), (1, 0), (2, 1)))
    assert "PAD" not in deploy(net, net.conv(x, 3, pad=(0, 1, 0, 0)))
    for op, value, safe in (("RELU", 0.0, True), ("TANH", 0.0, False), ("TANH", -np.inf, True), ("RELU", 1.0, False)):
        net = Net()
        x = net.add("PAD", net.add(op, net.input(1, 2, 5, 5)), pads=((0, 0), (0, 0), (1, 1), (1, 1)), value=value)
        assert ("PAD" not in deploy(net, net.pool(x, filter=(3, 3), stride=(2, 2)))) == safe


def test_padding_of_channels_or_with_a_value_stays() -> None:
    for pads, value in ((((0, 0), (1, 0), (0, 0), (0, 0)), 0.0), (((0, 0), (0, 0), (1, 1), (1, 1)), 0.5)):
        net = Net()
        x = net.add("PAD", net.add("TANH", net.input(1, 2, 5, 5)), pads=pads, value=value)
        assert "PAD" in deploy(net, net.conv(x, 3))


# -- integers ---------------------------------------------------------------------------------------------------------


def test_quantized_moves_keep_every_integer() -> None:
    net = Net()
    x = net.nhwc(net.input(2, 3, 4, 5, quant=Q))
    x = net.nchw(net.add("RELU", net.nchw(x), quant=Q))
    y = net.add("CONCATENATION", x, x, axis=1, quant=Q)
    y = net.add("PAD", net.nhwc(y), pads=((0, 0), (0, 1), (1, 0), (0, 0)), quant=Q)
    y = net.add("SLICE", y, begin=(0, 0, 1, 2), size=(2, 4, 4, 3), stride=(1, 1, 1, 1), quant=Q)
    graph = net.graph(net.reshape(net.nchw(y), 2, 48))
    after = simplify(graph)
    assert_same(graph, after, exact=True)
    assert len(after.nodes) < len(graph.nodes)


# -- random graphs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int) -> None:
    for graph, exact in ((random_graph(seed), False), (random_int8_graph(seed), True)):
        for level in LEVELS:
            after = simplify(graph, level)
            assert_same(graph, after, exact)
            assert ops(simplify(after, level)) == ops(after)
            assert len(residual_transposes(after)) <= ops(graph).count("TRANSPOSE")
