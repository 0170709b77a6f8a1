"""BATCH_NORM: y = (x - mean) / sqrt(var + epsilon) * gamma + beta, one value a channel; the channel is the last axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import Op, fail, given, same_axes, take


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, *rest = take(node, inputs, 5)
    wrong = [list(t.shape) for t in rest if not x.shape or t.shape != (x.shape[-1],)]
    if wrong:
        fail(
            node, f"gamma, beta, mean and variance must be one value for each of the last axis of {list(x.shape)}, has {wrong}"
        )
    return [(x.shape, x.dtype)]


def fold(node: Node, gamma: Array, beta: Array, mean: Array, var: Array) -> tuple[Array, Array]:
    """(scale, offset), each float64[C]: y = x * scale + offset."""
    scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + float(node.attrs.get("epsilon", 1e-5)))
    return scale, beta.astype(np.float64) - mean.astype(np.float64) * scale


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, gamma, beta, mean, var = given(inputs, 5)
    scale, _ = fold(node, gamma, beta, mean, var)
    return [((x - mean) * scale.astype(x.dtype) + beta).astype(x.dtype)]


# Batch norm is folded away before quantization; it has no integer meaning of its own.
OPS: tuple[Op, ...] = (Op("BATCH_NORM", infer, real, attrs={"epsilon": 1e-5}, coupled=same_axes, elementwise=True),)
