"""Rewrites that change constant weights: batch norm, scales and offsets folded in, columns and rows permuted.

All in float64, rounded once to float32. Only float nodes are touched: integers keep their results.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.graph import Array, Node, Shape
from edgekit.ops.norm import fold
from edgekit.passes.draft import Draft, per_channel_vector
from edgekit.passes.simplify.clean import is_move
from edgekit.passes.simplify.layout import is_elementwise, transpose_maker

# Weight axis of the output channels.
OUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}


def linear_maker(draft: Draft, name: str | None) -> Node | None:
    """The float convolution or dense node, of constant weights and without activation, that makes a value for one reader."""
    node = draft.private_maker(name)
    return node if node is not None and is_linear(draft, node) and node.attrs.get("activation", "NONE") == "NONE" else None


def is_linear(draft: Draft, node: Node) -> bool:
    if node.op not in OUT_AXIS or not draft.is_float(node) or not draft.is_const(node.inputs[1]):
        return False
    return bias_name(node) is None or draft.is_const(bias_name(node))


def bias_name(node: Node) -> str | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def along(vector: Array, rank: int, axis: int) -> Array:
    """A vector, shaped to broadcast along one axis of a tensor of `rank` axes."""
    return vector.reshape([-1 if i == axis else 1 for i in range(rank)])


def affine_of(draft: Draft, node: Node) -> tuple[str, Array, Array] | None:
    """A node that computes x * scale + offset per last-axis channel, as (x, scale, offset), float64[C]; None otherwise."""
    if not draft.is_float(node) or not draft[node.outputs[0]].shape:
        return None
    shape = draft[node.outputs[0]].shape
    channels = shape[-1]
    if node.op == "BATCH_NORM" and all(draft.is_const(n) for n in node.inputs[1:]):
        gamma, beta, mean, var = (draft.data(n) for n in node.inputs[1:])
        assert node.inputs[0] is not None
        return node.inputs[0], *fold(node, gamma, beta, mean, var)
    if node.op not in {"ADD", "SUB", "MUL", "DIV"} or draft[node.outputs[0]].dtype != "float32":
        return None
    left, right = node.inputs
    for x, c, swapped in ((left, right, False), (right, left, True)):
        if x is None or not draft.is_const(c) or draft.is_const(x) or draft[x].shape != shape:
            continue
        vector = per_channel_vector(draft.data(c), shape, channels)
        if vector is None or (node.op == "DIV" and (swapped or not np.all(vector))):
            continue
        one, zero = np.ones(channels), np.zeros(channels)
        if node.op == "ADD":
            return x, one, vector
        if node.op == "SUB":
            return (x, -one, vector) if swapped else (x, one, -vector)
        return x, vector if node.op == "MUL" else 1.0 / vector, zero
    return None


def fold_into_maker(draft: Draft, node: Node) -> bool:
    """Batch norm, or a scale and offset per channel, folded into the convolution or dense layer before it."""
    found = affine_of(draft, node)
    if found is None:
        return False
    x, scale, offset = found
    maker = linear_maker(draft, x)
    if maker is None:
        return False
    weight = draft.data(maker.inputs[1])
    axis = OUT_AXIS[maker.op]
    bias = bias_name(maker)
    old_bias = np.zeros(weight.shape[axis]) if bias is None else draft.data(bias).astype(np.float64)
    new_weight = weight.astype(np.float64) * along(scale, weight.ndim, axis)
    attrs = {**maker.attrs, "activation": node.attrs.get("activation", "NONE")}
    if not _finite(new_weight, old_bias * scale + offset):
        return False
    inputs = (
        maker.inputs[0],
        draft.const(_base(maker.inputs[1]), new_weight.astype(np.float32)),
        draft.const(_bias_base(maker), (old_bias * scale + offset).astype(np.float32)),
    )
    draft.drop(node)
    draft.drop(maker)
    draft.emit(maker.op, inputs, attrs, maker, node.outputs)
    return True


def _base(name: str | None) -> str:
    assert name is not None
    return name if name.endswith("_folded") else f"{name}_folded"


def _bias_base(node: Node) -> str:
    return _base(bias_name(node) or f"{node.outputs[0]}_bias")


def _finite(*arrays: Array) -> bool:
    return all(bool(np.all(np.isfinite(a.astype(np.float32)))) for a in arrays)


def fold_into_reader(draft: Draft, node: Node) -> bool:
    """A scale (and an offset, where nothing is padded) before a convolution or dense layer, folded into it."""
    if not is_linear(draft, node) or not draft.private(node.inputs[0]):
        return False
    before = draft.maker(node.inputs[0])
    found = None if before is None or before.attrs.get("activation", "NONE") != "NONE" else affine_of(draft, before)
    if before is None or found is None:
        return False
    x, scale, offset = found
    # The taps that a pixel of a transposed convolution sums over differ from pixel to pixel.
    if np.any(offset) and (any(node.attrs.get("pad", (0, 0, 0, 0))) or node.op == "TRANSPOSE_CONV"):
        return False
    weight = draft.data(node.inputs[1]).astype(np.float64)
    if node.op == "FULLY_CONNECTED" and weight.shape[1] != scale.size:
        return False
    scales, offsets = _per_weight(node.op, weight.shape, scale), _per_weight(node.op, weight.shape, offset)
    axis = OUT_AXIS[node.op]
    others = tuple(i for i in range(weight.ndim) if i != axis)
    bias = bias_name(node)
    old_bias = np.zeros(weight.shape[axis]) if bias is None else draft.data(bias).astype(np.float64)
    new_bias = old_bias + (weight * offsets).sum(others)
    if not _finite(weight * scales, new_bias):
        return False
    inputs: list[str | None] = [x, draft.const(_base(node.inputs[1]), (weight * scales).astype(np.float32))]
    if bias is not None or np.any(offset):
        inputs.append(draft.const(_bias_base(node), new_bias.astype(np.float32)))
    draft.change(node, inputs=tuple(inputs))
    return True


def _per_weight(op: str, shape: Shape, vector: Array) -> Array:
    """A value an input channel, shaped to broadcast against the weights that read it."""
    if op == "FULLY_CONNECTED":
        return vector[None, :]
    if op == "DEPTHWISE_CONV_2D":  # output channel c * m + j reads input channel c
        return np.repeat(vector, shape[3] // vector.size)[None, None, None, :]
    outputs, _, _, each = shape
    groups = vector.size // each
    return np.repeat(vector.reshape(groups, each), outputs // groups, axis=0)[:, None, None, :]


def permute_dense_columns(draft: Draft, node: Node) -> bool:
    """FULLY_CONNECTED of a flattened TRANSPOSE reads the untransposed values: its weight's columns are permuted instead.

    Elementwise nodes and batch norms between the two are permuted along.
    """
    if node.op != "FULLY_CONNECTED" or not is_linear(draft, node):
        return False
    chain, top = _chain_up(draft, node.inputs[0], "RESHAPE")
    if top is None or not is_move(draft, top) or draft[top.outputs[0]].shape[-1] != draft.data(node.inputs[1]).shape[1]:
        return False
    transpose = transpose_maker(draft, top.inputs[0])
    if transpose is None:
        return False
    x, flat = draft[transpose.outputs[0]].shape, draft[top.outputs[0]].shape
    order = flatten_order(x, tuple(transpose.attrs["perm"]), flat)
    if order is None:
        return False
    name = draft.fresh(f"{top.outputs[0]}_t")
    draft.emit("RESHAPE", transpose.inputs, {"shape": flat}, top, (name,), [draft[top.outputs[0]].quant])
    for step in reversed(chain):
        out = draft.fresh(f"{step.outputs[0]}_t")
        draft.emit(step.op, _permuted_inputs(draft, step, name, order, flat), step.attrs, step, (out,))
        name = out
    weight = draft.const(f"{node.inputs[1]}_t", np.ascontiguousarray(draft.data(node.inputs[1])[:, order]))
    draft.change(node, inputs=(name, weight, *node.inputs[2:]))
    return True


def _chain_up(draft: Draft, name: str | None, stop: str) -> tuple[list[Node], Node | None]:
    """Float elementwise nodes and batch norms of one data operand each, upwards from a value to the nearest `stop`."""
    chain: list[Node] = []
    maker = draft.maker(name)
    while maker is not None and maker.op != stop:
        if not draft.private(maker.outputs[0]) or not draft.is_float(maker):
            return [], None
        varying = [n for n in maker.inputs if n is not None and not draft.is_const(n)]
        if not (is_elementwise(maker.op) or maker.op == "BATCH_NORM") or len(varying) != 1:
            return [], None
        if draft[varying[0]].shape != draft[maker.outputs[0]].shape:
            return [], None
        chain.append(maker)
        maker = draft.maker(varying[0])
    return chain, maker


def _permuted_inputs(draft: Draft, node: Node, data: str, order: Array, shape: Shape) -> list[str | None]:
    """The inputs of a chain's node: its varying one is `data`, constants along the last axis are permuted."""
    result: list[str | None] = []
    for name in node.inputs:
        if name is None or not draft.is_const(name):
            result.append(None if name is None else data)
            continue
        values = draft.data(name)
        if values.ndim and values.shape[-1] == shape[-1] and shape[-1] > 1:
            name = draft.const(f"{name}_t", np.ascontiguousarray(values[..., order]), None, draft[name].dtype)
        result.append(name)
    return result


