from __future__ import annotations

import numpy as np
import pytest

from edgekit import fixedpoint, ops, reference
from edgekit.errors import BadModel
from edgekit.graph import Array, Node, Quant, Tensor, build, const
from edgekit.passes.quantize.scheme import affine
from tests.ops.draw import activation, floats
from tests.ops.ort_judge import nchw, nhwc, run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node


def test_layer_norm_equals_onnx_runtime() -> None:
    rng = np.random.default_rng(0)
    x, gamma, beta = floats(rng, 2, 5, 3, 8), floats(rng, 3, 8), floats(rng, 3, 8)
    (ours,) = run_real("LAYER_NORM", [x], [gamma, beta], axis=2, epsilon=1e-3)
    (theirs,) = run_ort("LayerNormalization", [x, gamma, beta], axis=2, epsilon=1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_groups_of_one_channel_equal_instance_norm() -> None:
    rng = np.random.default_rng(1)
    x, gamma, beta = floats(rng, 2, 4, 5, 6), floats(rng, 6), floats(rng, 6)
    (ours,) = run_real("GROUP_NORM", [x], [gamma, beta], groups=6)
    (theirs,) = run_ort("InstanceNormalization", [nchw(x), gamma, beta], epsilon=1e-5)
    np.testing.assert_allclose(ours, nhwc(theirs), rtol=1e-4, atol=1e-5)


def test_group_norm_is_by_the_definition() -> None:
    rng = np.random.default_rng(2)
    x = floats(rng, 2, 3, 4, 6)
    (y,) = run_real("GROUP_NORM", [x], groups=2)
    rows = x.reshape(2, 12, 2, 3)
    expected = (rows - rows.mean((1, 3), keepdims=True)) / np.sqrt(rows.var((1, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected.reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_l2_equals_onnx_runtime() -> None:
    x = floats(np.random.default_rng(3), 4, 7)
    np.testing.assert_allclose(
        run_real("L2_NORMALIZATION", [x])[0], run_ort("LpNormalization", [x], axis=-1, p=2)[0], rtol=1e-5
    )


def test_integer_l2_equals_tflm() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        graph = one_node(
            "L2_NORMALIZATION", [activation("x", (3, int(rng.integers(1, 60))), rng)], [Quant.per_tensor(1 / 128)], {}
        )
        agree(graph, feeds_for(graph, rng))


CASES = [
    ("LAYER_NORM", {"axis": 1}, (6, 48)),
    ("RMS_NORM", {"axis": 2}, (2, 5, 64)),
    ("GROUP_NORM", {"groups": 4}, (2, 3, 5, 16)),
]


def quantized(op: str, attrs: dict[str, int], shape: tuple[int, ...], seed: int, size: float) -> tuple[Array, Array, float]:
    """(integer output, the real function of the same integers in output steps, clipped; output step)."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 10 ** rng.uniform(-1, 1, (*shape[:-1], 1)) * size + rng.normal() * size).astype(np.float32)
    width = shape[-1:]
    given = [rng.normal(1, 0.5, width).astype(np.float32), rng.normal(0, 0.5, width).astype(np.float32)]
    given = given[:1] if op == "RMS_NORM" else given
    node = Node(op, ("x", *(f"c{i}" for i in range(len(given)))), ("y",), attrs, "the node")
    scale, zero = affine(float(x.min()), float(x.max()), "int8")
    q = fixedpoint.quantize(x, scale, zero)
    real = fixedpoint.dequantize(q, scale, zero).astype(np.float64)
    (exact,) = ops.TABLE[op].real(node, [real, *(g.astype(np.float64) for g in given)])
    out = affine(float(exact.min()), float(exact.max()), "int8")
    tensors = [
        Tensor("x", shape, "int8", None, Quant.per_tensor(scale, zero)),
        *(const(f"c{i}", g) for i, g in enumerate(given)),
    ]
    tensors.append(Tensor("y", shape, "int8", None, Quant.per_tensor(*out)))
    made = reference.run(build("g", ["x"], ["y"], [node], tensors), {"x": q})["y"]
    return made, np.clip(exact / float(np.float32(out[0])) + out[1], -128, 127), out[0]


@pytest.mark.parametrize(("op", "attrs", "shape"), CASES)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_integers_are_within_a_hair_of_half_a_step(op: str, attrs: dict[str, int], shape: tuple[int, ...], size: float) -> None:
    """Nothing is rounded to 8 bits inside: the result is the nearest integer but for values beside a half."""
    for seed in range(5):
        made, exact, _ = quantized(op, attrs, shape, seed, size)
        assert np.abs(made - exact).max() < 0.51


def test_a_constant_row_gives_beta() -> None:
    node = Node("LAYER_NORM", ("x", "g", "b"), ("y",), {"axis": 1}, "the node")
    quant = Quant.per_tensor(0.1)
    tensors = [const("g", np.ones(4, np.float32)), const("b", np.array([0, 1, -1, 2], np.float32))]
    tensors += [Tensor(n, (1, 4), "int8", None, quant) for n in "xy"]
    graph = build("g", ["x"], ["y"], [node], tensors)
    np.testing.assert_array_equal(reference.run(graph, {"x": np.full((1, 4), 77, np.int8)})["y"], [[0, 10, -10, 20]])


@pytest.mark.parametrize(("op", "attrs"), [("LAYER_NORM", {"axis": 2}), ("GROUP_NORM", {"groups": 3}), ("LAYER_NORM", {})])
def test_what_does_not_fit_is_refused(op: str, attrs: dict[str, int]) -> None:
    with pytest.raises(BadModel):
        ops.infer(Node(op, ("x",), ("y",), attrs, "the node"), [Tensor("x", (2, 4), "float32")])


def test_inverse_square_roots_are_right_to_16_bits() -> None:
    x = np.concatenate([np.arange(1, 2000), np.random.default_rng(0).integers(1, 2**31 - 1, 2000), 2 ** np.arange(31)])
    multiplier, n = fixedpoint.inverse_sqrt(x)
    assert np.abs(multiplier / 2.0**31 / 2.0**n * np.sqrt(x) - 1).max() < 2.0**-16
