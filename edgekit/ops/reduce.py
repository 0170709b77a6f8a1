"""MEAN, SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, REDUCE_ANY, REDUCE_ALL over given axes (non-negative, sorted)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit.fixedpoint import integer_range, multiply_by_quantized_multiplier
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.op import REQUIRED, Op, axis_of, fail, given, take
from edgekit.ops.requant import reduce_params

REDUCERS: dict[str, Callable[..., Any]] = {
    "MEAN": np.mean,
    "SUM": np.sum,
    "REDUCE_MAX": np.max,
    "REDUCE_MIN": np.min,
    "REDUCE_PROD": np.prod,
    "REDUCE_ANY": np.any,
    "REDUCE_ALL": np.all,
}


def axes_of(node: Node) -> tuple[int, ...]:
    return tuple(int(a) for a in node.attrs["axes"])


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    axes = tuple(axis_of(node, a, len(x.shape)) for a in node.attrs["axes"])
    if list(axes) != sorted(set(axes)):
        fail(node, f"axes {axes} must be sorted, each once")
    if (x.dtype == "bool") != (node.op in {"REDUCE_ANY", "REDUCE_ALL"}):
        fail(node, f"is not defined for {x.dtype}")
    if any(x.shape[a] == 0 for a in axes):
        fail(node, f"reduces an empty axis of {list(x.shape)}")
    if node.attrs.get("keep_dims", False):
        return [(tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.dtype)]
    return [(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    # Whole numbers wrap around as they do in 32 bits: NumPy would sum int32 in 64.
    kind = {"dtype": x.dtype} if node.op in {"SUM", "REDUCE_PROD"} else {}
    result = REDUCERS[node.op](x, axis=axes_of(node), keepdims=bool(node.attrs.get("keep_dims", False)), **kind)
    return [np.asarray(result, x.dtype)]


def integer_sum(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """MEAN and SUM."""
    (x,), p = given(inputs), reduce_params(node, given(ins)[0], outs[0])
    total = np.asarray(x.sum(axis=axes_of(node), keepdims=bool(node.attrs.get("keep_dims", False)), dtype=np.int64))
    scaled = multiply_by_quantized_multiplier(total - p.zero * p.count, p.multiplier, p.shift) + p.out_zero
    kind = outs[0].dtype
    return [np.clip(scaled, *integer_range(kind)).astype(NUMPY_DTYPES[kind])]


def integer_extreme(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """REDUCE_MAX and REDUCE_MIN compare integers: one scale in and out."""
    return real(node, inputs)


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    (x,), y = given(inputs), outputs[0]
    kept = [i for i in range(len(x.shape)) if i not in axes_of(node)]
    keep_dims = bool(node.attrs.get("keep_dims", False))
    return [[(x.name, axis), (y.name, axis if keep_dims else place)] for place, axis in enumerate(kept)]


ATTRS: dict[str, Any] = {"axes": REQUIRED, "keep_dims": False}
OPS: tuple[Op, ...] = (
    Op("MEAN", infer, real, integer_sum, attrs=ATTRS, coupled=coupled),
    Op("SUM", infer, real, integer_sum, attrs=ATTRS, coupled=coupled),
    Op("REDUCE_MAX", infer, real, integer_extreme, attrs=ATTRS, quant="same", coupled=coupled),
    Op("REDUCE_MIN", infer, real, integer_extreme, attrs=ATTRS, quant="same", coupled=coupled),
    Op("REDUCE_PROD", infer, real, attrs=ATTRS, coupled=coupled),
    Op("REDUCE_ANY", infer, real, attrs=ATTRS, quant="none", coupled=coupled),
    Op("REDUCE_ALL", infer, real, attrs=ATTRS, quant="none", coupled=coupled),
)
