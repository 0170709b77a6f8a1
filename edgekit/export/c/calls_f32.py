"""Calls of the float32 kernels, and of those between float32 and int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.export.c.calls_move import reduced, spread, window_rows
from edgekit.export.c.kernels import BINARY_F32, UNARY_F32
from edgekit.export.c.site import Site
from edgekit.graph import Array
from edgekit.ops import TABLE, attr
from edgekit.ops.norm import fold
from edgekit.ops.requant import BOUNDS, scale_of, zero_of


def _range(site: Site) -> tuple[float, float]:
    """What the fused activation lets through."""
    return BOUNDS[str(site.node.attrs.get("activation", "NONE"))]


def _bias(site: Site, channels: int) -> str:
    bias = site.optional(2)
    if bias is None:
        return site.array("bias", np.zeros(channels, np.float32), "float")
    return site.x(2)


def conv(site: Site) -> list[str]:
    w = site.tensor(1)
    groups = () if site.step.kernel == "depthwise_f32" else (site.tensor(0).shape[3] // w.shape[3],)
    window = window_rows(site, (w.shape[1], w.shape[2]))
    bias = _bias(site, site.out.shape[3])
    return [*window, site.call(site.step.kernel, site.x(), "&window", *groups, site.x(1), bias, *_range(site), site.y())]


def fully_connected(site: Site) -> list[str]:
    channels, depth = site.tensor(1).shape
    rows = site.tensor(0).elements // depth
    bias = _bias(site, channels)
    return [site.call("fully_connected_f32", site.x(), rows, depth, site.x(1), channels, bias, *_range(site), site.y())]


def pool(site: Site) -> list[str]:
    window = window_rows(site, tuple(attr(site.node, TABLE[site.node.op], "filter")))
    return [*window, site.call(site.step.kernel, site.x(), "&window", *_range(site), site.y())]


def binary(site: Site) -> list[str]:
    return [*spread(site), site.call(site.step.kernel, site.x(0), site.x(1), "&walk", *_range(site), site.y())]


def compare(site: Site) -> list[str]:
    """MAXIMUM, MINIMUM and PRELU."""
    return [*spread(site), site.call(site.step.kernel, site.x(0), site.x(1), "&walk", site.y())]


def unary(site: Site) -> list[str]:
    entry = TABLE[site.node.op]
    constants = [float(attr(site.node, entry, name)) for name in UNARY_F32[site.step.kernel][1]]
    return [site.call(site.step.kernel, site.x(), *constants, site.amount(site.out.elements), site.y())]


def sums(site: Site) -> list[str]:
    count = site.tensor(0).elements // max(site.out.elements, 1) if site.node.op == "MEAN" else 1
    return [*reduced(site), site.call("sum_f32", site.x(), "&kept", "&over", float(count), site.y())]


def extreme(site: Site) -> list[str]:
    return [*reduced(site), site.call(site.step.kernel, site.x(), "&kept", "&over", site.y())]


def softmax(site: Site) -> list[str]:
    depth = site.out.shape[-1]
    beta = float(site.node.attrs.get("beta", 1.0))
    return [site.call("softmax_f32", site.x(), site.out.elements // max(depth, 1), depth, beta, site.y())]


def batch_norm(site: Site) -> list[str]:
    gamma, beta, mean, var = (_constant(site, i) for i in (1, 2, 3, 4))
    scale, _ = fold(site.node, gamma, beta, mean, var)
    channels = site.out.shape[-1]
    arrays = [
        site.array(stem, data.astype(np.float32), "float")
        for stem, data in (("mean", mean), ("scale", scale), ("offset", beta))
    ]
    return [site.call("batch_norm_f32", site.x(), site.amount(site.out.elements // channels), channels, *arrays, site.y())]


def _constant(site: Site, index: int) -> Array:
    data = site.tensor(index).data
    if data is None:
        raise site.refuse("its statistics are computed by the network", "constant statistics")
    return data


def quantize(site: Site) -> list[str]:
    quant = site.out.quant
    assert quant is not None
    return [site.call(site.step.kernel, site.x(), site.amount(site.out.elements), scale_of(quant), zero_of(quant), site.y())]


def dequantize(site: Site) -> list[str]:
    quant = site.tensor(0).quant
    assert quant is not None
    return [site.call(site.step.kernel, site.x(), site.amount(site.out.elements), scale_of(quant), zero_of(quant), site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    **dict.fromkeys(UNARY_F32, unary),
    **dict.fromkeys(BINARY_F32, binary),
    "conv_f32": conv,
    "depthwise_f32": conv,
    "fully_connected_f32": fully_connected,
    "average_pool_2d_f32": pool,
    "max_pool_2d_f32": pool,
    "mean_f32": sums,
    "sum_f32": sums,
    "reduce_max_f32": extreme,
    "reduce_min_f32": extreme,
    "maximum_f32": compare,
    "minimum_f32": compare,
    "prelu_f32": compare,
    "softmax_f32": softmax,
    "batch_norm_f32": batch_norm,
    "quantize_f32_s8": quantize,
    "dequantize_s8_f32": dequantize,
}
