"""Dense layers, elementwise arithmetic, activations, softmax and reductions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgekit.graph import Array, Shape
from edgekit.load.onnx.attention import product, scaled
from edgekit.load.onnx.builder import TO_NCHW, Builder, Call, Cannot, Handler, axis_of

MOST_MATRICES = 64  # of a constant batch: each becomes a layer of its own


def gemm(b: Builder, c: Call) -> list[str]:
    """alpha * A' B' + beta * C as FULLY_CONNECTED(x[M,K], w[N,K])."""
    left, right, extra = c.needed(0), c.needed(1), c.input(2)
    alpha, beta = float(c.get("alpha", 1.0)), float(c.get("beta", 1.0))
    flip_left, flip_right = bool(c.get("transA", 0)), bool(c.get("transB", 0))
    if b.array(right) is None and b.array(left) is None:
        x, w = b.tensor(left), b.tensor(right)
        y = scaled(b, b.one("BATCH_MATMUL", [x, w], adj_x=flip_left, adj_y=flip_right), alpha, "alpha")
        return [y if extra is None else b.one("ADD", [y, scaled(b, b.tensor(extra), beta, "beta")])]
    bias: str | None = None
    if b.array(right) is not None:
        w = b.weight(right, "OI" if flip_right else "IO", (lambda a: a) if flip_right else (lambda a: a.T), alpha)
        x = b.transpose(b.tensor(left), (1, 0)) if flip_left else b.tensor(left)
        units = b.tensors[w].shape[0]
        if extra is not None and (constant := b.array(extra)) is not None and constant.size in (1, units):
            wide = constant.ndim == 0 or constant.shape[-1] == constant.size
            if wide:
                bias, extra = b.weight(extra, f"bias{units}", lambda a: _vector(a, units), beta), None
        y = b.one("FULLY_CONNECTED", [x, w, bias])
    else:
        # (A B)^T = B^T A^T: the constant left factor is the weight.
        w = b.weight(left, "IO" if flip_left else "OI", (lambda a: a.T) if flip_left else (lambda a: a), alpha)
        x = b.tensor(right) if flip_right else b.transpose(b.tensor(right), (1, 0))
        y = b.transpose(b.one("FULLY_CONNECTED", [x, w, None]), (1, 0))
    if extra is not None:
        addend = (
            b.tensor(extra)
            if beta == 1.0
            else b.one("MUL", [b.tensor(extra), b.constant(np.asarray([beta], np.float32), "beta")])
        )
        y = b.one("ADD", [y, addend])
    return [y]


def _vector(a: Array, units: int) -> Array:
    """A bias of `units` elements (ONNX allows a scalar, and leading ones)."""
    return np.ascontiguousarray(np.broadcast_to(a.reshape(-1), (units,)))


def matmul(b: Builder, c: Call) -> list[str]:
    left, right = c.needed(0), c.needed(1)
    a_shape, b_shape = b.shape(left), b.shape(right)
    if b.array(right) is not None and int(np.prod(b_shape[:-2])) == 1:
        vector = len(b_shape) == 1
        depth = b_shape[0] if vector else b_shape[-2]
        w = b.weight(right, "matmul", lambda a: a.reshape(depth, -1).T)
        x = b.tensor(left)
        if len(a_shape) == 1:
            x = b.reshape(x, (1, *a_shape))
        y = b.one("FULLY_CONNECTED", [x, w, None], keep_dims=True)
        rows = a_shape[:-1]
        lead = (1,) * max(len(b_shape) - 2 - max(len(a_shape) - 2, 0), 0)
        return [b.reshape(y, (*lead, *rows, *(() if vector else (b_shape[-1],))))]
    if b.array(left) is not None and int(np.prod(a_shape[:-2])) == 1 and len(b_shape) >= 2:
        depth = a_shape[-1]
        w = b.weight(left, "left", lambda a: a.reshape(-1, depth))
        rank = len(b_shape)
        swap = (*range(rank - 2), rank - 1, rank - 2)
        y = b.transpose(b.one("FULLY_CONNECTED", [b.transpose(b.tensor(right), swap), w, None], keep_dims=True), swap)
        lead = (1,) * max(len(a_shape) - rank, 0)
        return [b.reshape(y, (*lead, *b_shape[:-2], *(() if len(a_shape) == 1 else (a_shape[-2],)), b_shape[-1]))]
    # A quantized batch of one scale stays one operator, as edgekit itself writes it.
    whole = right in b.const_quant and b.const_quant[right][1].scale.size == 1
    if b.array(right) is not None and not whole and len(a_shape) >= 1 and _matrices(a_shape, b_shape) <= MOST_MATRICES:
        return [_batched(b, b.tensor(left), a_shape, right)]
    return [product(b, b.tensor(left), b.tensor(right))]


def _matrices(a_shape: Shape, b_shape: Shape) -> int:
    """How many matrices a product multiplies by."""
    return math.prod(np.broadcast_shapes(a_shape[:-2], b_shape[:-2]))


def _batched(b: Builder, x: str, a_shape: Shape, right: str) -> str:
    """x @ a constant batch of matrices: one FULLY_CONNECTED a matrix, concatenated."""
    matrices = b.consts[right]
    rows = a_shape[:-1] if len(a_shape) > 1 else (1,)
    batch = np.broadcast_shapes(rows[:-1], matrices.shape[:-2])
    count = int(np.prod(batch))
    depth, units = matrices.shape[-2:]
    pieces = int(np.prod(rows[:-1]))
    flat = b.reshape(x, (pieces, rows[-1], depth))
    parts = [flat] if pieces == 1 else b.emit("SPLIT", [flat], outputs=pieces, axis=0, sizes=(1,) * pieces)
    which = np.broadcast_to(np.arange(pieces).reshape(rows[:-1]), batch).reshape(-1)
    planes = np.broadcast_to(matrices, (*batch, depth, units)).reshape(count, depth, units)
    products = [
        b.one("FULLY_CONNECTED", [parts[which[i]], b.constant(planes[i].T, f"matrix{i}"), None], keep_dims=True)
        for i in range(count)
    ]
    y = products[0] if count == 1 else b.one("CONCATENATION", products, axis=0)
    return b.reshape(y, (*batch, *(rows[-1:] if len(a_shape) > 1 else ()), units))


def add(b: Builder, c: Call) -> list[str]:
    """ADD, or the bias of a FULLY_CONNECTED that nobody else reads (how exporters write Linear on rank > 2)."""
    for x, other in ((c.needed(0), c.needed(1)), (c.needed(1), c.needed(0))):
        data = b.array(other)
        if x not in b.values or data is None or b.uses.get(x, 0) != 1:
            continue
        maker = b.made_by(b.values[x])
        if maker is None or maker.op != "FULLY_CONNECTED" or maker.inputs[2] is not None:
            continue
        units = b.tensors[b.values[x]].shape[-1]
        if data.size == units and (data.ndim == 1 or data.shape[-1] == units) and data.ndim <= len(b.shape(x)):
            bias = b.weight(other, f"bias{units}", partial(_vector, units=units))
            return [b.one("FULLY_CONNECTED", [*maker.inputs[:2], bias], **maker.attrs)]
    return chain(b, c)


CHAINS = {
    "Add": "ADD",
    "Sub": "SUB",
    "Mul": "MUL",
    "Div": "DIV",
    "Sum": "ADD",
    "Mean": "ADD",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
}


def chain(b: Builder, c: Call) -> list[str]:
    """Binary and variadic arithmetic, left to right."""
    names = [b.tensor(n) for n in c.inputs if n is not None]
    y = names[0]
    for name in names[1:]:
        y = b.one(CHAINS[c.op], [y, name])
    if c.op == "Mean" and len(names) > 1:
        y = b.one("MUL", [y, b.constant(np.asarray([1.0 / len(names)], np.float32), "share")])
    return [y]


def negate(b: Builder, c: Call) -> list[str]:
    return [b.one("MUL", [b.tensor(c.needed(0)), b.constant(np.asarray([-1.0], np.float32), "minus_one")])]


def elementwise(b: Builder, x: str, op: str, **attrs: Any) -> list[str]:
    return [b.under_views(x, lambda source: b.one(op, [source], **attrs))]


def unary(op: str) -> Callable[[Builder, Call], list[str]]:
    return lambda b, c: elementwise(b, b.tensor(c.needed(0)), op)


def leaky_relu(b: Builder, c: Call) -> list[str]:
    return elementwise(b, b.tensor(c.needed(0)), "LEAKY_RELU", alpha=float(c.get("alpha", 0.01)))


def elu(b: Builder, c: Call) -> list[str]:
    return elementwise(b, b.tensor(c.needed(0)), "ELU", alpha=float(c.get("alpha", 1.0)))


def hard_sigmoid(b: Builder, c: Call) -> list[str]:
    alpha, beta = float(c.get("alpha", 0.2)), float(c.get("beta", 0.5))
    return elementwise(b, b.tensor(c.needed(0)), "HARD_SIGMOID", alpha=alpha, beta=beta)


def prelu(b: Builder, c: Call) -> list[str]:
    slope = c.needed(1)
    if b.array(slope) is None:
        x = b.tensor(c.needed(0))
        below = b.one("MINIMUM", [x, b.constant(np.zeros(1, np.float32), "zero")])
        return [b.one("ADD", [b.one("RELU", [x]), b.one("MUL", [below, b.tensor(slope)])])]
    return [b.one("PRELU", [b.tensor(c.needed(0)), b.tensor(slope)])]


def clip(b: Builder, c: Call) -> list[str]:
    """Named clips where they fit; else MAXIMUM and MINIMUM."""
    if any(c.input(i) is not None and b.array(c.input(i)) is None for i in (1, 2)):
        x = b.tensor(c.needed(0))
        for i, op in ((1, "MAXIMUM"), (2, "MINIMUM")):
            x = x if (given := c.input(i)) is None else b.one(op, [x, b.tensor(given)])
        return [x]
    bounds: list[float | None] = []
    for index, name in ((1, "min"), (2, "max")):
        if c.opset < 11:
            bounds.append(c.get(name))
        elif (given := c.input(index)) is None or (value := b.array(given)) is None:
            bounds.append(None)
        else:
            bounds.append(float(value.reshape(())))
    x, (low, high) = b.tensor(c.needed(0)), bounds
    low = None if low is not None and low <= -3.4e38 else low
    high = None if high is not None and high >= 3.4e38 else high
    named = {(0.0, 6.0): "RELU6", (0.0, None): "RELU", (-1.0, 1.0): "RELU_N1_TO_1"}.get((low, high))  # type: ignore[arg-type]
    if named and b.tensors[x].dtype == "float32":
        return elementwise(b, x, named)
    kind = b.tensors[x].dtype
    if low is not None:
        x = b.one("MAXIMUM", [x, b.constant(np.asarray([low], kind), "min")])
    if high is not None:
        x = b.one("MINIMUM", [x, b.constant(np.asarray([high], kind), "max")])
    return [x]


def softmax(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    rank = len(shape)
    axis = axis_of(c.get("axis", 1 if c.opset < 13 else -1), max(rank, 1))
    if c.opset < 13 and axis != rank - 1:
        # Before opset 13 everything from `axis` on is one row.
        flat = b.reshape(x, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))))
        return [b.reshape(b.one("SOFTMAX", [flat]), shape)]
    if axis == rank - 1:
        return [b.one("SOFTMAX", [x])]
    perm = [*(i for i in range(rank) if i != axis), axis]
    y = b.one("SOFTMAX", [b.transpose(x, perm)])
    return [b.transpose(y, [perm.index(i) for i in range(rank)])]


REDUCTIONS = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}


def reduce(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    rank = len(b.tensors[x].shape)
    given = b.ints(c.input(1), "axes list")
    axes = given if given is not None else c.get("axes")
    if not axes and c.get("noop_with_empty_axes", 0):
        return [x]
    wanted = tuple(sorted({axis_of(a, rank) for a in axes})) if axes else tuple(range(rank))
    keep = bool(c.get("keepdims", 1))
    if b.tensors[x].dtype == "bool":
        return [b.one("REDUCE_ANY" if c.op == "ReduceMax" else "REDUCE_ALL", [x], axes=wanted, keep_dims=keep)]
    if rank == 4 and wanted == (2, 3) and c.op != "ReduceMin":
        # A global pool: kept spatial, so that it meets its convolutions without a transposition.
        y = b.one(REDUCTIONS[c.op], [b.to_spatial(x)], axes=(1, 2), keep_dims=keep)
        return [b.transpose(y, TO_NCHW) if keep else y]
    return [b.one(REDUCTIONS[c.op], [x], axes=wanted, keep_dims=keep)]


def same(b: Builder, c: Call) -> list[str]:
    """Identity, and Dropout at inference."""
    if c.op == "Dropout":
        flag = b.array(c.input(2))
        if c.input(2) is not None and (flag is None or bool(flag.reshape(()))):
            raise Cannot("it is in training mode", "export after model.eval()")
        if len(c.outputs) > 1 and c.outputs[1]:  # the mask: nothing is dropped
            b.consts[c.outputs[1]] = np.ones(b.shape(c.needed(0)), np.float32 if c.opset < 10 else np.bool_)
    return [b.tensor(c.needed(0))]


HANDLERS: dict[str, Handler] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Add": add,
    **dict.fromkeys(["Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min"], chain),
    "Neg": negate,
    "Relu": unary("RELU"),
    "Sigmoid": unary("LOGISTIC"),
    "Tanh": unary("TANH"),
    "HardSwish": unary("HARD_SWISH"),
    "LeakyRelu": leaky_relu,
    "Elu": elu,
    "HardSigmoid": hard_sigmoid,
    "PRelu": prelu,
    "Clip": clip,
    "Softmax": softmax,
    **dict.fromkeys(REDUCTIONS, reduce),
    "Identity": same,
    "Dropout": same,
}
