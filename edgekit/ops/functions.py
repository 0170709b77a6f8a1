"""Real functions of one value: what the operators of `ops.math` mean, in NumPy.

Each takes (x, attributes) and gives the result in x's own float dtype. Outside a function's domain it is NaN or infinite, as
IEEE arithmetic has it; `on_domain` gives the value at the domain's edge instead, which is what int8 tables hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf as _erf
from typing import Any

import numpy as np

from edgekit.graph import Array

Function = Callable[[Array, Mapping[str, Any]], Array]
# SELU's constants (Klambauer et al. 2017, Self-Normalizing Neural Networks), as ONNX has them.
SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def erf(x: Array) -> Array:
    """The error function, computed in float64."""
    values = np.fromiter(map(_erf, x.reshape(-1).tolist()), np.float64, x.size)
    return np.asarray(values.reshape(x.shape), x.dtype)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _shrink(x: Array, a: Mapping[str, Any]) -> Array:
    limit, bias = x.dtype.type(a["lambd"]), x.dtype.type(a["bias"])
    return np.asarray(np.where(x < -limit, x + bias, np.where(x > limit, x - bias, x.dtype.type(0))))


def _gelu(x: Array, a: Mapping[str, Any]) -> Array:
    """x * Phi(x), or its tanh form. Hendrycks and Gimpel 2016, Gaussian Error Linear Units."""
    if a["approximate"]:
        inner = np.tanh(x.dtype.type(np.sqrt(2 / np.pi)) * (x + x.dtype.type(0.044715) * x * x * x))
    else:
        inner = erf(x / x.dtype.type(np.sqrt(2)))
    return np.asarray(x.dtype.type(0.5) * x * (1 + inner))


def _silu(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return x * np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _selu(x: Array, a: Mapping[str, Any]) -> Array:
    below = x.dtype.type(a["alpha"]) * np.expm1(np.minimum(x, 0))
    return np.asarray(x.dtype.type(a["gamma"]) * np.where(x > 0, x, below))


def _celu(x: Array, a: Mapping[str, Any]) -> Array:
    alpha = x.dtype.type(a["alpha"])
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


FUNCTIONS: dict[str, Function] = {
    "ABS": lambda x, a: np.abs(x),
    "ACOS": lambda x, a: np.arccos(x),
    "ACOSH": lambda x, a: np.arccosh(x),
    "ASIN": lambda x, a: np.arcsin(x),
    "ASINH": lambda x, a: np.arcsinh(x),
    "ATAN": lambda x, a: np.arctan(x),
    "ATANH": lambda x, a: np.arctanh(x),
    "CEIL": lambda x, a: np.ceil(x),
    "CELU": _celu,
    "COS": lambda x, a: np.cos(x),
    "COSH": lambda x, a: np.cosh(x),
    "ERF": lambda x, a: erf(x),
    "EXP": lambda x, a: np.exp(x),
    "FLOOR": lambda x, a: np.floor(x),
    "GELU": _gelu,
    "LOG": lambda x, a: np.log(x),
    "MISH": lambda x, a: x * np.tanh(softplus(x)),
    "NEG": lambda x, a: -x,
    "RECIPROCAL": lambda x, a: 1 / x,
    "ROUND": lambda x, a: np.rint(x),  # halves to even
    "RSQRT": lambda x, a: 1 / np.sqrt(x),
    "SELU": _selu,
    "SHRINK": _shrink,
    "SILU": lambda x, a: _silu(x),
    "SIGN": lambda x, a: np.sign(x),
    "SIN": lambda x, a: np.sin(x),
    "SINH": lambda x, a: np.sinh(x),
    "SOFTPLUS": lambda x, a: softplus(x),
    "SOFTSIGN": lambda x, a: x / (1 + np.abs(x)),
    "SQRT": lambda x, a: np.sqrt(x),
    "SQUARE": lambda x, a: x * x,
    "TAN": lambda x, a: np.tan(x),
    "THRESHOLDED_RELU": lambda x, a: np.where(x > x.dtype.type(a["alpha"]), x, x.dtype.type(0)),
}
# Attributes with their defaults.
ATTRS: dict[str, dict[str, float]] = {
    "CELU": {"alpha": 1.0},
    "GELU": {"approximate": False},
    "SELU": {"alpha": SELU_ALPHA, "gamma": SELU_GAMMA},
    "SHRINK": {"lambd": 0.5, "bias": 0.0},
    "THRESHOLDED_RELU": {"alpha": 1.0},
}
# Where a function is defined; elsewhere everywhere.
DOMAINS: dict[str, tuple[float, float]] = {
    "ACOS": (-1.0, 1.0),
    "ACOSH": (1.0, np.inf),
    "ASIN": (-1.0, 1.0),
    "ATANH": (-1.0, 1.0),
    "LOG": (0.0, np.inf),
    "RSQRT": (0.0, np.inf),
    "SQRT": (0.0, np.inf),
}
# Of whole numbers too: int32 in and out.
ON_INTEGERS = frozenset({"ABS", "NEG", "SIGN", "SQUARE"})


def apply(op: str, x: Array, attrs: Mapping[str, Any]) -> Array:
    """The function in x's dtype; infinities and NaN as IEEE arithmetic has them."""
    with np.errstate(all="ignore"):
        return np.asarray(FUNCTIONS[op](x, {**ATTRS.get(op, {}), **attrs}), x.dtype)


def on_domain(op: str, x: Array, attrs: Mapping[str, Any]) -> Array:
    """The function in float64, at the edge of its domain for every x beyond."""
    low, high = DOMAINS.get(op, (-np.inf, np.inf))
    # + 0.0: no negative zero, whose reciprocal would have the wrong sign.
    return apply(op, np.clip(x.astype(np.float64), low, high) + 0.0, attrs)