def flatten_order(x: Shape, perm: Shape, flat: Shape) -> Array | None:
    """For RESHAPE(TRANSPOSE(a, perm), flat): int64[flat[-1]], RESHAPE(a, flat)[..., j] == result[..., order[j]].

    x is the TRANSPOSE's output shape. None when more than the axes that are flattened move.
    """
    for k in range(len(x) + 1):
        leading, trailing = tuple(perm[:k]), perm[k:]
        if leading == tuple(range(k)) and int(np.prod(x[k:])) == flat[-1] and int(np.prod(x[:k])) == int(np.prod(flat[:-1])):
            local = [p - k for p in trailing]
            index = np.arange(flat[-1], dtype=np.int64).reshape(x[k:])
            return np.ascontiguousarray(index.transpose(np.argsort(local))).reshape(-1)
    return None


def permute_dense_rows(draft: Draft, node: Node) -> bool:
    """TRANSPOSE of a reshaped FULLY_CONNECTED: the weight's rows are permuted instead (decoders)."""
    if node.op != "TRANSPOSE" or not is_move(draft, node):
        return False
    reshape = draft.private_maker(node.inputs[0])
    if reshape is None or reshape.op != "RESHAPE" or not is_move(draft, reshape) or not draft.private(reshape.inputs[0]):
        return False
    chain, dense = _chain_up(draft, reshape.inputs[0], "FULLY_CONNECTED")
    if dense is None or not is_linear(draft, dense) or not draft.private(dense.outputs[0]):
        return False
    perm = tuple(node.attrs["perm"])
    before, flat = draft[reshape.outputs[0]].shape, draft[reshape.inputs[0]].shape
    back = tuple(int(i) for i in np.argsort(perm))
    # TRANSPOSE's output y has y.transpose(back) = the RESHAPE's output, so the FC's features go to y's order.
    order = flatten_order(before, back, flat)
    if order is None or draft.data(dense.inputs[1]).shape[0] != flat[-1]:
        return False
    shape = draft[node.outputs[0]].shape
    weight = draft.const(f"{dense.inputs[1]}_t", np.ascontiguousarray(draft.data(dense.inputs[1])[order]))
    inputs: list[str | None] = [dense.inputs[0], weight]
    if (bias := bias_name(dense)) is not None:
        inputs.append(draft.const(f"{bias}_t", np.ascontiguousarray(draft.data(bias)[order])))
    name = draft.emit(dense.op, inputs, dense.attrs, dense, (draft.fresh(f"{dense.outputs[0]}_t"),)).outputs[0]
    for step in reversed(chain):
        out = draft.fresh(f"{step.outputs[0]}_t")
        draft.emit(step.op, _permuted_inputs(draft, step, name, order, flat), step.attrs, step, (out,))
        name = out
    draft.drop(node)
    draft.emit("RESHAPE", (name,), {"shape": shape}, node, node.outputs, [draft[node.outputs[0]].quant])
    return True


