"""Calls of the kernels for weights of 4 bits; their codes are packed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgekit import dsp
from edgekit.export.c import calls_dsp, calls_mve, calls_s8
from edgekit.export.c.calls_move import window_rows
from edgekit.export.c.calls_s8 import constant_weights, weighted
from edgekit.export.c.site import Site
from edgekit.graph import Array
from edgekit.kernel_choice_s4 import widened
from edgekit.ops.requant import conv_requant, dense_requant, int8_quant, weight_quant, zero_of

DEPTHWISE = calls_s8.CALLS | calls_dsp.CALLS | calls_mve.CALLS


def in_pairs(w: Array, groups: int = 1) -> Array:
    """w[O, ...] of -8..7 as bytes: those of channels 0 and 1, 2 and 3, ... of each group together, the second above; beside an
    odd last one lies 0."""
    stored = []
    for part in w.reshape(groups, len(w) // groups, -1).astype(np.int64):
        odd = np.zeros((len(part) % 2, part.shape[1]), np.int64)
        first, second = np.concatenate([part, odd]).reshape(-1, 2, part.shape[1]).transpose(1, 0, 2)
        stored.append((first & 15 | second << 4).reshape(-1))
    return np.concatenate(stored).astype(np.int8)


def centred(site: Site) -> Array:
    """int64[O, ...]: weights less their zero point. Raises Unsupported when they leave 4 bits."""
    w = constant_weights(site).astype(np.int64)
    if site.node.op == "FULLY_CONNECTED":
        w = w - weight_quant(site.node, site.tensor(1)).zero_point.reshape(-1, 1)
    if w.min(initial=0) < -8 or w.max(initial=0) > 7:
        raise site.refuse("its weights' zero point leaves int4", "weights with zero point 0")
    return w


def conv(site: Site) -> list[str]:
    w, x, y = centred(site), site.tensor(0), site.out
    groups = x.shape[3] // w.shape[3]
    lines = weighted(site, w, conv_requant(site.node, x, site.tensor(1), y))
    weights = site.array("weights", in_pairs(w, groups), "int8_t", site.tensor(1).name)
    if site.step.kernel == "conv_1x1_s4":
        kernel = "matmul_back_s4" if site.step.order == "backward" else "matmul_s4"
        pixels = site.amount(x.elements // x.shape[3])
        return [*lines, site.call(kernel, site.x(), pixels, x.shape[3], weights, y.shape[3], "&q", site.y())]
    zero = zero_of(int8_quant(site.node, x))
    call = site.call("conv_s4", site.x(), "&window", groups, zero, weights, "&q", site.scratch, site.y())
    return [*window_rows(site, (w.shape[1], w.shape[2])), *lines, call]


def dense(site: Site) -> list[str]:
    w = centred(site)
    lines = weighted(site, w, dense_requant(site.node, site.tensor(0), site.tensor(1), site.out))
    weights = site.array("weights", in_pairs(w), "int8_t", site.tensor(1).name)
    count, depth = w.shape
    rows = site.tensor(0).elements // depth
    return [*lines, site.call("matmul_s4", site.x(), rows, depth, weights, count, "&q", site.y())]


def depthwise(site: Site) -> list[str]:
    """The int8 kernel, on weights that are widened into the end of its scratch."""
    centred(site)
    view = site.step.scratch
    assert view is not None
    step = replace(site.step, kernel=site.step.kernel.removesuffix("_s4") + "_s8")
    room = view.nbytes - widened(step.kernel, site.tensor(1))
    own = replace(site, step=step, widened=f"{site.scratch} + {room}", before=[])
    lines = DEPTHWISE[step.kernel](own)
    return [*own.before, *lines]


def in_words(w: Array) -> Array:
    """w[O, depth] of -8..7 (depth a multiple of 4) as int32[O / 2, depth / 4].

    Of a word, the lower half belongs to inputs 0 and 1 of four, the other to 2 and 3; of a half, each byte to a channel; of a
    byte, the lower four bits to the first input. All are 8 more than they are; an odd last channel gets 8 beside it.
    """
    rows = np.concatenate([w, np.zeros((len(w) % 2, w.shape[1]), w.dtype)]).astype(np.int64) + 8
    first, second = rows.reshape(len(rows) // 2, 2, -1, 4).transpose(1, 0, 2, 3)
    pairs = first | second << 8
    words = pairs[..., 0] | pairs[..., 1] << 4 | pairs[..., 2] << 16 | pairs[..., 3] << 20
    return words.astype(np.uint32).view(np.int32)


def conv_dsp(site: Site) -> list[str]:
    w = constant_weights(site)
    r = dsp.rescale(site.graph, site.node, w.astype(np.int64))
    rows = calls_dsp.filled(r.weights.reshape(len(w), w.shape[1], -1)).reshape(len(w), -1)
    weights = site.array("weights", in_words(rows), "int32_t", site.tensor(1).name)
    return calls_dsp.convolved(site, calls_dsp.packed_block(site, r), weights)


def dense_dsp(site: Site) -> list[str]:
    """A dense layer, or a 1x1 convolution of a few pixels."""
    w = centred(site)
    w = w.reshape(len(w), -1)
    lines = weighted(site, w, dense_requant(site.node, site.tensor(0), site.tensor(1), site.out))
    weights = site.array("weights", in_words(calls_dsp.filled(w)), "int32_t", site.tensor(1).name)
    rows = site.tensor(0).elements // w.shape[1]
    scratch = site.scratch if site.step.scratch is not None else "0"
    site.kernels["sums_s4_dsp"] = None
    sizes = (rows, w.shape[1], weights, w.shape[0], "&q", f"{site.prefix}_sums_s4_dsp")
    return [*lines, site.call("dense_dsp_s4", site.x(), *sizes, scratch, site.y())]


def dense_rows_dsp(site: Site) -> list[str]:
    """A dense layer of many rows: a 1x1 convolution whose pixels they are."""
    r = dsp.rescale(site.graph, site.node, centred(site))
    lines = calls_dsp.packed_block(site, r)
    weights = site.array("weights", in_words(r.weights), "int32_t", site.tensor(1).name)
    count, depth = r.weights.shape
    sizes = (site.tensor(0).elements // depth, depth, weights, count)
    return [*lines, site.call("conv_1x1_dsp_s4", site.x(), *sizes, "&q", site.scratch, site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "conv_s4": conv,
    "conv_1x1_s4": conv,
    "fully_connected_s4": dense,
    "depthwise_s4": depthwise,
    "depthwise_multiplier_s4": depthwise,
    "depthwise_dsp_s4": depthwise,
    "depthwise_mve_s4": depthwise,
    "conv_mve_s4": depthwise,
    "conv_dsp_s4": conv_dsp,
    "conv_1x1_dsp_s4": conv_dsp,
    "dense_dsp_s4": dense_dsp,
    "dense_rows_dsp_s4": dense_rows_dsp,
}
