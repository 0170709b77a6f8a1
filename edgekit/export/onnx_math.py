"""How functions, comparisons, logic, choices, indices and running sums are written in ONNX, opset 17. Read by `onnx_ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.export.onnx import OWN, Writer
from edgekit.graph import Node, Tensor
from edgekit.ops import attr, op_of

FUNCTIONS: dict[str, str] = {
    "ABS": "Abs",
    "ACOS": "Acos",
    "ACOSH": "Acosh",
    "ASIN": "Asin",
    "ASINH": "Asinh",
    "ATAN": "Atan",
    "ATANH": "Atanh",
    "CEIL": "Ceil",
    "CELU": "Celu",
    "COS": "Cos",
    "COSH": "Cosh",
    "ERF": "Erf",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "LOG": "Log",
    "NEG": "Neg",
    "RECIPROCAL": "Reciprocal",
    "ROUND": "Round",
    "SELU": "Selu",
    "SHRINK": "Shrink",
    "SIGN": "Sign",
    "SIN": "Sin",
    "SINH": "Sinh",
    "SOFTPLUS": "Softplus",
    "SOFTSIGN": "Softsign",
    "SQRT": "Sqrt",
    "TAN": "Tan",
    "THRESHOLDED_RELU": "ThresholdedRelu",
}
BINARY: dict[str, str] = {
    "EQUAL": "Equal",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
    "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or",
    "POW": "Pow",
}


def _get(node: Node, name: str) -> Any:
    return attr(node, op_of(node), name)


def _y(w: Writer, node: Node) -> Tensor:
    return w.graph[node.outputs[0]]


def _operands(w: Writer, node: Node) -> tuple[str, list[str]]:
    """(layout, ONNX values) of an elementwise node."""
    names = [str(n) for n in node.inputs]
    layout = w.choose(node, names)
    return layout, [w.operand(n, layout) for n in names]


def function(w: Writer, node: Node) -> None:
    layout, values = _operands(w, node)
    attrs: dict[str, Any] = {name: float(_get(node, name)) for name in op_of(node).attrs}
    w.put(_y(w, node), layout, FUNCTIONS[node.op], values, **attrs)


def mish(w: Writer, node: Node) -> None:
    layout, (x,) = _operands(w, node)
    y = _y(w, node)
    w.put(y, layout, "Mul", [x, w.step("Tanh", [w.step("Softplus", [x], y.name)], y.name)])


def rsqrt(w: Writer, node: Node) -> None:
    layout, values = _operands(w, node)
    y = _y(w, node)
    w.put(y, layout, "Reciprocal", [w.step("Sqrt", values, y.name)])


def square(w: Writer, node: Node) -> None:
    layout, (x,) = _operands(w, node)
    w.put(_y(w, node), layout, "Mul", [x, x])


def binary(w: Writer, node: Node) -> None:
    layout, values = _operands(w, node)
    w.put(_y(w, node), layout, BINARY[node.op], values)


def not_equal(w: Writer, node: Node) -> None:
    layout, values = _operands(w, node)
    y = _y(w, node)
    w.put(y, layout, "Not", [w.step("Equal", values, y.name)])


def logical_not(w: Writer, node: Node) -> None:
    layout, values = _operands(w, node)
    w.put(_y(w, node), layout, "Not", values)


def squared_difference(w: Writer, node: Node) -> None:
    layout, values = _operands(w, node)
    y = _y(w, node)
    gap = w.step("Sub", values, y.name)
    w.put(y, layout, "Mul", [gap, gap])


def floor_divide(w: Writer, node: Node) -> None:
    """Whole numbers: ONNX truncates, so the remainder goes first."""
    layout, (a, b) = _operands(w, node)
    y = _y(w, node)
    if y.dtype == "float32":
        w.put(y, layout, "Floor", [w.step("Div", [a, b], y.name)])
    else:
        w.put(y, layout, "Div", [w.step("Sub", [a, w.step("Mod", [a, b], y.name)], y.name), b])


def floor_mod(w: Writer, node: Node) -> None:
    """Real numbers: ONNX has only C's fmod, whose sign is the dividend's."""
    layout, (a, b) = _operands(w, node)
    y = _y(w, node)
    if y.dtype != "float32":
        w.put(y, layout, "Mod", [a, b])
        return
    zero = w.number(0.0, f"{y.name}/zero")
    rest = w.step("Mod", [a, b], y.name, fmod=1)
    signs = w.step("Xor", [w.step("Less", [v, zero], y.name) for v in (rest, b)], y.name)
    some = w.step("Not", [w.step("Equal", [rest, zero], y.name)], y.name)
    wrong = w.step("And", [some, signs], y.name)
    w.put(y, layout, "Where", [wrong, w.step("Add", [rest, b], y.name), rest])


def atan2(w: Writer, node: Node) -> None:
    """atan(a / b), and half a turn to the side of a where b is negative."""
    layout, (a, b) = _operands(w, node)
    y = _y(w, node)
    zero = w.number(0.0, f"{y.name}/zero")
    halves = [w.number(v, f"{y.name}/turn") for v in (-np.pi, np.pi)]
    side = w.step("Where", [w.step("Less", [a, zero], y.name), *halves], y.name)
    turn = w.step("Where", [w.step("Less", [b, zero], y.name), side, zero], y.name)
    w.put(y, layout, "Add", [w.step("Atan", [w.step("Div", [a, b], y.name)], y.name), turn])


def select(w: Writer, node: Node) -> None:
    layout, (condition, a, b) = _operands(w, node)
    y = _y(w, node)
    if y.dtype != "bool":
        w.put(y, layout, "Where", [condition, a, b])
        return
    other = w.step("And", [w.step("Not", [condition], y.name), b], y.name)
    w.put(y, layout, "Or", [w.step("And", [condition, a], y.name), other])


def arg(w: Writer, node: Node) -> None:
    """ONNX gives int64."""
    y = _y(w, node)
    op = "ArgMax" if node.op == "ARG_MAX" else "ArgMin"
    place = w.step(op, [w.real(str(node.inputs[0]))], y.name, axis=int(_get(node, "axis")), keepdims=0)
    w.put(y, OWN, "Cast", [place], to=_code("int32"))


def _code(kind: str) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def topk(w: Writer, node: Node) -> None:
    values, places = (w.graph[name] for name in node.outputs)
    count = w.ints([int(_get(node, "k"))], f"{values.name}/k")
    best = w.unused(f"{values.name}/topk") if values.quant is not None else w.name_for(values.name, OWN)
    where = w.unused(f"{places.name}/int64")
    w.node("TopK", [w.real(str(node.inputs[0])), count], [best, where])
    if values.quant is None:
        w.have[(values.name, OWN)] = best
    else:
        w.put(values, OWN, "QuantizeLinear", [best, *w.scale(values.quant, values.name)], quantize=False)
    w.put(places, OWN, "Cast", [where], to=_code("int32"))


def one_hot(w: Writer, node: Node) -> None:
    """A comparison with every place: ONNX's own OneHot counts negative indices from the end."""
    y, axis = _y(w, node), int(_get(node, "axis"))
    ids = w.graph[str(node.inputs[0])]
    depth = int(_get(node, "depth"))
    shape = (*ids.shape[:axis], 1, *ids.shape[axis:])
    wide = w.step("Reshape", [w.stored(ids.name, OWN), w.ints(shape, f"{y.name}/shape")], y.name)
    steps = np.arange(depth, dtype=np.dtype(ids.dtype)).reshape((depth,) + (1,) * (len(ids.shape) - axis))
    hit = [wide, w.initializer(steps, f"{y.name}/places")]
    kind = "float32" if y.quant is not None else y.dtype
    if kind == "bool" and (bool(_get(node, "on")), bool(_get(node, "off"))) == (True, False):
        w.put(y, OWN, "Equal", hit)
        return
    values = [w.initializer(np.asarray(_get(node, name)).astype(kind), f"{y.name}/{name}") for name in ("on", "off")]
    w.put(y, OWN, "Where", [w.step("Equal", hit, y.name), *values])


