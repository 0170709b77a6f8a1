"""How much each unit matters, from the weights alone (or from gradients given): one number a unit, larger is more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from edgekit.errors import BadConfig
from edgekit.graph import Array, Graph
from edgekit.ops import TABLE
from edgekit.passes.prune.couple import Axis, Group

Score = Literal["l1", "l2", "bn", "taylor", "median"]
SCORES: tuple[Score, ...] = ("l1", "l2", "bn", "taylor", "median")


def scores_of(
    graph: Graph, groups: Sequence[Group], score: Score, sensitivity: Mapping[str, Mapping[int, Array]] | None = None
) -> list[Array]:
    """Of each group one float64[units].

    l1, l2: of all weights that go with the unit (Li et al. 2017, Pruning Filters; Fang et al. 2023, DepGraph, for the sum
    over coupled layers). median: distance of the unit's weights to those of the layer's others (He et al. 2019, FPGM).
    bn: |gamma| of batch norm (Liu et al. 2017, Network Slimming). taylor: `sensitivity`, {weights: {axis: float64[size]}}, the
    loss's first-order change without each index (Molchanov et al. 2019). Raises BadConfig where a score has no meaning.
    """
    if score == "taylor":
        assert sensitivity is not None
        values: dict[Axis, Array] = {(name, axis): v for name, of in sensitivity.items() for axis, v in of.items()}
    elif score == "bn":
        values = _gammas(graph)
    else:
        values = _norms(graph, score)
    found = []
    for group in groups:
        totals = np.zeros(group.size)
        for i, unit in enumerate(group.units):
            for axis, indices in unit.places.items():
                if axis in values:
                    totals[i] += float(values[axis][list(indices)].sum())
        found.append(np.sqrt(totals) if score == "l2" else totals)
    return found


def _gammas(graph: Graph) -> dict[Axis, Array]:
    names = [str(node.inputs[1]) for node in graph.nodes if node.op == "BATCH_NORM"]
    values: dict[Axis, Array] = {(n, 0): np.abs(graph[n].real()).astype(np.float64) for n in names if graph[n].is_const}
    if not values:
        raise BadConfig("the network holds no batch norm to score by (it is folded into the weights)", "--score l2, or taylor")
    return values


def _norms(graph: Graph, score: Score) -> dict[Axis, Array]:
    """Of every axis of every weight of two axes or more: the norm of each index's part."""
    values: dict[Axis, Array] = {}
    for node in graph.nodes:
        for index, out in TABLE[node.op].weights.items():
            tensor = graph.tensor(node.inputs[index]) if index < len(node.inputs) else None
            if tensor is None or tensor.data is None:
                continue
            data = tensor.real().astype(np.float64)
            for axis in range(data.ndim):
                rows = np.moveaxis(data, axis, 0).reshape(data.shape[axis], -1)
                if score == "median":
                    if axis == out:
                        values[tensor.name, axis] = _distances(rows)
                else:
                    values[tensor.name, axis] = (np.abs(rows) if score == "l1" else rows * rows).sum(axis=1)
    return values


def _distances(rows: Array) -> Array:
    """Sum of each row's distances to all others."""
    squares = (rows * rows).sum(axis=1)
    gaps: Array = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0)
    return np.asarray(np.sqrt(gaps).sum(axis=1))
