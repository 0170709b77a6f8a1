"""TFLite's WHILE, where its body is one step of an LSTM, GRU or RNN over a sequence: what TensorFlow's converter makes of a
recurrent Keras layer. Any other loop is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.graph import Array, Node, Tensor, const
from edgekit.load.cut import needed
from edgekit.load.tflite_build import Builder, Refused
from edgekit.load.tflite_cell import Atom, Cell, Form, forms_of, recognised
from edgekit.load.tflite_file import FileModel, FileOp
from edgekit.load.tflite_rnn import cell

FIX = "use LSTM, GRU or SimpleRNN layers with their usual activations, without masking and not stateful; or unroll the loop"


@dataclass(frozen=True)
class Loop:
    """The roles of a loop's values, by position: invariant ones, counters, the sequence, states, and (position of an
    accumulator, the tensor that is its new row, whether it keeps all steps)."""

    steps: int
    sequence: int
    row: int  # the body's tensor that is this step's part of the sequence
    states: tuple[int, ...]
    rows: tuple[tuple[int, int, bool], ...]


def while_(b: Builder, op: FileOp) -> None:
    """A WHILE as one recurrent node over a batch of one."""
    parts = b.file.subgraphs
    number = [int(op.options.get(key, -1)) for key in ("condSubgraphIndex", "bodySubgraphIndex")]
    if not all(0 < n < len(parts) for n in number):
        raise Refused("it names no subgraphs", "convert the model again")
    cond, body = (parts[n] for n in number)
    if not len(op.inputs) == len(op.outputs) == len(body.inputs) == len(body.outputs) == len(cond.inputs):
        raise Refused("its loop takes and makes different values", FIX)
    fixed = [i for i, (a, z) in enumerate(zip(body.inputs, body.outputs, strict=True)) if a == z]
    body = _with_constants(b, op, body, fixed)
    loop = _roles(b, op, cond, body, fixed)
    found, step = _step(b, body, loop)
    _emit(b, op, loop, found, step)


def _with_constants(b: Builder, op: FileOp, body: FileModel, fixed: Sequence[int]) -> FileModel:
    """The body with the values of invariant operands that are constants."""
    tensors = list(body.tensors)
    for i in fixed:
        outer = b.tensors[b.name(op.inputs[i])]
        if outer.is_const:
            tensors[body.inputs[i]] = replace(tensors[body.inputs[i]], data=outer.data, shape=outer.shape)
    return replace(body, tensors=tuple(tensors))


def _roles(b: Builder, op: FileOp, cond: FileModel, body: FileModel, fixed: Sequence[int]) -> Loop:
    maker = {i: o for o in body.ops for i in o.outputs}
    counters = [i for i in range(len(op.inputs)) if i not in fixed and _counts(b, op, body, maker, i)]
    steps = _limit(b, op, cond, counters)
    reads = [
        o
        for o in body.ops
        if o.code == "GATHER"
        and o.inputs[0] in (body.inputs[i] for i in fixed)
        and o.inputs[1] in (body.inputs[i] for i in counters)
        and int(o.options.get("axis", 0)) == 0
        and not int(o.options.get("batchDims", 0))
    ]
    if len(reads) != 1:
        raise Refused(f"its loop reads {len(reads)} sequences step by step", FIX)
    sequence = body.inputs.index(reads[0].inputs[0])
    shape = b.shape(op.inputs[sequence])
    if len(shape) != 3 or shape[0] != steps or shape[1] != 1:
        raise Refused(f"its loop of {steps} steps reads a sequence {list(shape)}", FIX + "; convert with a batch of 1")
    states: list[int] = []
    rows: list[tuple[int, int, bool]] = []
    for i in range(len(op.inputs)):
        if i in fixed or i in counters:
            continue
        size = b.shape(op.inputs[i])
        kept = _kept(body, maker, i, [body.inputs[k] for k in counters])
        if kept is not None:
            rows.append((i, kept, True))
        elif len(size) == 2 and size[0] == 1:
            states.append(i)
        elif len(size) == 3 and size[:2] == (1, 1) and not _is_read(body, i):
            rows.append((i, body.outputs[i], False))
        else:
            raise Refused(f"its loop carries '{b.file.names[op.inputs[i]]}' {list(size)}, which is no state of a cell", FIX)
    return Loop(steps, sequence, reads[0].outputs[0], tuple(states), tuple(rows))


def _is_read(body: FileModel, position: int) -> bool:
    return any(body.inputs[position] in o.inputs for o in body.ops)


def _data(body: FileModel, index: int) -> Array | None:
    return body.tensors[index].data if index >= 0 else None


def _counts(b: Builder, op: FileOp, body: FileModel, maker: dict[int, FileOp], position: int) -> bool:
    """Whether the value starts at 0 and grows by 1."""
    start = b.tensors[b.name(op.inputs[position])]
    if start.data is None or start.elements != 1 or np.any(start.data) or start.dtype not in ("int32", "int64"):
        return False
    return _one_more(body, maker, body.outputs[position]) == body.inputs[position]


def _one_more(body: FileModel, maker: dict[int, FileOp], index: int) -> int | None:
    """The tensor that this one is one more than."""
    made = maker.get(index)
    if made is None or made.code != "ADD" or len(made.inputs) != 2:
        return None
    for one, other in (made.inputs, made.inputs[::-1]):
        data = _data(body, one)
        if data is not None and data.size == 1 and int(data.reshape(-1)[0]) == 1:
            return other
    return None


def _limit(b: Builder, op: FileOp, cond: FileModel, counters: Sequence[int]) -> int:
    """How often the loop runs: the condition is that counters stay below constants."""
    maker = {i: o for o in cond.ops for i in o.outputs}
    limits: list[int] = []
    open_ = list(cond.outputs)
    while open_:
        made = maker.get(open_.pop())
        if made is not None and made.code == "LOGICAL_AND":
            open_ += made.inputs
            continue
        ends = made is not None and made.code == "LESS" and made.inputs[0] in [cond.inputs[i] for i in counters]
        limit = _data(cond, made.inputs[1]) if made is not None and ends else None
        if made is not None and ends and limit is None and made.inputs[1] in cond.inputs:
            limit = b.tensors[b.name(op.inputs[cond.inputs.index(made.inputs[1])])].data
        if limit is None or limit.size != 1:
            raise Refused("its loop does not run a fixed number of times", FIX)
        limits.append(int(limit.reshape(-1)[0]))
    return min(limits)


def _kept(body: FileModel, maker: dict[int, FileOp], position: int, counters: Sequence[int]) -> int | None:
    """The new row of an accumulator that keeps all steps: all before it, the row, all after it; None for other values."""
    before, made = body.inputs[position], maker.get(body.outputs[position])
    if made is None:
        return None
    if made.code == "DYNAMIC_UPDATE_SLICE" and made.inputs[0] == before:
        begin = _starts(body, maker, made.inputs[2])
        return made.inputs[1] if begin in counters else None
    if made.code != "CONCATENATION" or len(made.inputs) != 3 or int(made.options["axis"]) != 0:
        return None
    head, tail = (maker.get(i) for i in (made.inputs[0], made.inputs[2]))
    if head is None or tail is None or any(o.code != "SLICE" or o.inputs[0] != before for o in (head, tail)):
        return None
    start = _data(body, head.inputs[1])
    after = _one_more(body, maker, _starts(body, maker, tail.inputs[1]))
    fits = start is not None and not np.any(start) and _starts(body, maker, head.inputs[2]) in counters and after in counters
    return made.inputs[1] if fits else None


def _starts(body: FileModel, maker: dict[int, FileOp], index: int) -> int:
    """The scalar at the head of a vector [t, ...] that the loop builds; -1 when it is none."""
    made = maker.get(index)
    if made is None or made.code not in ("CONCATENATION", "PACK") or not made.inputs:
        return -1
    first = maker.get(made.inputs[0])
    if any(_data(body, i) is None for i in made.inputs[1:]):
        return -1
    return first.inputs[0] if first is not None and first.code in ("RESHAPE", "EXPAND_DIMS") else made.inputs[0]


def _step(b: Builder, body: FileModel, loop: Loop) -> tuple[Cell, dict[int, Form]]:
    """The cell, and the form of each accumulator's row by its position."""
    from edgekit.load.tflite import convert

    ins = (loop.row, *(body.inputs[i] for i in loop.states))
    ends = (*(body.outputs[i] for i in loop.states), *(row for _, row, _ in loop.rows))
    ops = [o for o in body.ops if loop.row not in o.outputs]
    kept = needed(len(ops), lambda i: ops[i].inputs, lambda i: ops[i].outputs, ends)
    inner = Builder(replace(body, ops=tuple(ops[i] for i in kept), inputs=ins, outputs=ends), False)
    for i in ins:
        tensor = body.tensors[i]
        if tensor.dtype != "float32":
            raise Refused(
                f"its loop runs on {tensor.dtype}", "convert the model without quantization, and quantize with edgekit"
            )
        inner.tensors[body.names[i]] = Tensor(body.names[i], tensor.shape, tensor.dtype)
    problems = convert(inner)
    if problems:
        raise Refused("; ".join(f"in its loop, {where} {why}" for where, why, _ in problems), FIX)
    atoms = [Atom("x" if i == loop.row else "state", int(np.prod(body.tensors[i].shape))) for i in ins]
    forms = forms_of(inner.nodes, inner.tensors, {body.names[i]: atom for i, atom in zip(ins, atoms, strict=True)})
    missing = [i for i in ends if body.names[i] not in forms]
    if missing:
        raise Refused("its loop carries a constant", FIX)
    made = [forms[body.names[i]] for i in ends]
    states, rows = made[: len(loop.states)], made[len(loop.states) :]
    found = recognised(atoms[0], atoms[1:], states)
    if found is None:
        raise Refused("its loop is no step of a plain LSTM, GRU or RNN", FIX)
    if any(not row.same(states[found.hidden]) for row in rows):
        raise Refused("its loop collects other values than the cell's output", FIX)
    return found, {position: row for (position, _, _), row in zip(loop.rows, rows, strict=True)}


