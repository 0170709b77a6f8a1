"""Moves, slices and scales around the products of attention: out of the way, or into the dense layers before them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import Node
from edgekit.ops import TABLE, infer
from edgekit.passes.draft import Draft, same_quant
from edgekit.passes.simplify.blocks import blocks_of
from edgekit.passes.simplify.clean import is_move
from edgekit.passes.simplify.layout import is_elementwise
from edgekit.passes.simplify.patterns import made_by, scalar_of
from edgekit.passes.simplify.weights import is_linear


def transpose_in_blocks(draft: Draft, node: Node) -> bool:
    """RESHAPE that merges axes, TRANSPOSE, RESHAPE that takes them apart again: one TRANSPOSE."""
    middle = draft.maker(node.inputs[0])
    if node.op != "RESHAPE" or middle is None or middle.op != "TRANSPOSE":
        return False
    first = draft.maker(middle.inputs[0])
    if first is None or first.op != "RESHAPE" or not all(is_move(draft, n) for n in (first, middle, node)):
        return False
    x, merged, y = draft[first.inputs[0]].shape, draft[first.outputs[0]].shape, draft[node.outputs[0]].shape
    if len(x) != len(y):
        return False
    for blocks in _blocks(x, merged):
        perm = tuple(axis for place in middle.attrs["perm"] for axis in blocks[place])
        if len(perm) == len(x) and tuple(x[axis] for axis in perm) == y:
            quant = draft[node.outputs[0]].quant
            draft.drop(node)
            draft.emit("TRANSPOSE", first.inputs, {"perm": perm}, node, node.outputs, [quant])
            return True
    return False


def _blocks(x: tuple[int, ...], merged: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """For each axis of `merged` the axes of x it is made of, where RESHAPE x -> merged only merges; else nothing."""
    found = blocks_of(x, merged)
    if found is None or any(len(block.after) != 1 for block in found) or len(found) != len(merged):
        return []
    return [[block.before for block in found]]


def scale_above_moves(draft: Draft, node: Node) -> bool:
    """RESHAPE(x) * c becomes RESHAPE(x * c) for one number c, so that c is next to what made x."""
    if node.op not in {"MUL", "DIV"} or made_by(draft, node.outputs[0], node.op) is None:
        return False
    before = draft.private_maker(node.inputs[0])
    if before is None or before.op != "RESHAPE" or before.inputs[0] in draft.sources or not is_move(draft, before):
        return False
    if scalar_of(draft, node.inputs[1]) is None or draft[node.inputs[1]].elements != 1:
        return False
    maker = draft.maker(before.inputs[0])
    if maker is None or len(draft[before.inputs[0]].shape) < len(draft[node.inputs[1]].shape):
        return False
    inner = draft.fresh(f"{node.outputs[0]}_r")
    draft.drop(node)
    draft.emit(node.op, (before.inputs[0], node.inputs[1]), node.attrs, node, (inner,))
    draft.emit("RESHAPE", (inner,), {"shape": draft[node.outputs[0]].shape}, node, node.outputs)
    return True


def transpose_into_product(draft: Draft, node: Node) -> bool:
    """A TRANSPOSE of the last two axes, before a BATCH_MATMUL, becomes its adj."""
    if node.op != "BATCH_MATMUL":
        return False
    for index, key in ((0, "adj_x"), (1, "adj_y")):
        maker = draft.maker(node.inputs[index])
        if maker is None or maker.op != "TRANSPOSE" or not is_move(draft, maker):
            continue
        rank = len(maker.attrs["perm"])
        if tuple(maker.attrs["perm"]) != (*range(rank - 2), rank - 1, rank - 2):
            continue
        inputs = tuple(maker.inputs[0] if i == index else n for i, n in enumerate(node.inputs))
        adj = bool(node.attrs.get(key, TABLE[node.op].attrs[key]))
        draft.change(node, inputs=inputs, attrs={**node.attrs, key: not adj})
        return True
    return False


def scale_into_softmax(draft: Draft, node: Node) -> bool:
    """SOFTMAX(x * c) for one number c > 0 is a SOFTMAX of that beta."""
    before = draft.private_maker(node.inputs[0])
    if node.op != "SOFTMAX" or before is None or made_by(draft, node.inputs[0], "MUL", "DIV") is None:
        return False
    value = scalar_of(draft, before.inputs[1])
    if value is None or value <= 0 or draft[before.inputs[0]].shape != draft[before.outputs[0]].shape:
        return False
    by = value if before.op == "MUL" else 1.0 / value
    draft.change(node, inputs=before.inputs[:1], attrs={"beta": float(node.attrs.get("beta", 1.0)) * by})
    return True


def gather_to_slice(draft: Draft, node: Node) -> bool:
    """GATHER of neighbours in order, by constant indices, is a SLICE; of one by a number, a SLICE and a RESHAPE."""
    if node.op != "GATHER" or not draft.is_const(node.inputs[1]) or draft.is_const(node.inputs[0]):
        return False
    x, y, ids = draft[node.inputs[0]], draft[node.outputs[0]], draft.data(node.inputs[1])
    axis, places = int(node.attrs.get("axis", 0)), ids.reshape(-1)
    if ids.ndim > 1 or not places.size or not same_quant(x, y):
        return False
    if np.any(np.diff(places) != 1) or places[0] < 0 or places[-1] >= x.shape[axis]:
        return False
    begin = tuple(int(places[0]) if i == axis else 0 for i in range(len(x.shape)))
    size = tuple(places.size if i == axis else n for i, n in enumerate(x.shape))
    attrs = {"begin": begin, "size": size, "stride": (1,) * len(size)}
    draft.drop(node)
    if size == y.shape:
        draft.emit("SLICE", node.inputs[:1], attrs, node, node.outputs, [y.quant])
        return True
    part = draft.fresh(f"{y.name}_part")
    draft.emit("SLICE", node.inputs[:1], attrs, node, (part,), [y.quant])
    draft.emit("RESHAPE", (part,), {"shape": y.shape}, node, node.outputs, [y.quant])
    return True


def _cut(draft: Draft, node: Node) -> tuple[int, int, int] | None:
    """(axis, begin, size) of a SLICE that cuts one axis, in steps of one."""
    if node.op != "SLICE" or not is_move(draft, node) or any(s != 1 for s in node.attrs["stride"]):
        return None
    shape = draft[node.inputs[0]].shape
    cut = [i for i, n in enumerate(shape) if node.attrs["size"][i] != n]
    return (cut[0], node.attrs["begin"][cut[0]], node.attrs["size"][cut[0]]) if len(cut) == 1 else None


def slice_above_reshape(draft: Draft, node: Node) -> bool:
    """SLICE(RESHAPE(x)) along the outermost part of an axis of x becomes RESHAPE(SLICE(x)): queries, keys and values of one
    product come apart as slices of it."""
    cut, before = _cut(draft, node), draft.maker(node.inputs[0])
    if cut is None or before is None or before.op != "RESHAPE" or not is_move(draft, before):
        return False
    x, m = draft[before.inputs[0]], draft[node.inputs[0]].shape
    axis, begin, size = cut
    for block in blocks_of(x.shape, m) or ():
        if axis not in block.after:
            continue
        whole = [i for i in block.before if x.shape[i] != 1]
        if len(whole) != 1 or any(m[i] != 1 for i in block.after if i < axis):
            return False
        inner = math.prod(m[i] for i in block.after if i > axis)
        quant, part = draft[node.outputs[0]].quant, draft.fresh(f"{node.outputs[0]}_part")
        starts = tuple(begin * inner if i == whole[0] else 0 for i in range(len(x.shape)))
        sizes = tuple(size * inner if i == whole[0] else n for i, n in enumerate(x.shape))
        shape = draft[node.outputs[0]].shape
        draft.drop(node)
        draft.emit("SLICE", (x.name,), {"begin": starts, "size": sizes, "stride": (1,) * len(sizes)}, node, (part,), [quant])
        draft.emit("RESHAPE", (part,), {"shape": shape}, node, node.outputs, [quant])
        return True
    return False


def slice_of_dense(draft: Draft, node: Node) -> bool:
    """A SLICE of a dense layer's outputs, all of whose readers are such, is a dense layer of those outputs only."""
    cut, dense = _cut(draft, node), draft.maker(node.inputs[0])
    if cut is None or dense is None or not is_linear(draft, dense) or dense.op != "FULLY_CONNECTED":
        return False
    users = draft.users(dense.outputs[0])
    cuts = [_cut(draft, user) for user in users]
    last = len(draft[dense.outputs[0]].shape) - 1
    apart = all(c is not None and c[0] == last for c in cuts) and dense.outputs[0] not in draft.sinks
    if not apart or sum(c[2] for c in cuts if c is not None) > draft[dense.outputs[0]].shape[-1]:
        return False
    _, begin, size = cut
    bias = dense.inputs[2] if len(dense.inputs) > 2 else None
    inputs = [dense.inputs[0], draft.const(f"{dense.inputs[1]}_part", draft.data(dense.inputs[1])[begin : begin + size])]
    if bias is not None:
        inputs.append(draft.const(f"{bias}_part", draft.data(bias)[begin : begin + size]))
    draft.drop(node)
    draft.emit("FULLY_CONNECTED", inputs, dense.attrs, node, node.outputs)
    return True


