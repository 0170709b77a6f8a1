"""Which recurrent cell a loop's step is: every value as an affine form of x, h, c and of the non-linear values between.

The step of a loop is straight-line code. Moves, additions and products with constants keep a value affine; a gate or a
product of two values starts a new atom. The outputs' forms then spell the cell, whatever the order of its operators, and
the gates' weights are read from the forms, exactly: a form's matrices are sums of the file's weights and zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.graph import Array, Node, Tensor
from edgekit.load.tflite_build import Refused
from edgekit.ops import TABLE

MOVES = ("RESHAPE", "TRANSPOSE", "SLICE", "SPLIT", "CONCATENATION", "GATHER")
GATES = ("LOGISTIC", "TANH", "RELU")


@dataclass(frozen=True, eq=False)
class Atom:
    """A value that is no affine form: an input of the step (args is empty), a gate of one form, or a product of two."""

    kind: str
    size: int
    args: tuple[Form, ...] = ()


@dataclass(frozen=True, eq=False)
class Form:
    """value = bias + the sum of matrix @ atom; the value is flat, bias [n], a matrix [n, atom size]."""

    bias: Array
    parts: Mapping[Atom, Array] = field(default_factory=dict)

    def rows(self, index: Array) -> Form:
        return Form(self.bias[index], {a: m[index] for a, m in self.parts.items()})

    def plus(self, other: Form, sign: int = 1) -> Form:
        parts = dict(self.parts)
        for atom, matrix in other.parts.items():
            parts[atom] = parts[atom] + sign * matrix if atom in parts else sign * matrix
        return Form(self.bias + sign * other.bias, parts)

    def times(self, factor: Array) -> Form:
        return Form(self.bias * factor, {a: m * factor[:, None] for a, m in self.parts.items()})

    def through(self, matrix: Array, bias: Array) -> Form:
        return Form(matrix @ self.bias + bias, {a: matrix @ m for a, m in self.parts.items()})

    def same(self, other: Form) -> bool:
        return (
            set(self.parts) == set(other.parts)
            and np.array_equal(self.bias, other.bias)
            and all(np.array_equal(m, other.parts[a]) for a, m in self.parts.items())
        )


def whole(atom: Atom) -> Form:
    return Form(np.zeros(atom.size, np.float32), {atom: np.eye(atom.size, dtype=np.float32)})


def forms_of(nodes: Sequence[Node], tensors: Mapping[str, Tensor], inputs: Mapping[str, Atom]) -> dict[str, Form]:
    """{tensor: its form} of all values of a step. Raises Refused for an operator that has none."""
    forms = {name: whole(atom) for name, atom in inputs.items()}
    for node in nodes:
        ins = [_known(forms, tensors, name) for name in node.inputs]
        shapes = [None if name is None else tensors[name].shape for name in node.inputs]
        forms |= dict(zip(node.outputs, _made(node, ins, shapes, tensors), strict=True))
    return forms


def _known(forms: Mapping[str, Form], tensors: Mapping[str, Tensor], name: str | None) -> Form | None:
    if name is None or name in forms:
        return None if name is None else forms[name]
    tensor = tensors[name]
    if tensor.data is None:
        raise Refused(f"'{name}' in its loop depends on more than the step's input and state")
    return Form(np.asarray(tensor.data, np.float32).reshape(-1))


def _made(
    node: Node, ins: Sequence[Form | None], shapes: Sequence[tuple[int, ...] | None], tensors: Mapping[str, Tensor]
) -> list[Form]:
    given = [f for f in ins if f is not None]
    outs = [tensors[name] for name in node.outputs]
    if node.op in MOVES:
        return _moved(node, given, shapes, tensors)
    if node.op in GATES:
        return [_gate(node.op, given[0])]
    if node.op == "CAST" and node.attrs["to"] == "float32":
        return given[:1]
    if node.op == "NEG":
        return [given[0].times(np.full(given[0].bias.size, -1, np.float32))]
    if node.op in ("ADD", "SUB", "MUL"):
        a, b = (
            f.rows(np.broadcast_to(np.arange(f.bias.size).reshape(s), outs[0].shape).reshape(-1))
            for f, s in zip(given, (s for s in shapes if s is not None), strict=True)
        )
        if node.op == "MUL":
            made = (
                b.times(a.bias) if not a.parts else a.times(b.bias) if not b.parts else whole(Atom("MUL", a.bias.size, (a, b)))
            )
        else:
            made = a.plus(b, 1 if node.op == "ADD" else -1)
        return [_activated(node, made)]
    weights = given[1] if len(given) > 1 else None
    if node.op in ("FULLY_CONNECTED", "BATCH_MATMUL") and weights is not None and not weights.parts:
        matrix = weights.bias.reshape(shapes[1] or ())
        if node.op == "BATCH_MATMUL" and not node.attrs.get("adj_y", False):
            matrix = np.swapaxes(matrix, -1, -2)
        matrix = matrix.reshape(matrix.shape[-2:]) if matrix.size == np.prod(matrix.shape[-2:]) else matrix
        if matrix.ndim == 2 and matrix.shape[1] == given[0].bias.size and not node.attrs.get("adj_x", False):
            bias = given[2].bias if len(given) > 2 else np.zeros(matrix.shape[0], np.float32)
            return [_activated(node, given[0].through(matrix, bias))]
    raise Refused(f"its loop has the operator {node.op} at '{node.outputs[0]}'")


def _moved(
    node: Node, given: Sequence[Form], shapes: Sequence[tuple[int, ...] | None], tensors: Mapping[str, Tensor]
) -> list[Form]:
    """The operator is run on indices to see where each element comes from."""
    count = len(given) if node.op == "CONCATENATION" else 1
    atoms = dict.fromkeys(a for f in given[:count] for a in f.parts)
    joined = Form(
        np.concatenate([f.bias for f in given[:count]]),
        {
            a: np.concatenate([f.parts.get(a, np.zeros((f.bias.size, a.size), np.float32)) for f in given[:count]])
            for a in atoms
        },
    )
    arrays: list[Array | None] = []
    start = 0
    for i, (form, shape) in enumerate(zip(given, shapes, strict=True)):
        if i < count:
            arrays.append(np.arange(start, start + form.bias.size, dtype=np.float64).reshape(shape or ()))
            start += form.bias.size
        else:
            arrays.append(tensors[str(node.inputs[i])].data)
    return [joined.rows(index.astype(np.int64).reshape(-1)) for index in TABLE[node.op].real(node, arrays)]


def _gate(kind: str, form: Form) -> Form:
    return whole(Atom(kind, form.bias.size, (form,)))


def _activated(node: Node, form: Form) -> Form:
    kind = str(node.attrs.get("activation", "NONE"))
    if kind not in ("NONE", "RELU"):
        raise Refused(f"its loop has the activation {kind} at '{node.outputs[0]}'")
    return form if kind == "NONE" else _gate(kind, form)


# The cells -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """What `ops.recurrent` needs: w [G*H,I], r [G*H,H], bias [G*H], GRU with reset_after also rb [H]; attributes.

    hidden, memory: which of the loop's states are h and c.
    """

    kind: str
    w: Array
    r: Array
    bias: Array
    rb: Array | None
    attrs: Mapping[str, object]
    hidden: int
    memory: int | None = None


def recognised(x: Atom, states: Sequence[Atom], after: Sequence[Form]) -> Cell | None:
    """The cell that makes the states `after` a step of the states before it; None when it is no LSTM, GRU or RNN."""
    if len(states) == 1:
        return _rnn(x, states[0], after[0]) or _gru(x, states[0], after[0])
    if len(states) == 2:
        for hidden, memory in ((0, 1), (1, 0)):
            found = _lstm(x, states[hidden], states[memory], after[hidden], after[memory], hidden, memory)
            if found is not None:
                return found
    return None


def _picked(form: Form) -> tuple[Atom, Array] | None:
    """(atom, index) of a form that is a selection of one atom's elements."""
    if len(form.parts) != 1 or np.any(form.bias):
        return None
    ((atom, matrix),) = form.parts.items()
    index = matrix.argmax(axis=1)
    picks = np.zeros_like(matrix)
    picks[np.arange(len(index)), index] = 1
    return (atom, index) if np.array_equal(picks, matrix) else None


