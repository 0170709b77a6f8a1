"""choose: zero is exact, moved values share a scale, fixed scales stay fixed, biases fit, dead channels go."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import BadConfig, BadModel
from edgekit.graph import Graph
from edgekit.passes.quantize import Choice, Observations, Scheme, choose, find_scheme, wanted
from edgekit.passes.quantize.choose import LARGEST_BIAS
from edgekit.passes.quantize.observe import Observed
from edgekit.passes.quantize.scheme import affine
from tests.passes.net import Net

SOFTMAX = (1 / 256, -128)
number = st.floats(-1e6, 1e6, width=32)


def ranges(**tensors: tuple[float, float]) -> Observations:
    return Observations({name: Observed(*pair) for name, pair in tensors.items()}, 1)


def seen_all(graph: Graph, low: float = -1.0, high: float = 1.0) -> Observations:
    return Observations({name: Observed(low, high) for name in wanted(graph)}, 1)


@given(number, number)
def test_affine_holds_zero_exactly_and_the_range_to_a_step(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    scale, zero = affine(low, high, "int8")
    assert -128 <= zero <= 127
    if max(abs(low), abs(high)) > 1e-3:
        assert scale * (-128 - zero) <= min(low, 0) + 0.51 * scale
        assert scale * (127 - zero) >= max(high, 0) - 0.51 * scale
        assert scale <= (max(high, 0) - min(low, 0)) / 255 * 1.001


def test_affine_of_nothing_is_harmless() -> None:
    assert affine(0.0, 0.0, "int8") == (0.5, 0)


def test_moved_values_share_the_widest_range() -> None:
    net = Net()
    a, b = net.input(1, 2, 2, 4, name="a"), net.input(1, 2, 2, 4, name="b")
    left = net.add("RESHAPE", a, shape=(1, 2, 2, 4))
    joined = net.add("CONCATENATION", left, net.add("MAX_POOL_2D", b, filter=(1, 1)), axis=3)
    y = net.add("PAD", joined, pads=((0, 0), (1, 1), (0, 0), (0, 0)), value=9.0)
    graph = net.graph(y)
    assert wanted(graph) == ["a", "b"]
    choice = choose(graph, ranges(a=(-1.0, 1.0), b=(0.0, 5.0)))
    assert set(choice.activations.values()) == {affine(-1.0, 9.0, "int8")}
    assert not choice.requantize


def test_constants_among_moved_values_widen_the_range_unless_they_mean_infinity() -> None:
    net = Net()
    x = net.input(1, 4)
    y = net.add("MAXIMUM", net.add("MINIMUM", x, net.value([20.0])), net.value([-3.4e38]))
    choice = choose(net.graph(y), ranges(x=(-1.0, 1.0)))
    assert set(choice.activations.values()) == {affine(-1.0, 20.0, "int8")}


def test_a_fixed_scale_moves_unchanged() -> None:
    net = Net()
    y = net.add("RESHAPE", net.add("SOFTMAX", net.input(1, 4)), shape=(2, 2))
    choice = choose(net.graph(y), ranges(x=(-1.0, 1.0)))
    assert choice.activations[y] == SOFTMAX
    assert not choice.requantize


def test_a_fixed_scale_meets_a_wider_value_through_a_requantize() -> None:
    net = Net()
    x = net.input(1, 4)
    soft = net.add("SOFTMAX", x)
    y = net.add("CONCATENATION", soft, x, axis=1)
    choice = choose(net.graph(y), ranges(x=(-3.0, 3.0)))
    assert choice.activations[soft] == SOFTMAX
    assert choice.activations[y] == choice.activations["x"] == affine(-3.0, 3.0, "int8")
    assert choice.requantize == {soft: affine(-3.0, 3.0, "int8")}


def test_two_fixed_scales_meet_through_requantizes() -> None:
    net = Net()
    x = net.input(1, 4)
    soft, tanh = net.add("SOFTMAX", x), net.add("TANH", x)
    y = net.add("CONCATENATION", soft, tanh, axis=1)
    choice = choose(net.graph(y), ranges(x=(-3.0, 3.0)))
    assert (choice.activations[soft], choice.activations[tanh]) == (SOFTMAX, (1 / 128, 0))
    assert set(choice.requantize) == {soft, tanh}
    assert choice.activations[y] == choice.requantize[soft]


def test_a_value_that_fits_joins_a_fixed_scale() -> None:
    net = Net()
    x = net.input(1, 4)
    y = net.add("CONCATENATION", net.add("SOFTMAX", x), net.add("RELU", x), axis=1)
    graph = net.graph(y)
    relu = graph.nodes[1].outputs[0]
    assert not choose(graph, ranges(x=(-3.0, 3.0), **{relu: (0.0, 0.9)})).requantize
    assert choose(graph, ranges(x=(-3.0, 3.0), **{relu: (0.0, 1.1)})).requantize


def dense(weights: list[list[float]], bias: list[float] | None = None, op: str = "CONV_2D") -> Graph:
    net = Net()
    w = np.array(weights, np.float32)
    b = None if bias is None else net.value(np.array(bias, np.float32))
    if op == "CONV_2D":
        x = net.input(1, 1, 1, w.shape[1])
        return net.graph(net.add(op, x, net.value(w[:, None, None, :]), b))
    return net.graph(net.add(op, net.input(1, w.shape[1]), net.value(w), b))


def weight_scales(graph: Graph, seen: Observations | None = None, scheme: Scheme | None = None) -> tuple[float, ...]:
    name = graph.nodes[0].inputs[1]
    assert name is not None
    return choose(graph, seen or seen_all(graph), scheme=scheme or find_scheme("int8")).weights[name]


def test_weights_are_per_channel_and_symmetric_except_dense_ones() -> None:
    rows = [[1.0, -2.0], [0.5, 0.25]]
    assert weight_scales(dense(rows)) == pytest.approx([2 / 127, 0.5 / 127])
    assert weight_scales(dense(rows, op="FULLY_CONNECTED")) == pytest.approx([2 / 127])
    every = Scheme("int8", per_channel=("CONV_2D", "FULLY_CONNECTED"))
    assert weight_scales(dense(rows, op="FULLY_CONNECTED"), scheme=every) == pytest.approx([2 / 127, 0.5 / 127])


@pytest.mark.parametrize("op", ["CONV_2D", "FULLY_CONNECTED"])
def test_the_scale_is_floored_so_that_the_bias_fits(op: str) -> None:
    graph = dense([[0.1, 0.1], [1.0, 1.0]], [1e9, 0.0], op)
    in_scale = affine(-1.0, 1.0, "int8")[0]
    scale = weight_scales(graph)[0]
    assert scale == pytest.approx(1e9 / in_scale / LARGEST_BIAS["int8"])


def test_channels_that_cannot_move_the_output_are_flushed() -> None:
    # Output step 10 / 255 = 0.039; inputs reach 1, so a channel needs sum |w| > 0.0196 to matter.
    graph = dense([[0.009, -0.01], [0.011, -0.011], [0.0, 0.0], [1.0, 1.0]], [1.0, 1.0, 1.0, 1.0])
    y = graph.outputs[0]
    choice = choose(graph, ranges(x=(-1.0, 1.0), **{y: (-5.0, 5.0)}))
    (name,) = choice.weights
    assert choice.flushed == {name: (0, 2)}
    out_scale, in_scale = choice.activations[y][0], choice.activations["x"][0]
    # The bias of a flushed channel keeps at least 1/256 of an output step.
    assert choice.weights[name][0] * in_scale <= out_scale / 256 * 1.0001


def test_a_weight_of_two_nodes_suits_both() -> None:
    net = Net()
    a, b = net.input(1, 1, 1, 2, name="a"), net.input(1, 1, 1, 2, name="b")
    w = net.value(np.array([[[[0.01, 0.0]]], [[[1.0, 1.0]]]], np.float32))
    first, second = net.add("CONV_2D", a, w, None), net.add("CONV_2D", b, w, None)
    graph = net.graph(first, second)
    wide = {"a": (-1.0, 1.0), "b": (-100.0, 100.0), first: (-5.0, 5.0), second: (-5.0, 5.0)}
    assert not choose(graph, ranges(**wide)).flushed, "the second node can move its output"


def test_islands_say_why() -> None:
    net = Net()
    x = net.input(1, 1, 1, 4)
    params = [net.random(4) for _ in range(3)]
    y = net.add("BATCH_NORM", x, *params, net.value(np.ones(4, np.float32)))
    graph = net.graph(net.add("RELU", y))
    choice = choose(graph, seen_all(graph))
    assert choice.islands == {y: "BATCH_NORM has no int8 meaning"}
    assert wanted(graph)[:2] == ["x", y]


@pytest.mark.parametrize(("divisor", "stays"), [([2.0, 4.0], False), ([2.0, 0.003], True), (None, True)])
def test_a_divisor_that_may_round_to_zero_keeps_a_division_float(divisor: list[float] | None, stays: bool) -> None:
    net = Net()
    x = net.input(1, 2)
    y = net.add("DIV", x, net.input(1, 2, name="d") if divisor is None else net.value(np.array(divisor, np.float32)))
    graph = net.graph(y)
    assert choose(graph, seen_all(graph)).islands == ({y: "its divisor may round to zero"} if stays else {})


@pytest.mark.parametrize(("op", "least"), [("ADD", 2.0**-19), ("SUB", 2.0**-19), ("HARD_SWISH", 1 / 128)])
def test_results_that_cancel_out_keep_a_scale_the_kernel_takes(op: str, least: float) -> None:
    net = Net()
    inputs = [net.input(1, 4, name=n) for n in ("a", "b")[: 1 if op == "HARD_SWISH" else 2]]
    y = net.add(op, *inputs)
    graph = net.graph(net.add("RESHAPE", y, shape=(4,)))
    wide = dict.fromkeys(inputs, (-400.0, 0.0))
    fine = choose(graph, ranges(**wide, **{y: (-1e-7, 1e-7)})).activations
    assert fine[y][0] > least * fine["a"][0]
    assert fine[graph.outputs[0]] == fine[y]
    coarse = choose(graph, ranges(**wide, **{y: (-300.0, 0.0)})).activations
    assert coarse[y] == affine(-300.0, 0.0, "int8")


def test_a_choice_survives_json() -> None:
    graph = dense([[0.009, -0.01], [1.0, 1.0]], [1.0, 1.0])
    choice = choose(graph, seen_all(graph))
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice
    with pytest.raises(BadConfig):
        Choice.from_json({"scheme": 1})


def test_unknown_names() -> None:
    graph = dense([[1.0, 1.0]])
    with pytest.raises(BadConfig, match="no observer mean"):
        choose(graph, seen_all(graph), observer="mean")
    with pytest.raises(BadConfig, match="no quantization scheme int3"):
        find_scheme("int3")
    with pytest.raises(BadModel, match="'x' was not observed"):
        choose(graph, Observations())
