"""Nodes of too many axes, done at fewer: neighbouring axes that the operator treats alike become one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from edgekit.graph import Node, Shape
from edgekit.passes.draft import Draft
from edgekit.passes.simplify.layout import data_inputs, is_elementwise

Groups = list[list[int]]
REDUCTIONS = {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"}
BATCH = "batch"


def collapse(limit: int, draft: Draft, node: Node) -> bool:
    """A node of more than `limit` axes between two RESHAPE nodes, with at most that many. False when it cannot be."""
    names = data_inputs(node)
    shapes = [draft[n].shape for n in names]
    rank = max((len(s) for s in (*shapes, *(draft[o].shape for o in node.outputs))), default=0)
    if rank > limit and node.op == "GATHER":
        return _flat_gather(draft, node)
    if rank <= limit or node.op == "RESHAPE" or any(draft.is_const(n) and draft[n].quant is not None for n in names):
        return False
    if node.op == "FULLY_CONNECTED":
        return _flatten_dense(draft, node)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    # The batch stays an axis of its own where it can.
    for keep_batch in (True, False):
        groups = _groups(node, padded, keep_batch)
        if groups is not None and len(groups) <= limit:
            _apply(draft, node, dict(zip(names, padded, strict=True)), groups)
            return True
        if node.op == "TRANSPOSE" and groups is not None and _in_steps(draft, node, groups, keep_batch, limit):
            return True
    return node.op == "BROADCAST_TO" and _grown_in_steps(draft, node, padded[0])


def _groups(node: Node, shapes: Sequence[Shape], keep_batch: bool) -> Groups | None:
    """Axes to merge, in the first input's order."""
    rank = len(shapes[0])
    if node.op == "TRANSPOSE":
        return _runs(shapes[0], [int(p) for p in node.attrs["perm"]], keep_batch)
    labels = [_label(node, shapes, axis) for axis in range(rank)]
    if any(label is None for label in labels):
        return None
    groups: Groups = []
    current: Hashable = None
    for axis, label in enumerate(labels):
        if keep_batch and axis == 0:
            label = (BATCH, label)
        if not groups or (label != current and label != ""):
            groups.append([])
            current = label
        groups[-1].append(axis)
    return groups


def _label(node: Node, shapes: Sequence[Shape], axis: int) -> Hashable:
    """Axes of one label may merge; "" may join any; None: not known how."""
    size, rank = max(s[axis] for s in shapes), len(shapes[0])
    attrs = node.attrs
    if is_elementwise(node.op):
        return tuple(s[axis] == size for s in shapes) if size != 1 or axis == 0 else ""
    if node.op in {"CONCATENATION", "SPLIT", "GATHER"}:
        return ("at", axis == attrs.get("axis", 0))
    if node.op == "SOFTMAX":
        return ("last", axis == rank - 1)
    if node.op in REDUCTIONS:
        return ("reduced", axis in attrs["axes"])
    if node.op == "BROADCAST_TO":
        wanted = (1,) * (rank - len(attrs["shape"])) + tuple(attrs["shape"])
        return ("grown", size != wanted[axis]) if wanted[axis] != 1 or axis == 0 else ""
    if node.op == "TILE":
        return ("once",) if attrs["multiples"][axis] == 1 else ("tiled", axis)
    if node.op == "PAD":
        return ("free",) if tuple(attrs["pads"][axis]) == (0, 0) else ("touched", axis)
    if node.op == "SLICE":
        whole = attrs["begin"][axis] == 0 and attrs["stride"][axis] == 1 and attrs["size"][axis] == shapes[0][axis]
        return ("free",) if whole else ("touched", axis)
    return None


def _runs(shape: Shape, perm: list[int], keep_batch: bool) -> Groups:
    """Axes of a TRANSPOSE's input that stay neighbours in its output; axes of size 1 join the group before."""
    order = [p for p in perm if shape[p] != 1 or (keep_batch and p == 0)]
    follows = {b: a for a, b in pairwise(order)}
    groups: Groups = []
    last = -1
    for axis in range(len(shape)):
        if shape[axis] == 1 and not (keep_batch and axis == 0):
            if groups:
                groups[-1].append(axis)
            else:
                groups.append([axis])
            continue
        joined = last >= 0 and follows.get(axis) == last and not (keep_batch and last == 0)
        if joined or (last < 0 and groups):
            groups[-1].append(axis)
        else:
            groups.append([axis])
        last = axis
    return groups