def _indices(w: Writer, name: str) -> str:
    """Indices as int64."""
    t = w.graph[name]
    if t.data is not None:
        return w.initializer(t.data.astype(np.int64), f"{name}/int64")
    return w.step("Cast", [w.stored(name, OWN)], name, to=_code("int64"))


def gather_nd(w: Writer, node: Node) -> None:
    w.put(_y(w, node), OWN, "GatherND", [w.real(str(node.inputs[0])), _indices(w, str(node.inputs[1]))])


def scatter_nd(w: Writer, node: Node) -> None:
    y = _y(w, node)
    zeros = w.initializer(np.zeros(y.shape, "float32" if y.quant is not None else y.dtype), f"{y.name}/zeros")
    w.put(y, OWN, "ScatterND", [zeros, _indices(w, str(node.inputs[0])), w.real(str(node.inputs[1]))], reduction="add")


def tile(w: Writer, node: Node) -> None:
    y = _y(w, node)
    w.put(y, OWN, "Tile", [w.real(str(node.inputs[0])), w.ints(_get(node, "multiples"), f"{y.name}/multiples")])


def broadcast(w: Writer, node: Node) -> None:
    y = _y(w, node)
    w.put(y, OWN, "Expand", [w.real(str(node.inputs[0])), w.ints(y.shape, f"{y.name}/shape")])


