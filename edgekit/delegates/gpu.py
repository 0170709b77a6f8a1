"""TensorFlow Lite's GPU delegate, by the check that LiteRT's own model analyzer makes (gpu_compatibility.cc)."""

from __future__ import annotations

from edgekit.delegates.rules import (
    Why,
    crossing,
    every_one,
    first,
    get,
    multiplier,
    one_running,
    rank_in,
    running,
)
from edgekit.graph import Graph, Node


def _cast(graph: Graph, node: Node) -> str:
    pair = (first(graph, node).dtype, graph[node.outputs[0]].dtype)
    real = {"float32", "float16"}
    fine = (
        (pair[0] == "bool" and pair[1] in real) or (pair[0] in real and pair[1] == "bool") or set(pair) <= {"float32", "int32"}
    )
    return "" if fine else f"{pair[0]} to {pair[1]}"


def _select(graph: Graph, node: Node) -> str:
    made = graph[node.outputs[0]].shape
    for index in (1, 2):
        tensor = first(graph, node, index)
        if tensor.dtype not in {"float32", "float16"}:
            return f"chooses between {tensor.dtype}, only between real numbers there"
        if tensor.shape and tensor.shape != made and (len(tensor.shape) > 1 or tensor.shape[0] > 1):
            return f"a choice of shape {list(tensor.shape)}: only the output's {list(made)}, or one number"
        if tensor.is_const and len(tensor.shape) == 2:
            return "a constant choice with 2 axes"
    return ""


def _gather(graph: Graph, node: Node) -> str:
    data, ids = first(graph, node), first(graph, node, 1)
    if data.dtype == "int32":
        return "takes from int32"
    if len(ids.shape) != 1:
        return f"indices with {len(ids.shape)} axes; it takes 1"
    return "" if ids.dtype == "int32" else f"indices of {ids.dtype}; it takes int32"


def _one_hot(graph: Graph, node: Node) -> str:
    shape = first(graph, node).shape
    crowded = [n for i, n in enumerate(shape[:-1]) if n != 1 and not (len(shape) > 3 and i == 0)]
    return f"indices of shape {list(shape)}: all axes but the last must be 1" if crowded else ""


def _dequantize(graph: Graph, node: Node) -> str:
    return "from int16" if first(graph, node).dtype == "int16" else ""


def _cumsum(graph: Graph, node: Node) -> str:
    dtype = first(graph, node).dtype
    return "" if dtype in {"float32", "float16"} else f"of {dtype}"


def _pad(graph: Graph, node: Node) -> str:
    return rank_in(3, 4)(graph, node) or one_running(graph, node)


def _mirror(graph: Graph, node: Node) -> str:
    mode = get(node, "mode")
    return _pad(graph, node) if mode == "REFLECT" else f"mode {mode}; it takes REFLECT"


def _dense(graph: Graph, node: Node) -> str:
    if first(graph, node).is_const:
        return "a constant input"
    if get(node, "keep_dims") and len(first(graph, node).shape) != len(graph[node.outputs[0]].shape):
        return "keeps its axes, and has another number of them"
    return "" if running(graph, node) <= 2 else "more than 2 inputs that run"


def _softmax(graph: Graph, node: Node) -> str:
    return "" if get(node, "beta") == 1.0 else f"beta {get(node, 'beta')}; it takes 1"


def _resize(graph: Graph, node: Node) -> str:
    return "align_corners with half_pixel_centers" if get(node, "align_corners") and get(node, "half_pixel_centers") else ""


def _two(graph: Graph, node: Node) -> str:
    return "" if running(graph, node) in {1, 2} else "no input that runs"


TAKES: dict[str, Why | None] = {
    **dict.fromkeys(
        "ADD AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D MAX_POOL_2D RELU RELU6 RELU_N1_TO_1 LEAKY_RELU PRELU"
        " SPLIT".split()
    ),
    **dict.fromkeys(
        "DEPTH_TO_SPACE SPACE_TO_DEPTH HARD_SWISH QUANTIZE RESHAPE TILE TRANSPOSE REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM MEAN"
        " ABS CEIL COS ELU EXP FLOOR GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH RESIZE_NEAREST_NEIGHBOR".split(),
        one_running,
    ),
    **dict.fromkeys(
        "ATAN2 DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER GREATER_EQUAL LOGICAL_AND LESS LESS_EQUAL MAXIMUM MINIMUM NOT_EQUAL POW"
        " SQUARED_DIFFERENCE SUB".split(),
        _two,
    ),
    "CAST": every_one(one_running, _cast),
    "CUMSUM": _cumsum,
    "DEPTHWISE_CONV_2D": multiplier,
    "DEQUANTIZE": _dequantize,
    "FULLY_CONNECTED": _dense,
    "GATHER": _gather,
    "MIRROR_PAD": _mirror,
    "MUL": crossing,
    "ONE_HOT": _one_hot,
    "PAD": _pad,
    "RESIZE_BILINEAR": every_one(one_running, _resize),
    "SELECT_V2": _select,
    "SLICE": rank_in(3, 4),
    "SOFTMAX": _softmax,
    "TRANSPOSE_CONV": None,
}
