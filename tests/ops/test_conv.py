from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from edgekit import reference
from edgekit.errors import BadModel
from edgekit.graph import Graph, Quant, Tensor, const
from edgekit.ops import op_of
from tests.ops.draw import FUSED, activation, bias_for, floats, generators, ints, sampled, sum_quant, weights
from tests.ops.ort_judge import nchw, nhwc, run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node, same_pad


@sampled
@given(generators)
def test_float_convolution_equals_onnx_runtime(rng: np.random.Generator) -> None:
    """Any padding, stride, dilation, groups and batch."""
    groups, (stride, dilation, pad) = int(rng.integers(1, 4)), (ints(rng, 1, 4, 2), ints(rng, 1, 4, 2), ints(rng, 0, 4, 4))
    kernel, c, o = ints(rng, 1, 4, 2), groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 5))
    x, w, b = floats(rng, 2, 9, 11, c), floats(rng, o, *kernel, c // groups), floats(rng, o)
    (ours,) = run_real("CONV_2D", [x], [w, b], stride=stride, dilation=dilation, pad=pad)
    top, bottom, left, right = pad
    (theirs,) = run_ort(
        "Conv", [nchw(x), nchw(w), b], group=groups, strides=stride, dilations=dilation, pads=[top, left, bottom, right]
    )
    np.testing.assert_allclose(ours, nhwc(theirs), rtol=1e-4, atol=1e-4)


@sampled
@given(generators)
def test_float_depthwise_equals_onnx_runtime(rng: np.random.Generator) -> None:
    stride, dilation, pad, kernel = ints(rng, 1, 4, 2), ints(rng, 1, 3, 2), ints(rng, 0, 3, 4), ints(rng, 1, 4, 2)
    c, times = ints(rng, 1, 5, 2)
    x, w, b = floats(rng, 2, 8, 9, c), floats(rng, 1, *kernel, c * times), floats(rng, c * times)
    (ours,) = run_real("DEPTHWISE_CONV_2D", [x], [w, b], stride=stride, dilation=dilation, pad=pad, activation="RELU6")
    top, bottom, left, right = pad
    (theirs,) = run_ort(
        "Conv",
        [nchw(x), w.transpose(3, 0, 1, 2), b],
        group=c,
        strides=stride,
        dilations=dilation,
        pads=[top, left, bottom, right],
    )
    np.testing.assert_allclose(ours, np.clip(nhwc(theirs), 0, 6), rtol=1e-4, atol=1e-4)


def quantized_conv(op: str, rng: np.random.Generator) -> Graph:
    """A random int8 convolution, padded SAME or VALID: grouped, or depthwise with a multiplier."""
    depthwise = op == "DEPTHWISE_CONV_2D"
    kernel, stride = ints(rng, 1, 4, 2), ints(rng, 1, 3, 2)
    dilation = ints(rng, 1, 3, 2) if stride == (1, 1) else (1, 1)
    groups = 1 if depthwise else int(rng.integers(1, 4))
    c = groups * int(rng.integers(1, 9))
    o = c * int(rng.integers(1, 4)) if depthwise else groups * int(rng.integers(1, 6))
    x = activation("x", (*ints(rng, 1, 3, 1), *ints(rng, 5, 12, 2), c), rng)
    per_channel = rng.random() < 0.7
    w = weights((1, *kernel, o), 3, rng, per_channel) if depthwise else weights((o, *kernel, c // groups), 0, rng, per_channel)
    inputs = [x, w, bias_for(x, w, o, rng)] if rng.random() < 0.8 else [x, w]
    pad = same_pad(x.shape[1:3], kernel, stride, dilation) if rng.random() < 0.5 else (0, 0, 0, 0)
    attrs = {"stride": stride, "dilation": dilation, "pad": pad, "activation": str(rng.choice(FUSED))}
    return one_node(op, inputs, [sum_quant(x, w, rng)], attrs)


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_integer_convolution_equals_tflm(op: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = quantized_conv(op, rng)
        agree(graph, feeds_for(graph, rng))


def test_bias_near_the_end_of_int32_wraps_as_in_tflm() -> None:
    """Dead channels of real models carry such biases."""
    rng = np.random.default_rng(0)
    x = Tensor("x", (1, 4, 4, 3), "int8", None, Quant.per_tensor(0.5, -128))
    w = const("w", rng.integers(0, 128, (2, 1, 1, 3)).astype(np.int8), Quant.per_channel(np.array([1e-9, 1e-3]), 0))
    b = const("b", np.array([2**31 - 5, -(2**31) + 3], np.int32), Quant.per_channel(np.array([5e-10, 5e-4]), 0, "int32"))
    graph = one_node("CONV_2D", [x, w, b], [Quant.per_tensor(0.3, 3)], {})
    agree(graph, feeds_for(graph, rng))


def test_long_sums_are_exact() -> None:
    """9,216 extreme products are beyond float32; a bias takes all but 100 of their sum away again."""
    x = Tensor("x", (1, 3, 3, 1024), "int8", None, Quant.per_tensor(0.5, -128))
    data = np.full((1, 3, 3, 1024), 127, np.int8)
    data[0, 0, 0, 0] = 126
    w, one = const("w", data, Quant.per_tensor(0.5)), Quant.per_tensor(0.25)
    b = const("b", np.array([100 - 255 * int(data.astype(np.int64).sum())], np.int32), Quant.per_tensor(0.25, 0, "int32"))
    feeds = {"x": np.full(x.shape, 127, np.int8)}
    assert reference.run(one_node("CONV_2D", [x, w, b], [one], {}), feeds)["y0"].item() == 100


def test_batches_are_independent() -> None:
    rng = np.random.default_rng(3)
    x = activation("x", (5, 6, 6, 4), rng)
    w = weights((8, 3, 3, 4), 0, rng)
    quant = sum_quant(x, w, rng)
    graph = one_node("CONV_2D", [x, w], [quant], {})
    single = one_node("CONV_2D", [Tensor("x", (1, 6, 6, 4), "int8", None, x.quant), w], [quant], {})
    feeds = feeds_for(graph, rng)
    whole = reference.run(graph, feeds)["y0"]
    for i in range(5):
        np.testing.assert_array_equal(whole[i : i + 1], reference.run(single, {"x": feeds["x"][i : i + 1]})["y0"])


def test_macs() -> None:
    rng = np.random.default_rng(0)
    x = Tensor("x", (1, 8, 8, 4), "float32")
    dense = one_node("CONV_2D", [x, const("w", floats(rng, 6, 3, 3, 2))], [None], {})
    depthwise = one_node("DEPTHWISE_CONV_2D", [x, const("w", floats(rng, 1, 3, 3, 8))], [None], {})
    for graph, expected in ((dense, 6 * 6 * 6 * 9 * 2), (depthwise, 6 * 6 * 8 * 9)):
        node = graph.nodes[0]
        rule = op_of(node).macs
        assert rule is not None
        assert rule(node, graph.input_tensors(node), graph.output_tensors(node)) == expected


def test_asymmetric_weights_are_refused() -> None:
    x = activation("x", (1, 4, 4, 2), np.random.default_rng(0))
    w = const("w", np.ones((2, 1, 1, 2), np.int8), Quant.per_tensor(0.1, 5))
    graph = one_node("CONV_2D", [x, w], [Quant.per_tensor(0.1)], {})
    with pytest.raises(BadModel, match="symmetric"):
        reference.run(graph, {"x": np.zeros((1, 4, 4, 2), np.int8)})
