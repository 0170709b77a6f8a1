from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from edgekit.graph import Graph, Quant, Tensor, const
from tests.ops.draw import FUSED, activation, any_quant, bias_for, floats, generators, ints, sampled, sum_quant, weights
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node


@sampled
@given(generators)
def test_float_equals_onnx_runtime(rng: np.random.Generator) -> None:
    rows, ins, outs = ints(rng, 1, 20, 3)
    x, w, b = floats(rng, rows, ins), floats(rng, outs, ins), floats(rng, outs)
    (ours,) = run_real("FULLY_CONNECTED", [x], [w, b], activation="RELU")
    (theirs,) = run_ort("Gemm", [x, w, b], transB=1)
    np.testing.assert_allclose(ours, np.maximum(theirs, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("keep", "shape"), [(True, (2, 3, 5)), (False, (6, 5))])
def test_keep_dims(keep: bool, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, w = floats(rng, 2, 3, 4), floats(rng, 5, 4)
    (y,) = run_real("FULLY_CONNECTED", [x], [w], keep_dims=keep)
    np.testing.assert_allclose(y, (x @ w.T).reshape(shape), rtol=1e-5)


def test_one_row_of_weights_may_span_several_axes() -> None:
    rng = np.random.default_rng(0)
    x, w = floats(rng, 2, 3, 4), floats(rng, 5, 12)
    (y,) = run_real("FULLY_CONNECTED", [x], [w])
    np.testing.assert_allclose(y, x.reshape(2, 12) @ w.T, rtol=1e-5)


def quantized_dense(rng: np.random.Generator, per_channel: bool) -> Graph:
    ins, outs = ints(rng, 2, 60, 2)
    x = activation("x", (2, 3, ins) if rng.random() < 0.5 else (3, ins), rng)
    w = weights((outs, ins), 0, rng, per_channel)
    bias = bias_for(x, w, outs, rng) if rng.random() < 0.8 else None
    attrs = {"activation": str(rng.choice(FUSED)), "keep_dims": bool(rng.random() < 0.5)}
    return one_node("FULLY_CONNECTED", [x, w, bias], [sum_quant(x, w, rng)], attrs)


@pytest.mark.parametrize("per_channel", [False, True])
def test_integer_equals_tflm(per_channel: bool) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = quantized_dense(rng, per_channel)
        agree(graph, feeds_for(graph, rng))


def shapes(op: str, n: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """(input shape, weight shape of n channels, axis of the weights' scales)"""
    if op == "FULLY_CONNECTED":
        return (1, 1), (n, 1), 0
    return (1, 1, 1, 1), (n, 1, 1, 1) if op == "CONV_2D" else (1, 1, 1, n), 0 if op == "CONV_2D" else 3


@pytest.mark.parametrize("op", ["FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_sums_beside_a_half_round_as_in_tflm(op: str, per_channel: bool) -> None:
    """Sums of up to 2**30 within a few units of k + 1/2 output steps: they tell a float32 product of scales from a float64
    one, which random sums do not."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        sx, sw = (np.float32(rng.uniform(1e-3, 1e-2)) for _ in range(2))
        step = float(sx) * float(sw)
        y = any_quant(rng, step * (1 << 23))
        ties = np.round((np.arange(-120, 120) + 0.5) * float(y.scale[0]) / step)
        sums = (ties[:, None] + np.arange(-70, 71, 4)).astype(np.int32).reshape(-1)
        scales = np.full(sums.size if per_channel else 1, sw)
        zeros = np.zeros(scales.size, np.int64)
        x_shape, w_shape, axis = shapes(op, sums.size)
        x = Tensor("x", x_shape, "int8", None, any_quant(rng, float(sx)))
        w = const("w", np.zeros(w_shape, np.int8), Quant(scales, zeros, axis if per_channel else None))
        b = const("b", sums, Quant(scales * sx, zeros, 0 if per_channel else None, None, "int32"))
        graph = one_node(op, [x, w, b], [y], {})
        agree(graph, {"x": np.zeros(x_shape, np.int8)})
