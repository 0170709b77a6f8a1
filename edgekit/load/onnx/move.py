"""Data movement: pad, concat, split, slice, reshape and its kin, transpose, gather, cast."""

from __future__ import annotations

import numpy as np

from edgekit.load.onnx.builder import NARROW, TO_NCHW, TO_NHWC, Builder, Call, Cannot, Handler, axis_of


def take(b: Builder, x: str, axis: int, indices: list[int]) -> str:
    """Rows `indices` of `axis`, with a constant GATHER."""
    return b.one("GATHER", [x, b.constant(np.asarray(indices, np.int32), f"rows{axis}")], axis=axis)


def pad(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    rank = len(b.tensors[x].shape)
    value = float(c.get("value", 0.0))
    if c.opset < 11:
        given, axes = [int(v) for v in c.attrs["pads"]], list(range(rank))
    else:
        read = b.ints(c.input(1), "pads list")
        assert read is not None, "pads are required"
        given = read
        if (filler := c.input(2)) is not None:
            constant = b.array(filler)
            if constant is None:
                raise Cannot("its fill value is computed at run time", "use a constant")
            value = float(constant.reshape(()))
        listed = b.ints(c.input(3), "axes list")
        axes = [axis_of(a, rank) for a in listed] if listed is not None else list(range(rank))
    if len(given) != 2 * len(axes):
        raise ValueError(f"{len(given)} pads for {len(axes)} axes")
    pads = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pads[axis] = (given[i], given[i + len(axes)])
    if any(p < 0 for both in pads for p in both):
        shape = b.tensors[x].shape
        begin = tuple(max(-before, 0) for before, _ in pads)
        size = tuple(n - s - max(-after, 0) for n, s, (_, after) in zip(shape, begin, pads, strict=True))
        x = b.one("SLICE", [x], begin=begin, size=size, stride=(1,) * rank)
        pads = [(max(before, 0), max(after, 0)) for before, after in pads]
    if not any(p for both in pads for p in both):
        return [x]
    mode = c.get("mode", "constant")
    if mode != "constant":
        return [_pad_by_rows(b, x, pads, mode)]
    if rank == 4 and pads[0] == pads[1] == (0, 0):
        # Spatial padding: kept NHWC, so that it meets its convolution without a transposition.
        y = b.one("PAD", [b.transpose(x, TO_NHWC)], pads=(pads[0], pads[2], pads[3], pads[1]), value=value)
        return [b.transpose(y, TO_NCHW)]
    return [b.one("PAD", [x], pads=tuple(pads), value=value)]


def _pad_by_rows(b: Builder, x: str, pads: list[tuple[int, int]], mode: str) -> str:
    """Edge, reflect and wrap padding, as one gather an axis."""
    modes = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}
    if mode not in modes:
        raise Cannot(f"its mode is {mode}", "use constant, edge, reflect or wrap")
    spatial = len(pads) == 4 and pads[0] == pads[1] == (0, 0)
    if spatial:
        x, pads = b.transpose(x, TO_NHWC), [pads[0], pads[2], pads[3], pads[1]]
    for axis, both in enumerate(pads):
        if any(both):
            rows = np.pad(np.arange(b.tensors[x].shape[axis]), both, mode=modes[mode])  # type: ignore[call-overload]
            x = take(b, x, axis, rows.tolist())
    return b.transpose(x, TO_NCHW) if spatial else x


def concat(b: Builder, c: Call) -> list[str]:
    names = [n for n in c.inputs if n is not None]
    rank = len(b.shape(names[0]))
    axis = axis_of(c.attrs["axis"], rank)
    full = [b.tensor(n) for n in names if b.shape(n)[axis] > 0]
    return full if len(full) == 1 else [b.one("CONCATENATION", full, axis=axis)]


