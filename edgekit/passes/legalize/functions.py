"""Functions, choices and indices for the engines of TFLite: in terms of what they have, and int8 functions as a look-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit.graph import Node, Tensor
from edgekit.ops.arithmetic import power_node
from edgekit.ops.functions import ATTRS, FUNCTIONS
from edgekit.ops.tables import unary_table
from edgekit.passes.draft import Draft, Rule

# int8 functions that an engine has kernels for, which give the reference's integers (LiteRT: to one step).
NATIVE_INT8: dict[str, frozenset[str]] = {"tflite": frozenset({"ABS", "EXP", "LOG"}), "tflm": frozenset({"ABS"})}
# Functions of the Graph that TFLite has as builtins on real numbers.
BUILTIN = frozenset("ABS CEIL COS EXP FLOOR LOG ROUND RSQRT SIGN SIN SQRT GELU".split())
LARGEST_SUM = 1024  # elements along a CUMSUM that may become a matrix
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: |error| <= 1.5e-7.
ERF_P = 0.3275911
ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


class Maker:
    """Emits the nodes that replace one; a number becomes a constant."""

    def __init__(self, draft: Draft, node: Node) -> None:
        self.draft, self.node, self.y = draft, node, node.outputs[0]
        self.quant = draft[self.y].quant
        draft.drop(node)

    def _value(self, value: str | float) -> str:
        return value if isinstance(value, str) else self.draft.const(f"{self.y}_value", np.array([value], np.float32))

    def __call__(self, op: str, *inputs: str | float, **attrs: Any) -> str:
        """A node between."""
        name = self.draft.fresh(f"{self.y}_{op.lower()}")
        self.draft.emit(op, [self._value(v) for v in inputs], attrs, self.node, (name,))
        return name

    def end(self, op: str, *inputs: str | float, **attrs: Any) -> bool:
        """The node that makes the output."""
        self.draft.emit(op, [self._value(v) for v in inputs], attrs, self.node, (self.y,), [self.quant])
        return True


def _softplus(m: Maker, x: str) -> tuple[str, str]:
    """(log(1 + exp(-|x|)), max(x, 0)), whose sum is softplus."""
    small = m("EXP", m("MUL", m("ABS", x), -1.0))
    return m("LOG", m("ADD", small, 1.0)), m("RELU", x)


def _erf(m: Maker, x: str, a: dict[str, float]) -> bool:
    size = m("ABS", x)
    t = m("DIV", 1.0, m("ADD", m("MUL", size, ERF_P), 1.0))
    poly = m("MUL", t, ERF_A[4])
    for term in (*ERF_A[3:0:-1], ERF_A[0]):
        poly = m("MUL", m("ADD", poly, term), t)
    tail = m("MUL", poly, m("EXP", m("MUL", m("MUL", size, size), -1.0)))
    return m.end("MUL", m("SIGN", x), m("SUB", 1.0, tail))


def _elu(m: Maker, x: str, alpha: float, inner: float = 1.0) -> tuple[str, str]:
    """(max(x, 0), alpha * (exp(min(x, 0) / inner) - 1))."""
    below = m("MINIMUM", x, 0.0)
    return m("RELU", x), m("MUL", m("SUB", m("EXP", m("MUL", below, 1.0 / inner)), 1.0), alpha)


def _celu(m: Maker, x: str, a: dict[str, float]) -> bool:
    return m.end("ADD", *_elu(m, x, a["alpha"], a["alpha"]))


def _selu(m: Maker, x: str, a: dict[str, float]) -> bool:
    return m.end("MUL", m("ADD", *_elu(m, x, a["alpha"])), a["gamma"])


def _mish(m: Maker, x: str, a: dict[str, float]) -> bool:
    return m.end("MUL", x, m("TANH", m("ADD", *_softplus(m, x))))


def _asinh(m: Maker, x: str, a: dict[str, float]) -> bool:
    """sign(x) * log(|x| + sqrt(x^2 + 1)): nothing cancels."""
    size = m("ABS", x)
    root = m("SQRT", m("ADD", m("MUL", x, x), 1.0))
    return m.end("MUL", m("SIGN", x), m("LOG", m("ADD", size, root)))


def _atanh(m: Maker, x: str, a: dict[str, float]) -> bool:
    ratio = m("DIV", m("ADD", x, 1.0), m("SUB", 1.0, x))
    return m.end("MUL", m("LOG", ratio), 0.5)


def _circle(m: Maker, x: str) -> str:
    return m("SQRT", m("MUL", m("SUB", 1.0, x), m("ADD", x, 1.0)))


def _hyperbolic(op: str) -> Callable[[Maker, str, dict[str, float]], bool]:
    def write(m: Maker, x: str, a: dict[str, float]) -> bool:
        return m.end("MUL", m(op, m("EXP", x), m("EXP", m("MUL", x, -1.0))), 0.5)

    return write


def _shrink(m: Maker, x: str, a: dict[str, float]) -> bool:
    above = m("SELECT_V2", m("GREATER", x, a["lambd"]), m("SUB", x, a["bias"]), 0.0)
    return m.end("SELECT_V2", m("LESS", x, -a["lambd"]), m("ADD", x, a["bias"]), above)


def _sign(m: Maker, x: str, a: dict[str, float]) -> bool:
    above, below = (m("CAST", m(op, x, 0.0), to="float32") for op in ("GREATER", "LESS"))
    return m.end("SUB", above, below)


FLOAT: dict[str, Callable[[Maker, str, dict[str, float]], bool]] = {
    "ACOS": lambda m, x, a: m.end("ATAN2", _circle(m, x), x),
    "ACOSH": lambda m, x, a: m.end("LOG", m("ADD", x, m("SQRT", m("MUL", m("SUB", x, 1.0), m("ADD", x, 1.0))))),
    "ASIN": lambda m, x, a: m.end("ATAN2", x, _circle(m, x)),
    "ASINH": _asinh,
    "ATAN": lambda m, x, a: m.end("ATAN2", x, m.draft.const(f"{m.y}_one", np.ones(m.draft[x].shape, np.float32))),
    "ATANH": _atanh,
    "CELU": _celu,
    "COSH": _hyperbolic("ADD"),
    "ELU": lambda m, x, a: m.end("ADD", *_elu(m, x, a["alpha"])),
    "ERF": _erf,
    "MISH": _mish,
    "RECIPROCAL": lambda m, x, a: m.end("DIV", 1.0, x),
    "SELU": _selu,
    "SHRINK": _shrink,
    "SINH": _hyperbolic("SUB"),
    "SOFTPLUS": lambda m, x, a: m.end("ADD", *_softplus(m, x)),
    "SOFTSIGN": lambda m, x, a: m.end("DIV", x, m("ADD", m("ABS", x), 1.0)),
    "SQUARE": lambda m, x, a: m.end("MUL", x, x),
    "TAN": lambda m, x, a: m.end("DIV", m("SIN", x), m("COS", x)),
    "THRESHOLDED_RELU": lambda m, x, a: m.end("SELECT_V2", m("GREATER", x, a["alpha"]), x, 0.0),
}


def is_table(node: Node, tensors: Mapping[str, Tensor]) -> bool:
    """True for a function of one value that is a table of 256 entries in int8 (SILU is better off as two native operators)."""
    if node.op == "POW":
        exponent = tensors[str(node.inputs[1])]
        return exponent.is_const and exponent.elements == 1
    if node.op == "ELU":  # the engines' own has alpha 1
        return float(node.attrs.get("alpha", 1.0)) != 1.0
    return node.op in FUNCTIONS and node.op != "SILU"


def on_reals(engine: str, whole: bool) -> Rule:
    """Functions of real numbers that the engine lacks. whole: those that become tables in int8 stay as they are."""
    missing = {"SIGN"} if engine == "tflm" else set()

    def rule(draft: Draft, node: Node) -> bool:
        x = draft[node.inputs[0]] if node.inputs and node.inputs[0] is not None else None
        if x is None or not draft.is_float(node) or draft.is_const(x.name):
            return False
        if node.op in {"NEG", "SQUARE"}:
            return _product(draft, node)
        if x.dtype != "float32" or (whole and is_table(node, draft.tensors)) or (node.op in BUILTIN and node.op not in missing):
            return False
        if node.op == "ELU" and not is_table(node, draft.tensors):
            return False
        change = _sign if node.op in missing else FLOAT.get(node.op)
        if change is None:
            return False
        attrs = {**ATTRS.get(node.op, {}), **node.attrs}
        return change(Maker(draft, node), x.name, attrs)

    return rule


def _product(draft: Draft, node: Node) -> bool:
    """-x and x^2 as products, which have int8 and int32 kernels everywhere."""
    x = draft[node.inputs[0]]
    other = x.name
    if node.op == "NEG":
        other = draft.const(f"{node.outputs[0]}_minus", np.array([-1]).astype(x.dtype))
    draft.change(node, op="MUL", inputs=(x.name, other), attrs={})
    return True


def looked_up(engine: str) -> Rule:
    """An int8 function that the engine has no kernel for: CAST to int32, ADD 128, GATHER from its table."""

    def rule(draft: Draft, node: Node) -> bool:
        if not is_table(node, draft.tensors) or node.op in NATIVE_INT8[engine]:
            return False
        x, y = draft[node.inputs[0]], draft[node.outputs[0]]
        if x.dtype != "int8" or x.quant is None or y.quant is None:
            return False
        entry = power_node(node, draft[node.inputs[1]]) if node.op == "POW" else node
        table = draft.const(f"{y.name}_table", unary_table(entry, x, y), y.quant)
        draft.drop(node)
        number, place = draft.fresh(f"{y.name}_number"), draft.fresh(f"{y.name}_place")
        draft.emit("CAST", (x.name,), {"to": "int32"}, node, (number,))
        offset = draft.const(f"{y.name}_offset", np.array([128], np.int32))
        draft.emit("ADD", (number, offset), {}, node, (place,))
        draft.emit("GATHER", (table, place), {"axis": 0}, node, (y.name,), [y.quant])
        return True

    return rule


def cumsum(draft: Draft, node: Node) -> bool:
    """Running sums as a product with a triangle of ones, whose int8 weights are exact."""
    x = draft[node.inputs[0]]
    axis = int(node.attrs["axis"])
    n = x.shape[axis]
    if not draft.is_float(node) or x.dtype != "float32" or n > LARGEST_SUM or draft.is_const(x.name):
        return False
    ones = np.tri(n, n, -1 if node.attrs.get("exclusive", False) else 0, dtype=np.float32)
    if node.attrs.get("reverse", False):
        ones = ones[::-1, ::-1]
    m = Maker(draft, node)
    weights = draft.const(f"{m.y}_triangle", ones)
    rank = len(x.shape)
    if axis == rank - 1:
        draft.emit("FULLY_CONNECTED", (x.name, weights, None), {"keep_dims": True}, node, (m.y,))
        return True
    perm = [*(i for i in range(rank) if i != axis), axis]
    last = m("TRANSPOSE", x.name, perm=tuple(perm))
    total = draft.fresh(f"{m.y}_total")
    draft.emit("FULLY_CONNECTED", (last, weights, None), {"keep_dims": True}, node, (total,))
    return m.end("TRANSPOSE", total, perm=tuple(perm.index(i) for i in range(rank)))


def tile(draft: Draft, node: Node) -> bool:
    """Each repeated axis as a BROADCAST_TO of [before, 1, rest]."""
    x = draft[node.inputs[0]]
    quant, shape, current = x.quant, list(x.shape), x.name
    times = [int(t) for t in node.attrs["multiples"]]
    y = node.outputs[0]
    draft.drop(node)

    def step(op: str, value: str, **attrs: Any) -> str:
        name = draft.fresh(f"{y}_{op.lower()}")
        draft.emit(op, (value,), attrs, node, (name,), [quant])
        return name

    for axis, count in enumerate(times):
        if count == 1:
            continue
        before = int(np.prod(shape[:axis], dtype=np.int64))
        rest = int(np.prod(shape[axis:], dtype=np.int64))
        flat = step("RESHAPE", current, shape=(before, 1, rest))
        current = step("BROADCAST_TO", flat, shape=(before, count, rest))
        shape[axis] *= count
    draft.emit("RESHAPE", (current,), {"shape": tuple(shape)}, node, (y,), [quant])
    return True


def tile_of_many(draft: Draft, node: Node) -> bool:
    """More than two repeated axes are more than the C kernel walks at once."""
    return sum(int(t) > 1 for t in node.attrs["multiples"]) > 2 and tile(draft, node)


def scatter(draft: Draft, node: Node) -> bool:
    """At constant places, each once: rows taken from the updates and a row of zeros."""
    ids, updates, y = draft[node.inputs[0]], draft[node.inputs[1]], draft[node.outputs[0]]
    if ids.data is None or not draft.is_float(node) or draft.is_const(updates.name):
        return False
    depth = ids.shape[-1]
    places = np.ravel_multi_index(tuple(ids.data.reshape(-1, depth).T), y.shape[:depth])
    if np.unique(places).size != places.size:
        return False
    inner = int(np.prod(y.shape[depth:], dtype=np.int64))
    take = np.full(int(np.prod(y.shape[:depth], dtype=np.int64)), places.size, np.int32)
    take[places] = np.arange(places.size)
    m = Maker(draft, node)
    rows = m("RESHAPE", updates.name, shape=(places.size, inner))
    zeros = draft.const(f"{m.y}_zeros", np.zeros((1, inner), np.dtype(updates.dtype)))
    both = m("CONCATENATION", rows, zeros, axis=0)
    flat = m("GATHER", both, draft.const(f"{m.y}_rows", take), axis=0)
    return m.end("RESHAPE", flat, shape=y.shape)


def same_shapes(draft: Draft, node: Node) -> bool:
    """Operands brought to the output's shape, for a kernel that does not broadcast."""
    shape = draft[node.outputs[0]].shape
    if all(draft[n].shape == shape for n in node.inputs):
        return False
    names: list[str | None] = []
    for name in node.inputs:
        tensor = draft[name]
        if tensor.shape == shape:
            names.append(name)
        elif tensor.data is not None:
            names.append(draft.const(f"{tensor.name}_wide", np.broadcast_to(tensor.data, shape).copy()))
        else:
            names.append(draft.fresh(f"{tensor.name}_wide"))
            draft.emit("BROADCAST_TO", (name,), {"shape": shape}, node, (str(names[-1]),))
    draft.change(node, inputs=tuple(names))
    return True


