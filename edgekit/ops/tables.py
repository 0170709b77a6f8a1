"""int8 -> int8 functions as tables of 256 entries: the whole integer meaning of a one-input elementwise op."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Tensor
from edgekit.ops import functions
from edgekit.ops.op import fail
from edgekit.ops.requant import activation_range, int8_quant, requantize_params, scale_of, softmax_params, zero_of

INPUTS: Array = np.arange(-128, 128, dtype=np.int64)


def rescaled(node: Node, x: Tensor, y: Tensor) -> Array:
    """Each int8 of x's scale, in y's: int64, not clamped."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    moved = fixedpoint.multiply_by_quantized_multiplier(INPUTS - zero_of(qx), *requantize_params(node, x, y))
    return moved + zero_of(qy)


def relu_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """Rescale, then clamp. TFLM's RELU6 only clamps: it takes equal scales, between which rescaling changes nothing."""
    return np.clip(rescaled(node, x, y), *activation_range(node.op, int8_quant(node, y)))


def leaky_relu_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """One multiplier a side."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    alpha = float(np.float32(node.attrs.get("alpha", 0.01)))
    centred = INPUTS - zero_of(qx)
    positive = requantize_params(node, x, y)
    negative = fixedpoint.quantize_multiplier(scale_of(qx) * alpha / scale_of(qy))
    sides = [fixedpoint.multiply_by_quantized_multiplier(centred, *pair) for pair in (positive, negative)]
    return np.where(centred >= 0, sides[0], sides[1]) + zero_of(qy)


def sigmoid_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """LOGISTIC and TANH: gemmlowp fixed point with 4 integer bits; the output scale is 1/256 (zero -128) or 1/128 (zero 0)."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    function, bits, zero = (fixedpoint.logistic, 8, -128) if node.op == "LOGISTIC" else (fixedpoint.tanh, 7, 0)
    fraction = 1 << bits
    if qy.scale[0] != np.float32(1 / fraction) or zero_of(qy) != zero:
        fail(node, f"its output '{y.name}' must have scale 1/{fraction} and zero point {zero}")
    multiplier, left_shift = fixedpoint.quantize_multiplier(scale_of(qx) * (1 << 27))
    radius = fixedpoint.input_radius(4, max(left_shift, 0))
    centred = INPUTS - zero_of(qx)
    inside = np.where(np.abs(centred) < radius, centred, 0)
    raw = function(fixedpoint.multiply_by_quantized_multiplier(inside, multiplier, left_shift), 4)
    values = fixedpoint.rounding_divide_by_pot(raw, 31 - bits) + zero
    return np.where(centred <= -radius, -128, np.where(centred >= radius, 127, values))


def hard_swish_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """x * relu6(x + 3) / 6 in 16 bits: x on a fine output scale times a multiplier in [0, 1] that grows over [-3, 3]."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    fine = np.float32(1 / 128) * qx.scale[0]
    out_multiplier, out_shift = fixedpoint.quantize_multiplier(float(fine) / scale_of(qy))
    gate_multiplier, gate_shift = fixedpoint.quantize_multiplier(float(fine / np.float32(3 / 32768)))
    if out_shift > 0:
        fail(node, f"its output scale is less than 1/128 of its input's, '{x.name}'")
    value = (INPUTS - zero_of(qx)) << 7
    product = fixedpoint.high_mul_int16(value, fixedpoint.downscale_multiplier(out_multiplier))
    gate = value
    if gate_shift > 0:
        gate = np.clip(gate << (gate_shift - 1), -32768, 32767)
    gate = fixedpoint.high_mul_int16(gate, fixedpoint.downscale_multiplier(gate_multiplier))
    gate = np.clip(gate << 1, -32768, 32767) if gate_shift > 0 else fixedpoint.rounding_divide_by_pot(gate, -gate_shift)
    gate = (gate + (1 << 15)) >> 1
    scaled = fixedpoint.high_mul_int16(gate, product, rounding=False)
    return fixedpoint.rounding_divide_by_pot(scaled, -out_shift) + zero_of(qy)


def elu_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """alpha * (exp(x) - 1) below zero, in float32 (TFLM has alpha = 1)."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    real = fixedpoint.dequantize(INPUTS, qx.scale[0], zero_of(qx))
    power = np.exp(np.minimum(real, 0).astype(np.float64)).astype(np.float32)
    below = (power - np.float32(1)) * np.float32(node.attrs.get("alpha", 1.0))
    steps = np.where(real < 0, below, real) * (np.float32(1) / qy.scale[0])
    whole: Array = fixedpoint.round_half_away(steps).astype(np.int64)
    return whole + zero_of(qy)


