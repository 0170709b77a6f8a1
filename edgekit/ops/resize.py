"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR: rows and columns of an NHWC image, with TensorFlow Lite's coordinates.

Where output row i lies in the input: i * scale; (i + 1/2) * scale with half_pixel_centers (less 1/2 for RESIZE_BILINEAR);
scale is in / out, or (in - 1) / (out - 1) with align_corners. (tensorflow/lite/kernels/internal/reference/resize_*.h)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.move import moved
from edgekit.ops.op import REQUIRED, Op, fail, given, take, whole_numbers

ONE = 1 << 10  # the int8 kernel's fixed point: positions in 1/1024 of a row
ATTRS: Mapping[str, Any] = {"size": REQUIRED, "align_corners": False, "half_pixel_centers": False}


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    size = whole_numbers(node, "size", 2, 1)
    if len(x.shape) != 4:
        fail(node, f"needs an input of rank 4, has {list(x.shape)}")
    if node.attrs.get("align_corners", False) and node.attrs.get("half_pixel_centers", False):
        fail(node, "align_corners and half_pixel_centers exclude each other")
    return [((x.shape[0], *size, x.shape[3]), x.dtype)]


def modes(node: Node) -> tuple[bool, bool]:
    """(align_corners, half_pixel_centers)."""
    return bool(node.attrs.get("align_corners", False)), bool(node.attrs.get("half_pixel_centers", False))


def row_scale(count: int, out: int, align: bool) -> np.float32:
    """Input rows from one output row to the next."""
    return np.float32(count - 1) / np.float32(out - 1) if align and out > 1 else np.float32(count) / np.float32(out)


def nearest(count: int, out: int, align: bool, half: bool) -> Array:
    """int64[out]: the input row of each output row, of `count` input rows."""
    at = (np.arange(out, dtype=np.float32) + np.float32(0.5 if half else 0)) * row_scale(count, out, align)
    whole = np.floor(at + np.float32(0.5)) if align else np.floor(at)
    clipped: Array = np.clip(whole.astype(np.int64), 0, count - 1)
    return clipped


def between(count: int, out: int, align: bool, half: bool) -> tuple[Array, Array, Array]:
    """(upper row int64[out], lower row int64[out], share of the lower row float32[out]) of each output row."""
    rows = np.arange(out, dtype=np.float32)
    at = (
        (rows + np.float32(0.5)) * row_scale(count, out, align) - np.float32(0.5)
        if half
        else rows * row_scale(count, out, align)
    )
    first = np.maximum(np.floor(at).astype(np.int64), 0)
    return first, np.minimum(np.ceil(at).astype(np.int64), count - 1), at - first.astype(np.float32)


def fixed_scale(count: int, out: int, align: bool) -> int:
    """The int8 kernel's scale in 1/1024."""
    if align and out > 1:
        return (ONE * (count - 1) + (out - 1) // 2) // (out - 1)
    return (ONE * count + out // 2) // out


def between_fixed(count: int, out: int, align: bool, half: bool) -> tuple[Array, Array, Array]:
    """`between` as the int8 kernel has it: the share in 1/1024, int64."""
    scale = fixed_scale(count, out, align)
    at = np.arange(out, dtype=np.int64) * scale + (scale // 2 - ONE // 2 if half else 0)
    first = np.maximum(at // ONE, 0)
    return first, np.minimum(-(-at // ONE), count - 1), at - first * ONE


def lines(node: Node, x: Shape, y: Shape) -> list[tuple[Array, Array]]:
    """(first, last) input row that each output row reads, int64, and the same of columns."""
    found = []
    for axis in (1, 2):
        if node.op == "RESIZE_NEAREST_NEIGHBOR":
            rows = nearest(x[axis], y[axis], *modes(node))
            found.append((rows, rows))
        else:
            ways = [f(x[axis], y[axis], *modes(node)) for f in (between, between_fixed)]
            found.append((np.minimum(ways[0][0], ways[1][0]), np.maximum(ways[0][1], ways[1][1])))
    return found


def real_nearest(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,), (h, w) = given(inputs), node.attrs["size"]
    rows, columns = (nearest(x.shape[1 + i], int(n), *modes(node)) for i, n in enumerate((h, w)))
    return [np.ascontiguousarray(x[:, rows[:, None], columns[None, :]])]


def blend(x: Array, rows: tuple[Array, Array, Array], columns: tuple[Array, Array, Array], one: Any) -> Array:
    """The weighted sum of the four neighbours of each output pixel; shares are of `one`."""
    (top, bottom, v), (left, right, u) = rows, columns
    v, u = v.reshape(1, -1, 1, 1), u.reshape(1, 1, -1, 1)
    above, below = ((x[:, r][:, :, left], x[:, r][:, :, right]) for r in (top, bottom))
    top, bottom_row = (pair[0] * (one - u) + pair[1] * u for pair in (above, below))
    return np.ascontiguousarray(top * (one - v) + bottom_row * v)


def real_bilinear(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    rows, columns = (between(x.shape[1 + i], int(n), *modes(node)) for i, n in enumerate(node.attrs["size"]))
    return [blend(x, rows, columns, np.float32(1)).astype(x.dtype)]


def integer_bilinear(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """int8, one scale in and out: shares of 1/1024, the sum over 2**20 rounded with halves away from zero."""
    (x,) = given(inputs)
    rows, columns = (between_fixed(x.shape[1 + i], int(n), *modes(node)) for i, n in enumerate(node.attrs["size"]))
    total = blend(x.astype(np.int64), rows, columns, ONE)
    half = 1 << 19
    whole = np.where(total > 0, (total + half) >> 20, -((half - total) >> 20))
    return [whole.astype(np.int8)]


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    x = given(inputs)[0]
    return [[(x.name, axis), (outputs[0].name, axis)] for axis in (0, 3)]


OPS: tuple[Op, ...] = (
    Op("RESIZE_NEAREST_NEIGHBOR", infer, real_nearest, moved(real_nearest), ATTRS, "same", coupled=coupled),
    Op("RESIZE_BILINEAR", infer, real_bilinear, integer_bilinear, ATTRS, "same", coupled=coupled),
)
