"""Every rounding rule of the integer kernels, as a named function on NumPy arrays.

The definition is TensorFlow Lite Micro's (gemmlowp double rounding, TFLITE_SINGLE_ROUNDING=0): each function is tested
against the `tflite-micro` interpreter through the operators that use it. All arrays are int64 unless a docstring says
otherwise, and hold values in the range of the type named.
"""

from __future__ import annotations

import math

import numpy as np

from edgekit.graph import Array

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def round_half_away(x: Array | float) -> Array:
    """C's round(): halves go away from zero."""
    x = np.asarray(x, np.float64)
    return np.trunc(x + np.copysign(0.5, x)) * 1.0


def quantize_multiplier(real: float) -> tuple[int, int]:
    """real >= 0 as (multiplier int32 in [2**30, 2**31) or 0, shift), real ~ multiplier * 2**(shift - 31).

    A shift below -31 gives (0, 0). TFLite `QuantizeMultiplier`.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = int(round_half_away(fraction * (1 << 31)))
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def saturating_rounding_doubling_high_mul(a: Array, b: Array | int) -> Array:
    """round(a * b / 2**31) for int32 a, b, halves away from zero; saturates when both are INT32_MIN. gemmlowp."""
    a = np.asarray(a, np.int64)
    b = np.asarray(b, np.int64)
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # C's division truncates towards zero.
    result = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return np.where((a == b) & (a == INT32_MIN), INT32_MAX, result)


def rounding_divide_by_pot(x: Array, exponent: Array | int) -> Array:
    """round(x / 2**exponent), halves away from zero, exponent in 0..31. gemmlowp."""
    x = np.asarray(x, np.int64)
    exponent = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def wrap_int32(x: Array) -> Array:
    """x modulo 2**32 as a signed number, what a 32-bit register would hold."""
    return ((np.asarray(x, np.int64) + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def multiply_by_quantized_multiplier(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """x * multiplier * 2**(shift - 31) with TFLM's double rounding. x int32; multiplier and shift broadcast against x."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = wrap_int32(np.asarray(x, np.int64) << left)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, multiplier), right)


def multiply_by_quantized_multiplier_int64(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """The 16x8 kernels' rule: x is an int64 accumulator (48 bits used), the multiplier is first reduced to 16 bits."""
    multiplier = np.asarray(multiplier, np.int64)
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    total = 15 - np.asarray(shift, np.int64)
    return (np.asarray(x, np.int64) * reduced + (np.int64(1) << (total - 1))) >> total


def quantize(real: Array, scale: Array | float, zero_point: Array | int, dtype: str = "int8") -> Array:
    """Real numbers to integers: clamp(round_half_away(real / scale) + zero_point). float32 division, as TFLM does."""
    low, high = integer_range(dtype)
    steps = round_half_away(np.asarray(real, np.float32) / np.asarray(scale, np.float32))
    kind = {"int8": np.int8, "int16": np.int16, "int32": np.int32, "uint8": np.uint8, "int4": np.int8, "int64": np.int64}[dtype]
    return np.clip(steps + np.asarray(zero_point, np.float64), low, high).astype(kind)


def dequantize(q: Array, scale: Array | float, zero_point: Array | int) -> Array:
    """Integers to real numbers, float32: scale * (q - zero_point)."""
    return (np.asarray(q, np.int64) - np.asarray(zero_point, np.int64)).astype(np.float32) * np.asarray(scale, np.float32)


def integer_range(dtype: str) -> tuple[int, int]:
    """(lowest, highest) value of an integer dtype."""
    ranges = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
    wide = {"int32": (INT32_MIN, INT32_MAX), "int64": (-(1 << 63), (1 << 63) - 1)}
    return (ranges | wide)[dtype]
