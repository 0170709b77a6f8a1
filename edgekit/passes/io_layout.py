"""Whose order of axes the graph's edge has: the source model's, or NHWC.

Data is always given in the source's layout; the contract's `perm` says how an application that feeds the graph itself, such
as generated C, must order it. Law: `boundary.to_feeds` -> run -> `boundary.from_outputs` gives the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from edgekit.graph import Graph, Node, Shape, Tensor, build, fresh
from edgekit.passes.draft import same_quant

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def io_layout(graph: Graph, layout: Literal["source", "nhwc"]) -> Graph:
    """The graph with its edge in `layout`. Raises ValueError for another layout.

    "nhwc" takes a TRANSPOSE between NCHW and NHWC at a rank-4 input or output into the contract; "source" puts it back.
    """
    if layout == "nhwc":
        for name in graph.inputs:
            graph = _strip_input(graph, name)
        for name in graph.outputs:
            graph = _strip_output(graph, name)
        return graph.with_history("io_layout(nhwc)")
    if layout == "source":
        for name in graph.inputs:
            graph = _restore_input(graph, name)
        for name in graph.outputs:
            graph = _restore_output(graph, name)
        return graph.with_history("io_layout(source)")
    raise ValueError(f"layout is 'source' or 'nhwc', not '{layout}'")


def moves_as(graph: Graph, node: Node, perm: Shape) -> bool:
    """True when a node does what TRANSPOSE by `perm` does (a RESHAPE may, with one channel or one pixel)."""
    if node.op not in {"TRANSPOSE", "RESHAPE"}:
        return False
    x, y = graph.input_tensors(node)[0], graph.output_tensors(node)[0]
    if x is None or len(x.shape) != 4 or not same_quant(x, y):
        return False
    if node.op == "TRANSPOSE":
        return tuple(node.attrs["perm"]) == perm
    order = [p for p in perm if x.shape[p] != 1]
    return order == sorted(order) and y.shape == tuple(x.shape[p] for p in perm)


def _strip_input(graph: Graph, name: str) -> Graph:
    x = graph[name]
    readers = graph.consumers()[name]
    movers = [n for n in readers if moves_as(graph, n, TO_NHWC)]
    if len(x.shape) != 4 or not movers or name in graph.outputs or any(n.outputs[0] in graph.outputs for n in movers):
        return graph
    tensors = dict(graph.tensors)
    tensors[name] = replace(x, shape=tuple(x.shape[p] for p in TO_NHWC))
    same = {n.outputs[0]: name for n in movers}
    nodes: list[Node] = []
    if len(movers) != len(readers):  # someone wants the source's order after all
        inner = fresh(tensors, f"{name}_nchw")
        tensors[inner] = replace(x, name=inner)
        nodes.append(Node("TRANSPOSE", (name,), (inner,), {"perm": TO_NCHW}, name))
        same[name] = inner
    nodes += [replace(n, inputs=_renamed(n.inputs, same)) for n in graph.nodes if n not in movers]
    return _rebuilt(_with_input_perm(graph, name, TO_NHWC), nodes, tensors)


def _strip_output(graph: Graph, name: str) -> Graph:
    mover = graph.producers().get(name)
    if mover is None or not moves_as(graph, mover, TO_NCHW):
        return graph
    value = mover.inputs[0]
    assert value is not None
    made = graph.producers().get(value)
    if made is None or value in graph.outputs or value in {s.output for s in graph.states}:
        return graph
    y = graph[name]
    tensors = dict(graph.tensors)
    tensors[name] = replace(graph[value], name=name)
    same = {value: name}
    others = graph.consumers()[name]
    inner = fresh(tensors, f"{name}_nchw") if others else ""
    if others:
        tensors[inner] = replace(y, name=inner)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node is mover:
            if others:
                nodes.append(replace(node, inputs=(name,), outputs=(inner,)))
            continue
        inputs = tuple(inner if n == name else n for n in node.inputs)
        nodes.append(replace(node, inputs=_renamed(inputs, same), outputs=tuple(same.get(n, n) for n in node.outputs)))
    return _rebuilt(_with_output_perm(graph, name, TO_NCHW), nodes, tensors)


def _restore_input(graph: Graph, name: str) -> Graph:
    perm = graph.contract.input(name).perm
    if perm is None:
        return graph
    x = graph[name]
    tensors = dict(graph.tensors)
    inner = fresh(tensors, f"{name}_nhwc")
    tensors[inner] = replace(x, name=inner)
    tensors[name] = replace(x, shape=tuple(x.shape[perm.index(axis)] for axis in range(len(perm))))
    first = Node("TRANSPOSE", (name,), (inner,), {"perm": perm}, name)
    rest = [replace(n, inputs=_renamed(n.inputs, {name: inner})) for n in graph.nodes]
    return _rebuilt(_with_input_perm(graph, name, None), [first, *rest], tensors)


def _restore_output(graph: Graph, name: str) -> Graph:
    perm = graph.contract.output(name).perm
    if perm is None or graph.producers().get(name) is None:
        return graph
    y = graph[name]
    tensors = dict(graph.tensors)
    inner = fresh(tensors, f"{name}_nhwc")
    tensors[inner] = replace(y, name=inner)
    tensors[name] = replace(y, shape=tuple(y.shape[p] for p in perm))
    same = {name: inner}
    nodes = [replace(n, inputs=_renamed(n.inputs, same), outputs=tuple(same.get(o, o) for o in n.outputs)) for n in graph.nodes]
    nodes.append(Node("TRANSPOSE", (inner,), (name,), {"perm": perm}, name))
    return _rebuilt(_with_output_perm(graph, name, None), nodes, tensors)


def _renamed(names: tuple[str | None, ...], same: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(None if n is None else same.get(n, n) for n in names)


def _with_input_perm(graph: Graph, name: str, perm: Shape | None) -> Graph:
    """The contract after the graph's input has been transposed once more by `perm` (None: back to the source's)."""
    spec = graph.contract.input(name)
    both = perm if perm is None or spec.perm is None else tuple(spec.perm[p] for p in perm)
    both = None if both is not None and both == tuple(range(len(both))) else both
    return replace(graph, contract=replace(graph.contract, inputs={**graph.contract.inputs, name: replace(spec, perm=both)}))


def _with_output_perm(graph: Graph, name: str, perm: Shape | None) -> Graph:
    """The contract after the TRANSPOSE by `perm` that made the output has been taken off (None: put back)."""
    spec = graph.contract.output(name)
    both = perm if perm is None or spec.perm is None else tuple(perm[p] for p in spec.perm)
    both = None if both is not None and both == tuple(range(len(both))) else both
    return replace(graph, contract=replace(graph.contract, outputs={**graph.contract.outputs, name: replace(spec, perm=both)}))


def _rebuilt(graph: Graph, nodes: list[Node], tensors: Mapping[str, Tensor]) -> Graph:
    return build(
        graph.name,
        graph.inputs,
        graph.outputs,
        nodes,
        tensors,
        states=graph.states,
        contract=graph.contract,
        history=graph.history,
    )