def _grown_in_steps(draft: Draft, node: Node, shape: Shape) -> bool:
    """A BROADCAST_TO that grows axes here and there as several, of one axis each: three blocks. False for one axis."""
    y = draft[node.outputs[0]]
    grown = [axis for axis, size in enumerate(y.shape) if shape[axis] != size]
    if len(grown) < 2:
        return False
    name = node.inputs[0]
    if len(draft[name].shape) < len(shape):
        name = draft.emit("RESHAPE", (name,), {"shape": shape}, node, (draft.fresh(f"{y.name}_step"),), [y.quant]).outputs[0]
    draft.drop(node)
    for axis in grown:
        shape = (*shape[:axis], y.shape[axis], *shape[axis + 1 :])
        out = y.name if axis == grown[-1] else draft.fresh(f"{y.name}_step")
        name = draft.emit("BROADCAST_TO", (name,), {"shape": shape}, node, (out,), [y.quant]).outputs[0]
    return True


def _in_steps(draft: Draft, node: Node, groups: Groups, keep_batch: bool, limit: int) -> bool:
    """A TRANSPOSE of too many axes as several, each of which moves few enough blocks."""
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    perm = tuple(_attrs(node, groups, x.shape)["perm"])
    steps = None if keep_batch and perm[0] != 0 else steps_to(perm, keep_batch, limit)
    if steps is None:
        return False
    name = draft.fresh(f"{x.name}_merged")
    merged = tuple(int(np.prod([x.shape[a] for a in group], dtype=np.int64)) for group in groups)
    draft.emit("RESHAPE", (x.name,), {"shape": merged}, node, (name,), [x.quant])
    draft.drop(node)
    for step in steps:
        out = draft.fresh(f"{y.name}_step")
        name = draft.emit("TRANSPOSE", (name,), {"perm": step}, node, (out,), [y.quant]).outputs[0]
    draft.emit("RESHAPE", (name,), {"shape": y.shape}, node, node.outputs, [y.quant])
    return True


def steps_to(perm: Shape, keep_first: bool, limit: int) -> list[Shape] | None:
    """The fewest permutations that one after the other make `perm`, each of at most `limit` blocks (axis 0 apart, when it
    is kept first); None for more axes than are worth searching."""
    rank = len(perm)
    if rank > 6:
        return None
    start = tuple(range(rank))
    moves = [p for p in permutations(start) if not keep_first or p[0] == 0]
    moves = [p for p in moves if 1 + sum(b != a + 1 or (keep_first and a == 0) for a, b in pairwise(p)) <= limit]
    reached: dict[Shape, list[Shape]] = {start: []}
    newest = [start]
    while newest and perm not in reached:
        level: list[Shape] = []
        for at in newest:
            for move in moves:
                to = tuple(at[i] for i in move)
                if to not in reached:
                    reached[to] = [*reached[at], move]
                    level.append(to)
        newest = level
    return reached.get(perm)


def _apply(draft: Draft, node: Node, shapes: dict[str, Shape], groups: Groups) -> None:
    quants = [draft[o].quant for o in node.outputs]
    finals = [draft[o].shape for o in node.outputs]
    moved: dict[str, str] = {}
    for name, shape in shapes.items():
        merged = tuple(int(np.prod([shape[a] for a in group], dtype=np.int64)) for group in groups)
        if draft.is_const(name):
            moved[name] = draft.const(f"{name}_merged", draft.data(name).reshape(merged), None, draft[name].dtype)
        else:
            out = draft.fresh(f"{name}_merged")
            moved[name] = draft.emit("RESHAPE", (name,), {"shape": merged}, node, (out,), [draft[name].quant]).outputs[0]
    inner = [draft.fresh(f"{o}_merged") for o in node.outputs]
    inputs = [None if n is None else moved.get(n, n) for n in node.inputs]
    draft.drop(node)
    draft.emit(node.op, inputs, _attrs(node, groups, next(iter(shapes.values()))), node, inner, quants)
    for name, out, final, quant in zip(inner, node.outputs, finals, quants, strict=True):
        draft.emit("RESHAPE", (name,), {"shape": final}, node, (out,), [quant])


