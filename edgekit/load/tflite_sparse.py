"""Sparse constants of TFLite files as dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.graph import Array, Shape

DENSE = 0  # of the schema's DimensionType


def dense(values: Array, shape: Shape, table: Any) -> Array:
    """The constant of `shape` whose stored elements are `values`, in the order of the schema's SparsityParameters.

    Its levels are the tensor's axes and, behind them, those of blocks; each level is dense, or lists its indices (CSR).
    Raises ValueError when the table contradicts itself.
    """
    order = [int(table.TraversalOrder(i)) for i in range(table.TraversalOrderLength())]
    blocked = [int(table.BlockMap(i)) for i in range(table.BlockMapLength())]
    rank, levels = len(shape), table.DimMetadataLength()
    if sorted(order) != list(range(levels)) or levels != rank + len(blocked) or any(not 0 <= a < rank for a in blocked):
        raise ValueError(f"the order {order} and blocks {blocked} of a sparse tensor of {rank} axes")
    place: Array = np.zeros((1, levels), np.int64)  # of each element so far, by axis
    at: Array = np.zeros(1, np.int64)  # its number among its level's
    sizes = [0] * levels
    for level, axis in enumerate(order):
        entry = table.DimMetadata(level)
        if entry.Format() == DENSE:
            size = int(entry.DenseSize())
            sizes[axis] = size
            if size < 1 or len(at) * size > 1 << 28:
                raise ValueError(f"a level of {size}")
            inner = np.tile(np.arange(size), len(at))
            place, at = np.repeat(place, size, 0), np.repeat(at, size) * size + inner
        else:
            starts, listed = (_numbers(entry, side) for side in ("Segments", "Indices"))
            if len(at) and (int(at.max()) + 1 >= len(starts) or np.any(np.diff(starts) < 0) or int(starts[-1]) > len(listed)):
                raise ValueError("the segments of a sparse level do not fit")
            counts = starts[at + 1] - starts[at]
            first = np.repeat(starts[at] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
            place, at = np.repeat(place, counts, 0), first + np.arange(int(counts.sum()))
            inner = listed[at]
        place[:, axis] = inner
    for i, axis in enumerate(blocked):
        place[:, axis] = place[:, axis] * sizes[rank + i] + place[:, rank + i]
    flat = values.reshape(-1)
    if len(at) and int(at.max()) >= flat.size:
        raise ValueError(f"{flat.size} values of {int(at.max()) + 1}")
    made = np.zeros(shape, values.dtype)
    made[tuple(place[:, :rank].T)] = flat[at]
    return made


def _numbers(entry: Any, side: str) -> Array:
    """A level's segments or indices, whatever the width of their integers."""
    from flatbuffers import number_types
    from flatbuffers.table import Table

    from edgekit.load.tflite_schema import schema

    kinds = schema().SparseIndexVector
    kind, union = getattr(entry, f"Array{side}Type")(), getattr(entry, f"Array{side}")()
    widths = {kinds.Int32Vector: 4, kinds.Uint16Vector: 2, kinds.Uint8Vector: 1}
    if union is None or kind not in widths:
        raise ValueError("a sparse level without its indices")
    flags = {4: number_types.Int32Flags, 2: number_types.Uint16Flags, 1: number_types.Uint8Flags}[widths[kind]]
    table = Table(union.Bytes, union.Pos)
    where = table.Offset(4)
    if not where:
        return np.zeros(0, np.int64)
    found: Array = table.GetVectorAsNumpy(flags, where)
    return found.astype(np.int64)
