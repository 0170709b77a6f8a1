"""Where TRANSPOSE nodes go: down, past whatever works in any order of axes, until they meet their inverse.

Readers put a TRANSPOSE before and after each spatial operator, so most meet at once. One that can climb to a graph input
does, so that it ends at the model's edge, where the contract can take it over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.graph import Node, Shape
from edgekit.ops import TABLE
from edgekit.passes.draft import Draft, same_quant
from edgekit.passes.simplify.blocks import order_before_reshape, reshape_after_transpose
from edgekit.passes.simplify.clean import is_move

# Elementwise, but their parameters lie along one axis.
ALONG_AXIS = {"BATCH_NORM"}
LOOK_AHEAD = 64  # values looked at before giving up


def inverse(perm: Shape) -> Shape:
    """The permutation that undoes `perm`."""
    return tuple(int(i) for i in np.argsort(perm))


def is_reshape(perm: Shape, shape: Shape) -> bool:
    """True when transposing `shape` moves axes of size 1 only, the batch (axis 0) staying where it is."""
    moved = [p for p in perm if shape[p] != 1]
    return moved == sorted(moved) and (not perm or perm[0] == 0)


def is_elementwise(op: str) -> bool:
    return TABLE[op].elementwise and op not in ALONG_AXIS


# How an operator reads when its first input was TRANSPOSE(a, perm) and is now a itself:
# (node, perm, its input's shape before) -> (attributes, the permutation each output then needs), or None.
Remap = Callable[[Node, Shape, Shape, Shape], tuple[dict[str, Any], Shape] | None]


def _remap_axis(node: Node, perm: Shape, _x: Shape, _y: Shape) -> tuple[dict[str, Any], Shape]:
    return {**node.attrs, "axis": int(perm[node.attrs["axis"]])}, perm


def _remap_lists(node: Node, perm: Shape, _x: Shape, _y: Shape) -> tuple[dict[str, Any], Shape]:
    back = inverse(perm)
    moved = {k: tuple(node.attrs[k][i] for i in back) for k in ("pads", "begin", "size", "stride") if k in node.attrs}
    return {**node.attrs, **moved}, perm


def _remap_reduce(node: Node, perm: Shape, _x: Shape, _y: Shape) -> tuple[dict[str, Any], Shape]:
    axes = tuple(sorted(int(perm[a]) for a in node.attrs["axes"]))
    if node.attrs.get("keep_dims", False):
        return {**node.attrs, "axes": axes}, perm
    kept = [i for i in range(len(perm)) if i not in axes]
    return {**node.attrs, "axes": axes}, tuple(kept.index(p) for p in perm if p not in axes)


def _remap_last_fixed(node: Node, perm: Shape, _x: Shape, _y: Shape) -> tuple[dict[str, Any], Shape] | None:
    return (dict(node.attrs), perm) if perm[-1] == len(perm) - 1 else None


def _remap_dense(node: Node, perm: Shape, x: Shape, y: Shape) -> tuple[dict[str, Any], Shape] | None:
    return _remap_last_fixed(node, perm, x, y) if node.attrs.get("keep_dims", False) else None


def _remap_norm(node: Node, perm: Shape, _x: Shape, _y: Shape) -> tuple[dict[str, Any], Shape] | None:
    axis = int(node.attrs["axis"])
    return (dict(node.attrs), perm) if tuple(perm[axis:]) == tuple(range(axis, len(perm))) else None


def _remap_reshape(_node: Node, perm: Shape, x: Shape, y: Shape) -> tuple[dict[str, Any], Shape] | None:
    found = reshape_after_transpose(x, perm, y)
    return None if found is None else ({"shape": found[0]}, found[1])


def _remap_gather(node: Node, perm: Shape, x: Shape, y: Shape) -> tuple[dict[str, Any], Shape] | None:
    # With indices of one axis the output has the input's axes.
    return ({**node.attrs, "axis": int(perm[node.attrs.get("axis", 0)])}, perm) if len(x) == len(y) else None


def _remap_elementwise(node: Node, perm: Shape, _x: Shape, _y: Shape) -> tuple[dict[str, Any], Shape]:
    return dict(node.attrs), perm


REMAPS: dict[str, Remap] = {
    "CONCATENATION": _remap_axis,
    "SPLIT": _remap_axis,
    "PAD": _remap_lists,
    "SLICE": _remap_lists,
    "MEAN": _remap_reduce,
    "SUM": _remap_reduce,
    "REDUCE_MAX": _remap_reduce,
    "REDUCE_MIN": _remap_reduce,
    "BATCH_NORM": _remap_last_fixed,
    "SOFTMAX": _remap_last_fixed,
    "FULLY_CONNECTED": _remap_dense,
    "LOG_SOFTMAX": _remap_last_fixed,
    "L2_NORMALIZATION": _remap_last_fixed,
    "LAYER_NORM": _remap_norm,
    "RMS_NORM": _remap_norm,
    "RESHAPE": _remap_reshape,
    "GATHER": _remap_gather,
}


def remap_of(op: str) -> Remap | None:
    return REMAPS.get(op) or (_remap_elementwise if is_elementwise(op) else None)


def data_inputs(node: Node) -> list[str]:
    """The inputs whose axes a TRANSPOSE moves (parameters along one axis are not among them)."""
    if node.op in {"CONCATENATION"} or is_elementwise(node.op):
        return [n for n in node.inputs if n is not None]
    return [n for n in node.inputs[:1] if n is not None]


def transpose_maker(draft: Draft, name: str | None) -> Node | None:
    maker = draft.maker(name)
    return maker if maker is not None and maker.op == "TRANSPOSE" and is_move(draft, maker) else None


class Operand:
    """One input of an operator, to be had transposed by `perm`."""

    def __init__(self, draft: Draft, name: str, perm: Shape) -> None:
        self.draft, self.name, self.perm = draft, name, perm
        tensor = draft[name]
        self.padded = (1,) * (len(perm) - len(tensor.shape)) + tensor.shape

    @property
    def is_free(self) -> bool:
        """True when no TRANSPOSE need be added."""
        return self.dissolves or self._same() is not None

    @property
    def dissolves(self) -> bool:
        """True when the TRANSPOSE is nothing: of a constant, of its own inverse, of axes of size 1."""
        draft, name = self.draft, self.name
        if draft.is_const(name):
            quant = draft[name].quant
            return quant is None or quant.scale.size == 1
        return self.opposite is not None or is_reshape(self.perm, self.padded)

    @property
    def opposite(self) -> Node | None:
        """The TRANSPOSE that makes it and that this one undoes."""
        maker = transpose_maker(self.draft, self.name)
        return maker if maker is not None and tuple(maker.attrs["perm"]) == inverse(self.perm) else None

    def _same(self) -> Node | None:
        """A TRANSPOSE that is there anyway, from a value that will stay."""
        for user in self.draft.users(self.name):
            if user.op == "TRANSPOSE" and tuple(user.attrs["perm"]) == self.perm and is_move(self.draft, user):
                return user
        return None

    def make(self, at: Node) -> str:
        """Its name, transposed."""
        draft, name, perm = self.draft, self.name, self.perm
        tensor = draft[name]
        if draft.is_const(name):
            if tensor.elements == 1:
                return name
            moved = np.ascontiguousarray(draft.data(name).reshape(self.padded).transpose(perm))
            if moved.shape == tensor.shape and tensor.elements == max(tensor.shape):
                return name
            return draft.const(f"{name}_t", moved, tensor.quant, tensor.dtype)
        if (opposite := self.opposite) is not None:
            assert opposite.inputs[0] is not None
            return opposite.inputs[0]
        out = draft.fresh(f"{name}_t")
        if is_reshape(perm, self.padded):
            shape = tuple(self.padded[p] for p in perm)
            return draft.emit("RESHAPE", (name,), {"shape": shape}, at, (out,), [tensor.quant]).outputs[0]
        if (same := self._same()) is not None:
            return same.outputs[0]
        source = name
        if len(tensor.shape) != len(perm):
            source = draft.fresh(f"{name}_r")
            draft.emit("RESHAPE", (name,), {"shape": self.padded}, at, (source,), [tensor.quant])
        return draft.emit("TRANSPOSE", (source,), {"perm": perm}, at, (out,), [tensor.quant]).outputs[0]


def sink_transpose(draft: Draft, node: Node) -> bool:
    """op(TRANSPOSE(a)) becomes TRANSPOSE(op(a)), when that adds no TRANSPOSE elsewhere or removes as many below."""
    remap = remap_of(node.op)
    if remap is None or not _moves_exactly(draft, node):
        return False
    for name in data_inputs(node):
        maker = transpose_maker(draft, name)
        if maker is None or climbs(draft, maker):
            continue
        perm = tuple(maker.attrs["perm"])
        # A TRANSPOSE of ones costs nothing where it is: no other may be added to move it.
        if _sink(draft, node, maker, remap, may_add=not is_reshape(perm, draft[maker.inputs[0]].shape)):
            return True
    return False


def _moves_exactly(draft: Draft, node: Node) -> bool:
    """Moves of quantized values are moves only while every value has one scale."""
    return is_move(draft, node) if node.op in {"RESHAPE", "PAD", "SLICE", "SPLIT", "CONCATENATION"} else True


def _sink(draft: Draft, node: Node, maker: Node, remap: Remap, may_add: bool) -> bool:
    perm = tuple(maker.attrs["perm"])
    names = data_inputs(node)
    rank = len(perm)
    ranks = [len(draft[n].shape) for n in names]
    if max(ranks) != rank or (node.op == "CONCATENATION" and min(ranks) != rank):
        return False
    x, y = draft[names[0]], draft[node.outputs[0]]
    found = remap(node, perm, x.shape, y.shape)
    if found is None:
        return False
    attrs, out_perm = found
    back = inverse(perm)
    operands = {n: Operand(draft, n, back) for n in names}
    left = [o for o in operands.values() if not o.dissolves]
    added = sum(not o.is_free for o in left)
    if left and not (may_add and _gain(draft, node, maker, out_perm) > added):
        return False
    moved = {n: o.make(node) for n, o in operands.items()}
    inputs = [moved.get(n, n) if n is not None else None for n in node.inputs]
    quants = [draft[n].quant for n in node.outputs]
    inner = [draft.fresh(f"{n}_t") for n in node.outputs]
    draft.drop(node)
    draft.emit(node.op, inputs, attrs, node, inner, quants)
    for name, out, quant in zip(inner, node.outputs, quants, strict=True):
        draft.emit("TRANSPOSE", (name,), {"perm": out_perm}, node, (out,), [quant])
    return True


def _gain(draft: Draft, node: Node, maker: Node, out_perm: Shape) -> int:
    """TRANSPOSE nodes that go when `maker`, a TRANSPOSE, sinks below `node`; -1 when it would only move."""
    below = [cancels(draft, out, out_perm) for out in node.outputs]
    gone = [count for count in below if count is not None]
    return sum(gone) + int(draft.private(maker.outputs[0])) if len(gone) == len(below) else -1


def cancels(draft: Draft, name: str, perm: Shape, absorb: bool = False) -> int | None:
    """How many TRANSPOSE nodes would go if TRANSPOSE(…, perm) made a value and sank as far as it can; None when it would
    not end everywhere.

    It ends where it meets its inverse (with `absorb`: any TRANSPOSE, for two merge into one), or reaches axes of size 1.
    """
    return _ends(draft, name, perm, absorb, {})


Known = dict[tuple[str, Shape], int | None]


def _ends(draft: Draft, name: str, perm: Shape, absorb: bool, known: Known) -> int | None:
    users = draft.users(name)
    if perm == tuple(range(len(perm))):
        return 0
    if name in draft.sinks or not users or len(known) > LOOK_AHEAD:
        return None
    if (name, perm) in known:
        return known[name, perm] and 0
    known[name, perm] = 0
    counts = [_ends_in(draft, user, name, perm, absorb, known) for user in users]
    known[name, perm] = total = None if None in counts else sum(c for c in counts if c is not None)
    return total


def _ends_in(draft: Draft, user: Node, name: str, perm: Shape, absorb: bool, known: Known) -> int | None:
    if user.op == "TRANSPOSE":
        met = tuple(user.attrs["perm"]) == inverse(perm)
        return int(met) if met or absorb else None
    remap = remap_of(user.op)
    names = data_inputs(user)
    if remap is None or name not in names or not _moves_exactly(draft, user):
        return None
    if any(len(draft[n].shape) > len(perm) for n in names):
        return None
    found = remap(user, perm, draft[name].shape, draft[user.outputs[0]].shape)
    if found is None or not all(n == name or Operand(draft, n, inverse(perm)).dissolves for n in names):
        return None
    counts = [_ends(draft, out, found[1], absorb, known) for out in user.outputs]
    return None if None in counts else sum(c for c in counts if c is not None)


def split_transpose(draft: Draft, node: Node) -> bool:
    """RESHAPE(TRANSPOSE(a)) that merges axes which are not in order in a: the part that orders them stays before the
    RESHAPE, the rest goes below it, where it meets its inverse (a channel shuffle between NHWC convolutions)."""
    transpose = transpose_maker(draft, node.inputs[0])
    if node.op != "RESHAPE" or transpose is None or not is_move(draft, node):
        return False
    perm, x, y = tuple(transpose.attrs["perm"]), draft[node.inputs[0]].shape, draft[node.outputs[0]].shape
    parts = order_before_reshape(x, perm, y)
    if parts is None:
        return False
    first, shape, then = parts
    if then == tuple(range(len(then))) or cancels(draft, node.outputs[0], then, absorb=True) is None:
        return False
    quant = draft[node.outputs[0]].quant
    ordered, inner = draft.fresh(f"{transpose.outputs[0]}_t"), draft.fresh(f"{node.outputs[0]}_t")
    draft.emit("TRANSPOSE", transpose.inputs, {"perm": first}, transpose, (ordered,), [quant])
    draft.drop(node)
    draft.emit("RESHAPE", (ordered,), {"shape": shape}, node, (inner,), [quant])
    draft.emit("TRANSPOSE", (inner,), {"perm": then}, node, node.outputs, [quant])
    return True


def climbs(draft: Draft, transpose: Node) -> bool:
    """True for a TRANSPOSE that can reach graph inputs only: `hoist_transpose` moves it up, `sink_transpose` leaves it."""
    name = transpose.inputs[0]
    assert name is not None
    return name in draft.sources or _can_climb(draft, name, tuple(transpose.attrs["perm"]))


def _can_climb(draft: Draft, name: str, perm: Shape) -> bool:
    maker = draft.maker(name)
    if maker is None or not _one_reader(draft, name) or len(maker.outputs) != 1 or not _moves_exactly(draft, maker):
        return False
    if maker.op not in {"PAD", "SLICE", "CONCATENATION"} and not is_elementwise(maker.op):
        return False
    names = data_inputs(maker)
    if max(len(draft[n].shape) for n in names) != len(perm):
        return False
    # Only reshaped operands: the TRANSPOSE would be put below again.
    worth = False
    for operand in names:
        source = operand in draft.sources and len(draft[operand].shape) == len(perm)
        merges = draft.private(operand) and transpose_maker(draft, operand) is not None
        if source or merges or Operand(draft, operand, perm).opposite is not None or _can_climb(draft, operand, perm):
            worth = True
        elif not Operand(draft, operand, perm).dissolves:
            return False
    return worth


def _one_reader(draft: Draft, name: str) -> bool:
    return name not in draft.sinks and len(draft.users(name)) == 1


def hoist_transpose(draft: Draft, node: Node) -> bool:
    """TRANSPOSE(op(x)) becomes op(TRANSPOSE(x)), where it can go on like this up to graph inputs."""
    name = node.inputs[0]
    if node.op != "TRANSPOSE" or name is None or name in draft.sources or not is_move(draft, node):
        return False
    perm = tuple(node.attrs["perm"])
    maker = draft.maker(name)
    if maker is None or not _can_climb(draft, name, perm):
        return False
    remap = remap_of(maker.op)
    assert remap is not None
    found = remap(maker, inverse(perm), draft[data_inputs(maker)[0]].shape, draft[name].shape)
    if found is None:
        return False
    moved = {n: Operand(draft, n, perm).make(maker) for n in data_inputs(maker)}
    quant = draft[name].quant
    draft.drop(node)
    draft.drop(maker)
    inputs = [moved.get(n, n) if n is not None else None for n in maker.inputs]
    draft.emit(maker.op, inputs, found[0], maker, node.outputs, [quant])
    return True


def sink_reshape(draft: Draft, node: Node) -> bool:
    """f(RESHAPE(x)) becomes RESHAPE(f(x)) for elementwise f of one operand, so that f is next to what made x."""
    if not is_elementwise(node.op) or len(node.inputs) != 1:
        return False
    before = draft.private_maker(node.inputs[0])
    if before is None or before.op != "RESHAPE" or not is_move(draft, before) or before.inputs[0] in draft.sources:
        return False
    quant = draft[node.outputs[0]].quant
    inner = draft.fresh(f"{node.outputs[0]}_r")
    draft.drop(node)
    draft.emit(node.op, before.inputs, node.attrs, node, (inner,), [quant])
    draft.emit("RESHAPE", (inner,), before.attrs, node, node.outputs, [quant])
    return True


def transpose_to_reshape(draft: Draft, node: Node) -> bool:
    """A TRANSPOSE that moves axes of size 1 only is a RESHAPE (free)."""
    if node.op != "TRANSPOSE" or not is_move(draft, node):
        return False
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    if not is_reshape(tuple(node.attrs["perm"]), x.shape) or not same_quant(x, y):
        return False
    draft.drop(node)
    draft.emit("RESHAPE", node.inputs, {"shape": y.shape}, node, node.outputs, [y.quant])
    return True