def _unary(form: Form, kind: str) -> Form | None:
    """The form whose `kind` this value is."""
    found = _picked(form)
    return found[0].args[0].rows(found[1]) if found is not None and found[0].kind == kind else None


def _product(form: Form) -> tuple[Form, Form] | None:
    found = _picked(form)
    if found is None or found[0].kind != "MUL":
        return None
    return found[0].args[0].rows(found[1]), found[0].args[1].rows(found[1])


def _sum_of_products(form: Form) -> list[tuple[Form, Form]] | None:
    products = [_product(Form(np.zeros_like(form.bias), {a: m})) for a, m in form.parts.items()]
    return None if np.any(form.bias) or any(p is None for p in products) else [p for p in products if p is not None]


def _either(pair: tuple[Form, Form]) -> tuple[tuple[Form, Form], tuple[Form, Form]]:
    return pair, (pair[1], pair[0])


def _gate_weights(form: Form, x: Atom, h: Atom) -> tuple[Array, Array, Array] | None:
    """(w, r, bias) of a gate's argument; None when it reads anything but x and h."""
    if set(form.parts) - {x, h}:
        return None
    n = form.bias.size
    w, r = (form.parts.get(a, np.zeros((n, a.size), np.float32)) for a in (x, h))
    return w, r, form.bias


