"""LSTM, GRU and RNN over a sequence, one direction each: y[N,T,H] of x[N,T,I], and the state after the last step.

Inputs: x, w[G*H,I], r[G*H,H], b[G*H]?, h0[N,H]?, then c0[N,H]? (LSTM) or rb[H]? (GRU). An absent state is zero. Outputs: y,
h[N,H] and, for LSTM, c[N,H]. `reverse` goes through the sequence from its end; y stays in the order of x.
Gates, in the order of the rows of w, r and b (s: sigmoid):
  LSTM i, f, g, o:  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').                Hochreiter, Schmidhuber 1997; Gers 2000
  GRU  z, r, n:     h' = (1 - s(z)) tanh(n) + s(z) h.                               Cho et al. 2014
       reset after:   n = Wn x + bn + s(r) (Rn h + rb)    (PyTorch, Keras; rb is this part's own bias)
       reset before:  n = Wn x + bn + Rn (s(r) h)
  RNN:              h' = activation(W x + R h + b).                                 Elman 1990
`last`: y is [N,1,H], what the step that runs last makes: for engines that need not hold the others.
`loop`: for engines that run the step in a loop of plain operators. It changes what integers mean: see `ops.recurrent_step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops import recurrent_integer, recurrent_step
from edgekit.ops.activation import sigmoid
from edgekit.ops.op import IntegerRule, Op, Recurrent, fail, given, optional, take

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
RNN_ACTIVATIONS = ("TANH", "RELU")


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    """y [N,T,H], h [N,H] and, for LSTM, c [N,H]."""
    x, w, r = take(node, inputs, 3, 2 if node.op == "RNN" else 3)
    gates = GATES[node.op]
    if len(x.shape) != 3 or len(w.shape) != 2 or len(r.shape) != 2:
        fail(node, f"needs x [N,T,I], w and r of rank 2, has {list(x.shape)}, {list(w.shape)} and {list(r.shape)}")
    (batch, steps, width), units = x.shape, r.shape[1]
    if steps < 1 or units < 1 or w.shape != (gates * units, width) or r.shape != (gates * units, units):
        fail(node, f"x {list(x.shape)}, w {list(w.shape)} and r {list(r.shape)} do not fit {gates} gates of one size")
    extra = {"LSTM": (batch, units), "GRU": (units,), "RNN": ()}[node.op]
    wanted = ((3, "bias", (gates * units,)), (4, "first state", (batch, units)), (5, "sixth input", extra))
    for index, what, shape in wanted:
        tensor: Tensor | None = optional(inputs, index)
        if tensor is not None and tensor.shape != shape:
            fail(node, f"its {what} is {list(tensor.shape)}, not {list(shape)}")
    if node.op == "RNN" and node.attrs.get("activation", "TANH") not in RNN_ACTIVATIONS:
        fail(node, f"activation={node.attrs['activation']!r} must be one of {', '.join(RNN_ACTIVATIONS)}")
    state = ((batch, units), x.dtype)
    kept = 1 if node.attrs.get("last") else steps
    return [((batch, kept, units), x.dtype), *[state] * (2 if node.op == "LSTM" else 1)]


def order(node: Node, steps: int) -> Iterator[int]:
    """The steps in the order they are run."""
    return iter(range(steps - 1, -1, -1) if node.attrs.get("reverse", False) else range(steps))


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return kept(node, run(node, inputs)[0])


def kept(node: Node, results: list[Array]) -> list[Array]:
    """The results with the rows of y that the node keeps."""
    if not node.attrs.get("last"):
        return results
    y, *states = results
    return [y[:, :1] if node.attrs.get("reverse", False) else y[:, -1:], *states]


def run(node: Node, inputs: Sequence[Array | None]) -> tuple[list[Array], Array]:
    """(outputs, the LSTM's cell state after every step [N,T,H]; y itself for the others)."""
    x, w, r = given(inputs, 3)
    batch, steps, units = x.shape[0], x.shape[1], r.shape[1]
    bias, h, sixth = (optional(inputs, i) for i in (3, 4, 5))
    kind = x.dtype
    zeros = np.zeros((batch, units), kind)
    h = zeros if h is None else h
    c = sixth if node.op == "LSTM" and sixth is not None else zeros
    rb = sixth if node.op == "GRU" and sixth is not None else np.zeros(units, kind)
    forward = x @ w.T if bias is None else x @ w.T + bias
    y, cells = np.empty((batch, steps, units), kind), np.empty((batch, steps, units), kind)
    after = bool(node.attrs.get("reset_after", True))
    relu = node.attrs.get("activation", "TANH") == "RELU"
    for t in order(node, steps):
        now = forward[:, t]
        if node.op == "LSTM":
            i, f, g, o = np.split(now + h @ r.T, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif node.op == "GRU":
            z, reset = np.split(sigmoid(now[:, : 2 * units] + h @ r[: 2 * units].T), 2, axis=1)
            inner = reset * (h @ r[2 * units :].T + rb) if after else (reset * h) @ r[2 * units :].T + rb
            n = np.tanh(now[:, 2 * units :] + inner)
            h = (1 - z) * n + z * h
        else:
            total = now + h @ r.T
            h = np.maximum(total, 0) if relu else np.tanh(total)
        y[:, t], cells[:, t] = h, c
    return ([y, h, c], cells) if node.op == "LSTM" else ([y, h], y)


def held(node: Node, inputs: Sequence[Array | None]) -> dict[int, list[Array]]:
    """{output index: what it must be able to hold besides its own values}: the states of every step and before the first."""
    _, cells = run(node, inputs)
    first = optional(inputs, 4)
    seen: dict[int, list[Array]] = {0: [] if first is None else [first]}
    if node.op == "LSTM":
        start = optional(inputs, 5)
        seen[2] = [cells] if start is None else [cells, start]
    elif node.op == "GRU":
        seen[1] = [cells, *seen[0]]
    return seen


def macs(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    x, w, r = given(inputs, 3)
    return x.shape[0] * x.shape[1] * (w.elements + r.elements)


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    """Sequences, and features of x. A unit's places are not one index of every axis (it has a row in each gate): `passes.prune`
    knows them."""
    x, w, *_ = given(inputs, 3)
    firsts = [t for t in (optional(inputs, 4), optional(inputs, 5)) if t is not None and len(t.shape) == 2]
    return [[(t.name, 0) for t in (x, *firsts, *outputs)], [(x.name, 2), (w.name, 1)]]


def _integer(rule: IntegerRule) -> IntegerRule:
    """The rule, or that of the step where `loop` is set."""

    def either(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
        return kept(node, (recurrent_step.integer if node.attrs.get("loop") else rule)(node, inputs, ins, outs))

    return either


_SHARED = {"weights": {1: 0, 2: 0}, "bias": 3, "macs": macs, "coupled": coupled}
OPS: tuple[Op, ...] = (
    Op(
        "LSTM",
        infer,
        real,
        _integer(recurrent_integer.lstm),
        attrs={"reverse": False, "loop": False, "last": False},
        recurrent=Recurrent(held, gates=4, ties=((4, 1, "int8"), (5, 2, "int16"))),
        **_SHARED,  # type: ignore[arg-type]
    ),
    Op(
        "GRU",
        infer,
        real,
        _integer(recurrent_integer.gru),
        attrs={"reverse": False, "reset_after": True, "loop": False, "last": False},
        recurrent=Recurrent(held, ties=((4, 1, "int16"),), recurrent_bias=5),
        **_SHARED,  # type: ignore[arg-type]
    ),
    Op(
        "RNN",
        infer,
        real,
        _integer(recurrent_integer.rnn),
        attrs={"reverse": False, "activation": "TANH", "loop": False, "last": False},
        recurrent=Recurrent(held, ties=((4, 1, "int8"),)),
        **_SHARED,  # type: ignore[arg-type]
    ),
)
