"""Which weights can have 4 bits."""

from __future__ import annotations

from collections.abc import Collection

from edgekit.graph import Graph
from edgekit.ops import op_of

NARROW = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})  # operators that engines have such kernels of


def narrow_weights(graph: Graph, others: Collection[str]) -> tuple[str, ...]:
    """Constants that only operators of NARROW read, as weights. others: first outputs of nodes whose weights are left alone."""
    found: dict[str, bool] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.inputs):
            if name is not None and graph[name].is_const and graph[name].dtype == "float32":
                fits = node.op in NARROW and index in op_of(node).weights and node.outputs[0] not in others
                found[name] = fits and found.get(name, True)
    return tuple(sorted(name for name, fits in found.items() if fits and name not in graph.outputs))
