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
    """C's round(): halves go away from zero. Any shape; float64 result."""
    wide: Array = np.asarray(x, np.float64)
    # trunc(x + 0.5) would send 0.49999999999999994 to 1.
    whole: Array = np.trunc(wide)
    with np.errstate(invalid="ignore"):  # infinities stay what they are
        return whole + np.where(np.abs(wide - whole) >= 0.5, np.copysign(1.0, wide), 0.0)


def quantize_multipliers(real: Array) -> tuple[Array, Array]:
    """float64[n] as (multipliers int64[n], shifts int64[n]): real ~ multiplier * 2**(shift - 31).

    2**30 <= |multiplier| < 2**31, or zero. A shift below -31 gives (0, 0). A negative real (the slope of LEAKY_RELU) gives
    a negative multiplier. TFLite `QuantizeMultiplier`.
    """
    fraction, exponent = np.frexp(np.asarray(real, np.float64))
    multiplier = round_half_away(fraction * (1 << 31)).astype(np.int64)
    full = multiplier == 1 << 31
    multiplier, shift = np.where(full, 1 << 30, multiplier), exponent.astype(np.int64) + full
    lost = (multiplier == 0) | (shift < -31)
    return np.where(lost, 0, multiplier), np.where(lost, 0, shift)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """`quantize_multipliers` of one number."""
    multiplier, shift = quantize_multipliers(np.array(real))
    return int(multiplier), int(shift)


def saturating_rounding_doubling_high_mul(a: Array, b: Array | int) -> Array:
    """a * b / 2**31 for int32 a, b, to the nearest, halves upwards; saturates when both are INT32_MIN. gemmlowp.

    gemmlowp adds 2**30 (or 1 - 2**30 below zero) and truncates towards zero: the same as one floor division for every sign.
    """
    rounded: Array = np.asarray(np.asarray(a, np.int64) * np.asarray(b, np.int64))
    rounded += 1 << 30
    rounded >>= 31
    return np.minimum(rounded, INT32_MAX, out=rounded)


def rounding_divide_by_pot(x: Array, exponent: Array | int) -> Array:
    """round(x / 2**exponent), halves away from zero, exponent in 0..31. gemmlowp."""
    x = np.asarray(x, np.int64)
    exponent = np.asarray(exponent, np.int64)
    half = (np.int64(1) << exponent) >> 1
    # (x >> 63) is -1 below zero; with exponent 0 there is no half, and nothing may be taken away.
    rounded: Array = np.asarray(x + half)
    rounded += (x >> 63) if np.all(half) else (x >> 63) * (half > 0)
    rounded >>= exponent
    return rounded


