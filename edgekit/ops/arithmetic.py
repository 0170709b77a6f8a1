"""Further operators of two values: POW, ATAN2, SQUARED_DIFFERENCE, FLOOR_DIV, FLOOR_MOD."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.fixedpoint import multiply_by_quantized_multiplier
from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import Op, broadcast_shapes, fail, given, same_axes, take
from edgekit.ops.requant import squared_params
from edgekit.ops.tables import look_up, unary_table


def floor_divide(a: Array, b: Array) -> Array:
    """floor(a / b); whole numbers over zero are 0."""
    if a.dtype.kind == "f":
        return np.floor(a / b)
    return np.where(b == 0, 0, np.floor_divide(a, np.where(b == 0, 1, b))).astype(a.dtype)


def floor_mod(a: Array, b: Array) -> Array:
    """The remainder with the divisor's sign; of whole numbers by zero, 0. A divisor of 0 gives NaN for real numbers."""
    if a.dtype.kind == "f":
        rest = np.fmod(a, b)
        return np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b))).astype(a.dtype)


def power(a: Array, b: Array) -> Array:
    """a ** b; whole numbers modulo 2**32, to a negative power 0 except for 1 and -1 (as truncation has it)."""
    if a.dtype.kind == "f":
        return np.power(a, b)
    result, base, left = np.ones(np.broadcast_shapes(a.shape, b.shape), a.dtype), a, np.maximum(b, 0)
    while np.any(left):
        result = np.where(left & 1, result * base, result)
        base, left = base * base, left >> 1
    odd = np.where(b & 1, a, a * a)
    return np.where(b < 0, np.where(np.abs(a) == 1, odd, 0), result).astype(a.dtype)


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "ATAN2": np.arctan2,
    "FLOOR_DIV": floor_divide,
    "FLOOR_MOD": floor_mod,
    "POW": power,
    "SQUARED_DIFFERENCE": lambda a, b: (a - b) * (a - b),
}

KINDS: dict[str, frozenset[str]] = {
    "ATAN2": frozenset({"float32"}),
    "FLOOR_DIV": frozenset({"float32", "int32"}),
    "FLOOR_MOD": frozenset({"float32", "int32"}),
    "POW": frozenset({"float32", "int32", "int8"}),
    "SQUARED_DIFFERENCE": frozenset({"float32", "int32", "int8"}),
}


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    a, b = take(node, inputs, 2)
    exponent = node.op == "POW" and a.dtype == "int8" and b.dtype == "float32"
    if a.dtype != b.dtype and not exponent:
        fail(node, f"inputs are of different dtypes, {a.dtype} and {b.dtype}")
    if a.dtype not in KINDS[node.op]:
        fail(node, f"is not defined for {a.dtype}")
    return [(broadcast_shapes(node, a.shape, b.shape), a.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b = given(inputs, 2)
    with np.errstate(all="ignore"):
        return [np.asarray(BINARY[node.op](a, b), a.dtype)]


def integer_squared_difference(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """Both inputs on a common scale with 7 extra bits; their difference squared, rescaled. TFLM's rule."""
    ta, tb = given(ins, 2)
    p = squared_params(node, ta, tb, outs[0])
    a, b = (
        multiply_by_quantized_multiplier((q.astype(np.int64) - zero) << p.left_shift, multiplier, shift)
        for q, zero, multiplier, shift in zip(given(inputs, 2), p.zeros, p.multipliers, p.shifts, strict=True)
    )
    total = multiply_by_quantized_multiplier((a - b) * (a - b), p.out_multiplier, p.out_shift) + p.out_zero
    return [np.clip(total, *p.clamp).astype(np.int8)]


def integer_power(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """x ** constant, by table."""
    tx, exponent = given(ins, 2)
    return [look_up(unary_table(power_node(node, exponent), tx, outs[0]), given(inputs)[0])]


def power_node(node: Node, exponent: Tensor) -> Node:
    """The POW node with its exponent among the attributes, for its table. Raises BadModel when it is not one constant."""
    if exponent.data is None or exponent.elements != 1:
        fail(node, "its integer meaning needs one constant exponent")
    return Node(node.op, node.inputs[:1], node.outputs, {"exponent": float(exponent.real().reshape(()))}, node.source)


OPS: tuple[Op, ...] = (
    Op("ATAN2", infer, real, None, coupled=same_axes, elementwise=True),
    Op("FLOOR_DIV", infer, real, None, coupled=same_axes, elementwise=True),
    Op("FLOOR_MOD", infer, real, None, coupled=same_axes, elementwise=True),
    Op("POW", infer, real, integer_power, ids=(1,), coupled=same_axes, elementwise=True),
    Op("SQUARED_DIFFERENCE", infer, real, integer_squared_difference, coupled=same_axes, elementwise=True),
)
