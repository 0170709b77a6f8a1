"""Operators of one value: the ReLU family, sigmoid, tanh, hard-swish, hard-sigmoid, ELU, PReLU and softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import Op, broadcast_shapes, fail, given, same_axes, take
from edgekit.ops.requant import BOUNDS, int8_quant, prelu_params, zero_of
from edgekit.ops.tables import look_up, softmax_exps, unary_table


def fused_of(node: Node) -> str:
    """The fused activation of a node. Raises BadModel for an unknown one."""
    name = str(node.attrs.get("activation", "NONE"))
    if name not in BOUNDS:
        fail(node, f"activation={name!r} must be one of {', '.join(BOUNDS)}")
    return name


def clamp(x: Array, activation: str) -> Array:
    """The fused activation on real numbers."""
    low, high = BOUNDS[activation]
    if activation == "NONE":
        return x
    return np.maximum(x, x.dtype.type(low)) if high == np.inf else np.clip(x, x.dtype.type(low), x.dtype.type(high))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


# op -> its function of (x, attributes), in x's own float dtype.
UNARY: dict[str, Callable[[Array, dict[str, Any]], Array]] = {
    "RELU": lambda x, a: clamp(x, "RELU"),
    "RELU6": lambda x, a: clamp(x, "RELU6"),
    "RELU_N1_TO_1": lambda x, a: clamp(x, "RELU_N1_TO_1"),
    "LEAKY_RELU": lambda x, a: np.where(x >= 0, x, x * x.dtype.type(a["alpha"])),
    "ELU": lambda x, a: np.where(x >= 0, x, x.dtype.type(a["alpha"]) * np.expm1(np.minimum(x, 0))),
    "LOGISTIC": lambda x, a: sigmoid(x),
    "TANH": lambda x, a: np.tanh(x),
    "HARD_SWISH": lambda x, a: x * np.clip(x + 3, 0, 6) / x.dtype.type(6),
    "HARD_SIGMOID": lambda x, a: np.clip(x * x.dtype.type(a["alpha"]) + x.dtype.type(a["beta"]), 0, 1),
}
ATTRS: dict[str, dict[str, Any]] = {
    "LEAKY_RELU": {"alpha": 0.01},
    "ELU": {"alpha": 1.0},
    "HARD_SIGMOID": {"alpha": 0.2, "beta": 0.5},
}
FIXED: dict[str, dict[str, tuple[float, int]]] = {
    "LOGISTIC": {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)},
    "TANH": {"int8": (1 / 128, 0), "int16": (1 / 32768, 0)},
    "SOFTMAX": {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)},
}


def apply_unary(node: Node, x: Array) -> Array:
    """The real function of a one-input op of this family (not SOFTMAX), in x's float dtype."""
    return UNARY[node.op](x, {**ATTRS.get(node.op, {}), **node.attrs})


def infer_unary(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    return [(x.shape, x.dtype)]


def infer_prelu(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, slope = take(node, inputs, 2)
    if broadcast_shapes(node, x.shape, slope.shape) != x.shape:
        fail(node, f"slope {list(slope.shape)} does not broadcast to the input {list(x.shape)}")
    return [(x.shape, x.dtype)]


def infer_softmax(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    if not x.shape:
        fail(node, "needs an input of rank 1 or more")
    return [(x.shape, x.dtype)]


def real_unary(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [apply_unary(node, given(inputs)[0])]


def real_prelu(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, slope = given(inputs, 2)
    return [np.where(x >= 0, x, x * slope)]


def real_softmax(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,) = given(inputs)
    beta = x.dtype.type(node.attrs.get("beta", 1.0))
    e = np.exp((x - x.max(axis=-1, keepdims=True)) * beta)
    return [e / e.sum(axis=-1, keepdims=True)]


def integer_unary(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """int8 to int8, by table."""
    return [look_up(unary_table(node, given(ins)[0], outs[0]), given(inputs)[0])]


def integer_prelu(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    (x, slope), (tx, ts) = given(inputs, 2), given(ins, 2)
    above, below = prelu_params(node, tx, ts, outs[0])
    centred = x.astype(np.int64) - zero_of(int8_quant(node, tx))
    sloped = centred * (slope.astype(np.int64) - zero_of(int8_quant(node, ts)))
    positive = fixedpoint.multiply_by_quantized_multiplier(centred, *above)
    negative = fixedpoint.multiply_by_quantized_multiplier(sloped, *below)
    shifted = np.where(centred >= 0, positive, negative) + zero_of(int8_quant(node, outs[0]))
    return [np.clip(shifted, -128, 127).astype(np.int8)]


def integer_softmax(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """Over the last axis: exp and the reciprocal of their sum (12 integer bits) in gemmlowp fixed point."""
    (x,), (tx,) = given(inputs), given(ins)
    exps = softmax_exps(node, tx, outs[0]).astype(np.int64)
    place = x.astype(np.int64) - x.max(axis=-1, keepdims=True) + 255
    total = fixedpoint.rounding_divide_by_pot(exps, 12)[place].sum(axis=-1, keepdims=True)
    scale, over = fixedpoint.reciprocal(total, 12)
    product = fixedpoint.saturating_rounding_doubling_high_mul(exps[place], scale)
    result = fixedpoint.rounding_divide_by_pot(product, over + 23) - 128
    return [np.clip(result, -128, 127).astype(np.int8)]


def leading_axes(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    return same_axes(node, inputs, outputs)[:-1]


OPS: tuple[Op, ...] = (
    *(
        Op(
            name,
            infer_unary,
            real_unary,
            integer_unary,
            attrs=ATTRS.get(name, {}),
            quant="fixed" if name in FIXED else "same" if name in {"RELU6", "RELU_N1_TO_1"} else "observe",
            fixed=FIXED.get(name, {}),
            coupled=same_axes,
            elementwise=True,
        )
        for name in UNARY
    ),
    Op("PRELU", infer_prelu, real_prelu, integer_prelu, coupled=same_axes, elementwise=True),
    Op(
        "SOFTMAX",
        infer_softmax,
        real_softmax,
        integer_softmax,
        attrs={"beta": 1.0},
        quant="fixed",
        fixed=FIXED["SOFTMAX"],
        coupled=leading_axes,
    ),
)
