"""Operators in terms of others, for engines that lack them."""

from __future__ import annotations

import numpy as np

from edgekit.graph import Array, Node
from edgekit.ops.norm import fold
from edgekit.passes.draft import Draft
from edgekit.passes.simplify.clean import is_move


def _one(value: float) -> Array:
    return np.array([value], np.float32)


def batch_norm(draft: Draft, node: Node) -> bool:
    """A depthwise convolution of one pixel (its weights are quantized per channel); MUL and ADD at other ranks."""
    if not draft.is_float(node) or not all(draft.is_const(n) for n in node.inputs[1:]):
        return False
    gamma, beta, mean, var = (draft.data(n) for n in node.inputs[1:])
    scale, offset = (v.astype(np.float32) for v in fold(node, gamma, beta, mean, var))
    x, y = node.inputs[0], node.outputs[0]
    draft.drop(node)
    if len(draft[x].shape) == 4:
        weights = draft.const(f"{y}_scale", scale.reshape(1, 1, 1, -1))
        draft.emit("DEPTHWISE_CONV_2D", (x, weights, draft.const(f"{y}_offset", offset)), {}, node, (y,))
        return True
    scaled = draft.fresh(f"{y}_scaled")
    draft.emit("MUL", (x, draft.const(f"{y}_scale", scale)), {}, node, (scaled,))
    draft.emit("ADD", (scaled, draft.const(f"{y}_offset", offset)), {}, node, (y,))
    return True


def hard_sigmoid(draft: Draft, node: Node) -> bool:
    """clip(alpha * x + beta, 0, 1) = relu6(6 * alpha * x + 6 * beta) / 6: two nodes at the usual slope of 1/6."""
    if not draft.is_float(node):
        return False
    slope, offset = 6.0 * float(node.attrs.get("alpha", 0.2)), 6.0 * float(node.attrs.get("beta", 0.5))
    x, y = node.inputs[0], node.outputs[0]
    draft.drop(node)
    if not np.isclose(slope, 1.0, rtol=1e-6, atol=0):
        scaled = draft.fresh(f"{y}_scaled")
        draft.emit("MUL", (x, draft.const(f"{y}_slope", _one(slope))), {}, node, (scaled,))
        x = scaled
    clamped = draft.fresh(f"{y}_clamped")
    draft.emit("ADD", (x, draft.const(f"{y}_offset", _one(offset))), {"activation": "RELU6"}, node, (clamped,))
    draft.emit("MUL", (clamped, draft.const(f"{y}_sixth", _one(1 / 6))), {}, node, (y,))
    return True


def relu_n1_to_1(draft: Draft, node: Node) -> bool:
    """x * 1 with the clamp fused: TFLM has it as a fused activation only."""
    if not draft.is_float(node):
        return False
    one = draft.const(f"{node.outputs[0]}_one", _one(1.0))
    draft.change(node, op="MUL", inputs=(node.inputs[0], one), attrs={"activation": "RELU_N1_TO_1"})
    return True


def concatenation(limit: int, draft: Draft, node: Node) -> bool:
    """CONCATENATION of many inputs in groups, and the groups in turn."""
    if node.op != "CONCATENATION" or len(node.inputs) <= limit or not is_move(draft, node):
        return False
    quant = draft[node.outputs[0]].quant
    parts: list[str | None] = []
    for start in range(0, len(node.inputs), limit):
        some = node.inputs[start : start + limit]
        name = draft.fresh(f"{node.outputs[0]}_part")
        parts.append(name if len(some) > 1 else some[0])
        if len(some) > 1:
            draft.emit("CONCATENATION", some, node.attrs, node, (name,), [quant])
    draft.change(node, inputs=tuple(parts))
    return True


def clamp_of_one_scale(draft: Draft, node: Node) -> bool:
    """A quantized RELU6 or RELU_N1_TO_1 that changes the scale: QUANTIZE first, for TFLM's only clamps."""
    if node.op not in {"RELU6", "RELU_N1_TO_1"}:
        return False
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    if x.quant is None or y.quant is None or x.quant.same_as(y.quant):
        return False
    name = draft.fresh(f"{y.name}_rescaled")
    draft.emit("QUANTIZE", (x.name,), {"dtype": y.dtype}, node, (name,), [y.quant])
    draft.change(node, inputs=(name,))
    return True