def cumsum(w: Writer, node: Node) -> None:
    y = _y(w, node)
    axis = w.initializer(np.asarray(int(_get(node, "axis")), np.int64), f"{y.name}/axis")
    flags: dict[str, Any] = {name: int(bool(_get(node, name))) for name in ("exclusive", "reverse")}
    w.put(y, OWN, "CumSum", [w.real(str(node.inputs[0])), axis], **flags)


def product(w: Writer, node: Node) -> None:
    axes, keep = [int(a) for a in _get(node, "axes")], int(bool(_get(node, "keep_dims")))
    w.put(_y(w, node), OWN, "ReduceProd", [w.real(str(node.inputs[0]))], axes=axes, keepdims=keep)


def any_all(w: Writer, node: Node) -> None:
    """Of 0 and 1: the largest, the smallest."""
    y = _y(w, node)
    axes, keep = [int(a) for a in _get(node, "axes")], int(bool(_get(node, "keep_dims")))
    numbers = w.step("Cast", [w.stored(str(node.inputs[0]), OWN)], y.name, to=_code("int32"))
    op = "ReduceMax" if node.op == "REDUCE_ANY" else "ReduceMin"
    w.put(y, OWN, "Cast", [w.step(op, [numbers], y.name, axes=axes, keepdims=keep)], to=_code("bool"))


WRITERS: dict[str, Callable[[Writer, Node], None]] = {
    **dict.fromkeys(FUNCTIONS, function),
    **dict.fromkeys(BINARY, binary),
    "ATAN2": atan2,
    "ARG_MAX": arg,
    "ARG_MIN": arg,
    "BROADCAST_TO": broadcast,
    "CUMSUM": cumsum,
    "FLOOR_DIV": floor_divide,
    "FLOOR_MOD": floor_mod,
    "GATHER_ND": gather_nd,
    "LOGICAL_NOT": logical_not,
    "MISH": mish,
    "NOT_EQUAL": not_equal,
    "ONE_HOT": one_hot,
    "REDUCE_ALL": any_all,
    "REDUCE_ANY": any_all,
    "REDUCE_PROD": product,
    "RSQRT": rsqrt,
    "SCATTER_ND": scatter_nd,
    "SELECT_V2": select,
    "SQUARE": square,
    "SQUARED_DIFFERENCE": squared_difference,
    "TILE": tile,
    "TOPK_V2": topk,
}
