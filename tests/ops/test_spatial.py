from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from edgekit.errors import BadModel
from edgekit.graph import Graph, Tensor, const
from edgekit.ops import op_of
from tests.ops.draw import activation, bias_for, floats, generators, ints, sampled, sum_quant, weights
from tests.ops.ort_judge import nchw, nhwc, run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node


@sampled
@given(generators)
def test_float_transposed_convolution_equals_onnx_runtime(rng: np.random.Generator) -> None:
    """Any cropping, stride, dilation, groups, output padding and batch."""
    groups, (stride, dilation, kernel) = int(rng.integers(1, 4)), (ints(rng, 1, 4, 2), ints(rng, 1, 3, 2), ints(rng, 1, 5, 2))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pad = tuple(int(rng.integers(0, (r + 1) // 2 + 1)) for r in (reach[0], reach[0], reach[1], reach[1]))
    extra = tuple(int(rng.integers(0, s)) for s in stride)
    c, o = groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 5))
    x, w, b = floats(rng, 2, 6, 7, c), floats(rng, c, o // groups, *kernel), floats(rng, o)
    ours_w = w.reshape(groups, c // groups, o // groups, *kernel).transpose(0, 2, 3, 4, 1).reshape(o, *kernel, c // groups)
    (ours,) = run_real("TRANSPOSE_CONV", [x], [ours_w, b], stride=stride, dilation=dilation, pad=pad, output_padding=extra)
    top, bottom, left, right = pad
    (theirs,) = run_ort(
        "ConvTranspose", [nchw(x), w, b], group=groups, strides=stride, dilations=dilation, pads=[top, left, bottom, right],
        output_padding=extra,
    )  # fmt: skip
    np.testing.assert_allclose(ours, nhwc(theirs), rtol=1e-4, atol=1e-4)


def quantized(rng: np.random.Generator) -> Graph:
    """A random int8 transposed convolution, cropped as SAME or not at all."""
    kernel, stride = ints(rng, 1, 6, 2), ints(rng, 1, 4, 2)
    x = activation("x", (*ints(rng, 1, 3, 1), *ints(rng, 2, 7, 2), int(rng.integers(1, 9))), rng)
    o = int(rng.integers(1, 7))
    w = weights((o, *kernel, x.shape[3]), 0, rng, rng.random() < 0.7)
    inputs = [x, w, bias_for(x, w, o, rng)] if rng.random() < 0.8 else [x, w]
    attrs: dict[str, object] = {"stride": stride}
    if all(k >= s for k, s in zip(kernel, stride, strict=True)) and rng.random() < 0.5:
        over = [k - s for k, s in zip(kernel, stride, strict=True)]
        attrs["pad"] = (over[0] // 2, over[0] - over[0] // 2, over[1] // 2, over[1] - over[1] // 2)
    else:
        attrs["output_padding"] = tuple(int(rng.integers(0, s)) for s in stride)
    return one_node("TRANSPOSE_CONV", inputs, [sum_quant(x, w, rng)], attrs)


def test_integer_transposed_convolution_equals_tflm() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        graph = quantized(rng)
        agree(graph, feeds_for(graph, rng))


@pytest.mark.parametrize("op", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_integer_resize_equals_tflm(op: str) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = activation("x", (*ints(rng, 1, 3, 1), *ints(rng, 1, 20, 2), 3), rng)
        align, half = ((False, False), (True, False), (False, True))[seed % 3]
        attrs = {"size": ints(rng, 1, 40, 2), "align_corners": align, "half_pixel_centers": half}
        graph = one_node(op, [x], [x.quant], attrs)
        agree(graph, feeds_for(graph, rng))


@pytest.mark.parametrize("op", ["DEPTH_TO_SPACE", "SPACE_TO_DEPTH"])
def test_integer_blocks_equal_tflm(op: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        block, (h, w, c) = int(rng.integers(1, 4)), ints(rng, 1, 4, 3)
        shape = (2, h, w, c * block * block) if op == "DEPTH_TO_SPACE" else (2, h * block, w * block, c)
        x = activation("x", shape, rng)
        graph = one_node(op, [x], [x.quant], {"block": block})
        agree(graph, feeds_for(graph, rng))


def test_macs() -> None:
    x = Tensor("x", (1, 4, 5, 6), "float32")
    graph = one_node("TRANSPOSE_CONV", [x, const("w", np.zeros((8, 3, 3, 6), np.float32))], [None], {"stride": (2, 2)})
    rule = op_of(graph.nodes[0]).macs
    assert rule is not None
    node = graph.nodes[0]
    assert rule(node, graph.input_tensors(node), graph.output_tensors(node)) == 4 * 5 * 6 * 8 * 9


def test_what_makes_no_sense_is_refused() -> None:
    x = Tensor("x", (1, 4, 4, 6), "float32")
    w = const("w", np.zeros((8, 3, 3, 6), np.float32))
    for op, inputs, attrs in (
        ("TRANSPOSE_CONV", [x, w], {"pad": (4, 4, 0, 0)}),
        ("TRANSPOSE_CONV", [x, const("w", np.zeros((8, 3, 3, 4), np.float32))], {}),
        ("RESIZE_BILINEAR", [x], {"size": (0, 4)}),
        ("RESIZE_BILINEAR", [x], {"size": (4, 4), "align_corners": True, "half_pixel_centers": True}),
        ("DEPTH_TO_SPACE", [x], {"block": 2}),
        ("SPACE_TO_DEPTH", [x], {"block": 3}),
    ):
        with pytest.raises(BadModel, match=op):
            one_node(op, inputs, [None], attrs)
