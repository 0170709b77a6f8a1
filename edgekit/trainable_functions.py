"""Functions of one or two values in PyTorch, as the operators of the table mean them: what `trainable_ops` applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.graph import Node
from edgekit.ops import TABLE, attr


def option(node: Node, name: str) -> Any:
    return attr(node, TABLE[node.op], name)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """Whole numbers are truncated towards zero, and over zero are 0."""
    if a.is_floating_point():
        return a / b
    return torch.where(b == 0, 0, torch.div(a, torch.where(b == 0, 1, b), rounding_mode="trunc"))


def floor_divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return torch.floor(a / b)
    return torch.where(b == 0, 0, torch.div(a, torch.where(b == 0, 1, b), rounding_mode="floor"))


def floor_mod(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return torch.remainder(a, b)
    return torch.where(b == 0, 0, torch.remainder(a, torch.where(b == 0, 1, b)))


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, x * slope)


def _selu(x: Tensor, node: Node) -> Tensor:
    gamma, alpha = float(option(node, "gamma")), float(option(node, "alpha"))
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0)))


def _celu(x: Tensor, node: Node) -> Tensor:
    alpha = float(option(node, "alpha"))
    return torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0) / alpha))


def _shrink(x: Tensor, node: Node) -> Tensor:
    limit, bias = float(option(node, "lambd")), float(option(node, "bias"))
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, torch.zeros_like(x)))


UNARY: Mapping[str, Callable[[Tensor, Node], Tensor]] = {
    "ABS": lambda x, n: torch.abs(x),
    "ACOS": lambda x, n: torch.acos(x),
    "ACOSH": lambda x, n: torch.acosh(x),
    "ASIN": lambda x, n: torch.asin(x),
    "ASINH": lambda x, n: torch.asinh(x),
    "ATAN": lambda x, n: torch.atan(x),
    "ATANH": lambda x, n: torch.atanh(x),
    "CEIL": lambda x, n: torch.ceil(x),
    "CELU": _celu,
    "COS": lambda x, n: torch.cos(x),
    "COSH": lambda x, n: torch.cosh(x),
    "DEQUANTIZE": lambda x, n: x,
    "ELU": lambda x, n: F.elu(x, float(option(n, "alpha"))),
    "ERF": lambda x, n: torch.erf(x),
    "EXP": lambda x, n: torch.exp(x),
    "FLOOR": lambda x, n: torch.floor(x),
    "GELU": lambda x, n: F.gelu(x, approximate="tanh" if option(n, "approximate") else "none"),
    "HARD_SIGMOID": lambda x, n: torch.clamp(x * float(option(n, "alpha")) + float(option(n, "beta")), 0, 1),
    "HARD_SWISH": lambda x, n: x * torch.clamp(x + 3, 0, 6) / 6,
    "LEAKY_RELU": lambda x, n: F.leaky_relu(x, float(option(n, "alpha"))),
    "LOG": lambda x, n: torch.log(x),
    "LOGICAL_NOT": lambda x, n: torch.logical_not(x),
    "LOGISTIC": lambda x, n: torch.sigmoid(x),
    "MISH": lambda x, n: x * torch.tanh(F.softplus(x)),
    "NEG": lambda x, n: -x,
    "RECIPROCAL": lambda x, n: 1 / x,
    "RELU": lambda x, n: F.relu(x),
    "RELU6": lambda x, n: torch.clamp(x, 0, 6),
    "RELU_N1_TO_1": lambda x, n: torch.clamp(x, -1, 1),
    "ROUND": lambda x, n: torch.round(x),
    "RSQRT": lambda x, n: torch.rsqrt(x),
    "SELU": _selu,
    "SHRINK": _shrink,
    "SIGN": lambda x, n: torch.sign(x),
    "SILU": lambda x, n: F.silu(x),
    "SIN": lambda x, n: torch.sin(x),
    "SINH": lambda x, n: torch.sinh(x),
    "SOFTPLUS": lambda x, n: F.softplus(x),
    "SOFTSIGN": lambda x, n: F.softsign(x),
    "SQRT": lambda x, n: torch.sqrt(x),
    "SQUARE": lambda x, n: x * x,
    "TAN": lambda x, n: torch.tan(x),
    "TANH": lambda x, n: torch.tanh(x),
    "THRESHOLDED_RELU": lambda x, n: torch.where(x > float(option(n, "alpha")), x, torch.zeros_like(x)),
}
BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ADD": torch.add,
    "ATAN2": torch.atan2,
    "DIV": divide,
    "EQUAL": torch.eq,
    "FLOOR_DIV": floor_divide,
    "FLOOR_MOD": floor_mod,
    "GREATER": torch.gt,
    "GREATER_EQUAL": torch.ge,
    "LESS": torch.lt,
    "LESS_EQUAL": torch.le,
    "LOGICAL_AND": torch.logical_and,
    "LOGICAL_OR": torch.logical_or,
    "MAXIMUM": torch.maximum,
    "MINIMUM": torch.minimum,
    "MUL": torch.mul,
    "NOT_EQUAL": torch.ne,
    "POW": torch.pow,
    "PRELU": prelu,
    "SQUARED_DIFFERENCE": lambda a, b: (a - b).square(),
    "SUB": torch.sub,
}
