"""How integer kernels rescale: multipliers, shifts and clamps of every op, derived from the tensors' Quants.

One definition with two users, the reference (`edgekit.ops`) and the C generator. The rules are those of TensorFlow Lite Micro
as its pinned wheel has them: products and quotients of scales are formed in float64 from the float32 scales (older sources
form some in float32, which moves a rare output by one). A pair (multiplier, shift) goes to
`fixedpoint.multiply_by_quantized_multiplier`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Quant, Tensor
from edgekit.ops.op import fail

BOUNDS: dict[str, tuple[float, float]] = {
    "NONE": (-np.inf, np.inf),
    "RELU": (0.0, np.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def scale_of(quant: Quant) -> float:
    """The scale of a per-tensor Quant as a float64 (the float32 value, exactly)."""
    return float(quant.scale[0])


def zero_of(quant: Quant) -> int:
    """The zero point of a per-tensor Quant."""
    return int(quant.zero_point[0])


def quant_of(node: Node, tensor: Tensor) -> Quant:
    """The tensor's per-tensor integer Quant. Raises BadModel when it has none."""
    if tensor.quant is None or tensor.quant.scale.size != 1 or tensor.dtype not in {"int8", "int16", "int32", "uint8"}:
        fail(node, f"'{tensor.name}' ({tensor.dtype}) needs one integer scale and zero point")
    return tensor.quant


def int8_quant(node: Node, tensor: Tensor) -> Quant:
    """The tensor's per-tensor int8 Quant. Raises BadModel when it is anything else."""
    quant = quant_of(node, tensor)
    if tensor.dtype != "int8":
        fail(node, f"'{tensor.name}' is {tensor.dtype}; its integer kernel takes int8")
    return quant


def data_quant(node: Node, tensor: Tensor) -> Quant:
    """The Quant of a value of one scale that is int8 or int16 (the latter: see `ops.int16`). Raises BadModel for others."""
    return quant_of(node, tensor) if tensor.dtype == "int16" else int8_quant(node, tensor)


def activation_range(activation: str, quant: Quant) -> tuple[int, int]:
    """(lowest, highest) integer a fused activation lets through, in the output's `quant`."""
    low, high = fixedpoint.integer_range(quant.dtype)
    bounds = []
    for bound, edge in zip(BOUNDS[activation], (low, high), strict=True):
        steps = 0.0 if np.isinf(bound) else float(fixedpoint.round_half_away(np.float32(bound) / quant.scale[0]))
        bounds.append(edge if np.isinf(bound) else int(np.clip(steps + zero_of(quant), low, high)))
    return bounds[0], bounds[1]


def conv_requant(node: Node, x: Tensor, w: Tensor, y: Tensor) -> tuple[Array, Array]:
    """(multipliers int64[O], shifts int64[O]) of CONV_2D and DEPTHWISE_CONV_2D; O = y's channels, also for one weight scale."""
    if w.quant is None or np.any(w.quant.zero_point != 0):
        fail(node, f"weights '{w.name}' need a symmetric Quant")
    return dense_requant(node, x, w, y)


def weight_quant(node: Node, w: Tensor) -> Quant:
    """The Quant of integer weights, one scale or one a channel. Raises BadModel when they have none."""
    if w.quant is None:
        fail(node, f"weights '{w.name}' have no Quant")
    return w.quant


def dense_requant(node: Node, x: Tensor, w: Tensor, y: Tensor) -> tuple[Array, Array]:
    """(multipliers int64[O], shifts int64[O]) of FULLY_CONNECTED, whose weights may have a zero point."""
    scale = weight_quant(node, w).scale
    real = scale_of(data_quant(node, x)) * scale.astype(np.float64) / scale_of(data_quant(node, y))
    return fixedpoint.quantize_multipliers(np.broadcast_to(real, (y.shape[-1],)))


@dataclass(frozen=True)
class AddParams:
    """ADD and SUB: each input is (q - zero) << left_shift, rescaled; their sum is rescaled and offset, then clamped."""

    left_shift: int
    zeros: tuple[int, int]
    multipliers: tuple[int, int]
    shifts: tuple[int, int]
    out_multiplier: int
    out_shift: int
    out_zero: int
    clamp: tuple[int, int]


def add_params(node: Node, a: Tensor, b: Tensor, y: Tensor) -> AddParams:
    """ADD and SUB. On int8, an output scale below 2**-19 of the inputs' is more than TFLM takes."""
    qa, qb, qy = (data_quant(node, t) for t in (a, b, y))
    left_shift = 15 if y.dtype == "int16" else 20
    twice = 2 * max(scale_of(qa), scale_of(qb))
    ma, ha = fixedpoint.quantize_multiplier(scale_of(qa) / twice)
    mb, hb = fixedpoint.quantize_multiplier(scale_of(qb) / twice)
    mo, ho = fixedpoint.quantize_multiplier(twice / ((1 << left_shift) * scale_of(qy)))
    activation = str(node.attrs.get("activation", "NONE"))
    return AddParams(
        left_shift, (zero_of(qa), zero_of(qb)), (ma, mb), (ha, hb), mo, ho, zero_of(qy), activation_range(activation, qy)
    )