def _attrs(node: Node, groups: Groups, shape: Shape) -> dict[str, Any]:
    """The node's attributes, for merged axes."""
    attrs = dict(node.attrs)
    place = {axis: i for i, group in enumerate(groups) for axis in group}
    if node.op == "TRANSPOSE":
        seen = dict.fromkeys(place[p] for p in attrs["perm"] if shape[p] != 1)
        rest = [i for i in range(len(groups)) if i not in seen]
        # A group of ones only may go anywhere: first, where a batch of 1 belongs.
        return {"perm": (*rest, *seen)}
    if "axis" in attrs:
        attrs["axis"] = place[attrs["axis"]]
    if "axes" in attrs:
        attrs["axes"] = tuple(sorted({place[a] for a in attrs["axes"]}))
    if "pads" in attrs:
        attrs["pads"] = tuple(tuple(attrs["pads"][g[0]]) if len(g) == 1 else (0, 0) for g in groups)
    if node.op == "BROADCAST_TO":
        full = (1,) * (len(shape) - len(attrs["shape"])) + tuple(attrs["shape"])
        attrs["shape"] = tuple(int(np.prod([full[a] for a in g], dtype=np.int64)) for g in groups)
    if node.op == "TILE":
        attrs["multiples"] = tuple(int(np.prod([attrs["multiples"][a] for a in g], dtype=np.int64)) for g in groups)
    if node.op == "SLICE":
        for key, whole in (("begin", 0), ("stride", 1)):
            attrs[key] = tuple(node.attrs[key][g[0]] if len(g) == 1 else whole for g in groups)
        attrs["size"] = tuple(int(np.prod([node.attrs["size"][a] for a in g], dtype=np.int64)) for g in groups)
    return attrs


def _flat_gather(draft: Draft, node: Node) -> bool:
    """GATHER of [first, others before, places, all behind] with indices in a row."""
    x, ids, y = draft[node.inputs[0]], draft[node.inputs[1]], draft[node.outputs[0]]
    axis = int(node.attrs.get("axis", 0))
    before, behind = x.shape[:axis], int(np.prod(x.shape[axis + 1 :], dtype=np.int64))
    kept = (*before[:1], int(np.prod(before[1:], dtype=np.int64))) if axis > 1 else before
    if x.quant is not None and x.quant.scale.size > 1:
        return False

    def shaped(name: str, shape: Shape) -> str:
        tensor = draft[name]
        if tensor.shape == shape:
            return name
        if tensor.data is not None:
            return draft.const(f"{name}_merged", tensor.data.reshape(shape), tensor.quant, tensor.dtype)
        out = draft.fresh(f"{name}_merged")
        return draft.emit("RESHAPE", (name,), {"shape": shape}, node, (out,), [tensor.quant]).outputs[0]

    inputs = (shaped(x.name, (*kept, x.shape[axis], behind)), shaped(ids.name, (ids.elements,)))
    out = draft.fresh(f"{y.name}_merged")
    draft.drop(node)
    draft.emit("GATHER", inputs, {**node.attrs, "axis": len(kept)}, node, (out,), [y.quant])
    draft.emit("RESHAPE", (out,), {"shape": y.shape}, node, (y.name,), [y.quant])
    return True


def _flatten_dense(draft: Draft, node: Node) -> bool:
    """FULLY_CONNECTED over the last axis of many, as rows."""
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    features = draft[node.inputs[1]].shape[1]
    rows, out = draft.fresh(f"{x.name}_rows"), draft.fresh(f"{y.name}_rows")
    attrs = {k: v for k, v in node.attrs.items() if k != "keep_dims"}
    draft.emit("RESHAPE", (x.name,), {"shape": (x.elements // features, features)}, node, (rows,), [x.quant])
    draft.drop(node)
    draft.emit("FULLY_CONNECTED", (rows, *node.inputs[1:]), attrs, node, (out,), [y.quant])
    draft.emit("RESHAPE", (out,), {"shape": y.shape}, node, node.outputs, [y.quant])
    return True
