"""How the operators of `ops.attention` and `ops.norm_layer` are written in TFLite."""

from __future__ import annotations

from edgekit.export.tflite_ops import Rule, Written, get, options
from edgekit.graph import Graph, Node


def batch_matmul(graph: Graph, node: Node) -> Written:
    made = options("BatchMatMulOptions", adjX=bool(get(node, "adj_x")), adjY=bool(get(node, "adj_y")))
    return Written("BATCH_MATMUL", node.inputs, made)


def l2_normalization(graph: Graph, node: Node) -> Written:
    return Written("L2_NORMALIZATION", node.inputs, options("L2NormOptions"))


def log_softmax(graph: Graph, node: Node) -> Written:
    return Written("LOG_SOFTMAX", node.inputs, options("LogSoftmaxOptions"))


def gelu(graph: Graph, node: Node) -> Written:
    return Written("GELU", node.inputs, options("GeluOptions", approximate=bool(get(node, "approximate"))))


RULES: dict[str, Rule] = {
    "BATCH_MATMUL": batch_matmul,
    "GELU": gelu,
    "L2_NORMALIZATION": l2_normalization,
    "LOG_SOFTMAX": log_softmax,
}
