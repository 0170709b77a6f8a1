"""Recurrent nodes with `loop` as TFLite's WHILE: the body holds one step in plain operators (see `ops.recurrent_step`).

What goes round: a counter int32, the sequence x [N,T,I] as it is, the states, and y [N,T,H] if it is read. The body takes its
part of x with a GATHER and writes its row of y with a DYNAMIC_UPDATE_SLICE. Other LSTMs are `tflite_rnn`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from edgekit.export import tflite_rnn
from edgekit.export.tflite_ops import Loop, Refused, Written, ints, options
from edgekit.export.tflite_pack import Packer, Part
from edgekit.export.tflite_versions import version_in, version_of
from edgekit.graph import NUMPY_DTYPES, Graph, Node, Tensor, build, const
from edgekit.ops.op import optional
from edgekit.ops.recurrent_step import first_state, step

# What a loop needs beside its step, without and with y.
OPERATORS = ("ADD", "GATHER", "LESS", "WHILE")
KEEPING = ("BROADCAST_TO", "CONCATENATION", "DYNAMIC_UPDATE_SLICE", "RESHAPE")


def loop(graph: Graph, node: Node) -> Written:
    """A recurrent node as a WHILE."""
    if node.attrs.get("last"):
        raise Refused("it makes its last step only, as generated C does", "export the graph before it is prepared for C")
    if not node.attrs.get("loop"):
        if node.op == "LSTM":
            return tflite_rnn.lstm(graph, node)
        raise Refused(f"TFLite has no {node.op}")
    ins, outs = graph.input_tensors(node), graph.output_tensors(node)
    x, y = ins[0], outs[0]
    assert x is not None
    made = step(node, ins, outs)
    keeps = tflite_rnn.used(graph, y.name)
    ends = list(dict.fromkeys(made.outputs if keeps else made.outputs[1:]))
    body = build(node.op, list(made.inputs), ends, made.needed(keeps), made.tensors)
    last = x.shape[1] - 1
    steps = (last, 0, -1) if node.attrs.get("reverse", False) else (0, last, 1)
    states = [made.tensors[name] for name in made.inputs[1:]]
    counter = Tensor("step", (), "int32")
    values = (counter, x, *states, *([y] if keeps else []))
    firsts: list[str | Tensor] = []
    for state, index in zip(states, (4, 5), strict=False):
        name = optional(node.inputs, index)
        firsts.append(const("first", first_state(state, None), state.quant, state.dtype) if name is None else name)
    inputs: tuple[str | Tensor, ...] = (const("step", np.array(steps[0], np.int32)), x.name, *firsts)
    unread = (Tensor("steps", (), "int32"), Tensor("unread", x.shape, x.dtype, None, x.quant))
    results: tuple[str | Tensor, ...] = (*unread, *node.outputs[1:], *([y.name] if keeps else []))
    whole = Loop(body, tuple(values), steps, made.outputs, keeps)
    return Written("WHILE", inputs, None, outputs=results, loop=whole)


def operators(written: Iterable[tuple[Node, Written]], inner: Any) -> set[str]:
    """The builtins of these, and of the loops among them. inner: gives the operators of a loop's body."""
    codes: set[str] = set()
    for _, op in written:
        codes.add(op.code)
        if op.loop is not None:
            codes |= operators(inner(op.loop.body), inner) | set(OPERATORS) | (set(KEEPING) if op.loop.keeps else set())
    return codes


class _Writer:
    """One subgraph, whose operators' versions are counted."""

    def __init__(self, part: Part, versions: list[tuple[str, int]]) -> None:
        self.part, self.versions = part, versions
        self.index: dict[str, int] = {}

    def place(self, tensor: Tensor) -> int:
        if tensor.data is not None:
            return self.part.tensor(tensor, "")
        if tensor.name not in self.index:
            self.index[tensor.name] = self.part.tensor(tensor, "")
        return self.index[tensor.name]

    def operator(self, code: str, inputs: Sequence[Tensor], output: Tensor, made: Any = None) -> Tensor:
        version = version_of(code, inputs, [output], {})
        self.versions.append((code, version))
        self.part.operator(code, version, [self.place(t) for t in inputs], [self.place(output)], made)
        return output


