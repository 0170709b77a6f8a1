"""Comparisons (bool out), logic on bool, and SELECT_V2."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.fixedpoint import multiply_by_quantized_multiplier
from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import Op, broadcast_shapes, fail, given, same_axes, take
from edgekit.ops.requant import compare_params

COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "EQUAL": np.equal,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "NOT_EQUAL": np.not_equal,
}
LOGIC: dict[str, Callable[[Array, Array], Array]] = {"LOGICAL_AND": np.logical_and, "LOGICAL_OR": np.logical_or}


def infer_compare(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    a, b = take(node, inputs, 2)
    if a.dtype != b.dtype:
        fail(node, f"inputs are of different dtypes, {a.dtype} and {b.dtype}")
    if a.dtype == "bool" and node.op not in {"EQUAL", "NOT_EQUAL"}:
        fail(node, "is not defined for bool")
    return [(broadcast_shapes(node, a.shape, b.shape), "bool")]


def infer_logic(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    tensors = take(node, inputs, 1 if node.op == "LOGICAL_NOT" else 2)
    if any(t.dtype != "bool" for t in tensors):
        fail(node, f"inputs are {', '.join(t.dtype for t in tensors)}, not bool")
    return [(broadcast_shapes(node, *(t.shape for t in tensors)), "bool")]


def infer_select(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    condition, a, b = take(node, inputs, 3)
    if condition.dtype != "bool":
        fail(node, f"its condition is {condition.dtype}, not bool")
    if a.dtype != b.dtype:
        fail(node, f"values are of different dtypes, {a.dtype} and {b.dtype}")
    return [(broadcast_shapes(node, condition.shape, a.shape, b.shape), a.dtype)]


def real_compare(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [COMPARE[node.op](*given(inputs, 2))]


def real_logic(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [LOGIC[node.op](*given(inputs, 2))]


def real_not(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.logical_not(given(inputs)[0])]


def real_select(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.where(*given(inputs, 3))]


def integer_compare(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """Both sides as real numbers in steps of 1/256, TFLM's rule: values nearer than that may compare as equal."""
    ta, tb = given(ins, 2)
    p = compare_params(node, ta, tb)
    sides = [
        multiply_by_quantized_multiplier((q.astype(np.int64) - zero) << p.left_shift, multiplier, shift)
        for q, zero, multiplier, shift in zip(given(inputs, 2), p.zeros, p.multipliers, p.shifts, strict=True)
    ]
    return [COMPARE[node.op](*sides)]


def integer_select(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """Integers are chosen as they are: both values and the output share one scale."""
    return real_select(node, inputs)


OPS: tuple[Op, ...] = (
    *(Op(name, infer_compare, real_compare, integer_compare, coupled=same_axes, elementwise=True) for name in COMPARE),
    *(Op(name, infer_logic, real_logic, quant="none", coupled=same_axes, elementwise=True) for name in LOGIC),
    Op("LOGICAL_NOT", infer_logic, real_not, quant="none", coupled=same_axes, elementwise=True),
    Op("SELECT_V2", infer_select, real_select, integer_select, quant="same", ids=(0,), coupled=same_axes, elementwise=True),
)