def divide_by_constant(draft: Draft, node: Node) -> bool:
    """DIV by a constant is MUL by its inverse."""
    if node.op != "DIV" or not draft.is_float(node) or not draft.is_const(node.inputs[1]):
        return False
    data = draft.data(node.inputs[1])
    if data.dtype != np.float32 or not np.all(data):
        return False
    inverse: Any = (1.0 / data.astype(np.float64)).astype(np.float32)
    if not np.all(np.isfinite(inverse)):
        return False
    name = draft.const(f"{node.inputs[1]}_inverse", inverse)
    draft.change(node, op="MUL", inputs=(node.inputs[0], name))
    return True


def merge_affine(draft: Draft, node: Node) -> bool:
    """Two scales, or two offsets, by constants one after the other: one."""
    if node.op not in {"ADD", "MUL"} or not draft.is_float(node) or not draft.is_const(node.inputs[1]):
        return False
    before = draft.private_maker(node.inputs[0])
    if before is None or before.op != node.op or before.attrs.get("activation", "NONE") != "NONE":
        return False
    if not draft.is_const(before.inputs[1]) or draft[before.inputs[0]].shape != draft[node.outputs[0]].shape:
        return False
    first, second = (draft.data(n.inputs[1]).astype(np.float64) for n in (before, node))
    both = (first + second if node.op == "ADD" else first * second).astype(np.float32)
    draft.change(node, inputs=(before.inputs[0], draft.const(f"{node.inputs[1]}_merged", both)))
    return True


def constant_second(draft: Draft, node: Node) -> bool:
    """ADD and MUL of a constant: the constant comes second, as every other rule and most kernels expect."""
    if node.op not in {"ADD", "MUL", "MAXIMUM", "MINIMUM"}:
        return False
    if not draft.is_const(node.inputs[0]) or draft.is_const(node.inputs[1]):
        return False
    draft.change(node, inputs=(node.inputs[1], node.inputs[0]))
    return True
