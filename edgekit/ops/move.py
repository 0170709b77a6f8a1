"""Operators that only move values: reshape, transpose, pad, concatenation, split, slice, gather; and CAST."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.op import REQUIRED, FloatRule, IntegerRule, Op, axis_of, fail, given, same_axes, take, whole_numbers

Groups = list[list[tuple[str, int]]]


# RESHAPE ------------------------------------------------------------------------------------------------------------


def infer_reshape(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    shape = whole_numbers(node, "shape", len(node.attrs["shape"]), 0)
    if int(np.prod(shape, dtype=np.int64)) != x.elements:
        fail(node, f"cannot reshape {list(x.shape)} into {list(shape)}")
    return [(shape, x.dtype)]


def real_reshape(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [given(inputs)[0].reshape(tuple(node.attrs["shape"]))]


def coupled_reshape(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    """Axes that survive: of equal size, with as many elements before (and so after) them."""
    x, y = given(inputs)[0], outputs[0]
    before = {(int(np.prod(x.shape[:i], dtype=np.int64)), n): i for i, n in enumerate(x.shape) if n > 1}
    places = [(before.get((int(np.prod(y.shape[:j], dtype=np.int64)), n)), j) for j, n in enumerate(y.shape)]
    return [[(x.name, i), (y.name, j)] for i, j in places if i is not None]


# TRANSPOSE ----------------------------------------------------------------------------------------------------------


def infer_transpose(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    perm = whole_numbers(node, "perm", len(x.shape), 0)
    if sorted(perm) != list(range(len(x.shape))):
        fail(node, f"perm={perm} is not an order of the axes of {list(x.shape)}")
    return [(tuple(x.shape[p] for p in perm), x.dtype)]


def real_transpose(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.ascontiguousarray(given(inputs)[0].transpose(tuple(node.attrs["perm"])))]


def coupled_transpose(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    return [[(given(inputs)[0].name, int(p)), (outputs[0].name, i)] for i, p in enumerate(node.attrs["perm"])]


# PAD ----------------------------------------------------------------------------------------------------------------


def infer_pad(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    pads = node.attrs["pads"]
    if len(pads) != len(x.shape) or any(len(p) != 2 or p[0] < 0 or p[1] < 0 for p in pads):
        fail(node, f"pads={pads} must be one (before, after) pair, not negative, for each axis of {list(x.shape)}")
    return [(tuple(int(n + p[0] + p[1]) for n, p in zip(x.shape, pads, strict=True)), x.dtype)]


def real_pad(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(inputs)[0]
    return [np.pad(x, [tuple(p) for p in node.attrs["pads"]], constant_values=x.dtype.type(node.attrs.get("value", 0.0)))]


def coupled_pad(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    free = [axis for axis, p in enumerate(node.attrs["pads"]) if tuple(p) == (0, 0)]
    return [[(given(inputs)[0].name, axis), (outputs[0].name, axis)] for axis in free]


# CONCATENATION ------------------------------------------------------------------------------------------------------


def infer_concatenation(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    parts = take(node, inputs, max(1, len(inputs)))
    head = parts[0]
    axis = axis_of(node, node.attrs["axis"], len(head.shape))
    rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in parts]
    if any(len(t.shape) != len(head.shape) for t in parts) or any(r != rest[0] for r in rest):
        fail(node, f"inputs {[list(t.shape) for t in parts]} do not fit along axis {axis}")
    if any(t.dtype != head.dtype for t in parts):
        fail(node, f"inputs are of different dtypes, {', '.join(sorted({t.dtype for t in parts}))}")
    return [((*head.shape[:axis], sum(t.shape[axis] for t in parts), *head.shape[axis + 1 :]), head.dtype)]


def real_concatenation(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.concatenate([a for a in inputs if a is not None], axis=int(node.attrs["axis"]))]


def coupled_concatenation(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    y = outputs[0]
    names = list(dict.fromkeys([t.name for t in inputs if t is not None] + [y.name]))
    return [[(name, axis) for name in names] for axis in range(len(y.shape)) if axis != node.attrs["axis"]]


# SPLIT --------------------------------------------------------------------------------------------------------------


def infer_split(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    axis = axis_of(node, node.attrs["axis"], len(x.shape))
    sizes = whole_numbers(node, "sizes", len(node.attrs["sizes"]), 0)
    if sum(sizes) != x.shape[axis] or len(sizes) != len(node.outputs):
        fail(node, f"sizes {list(sizes)} for {len(node.outputs)} outputs do not fit axis {axis} of {list(x.shape)}")
    return [((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in sizes]


def real_split(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    cuts = np.cumsum(node.attrs["sizes"])[:-1]
    return [np.ascontiguousarray(part) for part in np.split(given(inputs)[0], cuts, axis=int(node.attrs["axis"]))]


def coupled_split(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    names = [given(inputs)[0].name, *(t.name for t in outputs)]
    return [[(name, axis) for name in names] for axis in range(len(outputs[0].shape)) if axis != node.attrs["axis"]]


# SLICE --------------------------------------------------------------------------------------------------------------


def infer_slice(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    rank = len(x.shape)
    begin, size = whole_numbers(node, "begin", rank, 0), whole_numbers(node, "size", rank, 0)
    stride = whole_numbers(node, "stride", rank, -(1 << 31))
    for axis in range(rank):
        last = begin[axis] + (size[axis] - 1) * stride[axis]
        if stride[axis] == 0 or (size[axis] and not (begin[axis] < x.shape[axis] and 0 <= last < x.shape[axis])):
            fail(node, f"begin={begin} size={size} stride={stride} leaves {list(x.shape)} on axis {axis}")
    return [(size, x.dtype)]


def real_slice(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    cuts = []
    for begin, size, stride in zip(node.attrs["begin"], node.attrs["size"], node.attrs["stride"], strict=True):
        stop = int(begin) + int(size) * int(stride)
        cuts.append(slice(int(begin), None if stop < 0 else stop, int(stride)) if size else slice(0, 0))
    return [np.ascontiguousarray(given(inputs)[0][tuple(cuts)]).reshape(tuple(node.attrs["size"]))]


def coupled_slice(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    x, y = given(inputs)[0], outputs[0]
    whole = [axis for axis, n in enumerate(x.shape) if y.shape[axis] == n and node.attrs["stride"][axis] == 1]
    return [[(x.name, axis), (y.name, axis)] for axis in whole]


# GATHER -------------------------------------------------------------------------------------------------------------


def infer_gather(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, indices = take(node, inputs, 2)
    axis = axis_of(node, node.attrs.get("axis", 0), len(x.shape))
    if indices.dtype not in {"int32", "int64"}:
        fail(node, f"indices are {indices.dtype}, not int32 or int64")
    if indices.data is not None and np.any((indices.data < 0) | (indices.data >= x.shape[axis])):
        fail(node, f"an index is outside 0..{x.shape[axis] - 1}")
    return [((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)]


def real_gather(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, indices = given(inputs, 2)
    return [np.take(x, indices, axis=int(node.attrs.get("axis", 0)))]


def coupled_gather(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    x, y, axis = given(inputs)[0], outputs[0], int(node.attrs.get("axis", 0))
    grown = len(y.shape) - len(x.shape)
    return [[(x.name, i), (y.name, i if i < axis else i + grown)] for i in range(len(x.shape)) if i != axis]


# CAST ---------------------------------------------------------------------------------------------------------------


def infer_cast(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    to = node.attrs["to"]
    if to not in NUMPY_DTYPES or to == "int4":
        fail(node, f"cannot cast to {to!r}")
    return [(x.shape, to)]


def real_cast(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Real to whole numbers truncates, as C does. Of a quantized tensor: the integers themselves, as TFLite has it."""
    return [given(inputs)[0].astype(NUMPY_DTYPES[node.attrs["to"]])]


