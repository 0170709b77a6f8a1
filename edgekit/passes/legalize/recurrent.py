"""LSTM for engines whose own starts from zero, goes forward and shows only y (TFLite, TFLM); y of one step where C may."""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Node
from edgekit.ops.recurrent import GATES
from edgekit.passes.draft import Draft


def lstm(draft: Draft, node: Node) -> bool:
    """A reverse LSTM between two reversals; h as the last step of y."""
    if node.op != "LSTM" or not draft.is_float(node):
        return False
    x, (y, h, c) = draft[node.inputs[0]], node.outputs
    reverse = bool(node.attrs.get("reverse", False))
    seen = [name for name in (h,) if draft.users(name) or name in draft.sinks]
    if not reverse and not seen:
        return False
    batch, steps, units = draft[y].shape
    draft.drop(node)
    source, made = node.inputs[0], y
    if reverse:
        source = draft.fresh(f"{y}_from_end")
        draft.emit("SLICE", (x.name,), _backwards(x.shape), node, (source,))
        made = draft.fresh(f"{y}_reversed")
    hidden = draft.fresh(f"{h}_state") if seen else h
    draft.emit(node.op, (source, *node.inputs[1:]), {**node.attrs, "reverse": False}, node, (made, hidden, c))
    if reverse:
        draft.emit("SLICE", (made,), _backwards(draft[made].shape), node, (y,))
    if seen:
        last = draft.fresh(f"{h}_step")
        where = {"begin": (0, steps - 1, 0), "size": (batch, 1, units), "stride": (1, 1, 1)}
        draft.emit("SLICE", (made,), where, node, (last,))
        draft.emit("RESHAPE", (last,), {"shape": (batch, units)}, node, (h,))
    return True


def last(draft: Draft, node: Node) -> bool:
    """A recurrent node of whose y only what the last step makes is read, or nothing, makes no more of it."""
    if node.op not in GATES or node.attrs.get("last") or node.attrs.get("loop") or node.outputs[0] in draft.sinks:
        return False
    y, users = node.outputs[0], draft.users(node.outputs[0])
    steps = draft[y].shape[1]
    where = 0 if node.attrs.get("reverse", False) else steps - 1
    if steps == 1 or not all(u.op == "SLICE" and (u.attrs["begin"][1], u.attrs["size"][1]) == (where, 1) for u in users):
        return False
    made = [draft[name] for name in node.outputs]
    draft.drop(node)
    draft.emit(node.op, node.inputs, {**node.attrs, "last": True}, node, node.outputs, [t.quant for t in made])
    draft.tensors |= {t.name: replace(draft[t.name], dtype=t.dtype) for t in made}
    for user in users:
        begin, stride = user.attrs["begin"], user.attrs["stride"]
        draft.change(user, attrs={**user.attrs, "begin": (begin[0], 0, begin[2]), "stride": (stride[0], 1, stride[2])})
    return True


def _backwards(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"begin": (0, shape[1] - 1, 0), "size": shape, "stride": (1, -1, 1)}