def _emit(b: Builder, op: FileOp, loop: Loop, found: Cell, rows: dict[int, Form]) -> None:
    x = b.name(op.inputs[loop.sequence])
    source, backwards = _forwards(b, x)
    steps, _, width = b.shape(op.inputs[loop.sequence])
    sequence = b.reshape(source, (1, steps, width), op)
    first = [_first(b, op.inputs[loop.states[i]]) for i in (found.hidden, found.memory) if i is not None]
    hidden = op.outputs[loop.states[found.hidden]]
    memory = None if found.memory is None else op.outputs[loop.states[found.memory]]
    base = b.file.names[op.outputs[0]]
    weights = [
        None if data is None else const(f"{base}/{tag}", np.ascontiguousarray(data, np.float32))
        for tag, data in (("w", found.w), ("r", found.r), ("b", found.bias if np.any(found.bias) else None), ("rb", found.rb))
    ]
    outputs = [None, hidden] if memory is None else [None, hidden, memory]
    attrs: dict[str, Any] = {**found.attrs, "reverse": backwards}
    y = cell(b, found.kind, sequence, weights, op, outputs, first=first, **attrs)[0]
    shape = b.tensors[y].shape
    for position, _, whole in loop.rows:
        made = y
        if whole and backwards:  # the loop's order
            turn = {"begin": (0, steps - 1, 0), "size": shape, "stride": (1, -1, 1)}
            made = b.steps("SLICE", (y,), op, turn, 1)[0]
        elif not whole:  # of y rather than h, which TFLite's LSTM does not show
            last = {"begin": (0, 0 if backwards else steps - 1, 0), "size": (1, 1, shape[2]), "stride": (1, 1, 1)}
            made = b.steps("SLICE", (y,), op, last, 1)[0]
        b.emit("RESHAPE", (made,), (op.outputs[position],), op, {"shape": (steps if whole else 1, 1, shape[2])})
    used = {i for other in b.file.ops for i in other.inputs} | set(b.file.outputs)
    for position, (before, after) in enumerate(zip(op.inputs, op.outputs, strict=True)):
        if after not in used or b.file.names[after] in b.tensors:
            continue
        value = b.tensors[b.name(before)]
        if value.dtype in ("int32", "int64") and value.elements == 1 and value.data is not None:
            b.set_const(after, np.full(value.shape, loop.steps, value.data.dtype))
        elif value.data is not None:
            b.set_const(after, value.data)
        else:
            b.emit("RESHAPE", (value.name,), (after,), op, {"shape": b.shape(op.inputs[position])})
    b.note(f"the loop '{base}' read as {found.kind}")


