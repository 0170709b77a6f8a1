"""Weights of 4 bits: which can have them, and their scales."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edgekit.graph import Array, Graph
from edgekit.ops import op_of

NARROW = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})  # operators that engines have such kernels of
CLIPPED = np.linspace(1.0, 0.5, 21)  # of a row's largest weight: what the largest code may stand for


def narrow_weights(graph: Graph, others: Collection[str]) -> tuple[str, ...]:
    """Constants that only operators of NARROW read, as weights. others: first outputs of nodes whose weights are left alone."""
    found: dict[str, bool] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.inputs):
            if name is not None and graph[name].is_const and graph[name].dtype == "float32":
                fits = node.op in NARROW and index in op_of(node).weights and node.outputs[0] not in others
                found[name] = fits and found.get(name, True)
    return tuple(sorted(name for name, fits in found.items() if fits and name not in graph.outputs))


def row_scales(rows: Array, limit: int) -> Array:
    """float64[R]: scales with which codes of -limit..limit are nearest to rows[R, K] in the mean square.

    With few codes it pays to cut the largest weights off (Banner et al. 2019, Post-training 4-bit quantization, sec. 3, in
    closed form for known distributions; here by trying).
    """
    most = np.abs(rows).max(axis=1, initial=0.0)
    best: Array = most / limit
    least = np.full(len(rows), np.inf)
    for share in CLIPPED:
        scale = np.maximum(most * share / limit, np.finfo(np.float64).tiny)
        made = np.clip(np.rint(rows / scale[:, None]), -limit, limit) * scale[:, None]
        error = ((rows - made) ** 2).sum(axis=1)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return best
