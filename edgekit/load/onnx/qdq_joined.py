"""Operators of a Q/DQ file that ONNX has only in pieces, made whole again before integer nodes are looked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from edgekit.graph import Node, Tensor


def joined(
    nodes: Sequence[Node], tensors: Mapping[str, Tensor], exact: Collection[str], outputs: Collection[str]
) -> list[Node]:
    """The nodes with SOFTMAX(x * beta) and RECIPROCAL(SQRT(x)) as one node each, where nothing else reads what is between.

    exact: dequantized constants: a product with one of them has a scale of its own. outputs: of the graph.
    """
    readers: dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            if name is not None:
                readers[name] = readers.get(name, 0) + 1
    makers = {node.outputs[0]: node for node in nodes if readers.get(node.outputs[0]) == 1 and node.outputs[0] not in outputs}
    gone: set[str] = set()
    made: list[Node] = []
    for node in nodes:
        before = makers.get(str(node.inputs[0])) if node.inputs else None
        if before is not None and node.op == "RECIPROCAL" and before.op == "SQRT":
            gone.add(before.outputs[0])
            node = replace(node, op="RSQRT", inputs=before.inputs)
        elif before is not None and node.op == "SOFTMAX" and (scaled := _scaled(before, tensors, exact)) is not None:
            gone.add(before.outputs[0])
            attrs = {**node.attrs, "beta": float(node.attrs.get("beta", 1.0)) * scaled[1]}
            node = replace(node, inputs=(scaled[0],), attrs=attrs)
        made.append(node)
    return [node for node in made if node.outputs[0] not in gone]


def _scaled(node: Node, tensors: Mapping[str, Tensor], exact: Collection[str]) -> tuple[str, float] | None:
    """(x, factor) of x times one positive number."""
    if node.op != "MUL" or node.attrs.get("activation", "NONE") != "NONE":
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        factor = tensors[str(other)].data
        if factor is None or factor.size != 1 or other in exact or tensors[str(x)].is_const:
            continue
        if factor.item() > 0 and tensors[str(x)].shape == tensors[node.outputs[0]].shape:
            return str(x), float(factor.item())
    return None