def scale_into_product(draft: Draft, node: Node) -> bool:
    """(a @ b) * c becomes (a * c) @ b where a dense layer makes a: its weights take c."""
    if node.op not in {"MUL", "DIV"} or made_by(draft, node.outputs[0], node.op) is None:
        return False
    product = draft.private_maker(node.inputs[0])
    if product is None or product.op != "BATCH_MATMUL" or scalar_of(draft, node.inputs[1]) is None:
        return False
    if draft[node.inputs[1]].elements != 1 or draft[node.inputs[0]].shape != draft[node.outputs[0]].shape:
        return False
    name = product.inputs[0]
    while (maker := draft.private_maker(name)) is not None and maker.op in {"RESHAPE", "TRANSPOSE"} and is_move(draft, maker):
        name = maker.inputs[0]
    if maker is None or not is_linear(draft, maker):
        return False
    scaled = draft.fresh(f"{product.inputs[0]}_scaled")
    draft.drop(node)
    draft.drop(product)
    factor = draft.const(f"{node.outputs[0]}_factor", draft.data(node.inputs[1]).reshape(1))
    draft.emit(node.op, (product.inputs[0], factor), node.attrs, node, (scaled,))
    draft.emit("BATCH_MATMUL", (scaled, product.inputs[1]), product.attrs, product, node.outputs)
    return True


