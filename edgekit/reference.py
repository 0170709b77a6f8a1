"""Run a Graph in NumPy: the definition every engine is judged against.

A node whose output has a Quant (or that reads one) runs its integer meaning, exactly; any other runs its float meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from edgekit.errors import BadData, Unsupported
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Node, Tensor
from edgekit.ops import op_of


def run(
    graph: Graph, feeds: Mapping[str, Array], keep: Iterable[str] = (), held: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """{name: array} of the graph's outputs and of every tensor in `keep`.

    feeds: one array a graph input, exactly its shape and dtype (see `boundary.to_feeds` for real-valued source data).
    held: what the graph's states hold (default: their `init`); see `edgekit.states`. Raises BadData for feeds that do not fit.
    """
    values = check_feeds(graph, feeds)
    values |= {s.input: s.init for s in graph.states} if held is None else held
    last = last_uses(graph)
    wanted = {*graph.outputs, *keep}
    kept: dict[str, Array] = {n: values[n] for n in wanted if n in values}
    for position, node in enumerate(graph.nodes):
        for name, value in zip(node.outputs, run_node(graph, node, values), strict=True):
            values[name] = value
            if name in wanted:
                kept[name] = value
        for used in node.inputs:
            if used is not None and last.get(used) == position:
                values.pop(used, None)
    for name in wanted - kept.keys():
        tensor = graph[name]
        assert tensor.data is not None
        kept[name] = tensor.data
    return kept


def run_node(graph: Graph, node: Node, values: Mapping[str, Array]) -> list[Array]:
    """The node's outputs; inputs are taken from `values` or the graph's constants."""
    entry = op_of(node)
    ins, outs = graph.input_tensors(node), graph.output_tensors(node)
    # Constants may be stored in fewer bits than a real operator computes with (see `passes.quantize.storage`).
    hybrid = bool(entry.weights) and all(t is None or t.is_const or t.quant is None for t in (*ins, *outs))
    arrays = [
        None if t is None else values[t.name] if not t.is_const else t.real() if _stored(t, hybrid) else t.data for t in ins
    ]
    quantized = not hybrid and any(t is not None and t.quant is not None for t in (*ins, *outs))
    if quantized:
        if entry.integer is None:
            raise Unsupported("reference", [(f"{node.op} '{node.source}'", "has no integer meaning", "keep it float")])
        results = entry.integer(node, arrays, ins, outs)
    else:
        results = entry.real(node, arrays)
    return [
        np.asarray(r).astype(NUMPY_DTYPES[t.dtype], copy=False).reshape(t.shape) for r, t in zip(results, outs, strict=True)
    ]


def _stored(constant: Tensor, hybrid: bool) -> bool:
    return constant.dtype == "float16" or (hybrid and constant.quant is not None)


def check_feeds(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The feeds, one a graph input. Raises BadData naming what is missing, unknown, or of the wrong shape or dtype."""
    unknown, missing = sorted(set(feeds) - set(graph.inputs)), [n for n in graph.inputs if n not in feeds]
    if unknown or missing:
        raise BadData(f"inputs are {list(graph.inputs)}; missing {missing}, unknown {unknown}")
    values: dict[str, Array] = {}
    for name in graph.inputs:
        tensor, array = graph[name], np.asarray(feeds[name])
        if array.shape != tensor.shape or array.dtype != NUMPY_DTYPES[tensor.dtype]:
            raise BadData(f"input '{name}' is {tensor.dtype}{list(tensor.shape)}, got {array.dtype}{list(array.shape)}")
        values[name] = array
    return values


def last_uses(graph: Graph) -> dict[str, int]:
    """tensor name -> position of the last node that reads it."""
    return {name: i for i, node in enumerate(graph.nodes) for name in node.inputs if name is not None}
