"""Rewrites around resizes and pixel shuffles that save work."""

from __future__ import annotations

import math

import numpy as np

from edgekit.graph import Node
from edgekit.passes.draft import Draft
from edgekit.passes.simplify.weights import OUT_AXIS, bias_name, is_linear

RESIZES = {"RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"}


def gather_into_maker(draft: Draft, node: Node) -> bool:
    """Channels re-ordered by a constant GATHER (nn.PixelShuffle): the rows of the weights that make them are instead."""
    if node.op != "GATHER" or not draft.is_const(node.inputs[1]) or not draft.is_float(node):
        return False
    x, order = draft[node.inputs[0]], draft.data(node.inputs[1])
    maker = draft.private_maker(x.name)
    if order.ndim != 1 or int(node.attrs.get("axis", 0)) != len(x.shape) - 1 or maker is None or not is_linear(draft, maker):
        return False
    weights = draft.data(maker.inputs[1])
    grouped = weights.ndim == 4 and draft[maker.inputs[0]].shape[3] != weights.shape[3]
    if OUT_AXIS[maker.op] != 0 or grouped:
        return False
    inputs = [maker.inputs[0], draft.const(f"{maker.inputs[1]}_ordered", np.ascontiguousarray(weights[order]))]
    if (bias := bias_name(maker)) is not None:
        inputs.append(draft.const(f"{bias}_ordered", draft.data(bias)[order]))
    attrs = maker.attrs
    draft.drop(node)
    draft.drop(maker)
    draft.emit(maker.op, inputs, attrs, maker, node.outputs)
    return True


def conv_before_resize(draft: Draft, node: Node) -> bool:
    """A 1x1 convolution of an enlarged image reads the small one: shares that sum to 1 commute with sums over channels."""
    if node.op != "CONV_2D" or not is_linear(draft, node) or draft.data(node.inputs[1]).shape[1:3] != (1, 1):
        return False
    if tuple(node.attrs.get("stride", (1, 1))) != (1, 1) or any(node.attrs.get("pad", (0, 0, 0, 0))):
        return False
    resize = draft.private_maker(node.inputs[0])
    if resize is None or resize.op not in RESIZES or not draft.is_float(resize):
        return False
    x, y = draft[resize.inputs[0]], draft[node.outputs[0]]
    grows = math.prod(y.shape[1:3]) > math.prod(x.shape[1:3]) and y.shape[3] <= x.shape[3]
    # An activation commutes with copies, not with sums.
    if not grows or (resize.op == "RESIZE_BILINEAR" and node.attrs.get("activation", "NONE") != "NONE"):
        return False
    small = draft.fresh(f"{y.name}_small")
    draft.drop(node)
    draft.emit("CONV_2D", (x.name, *node.inputs[1:]), node.attrs, node, (small,))
    draft.emit(resize.op, (small,), resize.attrs, resize, node.outputs)
    return True
