from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.errors import BadModel
from edgekit.graph import Graph, Quant, Tensor, const
from edgekit.ops import unary_table
from tests.ops.draw import activation, any_quant, floats, ints, scale_of
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node

FLOAT: list[tuple[str, str, dict[str, Any]]] = [
    ("RELU", "Relu", {}),
    ("LEAKY_RELU", "LeakyRelu", {"alpha": 0.2}),
    ("ELU", "Elu", {"alpha": 0.7}),
    ("LOGISTIC", "Sigmoid", {}),
    ("TANH", "Tanh", {}),
    ("HARD_SWISH", "HardSwish", {}),
    ("HARD_SIGMOID", "HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    ("SOFTMAX", "Softmax", {}),
]
FIXED = {
    "LOGISTIC": Quant.per_tensor(1 / 256, -128),
    "TANH": Quant.per_tensor(1 / 128),
    "SOFTMAX": Quant.per_tensor(1 / 256, -128),
}


@pytest.mark.parametrize(("op", "onnx", "attrs"), FLOAT)
def test_float_equals_onnx_runtime(op: str, onnx: str, attrs: dict[str, Any]) -> None:
    x = floats(np.random.default_rng(0), 3, 5, 40) * 5
    np.testing.assert_allclose(run_real(op, [x], **attrs)[0], run_ort(onnx, [x], **attrs)[0], rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize(("op", "low", "high"), [("RELU6", 0, 6), ("RELU_N1_TO_1", -1, 1)])
def test_clamps(op: str, low: float, high: float) -> None:
    x = floats(np.random.default_rng(0), 99) * 5
    np.testing.assert_array_equal(run_real(op, [x])[0], np.clip(x, low, high))


def test_prelu_equals_onnx_runtime() -> None:
    rng = np.random.default_rng(0)
    x, slope = floats(rng, 2, 4, 5, 3), floats(rng, 1, 1, 3)
    np.testing.assert_allclose(run_real("PRELU", [x], [slope])[0], run_ort("PRelu", [x, slope])[0], rtol=1e-6)


def test_extreme_inputs_stay_finite() -> None:
    x = np.array([-1e30, -200, 200, 1e30], np.float32)
    assert run_real("LOGISTIC", [x])[0].tolist() == [0, 0, 1, 1]
    assert run_real("SOFTMAX", [x])[0].tolist() == [0, 0, 0, 1]


def quantized(op: str, rng: np.random.Generator) -> Graph:
    """Rows that hold every int8 somewhere."""
    x = activation("x", (*ints(rng, 1, 4, 2), 64), rng)
    quant = FIXED.get(op) or any_quant(rng, scale_of(x) * float(10 ** rng.uniform(-0.7, 1)))
    attrs: dict[str, Any] = {}
    if op == "LEAKY_RELU":
        attrs["alpha"] = float(rng.choice([0.01, 0.2, 0.3, -0.5, 1.5]))
    if op == "SOFTMAX":
        attrs["beta"] = float(rng.choice([0.5, 1, 2]))
    return one_node(op, [x], [x.quant if op == "RELU6" else quant], attrs)


@pytest.mark.parametrize("op", ["RELU", "RELU6", "LEAKY_RELU", "ELU", "LOGISTIC", "TANH", "HARD_SWISH", "SOFTMAX"])
def test_integer_equals_tflm(op: str) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        graph = quantized(op, rng)
        agree(graph, feeds_for(graph, rng))


def test_integer_prelu_equals_tflm() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = activation("x", (2, 3, 4, 5), rng)
        slope = const("s", rng.integers(-128, 128, (1, 1, 5)).astype(np.int8), any_quant(rng))
        quant = any_quant(rng, scale_of(x) * max(1.0, scale_of(slope) * 60))
        graph = one_node("PRELU", [x, slope], [quant], {})
        agree(graph, feeds_for(graph, rng))


def test_products_of_prelu_scales_are_rounded_as_in_tflm() -> None:
    """Scales at which one pair in 65,536 tells a float32 product from a float64 one."""
    every = np.arange(-128, 128).astype(np.int8)
    x = Tensor("x", (256, 256), "int8", None, Quant.per_tensor(0.2093, 121))
    slope = const("s", every.reshape(1, 256), Quant.per_tensor(0.0004, 3))
    graph = one_node("PRELU", [x, slope], [Quant.per_tensor(0.0943, -36)], {})
    agree(graph, {"x": np.repeat(every[:, None], 256, 1)})


@pytest.mark.parametrize("op", ["HARD_SIGMOID", "RELU_N1_TO_1"])
def test_integer_ops_that_tflm_lacks_are_the_rounded_real_function(op: str) -> None:
    rng = np.random.default_rng(1)
    x = Tensor("x", (256,), "int8", None, Quant.per_tensor(0.05, -10))
    graph = one_node(op, [x], [Quant.per_tensor(1 / 200, -20)], {})
    q = rng.permutation(256).astype(np.int16) - 128
    real = ((q + 10) * 0.05).astype(np.float32)
    expected = run_real(op, [real])[0] * 200 - 20
    ours = reference.run(graph, {"x": q.astype(np.int8)})["y0"]
    np.testing.assert_allclose(ours, np.clip(expected, -128, 127), atol=0.501)


@pytest.mark.parametrize("op", ["RELU", "LOGISTIC", "HARD_SWISH", "LEAKY_RELU"])
def test_tables_are_indexed_by_the_input_plus_128(op: str) -> None:
    graph = quantized(op, np.random.default_rng(5))
    node, x, y = graph.nodes[0], graph["x"], graph["y0"]
    table = unary_table(node, x, y)
    assert table.shape == (256,)
    assert table.dtype == np.int8
    q = np.random.default_rng(6).integers(-128, 128, x.shape).astype(np.int8)
    np.testing.assert_array_equal(reference.run(graph, {"x": q})["y0"], table[q.astype(int) + 128])


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH", "SOFTMAX"])
def test_fixed_output_scales_are_demanded(op: str) -> None:
    graph = one_node(op, [activation("x", (1, 4), np.random.default_rng(0))], [Quant.per_tensor(0.1)], {})
    with pytest.raises(BadModel, match="the node"):
        reference.run(graph, {"x": np.zeros((1, 4), np.int8)})


# Scales whose tables differ by one entry between float32 and float64 products (LEAKY_RELU, HARD_SWISH), or between
# multiplying by the reciprocal of a scale and dividing by it (ELU); most scales do not tell.
SWISH = [(0.115, -113, 0.369, 51), (0.194, 21, 0.359, -9), (0.194, 55, 0.359, -94)]
LEAKY = [(0.308, -35, 0.264, -77, 0.2), (0.023, -17, 0.016, -74, 0.3), (0.222, 11, 0.132, 87, 0.3), (0.209, 121, 0.017, 3, 0.1)]
ELU = [(0.308, -35, 0.264, -77), (0.153, -82, 0.17, -27), (0.313, -22, 0.224, -96), (0.023, -17, 0.016, -74)]


@pytest.mark.parametrize(
    ("op", "case"),
    [*(("LEAKY_RELU", c) for c in LEAKY), *(("ELU", c) for c in ELU), *(("HARD_SWISH", c) for c in SWISH)],
)
def test_products_of_scales_are_rounded_where_tflm_rounds_them(op: str, case: tuple[float, ...]) -> None:
    scale, zero, out_scale, out_zero = case[:4]
    x = Tensor("x", (256,), "int8", None, Quant.per_tensor(scale, int(zero)))
    attrs = {"alpha": case[4]} if op == "LEAKY_RELU" else {}
    graph = one_node(op, [x], [Quant.per_tensor(out_scale, int(out_zero))], attrs)
    agree(graph, {"x": np.arange(-128, 128).astype(np.int8)})


def test_softmax_of_a_huge_scale_is_one_for_the_maximum() -> None:
    x = Tensor("x", (1, 5), "int8", None, Quant.per_tensor(40.0))
    graph = one_node("SOFTMAX", [x], [FIXED["SOFTMAX"]], {})
    feeds = {"x": np.array([[5, 4, -128, 5, 3]], np.int8)}
    agree(graph, feeds)
    assert reference.run(graph, feeds)["y0"].tolist() == [[0, -128, -128, 0, -128]]