def batch_first(draft: Draft, node: Node) -> bool:
    """RESHAPE that moves a batch of 1 behind another axis, before TRANSPOSE nodes: the batch stays axis 0."""
    if node.op != "RESHAPE" or not is_move(draft, node) or node.outputs[0] in draft.sinks:
        return False
    x, y = draft[node.inputs[0]].shape, draft[node.outputs[0]].shape
    users = draft.users(node.outputs[0])
    if not x or not y or x[0] != 1 or y[0] == 1 or 1 not in y or not users:
        return False
    if any(user.op != "TRANSPOSE" or not is_move(draft, user) for user in users):
        return False
    order = (y.index(1), *(i for i in range(len(y)) if i != y.index(1)))
    quant, moved = draft[node.outputs[0]].quant, draft.fresh(f"{node.outputs[0]}_batch")
    draft.emit("RESHAPE", node.inputs, {"shape": tuple(y[i] for i in order)}, node, (moved,), [quant])
    for user in users:
        draft.change(user, inputs=(moved,), attrs={"perm": tuple(order.index(p) for p in user.attrs["perm"])})
    return True


def broadcast_into_reader(draft: Draft, node: Node) -> bool:
    """An elementwise node broadcasts by itself: a BROADCAST_TO before it that changes nothing is left out."""
    if not is_elementwise(node.op) or len(node.inputs) < 2:
        return False
    for i, name in enumerate(node.inputs):
        maker = draft.maker(name)
        if maker is None or maker.op != "BROADCAST_TO" or not same_quant(draft[maker.inputs[0]], draft[name]):
            continue
        changed = replace(node, inputs=tuple(maker.inputs[0] if j == i else n for j, n in enumerate(node.inputs)))
        try:
            ((shape, _),) = infer(changed, [None if n is None else draft[n] for n in changed.inputs])
        except BadModel:
            continue
        if shape == draft[node.outputs[0]].shape:
            draft.change(node, inputs=changed.inputs)
            return True
    return False


def shared_keys(draft: Draft, node: Node) -> bool:
    """Keys or values repeated for the query heads of a group are multiplied once, by all queries of the group: [B, H * G, T, D]
    becomes [B, H, G * T, D]."""
    if node.op != "BATCH_MATMUL" or node.attrs.get("adj_x", False) or len(draft[node.outputs[0]].shape) != 4:
        return False
    quant = draft[node.outputs[0]].quant
    flat = draft.maker(node.inputs[1])
    wide = draft.maker(flat.inputs[0]) if flat is not None and flat.op == "RESHAPE" and is_move(draft, flat) else None
    if flat is None or wide is None or wide.op != "BROADCAST_TO" or len(draft[wide.outputs[0]].shape) != 5:
        return False
    source, spread = draft[wide.inputs[0]], draft[wide.outputs[0]].shape
    batch, shared, group, *rest = spread
    if len(source.shape) != 5 or source.shape != (batch, shared, 1, *rest) or not same_quant(source, draft[flat.outputs[0]]):
        return False
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    if draft[flat.outputs[0]].shape != (batch, shared * group, *rest) or x.shape[:2] != (batch, shared * group):
        return False
    rows, keys, made = draft.fresh(f"{x.name}_rows"), draft.fresh(f"{source.name}_keys"), draft.fresh(f"{y.name}_rows")
    draft.emit("RESHAPE", (x.name,), {"shape": (batch, shared, group * x.shape[2], x.shape[3])}, node, (rows,), [x.quant])
    draft.emit("RESHAPE", (source.name,), {"shape": (batch, shared, *rest)}, node, (keys,), [source.quant])
    draft.drop(node)
    draft.emit("BATCH_MATMUL", (rows, keys), node.attrs, node, (made,), [quant])
    draft.emit("RESHAPE", (made,), {"shape": y.shape}, node, node.outputs, [quant])
    return True
