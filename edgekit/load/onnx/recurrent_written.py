"""LSTM, GRU and RNN that the sequence operators have no word for (peepholes, coupled gates, clipping, other functions of the
gates), written out step by step in plain operators. The weights are shared by the steps; each step's values have their own
scales in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.load.onnx.builder import Builder, Call, Cannot

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
MOST_NODES = 2048  # of one direction
# Function -> its operator, the defaults of its alpha and beta (None: it has none), and the names of those attributes.
PLAIN = {"sigmoid": "LOGISTIC", "tanh": "TANH", "relu": "RELU", "softplus": "SOFTPLUS", "softsign": "SOFTSIGN"}
DEFAULTS: dict[str, tuple[float | None, float | None]] = {
    "leakyrelu": (0.01, None),
    "elu": (1.0, None),
    "thresholdedrelu": (1.0, None),
    "hardsigmoid": (0.2, 0.5),
    "affine": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
}


@dataclass(frozen=True)
class Function:
    """Of a gate, by ONNX's name in small letters."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0


def functions(c: Call, directions: int) -> list[list[Function]]:
    """The functions of each direction's gates, in ONNX's order (f, g, h). Cannot for unknown ones."""
    usual = USUAL[c.op]
    given = [a.decode() if isinstance(a, bytes) else str(a) for a in c.get("activations", [])] or [*usual] * directions
    alphas, betas = (iter(c.get(f"activation_{n}", [])) for n in ("alpha", "beta"))
    made: list[Function] = []
    for name in (g.lower() for g in given):
        if name not in PLAIN and name not in DEFAULTS:
            raise Cannot(f"it has the function {name}", f"use {', '.join(u.capitalize() for u in usual)}")
        alpha, beta = DEFAULTS.get(name, (None, None))
        made.append(
            Function(
                name,
                0.0 if alpha is None else float(next(alphas, alpha)),
                0.0 if beta is None else float(next(betas, beta)),
            )
        )
    if len(made) != len(usual) * directions:
        raise Cannot(f"it has {len(made)} functions for {directions} direction(s)", f"{len(usual)} each")
    return [made[i : i + len(usual)] for i in range(0, len(made), len(usual))]


def is_plain(b: Builder, c: Call, used: Sequence[Function]) -> bool:
    """True when the op table's operator says all of it."""
    peepholes = c.input(7) is not None and (b.array(c.input(7)) is None or np.any(b.array(c.input(7))))
    if (c.op == "LSTM" and (peepholes or int(c.get("input_forget", 0)))) or float(c.get("clip", 0.0)):
        return False
    names = tuple(f.name for f in used)
    return names == USUAL[c.op] or (c.op == "RNN" and names == ("relu",))


def direction(
    b: Builder, c: Call, x: str, d: int, backwards: bool, used: Sequence[Function], h0: str | None, c0: str | None
) -> list[str]:
    """y [N,T,H], h [N,H] and, for LSTM, c [N,H] of direction d of x [N,T,I], whose weights are constant."""
    return _Writer(b, c, d, used).run(x, backwards, h0, c0)


