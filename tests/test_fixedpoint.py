"""The rounding rules against plain Python integers and real functions; TFLM judges them in tests/ops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import fixedpoint as fp

int32 = st.integers(fp.INT32_MIN, fp.INT32_MAX)
quick = settings(derandomize=True, deadline=None, max_examples=200)


def c_divide(a: int, b: int) -> int:
    """C's integer division: towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@quick
@given(int32, int32)
def test_doubling_high_mul_is_gemmlowps(a: int, b: int) -> None:
    nudge = (1 << 30) if a * b >= 0 else 1 - (1 << 30)
    expected = fp.INT32_MAX if a == b == fp.INT32_MIN else c_divide(a * b + nudge, 1 << 31)
    assert int(fp.saturating_rounding_doubling_high_mul(np.array(a), b)) == expected


@quick
@given(int32, st.integers(0, 31))
def test_divide_by_power_of_two_rounds_halves_away(x: int, exponent: int) -> None:
    half = (1 << exponent) >> 1
    expected = (abs(x) + half) // (1 << exponent) * (1 if x >= 0 else -1)
    assert int(fp.rounding_divide_by_pot(np.array(x), exponent)) == expected


def test_extremes_of_both() -> None:
    edge = np.array([fp.INT32_MIN, fp.INT32_MIN + 1, -1, 0, 1, fp.INT32_MAX])
    assert fp.saturating_rounding_doubling_high_mul(edge, fp.INT32_MIN)[0] == fp.INT32_MAX
    assert fp.rounding_divide_by_pot(edge, 0).tolist() == edge.tolist()
    assert fp.rounding_divide_by_pot(np.array([-3, -2, -1, 1, 2, 3]), 1).tolist() == [-2, -1, -1, 1, 1, 2]


def test_shifts_may_differ_by_element() -> None:
    result = fp.multiply_by_quantized_multiplier(np.array([100, 100, -100]), 1 << 30, np.array([1, 0, -1]))
    assert result.tolist() == [100, 50, -25]


def test_left_shift_wraps_as_a_register_does() -> None:
    assert int(fp.multiply_by_quantized_multiplier(np.array(1 << 30), 1 << 30, 2)) == 0
    assert int(fp.wrap_int32(np.array(1 << 31))) == fp.INT32_MIN


@quick
@given(st.floats(1e-9, 1e6))
def test_multipliers_are_normalised_and_close(real: float) -> None:
    multiplier, shift = fp.quantize_multiplier(real)
    assert 1 << 30 <= multiplier < 1 << 31
    assert math.isclose(multiplier * 2.0 ** (shift - 31), real, rel_tol=2**-30)


def test_multiplier_corners() -> None:
    assert fp.quantize_multiplier(0.0) == (0, 0)
    assert fp.quantize_multiplier(2.0**-33) == (0, 0)
    assert fp.quantize_multiplier(2.0**-32) == (1 << 30, -31)
    assert fp.quantize_multiplier(1 - 2.0**-40) == (1 << 30, 1)
    assert fp.quantize_multiplier(-0.75) == (-1610612736, 0)
    multipliers, shifts = fp.quantize_multipliers(np.array([0.5, 0.0, 3.0]))
    assert list(zip(multipliers.tolist(), shifts.tolist(), strict=True)) == [fp.quantize_multiplier(r) for r in (0.5, 0.0, 3.0)]


def test_round_half_away() -> None:
    values = [-2.5, -0.5, -0.49999999999999994, 0.49999999999999994, 0.5, 1.5, 2.4, math.inf, -math.inf]
    assert fp.round_half_away(np.array(values)).tolist() == [-3, -1, 0, 0, 1, 2, 2, math.inf, -math.inf]


@pytest.mark.parametrize("bits", [0, 2, 4, 5])
def test_exp_on_negative_values(bits: int) -> None:
    raw = np.linspace(fp.INT32_MIN + 1, 0, 5001).astype(np.int64)
    real = raw / 2.0 ** (31 - bits)
    np.testing.assert_allclose(fp.exp_on_negative_values(raw, bits) / 2.0**31, np.exp(real), rtol=3e-7, atol=4 * 2.0**-31)


def test_logistic_and_tanh() -> None:
    raw = np.linspace(-(1 << 31) + 1, (1 << 31) - 1, 5001).astype(np.int64)
    real = raw / 2.0**27
    np.testing.assert_allclose(fp.logistic(raw, 4) / 2.0**31, 1 / (1 + np.exp(-real)), atol=1e-6)
    np.testing.assert_allclose(fp.tanh(raw, 4) / 2.0**31, np.tanh(real), atol=1e-6)
    assert int(fp.logistic(np.array(0), 4)) == 1 << 30
    assert int(fp.tanh(np.array(0), 4)) == 0


def test_reciprocal() -> None:
    x = np.array([1, 3, 255, 4096, 1 << 19, 12345678, (1 << 31) - 1])
    scale, over = fp.reciprocal(x, 12)
    np.testing.assert_allclose(scale / 2.0**31 * 2.0 ** -over.astype(float), 2.0**19 / x, rtol=1e-6)


@quick
@given(st.integers(-32768, 32767), st.integers(-32768, 32767))
def test_high_mul_int16(a: int, b: int) -> None:
    saturates = a == b == -32768
    nudge = (1 << 14) if a * b >= 0 else 1 - (1 << 14)
    rounded = 32767 if saturates else c_divide(a * b + nudge, 1 << 15)
    truncated = 32767 if saturates else c_divide(a * b, 1 << 15)
    assert int(fp.high_mul_int16(np.array(a), b)) == rounded
    assert int(fp.high_mul_int16(np.array(a), b, rounding=False)) == truncated


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_quantize_undoes_dequantize(dtype: str) -> None:
    low, high = fp.integer_range(dtype)
    q = np.arange(low, high + 1, 1 if high < 256 else 257)
    zero = (low + high) // 2
    back = fp.quantize(fp.dequantize(q, 0.037, zero), 0.037, zero, dtype)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, q)


def test_quantize_saturates() -> None:
    assert fp.quantize(np.array([1e9, -1e9, np.inf], np.float32), 0.1, 5).tolist() == [127, -128, 127]


def test_int64_rule_of_16x8() -> None:
    multiplier, shift = fp.quantize_multiplier(0.001)
    x = np.array([10**9, -(10**9), 1499, -1500])
    result = fp.multiply_by_quantized_multiplier_int64(x, multiplier, shift)
    np.testing.assert_allclose(result, x * 0.001, rtol=1e-4, atol=0.51)


@pytest.mark.filterwarnings("error")
def test_quantizing_the_lowest_float_is_the_lowest_integer_and_no_warning() -> None:
    lowest = np.finfo(np.float32).min
    assert fp.quantize(np.array([lowest, -lowest, 1]), 0.5, 3).tolist() == [-128, 127, 5]
