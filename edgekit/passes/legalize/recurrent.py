"""LSTM for engines whose own starts from zero, goes forward and shows only y (TFLite, TFLM); y of one step where C may; the
quantized loops of TFLite files for engines that have the whole operator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Graph, Node, Quant
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


def whole(draft: Draft, node: Node) -> bool:
    """A quantized TFLite loop as the operator with integers of its own: weights, states and scales stay, products are rounded
    otherwise (see `ops.recurrent_step`), and biases are in steps of what they are added to."""
    y = draft[node.outputs[0]]
    if not looped(draft, node) or y.quant is None:
        return False
    inputs = list(node.inputs)
    for index, factor, weights in ((3, draft[inputs[0]], draft[inputs[1]]), (5, y, draft[inputs[2]])):
        bias = draft[inputs[index]] if index < len(inputs) and inputs[index] is not None else None
        if bias is None or (index == 5 and node.op != "GRU"):
            continue
        if bias.data is None or bias.quant is None or factor.quant is None or weights.quant is None:
            return False
        rows = np.broadcast_to(weights.quant.scale.astype(np.float64), weights.shape[:1])[-bias.elements :]
        scale = float(factor.quant.scale[0]) * rows
        steps = fixedpoint.round_half_away(bias.data * (bias.quant.scale.astype(np.float64) / scale))
        data = np.clip(steps, *fixedpoint.integer_range("int32")).astype(np.int32)
        inputs[index] = draft.const(f"{bias.name}_int32", data, Quant.per_channel(scale, 0, "int32"))
    draft.change(node, inputs=tuple(inputs), attrs={**node.attrs, "loop": False})
    return True


def looped(graph: Graph | Draft, node: Node) -> bool:
    """True for a quantized node whose integers are those of a loop."""
    return bool(node.attrs.get("loop")) and graph[node.outputs[0]].quant is not None


def _backwards(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"begin": (0, shape[1] - 1, 0), "size": shape, "stride": (1, -1, 1)}
