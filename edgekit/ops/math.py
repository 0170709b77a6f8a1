"""Operators of one value that are a function and nothing else (`ops.functions`): int8 by a table of 256 entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.functions import ATTRS, FUNCTIONS, ON_INTEGERS, apply
from edgekit.ops.op import Op, fail, given, same_axes, take
from edgekit.ops.tables import look_up, unary_table


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    if x.dtype not in ({"float32", "int8", "int32"} if node.op in ON_INTEGERS else {"float32", "int8"}):
        fail(node, f"is not defined for {x.dtype}")
    return [(x.shape, x.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [apply(node.op, given(inputs)[0], node.attrs)]


def integer(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """int8 to int8, by table."""
    return [look_up(unary_table(node, given(ins)[0], outs[0]), np.asarray(given(inputs)[0]))]


OPS: tuple[Op, ...] = tuple(
    Op(name, infer, real, integer, attrs=ATTRS.get(name, {}), coupled=same_axes, elementwise=True) for name in FUNCTIONS
)
