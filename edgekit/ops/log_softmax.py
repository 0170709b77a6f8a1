"""LOG_SOFTMAX: the logarithm of a softmax over the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Tensor
from edgekit.ops.activation import infer_softmax, leading_axes
from edgekit.ops.op import Op, fail, given
from edgekit.ops.requant import int8_quant, scale_of, zero_of

FIXED = {"int8": (16 / 256, 127)}  # -16 to 0


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    shifted = x - x.max(axis=-1, keepdims=True)
    return [shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))]


@dataclass(frozen=True)
class LogParams:
    """multiplier, shift: bring a difference to the row's maximum to a number with 5 integer bits; one below diff_min adds
    nothing to the sum. back, back_shift: the inverse, with which the least difference that has an output is found."""

    multiplier: int
    shift: int
    diff_min: int
    back: int
    back_shift: int


def log_params(node: Node, x: Tensor, y: Tensor) -> LogParams:
    """LOG_SOFTMAX on int8; its output is 1/16, 127. TFLite `PreprocessLogSoftmaxScalingExp`."""
    quant = int8_quant(node, y)
    if quant.scale[0] != np.float32(16 / 256) or zero_of(quant) != 127:
        fail(node, f"its output '{y.name}' must have scale 1/16 and zero point 127")
    multiplier, shift = fixedpoint.quantize_multiplier(min(scale_of(int8_quant(node, x)) * (1 << 26), (1 << 31) - 1.0))
    if shift < 0:
        fail(node, f"its input '{x.name}' has a scale too small for a softmax")
    back, back_shift = fixedpoint.quantize_multiplier((1 << (31 - shift)) / multiplier)
    return LogParams(multiplier, shift, -fixedpoint.input_radius(5, shift), back, back_shift)


def integer(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """Over the last axis: exp, the logarithm of their sum (12 integer bits) and the difference, in gemmlowp fixed point."""
    (x,), (tx,) = given(inputs), given(ins)
    p = log_params(node, tx, outs[0])
    differences = np.arange(-255, 1, dtype=np.int64)
    scaled = fixedpoint.multiply_by_quantized_multiplier(differences, p.multiplier, p.shift)
    counts = differences >= p.diff_min
    exps = np.where(counts, fixedpoint.exp_on_negative_values(np.where(counts, scaled, 0), 5), 0)
    place = x.astype(np.int64) - x.max(axis=-1, keepdims=True) + 255
    total = fixedpoint.rounding_divide_by_pot(exps, 12)[place].sum(axis=-1, keepdims=True)
    log = fixedpoint.logarithm(fixedpoint.wrap_int32(total), 12, 5)
    least = fixedpoint.multiply_by_quantized_multiplier(log + fixedpoint.INT32_MIN, p.back, p.back_shift)
    result = fixedpoint.rounding_divide_by_pot(fixedpoint.wrap_int32(scaled[place] - log), 22) + 127
    kept = np.where(place - 255 > np.maximum(p.diff_min - 1, least), result, -128)
    return [np.clip(kept, -128, 127).astype(np.int8)]


OPS: tuple[Op, ...] = (Op("LOG_SOFTMAX", infer_softmax, real, integer, quant="fixed", fixed=FIXED, coupled=leading_axes),)