def split(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axis = axis_of(c.get("axis", 0), len(shape))
    given = b.ints(c.input(1), "list of sizes") if c.opset >= 13 else c.get("split")
    count = int(c.get("num_outputs", len(c.outputs)))
    each = -(-shape[axis] // count)
    sizes = [int(s) for s in given] if given else [min(each, shape[axis] - i * each) for i in range(count)]
    if sum(sizes) != shape[axis] or min(sizes) < 0:
        raise ValueError(f"sizes {sizes} of an axis of {shape[axis]}")
    return b.emit("SPLIT", [x], outputs=len(sizes), axis=axis, sizes=tuple(sizes))


def slice_(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    if c.opset < 10:
        starts, ends, axes, steps = c.attrs["starts"], c.attrs["ends"], c.get("axes"), None
    else:
        starts, ends = b.ints(c.input(1), "start"), b.ints(c.input(2), "end")
        axes, steps = b.ints(c.input(3), "axes list"), b.ints(c.input(4), "step")
    begin, size, stride = [0] * len(shape), list(shape), [1] * len(shape)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = axis_of(axes[i], len(shape)) if axes is not None else i
        rows = range(shape[axis])[slice(int(start), int(end), int(steps[i]) if steps is not None else 1)]
        # "int(end)" of a negative step may mean "past the first": Python's slice clamps INT_MIN the same way.
        begin[axis], size[axis], stride[axis] = (rows.start if len(rows) else 0), len(rows), rows.step
    if tuple(size) == shape and all(s == 1 for s in stride):
        return [x]
    return [b.one("SLICE", [x], begin=tuple(begin), size=tuple(size), stride=tuple(stride))]


def reshape(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    wanted = b.ints(c.input(1), "shape")
    assert wanted is not None, "the shape is required"
    if not c.get("allowzero", 0):
        wanted = [shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        known = int(np.prod([n for n in wanted if n != -1], dtype=np.int64))
        wanted = [b.tensors[x].elements // max(known, 1) if n == -1 else n for n in wanted]
    return [b.reshape(x, wanted)]


def flatten(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axis = int(c.get("axis", 1))
    axis = axis + len(shape) if axis < 0 else axis
    return [b.reshape(x, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))))]


def transpose(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    rank = len(b.tensors[x].shape)
    return [b.transpose(x, [int(p) for p in c.get("perm", range(rank - 1, -1, -1))])]


def squeeze(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    given = b.ints(c.input(1), "axes list") if c.opset >= 13 else c.get("axes")
    gone = {axis_of(a, len(shape)) for a in given} if given is not None else {i for i, n in enumerate(shape) if n == 1}
    return [b.reshape(x, [n for i, n in enumerate(shape) if i not in gone])]


def unsqueeze(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    given = b.ints(c.input(1), "axes list") if c.opset >= 13 else c.attrs["axes"]
    assert given is not None, "axes are required"
    rank = len(shape) + len(given)
    new = {axis_of(a, rank) for a in given}
    if len(new) != len(given):
        raise ValueError(f"axes {given} name an axis twice")
    rest = iter(shape)
    return [b.reshape(x, [1 if i in new else next(rest) for i in range(rank)])]


def gather(b: Builder, c: Call) -> list[str]:
    """Constant indices are made non-negative; indices fed at run time must be (as TFLite requires)."""
    x, rows = c.needed(0), c.needed(1)
    shape = b.shape(x)
    axis = axis_of(c.get("axis", 0), len(shape))
    indices = b.array(rows)
    if indices is None:
        return [b.one("GATHER", [b.tensor(x), b.tensor(rows)], axis=axis)]
    if np.any(indices < -shape[axis]) or np.any(indices >= shape[axis]):
        raise ValueError(f"an index is outside axis {axis} of {list(shape)}")
    fixed = b.constant(np.where(indices < 0, indices + shape[axis], indices).astype(np.int32), "indices")
    return [b.one("GATHER", [b.tensor(x), fixed], axis=axis)]


def cast(b: Builder, c: Call) -> list[str]:
    import onnx

    x = b.tensor(c.needed(0))
    code = int(c.attrs["to"])
    kind = str(onnx.helper.tensor_dtype_to_np_dtype(code)) if code != onnx.TensorProto.BFLOAT16 else "bfloat16"
    kind = NARROW.get(kind, kind)
    return [x] if b.tensors[x].dtype == kind else [b.one("CAST", [x], to=kind)]


HANDLERS: dict[str, Handler] = {
    "Pad": pad,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Gather": gather,
    "Cast": cast,
}