def _first(b: Builder, index: int) -> str | None:
    """The state before the first step; None for zero."""
    tensor = b.tensors[b.name(index)]
    return None if tensor.data is not None and not np.any(tensor.data) else tensor.name


def _maker(b: Builder, name: str) -> Node | None:
    return next((node for node in reversed(b.nodes) if name in node.outputs), None)


def _forwards(b: Builder, x: str) -> tuple[str, bool]:
    """(the sequence, True) of a sequence [T,1,I] that was turned round before the loop; else (x, False)."""
    maker = _maker(b, x)
    if maker is None or maker.op != "SLICE" or not _turns(b, maker, 0):
        return x, False
    return str(maker.inputs[0]), True


def _turns(b: Builder, node: Node, axis: int) -> bool:
    """Whether a SLICE reverses this axis, and does nothing else."""
    shape = b.tensors[str(node.inputs[0])].shape
    stride = tuple(-1 if i == axis else 1 for i in range(len(shape)))
    return tuple(node.attrs["size"]) == shape and tuple(node.attrs["stride"]) == stride


def without_turning_twice(b: Builder) -> None:
    """Drop pairs of reversals of the same axis, with nothing but RESHAPEs that move axes of 1 between them."""
    made = {name: node for node in b.nodes for name in node.outputs}
    for position, node in enumerate(b.nodes):
        axis = _turned_axis(b, node)
        if axis is None:
            continue
        before = made.get(str(node.inputs[0]))
        while before is not None and before.op == "RESHAPE":
            before = made.get(str(before.inputs[0]))
        other = None if before is None else _turned_axis(b, before)
        if before is None or other is None or other[1] != axis[1] or other[2] != axis[2]:
            continue
        shape = b.tensors[node.outputs[0]].shape
        b.nodes[position] = Node("RESHAPE", (before.inputs[0],), node.outputs, {"shape": shape}, node.source)
    ends = {b.file.names[i] for i in b.file.outputs} | set(b.states.pairs().values())
    read = {n for node in b.nodes for n in node.inputs} | ends
    for node in list(reversed(b.nodes)):
        if not read.intersection(node.outputs) and node.op in ("SLICE", "RESHAPE"):
            b.nodes.remove(node)
            read = {n for node in b.nodes for n in node.inputs} | ends


def _turned_axis(b: Builder, node: Node) -> tuple[int, int, tuple[int, ...]] | None:
    """(axis, its place among the axes longer than 1, these axes) that a SLICE reverses."""
    if node.op != "SLICE":
        return None
    shape = b.tensors[str(node.inputs[0])].shape
    turned = [i for i in range(len(shape)) if _turns(b, node, i)]
    if not turned or shape[turned[0]] == 1:
        return None
    long = [i for i, n in enumerate(shape) if n > 1]
    return turned[0], long.index(turned[0]), tuple(shape[i] for i in long)


RULES = {"WHILE": while_}
