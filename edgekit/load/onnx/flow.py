"""Control flow and sequences, of which the Graph has none: an If is decided, or both its branches are computed and one is
chosen; a Loop or Scan of a known number of turns is written out; a sequence is the list of its values' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from edgekit.graph import Array
from edgekit.load.onnx.builder import Builder, Call, Cannot, axis_of
from edgekit.load.onnx.file import dense_array, tensor_array
from edgekit.load.onnx.live import live_nodes, reads

MOST_NODES = 2048  # of one loop, written out


class Reader(Protocol):
    """What is needed of the reader. sequences: {value: the values it lists}. problems, broken: of nodes that are refused."""

    b: Builder
    folder: Path | None
    sequences: dict[str, list[str]]
    problems: list[tuple[str, str, str]]
    broken: set[str]
    notes: list[str]

    def node(self, node: onnx.NodeProto) -> None: ...


Rule = Callable[[Reader, Call, onnx.NodeProto], None]


# Bodies read in place --------------------------------------------------------------------------------------------------


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """The node with other names for the values it and its subgraphs read, and for those it makes."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    for field in (made.input, made.output):
        field[:] = [names.get(n, n) for n in field]
    for attribute in made.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            body = attribute.g
            own = {n for inner in body.node for n in inner.output} | {v.name for v in body.input}
            own |= {t.name for t in body.initializer}
            seen = {k: v for k, v in names.items() if k not in own}
            changed = [renamed(inner, seen) for inner in body.node]
            del body.node[:]
            body.node.extend(changed)
            for value in body.output:
                value.name = seen.get(value.name, value.name)
    return made


def inline(r: Reader, body: onnx.GraphProto, formal: Mapping[str, str], targets: Mapping[str, str] | None = None) -> list[str]:
    """Read a body's nodes where they stand; the names of its outputs' values. What it makes gets names of its own, as two
    bodies may use the same ones. formal: {its input: the value given}; targets: {a value it makes: the name it shall have}.
    """
    b, wanted = r.b, targets or {}
    names = dict(formal)
    held = [(t.name, tensor_array(t, r.folder)) for t in body.initializer]
    held += [(t.values.name, dense_array(t, r.folder)) for t in body.sparse_initializer]
    for name, data in held:
        if name not in names:
            names[name] = b.new_name(name)
            b.consts[names[name]] = data
    live = live_nodes(body)
    for node in live:
        for n in node.output:
            if n:
                names[n] = wanted.get(n) or b.new_name(n)
    nodes = [renamed(node, names) for node in live]
    outputs = [names.get(value.name, value.name) for value in body.output]
    for group in (*(reads(node) for node in nodes), outputs):
        for n in group:
            b.uses[n] = b.uses.get(n, 0) + 1
    for node in nodes:
        r.node(node)
    return outputs


def alias(r: Reader, new: str, old: str) -> None:
    """`new` is the value `old`."""
    b = r.b
    if new == old:
        return
    if old in r.broken:
        r.broken.add(new)
        return
    tables: tuple[dict[str, Any], ...] = (b.values, b.consts, b.const_quant, r.sequences)
    if not any(old in table for table in tables):
        raise ValueError(f"its body gives '{old}', which nothing makes")
    for table in tables:
        if old in table:
            table[new] = table[old]