def one_hot(draft: Draft, node: Node) -> bool:
    """A comparison with every place, as numbers."""
    ids = draft[node.inputs[0]]
    y, axis, depth = node.outputs[0], int(node.attrs["axis"]), int(node.attrs["depth"])
    kind, quant = str(node.attrs.get("dtype", "float32")), draft[y].quant
    if quant is not None or draft.is_const(ids.name):
        return False
    on, off = (float(node.attrs.get(name, default)) for name, default in (("on", 1.0), ("off", 0.0)))
    if kind == "bool" and (on, off) != (1.0, 0.0):
        return False
    m = Maker(draft, node)
    wide = m("RESHAPE", ids.name, shape=(*ids.shape[:axis], 1, *ids.shape[axis:]))
    steps = np.arange(depth, dtype=np.dtype(ids.dtype)).reshape((depth,) + (1,) * (len(ids.shape) - axis))
    places = draft.const(f"{y}_places", steps)
    if kind == "bool":
        return m.end("EQUAL", wide, places)
    hit = m("EQUAL", wide, places)
    if (on, off) == (1.0, 0.0):
        return m.end("CAST", hit, to=kind)
    number = m("CAST", hit, to=kind)
    gap = draft.const(f"{y}_gap", np.array([on - off]).astype(kind))
    return m.end("ADD", m("MUL", number, gap), draft.const(f"{y}_off", np.array([off]).astype(kind)))