def _stacked(gates: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    w, r, bias = (np.ascontiguousarray(np.concatenate(parts), np.float32) for parts in zip(*gates, strict=True))
    return w, r, bias


def _rnn(x: Atom, h: Atom, after: Form) -> Cell | None:
    for kind in ("TANH", "RELU"):
        inner = _unary(after, kind)
        weights = None if inner is None else _gate_weights(inner, x, h)
        if weights is not None:
            return Cell("RNN", *_stacked([weights]), None, {"activation": kind}, 0)
    return None


def _lstm(x: Atom, h: Atom, c: Atom, new_h: Form, new_c: Form, hidden: int, memory: int) -> Cell | None:
    out = _product(new_h)
    total = _sum_of_products(new_c)
    if out is None or total is None or len(total) != 2:
        return None
    for o, squashed in _either(out):
        o_in, cell_in = _unary(o, "LOGISTIC"), _unary(squashed, "TANH")
        if o_in is None or cell_in is None or not cell_in.same(new_c):
            continue
        for keep, add in (total, total[::-1]):
            for f, old in _either(keep):
                for i, g in _either(add):
                    f_in, i_in, g_in = _unary(f, "LOGISTIC"), _unary(i, "LOGISTIC"), _unary(g, "TANH")
                    if f_in is None or i_in is None or g_in is None or not old.same(whole(c)):
                        continue
                    gates = [_gate_weights(form, x, h) for form in (i_in, f_in, g_in, o_in)]
                    if all(gate is not None for gate in gates):
                        weights = _stacked([gate for gate in gates if gate is not None])
                        return Cell("LSTM", *weights, None, {}, hidden, memory)
    return None


def _gru(x: Atom, h: Atom, after: Form) -> Cell | None:
    total = _sum_of_products(after)
    if total is None or len(total) != 2:
        return None
    one = Form(np.ones(h.size, np.float32))
    for keep, add in (total, total[::-1]):
        for z, old in _either(keep):
            for rest, new in _either(add):
                z_in, n_in = _unary(z, "LOGISTIC"), _unary(new, "TANH")
                if z_in is None or n_in is None or not old.same(whole(h)) or not rest.same(one.plus(z, -1)):
                    continue
                found = _gru_weights(x, h, z_in, n_in)
                if found is not None:
                    return found
    return None


def _gru_weights(x: Atom, h: Atom, z: Form, n: Form) -> Cell | None:
    others = [a for a in n.parts if a is not x]
    if len(others) != 1 or others[0].kind != "MUL":
        return None
    product, matrix = others[0], n.parts[others[0]]
    wn = n.parts.get(x, np.zeros((h.size, x.size), np.float32))
    z_gate = _gate_weights(z, x, h)
    for reset, inner in _either((product.args[0], product.args[1])):
        r_in = _unary(reset, "LOGISTIC")
        r_gate = None if r_in is None else _gate_weights(r_in, x, h)
        if r_gate is None or z_gate is None or set(inner.parts) - {h}:
            continue
        if inner.same(whole(h)):  # reset before the product with the recurrent weights
            gates = [z_gate, r_gate, (wn, matrix, n.bias)]
            return Cell("GRU", *_stacked(gates), None, {"reset_after": False}, 0)
        if np.array_equal(matrix, np.eye(h.size, dtype=matrix.dtype)):
            rn = inner.parts.get(h, np.zeros((h.size, h.size), np.float32))
            rb = np.asarray(inner.bias, np.float32)
            gates = [z_gate, r_gate, (wn, rn, n.bias)]
            return Cell("GRU", *_stacked(gates), rb if np.any(rb) else None, {"reset_after": True}, 0)
    return None