def subgraph(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    body: onnx.GraphProto | None = next((a.g for a in node.attribute if a.name == name), None)
    if body is None:
        raise ValueError(f"it has no {name}")
    return body


def known(r: Reader, name: str | None) -> Array | None:
    """The constant that decides something; None where it is computed."""
    value = r.b.array(name)
    if value is not None and value.size != 1:
        raise ValueError(f"'{name}' has {value.size} elements, and decides one thing")
    return value


# If --------------------------------------------------------------------------------------------------------------------


def branch(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    condition = known(r, c.needed(0))
    if condition is None:
        either(r, c, node)
        return
    body = subgraph(node, "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
    made = [n for inner in body.node for n in inner.output]
    ends = [value.name for value in body.output]
    # A value that the branch makes has the name of what it is.
    targets = {end: out for end, out in zip(ends, node.output, strict=True) if out and end in made and ends.count(end) == 1}
    for out, value in zip(node.output, inline(r, body, {}, targets), strict=True):
        if out:
            alias(r, out, value)


def either(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    """Both branches, where the condition depends on real data and not only on a setting."""
    b = r.b
    condition = b.tensor(c.needed(0))
    deciders = b.decided_by(condition)
    settings = [n for n in deciders if b.tensors[n].dtype != "float32" and b.tensors[n].elements == 1]
    if settings and settings == deciders:
        line = " ".join(f"--set {n}={_example(b, condition)}" for n in settings)
        raise Cannot("its condition is computed at run time", f"fix the input that decides it: {line}")
    before = len(r.problems)
    results = [inline(r, subgraph(node, name), {}) for name in ("then_branch", "else_branch")]
    b.call = c
    if len(r.problems) > before:
        r.broken |= {n for n in node.output if n}
        return
    for out, one, other in zip(node.output, *results, strict=True):
        if not out:
            continue
        if one in r.sequences or other in r.sequences:
            raise Cannot("it chooses a sequence at run time", "export the model with one branch only")
        shapes, kinds = (b.shape(one), b.shape(other)), (b.dtype(one), b.dtype(other))
        if shapes[0] != shapes[1] or kinds[0] != kinds[1]:
            told = " and ".join(f"{k}{list(s)}" for k, s in zip(kinds, shapes, strict=True))
            raise Cannot(
                f"its branches give {told}, and its condition depends on {', '.join(deciders) or 'computed values'}",
                "export the model with one branch only",
            )
        wide = b.reshape(condition, (1,) * max(len(shapes[0]), 1))
        b.values[out] = b.one("SELECT_V2", [wide, b.tensor(one), b.tensor(other)])
    r.notes.append(f"{c.source}: both branches are computed, and one is chosen")


def _example(b: Builder, condition: str) -> str:
    """What to write after --set: the constant that the condition compares with, if it does."""
    maker = b.made_by(condition)
    for n in maker.inputs if maker is not None else ():
        data = b.tensors[n].data if n is not None else None
        if data is not None and data.size == 1 and data.dtype.kind in "iu":
            return str(int(data.reshape(-1)[0]))
    return "true" if b.tensors[condition].dtype == "bool" and maker is None else "VALUE"


# Loop and Scan ---------------------------------------------------------------------------------------------------------


def loop(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    b, body = r.b, subgraph(node, "body")
    trips, go = known(r, c.input(0)), known(r, c.input(1))
    if c.input(0) is not None and trips is None:
        raise Cannot("how often it turns is computed at run time", "fix what decides it with --shape or --set")
    if c.input(1) is not None and go is None:
        raise Cannot("whether it turns is computed at run time", "export a model whose loop has a fixed number of turns")
    formal, given = [v.name for v in body.input], [n or "" for n in c.inputs[2:]]
    if len(formal) != 2 + len(given) or len(body.output) < 1 + len(given):
        raise ValueError(f"its body has {len(formal)} inputs and {len(body.output)} outputs for {len(given)} carried values")
    most = None if trips is None else max(int(trips.reshape(-1)[0]), 0)
    carried, rows = list(given), [[] for _ in body.output[1 + len(given) :]]  # type: list[str], list[list[str]]
    turn, state = 0, _flag(b, True if go is None else bool(go.reshape(-1)[0]))
    while (most is None or turn < most) and bool(b.consts[state].reshape(-1)[0]):
        _limit(c, turn + 1 if most is None else most, body)
        place = b.new_name(f"{formal[0]}_{turn}")
        b.consts[place] = np.asarray(turn, np.int64)
        before = len(r.problems)
        made = inline(r, body, dict(zip(formal, [place, state, *carried], strict=True)))
        b.call = c
        if len(r.problems) > before:
            r.broken |= {n for n in node.output if n}
            return
        if made[0] not in b.consts:
            raise Cannot("whether it goes on is computed at run time", "export a model whose loop has a fixed number of turns")
        state, carried = made[0], made[1 : 1 + len(given)]
        for row, name in zip(rows, made[1 + len(given) :], strict=True):
            row.append(name)
        turn += 1
    for out, name in zip(node.output, carried, strict=False):
        if out:
            alias(r, out, name)
    for out, row in zip(node.output[len(given) :], rows, strict=True):
        if out:
            stack(r, out, row, 0)


def scan(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    b, body = r.b, subgraph(node, "body")
    if c.opset < 9:
        raise Cannot("it is the Scan of opset 8", "export with opset 9 or later")
    count = int(c.attrs["num_scan_inputs"])
    given = [n or "" for n in c.inputs]
    states, sources = given[: len(given) - count], given[len(given) - count :]
    ends = len(body.output) - len(states)

    def of(name: str, index: int) -> int:
        return int((c.get(name) or [0] * max(count, ends))[index])

    axes = [axis_of(of("scan_input_axes", i), len(b.shape(n))) for i, n in enumerate(sources)]
    turns = {b.shape(n)[axis] for n, axis in zip(sources, axes, strict=True)}
    if len(turns) != 1 or len(body.input) != len(given) or ends < 0:
        raise ValueError(f"its inputs have {sorted(turns)} steps, its body {len(body.input)} inputs")
    (most,) = turns
    _limit(c, most, body)
    parts = [steps(r, n, axis) for n, axis in zip(sources, axes, strict=True)]
    parts = [part[::-1] if of("scan_input_directions", i) else part for i, part in enumerate(parts)]
    carried, rows = states, [[] for _ in range(ends)]  # type: list[str], list[list[str]]
    for turn in range(most):
        before = len(r.problems)
        made = inline(r, body, dict(zip([v.name for v in body.input], [*carried, *(p[turn] for p in parts)], strict=True)))
        b.call = c
        if len(r.problems) > before:
            r.broken |= {n for n in node.output if n}
            return
        carried = made[: len(states)]
        for row, name in zip(rows, made[len(states) :], strict=True):
            row.append(name)
    for out, name in zip(node.output, carried, strict=False):
        if out:
            alias(r, out, name)
    for i, (out, row) in enumerate(zip(node.output[len(states) :], rows, strict=True)):
        if out:
            stack(r, out, row[::-1] if of("scan_output_directions", i) else row, of("scan_output_axes", i))


def _flag(b: Builder, value: bool) -> str:
    name = b.new_name("condition")
    b.consts[name] = np.asarray(value)
    return name


def _limit(c: Call, turns: int, body: onnx.GraphProto) -> None:
    if turns * len(body.node) > MOST_NODES:
        raise Cannot(
            f"written out, its {turns} turns are {turns * len(body.node)} nodes, more than {MOST_NODES}",
            "use LSTM, GRU or RNN for a recurrent layer, or a shorter input with --shape",
        )


def steps(r: Reader, name: str, axis: int) -> list[str]:
    """The values along an axis, without it."""
    b = r.b
    shape = b.shape(name)
    made = [b.new_name(f"{name}_{i}") for i in range(shape[axis])]
    if (data := b.array(name)) is not None:
        b.consts.update(zip(made, (np.take(data, i, axis) for i in range(shape[axis])), strict=True))
        return made
    x = b.tensor(name)
    parts = [x] if len(made) == 1 else b.emit("SPLIT", [x], outputs=len(made), axis=axis, sizes=(1,) * len(made))
    rest = (*shape[:axis], *shape[axis + 1 :])
    b.values.update(zip(made, (b.reshape(part, rest) for part in parts), strict=True))
    return made


def stack(r: Reader, out: str, names: Sequence[str], axis: int) -> None:
    """`out`: the values along a new axis."""
    b = r.b
    if not names:
        raise Cannot(f"'{out}' collects what no turn of it makes", "give a --shape with which it turns at least once")
    if all(n in b.consts for n in names):
        b.consts[out] = np.stack([b.consts[n] for n in names], axis)
        return
    shape = b.shape(names[0])
    axis = axis_of(axis, len(shape) + 1)
    wide = [b.reshape(b.tensor(n), (*shape[:axis], 1, *shape[axis:])) for n in names]
    b.values[out] = wide[0] if len(wide) == 1 else b.one("CONCATENATION", wide, axis=axis)


# Sequences -------------------------------------------------------------------------------------------------------------


def listed(r: Reader, c: Call, index: int = 0) -> list[str]:
    name = c.needed(index)
    if name not in r.sequences:
        raise ValueError(f"'{name}' is no sequence")
    return r.sequences[name]


def place(r: Reader, c: Call, index: int, count: int, default: int) -> int:
    """A constant position in a sequence, from 0 to count - 1."""
    if c.input(index) is None:
        at = default
    elif (value := known(r, c.input(index))) is None:
        raise Cannot("its position is computed at run time", "make it a constant")
    else:
        at = int(value.reshape(-1)[0])
    return axis_of(at, count)


def sequence(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    """SequenceEmpty, SequenceConstruct, SequenceInsert, SequenceErase."""
    if c.op in ("SequenceEmpty", "SequenceConstruct"):
        made = [n for n in c.inputs if n]
    elif c.op == "SequenceInsert":
        made = list(listed(r, c))
        at = len(made) if c.input(2) is None else place(r, c, 2, len(made) + 1, 0) if _sign(r, c, 2) else None
        # A negative position counts from the end of what was there.
        made.insert(place(r, c, 2, len(made), 0) if at is None else at, c.needed(1))
    else:
        made = list(listed(r, c))
        del made[place(r, c, 1, len(made), -1)]
    r.sequences[node.output[0]] = made


def _sign(r: Reader, c: Call, index: int) -> bool:
    """False for a negative constant."""
    value = known(r, c.input(index))
    return value is None or int(value.reshape(-1)[0]) >= 0


def at(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    names = listed(r, c)
    alias(r, node.output[0], names[place(r, c, 1, len(names), 0)])


def length(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    r.b.consts[node.output[0]] = np.asarray(len(listed(r, c)), np.int64)


def split(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    """SplitToSequence: pieces of one size (the last may be smaller), of given sizes, or of one element each."""
    b, x = r.b, c.needed(0)
    shape = b.shape(x)
    axis = axis_of(c.get("axis", 0), len(shape))
    sizes = None
    if c.input(1) is not None:
        given = b.array(c.input(1))
        if given is None:
            raise Cannot("its sizes are computed at run time", "make them constants")
        each = [int(n) for n in given.reshape(-1)]
        if given.ndim == 0:
            if each[0] < 1:
                raise ValueError(f"pieces of {each[0]}")
            each = [min(each[0], shape[axis] - i) for i in range(0, shape[axis], each[0])]
        sizes = each
    elif not int(c.get("keepdims", 1)):
        r.sequences[node.output[0]] = steps(r, x, axis)
        return
    sizes = sizes or [1] * shape[axis]
    if sum(sizes) != shape[axis] or min(sizes) < 1:
        raise ValueError(f"sizes {sizes} of an axis of {shape[axis]}")
    made = [b.new_name(f"{node.output[0]}_{i}") for i in range(len(sizes))]
    if (data := b.array(x)) is not None:
        b.consts.update(zip(made, np.split(data, np.cumsum(sizes)[:-1], axis), strict=True))
    else:
        source = b.tensor(x)
        parts = [source] if len(sizes) == 1 else b.emit("SPLIT", [source], outputs=len(sizes), axis=axis, sizes=tuple(sizes))
        b.values.update(zip(made, parts, strict=True))
    r.sequences[node.output[0]] = made


def concat(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    b, names, out = r.b, listed(r, c), node.output[0]
    if not names:
        raise Cannot("its sequence is empty", "export a model that fills it")
    if int(c.get("new_axis", 0)):
        stack(r, out, names, int(c.attrs["axis"]))
    elif all(n in b.consts for n in names):
        b.consts[out] = np.concatenate([b.consts[n] for n in names], int(c.attrs["axis"]))
    else:
        axis = axis_of(c.attrs["axis"], len(b.shape(names[0])))
        parts = [b.tensor(n) for n in names]
        b.values[out] = parts[0] if len(parts) == 1 else b.one("CONCATENATION", parts, axis=axis)


def mapped(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    """SequenceMap: its body, once an element."""
    body, first = subgraph(node, "body"), listed(r, c)
    rows: list[list[str]] = [[] for _ in node.output]
    for i in range(len(first)):
        given = [r.sequences[n][i] if n in r.sequences else n for n in c.inputs if n]
        for row, name in zip(rows, inline(r, body, dict(zip([v.name for v in body.input], given, strict=True))), strict=True):
            row.append(name)
    r.b.call = c
    r.sequences.update(zip(node.output, rows, strict=True))


def optional(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    """Optional values that are there, or are not: both are known."""
    if c.op == "OptionalHasElement":
        r.b.consts[node.output[0]] = np.asarray(c.input(0) is not None)
    else:
        alias(r, node.output[0], c.needed(0))


RULES: dict[str, Rule] = {
    "If": branch,
    "Loop": loop,
    "Scan": scan,
    **dict.fromkeys(["SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceErase"], sequence),
    "SequenceAt": at,
    "SequenceLength": length,
    "SplitToSequence": split,
    "ConcatFromSequence": concat,
    "SequenceMap": mapped,
    **dict.fromkeys(["Optional", "OptionalGetElement", "OptionalHasElement"], optional),
}