def moved(real: FloatRule) -> IntegerRule:
    """Integers are moved as they are: their scale is the input's (quant="same")."""

    def integer(
        node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
    ) -> list[Array]:
        return real(node, inputs)

    return integer


def integer_pad(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """Padding is the real `value` in the output's scale."""

    x, quant = given(inputs)[0], outs[0].quant
    if quant is None:
        return real_pad(node, inputs)
    value = fixedpoint.quantize(np.array(node.attrs.get("value", 0.0)), *quant.broadcast(0), outs[0].dtype)
    return [np.pad(x, [tuple(p) for p in node.attrs["pads"]], constant_values=value)]


OPS: tuple[Op, ...] = (
    Op("RESHAPE", infer_reshape, real_reshape, moved(real_reshape), {"shape": REQUIRED}, "same", coupled=coupled_reshape),
    Op(
        "TRANSPOSE",
        infer_transpose,
        real_transpose,
        moved(real_transpose),
        {"perm": REQUIRED},
        "same",
        coupled=coupled_transpose,
    ),
    Op("PAD", infer_pad, real_pad, integer_pad, {"pads": REQUIRED, "value": 0.0}, "same", coupled=coupled_pad),
    Op(
        "CONCATENATION",
        infer_concatenation,
        real_concatenation,
        moved(real_concatenation),
        {"axis": REQUIRED},
        "same",
        coupled=coupled_concatenation,
    ),
    Op(
        "SPLIT",
        infer_split,
        real_split,
        moved(real_split),
        {"axis": REQUIRED, "sizes": REQUIRED},
        "same",
        coupled=coupled_split,
    ),
    Op(
        "SLICE",
        infer_slice,
        real_slice,
        moved(real_slice),
        {"begin": REQUIRED, "size": REQUIRED, "stride": REQUIRED},
        "same",
        coupled=coupled_slice,
    ),
    Op("GATHER", infer_gather, real_gather, moved(real_gather), {"axis": 0}, "same", ids=(1,), coupled=coupled_gather),
    Op("CAST", infer_cast, real_cast, moved(real_cast), {"to": REQUIRED}, "none", coupled=same_axes, elementwise=True),
)
