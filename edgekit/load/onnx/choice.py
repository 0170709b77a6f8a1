"""Comparisons, logic, Where and what is built of them."""

from __future__ import annotations

import numpy as np

from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler, axis_of
from edgekit.load.onnx.math import cast

COMPARE = {
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
    "Xor": "NOT_EQUAL",
}


def compare(b: Builder, c: Call) -> list[str]:
    """Two numbers without axes are compared as rows of one: TFLite's kernels end the process on the former."""
    pair = [b.tensor(c.needed(i)) for i in (0, 1)]
    alone = all(not b.tensors[x].shape for x in pair)
    y = b.one(COMPARE[c.op], [b.reshape(x, (1,)) if alone else x for x in pair])
    return [b.reshape(y, ()) if alone else y]


def negate(b: Builder, c: Call) -> list[str]:
    return [b.one("LOGICAL_NOT", [b.tensor(c.needed(0))])]


def where(b: Builder, c: Call) -> list[str]:
    return [b.one("SELECT_V2", [b.tensor(c.needed(i)) for i in range(3)])]


def is_nan(b: Builder, c: Call) -> list[str]:
    """Only what is not a number differs from itself."""
    x = b.tensor(c.needed(0))
    return [b.one("NOT_EQUAL", [x, x])]


def is_inf(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    above, below = bool(c.get("detect_positive", 1)), bool(c.get("detect_negative", 1))
    if not above and not below:
        return [b.one("LESS", [b.one("ABS", [x]), b.constant(np.asarray([0.0], np.float32), "zero")])]
    if above and below:
        x = b.one("ABS", [x])
    limit = b.constant(np.asarray([np.inf if above else -np.inf], np.float32), "infinity")
    return [b.one("EQUAL", [x, limit])]


def trilu(b: Builder, c: Call) -> list[str]:
    """Zeros below (upper) or above (lower) the k-th diagonal."""
    x = b.tensor(c.needed(0))
    k = b.ints(c.input(1), "diagonal")
    shape, kind = b.tensors[x].shape, b.tensors[x].dtype
    full = np.ones(shape[-2:], np.bool_)
    mask = np.triu(full, k[0] if k else 0) if c.get("upper", 1) else np.tril(full, k[0] if k else 0)
    if kind == "bool":
        return [b.one("LOGICAL_AND", [x, b.constant(mask, "triangle")])]
    zero = b.constant(np.zeros((1,), kind), "zero")
    return [b.one("SELECT_V2", [b.constant(mask, "triangle"), x, zero])]


def hardmax(b: Builder, c: Call) -> list[str]:
    """1 at the first largest along the axis (before opset 13: of everything from the axis on), 0 elsewhere."""
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axis = axis_of(c.get("axis", 1 if c.opset < 13 else -1), len(shape))
    if c.opset < 13:
        x = b.reshape(x, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))))
        axis = 1
    best = b.one("ARG_MAX", [x], axis=axis)
    return [b.reshape(b.one("ONE_HOT", [best], depth=b.tensors[x].shape[axis], axis=axis), shape)]


def cast_like(b: Builder, c: Call) -> list[str]:
    constant = b.array(c.needed(0))
    if constant is not None:
        b.consts[c.outputs[0]] = constant.astype(b.dtype(c.needed(1)))
        return []
    return [cast(b, b.tensor(c.needed(0)), b.dtype(c.needed(1)))]


def eye_like(b: Builder, c: Call) -> list[str]:
    """A constant: it takes nothing but the shape."""
    import onnx

    shape = b.shape(c.needed(0))
    code = c.get("dtype")
    kind = np.dtype(b.dtype(c.needed(0))) if code is None else onnx.helper.tensor_dtype_to_np_dtype(int(code))
    b.consts[c.outputs[0]] = np.eye(shape[0], shape[1], int(c.get("k", 0)), dtype=kind)
    return []


def known_only(b: Builder, c: Call) -> list[str]:
    """Constants have been folded before this is asked."""
    raise Cannot("the size of its result is computed at run time", "export with static shapes and constant arguments")


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(COMPARE, compare),
    "CastLike": cast_like,
    "ConstantOfShape": known_only,
    "EyeLike": eye_like,
    "Hardmax": hardmax,
    "IsInf": is_inf,
    "IsNaN": is_nan,
    "Not": negate,
    "Range": known_only,
    "Trilu": trilu,
    "Where": where,
}
