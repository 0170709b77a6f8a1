"""A network's constants are numbers: noticed before anything is trained, cut or calibrated on them."""

from __future__ import annotations

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import Graph
from edgekit.ops import TABLE

NAMED = 6  # tensors that a message lists


def check_finite(graph: Graph, what: str = "model") -> None:
    """Raises BadModel naming constants that hold NaN, and weights and biases that hold infinity (a mask may)."""
    layers = {
        n.inputs[i]
        for n in graph.nodes
        for i in (*TABLE[n.op].weights, TABLE[n.op].bias)
        if i is not None and i < len(n.inputs)
    }
    broken: dict[str, int] = {}
    for name, tensor in graph.tensors.items():
        if tensor.data is not None and tensor.data.dtype.kind == "f":
            bad = ~np.isfinite(tensor.data) if name in layers else np.isnan(tensor.data)
            if bad.any():
                broken[name] = int(bad.sum())
    if broken:
        makers = {name: node.source or node.op for node in graph.nodes for name in node.inputs if name is not None}
        rows = [
            f"'{name}' of {makers.get(name, 'nothing')} ({count} of {graph[name].elements})" for name, count in broken.items()
        ]
        more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        raise BadModel(
            f"weights of the {what} '{graph.name}' are NaN or infinite: {', '.join(rows[:NAMED])}{more}",
            "its training went wrong, or the file is damaged: use an earlier checkpoint of it",
        )