def rsqrt_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """1 / sqrt in fixed point with 20 more bits; inputs up to zero give the highest integer (TFLM refuses those below)."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    centred = INPUTS - zero_of(qx)
    root = float(np.sqrt(qx.scale[0]))
    multiplier, shift = fixedpoint.quantize_multiplier(1.0 / (root * scale_of(qy)))
    inverse, right = fixedpoint.inverse_sqrt(np.maximum(centred, 1))
    fine = fixedpoint.multiply_by_quantized_multiplier(np.ones_like(centred), inverse, 20 - right)
    values = fixedpoint.multiply_by_quantized_multiplier(fine, multiplier, shift - 20) + zero_of(qy)
    return np.where(centred <= 0, 127, values)


def hard_sigmoid_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """quantize(clip(alpha * dequantize(q) + beta, 0, 1)) in float32: edgekit's own, TFLM has no such op."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    real = fixedpoint.dequantize(INPUTS, qx.scale[0], zero_of(qx))
    alpha, beta = (np.float32(node.attrs.get(name, default)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    return fixedpoint.quantize(np.clip(real * alpha + beta, 0, 1), qy.scale[0], zero_of(qy))


def abs_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """|q - zero|, rescaled: TFLM's ABS, which rescales only between different scales."""
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    size: Array = np.abs(INPUTS - zero_of(qx))
    if qx.scale[0] != qy.scale[0]:
        size = fixedpoint.multiply_by_quantized_multiplier(size, *requantize_params(node, x, y))
    return size + zero_of(qy)


def real_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """quantize(f(dequantize(q))) for an operator of `functions`; beyond f's domain, its value at the edge."""
    return _quantized(node, x, y, lambda v: functions.on_domain(node.op, v, node.attrs))


def power_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """x ** exponent; a fraction of a negative number is taken of zero."""
    exponent = float(node.attrs["exponent"])

    def power(v: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.power((v if exponent.is_integer() else np.maximum(v, 0)) + 0.0, exponent)

    return _quantized(node, x, y, power)


def _quantized(node: Node, x: Tensor, y: Tensor, function: Callable[[Array], Array]) -> Array:
    qx, qy = int8_quant(node, x), int8_quant(node, y)
    real = function((INPUTS - zero_of(qx)) * scale_of(qx)) / scale_of(qy)
    return np.clip(fixedpoint.round_half_away(np.clip(real, -1e6, 1e6)).astype(np.int64) + zero_of(qy), -128, 127)


TABLES: dict[str, Callable[[Node, Tensor, Tensor], Array]] = {
    **dict.fromkeys(functions.FUNCTIONS, real_table),
    "ABS": abs_table,
    "POW": power_table,
    "RELU": relu_table,
    "RELU6": relu_table,
    "RELU_N1_TO_1": relu_table,
    "LEAKY_RELU": leaky_relu_table,
    "ELU": elu_table,
    "LOGISTIC": sigmoid_table,
    "TANH": sigmoid_table,
    "HARD_SWISH": hard_swish_table,
    "HARD_SIGMOID": hard_sigmoid_table,
    "RSQRT": rsqrt_table,
    "QUANTIZE": rescaled,
}


def unary_table(node: Node, x: Tensor, y: Tensor) -> Array:
    """int8[256]: the output for input q stands at q + 128. For the ops of TABLES, int8 in and out (both per tensor).

    Raises BadModel when a Quant is missing or not what the op fixes.
    """
    return np.clip(TABLES[node.op](node, x, y), -128, 127).astype(np.int8)


def softmax_exps(node: Node, x: Tensor, y: Tensor) -> Array:
    """int32[256] of SOFTMAX: exp((q - maximum) * scale * beta) stands at q - maximum + 255, with no integer bits.

    Differences too small to count are 0 (`softmax_params().diff_min`): they add nothing and come out as the lowest integer.
    """
    params = softmax_params(node, x, y)
    differences = np.arange(-255, 1, dtype=np.int64)
    scaled = fixedpoint.saturating_rounding_doubling_high_mul(differences << params.left_shift, params.multiplier)
    counts = differences >= params.diff_min
    exps = fixedpoint.exp_on_negative_values(np.where(counts, scaled, 0), 5)
    return np.where(counts, exps, 0).astype(np.int32)


def look_up(table: Array, q: Array) -> Array:
    """table[q + 128] for int8 q of any shape."""
    found: Array = table[q.view(np.uint8) ^ np.uint8(128)]
    return found
