"""Functions of one value, powers and remainders, the reductions made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.load.onnx.builder import Builder, Call, Handler, axis_of

# ONNX operator -> the Graph's, with the attributes it takes over.
FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        name: (name.upper(), ())
        for name in (
            "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Mish Reciprocal Round Sign Sin Sinh Softplus "
            "Softsign Sqrt Tan"
        ).split()
    },
    "Celu": ("CELU", ("alpha",)),
    "Selu": ("SELU", ("alpha", "gamma")),
    "Shrink": ("SHRINK", ("lambd", "bias")),
    "ThresholdedRelu": ("THRESHOLDED_RELU", ("alpha",)),
}
POWERS = {2.0: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT", -1.0: "RECIPROCAL"}


def function(b: Builder, c: Call) -> list[str]:
    op, names = FUNCTIONS[c.op]
    attrs = {name: float(c.attrs[name]) for name in names if name in c.attrs}
    return [apply(b, b.tensor(c.needed(0)), op, **attrs)]


def apply(b: Builder, x: str, op: str, **attrs: float) -> str:
    """An operator of one value, beside what made x."""
    return b.under_views(x, lambda source: b.one(op, [source], **attrs))


def negate(b: Builder, c: Call) -> list[str]:
    """Of real numbers a product with -1, which every engine has in int8."""
    x = b.tensor(c.needed(0))
    if b.tensors[x].dtype != "float32":
        return [b.one("NEG", [x])]
    return [b.one("MUL", [x, b.constant(np.asarray([-1.0], np.float32), "minus_one")])]


def power(b: Builder, c: Call) -> list[str]:
    """The usual constant exponents are functions; the result has the base's type."""
    base, exponent = c.needed(0), c.needed(1)
    x, kind, fixed = b.tensor(base), b.dtype(base), b.array(exponent)
    if fixed is not None and fixed.size == 1 and len(b.shape(exponent)) <= len(b.shape(base)):
        value = float(fixed.reshape(()))
        if value == 1.0:
            return [x]
        if kind == "float32" and value in POWERS:
            return [apply(b, x, POWERS[value])]
        if kind == "float32" or value.is_integer():
            return [b.one("POW", [x, b.constant(fixed.astype(kind), "exponent")])]
    other = b.tensor(exponent)
    real = "float32" in (kind, b.tensors[other].dtype)
    y = b.one("POW", [cast(b, n, "float32" if real else "int32") for n in (x, other)])
    return [cast(b, y, kind)]


def cast(b: Builder, x: str, kind: str) -> str:
    return x if b.tensors[x].dtype == kind else b.one("CAST", [x], to=kind)


def remainder(b: Builder, c: Call) -> list[str]:
    """fmod = 0: the sign of the divisor; 1: of the dividend, as C's fmod."""
    x, y = b.tensor(c.needed(0)), b.tensor(c.needed(1))
    if not c.get("fmod", 0):
        return [b.one("FLOOR_MOD", [x, y])]
    rest = b.one("FLOOR_MOD", [b.one("ABS", [x]), b.one("ABS", [y])])
    return [b.one("MUL", [b.one("SIGN", [x]), rest])]


def axes_of(b: Builder, c: Call, rank: int) -> tuple[int, ...] | None:
    """The axes of a reduction; None: it reduces nothing."""
    listed = b.ints(c.input(1), "axes list")
    axes = listed if listed is not None else c.get("axes")
    if not axes and c.get("noop_with_empty_axes", 0):
        return None
    return tuple(sorted({axis_of(a, rank) for a in axes})) if axes else tuple(range(rank))


def _log_sum_exp(b: Builder, x: str, axes: tuple[int, ...]) -> str:
    """max + log(sum(exp(x - max))): no power overflows."""
    most = b.one("REDUCE_MAX", [x], axes=axes, keep_dims=True)
    total = b.one("SUM", [b.one("EXP", [b.one("SUB", [x, most])])], axes=axes, keep_dims=True)
    return b.one("ADD", [b.one("LOG", [total]), most])


def _sum(b: Builder, x: str, axes: tuple[int, ...]) -> str:
    return b.one("SUM", [x], axes=axes, keep_dims=True)


# What a reduction does with axes kept.
REDUCED: dict[str, Callable[[Builder, str, tuple[int, ...]], str]] = {
    "ReduceL1": lambda b, x, axes: _sum(b, b.one("ABS", [x]), axes),
    "ReduceL2": lambda b, x, axes: b.one("SQRT", [_sum(b, b.one("SQUARE", [x]), axes)]),
    "ReduceLogSum": lambda b, x, axes: b.one("LOG", [_sum(b, x, axes)]),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceProd": lambda b, x, axes: b.one("REDUCE_PROD", [x], axes=axes, keep_dims=True),
    "ReduceSumSquare": lambda b, x, axes: _sum(b, b.one("SQUARE", [x]), axes),
}
_NOOP = {"ReduceL1": "ABS", "ReduceL2": "ABS", "ReduceLogSum": "LOG", "ReduceSumSquare": "SQUARE"}


def reduce(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axes = axes_of(b, c, len(shape))
    if axes is None or not shape:
        return [b.one(_NOOP[c.op], [x]) if c.op in _NOOP else x]
    y = REDUCED[c.op](b, x, axes)
    return [y if c.get("keepdims", 1) else b.reshape(y, [n for i, n in enumerate(shape) if i not in axes])]


def mean_variance(b: Builder, c: Call) -> list[str]:
    """(x - mean) / (sqrt(variance) + 1e-9)."""
    x = b.tensor(c.needed(0))
    axes = tuple(sorted(axis_of(a, len(b.tensors[x].shape)) for a in c.get("axes", (0, 2, 3))))
    centred = b.one("SUB", [x, b.one("MEAN", [x], axes=axes, keep_dims=True)])
    spread = b.one("SQRT", [b.one("MEAN", [b.one("SQUARE", [centred])], axes=axes, keep_dims=True)])
    return [b.one("DIV", [centred, b.one("ADD", [spread, b.constant(np.asarray([1e-9], np.float32), "epsilon")])])]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(FUNCTIONS, function),
    **dict.fromkeys(REDUCED, reduce),
    "MeanVarianceNormalization": mean_variance,
    "Mod": remainder,
    "Neg": negate,
    "Pow": power,
}
