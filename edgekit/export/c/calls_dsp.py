"""Calls of the kernels for cores with the DSP extension; weights are laid out for them here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit import dsp
from edgekit.export.c.calls_move import window_rows
from edgekit.export.c.calls_s8 import centred_weights, constant_weights, weighted
from edgekit.export.c.site import Site
from edgekit.graph import Array
from edgekit.ops import TABLE, attr
from edgekit.ops.requant import add_params, dense_requant, int8_quant, zero_of


def in_words(w: Array, narrow: bool) -> Array:
    """w[O, depth] (depth a multiple of 4) as int32[O / 2, depth / 4, 2]: a word holds two channels of inputs 0 and 2 of four,
    the next those of 1 and 3. narrow: the two as one int16, 256 * second + first. An odd last channel gets zeros beside it."""
    rows = np.concatenate([w, np.zeros((len(w) % 2, w.shape[1]), w.dtype)]).astype(np.int64)
    fours = rows.reshape(len(rows) // 2, 2, -1, 4)[..., [0, 2, 1, 3]]
    first, second = fours[:, 0], fours[:, 1]
    pairs = 256 * second + (first if narrow else first & 255)
    return np.ascontiguousarray(pairs, "<i2").view("<i4").astype(np.int32)


def filled(w: Array) -> Array:
    """The last axis filled with zeros to a multiple of 4."""
    more = dsp.padded(w.shape[-1]) - w.shape[-1]
    return np.concatenate([w, np.zeros((*w.shape[:-1], more), w.dtype)], axis=-1)


def _flat_halves(r: dsp.Rescale) -> bool:
    """True when rounding of negative halves cannot show: whatever is below the zero point comes out as the zero point."""
    return r.zero == -128


def _doubled(multiplier: Array) -> Array:
    """Twice a multiplier, less 2**32: the core's multiply-and-add of the high word then needs no shift before it."""
    return 2 * multiplier - (1 << 32)


