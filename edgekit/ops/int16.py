"""int16 activations (scheme int16x8): what operators do with them where that differs from int8.

Activations are symmetric (zero point 0), weights int8, biases int64. The rules are TensorFlow Lite Micro's (kernels and
`reference_integer_ops` for int16). Sums of products are exact in 64 bits and rescaled by a multiplier of 16 bits, rounded
once; ADD and SUB have 15 extra bits (int8: 20); sigmoid and tanh interpolate in one table of 256 numbers, softmax in two of
512. Operators that only move, compare, add or average integers mean the same in both widths and stand in their own files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Tensor
from edgekit.ops.gates import SIGMOID, sigmoid_steps, tanh_steps
from edgekit.ops.op import IntegerRule, Op, fail, given
from edgekit.ops.requant import activation_range, data_quant, requantize_params, scale_of

__all__ = ["SIGMOID", "WIDE", "softmax_tables", "softmax_wide_params", "steps_params", "wide"]

# Operators whose own integer rule takes both widths. TFLM has int16 kernels for these and for RULES.
SAME_RULE = frozenset(
    "CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED TRANSPOSE_CONV BATCH_MATMUL ADD SUB MUL MAXIMUM MINIMUM AVERAGE_POOL_2D "
    "MAX_POOL_2D MEAN SUM CONCATENATION RESHAPE TRANSPOSE SLICE SPLIT PAD RESIZE_NEAREST_NEIGHBOR".split()
)
# Their own meaning is of any width, too, but TFLM has no kernel; or they handle widths themselves.
ANY_WIDTH = frozenset("GATHER GATHER_ND TILE BROADCAST_TO CAST SELECT_V2 QUANTIZE DEQUANTIZE LSTM GRU RNN".split())


def check(node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> None:
    """Raises BadModel where quantized activations are not all int16 with zero point 0."""
    for tensor in (*ins, *outs):
        if tensor is not None and tensor.dtype == "int16":
            if np.any(data_quant(node, tensor).zero_point != 0):
                fail(node, f"'{tensor.name}' is int16 with a zero point; int16 values are symmetric")
        elif tensor is not None and tensor.quant is not None and not tensor.is_const:
            fail(node, f"'{tensor.name}' is {tensor.dtype} beside int16 values")


def steps_params(node: Node, x: Tensor) -> tuple[int, int]:
    """(multiplier, right shift) that bring LOGISTIC's and TANH's input to steps of 1 / (3 * 4096).

    TFLite `LogisticPrepare`, `TanhPrepare`: the largest multiplier of 15 bits, truncated; exact for the scales that need none.
    """
    scale = scale_of(data_quant(node, x))
    power = int(np.floor(np.log2(scale) + 0.5))
    if 2.0**power == scale and power in (-12, -11):
        return 3 << (power + 12), 0
    real, shift = scale * 4096.0 * 3.0, 0
    while real <= 32767.0 / 2.0 and shift <= 30:
        real, shift = real * 2.0, shift + 1
    if real >= 65536.0:
        fail(node, f"its input '{x.name}' has a scale of {scale:.3g}, its kernel takes up to 5.3: saturate it before")
    return int(real), shift


def sigmoid(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """LOGISTIC and TANH; outputs of scale 2**-15."""
    (x,), (tx,) = given(inputs), given(ins)
    if data_quant(node, outs[0]).scale[0] != np.float32(1 / 32768):
        fail(node, f"its output '{outs[0].name}' must have scale 1/32768")
    multiplier, shift = steps_params(node, tx)
    steps = fixedpoint.wrap_int32(x.astype(np.int64) * multiplier + ((1 << shift) >> 1)) >> shift
    return [(sigmoid_steps if node.op == "LOGISTIC" else tanh_steps)(steps).astype(np.int16)]


def relu(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """RELU, RELU6, RELU_N1_TO_1: rescale, then clamp."""
    (x,), (tx,) = given(inputs), given(ins)
    moved = fixedpoint.multiply_by_quantized_multiplier(x.astype(np.int64), *requantize_params(node, tx, outs[0]))
    return [np.clip(moved, *activation_range(node.op, data_quant(node, outs[0]))).astype(np.int16)]


def leaky_params(node: Node, x: Tensor, y: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """(multiplier, shift) of inputs from zero up, and of those below."""
    alpha = float(np.float32(node.attrs.get("alpha", 0.01)))
    scales = [scale_of(data_quant(node, t)) for t in (x, y)]
    return requantize_params(node, x, y), fixedpoint.quantize_multiplier(scales[0] * alpha / scales[1])


def leaky_relu(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """One multiplier a side."""
    (x,), (tx,) = given(inputs), given(ins)
    wide = x.astype(np.int64)
    above, below = (fixedpoint.multiply_by_quantized_multiplier(wide, *p) for p in leaky_params(node, tx, outs[0]))
    return [np.clip(np.where(wide >= 0, above, below), -32768, 32767).astype(np.int16)]


@cache
def softmax_tables() -> tuple[Array, Array]:
    """(exp(x) for x in -10..0, 1 / (1 + x) for x in 0..1): int16[513] each, of scale 2**-15. TFLite `LUTPopulate`: each entry
    is moved by half of what the middle of its line is off."""
    steps = np.float32(65535)
    return (
        _table(np.float32(10) / steps, 32767, lambda v: np.exp(v.astype(np.float64))),
        _table(np.float32(1) / steps, -32768, lambda v: np.float32(1) / (np.float32(1) + v)),
    )


def _table(scale: np.float32, zero: int, function: Callable[[Array], Array]) -> Array:
    """int16[513] of a function of scale * (q - zero); its values in steps of 2 / 65535."""
    low, high = (scale * np.float32(q - zero) for q in (-32768, 32767))
    step = (high - low) / np.float32(512)
    half = step / np.float32(2)
    fine = np.float32(2) / np.float32(65535)
    inverse = np.float32(65536) / (fine * np.float32(32767) - fine * np.float32(-32768))
    places = low + np.arange(512, dtype=np.float32) * step
    here, middle, following = (
        function(v.astype(np.float32)).astype(np.float32) * inverse
        for v in (places, places + half, low + np.arange(1, 513, dtype=np.float32) * step)
    )
    rounded = _round(here)
    off = _round((following + rounded) / np.float32(2)) - _round(middle)
    entries = np.append(rounded - _round(off / np.float32(2)), _round(function(np.array([high], np.float32)) * inverse))
    table: Array = np.clip(entries, -32768, 32767).astype(np.int16)
    return table


def _round(x: Array) -> Array:
    return fixedpoint.round_half_away(x).astype(np.float32)


def look_up(table: Array, x: Array) -> Array:
    """The table at int16 values x (int64), linear between its entries: 7 bits after the point. TFLite `LUTLookup`."""
    wide = table.astype(np.int64)
    index = 256 + (x >> 7)
    base = wide[index]
    between: Array = base + (((wide[index + 1] - base) * (x & 0x7F) + 64) >> 7)
    return between


def softmax_wide_params(node: Node, x: Tensor, y: Tensor) -> tuple[int, int]:
    """(multiplier, shift) that bring a difference to the row's maximum to steps of 10 / 65535."""
    if data_quant(node, y).scale[0] != np.float32(1 / 32768):
        fail(node, f"its output '{y.name}' must have scale 1/32768")
    beta = float(np.float32(node.attrs.get("beta", 1.0)))
    return fixedpoint.quantize_multiplier(scale_of(data_quant(node, x)) * beta / (10.0 / 65535.0))


