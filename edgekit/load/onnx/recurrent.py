"""LSTM, GRU and RNN: a sequence operator a direction, batch first; both directions are two of them and a CONCATENATION."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.graph import Array
from edgekit.load.onnx import recurrent_written
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler
from edgekit.load.onnx.recurrent_written import Function

# The op table's gates in ONNX's order: iofc, zrh.
ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "RNN": (0,)}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def own_order(op: str, a: Array) -> Array:
    """Rows of ONNX's gates [G*H, ...] in the op table's order."""
    gates = len(ORDER[op])
    parts = a.reshape(gates, -1, *a.shape[1:])
    return np.ascontiguousarray(parts[np.argsort(ORDER[op])].reshape(a.shape))


def recurrent(b: Builder, c: Call) -> list[str]:
    """Y [T,D,N,H], Y_h and Y_c [D,N,H] (layout 1: [N,T,D,H] and [N,D,H])."""
    last = bool(c.get("layout", 0))
    x = b.tensor(c.needed(0))
    if len(b.tensors[x].shape) != 3:
        raise ValueError(f"its input has {len(b.tensors[x].shape)} axes")
    if not last:
        x = b.transpose(x, (1, 0, 2))
    batch, steps = b.tensors[x].shape[:2]
    backwards = DIRECTIONS[str(c.get("direction", "forward"))]
    used = recurrent_written.functions(c, len(backwards))
    length = _length(b, c, steps)
    if length < steps:
        width = b.tensors[x].shape[2]
        x = b.one("SLICE", [x], begin=(0, 0, 0), size=(batch, length, width), stride=(1, 1, 1))
    h0, c0 = (_first(b, c.input(i), len(backwards), last) for i in (5, 6))
    made = [_direction(b, c, x, d, used[d], h0[d], c0[d]) for d in range(len(backwards))]
    sequences, states = [m[0] for m in made], list(zip(*(m[1:] for m in made), strict=True))
    y = sequences[0] if len(made) == 1 else b.one("CONCATENATION", sequences, axis=2)
    if length < steps:
        y = b.one("PAD", [y], pads=((0, 0), (0, steps - length), (0, 0)))
    y = b.reshape(y, (batch, steps, len(made), b.tensors[y].shape[2] // len(made)))
    return [y if last else b.transpose(y, (1, 2, 0, 3)), *(_stacked(b, s, last) for s in states)]


def _direction(b: Builder, c: Call, x: str, d: int, used: Sequence[Function], h0: str | None, c0: str | None) -> list[str]:
    """The operator of direction d: its y, h and, for LSTM, c."""
    op = c.op
    names = (c.needed(1), c.needed(2))
    if any(b.array(n) is None for n in names) or (c.input(3) is not None and b.array(c.input(3)) is None):
        raise Cannot("its weights are computed at run time", "make them initializers")
    backwards = DIRECTIONS[str(c.get("direction", "forward"))][d]
    if not recurrent_written.is_plain(b, c, used):
        return recurrent_written.direction(b, c, x, d, backwards, used, h0, c0)
    w, r = (b.weight(n, f"{op}{d}", lambda a: own_order(op, a[d])) for n in names)
    rows, units = b.tensors[r].shape
    both = b.array(c.input(3))
    halves = np.zeros((2, rows), np.float32) if both is None else both[d].astype(np.float32).reshape(2, rows)
    bias, back = (own_order(op, half) for half in halves)
    attrs: dict[str, Any] = {"reverse": backwards}
    sixth = c0
    if op == "GRU":
        attrs["reset_after"] = bool(c.get("linear_before_reset", 0))
        apart = units if attrs["reset_after"] and np.any(back[2 * units :]) else 0
        sixth = b.constant(back[rows - apart :], f"recurrent_bias{d}") if apart else None
        back = np.concatenate([back[: rows - apart], np.zeros(apart, np.float32)])
    elif op == "RNN":
        attrs["activation"] = used[0].name.upper()
    total = bias + back
    inputs: list[str | None] = [x, w, r, b.constant(total, f"bias{d}") if np.any(total) else None, h0, sixth]
    while inputs[-1] is None:
        inputs.pop()
    return b.emit(op, inputs, outputs=3 if op == "LSTM" else 2, **attrs)


def _length(b: Builder, c: Call, steps: int) -> int:
    """How many steps count, of all sequences: sequence_lens, which must be known; past its end ONNX gives zeros."""
    name = c.input(4)
    if name is None:
        return steps
    lengths = b.array(name)
    if lengths is None:
        inputs = b.decided_by(b.tensor(name))
        told = " ".join(f"--set {n}={steps}" for n in inputs if b.tensors[n].dtype == "int32")
        raise Cannot("its sequences have lengths of their own", f"fix them: {told}" if told else "drop sequence_lens")
    if np.any(lengths != lengths.reshape(-1)[0]) or not 1 <= int(lengths.reshape(-1)[0]) <= steps:
        raise Cannot("its sequences have lengths of their own", "pad them all to one length and drop sequence_lens")
    return int(lengths.reshape(-1)[0])


def _first(b: Builder, name: str | None, directions: int, last: bool) -> Sequence[str | None]:
    """The first state [N,H] of each direction; None for zero."""
    constant = b.array(name)
    if name is None or (constant is not None and not np.any(constant)):
        return [None] * directions
    x = b.tensor(name)
    axis, shape = (1, b.tensors[x].shape[::2]) if last else (0, b.tensors[x].shape[1:])
    parts = [x] if directions == 1 else b.emit("SPLIT", [x], outputs=2, axis=axis, sizes=(1, 1))
    return [b.reshape(part, shape) for part in parts]


def _stacked(b: Builder, states: Sequence[str], last: bool) -> str:
    """[N,H] of each direction as [D,N,H] (or [N,D,H])."""
    batch, units = b.tensors[states[0]].shape
    axis = 1 if last else 0
    parts = [b.reshape(s, (batch, 1, units) if last else (1, batch, units)) for s in states]
    return parts[0] if len(parts) == 1 else b.one("CONCATENATION", parts, axis=axis)


HANDLERS: dict[str, Handler] = dict.fromkeys(ORDER, recurrent)
