"""Calls of the kernels that only move values, and the blocks of parameters shared by int8 and float kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit import fixedpoint
from edgekit.export.c.site import Site
from edgekit.export.c.walks import Walk, broadcast, strides, walk
from edgekit.graph import Shape
from edgekit.kernel_choice import SUFFIX
from edgekit.ops import TABLE, attr


def window_rows(site: Site, kernel: Sequence[int]) -> list[str]:
    """The `ek_window` block `window` of a convolution or pool."""
    x, y, entry = site.tensor(0), site.out, TABLE[site.node.op]
    dilation = attr(site.node, entry, "dilation") if "dilation" in entry.attrs else (1, 1)
    pad = attr(site.node, entry, "pad")
    rows: list[tuple[Sequence[object], str]] = [
        (x.shape, "input: batch, rows, columns, channels"),
        (y.shape[1:], "output: rows, columns, channels"),
        ((*kernel, *attr(site.node, entry, "stride"), *dilation), "kernel, stride, dilation"),
        ((pad[0], pad[2]), "padding above, left"),
    ]
    if site.band is None:
        return site.block("window", "window", rows)
    return [*site.block("window", "whole", rows), *site.band.window(site)]


def spread(site: Site) -> list[str]:
    """The `ek_walk` block `walk` of two operands broadcast to the output."""
    out = site.out.shape
    box = walk(out, broadcast(site.tensor(0).shape, out), broadcast(site.tensor(1).shape, out))
    return block_of(site, box, "walk")


def reduced(site: Site) -> list[str]:
    """Blocks `kept` (an output an element) and `over` (the elements of one output) of a reduction."""
    x, axes = site.tensor(0), set(site.node.attrs["axes"])
    step = strides(x.shape)
    lines: list[str] = []
    for name, chosen in (("kept", [i for i in range(len(x.shape)) if i not in axes]), ("over", sorted(axes))):
        box = walk([x.shape[i] for i in chosen], [step[i] for i in chosen], [0] * len(chosen))
        lines += block_of(site, box, name)
    return lines


def block_of(site: Site, box: Walk, name: str) -> list[str]:
    """The `ek_walk` block `name`."""
    if not box.fits:
        raise site.refuse("has more axes than the kernels walk", "a reshape to fewer axes")
    return site.block("walk", name, box.rows())


def move(site: Site) -> list[str]:
    return MOVES[site.node.op](site)


def _copy_box(
    site: Site,
    source: str,
    sizes: Shape,
    a: Sequence[int],
    start: int,
    target: str,
    b: Sequence[int],
    offset: int,
    name: str = "walk",
) -> list[str]:
    """Copies a box of `sizes`, from element `start` with strides a, to element `offset` with strides b."""
    kernel = site.step.kernel
    box = walk(sizes, a, b)
    source, target = (f"{base} + {n}" if n else base for base, n in ((source, start), (target, offset)))
    if (box.sizes == (box.sizes[0],) and box.a == (1,) and box.b == (1,)) or box.sizes == (1,):
        return [site.call(kernel.replace("move", "copy"), source, box.sizes[0], target)]
    return [*block_of(site, box, name), site.call(kernel, source, f"&{name}", target)]


def _reshape(site: Site) -> list[str]:
    return _copy_box(site, site.x(), (site.out.elements,), (1,), 0, site.y(), (1,), 0)


def _transpose(site: Site) -> list[str]:
    step = strides(site.tensor(0).shape)
    return _copy_box(
        site, site.x(), site.out.shape, [step[p] for p in site.node.attrs["perm"]], 0, site.y(), strides(site.out.shape), 0
    )


def _slice(site: Site) -> list[str]:
    step = strides(site.tensor(0).shape)
    start = sum(int(b) * s for b, s in zip(site.node.attrs["begin"], step, strict=True))
    jump = [int(k) * s for k, s in zip(site.node.attrs["stride"], step, strict=True)]
    return _copy_box(site, site.x(), site.out.shape, jump, start, site.y(), strides(site.out.shape), 0)


def _split(site: Site) -> list[str]:
    axis, x = int(site.node.attrs["axis"]), site.tensor(0)
    step, start, lines = strides(x.shape), 0, []
    for i, name in enumerate(site.node.outputs):
        shape = site.graph[name].shape
        if site.graph[name].elements:
            lines += _copy_box(site, site.x(), shape, step, start, site.y(i), strides(shape), 0, f"part{i}")
        start += shape[axis] * step[axis]
    return lines


def _concatenation(site: Site) -> list[str]:
    axis, y = int(site.node.attrs["axis"]), site.out
    step, start, lines = strides(y.shape), 0, []
    for i in range(len(site.node.inputs)):
        x = site.tensor(i)
        if x.elements:
            lines += _copy_box(site, site.x(i), x.shape, strides(x.shape), 0, site.y(), step, start, f"part{i}")
        start += x.shape[axis] * step[axis]
    return lines


def _pad(site: Site) -> list[str]:
    x, y, pads = site.tensor(0), site.out, site.node.attrs["pads"]
    value = float(site.node.attrs.get("value", 0.0))
    if y.quant is not None:
        scale, zero = y.quant.broadcast(0)
        fill: float | int = int(fixedpoint.quantize(np.array([value]), scale, zero, y.dtype)[0])
    else:
        fill = value if y.dtype == "float32" else int(value)
    step = strides(y.shape)
    offset = sum(int(p[0]) * s for p, s in zip(pads, step, strict=True))
    lines = [site.call(site.step.kernel.replace("move", "fill"), fill, y.elements, site.y())]
    return [*lines, *_copy_box(site, site.x(), x.shape, strides(x.shape), 0, site.y(), step, offset)]


def _blocks(site: Site) -> list[str]:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: [N, H, W, block, block, C] on one side, [N, H, block, W, block, C] on the other."""
    deep, wide = (site.tensor(0), site.out) if site.node.op == "DEPTH_TO_SPACE" else (site.out, site.tensor(0))
    block, (n, h, w, _), c = int(site.node.attrs["block"]), deep.shape, wide.shape[3]
    sizes = (n, h, block, w, block, c)
    order = strides((n, h, w, block, block, c))
    deep_steps = [order[i] for i in (0, 1, 3, 2, 4, 5)]
    steps = (deep_steps, strides(sizes)) if site.node.op == "DEPTH_TO_SPACE" else (strides(sizes), deep_steps)
    return _copy_box(site, site.x(), sizes, steps[0], 0, site.y(), steps[1], 0)


