"""Leaving units out of a graph: shorter constants, and the attributes that count what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.errors import BadConfig
from edgekit.graph import Array, Graph, Node, Shape, Tensor, build, const, fresh
from edgekit.ops import TABLE, attr, infer
from edgekit.passes.prune.couple import Axis, Unit

Kept = Mapping[Axis, Array]  # indices that stay, of axes that lose some


def kept_after(graph: Graph, units: Iterable[Unit]) -> dict[Axis, Array]:
    """{axis: indices that stay} of every axis that loses some."""
    gone: dict[Axis, set[int]] = {}
    for unit in units:
        for axis, indices in unit.places.items():
            gone.setdefault(axis, set()).update(indices)
    return {
        (name, axis): np.setdiff1d(np.arange(graph[name].shape[axis]), sorted(indices))
        for (name, axis), indices in gone.items()
    }


def without(graph: Graph, units: Iterable[Unit]) -> Graph:
    """The graph without `units`. Raises BadConfig when that would empty a layer."""
    kept = kept_after(graph, units)
    empty = sorted({name for (name, _), indices in kept.items() if not indices.size})
    if empty:
        raise BadConfig(f"nothing would be left of {', '.join(empty[:4])}", "prune less: a smaller --ratio")
    tensors = {name: _shorter(tensor, kept) for name, tensor in graph.tensors.items()}
    nodes = []
    for node in graph.nodes:
        touched = [n for n in (*node.inputs, *node.outputs) if n is not None]
        if node.op in REWRITE and any((n, axis) in kept for n in touched for axis in range(len(graph[n].shape))):
            node = REWRITE[node.op](graph, node, kept, tensors)
        for name, (shape, _) in zip(
            node.outputs, infer(node, [None if n is None else tensors[n] for n in node.inputs]), strict=True
        ):
            if shape != tensors[name].shape:
                raise AssertionError(f"{node.op} '{node.source}' gives {shape} where {tensors[name].shape} is left")
        nodes.append(node)
    return build(
        graph.name,
        graph.inputs,
        graph.outputs,
        nodes,
        tensors,
        states=[replace(s, init=_left(s.init, s.input, kept)) for s in graph.states],
        contract=graph.contract,
        history=graph.history,
    )


def _shorter(tensor: Tensor, kept: Kept) -> Tensor:
    stays = [kept.get((tensor.name, axis)) for axis in range(len(tensor.shape))]
    if all(indices is None for indices in stays):
        return tensor
    shape = tuple(n if indices is None else int(indices.size) for n, indices in zip(tensor.shape, stays, strict=True))
    return replace(tensor, shape=shape, data=None if tensor.data is None else _left(tensor.data, tensor.name, kept))


def _left(data: Array, name: str, kept: Kept) -> Array:
    """What is left of the values of a tensor."""
    for axis in range(data.ndim):
        if (name, axis) in kept:
            data = np.take(data, kept[name, axis], axis)
    return np.ascontiguousarray(data).reshape(data.shape)


def cost(graph: Graph, shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """(multiply-accumulates, parameters) of the graph with other shapes of its values."""
    sized = {name: replace(t, shape=shapes[name], data=None) for name, t in graph.tensors.items()}
    total = 0
    for node in graph.nodes:
        rule = TABLE[node.op].macs
        if rule is not None:
            total += rule(node, [None if n is None else sized[n] for n in node.inputs], [sized[n] for n in node.outputs])
    return total, sum(sized[name].elements for name, t in graph.tensors.items() if t.is_const and t.dtype == "float32")


# Attributes ----------------------------------------------------------------------------------------------------------

Rewrite = Callable[[Graph, Node, Kept, dict[str, Tensor]], Node]


def _with(node: Node, **attrs: Any) -> Node:
    return replace(node, attrs={**node.attrs, **attrs})


def _shape(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    return _with(node, shape=tensors[node.outputs[0]].shape)


def _sizes(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    return _with(node, sizes=tuple(tensors[name].shape[node.attrs["axis"]] for name in node.outputs))


def _slice(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    """The first index that stays, of those that were taken, by its place among all that stay."""
    x, y = str(node.inputs[0]), node.outputs[0]
    begin = []
    for axis, (old, stride) in enumerate(zip(node.attrs["begin"], node.attrs["stride"], strict=True)):
        stays = kept.get((x, axis))
        if stays is None:
            begin.append(int(old))
            continue
        taken = int(old) + int(stride) * np.arange(graph[y].shape[axis])
        left = [int(i) for i in taken if i in set(stays.tolist())]
        begin.append(int(np.searchsorted(stays, left[0])))
    return _with(node, begin=tuple(begin), size=tensors[y].shape)


def _pads(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    y = node.outputs[0]
    pads = []
    for axis, (before, after) in enumerate(node.attrs["pads"]):
        stays = kept.get((y, axis))
        if stays is None:
            pads.append((int(before), int(after)))
        else:
            pads.append((int((stays < before).sum()), int((stays >= graph[y].shape[axis] - after).sum())))
    return _with(node, pads=tuple(pads))


def _indices(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    """GATHER by a constant: the rows that stay, by their new numbers, as a constant of its own."""
    x, axis = str(node.inputs[0]), int(node.attrs.get("axis", 0))
    old, stays, taken = graph[str(node.inputs[1])], kept.get((x, axis)), kept.get((node.outputs[0], axis))
    if old.data is None or len(old.shape) != 1 or (stays is None and taken is None):
        return node
    rows = old.data if taken is None else old.data[taken]
    rows = rows if stays is None else np.searchsorted(stays, rows)
    name = fresh(tensors, f"{old.name}_pruned")
    tensors[name] = const(name, rows.astype(old.data.dtype))
    return replace(node, inputs=(x, name))


def _groups(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    depth = graph[node.outputs[0]].shape[-1] // int(node.attrs["groups"])
    return _with(node, groups=tensors[node.outputs[0]].shape[-1] // depth)


def _width(graph: Graph, node: Node, kept: Kept, tensors: dict[str, Tensor]) -> Node:
    """LAYER_NORM, RMS_NORM of fewer values: as if those left out were zeros.

    Of C values the k that stay have mean square C/k times that of all, so that gamma sqrt(C/k) and epsilon C/k make up for it:
    exactly for RMS_NORM, and for LAYER_NORM where those that stay have mean zero (else as near as their mean is to it).
    """
    x = str(node.inputs[0])
    stays = kept.get((x, len(graph[x].shape) - 1))
    if stays is None:
        return node
    more = graph[x].shape[-1] / stays.size
    gamma = node.inputs[1] if len(node.inputs) > 1 else None
    left = np.ones(stays.size, np.float32) if gamma is None else tensors[gamma].real()
    name = fresh(tensors, f"{gamma or node.outputs[0]}_pruned")
    tensors[name] = const(name, (left * more**0.5).astype(np.float32))
    epsilon = float(attr(node, TABLE[node.op], "epsilon")) * more
    return replace(_with(node, epsilon=epsilon), inputs=(x, name, *node.inputs[2:]))


REWRITE: dict[str, Rewrite] = {
    "RESHAPE": _shape,
    "BROADCAST_TO": _shape,
    "SPLIT": _sizes,
    "SLICE": _slice,
    "PAD": _pads,
    "GATHER": _indices,
    "GROUP_NORM": _groups,
    **dict.fromkeys(("LAYER_NORM", "RMS_NORM"), _width),
}