def softmax(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """Over the last axis: exp and the reciprocal of the sum from tables."""
    (x,), (tx,) = given(inputs), given(ins)
    exp, reciprocal = softmax_tables()
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    scaled = fixedpoint.multiply_by_quantized_multiplier(difference, *softmax_wide_params(node, tx, outs[0]))
    exps = look_up(exp, np.clip(scaled + 32767, -32768, 32767))
    total = exps.sum(axis=-1, keepdims=True)
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)  # leading zeros of the 32-bit sum
    share = ((total << (headroom - 1)) + (1 << 13)) >> 14
    inverse = look_up(reciprocal, np.clip(share - (1 << 15) - (1 << 16), -32768, 32767))
    right = 31 - headroom
    result = (exps * inverse + (np.int64(1) << (right - 1))) >> right
    return [np.clip(result, 0, 32767).astype(np.int16)]


RULES: dict[str, IntegerRule] = {
    "LOGISTIC": sigmoid,
    "TANH": sigmoid,
    "RELU": relu,
    "RELU6": relu,
    "RELU_N1_TO_1": relu,
    "LEAKY_RELU": leaky_relu,
    "SOFTMAX": softmax,
}
# Operators that run on int16 activations.
WIDE = SAME_RULE | RULES.keys()


def wide(entry: Op) -> Op:
    """The entry with an integer meaning for both widths; int16 values are refused where there is only the one of int8."""
    narrow = entry.integer
    if narrow is None or entry.name in ANY_WIDTH:
        return entry
    chosen = RULES.get(entry.name, narrow if entry.name in SAME_RULE else None)

    def rule(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
        if not any(t is not None and t.dtype == "int16" for t in (*ins, *outs)):
            return narrow(node, inputs, ins, outs)
        if chosen is None:
            fail(node, "has no int16 meaning")
        check(node, ins, outs)
        return chosen(node, inputs, ins, outs)

    return replace(entry, integer=rule)