MOVES: dict[str, Callable[[Site], list[str]]] = {
    "DEPTH_TO_SPACE": _blocks,
    "SPACE_TO_DEPTH": _blocks,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "SLICE": _slice,
    "SPLIT": _split,
    "CONCATENATION": _concatenation,
    "PAD": _pad,
}


def copy(site: Site) -> list[str]:
    """A whole tensor into an output."""
    return [site.call(site.step.kernel, site.x(), _elements(site.step.outputs[0].shape), site.y())]


def _elements(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def cast(site: Site) -> list[str]:
    return [site.call(site.step.kernel, site.x(), site.out.elements, site.y())]


def gather(site: Site) -> list[str]:
    x, ids, axis = site.tensor(0), site.tensor(1), int(site.node.attrs.get("axis", 0))
    sizes = (_elements(x.shape[:axis]), x.shape[axis], _elements(x.shape[axis + 1 :]), ids.elements)
    call = site.call(site.step.kernel, site.x(0), site.x(1), *sizes, site.y())
    return [f"if ({call.rstrip(';')} != 0) {{", "    return 1; /* an index out of range */", "}"]


_SUFFIXES = sorted(set(SUFFIX.values()))
CALLS: dict[str, Callable[[Site], list[str]]] = {
    **{f"{k}_{s}": call for s in _SUFFIXES for k, call in (("move", move), ("copy", copy), ("gather", gather))},
    **{f"cast_{a}_{b}": cast for a in _SUFFIXES for b in (*_SUFFIXES, "bool")},
}
