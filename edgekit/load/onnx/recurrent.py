"""LSTM, GRU and RNN: a sequence operator a direction, batch first; both directions are two of them and a CONCATENATION."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.graph import Array
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler

# The op table's gates in ONNX's order: iofc, zrh.
ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "RNN": (0,)}
USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
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
    activations = _activations(c, len(backwards))
    _check(b, c, steps)
    h0, c0 = (_first(b, c.input(i), len(backwards), last) for i in (5, 6))
    made = [_direction(b, c, x, d, activations[d], h0[d], c0[d]) for d in range(len(backwards))]
    sequences, states = [m[0] for m in made], list(zip(*(m[1:] for m in made), strict=True))
    y = sequences[0] if len(made) == 1 else b.one("CONCATENATION", sequences, axis=2)
    y = b.reshape(y, (batch, steps, len(made), b.tensors[y].shape[2] // len(made)))
    return [y if last else b.transpose(y, (1, 2, 0, 3)), *(_stacked(b, s, last) for s in states)]


def _direction(b: Builder, c: Call, x: str, d: int, activation: str, h0: str | None, c0: str | None) -> list[str]:
    """The operator of direction d: its y, h and, for LSTM, c."""
    op = c.op
    names = (c.needed(1), c.needed(2))
    if any(b.array(n) is None for n in names) or (c.input(3) is not None and b.array(c.input(3)) is None):
        raise Cannot("its weights are computed at run time", "make them initializers")
    w, r = (b.weight(n, f"{op}{d}", lambda a: own_order(op, a[d])) for n in names)
    rows, units = b.tensors[r].shape
    both = b.array(c.input(3))
    halves = np.zeros((2, rows), np.float32) if both is None else both[d].astype(np.float32).reshape(2, rows)
    bias, back = (own_order(op, half) for half in halves)
    attrs: dict[str, Any] = {"reverse": DIRECTIONS[str(c.get("direction", "forward"))][d]}
    sixth = c0
    if op == "GRU":
        attrs["reset_after"] = bool(c.get("linear_before_reset", 0))
        apart = units if attrs["reset_after"] and np.any(back[2 * units :]) else 0
        sixth = b.constant(back[rows - apart :], f"recurrent_bias{d}") if apart else None
        back = np.concatenate([back[: rows - apart], np.zeros(apart, np.float32)])
    elif op == "RNN":
        attrs["activation"] = activation.upper()
    total = bias + back
    inputs: list[str | None] = [x, w, r, b.constant(total, f"bias{d}") if np.any(total) else None, h0, sixth]
    while inputs[-1] is None:
        inputs.pop()
    return b.emit(op, inputs, outputs=3 if op == "LSTM" else 2, **attrs)


def _check(b: Builder, c: Call, steps: int) -> None:
    """Refuse what the op table has no word for."""
    lengths = b.array(c.input(4)) if c.input(4) is not None else None
    if c.input(4) is not None and (lengths is None or np.any(lengths != steps)):
        raise Cannot("its sequences have lengths of their own", "pad them all to one length and drop sequence_lens")
    peepholes = b.array(c.input(7)) if c.input(7) is not None else None
    if c.op == "LSTM" and c.input(7) is not None and (peepholes is None or np.any(peepholes)):
        raise Cannot("it has peephole connections", "use a plain LSTM")
    if float(c.get("clip", 0.0)) or int(c.get("input_forget", 0)):
        raise Cannot("it clips its gates" if c.get("clip") else "it couples its input and forget gates", "use a plain LSTM")


def _activations(c: Call, directions: int) -> list[str]:
    """The RNN's activation in each direction. Cannot for gates with other functions than the usual ones."""
    usual = USUAL[c.op]
    given = [a.decode() if isinstance(a, bytes) else str(a) for a in c.get("activations", [])] or [*usual] * directions
    if c.op == "RNN" and len(given) == directions and all(a.lower() in ("tanh", "relu") for a in given):
        return given
    if [a.lower() for a in given] != [a.lower() for a in usual] * directions:
        raise Cannot(f"its activations are {', '.join(given)}", f"use {', '.join(usual)}")
    return [""] * directions


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
