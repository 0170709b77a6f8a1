from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from edgekit import reference
from edgekit.graph import Graph, Quant, Tensor
from tests.ops.draw import FUSED, activation, any_quant, floats, generators, ints, sampled, scale_of
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node

ONNX = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min"}


def shapes(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast: equal, with ones, or of lower rank; in either order."""
    full = ints(rng, 1, 6, int(rng.integers(1, 5)))
    other = [full, tuple(1 if rng.random() < 0.5 else n for n in full), full[-1:]][int(rng.integers(0, 3))]
    return (full, other) if rng.random() < 0.6 else (other, full)


@pytest.mark.parametrize("op", ONNX)
@sampled
@given(generators)
def test_float_equals_onnx_runtime(op: str, rng: np.random.Generator) -> None:
    a, b = (floats(rng, *s) for s in shapes(rng))
    (ours,) = run_real(op, [a, b])
    (theirs,) = run_ort(ONNX[op], [a, b])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def quantized(op: str, rng: np.random.Generator) -> Graph:
    first, second = shapes(rng)
    a = activation("a", first, rng)
    b = activation("b", second, rng, scale_of(a) * float(10 ** rng.uniform(-2, 2)))
    base = {"MUL": scale_of(a) * scale_of(b) * 100, "DIV": scale_of(a) / scale_of(b) / 20}
    scale = base.get(op, max(scale_of(a), scale_of(b))) * float(10 ** rng.uniform(-0.5, 0.7))
    attrs = {} if op == "DIV" else {"activation": str(rng.choice(FUSED))}
    return one_node(op, [a, b], [any_quant(rng, scale)], attrs)


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
def test_integer_equals_tflm(op: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = quantized(op, rng)
        agree(graph, feeds_for(graph, rng))


@pytest.mark.parametrize("op", ["MAXIMUM", "MINIMUM"])
def test_integer_comparisons_equal_tflm(op: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        first, second = shapes(rng)
        a = activation("a", first, rng)
        graph = one_node(op, [a, Tensor("b", second, "int8", None, a.quant)], [a.quant], {})
        agree(graph, feeds_for(graph, rng))


def test_integer_division_equals_tflm_where_it_is_defined() -> None:
    """Every divisor but zero; the outputs with a final shift above 31 bits are left out (see integer_div)."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        graph = quantized("DIV", rng)
        feeds = feeds_for(graph, rng)
        qa, qb, qy = graph["a"].quant, graph["b"].quant, graph["y0"].quant
        assert qa is not None
        assert qb is not None
        assert qy is not None
        zero = int(qb.zero_point[0])
        feeds["b"][feeds["b"] == zero] = zero + 1 if zero < 127 else zero - 1
        a, b = (f.astype(np.float64) - int(q.zero_point[0]) for f, q in ((feeds["a"], qa), (feeds["b"], qb)))
        steps = a / b * scale_of(graph["a"]) / scale_of(graph["b"]) / scale_of(graph["y0"])
        agree(graph, feeds, where=np.abs(steps) > 0.5)
        ours = reference.run(graph, feeds)["y0"]
        np.testing.assert_allclose(ours, np.clip(steps + int(qy.zero_point[0]), -128, 127), atol=1)


def test_integer_division_by_zero_saturates() -> None:
    quant = Quant.per_tensor(0.1, 0)
    tensors = [Tensor(n, (3,), "int8", None, quant) for n in "ab"]
    graph = one_node("DIV", tensors, [Quant.per_tensor(0.1, 7)], {})
    result = reference.run(graph, {"a": np.array([5, -5, 0], np.int8), "b": np.zeros(3, np.int8)})["y0"]
    assert result.tolist() == [127, -128, 7]


EVERY = np.arange(-128, 128).astype(np.int8)
Affine = tuple[float, int]


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
def test_every_pair_of_integers_equals_tflm(op: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a = activation("a", (256, 1), rng)
        b = activation("b", (1, 256), rng, scale_of(a) * float(10 ** rng.uniform(-1, 1)))
        scale = scale_of(a) * scale_of(b) * 128 if op == "MUL" else scale_of(a) + scale_of(b)
        graph = one_node(op, [a, b], [any_quant(rng, scale)], {})
        agree(graph, {"a": EVERY.reshape(a.shape), "b": EVERY.reshape(b.shape)})


# Scales at which one pair in 65,536 tells float32 quotients of scales from float64 ones; most scales do not tell.
TELLING: list[tuple[str, Affine, Affine, Affine]] = [
    ("ADD", (0.335, -62), (0.0438, -52), (0.3436, -13)),
    ("ADD", (0.0601, 84), (0.2613, -36), (0.2736, -39)),
    ("SUB", (0.335, -62), (0.0438, -52), (0.3436, -13)),
    ("SUB", (0.0601, 84), (0.2613, -36), (0.2736, -39)),
    ("DIV", (0.039, 61), (0.2175, 64), (0.0104, -99)),
]


@pytest.mark.parametrize(("op", "a", "b", "y"), TELLING)
def test_quotients_of_scales_are_rounded_as_in_tflm(op: str, a: Affine, b: Affine, y: Affine) -> None:
    divisors = EVERY[b[1] != EVERY] if op == "DIV" else EVERY
    first = Tensor("a", (256, 1), "int8", None, Quant.per_tensor(*a))
    second = Tensor("b", (1, divisors.size), "int8", None, Quant.per_tensor(*b))
    graph = one_node(op, [first, second], [Quant.per_tensor(*y)], {})
    feeds = {"a": EVERY.reshape(256, 1), "b": divisors.reshape(1, -1)}
    real = (feeds["a"].astype(float) - a[1]) / (feeds["b"].astype(float) - b[1]) if op == "DIV" else None
    agree(graph, feeds, where=None if real is None else np.abs(real * a[0] / b[0] / y[0]) > 0.5)