def packed_block(site: Site, r: dsp.Rescale, tag: str = "") -> list[str]:
    """The `ek_packed` block `q`. tag: tells apart several of one step."""
    pairs = -(-len(r.bias) // 2)
    columns = np.zeros((3, 2 * pairs), np.int64)
    columns[:, : len(r.bias)] = (r.bias, _doubled(r.multiplier), r.right)
    bias, multiplier, right = columns.reshape(3, pairs, 2)
    if r.narrow:
        records, note = [bias << 8 | right, multiplier], "bias * 256 + right shift, then multiplier, of two channels"
    else:
        records, note = [bias, multiplier, right], "bias, multiplier, right shift of two channels"
    name = site.array(f"records{tag}", np.concatenate(records, axis=1).astype(np.int32), "int32_t", note)
    form = ("_s4" if site.tensor(1).dtype == "int4" else "") if r.narrow else "_wide"
    tile = f"tile{form}" + ("_relu_dsp" if _flat_halves(r) else "_dsp")
    used = (tile, f"sums{form}_dsp")
    site.kernels.update(dict.fromkeys(used))
    functions = [f"{site.prefix}_{kernel}" for kernel in used]
    values = (name, *functions, 2 * len(records), r.zero, r.low, r.high)
    return site.block("packed", "q", [(values, "records, functions, words of a record, zero point, lowest, highest")])


def _sums(narrow: bool) -> str:
    return "sums_dsp" if narrow else "sums_wide_dsp"


def conv(site: Site) -> list[str]:
    w = constant_weights(site)
    r = dsp.rescale(site.graph, site.node, w.astype(np.int64))
    lines = packed_block(site, r)
    rows = filled(r.weights.reshape(len(w), w.shape[1], -1)).reshape(len(w), -1)
    weights = site.array("weights", in_words(rows, r.narrow), "int32_t", site.tensor(1).name)
    return convolved(site, lines, weights)


def convolved(site: Site, lines: list[str], weights: str) -> list[str]:
    """A convolution's call, after the `lines` that make its block `q`. weights: the array, laid out for the kernel."""
    x, y, kernel = site.tensor(0), site.out, site.step.kernel
    if kernel.startswith("conv_1x1_"):
        pixels = x.elements // x.shape[3]
        kernel = kernel.replace("1x1", "1x1_back") if site.step.order == "backward" else kernel
        call = site.call(kernel, site.x(), site.amount(pixels), x.shape[3], weights, y.shape[3], "&q", site.scratch, site.y())
        return [*lines, call]
    zero = zero_of(int8_quant(site.node, x))
    call = site.call(kernel, site.x(), "&window", zero, weights, "&q", site.scratch, site.y())
    rows, columns = site.tensor(1).shape[1:3]
    return [*window_rows(site, (rows, columns)), *lines, call]


def depthwise(site: Site) -> list[str]:
    w, y = constant_weights(site), site.out
    r = dsp.rescale(site.graph, site.node, dsp.by_channel(site.node, w))
    small = bool(np.all(np.abs(2 * r.bias) < 1 << 23))
    columns = [2 * r.bias << 8 | r.right, r.multiplier] if small else [2 * r.bias, r.multiplier, r.right]
    note = "twice the bias * 256 + right shift, multiplier" if small else "twice the bias, multiplier, right shift"
    records = site.array("records", np.stack(columns, axis=1).astype(np.int32), "int32_t", note)
    values = (records, len(columns), r.zero, r.low, r.high)
    across = site.band is None and dsp.transposed(site.node, site.tensor(0).shape, y.shape)
    planes = r.weights.reshape(-1, 3, 3)
    planes = planes.transpose(0, 2, 1) if across else planes
    weights = site.weights(planes.astype(np.int8))
    stride, _ = attr(site.node, TABLE[site.node.op], "stride")
    line = f"line_{stride}_relu_dsp" if _flat_halves(r) else f"line_{stride}_dsp"
    site.kernels[line] = None
    zero = zero_of(int8_quant(site.node, site.tensor(0)))
    function = f"{site.prefix}_{line}"
    arguments = (site.x(), "&window", int(across), zero, weights, "&q", function, site.scratch, site.y())
    block = site.block("planes", "q", [(values, "records, words of each, zero point, lowest, highest")])
    return [*window_rows(site, (3, 3)), *block, site.call("depthwise_dsp_s8", *arguments)]


def dense(site: Site) -> list[str]:
    w = centred_weights(site)
    lines = weighted(site, w, dense_requant(site.node, site.tensor(0), site.tensor(1), site.out))
    narrow = dsp.narrow(w, dsp.folded_bias(site.graph, site.node, w))
    weights = site.array("weights", in_words(filled(w), narrow), "int32_t", site.tensor(1).name)
    rows = site.tensor(0).elements // w.shape[1]
    scratch = site.scratch if site.step.scratch is not None else "0"
    sizes = (rows, w.shape[1], weights, w.shape[0])
    site.kernels[_sums(narrow)] = None
    function = f"{site.prefix}_{_sums(narrow)}"
    return [*lines, site.call("dense_dsp_s8", site.x(), *sizes, "&q", function, scratch, site.y())]


def dense_rows(site: Site) -> list[str]:
    """A dense layer of many rows: a 1x1 convolution whose pixels they are."""
    r = dsp.rescale(site.graph, site.node, centred_weights(site))
    lines = packed_block(site, r)
    weights = site.array("weights", in_words(r.weights, r.narrow), "int32_t", site.tensor(1).name)
    count, depth = r.weights.shape
    sizes = (site.tensor(0).elements // depth, depth, weights, count)
    return [*lines, site.call("conv_1x1_dsp_s8", site.x(), *sizes, "&q", site.scratch, site.y())]


def add(site: Site) -> list[str]:
    p = add_params(site.node, site.tensor(0), site.tensor(1), site.out)
    order = dsp.add_order(site.graph, site.node)
    assert order is not None
    a, b = order
    rows: list[tuple[tuple[int, ...], str]] = [
        ((p.zeros[b] << 21, p.multipliers[b], -p.shifts[b]), "b: zero point, multiplier, right shift"),
        ((-(p.zeros[a] << 19),), "a: zero point"),
        (
            (2 * p.out_multiplier - (1 << 32), -p.out_shift, p.out_zero, *p.clamp),
            "multiplier, right shift, zero point, lowest, highest",
        ),
    ]
    kernel = "add_relu_dsp_s8" if p.out_zero == -128 else "add_dsp_s8"
    call = site.call(kernel, site.x(a), site.x(b), site.amount(site.out.elements), "&terms", site.y())
    return [*site.block("add_packed", "terms", rows), call]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "conv_dsp_s8": conv,
    "conv_1x1_dsp_s8": conv,
    "depthwise_dsp_s8": depthwise,
    "dense_dsp_s8": dense,
    "dense_rows_dsp_s8": dense_rows,
    "add_dsp_s8": add,
}
