"""Normalisations and gates in the operators of TensorFlow Lite.

In int8 these cost 3 to 4 dB beside the whole operator (30 to 38 dB on rows of 32 to 256 normally distributed values): the
differences to the mean, their mean square, and its inverse root times gamma are each rounded to 8 bits. Dividing by the
length with L2_NORMALIZATION instead loses more from 64 values on, for its output is fixed to steps of 1/128.
"""

from __future__ import annotations

import math

import numpy as np

from edgekit.graph import Array, Node, Shape
from edgekit.ops.norm_layer import spans_of
from edgekit.passes.draft import Draft

# x * Phi(x) is x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) to 0.0005 (Hendrycks and Gimpel 2016, section 2), which is
# x * sigmoid(x * (GELU_SLOPE + GELU_BEND * x^2)).
GELU_SLOPE = 2 * math.sqrt(2 / math.pi)
GELU_BEND = 0.044715 * GELU_SLOPE


class _Chain:
    """Nodes in the place of one; each value named after its output."""

    def __init__(self, draft: Draft, node: Node) -> None:
        self.draft, self.node, self.y = draft, node, node.outputs[0]

    def add(self, op: str, *inputs: str, out: str | None = None, **attrs: object) -> str:
        name = out or self.draft.fresh(f"{self.y}_{op.lower()}")
        return self.draft.emit(op, inputs, attrs, self.node, (name,)).outputs[0]

    def const(self, what: str, data: Array) -> str:
        return self.draft.const(f"{self.y}_{what}", data.astype(np.float32))


def norm(draft: Draft, node: Node) -> bool:
    """LAYER_NORM, RMS_NORM, GROUP_NORM: (x - mean) * (gamma / sqrt(variance + epsilon)) + beta."""
    parameters = [draft.data(n) if n is not None and draft.is_const(n) else None for n in node.inputs[1:]]
    if not draft.is_float(node) or any(n is not None and not draft.is_const(n) for n in node.inputs[1:]):
        return False
    x, shape = str(node.inputs[0]), draft[node.inputs[0]].shape
    gamma, beta = (*parameters, None, None)[:2]
    work, axes, wide = _layout(node, shape)
    draft.drop(node)
    chain = _Chain(draft, node)
    away = x if work == shape else chain.add("RESHAPE", x, shape=work)
    if node.op != "RMS_NORM":
        away = chain.add("SUB", away, chain.add("MEAN", away, axes=axes, keep_dims=True))
    variance = chain.add("MEAN", chain.add("MUL", away, away), axes=axes, keep_dims=True)
    epsilon = chain.const("epsilon", np.array([node.attrs.get("epsilon", 1e-5)]))
    scale = chain.add("RSQRT", chain.add("ADD", variance, epsilon))
    if gamma is not None:
        scale = chain.add("MUL", scale, chain.const("gamma", gamma.reshape(wide)))
    last = work == shape
    y = chain.add("MUL", away, scale, out=chain.y if last and beta is None else None)
    if beta is not None:
        y = chain.add("ADD", y, chain.const("beta", beta.reshape(wide)), out=chain.y if last else None)
    if not last:
        chain.add("RESHAPE", y, out=chain.y, shape=shape)
    return True


def _layout(node: Node, shape: Shape) -> tuple[Shape, tuple[int, ...], Shape]:
    """(the shape to work in, the axes of the statistics, the shape of gamma and beta)."""
    s = spans_of(node, shape)
    if node.op == "GROUP_NORM":
        return (s.rows, s.pixels, s.groups, s.depth), (1, 3), (1, 1, s.groups, s.depth)
    axis = int(node.attrs["axis"])
    if len(shape) > 4:
        return (math.prod(shape[:axis]), s.count), (1,), (1, s.count)
    return shape, tuple(range(axis, len(shape))), shape[axis:]


def silu(draft: Draft, node: Node) -> bool:
    """x * sigmoid(x)."""
    if not draft.is_float(node):
        return False
    x = str(node.inputs[0])
    draft.drop(node)
    chain = _Chain(draft, node)
    chain.add("MUL", x, chain.add("LOGISTIC", x), out=chain.y)
    return True


def gelu(draft: Draft, node: Node) -> bool:
    """The form with tanh, within 0.0005 of the one with erf."""
    if not draft.is_float(node):
        return False
    x = str(node.inputs[0])
    draft.drop(node)
    chain = _Chain(draft, node)
    bent = chain.add("MUL", chain.add("MUL", x, x), chain.const("bend", np.array([GELU_BEND])))
    slope = chain.add("ADD", bent, chain.const("slope", np.array([GELU_SLOPE])))
    chain.add("MUL", x, chain.add("LOGISTIC", chain.add("MUL", x, slope)), out=chain.y)
    return True
