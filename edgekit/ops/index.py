"""ARG_MAX, ARG_MIN, TOPK_V2, ONE_HOT, GATHER_ND, SCATTER_ND, TILE, BROADCAST_TO and CUMSUM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit import fixedpoint
from edgekit.fixedpoint import multiply_by_quantized_multiplier
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.op import (
    REQUIRED,
    FloatRule,
    IntegerRule,
    Op,
    axis_of,
    broadcast_shapes,
    fail,
    given,
    take,
    whole_numbers,
)
from edgekit.ops.requant import requantize_params, zero_of

Groups = list[list[tuple[str, int]]]


def _as_real(real: FloatRule) -> IntegerRule:
    """Integers are compared or moved as they are."""

    def integer(
        node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
    ) -> list[Array]:
        return real(node, inputs)

    return integer


def _others(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    """Every axis but the node's own, which stands in inputs and outputs alike."""
    x = given(inputs)[0]
    axis = node.attrs.get("axis", len(x.shape) - 1)
    return [[(x.name, i), *((y.name, i) for y in outputs)] for i in range(len(x.shape)) if i != axis]


def _none(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    """No axis can lose indices: others count them."""
    return []


# ARG_MAX, ARG_MIN ---------------------------------------------------------------------------------------------------


def infer_arg(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    axis = axis_of(node, node.attrs["axis"], len(x.shape))
    if x.shape[axis] == 0:
        fail(node, f"looks along an empty axis of {list(x.shape)}")
    return [((*x.shape[:axis], *x.shape[axis + 1 :]), "int32")]


def real_arg(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """The first place of the extreme."""
    pick = np.argmax if node.op == "ARG_MAX" else np.argmin
    return [np.asarray(pick(given(inputs)[0], axis=int(node.attrs["axis"]))).astype(np.int32)]


def coupled_arg(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    x, axis = given(inputs)[0], int(node.attrs["axis"])
    return [[(x.name, i), (outputs[0].name, i - (i > axis))] for i in range(len(x.shape)) if i != axis]


# TOPK_V2 ------------------------------------------------------------------------------------------------------------


def infer_topk(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    k = node.attrs["k"]
    if not x.shape or not isinstance(k, int | np.integer) or not 0 < k <= x.shape[-1]:
        fail(node, f"k={k!r} must be 1 to the last axis of {list(x.shape)}")
    shape = (*x.shape[:-1], int(k))
    return [(shape, x.dtype), (shape, "int32")]


def real_topk(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """The k largest of the last axis in falling order, and their places; of equal ones the first comes first."""
    (x,) = given(inputs)
    wide = x.astype(np.int64) if x.dtype.kind in "iub" else x
    order = np.argsort(-wide, axis=-1, kind="stable")[..., : int(node.attrs["k"])]
    return [np.take_along_axis(x, order, axis=-1), order.astype(np.int32)]


# ONE_HOT ------------------------------------------------------------------------------------------------------------


def infer_one_hot(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (ids,) = take(node, inputs, 1)
    axis = axis_of(node, node.attrs["axis"], len(ids.shape) + 1)
    if ids.dtype not in {"int32", "int64"}:
        fail(node, f"indices are {ids.dtype}, not int32 or int64")
    dtype = node.attrs.get("dtype", "float32")
    if dtype not in {"float32", "int32", "bool", "int8"} or int(node.attrs["depth"]) < 1:
        fail(node, f"cannot make {node.attrs['depth']} values of {dtype}")
    return [((*ids.shape[:axis], int(node.attrs["depth"]), *ids.shape[axis:]), dtype)]


def _one_hot(node: Node, ids: Array, on: Array, off: Array) -> Array:
    places = np.arange(int(node.attrs["depth"]))
    hot = np.expand_dims(ids, int(node.attrs["axis"])) == places.reshape((-1,) + (1,) * (ids.ndim - int(node.attrs["axis"])))
    return np.where(hot, on, off)


def real_one_hot(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """`on` where the index is, else `off`; an index outside 0..depth-1 gives `off` throughout."""
    kind = NUMPY_DTYPES[node.attrs.get("dtype", "float32")]
    values = (np.asarray(node.attrs.get(n, d)).astype(kind) for n, d in (("on", 1.0), ("off", 0.0)))
    return [_one_hot(node, given(inputs)[0], *values)]


def integer_one_hot(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    return [_one_hot(node, given(inputs)[0], *one_hot_values(node, outs[0]))]


def one_hot_values(node: Node, y: Tensor) -> tuple[Array, Array]:
    """(on, off) in y's integers."""
    if y.quant is None:
        fail(node, f"its output '{y.name}' has no scale")
    real = np.array([float(node.attrs.get("on", 1.0)), float(node.attrs.get("off", 0.0))])
    values = fixedpoint.quantize(real, *y.quant.broadcast(0), y.dtype)
    return values[0], values[1]


# GATHER_ND, SCATTER_ND ----------------------------------------------------------------------------------------------


def _places(node: Node, shape: Shape, ids: Tensor) -> int:
    """How many leading axes of `shape` one index names."""
    if ids.dtype not in {"int32", "int64"}:
        fail(node, f"indices are {ids.dtype}, not int32 or int64")
    if not ids.shape or not 0 < ids.shape[-1] <= len(shape):
        fail(node, f"indices {list(ids.shape)} do not fit {list(shape)}")
    depth = ids.shape[-1]
    if ids.data is not None and np.any((ids.data < 0) | (ids.data >= np.array(shape[:depth]))):
        fail(node, f"an index is outside {list(shape)}")
    return depth


def infer_gather_nd(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, ids = take(node, inputs, 2)
    depth = _places(node, x.shape, ids)
    return [((*ids.shape[:-1], *x.shape[depth:]), x.dtype)]


def real_gather_nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, ids = given(inputs, 2)
    return [x[tuple(np.moveaxis(ids, -1, 0))]]


def infer_scatter_nd(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    ids, updates = take(node, inputs, 2)
    shape = whole_numbers(node, "shape", len(node.attrs["shape"]), 1)
    depth = _places(node, shape, ids)
    if updates.shape != (*ids.shape[:-1], *shape[depth:]):
        fail(node, f"updates {list(updates.shape)} do not fit indices {list(ids.shape)} of {list(shape)}")
    return [(shape, updates.dtype)]


def real_scatter_nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Zeros, and at each index the sum of its updates."""
    ids, updates = given(inputs, 2)
    result = np.zeros(tuple(node.attrs["shape"]), updates.dtype)
    np.add.at(result, tuple(np.moveaxis(ids, -1, 0)), updates)
    return [result]


def integer_scatter_nd(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """The centred integers are summed; zero is the zero point."""
    (ids, updates), quant = given(inputs, 2), outs[0].quant
    if quant is None:
        fail(node, f"its output '{outs[0].name}' has no scale")
    result = np.zeros(outs[0].shape, np.int64)
    np.add.at(result, tuple(np.moveaxis(ids, -1, 0)), updates.astype(np.int64) - zero_of(quant))
    return [np.clip(result + zero_of(quant), -128, 127).astype(np.int8)]


# TILE, BROADCAST_TO -------------------------------------------------------------------------------------------------


def infer_tile(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    times = whole_numbers(node, "multiples", len(x.shape), 1)
    return [(tuple(n * t for n, t in zip(x.shape, times, strict=True)), x.dtype)]


def real_tile(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.tile(given(inputs)[0], tuple(node.attrs["multiples"]))]


def coupled_tile(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    x = given(inputs)[0]
    return [[(x.name, i), (outputs[0].name, i)] for i, times in enumerate(node.attrs["multiples"]) if times == 1]


def infer_broadcast(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    shape = whole_numbers(node, "shape", len(node.attrs["shape"]), 1)
    if broadcast_shapes(node, x.shape, shape) != shape:
        fail(node, f"{list(x.shape)} does not broadcast to {list(shape)}")
    return [(shape, x.dtype)]


def real_broadcast(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.ascontiguousarray(np.broadcast_to(given(inputs)[0], tuple(node.attrs["shape"])))]


def coupled_broadcast(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    x, y = given(inputs)[0], outputs[0]
    grown = len(y.shape) - len(x.shape)
    return [[(x.name, i), (y.name, i + grown)] for i, n in enumerate(x.shape) if n == y.shape[i + grown]]


# CUMSUM -------------------------------------------------------------------------------------------------------------


def infer_cumsum(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    axis_of(node, node.attrs["axis"], len(x.shape))
    if x.dtype == "bool":
        fail(node, "is not defined for bool")
    return [(x.shape, x.dtype)]


def _running(node: Node, x: Array) -> Array:
    axis = int(node.attrs["axis"])
    if node.attrs.get("reverse", False):
        x = np.flip(x, axis)
    total = np.cumsum(x, axis=axis, dtype=x.dtype)
    if node.attrs.get("exclusive", False):
        total = np.roll(total, 1, axis)
        np.moveaxis(total, axis, 0)[:1] = 0
    return np.flip(total, axis) if node.attrs.get("reverse", False) else total


def real_cumsum(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.ascontiguousarray(_running(node, given(inputs)[0]))]


def integer_cumsum(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """The centred integers are summed exactly and each sum is rescaled once: edgekit's own.

    (TFLM's kernel adds values with 20 extra bits, which overflow after some 30 of them.)
    """
    (x,), (tx,), y = given(inputs), given(ins), outs[0]
    if tx.quant is None or y.quant is None:
        fail(node, "needs a scale in and out")
    total = _running(node, x.astype(np.int64) - zero_of(tx.quant))
    scaled = multiply_by_quantized_multiplier(total, *requantize_params(node, tx, y)) + zero_of(y.quant)
    return [np.clip(scaled, -128, 127).astype(np.int8)]


OPS: tuple[Op, ...] = (
    *(Op(n, infer_arg, real_arg, _as_real(real_arg), {"axis": REQUIRED}, coupled=coupled_arg) for n in ("ARG_MAX", "ARG_MIN")),
    Op("TOPK_V2", infer_topk, real_topk, _as_real(real_topk), {"k": REQUIRED}, "same", coupled=_others),
    Op(
        "ONE_HOT",
        infer_one_hot,
        real_one_hot,
        integer_one_hot,
        {"depth": REQUIRED, "axis": REQUIRED, "on": 1.0, "off": 0.0, "dtype": "float32"},
        ids=(0,),
        coupled=_none,
    ),
    Op("GATHER_ND", infer_gather_nd, real_gather_nd, _as_real(real_gather_nd), {}, "same", ids=(1,), coupled=_none),
    Op(
        "SCATTER_ND",
        infer_scatter_nd,
        real_scatter_nd,
        integer_scatter_nd,
        {"shape": REQUIRED},
        "same",
        ids=(0,),
        coupled=_none,
    ),
    Op("TILE", infer_tile, real_tile, _as_real(real_tile), {"multiples": REQUIRED}, "same", coupled=coupled_tile),
    Op(
        "BROADCAST_TO",
        infer_broadcast,
        real_broadcast,
        _as_real(real_broadcast),
        {"shape": REQUIRED},
        "same",
        coupled=coupled_broadcast,
    ),
    Op(
        "CUMSUM",
        infer_cumsum,
        real_cumsum,
        integer_cumsum,
        {"axis": REQUIRED, "exclusive": False, "reverse": False},
        coupled=_others,
    ),
)
