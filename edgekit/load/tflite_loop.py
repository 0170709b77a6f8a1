"""The WHILE loops that edgekit writes for LSTM, GRU and RNN (see `export.tflite_loop`), read back with the same integers.

The cell's weights and scales are taken from the body; the step that they make must be the body, operator for operator. Any
other loop is left to `tflite_while`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import Array, Node, Quant, Tensor
from edgekit.load import tflite_while
from edgekit.load.tflite_build import Builder, Refused
from edgekit.load.tflite_file import FileModel, FileOp
from edgekit.load.tflite_rnn import cell
from edgekit.ops import TABLE
from edgekit.ops.recurrent import GATES
from edgekit.ops.recurrent_step import first_state, step

COUNTER, SEQUENCE, STATES = 0, 1, 2  # places among the loop's values


@dataclass(frozen=True)
class Loop:
    """row: the body's tensor that becomes the step's row of y; None when y is not kept."""

    cond: FileModel
    body: FileModel
    reverse: bool
    row: int | None


def while_(b: Builder, op: FileOp) -> None:
    """A WHILE as a recurrent node."""
    try:
        found = _own(b, op)
    except (Refused, BadModel):
        found = False
    if not found:
        tflite_while.while_(b, op)


def _own(b: Builder, op: FileOp) -> bool:
    loop = _loop(b, op)
    if loop is None:
        return False
    nodes, tensors, names = _inside(b, loop)
    made = _cell(b, op, loop, nodes, tensors)
    if made is None:
        return False
    node, ins, outs = made
    expected = step(node, ins, outs)
    same = dict(zip(expected.inputs, names[: len(expected.inputs)], strict=True))
    wanted = expected.needed(loop.row is not None)
    if len(wanted) != len(nodes):
        return False
    if not all(_same(m, n, expected.tensors, tensors, same) for m, n in zip(wanted, nodes, strict=True)):
        return False
    row, *ends = expected.outputs
    if [same[n] for n in (*ends, *([] if loop.row is None else [row]))] != names[len(expected.inputs) :]:
        return False
    _emit(b, op, loop, node, ins, outs)
    return True


def _loop(b: Builder, op: FileOp) -> Loop | None:
    """The parts of a loop over the steps of a sequence, as edgekit writes it; None for another."""
    parts = b.file.subgraphs
    numbers = [int(op.options.get(key, -1)) for key in ("condSubgraphIndex", "bodySubgraphIndex")]
    if not all(0 < n < len(parts) for n in numbers):
        return None
    cond, body = (parts[n] for n in numbers)
    counts = {len(op.inputs), len(op.outputs), len(body.inputs), len(body.outputs), len(cond.inputs)}
    if len(counts) != 1 or len(op.inputs) <= STATES or min(op.inputs) < 0 or [o.code for o in cond.ops] != ["LESS"]:
        return None
    x = b.tensors.get(b.name(op.inputs[SEQUENCE]))
    reverse = cond.ops[0].inputs[0] != cond.inputs[COUNTER]
    counter, end = cond.ops[0].inputs[::-1] if reverse else cond.ops[0].inputs
    start, stop = b.tensors[b.name(op.inputs[COUNTER])].data, cond.tensors[end].data
    codes = [o.code for o in body.ops[:2]]
    if (
        x is None
        or len(x.shape) != 3
        or start is None
        or stop is None
        or counter != cond.inputs[COUNTER]
        or codes != ["ADD", "GATHER"]
    ):
        return None
    steps = (x.shape[1] - 1, -1) if reverse else (0, x.shape[1])
    more, part = body.ops[:2]
    by = body.tensors[more.inputs[1]].data
    used = {i for o in b.file.ops for i in o.inputs} | set(b.file.outputs)
    fits = (
        start.size == stop.size == 1
        and counter == cond.inputs[COUNTER]
        and (int(start.reshape(-1)[0]), int(stop.reshape(-1)[0])) == steps
        and more.inputs[0] == body.inputs[COUNTER]
        and by is not None
        and by.reshape(-1).tolist() == [-1 if reverse else 1]
        and more.outputs[0] == body.outputs[COUNTER]
        and part.inputs == (body.inputs[SEQUENCE], body.inputs[COUNTER])
        and int(part.options.get("axis", 0)) == 1
        and not int(part.options.get("batchDims", 0))
        and body.outputs[SEQUENCE] == body.inputs[SEQUENCE]
        and used.isdisjoint(op.outputs[:STATES])
        and [cond.ops[0].outputs[0]] == list(cond.outputs)
    )
    if not fits:
        return None
    rows = [o for o in body.ops if o.code == "DYNAMIC_UPDATE_SLICE"]
    row = _row(body, rows[0]) if len(rows) == 1 else None
    return Loop(cond, body, reverse, row) if len(rows) == 0 or row is not None else None


def _row(body: FileModel, update: FileOp) -> int | None:
    """The tensor [N,H] that becomes y[:, step]; None when the update does something else."""
    maker = {i: o for o in body.ops for i in o.outputs}
    value, begin = maker.get(update.inputs[1]), maker.get(update.inputs[2])
    if value is None or begin is None or value.code != "RESHAPE" or begin.code != "CONCATENATION" or len(begin.inputs) != 3:
        return None
    edge = [body.tensors[i].data for i in (begin.inputs[0], begin.inputs[2])]
    at = maker.get(begin.inputs[1])
    shape, whole = body.tensors[update.inputs[1]].shape, body.tensors[update.inputs[0]].shape
    fits = (
        all(data is not None and data.tolist() == [0] for data in edge)
        and at is not None
        and at.code == "RESHAPE"
        and at.inputs[0] == body.inputs[COUNTER]
        and update.inputs[0] == body.inputs[-1]
        and update.outputs[0] == body.outputs[-1]
        and len(whole) == 3
        and shape == (whole[0], 1, whole[2])
        and {o.index for o in (at, begin, value, update)} == {o.index for o in body.ops[-4:]}
    )
    return value.inputs[0] if fits else None


def _inside(b: Builder, loop: Loop) -> tuple[list[Node], dict[str, Tensor], list[str]]:
    """The step as nodes; names of its inputs (part of x, states), then of its ends (states, and the row of y)."""
    from edgekit.load.tflite import convert

    body, count = loop.body, len(loop.body.inputs) - (loop.row is not None)
    ops = body.ops[2:] if loop.row is None else body.ops[2:-4]
    ins = (body.ops[1].outputs[0], *body.inputs[STATES:count])
    ends = (*body.outputs[STATES:count], *(() if loop.row is None else (loop.row,)))
    inner = Builder(replace(body, ops=ops, inputs=ins, outputs=ends), False)
    for index in ins:
        tensor = body.tensors[index]
        inner.tensors[body.names[index]] = Tensor(body.names[index], tensor.shape, tensor.dtype, None, inner.quant(index))
    if convert(inner):
        raise Refused("its loop is none of edgekit's")
    return inner.nodes, inner.tensors, [body.names[i] for i in (*ins, *ends)]


def _cell(
    b: Builder, op: FileOp, loop: Loop, nodes: Sequence[Node], tensors: Mapping[str, Tensor]
) -> tuple[Node, list[Tensor | None], list[Tensor]] | None:
    """The recurrent node whose step this may be, its operands and its results."""
    products = [n for n in nodes if n.op == "FULLY_CONNECTED"]
    states = [loop.body.tensors[i] for i in loop.body.inputs[STATES : len(loop.body.inputs) - (loop.row is not None)]]
    x = b.tensors[b.name(op.inputs[SEQUENCE])]
    if len(products) < 2 or len(states) not in (1, 2) or any(len(t.shape) != 2 for t in states):
        return None
    first, *back = [[None if name is None else tensors[name] for name in (*n.inputs, None)][1:3] for n in products]
    units = states[0].shape[1]
    w, bias = first
    kind = next((k for k, gates in GATES.items() if w is not None and w.shape[0] == gates * units), None)
    if kind is None or w is None or any(r is None for r, _ in back) or len(states) != (2 if kind == "LSTM" else 1):
        return None
    r = back[0][0] if len(back) == 1 else _joined(back[0][0], back[1][0])
    own = back[-1][1]
    if r is None or r.shape != (GATES[kind] * units, units):
        return None
    attrs: dict[str, object] = {"reverse": loop.reverse, "loop": x.quant is not None}
    if kind == "GRU":
        attrs["reset_after"] = len(back) == 1
        own = _tail(own, units)
    elif kind == "RNN":
        attrs["activation"] = "RELU" if any(n.op == "RELU" for n in nodes) else "TANH"
    quants = [_quant(t.scale, t.zero_point, t.dtype) for t in states]
    y = quants[0]
    if loop.row is not None:
        kept = loop.body.tensors[loop.row]
        y = _quant(kept.scale, kept.zero_point, kept.dtype)
    elif y is not None and kind == "GRU":  # nobody reads y: any scale will do
        y = Quant.per_tensor(float(y.scale[0]) * 256, 0, "int8")
    shapes = [(*x.shape[:2], units), *(t.shape for t in states)]
    outs = [
        Tensor(name, shape, x.dtype if q is None else q.dtype, None, q)
        for name, shape, q in zip("yhc", shapes, (y, *quants), strict=False)
    ]
    firsts = [b.tensors[b.name(i)] for i in op.inputs[STATES : STATES + len(states)]]
    given: list[Tensor | None] = [None if _is_zero(t, s) else t for t, s in zip(firsts, outs[1:], strict=True)]
    ins = [x, w, r, bias, given[0], own if kind == "GRU" else given[1] if kind == "LSTM" else None]
    while ins[-1] is None:
        ins.pop()
    return (
        Node(kind, tuple(None if t is None else t.name for t in ins), tuple("yhc"[: len(outs)]), attrs, b.source(op)),
        ins,
        outs,
    )


def _quant(scale: Array | None, zero: Array | None, dtype: str) -> Quant | None:
    return None if scale is None or zero is None else Quant(scale, zero, None, None, dtype)


def _is_zero(tensor: Tensor, state: Tensor) -> bool:
    return tensor.data is not None and np.array_equal(tensor.data, first_state(state, None))


def _joined(a: Tensor | None, z: Tensor | None) -> Tensor | None:
    """Rows of weights, one below the other."""
    if a is None or z is None or a.data is None or z.data is None or (a.quant is None) != (z.quant is None):
        return None
    quant = a.quant
    if quant is not None and z.quant is not None:
        scales = [np.broadcast_to(t.scale, (len(d),)) for t, d in ((quant, a.data), (z.quant, z.data))]
        quant = Quant.per_channel(np.concatenate(scales), 0, quant.dtype)
    data = np.concatenate([a.data, z.data])
    return Tensor(a.name, data.shape, a.dtype, data, quant)


def _tail(bias: Tensor | None, units: int) -> Tensor | None:
    """The last gate's part of a bias."""
    if bias is None or bias.data is None:
        return None
    quant = bias.quant
    if quant is not None and quant.scale.size > 1:
        quant = Quant(quant.scale[-units:], quant.zero_point[-units:], 0, None, quant.dtype)
    return Tensor(bias.name, (units,), bias.dtype, np.ascontiguousarray(bias.data[-units:]), quant)


