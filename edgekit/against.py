"""Feed a model the data of another that was made from it: other names, other layout, real numbers instead of integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit import fixedpoint, reference
from edgekit.boundary import from_outputs, source_shape, to_feeds
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, Shape


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
        raw = reference.run(source, to_feeds(source, translated(graph, source, sample)))
        real = from_outputs(source, raw)
        results.append({own: laid_as(real[name], shapes[own]) for own, name in matched(graph.outputs, source.outputs).items()})
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
