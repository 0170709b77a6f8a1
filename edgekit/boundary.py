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
    Quant passes as it is. Raises BadData for a missing name, a wrong shape, a value that is not finite or an id that does not
    fit its dtype.
    """
    feeds: dict[str, Array] = {}
    for name in graph.inputs:
        if name not in source:
            raise BadData(f"no data for input '{name}'; given: {sorted(source)}", f"name the array '{name}'")
        tensor, perm = graph[name], graph.contract.input(name).perm
        array, expected = np.asarray(source[name]), source_shape(graph, name)
        if array.shape != expected:
            raise BadData(
                f"input '{name}' needs shape {list(expected)}, got {list(array.shape)}",
                "one sample at a time, in the source model's layout",
            )
        if perm is not None:
            array = np.ascontiguousarray(array.transpose(perm))
        kind = NUMPY_DTYPES[tensor.dtype]
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise BadData(f"input '{name}' holds values that are not finite")
        if tensor.quant is not None and array.dtype != kind:
            scale, zero = tensor.quant.broadcast(array.ndim)
            array = fixedpoint.quantize(array, scale, zero, tensor.quant.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            fed = array.astype(kind, copy=False)
        if fed.dtype.kind == "f" and not np.all(np.isfinite(fed)):
            raise BadData(f"input '{name}' holds values beyond the range of {tensor.dtype}")
        if tensor.quant is None and fed.dtype.kind in "iu" and not np.array_equal(fed, array):
            raise BadData(f"input '{name}' takes ids, and holds values that are no {tensor.dtype}")
        feeds[name] = fed
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


def random_samples(graph: Graph, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """`count` made-up samples in the source's layout: integers over their whole range, real numbers in the contract's range
    or normal, ids within the smallest table they index. Same seed, same samples."""
    # The legacy generator's sequence is frozen by NumPy's policy.
    rng = np.random.RandomState(seed)
    return [{name: _random(graph, name, rng) for name in graph.inputs} for _ in range(count)]


def random_feeds(graph: Graph, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """`random_samples` as the graph takes them."""
    return [to_feeds(graph, sample) for sample in random_samples(graph, count, seed)]


def _random(graph: Graph, name: str, rng: np.random.RandomState) -> Array:
    tensor, shape, held = graph[name], source_shape(graph, name), graph.contract.input(name).range
    kind = NUMPY_DTYPES[tensor.dtype]
    if tensor.dtype.startswith("float"):
        return (rng.normal(0, 1, shape) if held is None else rng.uniform(*held, size=shape)).astype(kind)
    if tensor.quant is not None:
        low, high = fixedpoint.integer_range(tensor.quant.dtype)
        return rng.randint(low, high + 1, shape, dtype=np.int64).astype(kind)
    tables = [
        graph[n.inputs[0]].shape[n.attrs.get("axis", 0)]
        for n in graph.nodes
        if n.op == "GATHER" and n.inputs[0] and n.inputs[1] == name
    ]
    low, high = (0, min(tables)) if tables else (0, 2) if held is None else (int(held[0]), int(held[1]) + 1)
    return np.asarray(rng.randint(low, high, shape)).astype(kind)
