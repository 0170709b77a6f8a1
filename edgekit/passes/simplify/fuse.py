"""Patterns of nodes that are one operator: activations into what makes them, padding into its reader, hard-swish."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from edgekit.graph import Node
from edgekit.passes.draft import Draft, same_quant
from edgekit.passes.simplify.clean import is_move

ACTIVATIONS = {"RELU", "RELU6", "RELU_N1_TO_1"}
TAKES_ACTIVATION = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "ADD",
    "SUB",
    "MUL",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
}


def fuse_activation(draft: Draft, node: Node) -> bool:
    """RELU, RELU6 or RELU_N1_TO_1 into the only node that makes its input.

    Quantized, only when the activation changes no scale: then both clamp the same integers at the same bounds.
    """
    if node.op not in ACTIVATIONS or not same_quant(draft[node.inputs[0]], draft[node.outputs[0]]):
        return False
    maker = draft.private_maker(node.inputs[0])
    if maker is None or maker.op not in TAKES_ACTIVATION or maker.attrs.get("activation", "NONE") != "NONE":
        return False
    if len(maker.outputs) != 1 or draft[node.outputs[0]].dtype not in {"float32", "int8"}:
        return False
    quant = draft[node.outputs[0]].quant
    draft.drop(node)
    draft.drop(maker)
    draft.emit(maker.op, maker.inputs, {**maker.attrs, "activation": node.op}, maker, node.outputs, [quant])
    return True


def clamp_to_relu(draft: Draft, node: Node) -> bool:
    """MAXIMUM(x, 0) is RELU; MINIMUM(RELU(x), 6) is RELU6."""
    if node.op not in {"MAXIMUM", "MINIMUM"} or not draft.is_float(node) or draft[node.outputs[0]].dtype != "float32":
        return False
    bound = _scalar(draft, node.inputs[1])
    x = node.inputs[0]
    if bound is None or draft[x].shape != draft[node.outputs[0]].shape:
        return False
    if node.op == "MAXIMUM" and bound == 0.0:
        draft.change(node, op="RELU", inputs=(x,))
        return True
    before = draft.private_maker(x)
    if node.op == "MINIMUM" and bound == 6.0 and before is not None and before.op == "RELU":
        draft.change(node, op="RELU6", inputs=before.inputs)
        return True
    return False


def _scalar(draft: Draft, name: str | None) -> float | None:
    """A constant's only value; None when it is not a constant of one value."""
    if name is None or not draft.is_const(name):
        return None
    data = draft.data(name)
    if not data.size or not np.all(data == data.reshape(-1)[0]):
        return None
    return float(data.reshape(-1)[0])


def _with_scalar(draft: Draft, node: Node | None, op: str, value: float) -> str | None:
    """x of a node op(x, value), in either order; None when the node is not that."""
    if node is None or node.op != op or not draft.is_float(node):
        return None
    for x, c in (node.inputs, node.inputs[::-1]):
        found = _scalar(draft, c)
        if found is not None and np.isclose(found, value, rtol=1e-6, atol=0) and draft[x].shape == draft[node.outputs[0]].shape:
            return x
    return None


def _relu6_of_x_plus_3(draft: Draft, name: str | None) -> str | None:
    """x when a value is min(max(x + 3, 0), 6)."""
    node = draft.maker(name)
    if node is None or not draft.is_float(node):
        return None
    if node.op == "RELU6":
        before = draft.maker(node.inputs[0])
        if before is None or before.attrs.get("activation", "NONE") != "NONE":
            return None
        return _with_scalar(draft, before, "ADD", 3.0)
    return _with_scalar(draft, node, "ADD", 3.0) if node.attrs.get("activation") == "RELU6" else None


def find_hard_sigmoid(draft: Draft, node: Node) -> bool:
    """relu6(x + 3) / 6 is HARD_SIGMOID(x) of slope 1/6."""
    if node.op not in {"MUL", "DIV"} or node.attrs.get("activation", "NONE") != "NONE":
        return False
    clamped = _with_scalar(draft, node, "MUL", 1 / 6) if node.op == "MUL" else None
    if node.op == "DIV" and _scalar(draft, node.inputs[1]) == 6.0 and draft.is_float(node):
        clamped = node.inputs[0]
    x = _relu6_of_x_plus_3(draft, clamped)
    if x is None:
        return False
    draft.drop(node)
    draft.emit("HARD_SIGMOID", (x,), {"alpha": 1 / 6, "beta": 0.5}, node, node.outputs)
    return True


def find_hard_swish(draft: Draft, node: Node) -> bool:
    """x * hard_sigmoid(x), and (x * relu6(x + 3)) / 6 in any order, are HARD_SWISH(x)."""
    if node.op not in {"MUL", "DIV"} or node.attrs.get("activation", "NONE") != "NONE" or not draft.is_float(node):
        return False
    x = _swish_of_product(draft, node) or _swish_of_sixth(draft, node)
    if x is None or draft[x].shape != draft[node.outputs[0]].shape:
        return False
    draft.drop(node)
    draft.emit("HARD_SWISH", (x,), {}, node, node.outputs)
    return True