@dataclass(frozen=True)
class MulParams:
    """MUL and DIV: zero points of the inputs, one rescale, zero point of the output, clamp."""

    zeros: tuple[int, int]
    multiplier: int
    shift: int
    out_zero: int
    clamp: tuple[int, int]


def mul_params(node: Node, a: Tensor, b: Tensor, y: Tensor) -> MulParams:
    """MUL and DIV."""
    qa, qb, qy = (data_quant(node, t) for t in (a, b, y))
    product = scale_of(qb) * scale_of(qy)
    real = scale_of(qa) / product if node.op == "DIV" else scale_of(qa) * scale_of(qb) / scale_of(qy)
    multiplier, shift = fixedpoint.quantize_multiplier(real)
    activation = str(node.attrs.get("activation", "NONE"))
    return MulParams((zero_of(qa), zero_of(qb)), multiplier, shift, zero_of(qy), activation_range(activation, qy))


def requantize_params(node: Node, x: Tensor, y: Tensor) -> tuple[int, int]:
    """(multiplier, shift) from x's scale to y's: QUANTIZE of integers, RELU, SUM, the positive side of PRELU."""
    return fixedpoint.quantize_multiplier(scale_of(quant_of(node, x)) / scale_of(quant_of(node, y)))


def prelu_params(node: Node, x: Tensor, slope: Tensor, y: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """((multiplier, shift) of inputs >= zero, the same of (input * slope) below zero)."""
    product = scale_of(int8_quant(node, x)) * scale_of(int8_quant(node, slope))
    return requantize_params(node, x, y), fixedpoint.quantize_multiplier(product / scale_of(int8_quant(node, y)))


@dataclass(frozen=True)
class ReduceParams:
    """MEAN and SUM of `count` integers: y = clamp(rescale(sum - zero * count) + out_zero)."""

    count: int
    zero: int
    multiplier: int
    shift: int
    out_zero: int


def reduce_params(node: Node, x: Tensor, y: Tensor) -> ReduceParams:
    """MEAN and SUM. MEAN's 1 / count is folded into the multiplier by an integer division, as TFLM does."""
    qx, qy = data_quant(node, x), data_quant(node, y)
    count = int(np.prod([x.shape[a] for a in node.attrs["axes"]], dtype=np.int64))
    multiplier, shift = requantize_params(node, x, y)
    if node.op == "MEAN":
        drop = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << drop) // count, shift - drop
    return ReduceParams(count, zero_of(qx), multiplier, shift, zero_of(qy))


@dataclass(frozen=True)
class SoftmaxParams:
    """SOFTMAX: a difference to the row's maximum below diff_min counts as nothing; others are (d << left_shift) * multiplier
    / 2**31, a number with 5 integer bits for `fixedpoint.exp_on_negative_values`."""

    multiplier: int
    left_shift: int
    diff_min: int


def softmax_params(node: Node, x: Tensor, y: Tensor) -> SoftmaxParams:
    """SOFTMAX on int8; its output is 1/256, -128."""
    quant = int8_quant(node, y)
    if quant.scale[0] != np.float32(1 / 256) or zero_of(quant) != -128:
        fail(node, f"its output '{y.name}' must have scale 1/256 and zero point -128")
    beta = float(np.float32(node.attrs.get("beta", 1.0)))
    real = min(beta * scale_of(int8_quant(node, x)) * (1 << 26), (1 << 31) - 1.0)
    multiplier, left_shift = fixedpoint.quantize_multiplier(real)
    if left_shift < 0:
        fail(node, f"its input '{x.name}' has a scale too small for a softmax")
    return SoftmaxParams(multiplier, left_shift, -fixedpoint.input_radius(5, left_shift))


@dataclass(frozen=True)
class CompareParams:
    """Comparisons: each input is (q - zero) << left_shift, rescaled to real numbers in steps of 2**-left_shift."""

    left_shift: int
    zeros: tuple[int, int]
    multipliers: tuple[int, int]
    shifts: tuple[int, int]


def compare_params(node: Node, a: Tensor, b: Tensor) -> CompareParams:
    """EQUAL and its kin on int8."""
    qa, qb = (int8_quant(node, t) for t in (a, b))
    (ma, ha), (mb, hb) = (fixedpoint.quantize_multiplier(scale_of(q)) for q in (qa, qb))
    return CompareParams(8, (zero_of(qa), zero_of(qb)), (ma, mb), (ha, hb))


def squared_params(node: Node, a: Tensor, b: Tensor, y: Tensor) -> AddParams:
    """SQUARED_DIFFERENCE on int8."""
    qa, qb, qy = (int8_quant(node, t) for t in (a, b, y))
    left_shift = 7
    twice = 2 * max(scale_of(qa), scale_of(qb))
    ma, ha = fixedpoint.quantize_multiplier(scale_of(qa) / twice)
    mb, hb = fixedpoint.quantize_multiplier(scale_of(qb) / twice)
    mo, ho = fixedpoint.quantize_multiplier(twice * twice / ((1 << left_shift * 2) * scale_of(qy)))
    return AddParams(left_shift, (zero_of(qa), zero_of(qb)), (ma, mb), (ha, hb), mo, ho, zero_of(qy), (-128, 127))
