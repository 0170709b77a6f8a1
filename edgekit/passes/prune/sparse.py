"""Unstructured and N:M pruning: weights set to zero one by one. The file compresses better; nothing on a device gets smaller
or faster, since no kernel here skips zeros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.errors import BadConfig
from edgekit.graph import Array, Graph
from edgekit.ops import TABLE

HONEST = (
    "zeros make a compressed file smaller (.zip, over-the-air updates) and nothing else: no kernel skips them, so flash, RAM "
    "and instructions stay as they are. Structured pruning (--ratio without --pattern) shrinks those."
)


def masks_of(graph: Graph, share: float, pattern: tuple[int, int] | None = None) -> dict[str, Array]:
    """{weights: bool array, True stays} that zeroes `share` of all weights by magnitude over the whole network, or all but the
    n largest of every m neighbours along the inputs (`pattern` = (n, m)). Raises BadConfig."""
    weights: dict[str, Array] = {}
    for node in graph.nodes:
        for index in TABLE[node.op].weights:
            tensor = graph.tensor(node.inputs[index]) if index < len(node.inputs) else None
            if tensor is not None and tensor.data is not None and tensor.dtype == "float32":
                weights[tensor.name] = np.abs(tensor.data)
    if not weights:
        raise BadConfig(f"'{graph.name}' has no weights to prune")
    if pattern is None:
        if not 0 < share < 1:
            raise BadConfig(f"a share of {share} of the weights cannot be zeroed", "--ratio 0.5, say")
        everything = np.concatenate([w.reshape(-1) / (np.sqrt(np.mean(w * w)) or 1.0) for w in weights.values()])
        limit = np.partition(everything, int(share * everything.size))[int(share * everything.size)]
        return {name: w / (np.sqrt(np.mean(w * w)) or 1.0) >= limit for name, w in weights.items()}
    keep, of = pattern
    if not 0 < keep < of:
        raise BadConfig(f"a pattern of {keep}:{of} keeps nothing or everything", "--pattern 2:4, say")
    return {name: _pattern(w, keep, of) for name, w in weights.items()}


def _pattern(size: Array, keep: int, of: int) -> Array:
    """The `keep` largest of every `of` along the last axis (a rest that is shorter stays)."""
    rows = size.reshape(-1, size.shape[-1])
    whole = rows.shape[1] // of * of
    blocks = rows[:, :whole].reshape(rows.shape[0], -1, of)
    rank = np.argsort(np.argsort(-blocks, axis=-1, kind="stable"), axis=-1, kind="stable")
    stays = np.ones(rows.shape, bool)
    stays[:, :whole] = (rank < keep).reshape(rows.shape[0], -1)
    return stays.reshape(size.shape)


def masked(graph: Graph, masks: dict[str, Array]) -> Graph:
    """The graph with zeros where a mask is False."""
    tensors = dict(graph.tensors)
    for name, mask in masks.items():
        data = tensors[name].data
        assert data is not None
        tensors[name] = replace(tensors[name], data=np.where(mask, data, data.dtype.type(0)))
    return replace(graph, tensors=tensors)