def select_whole(draft: Draft, node: Node) -> bool:
    """b + c * (a - b) on int32, exact modulo 2**32; on bool (c and a) or (not c and b)."""
    condition, a, b = (draft[n] for n in node.inputs)
    if a.dtype not in {"int32", "bool"}:
        return False
    m = Maker(draft, node)
    if a.dtype == "bool":
        other = m("LOGICAL_AND", m("LOGICAL_NOT", condition.name), b.name)
        return m.end("LOGICAL_OR", m("LOGICAL_AND", condition.name, a.name), other)
    number = m("CAST", condition.name, to="int32")
    return m.end("ADD", b.name, m("MUL", number, m("SUB", a.name, b.name)))


# Element types of the first data input that TensorFlow Lite Micro's kernels take, as its wheel was found to have them.
TFLM_TYPES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("ABS", "ARG_MAX", "ARG_MIN", "GATHER", "GATHER_ND"), frozenset({"float32", "int8"})),
    **dict.fromkeys("CEIL COS EXP FLOOR FLOOR_DIV FLOOR_MOD LOG ROUND RSQRT SIN SQRT CUMSUM".split(), frozenset({"float32"})),
    **dict.fromkeys(("MEAN", "SUM"), frozenset({"float32", "int8", "int16"})),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN"), frozenset({"float32", "int8"})),
}
# Of LiteRT.
TFLITE_TYPES: dict[str, frozenset[str]] = {
    **dict.fromkeys("CEIL COS FLOOR ROUND RSQRT SIN SQRT ATAN2".split(), frozenset({"float32"})),
    "CUMSUM": frozenset({"float32", "int32"}),
    "POW": frozenset({"float32", "int32"}),
    "REDUCE_PROD": frozenset({"float32", "int32"}),
}
TYPES = {"tflite": TFLITE_TYPES, "tflm": TFLM_TYPES}
# What an engine has no operator for, on any type.
LACKS = {
    "tflite": (frozenset(FLOAT) | {"NEG"}) - {"ELU"},
    "tflm": frozenset(FLOAT) - {"ELU"}
    | frozenset("ATAN2 NEG ONE_HOT POW REDUCE_ANY REDUCE_PROD SCATTER_ND SIGN TILE TOPK_V2".split()),
}
