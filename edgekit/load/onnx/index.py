"""Operators that find, pick, place and repeat values: ArgMax, TopK, OneHot, gathers and scatters, CumSum, Tile, Expand.

Constant indices become a GATHER of rows, which every engine has; those of run time keep GATHER_ND and SCATTER_ND.
"""

from __future__ import annotations

import numpy as np

from edgekit.graph import Array, Shape
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler, axis_of
from edgekit.load.onnx.math import cast


def arg(b: Builder, c: Call) -> list[str]:
    op = "ARG_MAX" if c.op == "ArgMax" else "ARG_MIN"
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axis = axis_of(c.get("axis", 0), len(shape))
    if c.get("select_last_index", 0):
        place = b.one(op, [_reversed(b, x, axis)], axis=axis)
        y = b.one("SUB", [b.constant(np.asarray([shape[axis] - 1], np.int32), "last"), place])
    else:
        y = b.one(op, [x], axis=axis)
    return [b.reshape(y, (*shape[:axis], 1, *shape[axis + 1 :])) if c.get("keepdims", 1) else b.reshape(y, _less(shape, axis))]


def _less(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _reversed(b: Builder, x: str, axis: int) -> str:
    shape = b.tensors[x].shape
    begin = tuple(n - 1 if i == axis else 0 for i, n in enumerate(shape))
    return b.one("SLICE", [x], begin=begin, size=shape, stride=tuple(-1 if i == axis else 1 for i in range(len(shape))))


def top_k(b: Builder, c: Call) -> list[str]:
    """The smallest are the largest of the negated values."""
    x = b.tensor(c.needed(0))
    rank = len(b.tensors[x].shape)
    axis = axis_of(c.get("axis", -1), rank)
    wanted = b.ints(c.input(1), "count") if c.opset >= 10 else [int(c.attrs["k"])]
    assert wanted is not None, "the count is required"
    perm = [*(i for i in range(rank) if i != axis), axis]
    back = [perm.index(i) for i in range(rank)]
    x = b.transpose(x, perm)
    if c.get("largest", 1):
        values, places = b.emit("TOPK_V2", [x], outputs=2, k=wanted[0])
    else:
        values, places = b.emit("TOPK_V2", [b.one("NEG", [x])], outputs=2, k=wanted[0])
        values = b.one("NEG", [values])
    return [b.transpose(values, back), b.transpose(places, back)]


def one_hot(b: Builder, c: Call) -> list[str]:
    depth, values = b.ints(c.input(1), "depth"), b.array(c.needed(2))
    if depth is None or values is None:
        raise Cannot("its values are computed at run time", "use constants")
    ids = cast(b, b.tensor(c.needed(0)), "int32")
    axis = axis_of(c.get("axis", -1), len(b.tensors[ids].shape) + 1)
    kind = b.dtype(c.needed(2))
    off, on = (float(v) for v in values.reshape(-1))
    return [b.one("ONE_HOT", [wrapped(b, ids, depth[0])], depth=depth[0], axis=axis, on=on, off=off, dtype=kind)]


def wrapped(b: Builder, ids: str, size: int) -> str:
    """Indices with the negative ones counted from the end."""
    below = b.one("LESS", [ids, b.constant(np.asarray([0], np.int32), "zero")])
    shift = b.one("MUL", [b.one("CAST", [below], to="int32"), b.constant(np.asarray([size], np.int32), "size")])
    return b.one("ADD", [ids, shift])


def cum_sum(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    axis = b.ints(c.input(1), "axis")
    assert axis is not None, "the axis is required"
    place = axis_of(axis[0], len(b.tensors[x].shape))
    return [b.one("CUMSUM", [x], axis=place, exclusive=bool(c.get("exclusive", 0)), reverse=bool(c.get("reverse", 0)))]


# Gathers ------------------------------------------------------------------------------------------------------------


def rows_of(b: Builder, x: str, places: Array, depth: int) -> str:
    """Rows x[place] of x with its first `depth` axes as one; places: their numbers, of any shape."""
    shape = b.tensors[x].shape
    flat = b.reshape(x, (int(np.prod(shape[:depth])), *shape[depth:]))
    return b.one("GATHER", [flat, b.constant(places.astype(np.int32), "places")], axis=0)


def positive(indices: Array, sizes: Shape | Array) -> Array:
    """Constant indices with the negative ones counted from the end. Raises ValueError for one outside."""
    limits = np.asarray(sizes)
    wide = indices.astype(np.int64)
    fixed: Array = np.where(wide < 0, wide + limits, wide)
    if np.any((fixed < 0) | (fixed >= limits)):
        raise ValueError(f"an index is outside {list(np.atleast_1d(limits))}")
    return fixed


def gather_nd(b: Builder, c: Call) -> list[str]:
    x, ids = b.tensor(c.needed(0)), c.needed(1)
    shape, batch, index_shape = b.tensors[x].shape, int(c.get("batch_dims", 0)), b.shape(ids)
    lead = np.indices(index_shape[:batch]).reshape(batch, *index_shape[:batch], *(1,) * (len(index_shape) - 1 - batch))
    lead = np.broadcast_to(lead, (batch, *index_shape[:-1]))
    depth = batch + index_shape[-1]
    indices = b.array(ids)
    if indices is not None:
        last = np.moveaxis(positive(indices, shape[batch:depth]), -1, 0)
        return [rows_of(b, x, np.ravel_multi_index(tuple(np.concatenate([lead, last])), shape[:depth]), depth)]
    found = b.tensor(ids)
    if batch:
        known = b.constant(np.moveaxis(lead, 0, -1).astype(np.int32), "batch")
        found = b.one("CONCATENATION", [known, found], axis=len(index_shape) - 1)
    return [b.one("GATHER_ND", [x, found])]


def _flat_places(b: Builder, ids: str, shape: Shape, axis: int) -> Array | str:
    """Where in the flattened `shape` each index along `axis` points: an array, or an int32 tensor of the same shape."""
    index_shape = b.shape(ids)
    grid = np.indices(index_shape)
    grid[axis] = 0
    base = np.ravel_multi_index(tuple(grid), shape)
    step = int(np.prod(shape[axis + 1 :]))
    indices = b.array(ids)
    if indices is not None:
        places: Array = base + positive(indices, np.asarray(shape[axis])) * step
        return places
    found = wrapped(b, b.tensor(ids), shape[axis])
    if step != 1:
        found = b.one("MUL", [found, b.constant(np.asarray([step], np.int32), "step")])
    return b.one("ADD", [found, b.constant(base.astype(np.int32), "base")])


def gather_elements(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    places = _flat_places(b, c.needed(1), shape, axis_of(c.get("axis", 0), len(shape)))
    if isinstance(places, str):
        return [b.one("GATHER", [b.reshape(x, (int(np.prod(shape)),)), places], axis=0)]
    return [rows_of(b, x, places, len(shape))]


def compress(b: Builder, c: Call) -> list[str]:
    x, condition = b.tensor(c.needed(0)), b.array(c.needed(1))
    if condition is None:
        raise Cannot("the size of its result is computed at run time", "use a constant condition")
    axis = c.get("axis")
    if axis is None:
        x, axis = b.reshape(x, (b.tensors[x].elements,)), 0
    rows = np.flatnonzero(condition).astype(np.int32)
    return [b.one("GATHER", [x, b.constant(rows, "rows")], axis=axis_of(axis, len(b.tensors[x].shape)))]


def reverse_sequence(b: Builder, c: Call) -> list[str]:
    x, lengths = b.tensor(c.needed(0)), b.array(c.needed(1))
    if lengths is None:
        raise Cannot("its lengths are computed at run time", "use constants")
    shape, batch, time = b.tensors[x].shape, int(c.get("batch_axis", 1)), int(c.get("time_axis", 0))
    grid = np.indices(shape[:2])
    limit = lengths.reshape(-1)[grid[batch]]
    grid[time] = np.where(grid[time] < limit, limit - 1 - grid[time], grid[time])
    return [rows_of(b, x, np.ravel_multi_index(tuple(grid), shape[:2]), 2)]


# Scatters -----------------------------------------------------------------------------------------------------------

MOST_TURNS = 16  # values that a scatter combines at one place
COMBINE = {"add": "ADD", "mul": "MUL", "max": "MAXIMUM", "min": "MINIMUM"}


def _scatter(b: Builder, c: Call, data: str, places: Array | str, updates: str) -> str:
    """data[rows, inner] with updates[n, inner] at rows places[n]."""
    reduction = str(c.get("reduction", "none"))
    rows, inner = b.tensors[data].shape
    if isinstance(places, str) or (np.unique(places).size != places.size and reduction == "add"):
        if reduction not in ("none", "add"):
            raise Cannot(f"it combines by {reduction} at places computed at run time", "use constant indices, or reduction=add")
        count = b.tensors[updates].shape[0]
        ids = (
            b.reshape(places, (count, 1))
            if isinstance(places, str)
            else b.constant(places.astype(np.int32).reshape(count, 1), "places")
        )
        placed = b.one("SCATTER_ND", [ids, updates], shape=(rows, inner))
        if reduction == "add":
            return b.one("ADD", [data, placed])
        ones = b.constant(np.ones((count, 1), np.int32), "ones")
        hit = b.one("SCATTER_ND", [ids, ones], shape=(rows, 1))
        touched = b.one("GREATER", [hit, b.constant(np.asarray([0], np.int32), "zero")])
        return b.one("SELECT_V2", [touched, placed, data])
    if reduction != "none":
        if np.unique(places).size != places.size:
            return _in_turns(b, c, data, places, updates)
        old = b.one("GATHER", [data, b.constant(places.astype(np.int32), "places")], axis=0)
        updates = b.one(COMBINE[reduction], [old, updates])
    take = np.arange(rows, dtype=np.int32)
    take[places] = rows + np.arange(places.size, dtype=np.int32)
    both = b.one("CONCATENATION", [data, updates], axis=0)
    return b.one("GATHER", [both, b.constant(take, "rows")], axis=0)


def _in_turns(b: Builder, c: Call, data: str, places: Array, updates: str) -> str:
    """Several values at one place: the first of each place, then the second of each, and so on."""
    seen: dict[int, int] = {}
    turn = np.array([seen.setdefault(int(p), -1) for p in places])
    for i, place in enumerate(places):
        seen[int(place)] += 1
        turn[i] = seen[int(place)]
    if turn.max() >= MOST_TURNS:
        raise Cannot(f"it combines {turn.max() + 1} values at one place", f"at most {MOST_TURNS}")
    for t in range(int(turn.max()) + 1):
        rows = np.flatnonzero(turn == t)
        part = b.one("GATHER", [updates, b.constant(rows.astype(np.int32), f"turn{t}")], axis=0)
        data = _scatter(b, c, data, places[rows], part)
    return data


def scatter_nd(b: Builder, c: Call) -> list[str]:
    data, ids, updates = b.tensor(c.needed(0)), c.needed(1), b.tensor(c.needed(2))
    shape, index_shape = b.tensors[data].shape, b.shape(ids)
    depth = index_shape[-1]
    rows, inner = int(np.prod(shape[:depth])), int(np.prod(shape[depth:]))
    count = int(np.prod(index_shape[:-1]))
    indices = b.array(ids)
    places: Array | str
    if indices is not None:
        last = positive(indices, shape[:depth]).reshape(count, depth)
        places = np.asarray(np.ravel_multi_index(tuple(last.T), shape[:depth]))
    else:
        parts = b.emit("SPLIT", [b.tensor(ids)], outputs=depth, axis=len(index_shape) - 1, sizes=(1,) * depth)
        total = wrapped(b, parts[0], shape[0])
        for part, size in zip(parts[1:], shape[1:depth], strict=True):
            scaled = b.one("MUL", [total, b.constant(np.asarray([size], np.int32), "size")])
            total = b.one("ADD", [scaled, wrapped(b, part, size)])
        places = total
    y = _scatter(b, c, b.reshape(data, (rows, inner)), places, b.reshape(updates, (count, inner)))
    return [b.reshape(y, shape)]


def scatter_elements(b: Builder, c: Call) -> list[str]:
    data, updates = b.tensor(c.needed(0)), b.tensor(c.needed(2))
    shape = b.tensors[data].shape
    places = _flat_places(b, c.needed(1), shape, axis_of(c.get("axis", 0), len(shape)))
    flat = places if isinstance(places, str) else places.reshape(-1)
    size = b.tensors[updates].elements
    y = _scatter(b, c, b.reshape(data, (int(np.prod(shape)), 1)), flat, b.reshape(updates, (size, 1)))
    return [b.reshape(y, shape)]


# Repeats ------------------------------------------------------------------------------------------------------------


def expand(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    target = b.ints(c.input(1), "shape")
    assert target is not None, "the shape is required"
    full = tuple(int(n) for n in np.broadcast_shapes(b.tensors[x].shape, tuple(target)))
    grown = b.reshape(x, (*(1 for _ in range(len(full) - len(b.tensors[x].shape))), *b.tensors[x].shape))
    return [grown if b.tensors[grown].shape == full else b.one("BROADCAST_TO", [grown], shape=full)]


def tile(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    repeats = b.ints(c.input(1), "list of repeats")
    assert repeats is not None, "repeats are required"
    return [x if all(n == 1 for n in repeats) else b.one("TILE", [x], multiples=tuple(repeats))]


HANDLERS: dict[str, Handler] = {
    "ArgMax": arg,
    "ArgMin": arg,
    "Compress": compress,
    "CumSum": cum_sum,
    "Expand": expand,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "ReverseSequence": reverse_sequence,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Tile": tile,
    "TopK": top_k,
}
