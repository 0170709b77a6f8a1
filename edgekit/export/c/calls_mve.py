"""Calls of the kernels for Helium; constants are laid out for their lanes here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit import mve
from edgekit.dsp import add_order, by_channel
from edgekit.export.c.calls_dsp import convolved
from edgekit.export.c.calls_move import window_rows
from edgekit.export.c.calls_s8 import centred_weights, constant_weights, pool
from edgekit.export.c.site import Site
from edgekit.graph import Array
from edgekit.ops.requant import add_params, int8_quant, zero_of


def in_blocks(values: Array) -> Array:
    """[n, ...] filled with zeros to whole blocks of 16."""
    more = -len(values) % mve.LANES
    return np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])


def in_lanes(values: Array) -> Array:
    """[n] as the lanes of four vectors hold each block: 0, 4, 8, 12, 1, 5, 9, 13, ..."""
    return in_blocks(values).reshape(-1, 4, 4).transpose(0, 2, 1).reshape(-1)


def _laned(site: Site, r: mve.Rescale, bias: Array) -> list[str]:
    """The `ek_laned` block `q`."""
    finish = f"finish_{r.kind}_mve"
    site.kernels[finish] = None
    names = (
        site.array("bias", bias.astype(np.int32), "int32_t", "with the input's zero point"),
        site.array("multiplier", in_lanes(r.multiplier).astype(np.int32), "int32_t"),
        site.array("shift", in_lanes(r.shift).astype(np.int8), "int8_t"),
    )
    values = (*names, f"{site.prefix}_{finish}", r.zero, r.low, r.high)
    return site.block("laned", "q", [(values, "bias, multiplier, shift, finish, zero point, lowest, highest")])


def conv(site: Site) -> list[str]:
    w = constant_weights(site)
    if site.node.op == "DEPTHWISE_CONV_2D":  # of one channel: a convolution
        w = w.transpose(3, 1, 2, 0)
    r = mve.rescale(site.graph, site.node, w.astype(np.int64))
    lines = _laned(site, r, in_blocks(r.bias))
    weights = site.weights(w.reshape(len(w), -1))
    return convolved(site, lines, weights)


def depthwise(site: Site) -> list[str]:
    w = constant_weights(site)
    r = mve.rescale(site.graph, site.node, by_channel(site.node, w))
    taps = in_blocks(mve.in_pairs(by_channel(site.node, w)))
    blocks = taps.reshape(-1, mve.LANES, taps.shape[1]).transpose(0, 2, 1)
    weights = site.weights(blocks.astype(np.int8))
    zero = zero_of(int8_quant(site.node, site.tensor(0)))
    kernel = f"depthwise_{r.kind}_mve_s8"
    call = site.call(kernel, site.x(), "&window", zero, weights, "&q", site.scratch, site.y())
    return [*window_rows(site, (w.shape[1], w.shape[2])), *_laned(site, r, in_lanes(r.bias)), call]


def dense(site: Site) -> list[str]:
    w = centred_weights(site)
    r = mve.rescale(site.graph, site.node, w)
    weights = site.array("weights", w.astype(np.int8), "int8_t", site.tensor(1).name)
    rows = site.tensor(0).elements // w.shape[1]
    sizes = (rows, w.shape[1], weights, w.shape[0])
    return [*_laned(site, r, in_blocks(r.bias)), site.call("dense_mve_s8", site.x(), *sizes, "&q", site.scratch, site.y())]


def add(site: Site) -> list[str]:
    p = add_params(site.node, site.tensor(0), site.tensor(1), site.out)
    order = add_order(site.graph, site.node)
    assert order is not None
    a, b = order
    rows: list[tuple[tuple[int, ...], str]] = [
        ((-(p.zeros[a] << 19),), "a: zero point"),
        ((p.zeros[b], p.multipliers[b], p.shifts[b]), "b: zero point, multiplier, shift"),
        ((p.out_multiplier, p.out_shift, p.out_zero, *p.clamp), "multiplier, shift, zero point, lowest, highest"),
    ]
    call = site.call("add_mve_s8", site.x(a), site.x(b), site.amount(site.out.elements), "&terms", site.y())
    return [*site.block("add_laned", "terms", rows), call]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "conv_mve_s8": conv,
    "conv_1x1_mve_s8": conv,
    "depthwise_mve_s8": depthwise,
    "dense_mve_s8": dense,
    "add_mve_s8": add,
    "average_pool_2d_mve_s8": pool,
}