def rows(packer: Packer, loop: Loop, versions: list[tuple[str, int]]) -> list[int]:
    """The tensor that y starts as, made of one element; [] when y is not kept."""
    if not loop.keeps:
        return []
    y = loop.values[-1]
    one = const("row", np.zeros((1, 1, 1), NUMPY_DTYPES[y.dtype]), y.quant, y.dtype)
    writer = _Writer(packer, versions)
    filled = Tensor("y", y.shape, y.dtype, None, y.quant)
    return [writer.place(writer.operator("BROADCAST_TO", (one, ints("shape", y.shape)), filled))]


def write(packer: Packer, loop: Loop, body: Sequence[tuple[Node, Written]], versions: list[tuple[str, int]]) -> Any:
    """Write the loop's two subgraphs, count their operators' versions, and give the options of the WHILE."""
    cond, cond_index = packer.part("condition")
    _condition(_Writer(cond, versions), loop)
    part, body_index = packer.part(loop.body.name)
    _body(_Writer(part, versions), loop, body)
    return options("WhileOptions", condSubgraphIndex=cond_index, bodySubgraphIndex=body_index)


def _condition(writer: _Writer, loop: Loop) -> None:
    """The counter has not passed the last step."""
    writer.part.inputs = [writer.part.tensor(t, "") for t in loop.values]
    counter, goes = loop.values[0], Tensor("goes", (), "bool")
    writer.index[counter.name] = writer.part.inputs[0]
    _, last, by = loop.steps
    end = const("end", np.array(last + by, np.int32))
    writer.operator("LESS", (counter, end) if by > 0 else (end, counter), goes, options("LessOptions"))
    writer.part.outputs = [writer.place(goes)]


def _body(writer: _Writer, loop: Loop, body: Sequence[tuple[Node, Written]]) -> None:
    counter, x, *others = loop.values
    states = others[: len(loop.body.inputs) - 1]
    sequence = Tensor("sequence", x.shape, x.dtype, None, x.quant)
    writer.part.inputs = [writer.part.tensor(t, "") for t in loop.values]
    for name, index in zip((counter.name, sequence.name, *loop.body.inputs[1:]), writer.part.inputs, strict=False):
        writer.index[name] = index
    following = Tensor("following", (), "int32")
    by = const("by", np.array(loop.steps[2], np.int32))
    writer.operator("ADD", (counter, by), following, options("AddOptions", potScaleInt16=False))
    part = loop.body[loop.body.inputs[0]]
    writer.operator("GATHER", (sequence, counter), part, options("GatherOptions", axis=1))
    for node, op in body:
        version = version_in(loop.body, node, op)
        writer.versions.append((op.code, version))
        inputs = [writer.place(loop.body[v] if isinstance(v, str) else v) if v is not None else -1 for v in op.inputs]
        writer.part.operator(op.code, version, inputs, [writer.place(loop.body[n]) for n in node.outputs], op.options)
    outputs = [writer.place(following), writer.part.inputs[1], *(writer.place(loop.body[n]) for n in loop.ends[1:])]
    if loop.keeps:
        row = loop.body[loop.ends[0]]
        outputs.append(writer.place(_kept(writer, loop, row, writer.part.inputs[2 + len(states)])))
    writer.part.outputs = outputs


def _kept(writer: _Writer, loop: Loop, row: Tensor, before: int) -> Tensor:
    """y with the step's row."""
    counter, y = loop.values[0], loop.values[-1]
    shape = (y.shape[0], 1, y.shape[2])
    start, begin = Tensor("start", (1,), "int32"), Tensor("begin", (3,), "int32")
    zero = ints("zero", [0])
    writer.operator("RESHAPE", (counter, ints("shape", (1,))), start, options("ReshapeOptions", newShape=[1]))
    writer.operator("CONCATENATION", (zero, start, zero), begin, options("ConcatenationOptions", axis=0))
    update = Tensor("update", shape, row.dtype, None, row.quant)
    writer.operator("RESHAPE", (row, ints("shape", shape)), update, options("ReshapeOptions", newShape=list(shape)))
    old, new = (Tensor(name, y.shape, y.dtype, None, y.quant) for name in ("rows before", "rows"))
    writer.index[old.name] = before
    return writer.operator("DYNAMIC_UPDATE_SLICE", (old, update, begin), new, options("DynamicUpdateSliceOptions"))


RULES = dict.fromkeys(("LSTM", "GRU", "RNN"), loop)
