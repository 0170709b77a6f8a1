"""What must hold of a node for an accelerator to take it: what the lists of several delegates share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.graph import Graph, Node, Tensor
from edgekit.ops import attr, op_of

Why = Callable[[Graph, Node], str]  # why this node is refused, "" when it is taken


def get(node: Node, name: str) -> Any:
    return attr(node, op_of(node), name)


def first(graph: Graph, node: Node, index: int = 0) -> Tensor:
    return graph[str(node.inputs[index])]


def rank_in(*allowed: int) -> Why:
    def why(graph: Graph, node: Node) -> str:
        rank = len(first(graph, node).shape)
        return "" if rank in allowed else f"{rank} axes; it takes {' or '.join(map(str, allowed))}"

    return why


def every_one(*rules: Why) -> Why:
    return lambda graph, node: next((said for rule in rules if (said := rule(graph, node))), "")


def running(graph: Graph, node: Node) -> int:
    return sum(name is not None and not graph[name].is_const for name in node.inputs)


def one_running(graph: Graph, node: Node) -> str:
    return "" if running(graph, node) == 1 else "an input that should run is constant"


def constant_weights(graph: Graph, node: Node) -> str:
    return "" if all(n is None or graph[n].is_const for n in node.inputs[1:]) else "weights or bias that are not constant"


def multiplier(graph: Graph, node: Node) -> str:
    channels, made = first(graph, node).shape[3], graph[node.outputs[0]].shape[3]
    return "" if made == channels or channels == 1 else f"{made // channels} outputs a channel of {channels} channels"


def crossing(graph: Graph, node: Node) -> str:
    """Broadcasting of both inputs at once."""
    a, b = first(graph, node).shape, first(graph, node, 1).shape
    if len(a) == len(b) and any(p < q for p, q in zip(a, b, strict=True)) and any(p > q for p, q in zip(a, b, strict=True)):
        return f"both inputs are broadcast ({list(a)}, {list(b)})"
    return ""
