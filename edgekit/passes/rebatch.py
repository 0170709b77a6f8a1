"""rebatch: the same network for another batch size.

Law: running rebatch(g, 8) on 8 samples equals 8 runs of g, one sample each (floats as near as their sums are ordered,
integers exactly). The batch is followed from axis 0 of every input through every node; a node that would mix samples
(a sum over the batch, a slice of it) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.graph import Array, Graph, Node, Shape, Tensor, build, fresh
from edgekit.ops import TABLE, infer


@dataclass(frozen=True)
class Place:
    """Where the batch is in a value: in `axis`, whose size is before * batch * after."""

    axis: int
    before: int = 1
    after: int = 1


class Mixes(Exception):
    """A node that does not keep samples apart; says why."""


# (node, place of the batch in each input, input shapes, output shapes, batch, new batch) -> (place in the outputs, attributes).
Rule = Callable[[Node, list[Place | None], list[Shape], list[Shape], int, int], tuple[Place, dict[str, Any]]]


def rebatch(graph: Graph, n: int) -> Graph:
    """The graph for n samples at once, same names. Raises ValueError for n < 1, Unsupported listing nodes that mix samples."""
    if n < 1:
        raise ValueError(f"a batch of {n} makes no sense")
    places, batch = _input_places(graph)
    if batch == n:
        return graph
    tensors = dict(graph.tensors)
    for name, place in places.items():
        shape = list(tensors[name].shape)
        shape[place.axis] = n
        tensors[name] = replace(tensors[name], shape=tuple(shape))
    problems: list[tuple[str, str, str]] = []
    nodes: list[Node] = []
    lost: set[str | None] = set()  # values after a refused node: complaints about them would only repeat the first
    for node in graph.nodes:
        try:
            if lost.isdisjoint(node.inputs):
                nodes.append(_rebatched(graph, node, tensors, places, batch, n))
                continue
        except Mixes as mix:
            problems.append((f"{node.op} '{node.source}'", str(mix), "keep axis 0 for the batch"))
        lost |= set(node.outputs)
    if problems:
        raise Unsupported(f"a batch of {n} for '{graph.name}'", problems)
    return build(
        graph.name,
        graph.inputs,
        graph.outputs,
        nodes,
        tensors,
        contract=graph.contract,
        history=(*graph.history, f"rebatch({n})"),
    )


def batch_of(graph: Graph) -> int:
    """The batch size a graph was made for: the size of its inputs' batch axis. Raises Unsupported when they differ."""
    return _input_places(graph)[1]


def _input_places(graph: Graph) -> tuple[dict[str, Place], int]:
    if graph.states:
        raise Unsupported("a batch", [(s.input, "is a state carried from run to run", "") for s in graph.states])
    places: dict[str, Place] = {}
    for name in graph.inputs:
        perm = graph.contract.input(name).perm
        if not graph[name].shape:
            raise Unsupported("a batch", [(f"input '{name}'", "has no axes", "")])
        places[name] = Place(0 if perm is None else perm.index(0))
    sizes = {name: graph[name].shape[place.axis] for name, place in places.items()}
    if len(set(sizes.values())) > 1:
        faults = [(f"input '{n}'", f"has {size} samples", "one batch size for all") for n, size in sizes.items()]
        raise Unsupported("a batch", faults)
    return places, next(iter(sizes.values()), 1)


def _rebatched(graph: Graph, node: Node, tensors: dict[str, Tensor], places: dict[str, Place], batch: int, n: int) -> Node:
    """The node for n samples; adds its outputs to `tensors` and `places`."""
    found = [None if name is None else places.get(name) for name in node.inputs]
    if all(place is None for place in found):
        return node
    shapes = [() if name is None else graph[name].shape for name in node.inputs]
    outputs = [graph[name].shape for name in node.outputs]
    rule = RULES.get(node.op) or (_elementwise if TABLE[node.op].elementwise else None)
    if rule is None:
        raise Mixes("is not known to keep samples apart")
    place, attrs = rule(node, found, shapes, outputs, batch, n)
    inputs: list[str | None] = []
    for name, at in zip(node.inputs, found, strict=True):
        if name is not None and at is None and (node.op == "CONCATENATION" or TABLE[node.op].elementwise):
            inputs.append(_repeated(tensors, graph[name], place, outputs[0], batch, n, node.op != "CONCATENATION"))
        else:
            inputs.append(name)
    new = replace(node, inputs=tuple(inputs), attrs=attrs)
    inferred = infer(new, [None if name is None else tensors[name] for name in inputs])
    for name, old, (shape, _) in zip(node.outputs, outputs, inferred, strict=True):
        if shape != _scaled(old, place, batch, n):
            raise Mixes(f"gives {list(shape)} for a batch of {n}, {list(old)} for {batch}")
        tensors[name] = replace(tensors[name], shape=shape)
        places[name] = place
    return new


