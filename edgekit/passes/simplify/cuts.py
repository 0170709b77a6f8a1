"""SLICE nodes move up, so that what nobody reads is not computed: the last block of a network that reads one token of it.

It also saves precision: an int8 scale then need not span values that are thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from edgekit.graph import Node
from edgekit.ops import TABLE
from edgekit.passes.draft import Draft
from edgekit.passes.simplify.clean import is_move
from edgekit.passes.simplify.layout import is_elementwise

_ROWS = frozenset({"SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "FULLY_CONNECTED"})  # each row along the last axis by itself
_NORMS = frozenset({"LAYER_NORM", "RMS_NORM"})
HEAVY = frozenset({"FULLY_CONNECTED", "BATCH_MATMUL"})
SMALL = 8  # a part of at most an eighth costs little to make twice
FEW = 2  # steps: more would part the whole residual stream of a vision Transformer

Cut = dict[int, tuple[int, int, int]]  # axis -> (begin, size, stride), of the axes that do not stay whole


def _cut(draft: Draft, node: Node) -> Cut:
    shape, attrs = draft[node.inputs[0]].shape, node.attrs
    parts = enumerate(zip(attrs["begin"], attrs["size"], attrs["stride"], strict=True))
    return {i: part for i, part in parts if part != (0, shape[i], 1)}


def _slice(draft: Draft, name: str, cut: Cut, at: Node) -> str:
    """The name of a value's part."""
    tensor = draft[name]
    parts = [cut.get(i, (0, n, 1)) for i, n in enumerate(tensor.shape)]
    attrs = dict(zip(("begin", "size", "stride"), zip(*parts, strict=True), strict=True))
    part = draft.fresh(f"{name}_part")
    draft.emit("SLICE", (name,), attrs, at, (part,), [tensor.quant])
    return part


def slice_of_part(draft: Draft, node: Node) -> bool:
    """A SLICE that lies within one part of a CONCATENATION is a SLICE of that part."""
    whole = draft.maker(node.inputs[0]) if node.op == "SLICE" and is_move(draft, node) else None
    if whole is None or whole.op != "CONCATENATION" or not is_move(draft, whole):
        return False
    axis, begin = whole.attrs["axis"], list(node.attrs["begin"])
    last = begin[axis] + (node.attrs["size"][axis] - 1) * node.attrs["stride"][axis]
    start = 0
    for name in whole.inputs:
        end = start + draft[name].shape[axis]
        if start <= min(begin[axis], last) and max(begin[axis], last) < end:
            begin[axis] -= start
            draft.change(node, inputs=(name,), attrs={**node.attrs, "begin": tuple(begin)})
            return True
        start = end
    return False


def slice_above_rows(draft: Draft, node: Node) -> bool:
    """Of a value that only a SLICE reads, no more than that is computed, where its maker treats rows (or elements) apart."""
    maker = draft.private_maker(node.inputs[0]) if node.op == "SLICE" else None
    if maker is None or len(maker.outputs) != 1 or not (draft.is_float(node) and draft.is_float(maker)):
        return False
    cut, axes = _cut(draft, node), _axes(draft, maker)
    less = draft[node.outputs[0]].elements < draft[node.inputs[0]].elements
    if not less or axes is None or any(all(axis not in seen for seen in axes) for axis in cut):
        return False
    draft.drop(node)
    draft.drop(maker)
    _part(draft, node, maker, cut, axes)
    return True


def slice_before_joined(draft: Draft, node: Node) -> bool:
    """A small part of a value that others read, too, is computed by itself where that leads, in a few light steps, to one part
    of a CONCATENATION: a class token beside its patches then has a scale of its own, not theirs."""
    maker = draft.maker(node.inputs[0]) if node.op == "SLICE" and draft.is_float(node) else None
    if maker is None or SMALL * draft[node.outputs[0]].elements > draft[node.inputs[0]].elements:
        return False
    cut = _cut(draft, node)
    axes = _axes(draft, maker)
    if maker.op == "CONCATENATION" or axes is None or not _from_part(draft, str(node.inputs[0]), cut, FEW):
        return False
    draft.drop(node)
    _part(draft, node, maker, cut, axes)
    return True


def _part(draft: Draft, node: Node, maker: Node, cut: Cut, axes: Sequence[Mapping[int, int]]) -> None:
    """What a dropped SLICE made, by `maker` on slices of its inputs. axes: as of `_axes`."""
    inputs: list[str | None] = []
    for name, seen in zip(maker.inputs, axes, strict=True):
        own = {seen[axis]: part for axis, part in cut.items() if axis in seen}
        inputs.append(name if name is None or not own else _slice(draft, name, own, node))
    draft.emit(maker.op, inputs, maker.attrs, maker, node.outputs)


def _from_part(draft: Draft, name: str, cut: Cut, steps: int) -> bool:
    """Whether a cut of a value is one of a part of a CONCATENATION, by at most so many elementwise operators and norms."""
    maker = draft.maker(name)
    if maker is None or len(maker.outputs) != 1 or not draft.is_float(maker):
        return False
    if maker.op == "CONCATENATION":
        begin, size, stride = cut.get(maker.attrs["axis"], (0, 0, 1))
        ends = np.cumsum([0, *(draft[n].shape[maker.attrs["axis"]] for n in maker.inputs)])
        return stride == 1 and any(a <= begin and begin + size <= z for a, z in pairwise(ends))
    axes = _axes(draft, maker)
    if not steps or axes is None or maker.op in HEAVY or any(all(axis not in seen for seen in axes) for axis in cut):
        return False
    for source, seen in zip(maker.inputs, axes, strict=True):
        own = {seen[axis]: part for axis, part in cut.items() if axis in seen}
        if source is not None and len(own) == len(cut) and _from_part(draft, source, own, steps - 1):
            return True
    return False


def _axes(draft: Draft, node: Node) -> list[dict[int, int]] | None:
    """For every input, the output's axes along which it can be cut -> its own axes; None for other operators.

    An axis in none of them cannot be cut, one in some of them is broadcast in the others.
    """
    shape = draft[node.outputs[0]].shape
    shapes = [() if name is None else draft[name].shape for name in node.inputs]
    if is_elementwise(node.op) and not TABLE[node.op].weights:
        return [_aligned(shape, own, range(len(shape))) for own in shapes]
    if node.op in _ROWS or node.op in _NORMS:
        first = node.attrs["axis"] if node.op in _NORMS else len(shape) - 1
        if shapes[0][:first] != shape[:first] or len(shapes[0]) != len(shape):
            return None
        return [{i: i for i in range(first)}, *({} for _ in shapes[1:])]
    if node.op == "BATCH_MATMUL":
        (a, b), rank = shapes[:2], len(shape)
        left, right = (_aligned(shape, own, range(rank - 2)) for own in (a, b))
        left[rank - 2] = len(a) - (1 if node.attrs.get("adj_x", False) else 2)
        right[rank - 1] = len(b) - (2 if node.attrs.get("adj_y", False) else 1)
        return [left, right]
    return None


def _aligned(shape: tuple[int, ...], own: tuple[int, ...], axes: Iterable[int]) -> dict[int, int]:
    """Axes of `shape` -> those of a value that broadcasts to it and is as long there."""
    shift = len(shape) - len(own)
    return {i: i - shift for i in axes if i >= shift and own[i - shift] == shape[i]}