def _swish_of_product(draft: Draft, node: Node) -> str | None:
    """x of x * HARD_SIGMOID(x) and of (x / 6) * relu6(x + 3)."""
    if node.op != "MUL":
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        maker = draft.maker(gate)
        if maker is not None and maker.op == "HARD_SIGMOID" and maker.inputs[0] == x and _is_sixth(maker):
            return x
        inner = _relu6_of_x_plus_3(draft, gate)
        if inner is not None and _with_scalar(draft, draft.maker(x), "MUL", 1 / 6) == inner:
            return inner
    return None


def _is_sixth(node: Node) -> bool:
    return bool(np.isclose(node.attrs.get("alpha", 0.2), 1 / 6, rtol=1e-6) and node.attrs.get("beta", 0.5) == 0.5)


def _swish_of_sixth(draft: Draft, node: Node) -> str | None:
    """x of (x * relu6(x + 3)) * (1/6), or / 6."""
    product = _with_scalar(draft, node, "MUL", 1 / 6) if node.op == "MUL" else None
    if node.op == "DIV" and _scalar(draft, node.inputs[1]) == 6.0:
        product = node.inputs[0]
    maker = draft.maker(product)
    if maker is None or maker.op != "MUL" or maker.attrs.get("activation", "NONE") != "NONE":
        return None
    for x, clamped in (maker.inputs, maker.inputs[::-1]):
        if x is not None and _relu6_of_x_plus_3(draft, clamped) == x:
            return x
    return None


def merge_pads(draft: Draft, node: Node) -> bool:
    """PAD of PAD with the same value is one PAD."""
    before = draft.private_maker(node.inputs[0])
    if node.op != "PAD" or before is None or before.op != "PAD" or not (is_move(draft, node) and is_move(draft, before)):
        return False
    if node.attrs.get("value", 0.0) != before.attrs.get("value", 0.0):
        return False
    pads = tuple((a[0] + b[0], a[1] + b[1]) for a, b in zip(before.attrs["pads"], node.attrs["pads"], strict=True))
    draft.change(node, inputs=before.inputs, attrs={**node.attrs, "pads": pads})
    return True


def pad_into_reader(draft: Draft, node: Node) -> bool:
    """PAD of rows and columns with 0 into a convolution's padding; into a MAX_POOL_2D's where padding can never win.

    A quantized PAD of 0 writes the zero point, as a quantized convolution's padding does.
    """
    if node.op not in {"CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D"}:
        return False
    before = draft.maker(node.inputs[0])
    if before is None or before.op != "PAD" or not is_move(draft, before):
        return False
    (n0, n1), top_bottom, left_right, (c0, c1) = before.attrs["pads"]
    if n0 or n1 or c0 or c1:
        return False
    value = float(before.attrs.get("value", 0.0))
    old = tuple(node.attrs.get("pad", (0, 0, 0, 0)))
    pad = tuple(a + b for a, b in zip(old, (*top_bottom, *left_right), strict=True))
    if node.op == "MAX_POOL_2D":
        kh, kw = node.attrs["filter"]
        if any(old) or max(pad[:2]) >= kh or max(pad[2:]) >= kw or not _never_wins(draft, before, value):
            return False
    elif value != 0.0:
        return False
    draft.change(node, inputs=(before.inputs[0], *node.inputs[1:]), attrs={**node.attrs, "pad": pad})
    return True


def _never_wins(draft: Draft, pad: Node, value: float) -> bool:
    """True when the maximum over a window with at least one real value is the same without the padding."""
    if value <= float(np.finfo(np.float32).min):
        return True
    maker = draft.maker(pad.inputs[0])
    not_negative = maker is not None and (
        maker.op in {"RELU", "RELU6", "LOGISTIC", "HARD_SIGMOID", "SOFTMAX"}
        or maker.attrs.get("activation") in {"RELU", "RELU6"}
    )
    return value <= 0.0 and not_negative


def merge_splits_of_concat(draft: Draft, node: Node) -> bool:
    """CONCATENATION of all outputs of one SPLIT, in order, along the same axis: what was split."""
    if node.op != "CONCATENATION" or not is_move(draft, node):
        return False
    makers = [draft.maker(name) for name in node.inputs]
    split = makers[0]
    if split is None or split.op != "SPLIT" or any(a is not b for a, b in pairwise(makers)):
        return False
    if split.outputs != node.inputs or split.attrs["axis"] != node.attrs["axis"] or not is_move(draft, split):
        return False
    assert split.inputs[0] is not None
    return draft.bypass(node, split.inputs[0])
