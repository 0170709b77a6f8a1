"""Which nodes of an ONNX file matter: those that its outputs, or values it is cut at, depend on."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import onnx

from edgekit.load.cut import chosen


def live_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that outputs depend on, in order (subgraphs count their outer reads)."""
    wanted = {o.name for o in graph.output}
    live: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if any(o in wanted for o in node.output):
            live.append(node)
            wanted |= set(reads(node))
    return live[::-1]


def in_order(nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """Positions of the nodes, each after those that make what it reads, else in the file's order: some writers append casts
    of inputs at the end. Nodes that form a cycle stay last, as they are."""
    maker = {o: i for i, node in enumerate(nodes) for o in node.output if o}
    needs = [{maker[n] for n in reads(node) if n in maker} - {i} for i, node in enumerate(nodes)]
    if all(max(before, default=-1) < i for i, before in enumerate(needs)):
        return list(range(len(nodes)))
    readers: dict[int, list[int]] = {}
    for i, before in enumerate(needs):
        for j in before:
            readers.setdefault(j, []).append(i)
    waiting = [len(before) for before in needs]
    ready = [i for i, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for i in readers.get(order[-1], []):
            waiting[i] -= 1
            if not waiting[i]:
                heapq.heappush(ready, i)
    done = set(order)
    return [*order, *(i for i in range(len(nodes)) if i not in done)]


def cut(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Make `outputs` the graph's, and drop inputs that nothing reads any more. Raises BadModel for names it does not have."""
    graph = model.graph
    made = [o.name for o in graph.output]
    names = chosen(outputs, (*(n for node in graph.node for n in node.output if n), *made))
    known = {value.name: value for value in (*onnx.shape_inference.infer_shapes(model).graph.value_info, *graph.output)}
    ends = [known.get(name) or onnx.ValueInfoProto(name=name) for name in names]
    del graph.output[:]
    graph.output.extend(ends)
    live = live_nodes(graph)
    read = {name for node in live for name in reads(node)} | set(names)
    inputs = [value for value in graph.input if value.name in read]
    del graph.node[:]
    graph.node.extend(live)
    del graph.input[:]
    graph.input.extend(inputs)


def reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node and its subgraphs read."""
    names = list(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                names += reads(inner)
            names += [o.name for o in attribute.g.output]
    return names
