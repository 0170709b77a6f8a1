"""TFLite's functions, comparisons, logic, choices, indices and running sums -> Graph nodes. Read by `tflite_ops`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgekit.graph import const
from edgekit.load.tflite_build import Builder, Refused, const_of, ints_of, real_values
from edgekit.load.tflite_file import FileOp

# Operators without attributes.
PLAIN = (
    "ABS ATAN2 CEIL COS EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD GATHER_ND GREATER GREATER_EQUAL LESS LESS_EQUAL LOG LOGICAL_AND "
    "LOGICAL_NOT LOGICAL_OR NEG NOT_EQUAL POW ROUND RSQRT SELECT_V2 SIGN SIN SQRT SQUARE SQUARED_DIFFERENCE"
).split()


def plain(b: Builder, op: FileOp) -> None:
    b.add(op.code, b.named(op), op, {})


def _axis(value: int, rank: int) -> int:
    if not -rank <= value < rank:
        raise Refused(f"axis {value} is out of range for rank {rank}")
    return value % rank


def select(b: Builder, op: FileOp) -> None:
    """SELECT: a condition of rank 1 chooses rows."""
    condition, x = b.shape(op.inputs[0]), b.shape(op.inputs[1])
    names = b.named(op)
    if len(condition) == 1 and len(x) > 1:
        first = b.reshape(str(names[0]), (*condition, *(1 for _ in x[1:])), op)
        names = (first, *names[1:])
    b.add("SELECT_V2", names, op, {})


def arg(b: Builder, op: FileOp) -> None:
    shape = b.shape(op.inputs[0])
    axis = _axis(ints_of(b, op, 1, "the axis")[0], len(shape))
    b.add(op.code, (b.name(op.inputs[0]),), op, {"axis": axis})


def topk(b: Builder, op: FileOp) -> None:
    b.add("TOPK_V2", (b.name(op.inputs[0]),), op, {"k": ints_of(b, op, 1, "k")[0]})


def one_hot(b: Builder, op: FileOp) -> None:
    ids, y = b.shape(op.inputs[0]), b.file.tensors[op.outputs[0]]
    axis = _axis(int(op.options.get("axis", -1)), len(ids) + 1)
    on, off = (float(real_values(b.constant(op.inputs[i], op, "a value")).reshape(())) for i in (2, 3))
    depth = ints_of(b, op, 1, "the depth")[0]
    b.add("ONE_HOT", (b.name(op.inputs[0]),), op, {"depth": depth, "axis": axis, "on": on, "off": off, "dtype": y.dtype})


def scatter_nd(b: Builder, op: FileOp) -> None:
    """LiteRT's kernel fills with the integer 0 and adds integers as they are, whatever their scale."""
    shape = tuple(ints_of(b, op, 2, "the shape"))
    quant = b.quant(op.inputs[1])
    if quant is not None and np.any(quant.zero_point != 0):
        raise Refused("it adds integers of a scale whose zero point is not 0", "keep it float, or symmetric")
    b.add("SCATTER_ND", (b.name(op.inputs[0]), b.name(op.inputs[1])), op, {"shape": shape})


def tile(b: Builder, op: FileOp) -> None:
    b.add("TILE", (b.name(op.inputs[0]),), op, {"multiples": tuple(ints_of(b, op, 1, "the multiples"))})


def broadcast(b: Builder, op: FileOp) -> None:
    b.add("BROADCAST_TO", (b.name(op.inputs[0]),), op, {"shape": tuple(ints_of(b, op, 1, "the shape"))})


def cumsum(b: Builder, op: FileOp) -> None:
    axis = _axis(ints_of(b, op, 1, "the axis")[0], len(b.shape(op.inputs[0])))
    flags = {name: bool(op.options.get(name, False)) for name in ("exclusive", "reverse")}
    b.add("CUMSUM", (b.name(op.inputs[0]),), op, {"axis": axis, **flags})


def reduce(b: Builder, op: FileOp) -> None:
    rank = len(b.shape(op.inputs[0]))
    axes = tuple(sorted({_axis(a, rank) for a in ints_of(b, op, 1, "axes")}))
    b.add(op.code, (b.name(op.inputs[0]),), op, {"axes": axes, "keep_dims": bool(op.options.get("keepDims", False))})