class _Writer:
    def __init__(self, b: Builder, c: Call, d: int, used: Sequence[Function]) -> None:
        self.b, self.c, self.d, self.used = b, c, d, used
        self.w, self.r = (b.weight(c.needed(i), f"{c.op}{d}", lambda a: a[d]) for i in (1, 2))
        rows, self.units = b.tensors[self.r].shape
        both = b.array(c.input(3))
        halves = np.zeros((2, rows), np.float32) if both is None else both[d].astype(np.float32).reshape(2, rows)
        self.bias, self.back = halves[0], halves[1]
        self.after = c.op == "GRU" and bool(c.get("linear_before_reset", 0))
        clip = float(c.get("clip", 0.0))
        self.clip = (
            (b.constant(np.array([-clip], np.float32), "low"), b.constant(np.array([clip], np.float32), "high"))
            if clip
            else None
        )
        self.peeps: list[str] | None = None
        if c.op == "LSTM" and c.input(7) is not None:
            held = b.array(c.input(7))
            if held is None:
                raise Cannot("its peepholes are computed at run time", "make them initializers")
            self.peeps = [b.constant(p, f"peephole{i}") for i, p in enumerate(held[d].astype(np.float32).reshape(3, -1))]

    def run(self, x: str, backwards: bool, h0: str | None, c0: str | None) -> list[str]:
        b, start = self.b, len(self.b.nodes)
        batch, steps, _ = b.tensors[x].shape
        first = self.bias.copy() if self.after else self.bias + self.back
        if self.after:  # the last gate's recurrent part has a bias of its own
            first[: 2 * self.units] += self.back[: 2 * self.units]
        forward = b.one("FULLY_CONNECTED", [x, self.w, b.constant(first, "bias")], keep_dims=True)
        parts = b.emit("SPLIT", [forward], outputs=steps, axis=1, sizes=(1,) * steps) if steps > 1 else [forward]
        zero = b.constant(np.zeros((batch, self.units), np.float32), "zero")
        h, cell = h0 or zero, c0 or zero
        rows: list[str] = [""] * steps
        for count, t in enumerate(reversed(range(steps)) if backwards else range(steps), 1):
            now = b.reshape(parts[t], (batch, b.tensors[self.w].shape[0]))
            if self.c.op == "LSTM":
                h, cell = self.lstm(now, h, cell)
            else:
                h = self.gru(now, h) if self.c.op == "GRU" else self.apply(0, self.add(now, self.dense(h, self.r)))
            rows[t] = b.reshape(h, (batch, 1, self.units))
            if (len(b.nodes) - start) // count * steps > MOST_NODES:
                why = f"its {steps} steps are more than {MOST_NODES} nodes, written out, as its gates need"
                raise Cannot(why, f"fewer steps, or the plain {self.c.op}: {', '.join(USUAL[self.c.op])} and nothing else")
        y = b.one("CONCATENATION", rows, axis=1) if steps > 1 else rows[0]
        return [y, h, cell] if self.c.op == "LSTM" else [y, h]

    def add(self, *terms: str) -> str:
        total = terms[0]
        for term in terms[1:]:
            total = self.b.one("ADD", [total, term])
        return total

    def mul(self, x: str, y: str) -> str:
        return self.b.one("MUL", [x, y])

    def dense(self, x: str, w: str, bias: str | None = None) -> str:
        return self.b.one("FULLY_CONNECTED", [x, w] if bias is None else [x, w, bias])

    def rows(self, first: int, last: int) -> str:
        """The recurrent weights of gates first..last."""
        where = slice(first * self.units, last * self.units)
        return self.b.weight(self.c.needed(2), f"{self.c.op}{self.d} {first}", lambda a: a[self.d][where])

    def number(self, value: float) -> str:
        return self.b.constant(np.array([value], np.float32), "number")

    def split(self, x: str, count: int) -> list[str]:
        return self.b.emit("SPLIT", [x], outputs=count, axis=1, sizes=(self.units,) * count)

    def apply(self, which: int, x: str) -> str:
        """The gates' function f, g or h of what is clipped before."""
        if self.clip is not None:
            x = self.b.one("MINIMUM", [self.b.one("MAXIMUM", [x, self.clip[0]]), self.clip[1]])
        return self.function(self.used[which], x)

    def function(self, f: Function, x: str) -> str:
        one, number = self.b.one, self.number
        rules: dict[str, Callable[[], str]] = {
            "leakyrelu": lambda: one("LEAKY_RELU", [x], alpha=f.alpha),
            "elu": lambda: one("ELU", [x], alpha=f.alpha),
            "hardsigmoid": lambda: one("HARD_SIGMOID", [x], alpha=f.alpha, beta=f.beta),
            "thresholdedrelu": lambda: one("SELECT_V2", [one("GREATER", [x, number(f.alpha)]), x, number(0.0)]),
            "affine": lambda: self.add(self.mul(x, number(f.alpha)), number(f.beta)),
            "scaledtanh": lambda: self.mul(one("TANH", [self.mul(x, number(f.beta))]), number(f.alpha)),
        }
        return one(PLAIN[f.name], [x]) if f.name in PLAIN else rules[f.name]()

    def lstm(self, now: str, h: str, cell: str) -> tuple[str, str]:
        """(h, c) after a step. Gates in ONNX's order: i, o, f, c."""
        i, o, f, g = self.split(self.add(now, self.dense(h, self.r)), 4)
        if self.peeps is not None:
            i, f = self.add(i, self.mul(cell, self.peeps[0])), self.add(f, self.mul(cell, self.peeps[2]))
        i = self.apply(0, i)
        if int(self.c.get("input_forget", 0)):
            f = self.b.one("SUB", [self.number(1.0), i])
        else:
            f = self.apply(0, f)
        new = self.add(self.mul(f, cell), self.mul(i, self.apply(1, g)))
        if self.peeps is not None:
            o = self.add(o, self.mul(new, self.peeps[1]))
        return self.mul(self.apply(0, o), self.function(self.used[2], new)), new

    def gru(self, now: str, h: str) -> str:
        """h after a step. Gates in ONNX's order: z, r, h."""
        b, units = self.b, self.units
        gates = b.one("SLICE", [now], begin=(0, 0), size=(b.tensors[now].shape[0], 2 * units), stride=(1, 1))
        inner = b.one("SLICE", [now], begin=(0, 2 * units), size=(b.tensors[now].shape[0], units), stride=(1, 1))
        z, reset = (self.apply(0, g) for g in self.split(self.add(gates, self.dense(h, self.rows(0, 2))), 2))
        if self.after:
            own = b.constant(self.back[2 * units :], "recurrent_bias")
            candidate = self.mul(reset, self.dense(h, self.rows(2, 3), own))
        else:
            candidate = self.dense(self.mul(reset, h), self.rows(2, 3))
        n = self.apply(1, self.add(inner, candidate))
        return self.add(n, self.mul(z, b.one("SUB", [h, n])))
