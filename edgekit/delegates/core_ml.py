"""TensorFlow Lite's Core ML delegate, by its documentation."""

from __future__ import annotations

from math import prod

from edgekit.delegates.rules import (
    Why,
    constant_weights,
    first,
)
from edgekit.graph import Graph, Node


def every(graph: Graph, node: Node) -> str:
    used = [graph[name] for name in (*node.inputs, *node.outputs) if name is not None]
    return "int8: it takes networks of real numbers" if any(t.quant is not None for t in used) else ""


def _broadcast(graph: Graph, node: Node) -> str:
    a, b = first(graph, node).shape, first(graph, node, 1).shape
    for shape, other in ((a, b), (b, a)):
        if shape == other or prod(shape) < prod(other):
            continue
        if len(shape) == 4 and len(other) == 4 and other[0] == shape[0]:
            height, width, channels = (p == q for p, q in zip(other[1:], shape[1:], strict=True))
            flat = other[1] == other[2] == 1
            if (flat or (height and width)) and (channels or other[3] == 1):
                continue
        return f"broadcasts {list(other)} to {list(shape)}"
    return ""


def _dense(graph: Graph, node: Node) -> str:
    shape = first(graph, node).shape
    return constant_weights(graph, node) or ("" if prod(shape[:-1]) == 1 else f"a batch: {list(shape)}")


def _reshape(graph: Graph, node: Node) -> str:
    return "only for Core ML 2, not the default 3"


TAKES: dict[str, Why | None] = {
    **dict.fromkeys(
        "AVERAGE_POOL_2D CONCATENATION HARD_SWISH LOGISTIC MAX_POOL_2D RELU RELU_N1_TO_1 RELU6 RESIZE_BILINEAR SOFTMAX"
        " TANH".split()
    ),
    **dict.fromkeys(("ADD", "MUL"), _broadcast),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"), constant_weights),
    "FULLY_CONNECTED": _dense,
    "RESHAPE": _reshape,
}