def reverse(b: Builder, op: FileOp) -> None:
    shape = b.shape(op.inputs[0])
    axes = {_axis(a, len(shape)) for a in ints_of(b, op, 1, "axes")}
    begin = tuple(n - 1 if i in axes else 0 for i, n in enumerate(shape))
    stride = tuple(-1 if i in axes else 1 for i in range(len(shape)))
    b.add("SLICE", (b.name(op.inputs[0]),), op, {"begin": begin, "size": shape, "stride": stride})


def fill(b: Builder, op: FileOp) -> None:
    """A constant of a constant shape."""
    value = const_of(b, op, 1, "the value")
    b.set_const(op.outputs[0], np.full(tuple(ints_of(b, op, 0, "the shape")), value.reshape(()), value.dtype))


def zeros_like(b: Builder, op: FileOp) -> None:
    kind = np.dtype(b.tensors[b.name(op.inputs[0])].dtype)
    b.set_const(op.outputs[0], np.zeros(b.shape(op.inputs[0]), kind))


def range_of(b: Builder, op: FileOp) -> None:
    start, limit, step = (const_of(b, op, i, what) for i, what in enumerate(("the start", "the limit", "the step")))
    ends = (start.reshape(()).item(), limit.reshape(()).item(), step.reshape(()).item())
    b.set_const(op.outputs[0], np.arange(*ends).astype(start.dtype))


def add_n(b: Builder, op: FileOp) -> None:
    """A sum of many, one after the other."""
    names = [b.name(i) for i in op.inputs]
    if len(names) == 1:
        b.add("RESHAPE", (names[0],), op, {"shape": b.shape(op.inputs[0])})
        return
    total = names[0]
    for name in names[1:-1]:
        total = b.step("ADD", (total, name), op, {}, like=op.outputs[0])
    b.add("ADD", (total, names[-1]), op, {})


def rank_of(b: Builder, op: FileOp) -> None:
    b.set_const(op.outputs[0], np.asarray(len(b.shape(op.inputs[0])), np.int32))


def broadcast_args(b: Builder, op: FileOp) -> None:
    """The shape that two shapes give together."""
    first, second = (tuple(ints_of(b, op, i, "a shape")) for i in (0, 1))
    b.set_const(op.outputs[0], np.asarray(np.broadcast_shapes(first, second), const_of(b, op, 0, "a shape").dtype))


def clipped(b: Builder, op: FileOp) -> None:
    """RELU_0_TO_1."""
    x = b.name(op.inputs[0])
    if b.tensors[x].dtype != "float32":
        raise Refused("it computes in integers", "quantize the float model with edgekit")
    one = b.step("RELU", (x,), op, {}, like=op.outputs[0])
    name = f"{b.file.names[op.outputs[0]]}/one"
    b.tensors[name] = const(name, np.ones(1, np.float32))
    b.add("MINIMUM", (one, name), op, {})


def lookup(b: Builder, op: FileOp) -> None:
    """EMBEDDING_LOOKUP: rows of its second input."""
    b.add("GATHER", (b.name(op.inputs[1]), b.name(op.inputs[0])), op, {"axis": 0})


def densify(b: Builder, op: FileOp) -> None:
    """Sparse constants are dense when a file is read."""
    b.tensors[b.file.names[op.outputs[0]]] = replace(
        b.constant(op.inputs[0], op, "sparse weights"), name=b.file.names[op.outputs[0]]
    )


RULES: dict[str, Callable[[Builder, FileOp], None]] = {
    **dict.fromkeys(PLAIN, plain),
    "ADD_N": add_n,
    "ARG_MAX": arg,
    "ARG_MIN": arg,
    "BROADCAST_TO": broadcast,
    "CUMSUM": cumsum,
    "FILL": fill,
    "ONE_HOT": one_hot,
    "RANGE": range_of,
    "REDUCE_ALL": reduce,
    "REDUCE_ANY": reduce,
    "REDUCE_PROD": reduce,
    "REVERSE_V2": reverse,
    "SCATTER_ND": scatter_nd,
    "SELECT": select,
    "TILE": tile,
    "TOPK_V2": topk,
    "ZEROS_LIKE": zeros_like,
    "BROADCAST_ARGS": broadcast_args,
    "DENSIFY": densify,
    "EMBEDDING_LOOKUP": lookup,
    "RANK": rank_of,
    "RELU_0_TO_1": clipped,
}
