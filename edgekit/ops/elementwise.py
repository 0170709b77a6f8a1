"""Operators of two values with NumPy broadcasting: ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.fixedpoint import (
    multiply_by_quantized_multiplier,
    reciprocal,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.activation import clamp, fused_of
from edgekit.ops.op import Op, broadcast_shapes, fail, given, same_axes, take
from edgekit.ops.requant import add_params, mul_params


def divide(a: Array, b: Array) -> Array:
    """a / b; whole numbers are truncated towards zero, and over zero are 0."""
    if a.dtype.kind == "f":
        return np.divide(a, b)
    wide, by = a.astype(np.int64), np.where(b == 0, 1, b).astype(np.int64)
    whole = np.sign(wide) * np.sign(by) * (np.abs(wide) // np.abs(by))
    return np.where(b == 0, 0, whole).astype(a.dtype)


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
}


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    a, b = take(node, inputs, 2)
    if a.dtype != b.dtype:
        fail(node, f"inputs are of different dtypes, {a.dtype} and {b.dtype}")
    if node.op == "DIV" and a.dtype not in {"float32", "int8", "int32"}:
        fail(node, f"division of {a.dtype} is not defined")
    fused_of(node)
    return [(broadcast_shapes(node, a.shape, b.shape), a.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b = given(inputs, 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return [clamp(BINARY[node.op](a, b), fused_of(node))]


def integer_add(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """ADD and SUB, through 20 extra bits (int16: 15)."""
    ta, tb = given(ins, 2)
    p = add_params(node, ta, tb, outs[0])
    sides = [
        multiply_by_quantized_multiplier((q.astype(np.int64) - zero) << p.left_shift, multiplier, shift)
        for q, zero, multiplier, shift in zip(given(inputs, 2), p.zeros, p.multipliers, p.shifts, strict=True)
    ]
    total = multiply_by_quantized_multiplier(BINARY[node.op](sides[0], sides[1]), p.out_multiplier, p.out_shift) + p.out_zero
    return [np.clip(total, *p.clamp).astype(NUMPY_DTYPES[outs[0].dtype])]


def integer_mul(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """MUL: the product of the centred inputs, rescaled."""
    ta, tb = given(ins, 2)
    p = mul_params(node, ta, tb, outs[0])
    a, b = (q.astype(np.int64) - zero for q, zero in zip(given(inputs, 2), p.zeros, strict=True))
    scaled = multiply_by_quantized_multiplier(a * b, p.multiplier, p.shift) + p.out_zero
    return [np.clip(scaled, *p.clamp).astype(NUMPY_DTYPES[outs[0].dtype])]


def integer_div(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """DIV on int8 through a fixed-point reciprocal.

    TFLM's kernel leaves two cases undefined in C. Division by zero: here x / 0 saturates by the sign of x, and 0 / 0 is 0.
    A final right shift of 32 and more (quotients well below half a step): here it gives 0, in TFLM anything.
    """
    ta, tb = given(ins, 2)
    p = mul_params(node, ta, tb, outs[0])
    a, b = np.broadcast_arrays(*(q.astype(np.int64) - zero for q, zero in zip(given(inputs, 2), p.zeros, strict=True)))
    a, size = np.where(b < 0, -a, a), np.abs(b)
    inverse, over = reciprocal(np.where(size == 0, 1, size), 31)
    # Shift the dividend as far left as 32 bits allow, to lose nothing in the product.
    headroom = 31 - np.frexp(np.where(a < 0, ~a, a).astype(np.float64))[1].astype(np.int64)
    quotient = saturating_rounding_doubling_high_mul(a << headroom, inverse)
    shift = p.shift - over - headroom
    scaled = rounding_divide_by_pot(saturating_rounding_doubling_high_mul(quotient, p.multiplier), np.clip(-shift, 0, 62))
    result = np.where(size == 0, np.sign(a) * 256, scaled) + p.out_zero
    return [np.clip(result, *p.clamp).astype(np.int8)]


def integer_compare(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """MAXIMUM and MINIMUM compare integers: both inputs and the output share one scale."""
    a, b = given(inputs, 2)
    return [BINARY[node.op](a, b)]


OPS: tuple[Op, ...] = (
    *(
        Op(name, infer, real, rule, attrs={"activation": "NONE"}, coupled=same_axes, elementwise=True)
        for name, rule in (("ADD", integer_add), ("SUB", integer_add), ("MUL", integer_mul))
    ),
    Op("DIV", infer, real, integer_div, coupled=same_axes, elementwise=True),
    Op("MAXIMUM", infer, real, integer_compare, quant="same", coupled=same_axes, elementwise=True),
    Op("MINIMUM", infer, real, integer_compare, quant="same", coupled=same_axes, elementwise=True),
)