def _same(a: Node, z: Node, left: Mapping[str, Tensor], right: Mapping[str, Tensor], same: dict[str, str]) -> bool:
    """Whether two nodes do the same with the same values. same: name on the left -> name on the right, of those met so far."""
    absent = [n for n in z.inputs[len(a.inputs) :] if n is not None]
    if a.op != z.op or absent or len(a.inputs) > len(z.inputs) or len(a.outputs) != len(z.outputs):
        return False
    for key, default in TABLE[a.op].attrs.items():
        if not np.array_equal(a.attrs.get(key, default), z.attrs.get(key, default)):
            return False
    for i, (m, n) in enumerate(zip(a.inputs, z.inputs, strict=False)):
        if m is None or n is None or m in same:
            if (None if m is None else same[m]) != n:
                return False
            continue
        one, other = left[m], right[n]
        if one.data is None or other.data is None or not np.array_equal(one.data, other.data):
            return False
        if i == 1 and not _alike(one, other):  # weights
            return False
    same |= dict(zip(a.outputs, z.outputs, strict=True))
    return all(_alike(left[m], right[n]) for m, n in zip(a.outputs, z.outputs, strict=True))


def _alike(a: Tensor, z: Tensor) -> bool:
    """One shape, one dtype, one meaning of the integers."""
    if (a.shape, a.dtype) != (z.shape, z.dtype) or (a.quant is None) != (z.quant is None):
        return False
    return a.quant is None or z.quant is None or a.quant.same_as(z.quant)


def _emit(b: Builder, op: FileOp, loop: Loop, node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> None:
    x, w, r, bias, *rest = [*ins, None, None, None][:6]
    assert x is not None
    own = rest[1] if node.op == "GRU" else None
    first = [None if t is None else t.name for t in (rest[:1] if node.op == "GRU" else rest)]
    base = b.file.names[op.outputs[STATES]]
    tags = ("w", "r", "b", "rb")
    weights = [None if t is None else replace(t, name=f"{base}/{tag}") for t, tag in zip((w, r, bias, own), tags, strict=True)]
    places = [None if loop.row is None else op.outputs[-1], *op.outputs[STATES : STATES + len(outs) - 1]]
    cell(b, node.op, x.name, weights, op, places, [t.quant for t in outs], first=first, **node.attrs)


RULES = {"WHILE": while_}
