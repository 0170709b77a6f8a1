"""How functions, comparisons, logic, choices, indices and running sums are written in TFLite. Read by `tflite_ops`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.export.tflite_ops import Refused, Written, get, ints, options
from edgekit.graph import NUMPY_DTYPES, Graph, Node, const
from edgekit.load.tflite_schema import schema
from edgekit.ops.index import one_hot_values

# Operators without attributes: the schema's (empty) options, None where it has none.
PLAIN: dict[str, str | None] = {
    "ABS": "AbsOptions",
    "ATAN2": "ATan2Options",
    "CEIL": None,
    "COS": "CosOptions",
    "EQUAL": "EqualOptions",
    "EXP": "ExpOptions",
    "FLOOR": None,
    "FLOOR_DIV": "FloorDivOptions",
    "FLOOR_MOD": "FloorModOptions",
    "GATHER_ND": "GatherNdOptions",
    "GREATER": "GreaterOptions",
    "GREATER_EQUAL": "GreaterEqualOptions",
    "LESS": "LessOptions",
    "LESS_EQUAL": "LessEqualOptions",
    "LOG": None,
    "LOGICAL_AND": "LogicalAndOptions",
    "LOGICAL_NOT": "LogicalNotOptions",
    "LOGICAL_OR": "LogicalOrOptions",
    "NEG": "NegOptions",
    "NOT_EQUAL": "NotEqualOptions",
    "POW": "PowOptions",
    "ROUND": None,
    "RSQRT": None,
    "SELECT_V2": "SelectV2Options",
    "SIGN": "SignOptions",
    "SIN": None,
    "SQRT": None,
    "SQUARE": "SquareOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions",
}


COMPARISONS = frozenset("EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL".split())


def plain(graph: Graph, node: Node) -> Written:
    kind = PLAIN[node.op]
    if node.op in COMPARISONS:  # TFLite's kernels make a multiplier below 1 of each scale, and end the process at others
        for tensor in graph.input_tensors(node):
            if tensor is not None and tensor.quant is not None and tensor.dtype == "int8" and tensor.quant.scale[0] >= 1:
                raise Refused(
                    f"it compares int8 values of scale {tensor.quant.scale[0]:.4g}, TFLite those below 1",
                    "divide what it compares, or export C",
                )
    return Written(node.op, node.inputs, None if kind is None else options(kind))


def arg(graph: Graph, node: Node) -> Written:
    kind = "ArgMaxOptions" if node.op == "ARG_MAX" else "ArgMinOptions"
    made = options(kind, outputType=schema().TensorType.INT32)
    return Written(node.op, (node.inputs[0], ints("axis", np.asarray(get(node, "axis")))), made)


def topk(graph: Graph, node: Node) -> Written:
    return Written("TOPK_V2", (node.inputs[0], ints("k", np.asarray(get(node, "k")))), options("TopKV2Options"))


def one_hot(graph: Graph, node: Node) -> Written:
    y = graph[node.outputs[0]]
    if y.quant is not None:
        on, off = one_hot_values(node, y)
    else:
        on, off = (np.asarray(get(node, name)).astype(NUMPY_DTYPES[y.dtype]) for name in ("on", "off"))
    values = (const(name, np.asarray(v), y.quant) for name, v in (("on", on), ("off", off)))
    inputs = (node.inputs[0], ints("depth", np.asarray(get(node, "depth"))), *values)
    return Written("ONE_HOT", inputs, options("OneHotOptions", axis=int(get(node, "axis"))))


def scatter_nd(graph: Graph, node: Node) -> Written:
    return Written("SCATTER_ND", (*node.inputs, ints("shape", get(node, "shape"))), options("ScatterNdOptions"))


def tile(graph: Graph, node: Node) -> Written:
    return Written("TILE", (node.inputs[0], ints("multiples", get(node, "multiples"))), options("TileOptions"))


def broadcast(graph: Graph, node: Node) -> Written:
    return Written("BROADCAST_TO", (node.inputs[0], ints("shape", get(node, "shape"))), options("BroadcastToOptions"))


def cumsum(graph: Graph, node: Node) -> Written:
    made = options("CumsumOptions", exclusive=bool(get(node, "exclusive")), reverse=bool(get(node, "reverse")))
    return Written("CUMSUM", (node.inputs[0], ints("axis", np.asarray(get(node, "axis")))), made)


def reduce(graph: Graph, node: Node) -> Written:
    made = options("ReducerOptions", keepDims=bool(get(node, "keep_dims")))
    return Written(node.op, (node.inputs[0], ints("axes", get(node, "axes"))), made)


RULES: dict[str, Callable[[Graph, Node], Written]] = {
    **dict.fromkeys(PLAIN, plain),
    "ARG_MAX": arg,
    "ARG_MIN": arg,
    "BROADCAST_TO": broadcast,
    "CUMSUM": cumsum,
    "ONE_HOT": one_hot,
    "REDUCE_ALL": reduce,
    "REDUCE_ANY": reduce,
    "REDUCE_PROD": reduce,
    "SCATTER_ND": scatter_nd,
    "TILE": tile,
    "TOPK_V2": topk,
}
