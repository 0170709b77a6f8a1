"""Calls of the kernels of transposed convolutions and resizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.export.c.calls_s8 import constant_weights, in_turn, weighted
from edgekit.export.c.site import Site
from edgekit.graph import Array
from edgekit.kernel_choice import SUFFIX
from edgekit.ops.requant import BOUNDS, conv_requant, int8_quant, zero_of
from edgekit.ops.resize import fixed_scale, modes, nearest, row_scale
from edgekit.ops.spatial import Residue, residues, spread_of


def geometry(site: Site, kernel: Sequence[int], stride: Sequence[int], step: Sequence[int]) -> list[str]:
    """The `ek_window` block `window`; padding is not part of it. step: input rows and columns from one tap to the next."""
    x, y = site.tensor(0), site.out
    rows: list[tuple[Sequence[object], str]] = [
        (x.shape, "input: batch, rows, columns, channels"),
        (y.shape[1:], "output: rows, columns, channels"),
        ((*kernel, *stride, *step, 0, 0), "kernel, stride, from tap to tap, no padding"),
    ]
    return site.block("window", "window", rows)


def by_residue(w: Array, rows: Sequence[Residue], columns: Sequence[Residue]) -> list[Array]:
    """w[O, taps of the residue, I] of each residue, rows before columns."""
    o, _, _, depth = w.shape
    return [w[:, list(r.taps)][:, :, list(c.taps)].reshape(o, -1, depth) for r in rows for c in columns]


def _taps(site: Site, w: Array) -> tuple[list[Residue], list[Residue], list[str], list[str]]:
    """(rows, columns, the window's lines, the names of their arrays)."""
    g = spread_of(site.node, w.shape)
    rows, columns = residues(g, 0), residues(g, 1)
    pairs = [np.array([(len(r.taps), r.first) for r in side], np.int16) for side in (rows, columns)]
    names = [
        site.array(f"{what}_taps", pair, "int16_t", "taps, first one read, a residue")
        for what, pair in zip(("row", "column"), pairs, strict=True)
    ]
    return rows, columns, geometry(site, g.kernel, g.stride, (rows[0].step, columns[0].step)), names


def residue_taps(site: Site, w: Array) -> tuple[list[Array], list[str], list[str]]:
    """(w[O, taps, I] of each residue, the window's lines, the names of the arrays of taps) of a TRANSPOSE_CONV."""
    rows, columns, window, names = _taps(site, w)
    return by_residue(w, rows, columns), window, names


def transpose_conv_s8(site: Site) -> list[str]:
    w = constant_weights(site)
    x, groups = site.tensor(0), site.tensor(0).shape[3] // w.shape[3]
    rows, columns, window, names = _taps(site, w)
    parts = by_residue(w, rows, columns)
    most = max(part.shape[1] for part in parts)
    # One bias a residue: the input's zero point has its share only through the taps that are read.
    padded = [np.pad(part.astype(np.int64), ((0, 0), (0, most - part.shape[1]), (0, 0))) for part in parts]
    requant = conv_requant(site.node, x, site.tensor(1), site.out)
    lines = weighted(site, np.concatenate(padded), requant, len(parts))
    stored = np.concatenate([in_turn(part, groups).reshape(-1) for part in parts if part.size])
    weights = site.array("weights", stored, "int8_t", site.tensor(1).name)
    zero = zero_of(int8_quant(site.node, x))
    operands = (site.x(), "&window", groups, zero, *names, weights, "&q", site.scratch, site.y())
    return [*window, *lines, site.call("transpose_conv_s8", *operands)]


def transpose_conv_f32(site: Site) -> list[str]:
    w = constant_weights(site)
    groups = site.tensor(0).shape[3] // w.shape[3]
    rows, columns, window, names = _taps(site, w)
    stored = np.concatenate([part.reshape(-1) for part in by_residue(w, rows, columns)])
    weights = site.array("weights", stored, "float", site.tensor(1).name)
    channels = site.out.shape[3]
    bias = site.x(2) if site.optional(2) is not None else site.array("bias", np.zeros(channels, np.float32), "float")
    limits = BOUNDS[str(site.node.attrs.get("activation", "NONE"))]
    return [*window, site.call("transpose_conv_f32", site.x(), "&window", groups, *names, weights, bias, *limits, site.y())]


def _resized(site: Site) -> tuple[list[str], int]:
    return geometry(site, (1, 1), (1, 1), (1, 1)), int(site.step.order == "backward")


def resize_nearest(site: Site) -> list[str]:
    window, back = _resized(site)
    x, y = site.tensor(0).shape, site.out.shape
    names = [
        site.array(what, nearest(x[axis], y[axis], *modes(site.node)).astype(np.uint16), "uint16_t", "where each is taken from")
        for axis, what in ((1, "rows"), (2, "columns"))
    ]
    return [*window, site.call(site.step.kernel, site.x(), "&window", *names, back, site.y())]


def resize_bilinear(site: Site) -> list[str]:
    window, back = _resized(site)
    x, y, (align, half) = site.tensor(0).shape, site.out.shape, modes(site.node)
    if site.step.kernel == "resize_bilinear_s8":
        scales: list[float] = [fixed_scale(x[axis], y[axis], align) for axis in (1, 2)]
    else:
        scales = [float(row_scale(x[axis], y[axis], align)) for axis in (1, 2)]
    return [*window, site.call(site.step.kernel, site.x(), "&window", *scales, int(half), back, site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "transpose_conv_s8": transpose_conv_s8,
    "transpose_conv_f32": transpose_conv_f32,
    "resize_bilinear_s8": resize_bilinear,
    "resize_bilinear_f32": resize_bilinear,
    **dict.fromkeys([f"resize_nearest_{s}" for s in sorted(set(SUFFIX.values()))], resize_nearest),
}
