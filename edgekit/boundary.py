"""Between an application's data (source layout, real numbers) and a Graph's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit import fixedpoint
from edgekit.errors import BadData
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Shape


def source_shape(graph: Graph, name: str) -> Shape:
    """The shape of an input as the source model had it: data is always given so."""
    perm, shape = graph.contract.input(name).perm, graph[name].shape
    return shape if perm is None else tuple(shape[perm.index(axis)] for axis in range(len(shape)))


def to_feeds(graph: Graph, source: Mapping[str, Array]) -> dict[str, Array]:
    """Feeds for `reference.run` and every runner: permuted, and quantized when the graph's input is.

    source: {input name: array of source_shape}, real numbers; an array that already has the input's integer dtype and
    Quant passes as it is. Raises BadData for a wrong name, shape or a value that is not finite.
    """
    feeds: dict[str, Array] = {}
    for name in graph.inputs:
        if name not in source:
            raise BadData(f"no data for input '{name}'; given: {sorted(source)}", f"name the array '{name}'")
        tensor, perm = graph[name], graph.contract.input(name).perm
        array, expected = np.asarray(source[name]), source_shape(graph, name)
        if array.shape != expected:
            raise BadData(f"input '{name}' needs shape {list(expected)}, got {list(array.shape)}")
        if perm is not None:
            array = np.ascontiguousarray(array.transpose(perm))
        kind = NUMPY_DTYPES[tensor.dtype]
        if tensor.quant is not None and array.dtype != kind:
            if not np.all(np.isfinite(array)):
                raise BadData(f"input '{name}' holds values that are not finite")
            scale, zero = tensor.quant.broadcast(array.ndim)
            array = fixedpoint.quantize(array, scale, zero, tensor.quant.dtype)
        feeds[name] = array.astype(kind, copy=False)
    return feeds


def from_outputs(graph: Graph, outputs: Mapping[str, Array], real: bool = True) -> dict[str, Array]:
    """Outputs in the source model's layout; dequantized to float32 when `real` and the graph's output has a Quant."""
    result: dict[str, Array] = {}
    for name in graph.outputs:
        tensor, array = graph[name], np.asarray(outputs[name])
        if real and tensor.quant is not None and array.dtype.kind in "iu":
            scale, zero = tensor.quant.broadcast(array.ndim)
            array = fixedpoint.dequantize(array, scale, zero)
        perm = graph.contract.output(name).perm
        result[name] = array if perm is None else np.ascontiguousarray(array.transpose(perm))
    return result


def random_feeds(graph: Graph, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """`count` feeds of random values in the graph's own dtypes: integers over their whole range (ids: 0 or 1, which every
    table has), floats within the contract's range, or normal. Same seed, same feeds."""
    rng = np.random.default_rng(seed)
    feeds = []
    for _ in range(count):
        feed: dict[str, Array] = {}
        for name in graph.inputs:
            tensor, spec = graph[name], graph.contract.input(name)
            values: Array
            if tensor.quant is not None:
                low, high = fixedpoint.integer_range(tensor.quant.dtype)
                values = rng.integers(low, high + 1, tensor.shape)
            elif tensor.dtype.startswith("float"):
                values = rng.normal(size=tensor.shape) if spec.range is None else rng.uniform(*spec.range, size=tensor.shape)
            else:
                values = rng.integers(0, 2, tensor.shape)
            feed[name] = values.astype(NUMPY_DTYPES[tensor.dtype])
        feeds.append(feed)
    return feeds
