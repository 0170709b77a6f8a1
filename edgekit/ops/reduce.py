"""MEAN, SUM, REDUCE_MAX, REDUCE_MIN over given axes (non-negative, sorted)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import REQUIRED, Op, axis_of, fail, given, take

REDUCERS: dict[str, Callable[..., Any]] = {"MEAN": np.mean, "SUM": np.sum, "REDUCE_MAX": np.max, "REDUCE_MIN": np.min}


def axes_of(node: Node) -> tuple[int, ...]:
    return tuple(int(a) for a in node.attrs["axes"])


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    axes = tuple(axis_of(node, a, len(x.shape)) for a in node.attrs["axes"])
    if list(axes) != sorted(set(axes)):
        fail(node, f"axes {axes} must be sorted, each once")
    if any(x.shape[a] == 0 for a in axes):
        fail(node, f"reduces an empty axis of {list(x.shape)}")
    if node.attrs.get("keep_dims", False):
        return [(tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.dtype)]
    return [(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    result = REDUCERS[node.op](x, axis=axes_of(node), keepdims=bool(node.attrs.get("keep_dims", False)))
    return [np.asarray(result, x.dtype)]


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    (x,), y = given(inputs), outputs[0]
    kept = [i for i in range(len(x.shape)) if i not in axes_of(node)]
    keep_dims = bool(node.attrs.get("keep_dims", False))
    return [[(x.name, axis), (y.name, axis if keep_dims else place)] for place, axis in enumerate(kept)]


ATTRS: dict[str, Any] = {"axes": REQUIRED, "keep_dims": False}
OPS: tuple[Op, ...] = (
    Op("MEAN", infer, real, attrs=ATTRS, coupled=coupled),
    Op("SUM", infer, real, attrs=ATTRS, coupled=coupled),
    Op("REDUCE_MAX", infer, real, attrs=ATTRS, quant="same", coupled=coupled),
    Op("REDUCE_MIN", infer, real, attrs=ATTRS, quant="same", coupled=coupled),
)
