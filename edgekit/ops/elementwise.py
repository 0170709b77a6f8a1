"""Operators of two values with NumPy broadcasting: ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.activation import clamp, fused_of
from edgekit.ops.op import Op, broadcast_shapes, fail, given, same_axes, take

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
}


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    a, b = take(node, inputs, 2)
    if a.dtype != b.dtype:
        fail(node, f"inputs are of different dtypes, {a.dtype} and {b.dtype}")
    if node.op == "DIV" and a.dtype not in {"float32", "int8"}:
        fail(node, f"division of {a.dtype} is not defined")
    fused_of(node)
    return [(broadcast_shapes(node, a.shape, b.shape), a.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b = given(inputs, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return [clamp(BINARY[node.op](a, b), fused_of(node))]


OPS: tuple[Op, ...] = (
    *(
        Op(name, infer, real, attrs={"activation": "NONE"}, coupled=same_axes, elementwise=True)
        for name in ("ADD", "SUB", "MUL")
    ),
    Op("DIV", infer, real, coupled=same_axes, elementwise=True),
    Op("MAXIMUM", infer, real, quant="same", coupled=same_axes, elementwise=True),
    Op("MINIMUM", infer, real, quant="same", coupled=same_axes, elementwise=True),
)
