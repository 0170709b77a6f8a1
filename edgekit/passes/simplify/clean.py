"""Rewrites that change no number: identities, merged moves, constant folding, repeated work."""

from __future__ import annotations

import numpy as np

from edgekit.graph import NUMPY_DTYPES, Array, Node, Quant, Shape
from edgekit.ops import TABLE
from edgekit.passes.draft import Draft, same_quant

# A folded constant is stored: above this many elements only if it is no larger than what it is made from.
FOLD_ELEMENTS = 1 << 16

MOVES = {"RESHAPE", "TRANSPOSE", "PAD", "SLICE", "SPLIT", "CONCATENATION"}


def is_move(draft: Draft, node: Node) -> bool:
    """True for a node that only moves values, and whose values all hold real numbers the same way."""
    first = draft[node.outputs[0]]
    return node.op in MOVES and all(same_quant(draft[n], first) for n in (*node.inputs, *node.outputs) if n is not None)


def drop_identity(draft: Draft, node: Node) -> bool:
    """A node whose only output is its only input, value for value."""
    if len(node.outputs) != 1 or not node.inputs or node.inputs[0] is None:
        return False
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    if x.shape != y.shape or x.dtype != y.dtype or not _is_identity(draft, node):
        return False
    return draft.bypass(node, x.name)


def _is_identity(draft: Draft, node: Node) -> bool:
    x = draft[node.inputs[0]]
    if node.op == "CAST":
        return True
    if node.op in {"RESHAPE", "PAD", "CONCATENATION", "SPLIT"}:  # of equal shapes: nothing added, nothing cut
        return is_move(draft, node) and len(node.inputs) == 1
    if node.op == "SLICE":
        return is_move(draft, node) and all(s > 0 or n <= 1 for s, n in zip(node.attrs["stride"], x.shape, strict=True))
    if node.op == "TRANSPOSE":
        return is_move(draft, node) and tuple(node.attrs["perm"]) == tuple(range(len(x.shape)))
    if node.op == "QUANTIZE":
        return x.quant is not None and same_quant(x, draft[node.outputs[0]])
    if node.op in {"ADD", "SUB", "MUL", "DIV"} and node.attrs.get("activation", "NONE") == "NONE":
        neutral = 0 if node.op in {"ADD", "SUB"} else 1
        return draft.is_float(node) and draft.is_const(node.inputs[1]) and bool(np.all(draft.data(node.inputs[1]) == neutral))
    return False


def merge_reshapes(draft: Draft, node: Node) -> bool:
    """RESHAPE of RESHAPE is one RESHAPE."""
    before = draft.maker(node.inputs[0])
    if node.op != "RESHAPE" or before is None or before.op != "RESHAPE":
        return False
    if not (is_move(draft, node) and is_move(draft, before)):
        return False
    draft.change(node, inputs=before.inputs)
    return True


def merge_transposes(draft: Draft, node: Node) -> bool:
    """TRANSPOSE of TRANSPOSE is one TRANSPOSE."""
    before = draft.maker(node.inputs[0])
    if node.op != "TRANSPOSE" or before is None or before.op != "TRANSPOSE":
        return False
    if not (is_move(draft, node) and is_move(draft, before)):
        return False
    draft.change(node, inputs=before.inputs, attrs={"perm": compose(before.attrs["perm"], node.attrs["perm"])})
    return True


def compose(first: Shape, then: Shape) -> Shape:
    """The one permutation that does two, one after the other."""
    return tuple(int(first[i]) for i in then)


def reduce_without_kept_axes(draft: Draft, node: Node) -> bool:
    """A reduction that keeps its axes as 1, and a RESHAPE that drops them: one reduction."""
    before = draft.private_maker(node.inputs[0])
    if node.op != "RESHAPE" or before is None or before.op not in {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"}:
        return False
    axes = before.attrs["axes"]
    dropped = tuple(n for i, n in enumerate(draft[before.outputs[0]].shape) if i not in axes)
    if not before.attrs.get("keep_dims", False) or draft[node.outputs[0]].shape != dropped or not is_move(draft, node):
        return False
    quant = draft[node.outputs[0]].quant
    draft.drop(node)
    draft.emit(before.op, before.inputs, {"axes": axes, "keep_dims": False}, before, node.outputs, [quant])
    return True


def fold_constants(draft: Draft, node: Node) -> bool:
    """A node of constants only becomes its value, by the reference."""
    if any(name in draft.sinks for name in node.outputs) or not all(n is None or draft.is_const(n) for n in node.inputs):
        return False
    inputs = [None if n is None else draft[n] for n in node.inputs]
    made = sum(draft[n].elements for n in node.outputs)
    if made > max(FOLD_ELEMENTS, sum(t.elements for t in inputs if t is not None)):
        return False
    arrays: list[Array | None] = [None if t is None else t.data for t in inputs]
    entry, outputs = TABLE[node.op], [draft[n] for n in node.outputs]
    if draft.is_float(node):
        results = entry.real(node, arrays)
    elif entry.integer is not None and node.op != "DEQUANTIZE":
        results = entry.integer(node, arrays, inputs, outputs)
    else:
        return False  # a dequantized weight stays an integer in the file
    users = [user for name in node.outputs for user in draft.users(name)]
    names = {
        t.name: draft.const(f"{t.name}_value", np.asarray(r).astype(NUMPY_DTYPES[t.dtype]).reshape(t.shape), t.quant, t.dtype)
        for t, r in zip(outputs, results, strict=True)
    }
    for key in dict.fromkeys(user.outputs[0] for user in users):
        user = draft.nodes[key]
        draft.change(user, inputs=tuple(names.get(n, n) if n is not None else None for n in user.inputs))
    draft.drop(node)
    return True


def share_repeated(draft: Draft) -> int:
    """Nodes that do the same to the same values become one; the number dropped."""
    seen: dict[str, Node] = {}
    dropped = 0
    for node in draft.ordered():
        if node.outputs[0] not in draft.nodes:
            continue
        node = draft.nodes[node.outputs[0]]  # an earlier drop may have renamed its inputs
        key = repr((node.op, node.inputs, sorted(node.attrs.items()), [_describe(draft[n].quant) for n in node.outputs]))
        first = seen.setdefault(key, node)
        if first is node or any(name in draft.sinks for name in node.outputs):
            continue
        for mine, theirs in zip(node.outputs, first.outputs, strict=True):
            for user in draft.users(mine):
                draft.change(user, inputs=tuple(theirs if n == mine else n for n in user.inputs))
        draft.drop(node)
        dropped += 1
    return dropped


def _describe(quant: Quant | None) -> str:
    return "" if quant is None else repr((quant.scale.tolist(), quant.zero_point.tolist(), quant.axis, quant.dtype))
