"""Feed a model the data of another that was made from it: other names, other layout, real numbers instead of integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgekit import fixedpoint, states
from edgekit.boundary import from_outputs, source_shape, to_feeds
from edgekit.errors import BadData, Unsupported
from edgekit.graph import Array, Graph, Node, Shape, build
from edgekit.pipeline import prepare


def source_outputs(
    graph: Graph, source: Graph, samples: Sequence[Mapping[str, Array]], shapes: Mapping[str, Shape]
) -> list[dict[str, Array]]:
    """What `source` says to samples of `graph`: real numbers under `graph`'s output names, laid out as `shapes`.

    Raises BadData when the two do not have the same number of inputs and outputs, of the same sizes.
    """
    if len(source.inputs) != len(graph.inputs) or len(source.outputs) != len(graph.outputs):
        raise BadData(
            f"the source model has {len(source.inputs)} inputs and {len(source.outputs)} outputs, "
            f"this one {len(graph.inputs)} and {len(graph.outputs)}",
            "give the model this one was made from",
        )
    results = []
    for sample in samples:
        held = states.start(source)
        for frame in states.frames(graph, sample):
            raw, held = states.step(source, to_feeds(source, translated(graph, source, frame)), held)
            real = from_outputs(source, raw)
            pairs = matched(graph.outputs, source.outputs)
            results.append({own: laid_as(real[name], shapes[own]) for own, name in pairs.items()})
    return results


def translated(graph: Graph, source: Graph, sample: Mapping[str, Array]) -> dict[str, Array]:
    """A sample of `graph` as `source` takes it: its names, real numbers, its layout. Raises BadData."""
    moved = {}
    for own, name in matched(graph.inputs, source.inputs).items():
        array, quant = np.asarray(sample[own]), graph[own].quant
        if quant is not None and array.dtype.kind in "iu":
            array = fixedpoint.dequantize(array, quant.scale[0], quant.zero_point[0])
        moved[name] = laid_as(array, source_shape(source, name))
    return moved


def aligned(graph: Graph, source: Graph) -> tuple[Graph, Graph] | None:
    """Both prepared alike, the source's values renamed to those of `graph`; None when they do not run the same operators.

    Files drop the names of inner values, so these are matched by position: the same operators in the same order, with
    results of the same shapes (QUANTIZE and DEQUANTIZE apart).
    """
    for form in ("tflm", "tflite", "c", "onnx"):
        try:
            mine, other = prepare(graph, form), prepare(source, form)
        except Unsupported:
            continue
        pairs = list(zip(_computing(mine), _computing(other), strict=False))
        alike = all(a.op == b.op and _shapes(mine, a) == _shapes(other, b) for a, b in pairs)
        edges = [[g[n].shape for n in g.inputs] for g in (mine, other)]
        if alike and len(_computing(mine)) == len(_computing(other)) and edges[0] == edges[1]:
            names = dict(zip(other.inputs, mine.inputs, strict=True))
            for a, b in pairs:
                names |= dict(zip(b.outputs, a.outputs, strict=True))
            return mine, _renamed(other, names, mine)
    return None


def _computing(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op not in {"QUANTIZE", "DEQUANTIZE"}]


def _shapes(graph: Graph, node: Node) -> list[Shape]:
    return [graph[name].shape for name in node.outputs]


def _renamed(graph: Graph, names: Mapping[str, str], like: Graph) -> Graph:
    """`graph` with other names, fed as `like` is."""
    new = {name: names.get(name, f"source/{name}") for name in graph.tensors}
    nodes = [
        replace(
            node, inputs=tuple(None if n is None else new[n] for n in node.inputs), outputs=tuple(new[n] for n in node.outputs)
        )
        for node in graph.nodes
    ]
    tensors = {new[name]: replace(tensor, name=new[name]) for name, tensor in graph.tensors.items()}
    inputs, outputs = [new[n] for n in graph.inputs], [new[n] for n in graph.outputs]
    return build(graph.name, inputs, outputs, nodes, tensors, contract=like.contract)


def matched(own: Sequence[str], other: Sequence[str]) -> dict[str, str]:
    """own name -> the other's: by name where all are the same, else by position."""
    return {n: n for n in own} if set(own) == set(other) else dict(zip(own, other, strict=True))


def laid_as(array: Array, shape: Shape) -> Array:
    """`array` in the layout `shape` has: as it is, with axes of 1 added or dropped, or NHWC <-> NCHW. Raises BadData."""
    if array.shape == shape:
        return array
    for perm in ((0, 2, 3, 1), (0, 3, 1, 2)):
        if array.ndim == 4 and tuple(array.shape[p] for p in perm) == shape:
            return np.ascontiguousarray(array.transpose(perm))
    if [n for n in array.shape if n != 1] == [n for n in shape if n != 1]:
        return array.reshape(shape)
    raise BadData(f"data of shape {list(array.shape)} does not fit the other model, which has {list(shape)}")