def wrap_int32(x: Array) -> Array:
    """x modulo 2**32 as a signed number, what a 32-bit register would hold."""
    wide: Array = np.asarray(x, np.int64)
    return ((wide + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def multiply_by_quantized_multiplier(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """x * multiplier * 2**(shift - 31) with TFLM's double rounding. x int32; multiplier and shift broadcast against x."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = np.asarray(x, np.int64)
    if np.any(left):
        shifted = wrap_int32(shifted << left)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, multiplier), right)


def multiply_by_quantized_multiplier_int64(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """The 16x8 kernels' rule: x is an int64 accumulator (48 bits used), the multiplier is first reduced to 16 bits."""
    reduced = reduced_multipliers(np.asarray(multiplier, np.int64))
    total = 15 - np.asarray(shift, np.int64)
    scaled: Array = (np.asarray(x, np.int64) * reduced + (np.int64(1) << (total - 1))) >> total
    return scaled


def reduced_multipliers(multiplier: Array) -> Array:
    """Multipliers of 31 bits rounded to 15."""
    return np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)


def quantize(real: Array, scale: Array | float, zero_point: Array | int, dtype: str = "int8") -> Array:
    """Real numbers to integers: clamp(round_half_away(real / scale) + zero_point). float32 division, as TFLM does."""
    low, high = integer_range(dtype)
    with np.errstate(over="ignore"):  # the lowest float32 of a mask, in steps, is -inf: the lowest integer
        steps = round_half_away(np.asarray(real, np.float32) / np.asarray(scale, np.float32))
    kind = {"int8": np.int8, "int16": np.int16, "int32": np.int32, "uint8": np.uint8, "int4": np.int8, "int64": np.int64}[dtype]
    clamped: Array = np.clip(steps + np.asarray(zero_point, np.float64), low, high).astype(kind)
    return clamped


def dequantize(q: Array, scale: Array | float, zero_point: Array | int) -> Array:
    """Integers to real numbers, float32: scale * (q - zero_point)."""
    return (np.asarray(q, np.int64) - np.asarray(zero_point, np.int64)).astype(np.float32) * np.asarray(scale, np.float32)


def integer_range(dtype: str) -> tuple[int, int]:
    """(lowest, highest) value of an integer dtype."""
    ranges = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
    wide = {"int32": (INT32_MIN, INT32_MAX), "int64": (-(1 << 63), (1 << 63) - 1)}
    return (ranges | wide)[dtype]


# gemmlowp's fixed-point numbers: int32 raw values, `bits` integer bits, so real = raw / 2**(31 - bits) -----------------


def multiply_by_pot_saturating(x: Array, exponent: int) -> Array:
    """x * 2**exponent for an int32: saturates upwards, rounds (halves away from zero) downwards. gemmlowp."""
    if exponent >= 0:
        return np.clip(np.left_shift(x, exponent, dtype=np.int64), INT32_MIN, INT32_MAX)
    return rounding_divide_by_pot(x, -exponent)


def exp_on_negative_values(a: Array, bits: int) -> Array:
    """exp(a) for a <= 0 with `bits` <= 5 integer bits; result has none. gemmlowp: Taylor on [-1/4, 0), then a product."""
    a = np.asarray(a, np.int64)
    fraction_bits = 31 - bits
    quarter = 1 << (fraction_bits - 2)
    modulo = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(multiply_by_pot_saturating(modulo, bits))
    remainder = modulo - a
    # exp(-2**e) with no integer bits, e = -2..4.
    powers = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for exponent, power in enumerate(powers, -2):
        if bits > exponent:
            has = (remainder & (1 << (fraction_bits + exponent))) != 0
            result = np.where(has, saturating_rounding_doubling_high_mul(result, power), result)
    return np.where(a == 0, INT32_MAX, result)


def _exp_near_zero(a: Array) -> Array:
    """exp(a) for a in [-1/4, 0), no integer bits: fourth-order Taylor around -1/8."""
    exp_minus_eighth, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = saturating_rounding_doubling_high_mul(x, x)
    x3 = saturating_rounding_doubling_high_mul(x2, x)
    x4 = saturating_rounding_doubling_high_mul(x2, x2)
    inner = saturating_rounding_doubling_high_mul(rounding_divide_by_pot(x4, 2) + x3, third) + x2
    return exp_minus_eighth + saturating_rounding_doubling_high_mul(x + rounding_divide_by_pot(inner, 1), exp_minus_eighth)


def _newton_reciprocal(a: Array) -> Array:
    """2 / (1 + a) for a in [0, 1] (no integer bits), as a number with 2 integer bits: three Newton steps. gemmlowp."""
    total = np.asarray(a, np.int64) + INT32_MAX
    half_denominator = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    x = 1515870810 + saturating_rounding_doubling_high_mul(half_denominator, -1010580540)  # 48/17 - 32/17 d
    for _ in range(3):
        error = (1 << 29) - saturating_rounding_doubling_high_mul(half_denominator, x)
        x = x + multiply_by_pot_saturating(saturating_rounding_doubling_high_mul(x, error), 2)
    return x


def one_over_one_plus(a: Array) -> Array:
    """1 / (1 + a) for a in [0, 1], no integer bits in or out. gemmlowp."""
    return multiply_by_pot_saturating(_newton_reciprocal(a), 1)


def reciprocal(x: Array, bits: int) -> tuple[Array, Array]:
    """(raw r, n): 1 / x = r / 2**31 / 2**n for a positive int32 x with `bits` integer bits. TFLite `GetReciprocal`."""
    x = np.asarray(x, np.int64)
    leading_zeros = 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)
    return one_over_one_plus((x << leading_zeros) - (1 << 31)), bits - leading_zeros


def logarithm(x: Array, bits_in: int, bits_out: int) -> Array:
    """log(x) for x >= 1 with `bits_in` integer bits, result with `bits_out`. TFLite `log_x_for_x_greater_than_or_equal_to_1`.

    x is a power of two (moved by a quarter) times a number r around the fourth root of a half, whose logarithm is a rational
    function of second order.
    """
    mul = saturating_rounding_doubling_high_mul
    x, bits = np.asarray(x, np.int64), bits_out + 1
    log_2, root, fourth_root = 1488522236, 1518500250, 1805811301  # log(2), sqrt(1/2), its root
    quarter = rounding_divide_by_pot(np.asarray(1 << 29), bits)

    def zeros(v: Array) -> Array:
        return 32 - np.frexp(v.astype(np.float64))[1].astype(np.int64)

    def shifted(v: Array, up: Array) -> Array:
        return np.clip(v << up, INT32_MIN, INT32_MAX)

    lead_a, lowered = zeros(x), mul(x, root)
    lead_b = zeros(lowered) - 1
    r_a, r_b = shifted(mul(shifted(x, lead_a - 1), root), np.asarray(1)), shifted(x, lead_b)
    one = 31 - bits
    power_a = np.clip(((bits_in - lead_a) << one) + quarter, INT32_MIN, INT32_MAX)
    power_b = np.clip(((bits_in - lead_b) << one) - quarter, INT32_MIN, INT32_MAX)
    r, power = np.minimum(r_a, r_b), np.maximum(power_a, power_b)
    total = r + fourth_root
    middle = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    q = 2 * (r - fourth_root)
    square = mul(q, q)
    above = mul(q, r) + mul(mul(q, square), 117049297)
    below = mul(middle, 1057819769 + q + mul(square, 127690142)) + mul(q, 638450708)
    part = mul(rounding_divide_by_pot(above, bits), one_over_one_plus(below))
    return multiply_by_pot_saturating(mul(power, log_2) + part, 1)


def inverse_sqrt(x: Array) -> tuple[Array, Array]:
    """(multiplier, n): 1 / sqrt(x) = multiplier / 2**31 / 2**n for an int32 x > 0 (0 counts as 1); 17 bits are right.

    Five Newton steps on a number with 3 integer bits. TFLite `GetInvSqrtQuantizedMultiplierExp`.
    """
    x = np.asarray(x, np.int64)
    bits = np.frexp(x.astype(np.float64))[1].astype(np.int64)  # 2**(bits - 1) <= x < 2**bits
    # x times a power of 4, in 2**27 .. 2**29 - 1.
    down = np.maximum((bits - 28) // 2, 0)
    up = np.where(down > 0, 0, np.maximum((29 - bits) // 2, 0))
    value = (x >> (2 * down)) << (2 * up)
    half = rounding_divide_by_pot(value >> 1, 1)
    y = np.full(x.shape, 1 << 28, np.int64)
    for _ in range(5):
        cube = saturating_rounding_doubling_high_mul(saturating_rounding_doubling_high_mul(y, y), y)
        cube = multiply_by_pot_saturating(cube, 6)
        step = saturating_rounding_doubling_high_mul(y, 3 << 27) - saturating_rounding_doubling_high_mul(cube, half)
        y = multiply_by_pot_saturating(step, 3)
    y = saturating_rounding_doubling_high_mul(y, 1518500250)  # sqrt(1/2)
    n = 11 + down - up
    multiplier, n = np.where(n < 0, y << np.maximum(-n, 0), y), np.maximum(n, 0)
    return np.where(x <= 1, INT32_MAX, multiplier), np.where(x <= 1, 0, n)


def logistic(a: Array, bits: int) -> Array:
    """1 / (1 + exp(-a)), a with `bits` integer bits; result with none. gemmlowp."""
    a = np.asarray(a, np.int64)
    positive = one_over_one_plus(exp_on_negative_values(-np.abs(a), bits))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, INT32_MAX - positive))


def tanh(a: Array, bits: int) -> Array:
    """tanh(a), a with `bits` integer bits; result with none. gemmlowp."""
    a = np.asarray(a, np.int64)
    # (1 - e) / (1 + e) with e = exp(-2|a|): doubling is one more integer bit on the same raw value.
    e = exp_on_negative_values(-np.abs(a), bits + 1)
    size = multiply_by_pot_saturating(_newton_reciprocal(e) - (1 << 29), 2)
    return np.where(a == 0, 0, np.where(a > 0, size, -size))


def input_radius(bits: int, left_shift: int) -> int:
    """Largest |input| whose value, shifted left by `left_shift`, fits `bits` integer bits. TFLite `CalculateInputRadius`."""
    return math.floor(((1 << bits) - 1) * float(1 << (31 - bits)) / float(1 << left_shift))


# 16-bit steps of HARD_SWISH -------------------------------------------------------------------------------------------


def high_mul_int16(a: Array, b: Array | int, rounding: bool = True) -> Array:
    """a * b / 2**15 for int16 a, b: to the nearest (halves upwards), or truncated towards zero. Saturates at -1 * -1."""
    product: Array = np.asarray(a, np.int64) * b
    result = (product + (1 << 14)) >> 15 if rounding else np.where(product >= 0, product >> 15, -((-product) >> 15))
    return np.minimum(result, 32767)


def downscale_multiplier(multiplier: int) -> int:
    """An int32 multiplier rounded to int16. TFLite `DownScaleInt32ToInt16Multiplier`."""
    return 32767 if multiplier >= INT32_MAX - (1 << 15) else (multiplier + (1 << 15)) >> 16
