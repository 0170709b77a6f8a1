"""Functions, comparisons, choices, indices and running sums: real meaning against ONNX Runtime, integers against TFLM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.errors import BadModel
from edgekit.graph import Quant, Tensor, const
from edgekit.ops.functions import DOMAINS, FUNCTIONS, apply
from tests.ops.draw import activation, any_quant, floats, scale_of
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node

EVERY = np.arange(-128, 128).astype(np.int8)
ORT = {
    **{n: n.capitalize() for n in "ABS ACOS ACOSH ASIN ASINH ATAN ATANH CEIL COS COSH ERF EXP FLOOR LOG NEG".split()},
    **{n: n.capitalize() for n in "RECIPROCAL ROUND SIGN SIN SINH SOFTPLUS SOFTSIGN SQRT TAN CELU SELU SHRINK".split()},
    "THRESHOLDED_RELU": "ThresholdedRelu",
}
OUTSIDE = {"GELU", "SILU"}  # tested with attention


@pytest.mark.parametrize("op", sorted(ORT))
def test_functions_equal_onnx_runtime(op: str) -> None:
    low, high = DOMAINS.get(op, (-4.0, 4.0))
    x = np.linspace(max(low, -4.0), min(high, 4.0), 97, dtype=np.float32)
    attrs: dict[str, Any] = {"CELU": {"alpha": 0.7}, "SHRINK": {"lambd": 1.0, "bias": 0.5}}.get(op, {})
    (ours,), (theirs,) = run_real(op, [x], **attrs), run_ort(ORT[op], [x], **attrs)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=3e-7)


def test_functions_without_an_onnx_operator() -> None:
    x = np.linspace(0.1, 3, 20, dtype=np.float32)
    np.testing.assert_allclose(run_real("RSQRT", [x])[0], 1 / np.sqrt(x), rtol=1e-6)
    np.testing.assert_allclose(run_real("SQUARE", [x])[0], x**2, rtol=1e-6)
    np.testing.assert_allclose(run_real("MISH", [x])[0], x * np.tanh(np.log1p(np.exp(x))), rtol=1e-6)


@pytest.mark.parametrize("op", sorted(set(FUNCTIONS) - OUTSIDE))
def test_int8_functions_are_the_nearest_step(op: str) -> None:
    """Every input within the domain; outside, the value at the edge."""
    rng = np.random.default_rng(len(op))
    x = Tensor("x", (256,), "int8", None, Quant.per_tensor(0.03, int(rng.integers(-60, 60))))
    y = any_quant(rng, 0.05)
    assert x.quant is not None
    (got,) = reference.run(one_node(op, [x], [y], {}), {"x": EVERY}).values()
    real = (EVERY.astype(np.float64) - x.quant.zero_point[0]) * float(x.quant.scale[0])
    inside = np.clip(real, *DOMAINS.get(op, (-np.inf, np.inf)))
    steps = np.clip(apply(op, inside, {}), -1e6, 1e6) / float(y.scale[0]) + float(y.zero_point[0])
    np.testing.assert_allclose(got, np.clip(steps, -128, 127), atol=0.51)


def test_whole_numbers() -> None:
    x = np.array([-7, 0, 5, np.iinfo(np.int32).min], np.int32)
    assert run_real("ABS", [x])[0].tolist() == [7, 0, 5, np.iinfo(np.int32).min]
    assert run_real("SIGN", [x])[0].tolist() == [-1, 0, 1, -1]
    a, b = np.array([7, -7, 7, -7, 5], np.int32), np.array([3, 3, -3, -3, 0], np.int32)
    assert run_real("DIV", [a, b])[0].tolist() == [2, -2, -2, 2, 0]
    assert run_real("FLOOR_DIV", [a, b])[0].tolist() == [2, -3, -3, 2, 0]
    assert run_real("FLOOR_MOD", [a, b])[0].tolist() == [1, 2, -2, -1, 0]
    powers = run_real("POW", [a, np.array([2, 3, -1, 0, 31], np.int32)])[0]
    assert powers.tolist() == [49, -343, 0, 1, int(np.uint32(5**31 % 2**32).view(np.int32))]
    with pytest.raises(BadModel, match="not defined for int32"):
        run_real("SIN", [x])


def test_abs_equals_tflm() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = activation("x", (256,), rng)
        agree(one_node("ABS", [x], [any_quant(rng, scale_of(x) * float(rng.uniform(0.5, 2)))], {}), {"x": EVERY})


@pytest.mark.parametrize("op", ["SQUARED_DIFFERENCE", "EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"])
def test_every_pair_equals_tflm(op: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a = activation("a", (256, 1), rng, float(10 ** rng.uniform(-3, -0.1)))
        b = activation("b", (1, 256), rng, min(0.9, scale_of(a) * float(10 ** rng.uniform(-0.5, 0.5))))
        quants = [any_quant(rng, (256 * scale_of(a)) ** 2 / 255)] if op == "SQUARED_DIFFERENCE" else [None]
        agree(one_node(op, [a, b], quants, {}), {"a": EVERY.reshape(-1, 1), "b": EVERY.reshape(1, -1)})


@pytest.mark.parametrize("op", ["SELECT_V2", "GATHER_ND", "ARG_MAX", "ARG_MIN", "BROADCAST_TO"])
def test_choices_equal_tflm(op: str) -> None:
    rng = np.random.default_rng(1)
    x = activation("x", (2, 3, 4), rng)
    if op == "SELECT_V2":
        inputs = [Tensor("c", (2, 3, 4), "bool"), x, Tensor("z", (2, 3, 4), "int8", None, x.quant)]
        graph = one_node(op, inputs, [x.quant], {})
    elif op == "GATHER_ND":
        graph = one_node(op, [x, const("i", np.array([[1, 2], [0, 0]], np.int32))], [x.quant], {})
    elif op == "BROADCAST_TO":
        graph = one_node(op, [activation("x", (2, 1, 4), rng)], [None], {"shape": (2, 3, 4)})
        graph = one_node(op, [graph["x"]], [graph["x"].quant], {"shape": (2, 3, 4)})
    else:
        graph = one_node(op, [x], [None], {"axis": 1})
    agree(graph, feeds_for(graph, rng))


@pytest.mark.parametrize(("exclusive", "reverse"), [(False, False), (True, False), (False, True), (True, True)])
def test_running_sums(exclusive: bool, reverse: bool) -> None:
    rng = np.random.default_rng(3)
    x = floats(rng, 2, 70, 3)
    (ours,) = run_real("CUMSUM", [x], axis=1, exclusive=exclusive, reverse=reverse)
    (theirs,) = run_ort("CumSum", [x, np.array(1, np.int64)], exclusive=int(exclusive), reverse=int(reverse))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    # 70 elements: more than TFLM's kernel adds without overflow.
    tensor = Tensor("x", (70,), "int8", None, Quant.per_tensor(0.1, 7))
    graph = one_node("CUMSUM", [tensor], [Quant.per_tensor(3.0, -5)], {"axis": 0, "exclusive": exclusive, "reverse": reverse})
    q = rng.integers(-128, 128, 70).astype(np.int8)
    (got,) = reference.run(graph, {"x": q}).values()
    (real,) = run_real("CUMSUM", [((q - 7.0) * 0.1).astype(np.float32)], axis=0, exclusive=exclusive, reverse=reverse)
    np.testing.assert_allclose(got, np.clip(real / 3 - 5, -128, 127), atol=0.51)


def test_top_k_takes_the_first_of_equal_values() -> None:
    values, places = run_real("TOPK_V2", [np.array([[1, 3, 3, 0, 3]], np.float32)], outputs=2, k=3)
    assert values.tolist() == [[3, 3, 3]]
    assert places.tolist() == [[1, 2, 4]]


def test_one_hot_outside_is_off() -> None:
    (hot,) = run_real("ONE_HOT", [np.array([1, -1, 3], np.int32)], depth=3, axis=1, on=2.0, off=-1.0)
    assert hot.tolist() == [[-1, 2, -1], [-1, -1, -1], [-1, -1, -1]]


def test_scatter_adds_at_repeated_places() -> None:
    ids, updates = np.array([[1], [1], [3]], np.int32), np.array([1, 2, 4], np.float32)
    assert run_real("SCATTER_ND", [ids, updates], shape=(5,))[0].tolist() == [0, 3, 0, 4, 0]


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(BadModel, match="condition is float32"):
        run_real("SELECT_V2", [np.ones(2, np.float32)] * 3)
    with pytest.raises(BadModel, match="not bool"):
        run_real("LOGICAL_AND", [np.ones(2, np.float32)] * 2)
    with pytest.raises(BadModel, match="k=9"):
        run_real("TOPK_V2", [np.ones(3, np.float32)], outputs=2, k=9)
    with pytest.raises(BadModel, match="outside"):
        run_real("GATHER_ND", [np.ones((2, 2), np.float32)], [np.array([[2]], np.int32)])
