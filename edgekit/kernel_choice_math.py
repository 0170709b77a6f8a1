"""Which C kernel runs a function, comparison, logic, choice or running sum: by operator and element type."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.graph import Node, Tensor
from edgekit.ops.functions import FUNCTIONS, ON_INTEGERS

_SHORT = {"int8": "s8", "uint8": "u8", "bool": "u8", "int16": "s16", "int32": "s32", "int64": "s64", "float32": "f32"}
# Operator -> the element types (of its data) that there are kernels for.
_BINARY: dict[str, frozenset[str]] = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"), frozenset({"int32"})),
    **dict.fromkeys(("FLOOR_DIV", "FLOOR_MOD"), frozenset({"float32", "int32"})),
    "ATAN2": frozenset({"float32"}),
    "POW": frozenset({"float32", "int32"}),
    "SQUARED_DIFFERENCE": frozenset({"float32", "int32", "int8"}),
    **dict.fromkeys(("EQUAL", "NOT_EQUAL"), frozenset({"float32", "int32", "int8", "bool"})),
    **dict.fromkeys(("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"), frozenset({"float32", "int32", "int8"})),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR"), frozenset({"bool"})),
}
_ONE: dict[str, frozenset[str]] = {
    "LOGICAL_NOT": frozenset({"bool"}),
    **dict.fromkeys(("SUM", "REDUCE_MAX", "REDUCE_MIN"), frozenset({"int32"})),
    "REDUCE_PROD": frozenset({"float32", "int32"}),
    **dict.fromkeys(("REDUCE_ANY", "REDUCE_ALL"), frozenset({"bool"})),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "TOPK_V2", "CUMSUM"), frozenset({"float32", "int32", "int8"})),
}
# Output i may take the place of input i (see `kernel_choice.ELEMENTWISE`).
ELEMENTWISE = frozenset(FUNCTIONS) | {"SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD", "POW", "ATAN2"}


def math_kernel(node: Node, ins: Sequence[Tensor | None], out: Tensor) -> str | None:
    """The kernel, or None where this family has none for the node's types."""
    given = [t for t in ins if t is not None]
    x, name = given[0], node.op.lower()
    kind = _SHORT.get(x.dtype, "")
    whole = x.quant is None or x.dtype == "int8"
    if node.op in FUNCTIONS:
        if x.dtype == "int8" and x.quant is not None and out.quant is not None:
            return "table_s8"
        return f"{name}_{kind}" if x.dtype == "float32" or (x.dtype == "int32" and node.op in ON_INTEGERS) else None
    if node.op == "POW" and x.dtype == "int8":
        return "pow_s8"
    if node.op in _BINARY:
        same = all(t.dtype == x.dtype and (t.quant is None) == (x.quant is None) for t in given)
        fits = x.dtype in _BINARY[node.op] and same and (x.dtype != "int8" or x.quant is not None)
        return f"{name}_{kind}" if fits and whole else None
    if node.op in _ONE:
        fits = x.dtype in _ONE[node.op] and (node.op != "CUMSUM" or x.dtype != "int8" or x.quant is not None)
        return f"{name}_{kind}" if fits else None
    to = _SHORT.get(out.dtype, "")
    if node.op == "SELECT_V2":
        return f"{name}_{to}" if to and given[1].dtype == given[2].dtype == out.dtype else None
    if node.op in {"TILE", "BROADCAST_TO"}:
        return f"repeat_{to}" if to else None
    if node.op == "ONE_HOT":
        return f"{name}_{to}" if to and x.dtype == "int32" else None
    if node.op == "GATHER_ND":
        return f"{name}_{to}" if to and given[1].dtype == "int32" else None
    if node.op == "SCATTER_ND":
        fits = x.dtype == "int32" and (out.dtype in {"float32", "int32"} or (out.dtype == "int8" and out.quant is not None))
        return f"{name}_{to}" if fits else None
    return None
