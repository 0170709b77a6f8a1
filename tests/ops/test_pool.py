from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from edgekit.graph import Quant, Tensor
from tests.ops.draw import FUSED, activation, floats, generators, ints, sampled
from tests.ops.ort_judge import nchw, nhwc, run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node, same_pad

ONNX = {"AVERAGE_POOL_2D": "AveragePool", "MAX_POOL_2D": "MaxPool"}


@pytest.mark.parametrize("op", ONNX)
@sampled
@given(generators)
def test_float_equals_onnx_runtime(op: str, rng: np.random.Generator) -> None:
    kernel, stride = ints(rng, 1, 5, 2), ints(rng, 1, 4, 2)
    top, bottom = ints(rng, 0, kernel[0], 2)
    left, right = ints(rng, 0, kernel[1], 2)
    x = floats(rng, 2, 7, 9, 3)
    (ours,) = run_real(op, [x], filter=kernel, stride=stride, pad=(top, bottom, left, right))
    (theirs,) = run_ort(ONNX[op], [nchw(x)], kernel_shape=kernel, strides=stride, pads=[top, left, bottom, right])
    np.testing.assert_allclose(ours, nhwc(theirs), rtol=1e-5, atol=1e-6)


def test_clamps_beside_a_half_are_rounded_as_in_tflm() -> None:
    """6 / scale is k + 1/2 in float32 and not in float64."""
    for k in range(20, 120, 7):
        quant = Quant.per_tensor(6 / (k + 0.5), -120)
        x = Tensor("x", (1, 1, 1, 256), "int8", None, quant)
        graph = one_node("MAX_POOL_2D", [x], [quant], {"filter": (1, 1), "activation": "RELU6"})
        agree(graph, {"x": np.arange(-128, 128).astype(np.int8).reshape(x.shape)})


@pytest.mark.parametrize("op", ONNX)
def test_integer_equals_tflm(op: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = activation("x", (2, *ints(rng, 3, 10, 2), 3), rng)
        kernel, stride = ints(rng, 1, 4, 2), ints(rng, 1, 4, 2)
        pad = same_pad(x.shape[1:3], kernel, stride, (1, 1)) if rng.random() < 0.5 else (0, 0, 0, 0)
        attrs = {"filter": kernel, "stride": stride, "pad": pad, "activation": str(rng.choice(FUSED))}
        graph = one_node(op, [x], [x.quant], attrs)
        agree(graph, feeds_for(graph, rng))


@pytest.mark.parametrize("size", [(97, 130), (224, 224)])
def test_large_areas_equal_tflm(size: tuple[int, int]) -> None:
    """Sums of tens of thousands of integers, all of one sign among them."""
    rng = np.random.default_rng(size[0])
    x = Tensor("x", (1, *size, 3), "int8", None, Quant.per_tensor(0.05, -128))
    feeds = {"x": rng.integers(-128, 128, x.shape).astype(np.int8)}
    feeds["x"][..., 1], feeds["x"][..., 2] = 127, -127
    agree(one_node("AVERAGE_POOL_2D", [x], [x.quant], {"filter": size}), feeds)
    for quant in (x.quant, Quant.per_tensor(0.031, 5)):
        agree(one_node("MEAN", [x], [quant], {"axes": (1, 2), "keep_dims": True}), feeds)