def _scaled(shape: Shape, place: Place, batch: int, n: int) -> Shape:
    return tuple(size // batch * n if axis == place.axis else size for axis, size in enumerate(shape))


def _repeated(tensors: dict[str, Tensor], value: Tensor, place: Place, out: Shape, batch: int, n: int, broadcasts: bool) -> str:
    """A value without a batch, for a node that has one: the same for every sample."""
    axis = place.axis - (len(out) - len(value.shape))
    if broadcasts and (axis < 0 or value.shape[axis] == 1):
        return value.name
    if value.data is None:
        raise Mixes(f"reads '{value.name}', which is one value a sample but is not computed from an input")
    lead, trail = value.shape[:axis], value.shape[axis + 1 :]
    parts = value.data.reshape((*lead, place.before, batch, place.after, *trail))
    first: Array = np.take(parts, [0], axis=axis + 1)
    if not np.array_equal(parts, np.broadcast_to(first, parts.shape)):
        raise Mixes(f"reads the constant '{value.name}', which differs from sample to sample")
    if value.quant is not None and value.quant.axis == axis and value.quant.scale.size > 1:
        raise Mixes(f"reads '{value.name}', quantized along the batch")
    data = np.ascontiguousarray(np.repeat(first, n, axis=axis + 1)).reshape((*lead, place.before * n * place.after, *trail))
    name = fresh(tensors, f"{value.name}_x{n}")
    tensors[name] = replace(value, name=name, shape=data.shape, data=data)
    return name


# Rules ---------------------------------------------------------------------------------------------------------------


def reshaped(place: Place, x: Shape, y: Shape, batch: int) -> Place:
    """Where the batch goes when x becomes y, the elements in order: an axis of its own where there is one."""
    pre = int(np.prod(x[: place.axis], dtype=np.int64)) * place.before
    choices: list[Place] = []
    for axis, size in enumerate(y):
        first = int(np.prod(y[:axis], dtype=np.int64))
        if first and pre % first == 0 and size % (pre // first * batch) == 0 and size:
            choices.append(Place(axis, pre // first, size // (pre // first * batch)))
    if not choices:
        raise Mixes(f"{list(x)} -> {list(y)} tears the batch of axis {place.axis} apart")
    return min(choices, key=lambda c: (c.before * c.after != 1, c.axis))


def _only(places: list[Place | None]) -> Place:
    if places[0] is None or any(p is not None for p in places[1:]):
        raise Mixes("has weights or indices that depend on the input")
    return places[0]


def _elementwise(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    rank = len(outputs[0])
    moved = {replace(p, axis=p.axis + rank - len(s)) for p, s in zip(places, shapes, strict=True) if p is not None}
    if len(moved) != 1:
        raise Mixes("combines values whose batches lie on different axes")
    place = moved.pop()
    if outputs[0][place.axis] != place.before * batch * place.after:
        raise Mixes(f"broadcasts one sample along axis {place.axis}")
    if node.op == "BATCH_NORM" and place.axis == rank - 1:
        raise Mixes("normalises along the batch")
    return place, dict(node.attrs)


def _window(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place = _only(places)
    if place.axis != 0:
        raise Mixes(f"has the batch on axis {place.axis}, it must be axis 0")
    return place, dict(node.attrs)


def _dense(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place, features = _only(places), shapes[1][1]
    rows = (int(np.prod(shapes[0], dtype=np.int64)) // features, features)
    if not node.attrs.get("keep_dims", False):
        place = reshaped(place, shapes[0], rows, batch)
    if place.axis == len(outputs[0]) - 1:
        raise Mixes("sums over the batch")
    return place, dict(node.attrs)


def _reduce(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place, axes = _only(places), node.attrs["axes"]
    if place.axis in axes:
        raise Mixes(f"reduces axis {place.axis}, which is the batch")
    dropped = 0 if node.attrs.get("keep_dims", False) else sum(a < place.axis for a in axes)
    return replace(place, axis=place.axis - dropped), dict(node.attrs)


def _softmax(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place = _only(places)
    if place.axis == len(shapes[0]) - 1:
        raise Mixes("normalises along the batch")
    return place, dict(node.attrs)


def _normalised(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    """LAYER_NORM, RMS_NORM, GROUP_NORM."""
    place = _only(places)
    if place.axis >= (1 if node.op == "GROUP_NORM" else node.attrs["axis"]):
        raise Mixes("normalises along the batch")
    return place, dict(node.attrs)


def _product(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    """BATCH_MATMUL: along the leading axes, or along the rows (columns) of a product with a value that has no batch."""
    rank = len(outputs[0])
    moved: set[Place] = set()
    for index, (place, shape, key) in enumerate(zip(places, shapes, ("adj_x", "adj_y"), strict=True)):
        if place is None:
            continue
        axis = place.axis + rank - len(shape)
        if axis >= rank - 2:
            kept = rank - 2 + (index ^ int(bool(node.attrs.get(key, False))))
            if axis != kept or places[1 - index] is not None:
                raise Mixes("sums over the batch" if axis != kept else "multiplies the samples with each other")
            axis = rank - 2 + index
        moved.add(replace(place, axis=axis))
    if len(moved) != 1:
        raise Mixes("multiplies values whose batches lie on different axes")
    place = moved.pop()
    if outputs[0][place.axis] != place.before * batch * place.after:
        raise Mixes(f"broadcasts one sample along axis {place.axis}")
    return place, dict(node.attrs)


def _cell(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    """LSTM, GRU and RNN: samples lie along axis 0 of the sequence, and of first states."""
    known = {p for p in places if p is not None}
    states = [i for i in (4, 5) if i < len(places) and node.inputs[i] is not None and len(shapes[i]) == 2]
    if known != {Place(0)} or places[0] is None:
        raise Mixes("has its samples along another axis than 0")
    if any(places[i] is None for i in states):
        raise Mixes("starts from a state that is the same constant for every sample")
    return Place(0), dict(node.attrs)


def _pad(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place = _only(places)
    if any(node.attrs["pads"][place.axis]):
        raise Mixes("pads the batch")
    return place, dict(node.attrs)


def _along(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    """CONCATENATION and SPLIT."""
    known = {p for p in places if p is not None}
    place = known.pop()
    if known:
        raise Mixes("joins values whose batches lie on different axes")
    if place.axis == node.attrs["axis"]:
        raise Mixes(f"{'joins' if node.op == 'CONCATENATION' else 'splits'} axis {place.axis}, which is the batch")
    return place, dict(node.attrs)


def _slice(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place = _only(places)
    axis, size = place.axis, shapes[0][place.axis]
    whole = outputs[0][axis] == size and (size == 1 or (node.attrs["begin"][axis] == 0 and node.attrs["stride"][axis] == 1))
    if not whole:
        raise Mixes(f"takes part of axis {axis}, which is the batch")
    stride = tuple(1 if i == axis else s for i, s in enumerate(node.attrs["stride"]))
    return place, {**node.attrs, "size": _scaled(tuple(node.attrs["size"]), place, batch, n), "stride": stride}


def _reshape(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place = reshaped(_only(places), shapes[0], outputs[0], batch)
    return place, {"shape": _scaled(outputs[0], place, batch, n)}


def _transpose(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    place = _only(places)
    return replace(place, axis=list(node.attrs["perm"]).index(place.axis)), dict(node.attrs)


def _gather(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    x, indices = places
    axis = int(node.attrs.get("axis", 0))
    if x is not None and indices is not None:
        raise Mixes("looks up each sample in itself")
    if indices is not None:
        return replace(indices, axis=indices.axis + axis), dict(node.attrs)
    assert x is not None
    if x.axis == axis:
        raise Mixes(f"takes parts of axis {axis}, which is the batch")
    return replace(x, axis=x.axis if x.axis < axis else x.axis + len(shapes[1]) - 1), dict(node.attrs)


def _own_axis(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    """Operators along one axis: CUMSUM, TOPK_V2 (the last), ARG_MAX and ARG_MIN (which drop it), ONE_HOT (which adds it)."""
    place = _only(places)
    axis = int(node.attrs.get("axis", len(shapes[0]) - 1))
    if node.op == "ONE_HOT":
        return replace(place, axis=place.axis + (axis <= place.axis)), dict(node.attrs)
    if place.axis == axis:
        raise Mixes(f"works along axis {axis}, which is the batch")
    dropped = node.op in {"ARG_MAX", "ARG_MIN"} and axis < place.axis
    return replace(place, axis=place.axis - dropped), dict(node.attrs)


def _repeats(
    node: Node, places: list[Place | None], shapes: list[Shape], outputs: list[Shape], batch: int, n: int
) -> tuple[Place, dict[str, Any]]:
    """TILE and BROADCAST_TO."""
    place = _only(places)
    moved = replace(place, axis=place.axis + len(outputs[0]) - len(shapes[0]))
    if outputs[0][moved.axis] != shapes[0][place.axis]:
        raise Mixes("repeats the batch")
    if node.op == "TILE":
        return moved, dict(node.attrs)
    return moved, {"shape": _scaled(tuple(int(s) for s in node.attrs["shape"]), moved, batch, n)}


_WINDOWS: Sequence[str] = (
    *("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
    *("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "STFT"),
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _cell),
    **dict.fromkeys(_WINDOWS, _window),
    **dict.fromkeys("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL".split(), _reduce),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "TOPK_V2", "CUMSUM", "ONE_HOT"), _own_axis),
    **dict.fromkeys(("TILE", "BROADCAST_TO"), _repeats),
    **dict.fromkeys(("CONCATENATION", "SPLIT"), _along),
    "FULLY_CONNECTED": _dense,
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "FILTER_BANK"), _softmax),
    **dict.fromkeys(("LAYER_NORM", "RMS_NORM", "GROUP_NORM"), _normalised),
    "BATCH_MATMUL": _product,
    "PAD": _pad,
    "SLICE": _slice,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "GATHER": _gather,
}
