"""Calls of the normalisations and of the products of two activations, int8 and float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.export.c.calls_move import block_of
from edgekit.export.c.site import Site
from edgekit.export.c.walks import strides, walk
from edgekit.graph import Array, Shape
from edgekit.ops.attention import flips, matmul_requant
from edgekit.ops.log_softmax import log_params
from edgekit.ops.norm_layer import norm_params, spans_of
from edgekit.ops.requant import int8_quant, zero_of


def _constant(site: Site, index: int) -> Array | None:
    tensor = site.optional(index)
    if tensor is None:
        return None
    if tensor.data is None:
        raise site.refuse("its scale or shift is computed by the network", "a normalisation without them, then MUL and ADD")
    return tensor.data


def norm_s8(site: Site) -> list[str]:
    p = norm_params(site.node, site.tensor(0), site.out, _constant(site, 1), _constant(site, 2))
    names = (
        site.array("gain", p.gain.astype(np.int32), "int32_t"),
        site.array("offset", p.offset.astype(np.int32), "int32_t", "with the zero point and a half, 16 fraction bits"),
    )
    rows: list[tuple[Sequence[object], str]] = [
        (names, "gain, offset"),
        ((int(p.gain.size > 1), p.shift), "each, shift"),
        ((int(p.centred), p.zero, f"INT64_C({p.floor})"), "centred, zero point, epsilon"),
    ]
    s = p.spans
    return [
        *site.block("norm_terms", "terms", rows),
        site.call("norm_s8", site.x(), s.rows, s.pixels, s.groups, s.depth, "&terms", site.y()),
    ]


def norm_f32(site: Site) -> list[str]:
    s = spans_of(site.node, site.tensor(0).shape)
    parameters = ["0" if _constant(site, i) is None else site.x(i) for i in (1, 2)]
    centred, epsilon = int(site.node.op != "RMS_NORM"), float(site.node.attrs.get("epsilon", 1e-5))
    sizes = (s.rows, s.pixels, s.groups, s.depth)
    return [site.call("norm_f32", site.x(), *sizes, centred, epsilon, *parameters, site.y())]


def _rows(site: Site) -> tuple[int, int]:
    depth = site.out.shape[-1]
    return site.out.elements // max(depth, 1), depth


def l2_s8(site: Site) -> list[str]:
    zero = zero_of(int8_quant(site.node, site.tensor(0)))
    return [site.call("l2_normalization_s8", site.x(), *_rows(site), zero, site.y())]


def log_softmax_s8(site: Site) -> list[str]:
    p = log_params(site.node, site.tensor(0), site.out)
    scales = (p.multiplier, p.shift, p.diff_min, p.back, p.back_shift)
    return [site.call("log_softmax_s8", site.x(), *_rows(site), *scales, site.y())]


def rows_f32(site: Site) -> list[str]:
    return [site.call(site.step.kernel, site.x(), *_rows(site), site.y())]


def matrices(site: Site) -> list[str]:
    """The blocks `walk` (pairs of matrices) and `matrices` of a BATCH_MATMUL."""
    a, b, out = site.tensor(0).shape, site.tensor(1).shape, site.out.shape
    lead = out[:-2]
    box = walk(lead, _lead_strides(a, lead), _lead_strides(b, lead))
    (flip_a, flip_b), (rows, columns) = flips(site.node), out[-2:]
    depth = a[-2] if flip_a else a[-1]
    steps = (1, rows) if flip_a else (depth, 1)
    other = (1, depth) if flip_b else (columns, 1)
    values: list[tuple[Sequence[object], str]] = [
        ((rows, depth, columns), "rows, depth, columns"),
        ((*steps, *other), "a: from row to row, along a row; b: along the depth, from column to column"),
    ]
    return [*block_of(site, box, "walk"), *site.block("matrices", "matrices", values)]


def _lead_strides(shape: Shape, lead: Shape) -> list[int]:
    """Elements from matrix to matrix of `shape` along each of the output's leading axes; 0 where it is broadcast."""
    full = (1,) * (len(lead) + 2 - len(shape)) + shape
    return [0 if n == 1 else s for n, s in zip(full[:-2], strides(full)[:-2], strict=True)]


def matmul_s8(site: Site) -> list[str]:
    a, b = site.tensor(0), site.tensor(1)
    zeros = [zero_of(int8_quant(site.node, t)) for t in (a, b, site.out)]
    scale = matmul_requant(site.node, a, b, site.out)
    factors = (site.x(0), zeros[0], site.x(1), zeros[1])
    return [*matrices(site), site.call("batch_matmul_s8", *factors, "&walk", "&matrices", *scale, zeros[2], site.y())]


def matmul_f32(site: Site) -> list[str]:
    return [*matrices(site), site.call("batch_matmul_f32", site.x(0), site.x(1), "&walk", "&matrices", site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "norm_s8": norm_s8,
    "norm_f32": norm_f32,
    "l2_normalization_s8": l2_s8,
    "l2_normalization_f32": rows_f32,
    "log_softmax_s8": log_softmax_s8,
    "log_softmax_f32": rows_f32,
    "batch_matmul_s8": matmul_s8,
    "batch_matmul_f32": matmul_f32,
}
