"""Calls of the int8 kernels. Multipliers, shifts and clamps are the reference's own, from `edgekit.ops.requant`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.export.c.calls_move import reduced, spread, window_rows
from edgekit.export.c.site import Facts, Site
from edgekit.graph import Array, Tensor
from edgekit.ops import TABLE, attr
from edgekit.ops.requant import (
    activation_range,
    add_params,
    conv_requant,
    data_quant,
    dense_requant,
    int8_quant,
    mul_params,
    prelu_params,
    reduce_params,
    requantize_params,
    softmax_params,
    weight_quant,
    zero_of,
)
from edgekit.ops.tables import unary_table


def weighted(site: Site, weights: Array, requant: tuple[Array, Array], parts: int = 1) -> list[str]:
    """The `ek_quantized` block `q` of a convolution or dense layer. weights: int64[O, ...], or [parts * O, ...] where each of
    several parts of the output reads weights of its own.

    The bias gets the share of the input's zero point, so kernels multiply the input as it is.
    """
    y = int8_quant(site.node, site.out)
    bias_tensor = site.optional(2)
    count = len(weights) // parts
    bias = np.tile(np.zeros(count, np.int64) if bias_tensor is None else _data(bias_tensor).astype(np.int64), parts)
    zero = zero_of(int8_quant(site.node, site.tensor(0)))
    folded = bias - zero * weights.reshape(len(weights), -1).sum(axis=1)
    # Sums are modulo 2**32 in the kernels too, so a folded bias that leaves int32 still gives the exact result.
    folded = ((folded + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    multipliers, shifts = requant
    each = int(bool(np.any(multipliers != multipliers[0]) or np.any(shifts != shifts[0])))
    if not each:
        multipliers, shifts = multipliers[:1], shifts[:1]
    # A multiplier of 0 gives 0 with any shift; -1 is one that the rescale without left shifts can hold.
    shifts = np.where(multipliers == 0, -1, shifts)
    low, high = activation_range(str(attr(site.node, TABLE[site.node.op], "activation")), y)
    site.facts.append(Facts(bool(np.all(shifts < 0)) and _small_sums(folded, weights), (low, high) == (-128, 127)))
    stored = (-shifts - 1) if site.right else shifts
    names = (
        site.array("bias", folded.astype(np.int32), "int32_t", "with the input's zero point"),
        site.array("multiplier", multipliers.astype(np.int32), "int32_t"),
        site.array("shift", stored.astype(np.int8), "int8_t"),
    )
    values = [
        (names, "bias, multiplier, shift"),
        ((each, zero_of(y), low, high), "one multiplier a channel, zero point, lowest, highest"),
    ]
    return site.block("quantized", "q", values)


def _small_sums(folded: Array, weights: Array) -> bool:
    """True when no input gives a sum of 2**30 or more, which the faster rescale doubles."""
    flat = weights.reshape(len(weights), -1)
    low = folded + np.minimum(flat * -128, flat * 127).sum(axis=1)
    high = folded + np.maximum(flat * -128, flat * 127).sum(axis=1)
    return bool(np.all(low > -(1 << 30)) and np.all(high < 1 << 30))


def _data(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return tensor.data


def constant_weights(site: Site) -> Array:
    w = site.tensor(1)
    if w.data is None:
        raise site.refuse("its weights are computed by the network", "constant weights")
    bias = site.optional(2)
    if bias is not None and bias.data is None:
        raise site.refuse("its bias is computed by the network", "a constant bias")
    return w.data


def in_turn(w: Array, groups: int = 1) -> Array:
    """w[O, ...] with the weights of channels 0 and 1, 2 and 3, ... of each group in turn; an odd last channel by itself."""
    stored = []
    for part in w.reshape(groups, len(w) // groups, -1):
        pairs = len(part) // 2 * 2
        stored += [part[:pairs].reshape(-1, 2, part.shape[1]).transpose(0, 2, 1).reshape(-1), part[pairs:].reshape(-1)]
    return np.concatenate(stored).reshape(w.shape)


def in_fours(w: Array) -> Array:
    """Depthwise w[1, kh, kw, C] as [C / 4][kh][kw][4], then the channels left over one by one."""
    taps = w.reshape(-1, w.shape[3])
    whole = w.shape[3] // 4 * 4
    fours = taps[:, :whole].reshape(len(taps), -1, 4).transpose(1, 0, 2)
    return np.concatenate([fours.reshape(-1), taps[:, whole:].T.reshape(-1)]).reshape(w.shape)


def conv(site: Site) -> list[str]:
    w = constant_weights(site)
    x, y = site.tensor(0), site.out
    lines = weighted(site, w.astype(np.int64), conv_requant(site.node, x, site.tensor(1), y))
    weights = site.array("weights", in_turn(w, x.shape[3] // w.shape[3]), "int8_t", site.tensor(1).name)
    if site.step.kernel == "conv_1x1_s8":
        pixels = x.elements // x.shape[3]
        kernel = "matmul_back_s8" if site.step.order == "backward" else "matmul_s8"
        return [*lines, site.call(kernel, site.x(), site.amount(pixels), x.shape[3], weights, y.shape[3], "&q", site.y())]
    groups = x.shape[3] // w.shape[3]
    zero = zero_of(int8_quant(site.node, x))
    window = window_rows(site, (w.shape[1], w.shape[2]))
    call = site.call("conv_s8", site.x(), "&window", groups, zero, weights, "&q", site.scratch, site.y())
    return [*window, *lines, call]


def depthwise(site: Site) -> list[str]:
    w = constant_weights(site)
    by_channel = w.astype(np.int64).reshape(-1, w.shape[3]).T
    lines = weighted(site, by_channel, conv_requant(site.node, site.tensor(0), site.tensor(1), site.out))
    stored = in_fours(w) if site.step.kernel == "depthwise_s8" else w
    weights = site.weights(stored)
    window = window_rows(site, (w.shape[1], w.shape[2]))
    zero = zero_of(int8_quant(site.node, site.tensor(0)))
    return [*window, *lines, site.call(site.step.kernel, site.x(), "&window", zero, weights, "&q", site.y())]


def centred_weights(site: Site) -> Array:
    """int64[O, I]: a dense layer's weights less their zero point. Raises Unsupported when they leave int8."""
    zeros = weight_quant(site.node, site.tensor(1)).zero_point
    centred = constant_weights(site).astype(np.int64) - zeros.reshape(-1, 1)
    if centred.min(initial=0) < -128 or centred.max(initial=0) > 127:
        raise site.refuse("its weights' zero point leaves int8", "weights with zero point 0")
    return centred


def fully_connected(site: Site) -> list[str]:
    centred, tensor = centred_weights(site), site.tensor(1)
    lines = weighted(site, centred, dense_requant(site.node, site.tensor(0), tensor, site.out))
    weights = site.array("weights", in_turn(centred.astype(np.int8)), "int8_t", tensor.name)
    count, depth = centred.shape
    rows = site.tensor(0).elements // depth
    return [*lines, site.call("matmul_s8", site.x(), rows, depth, weights, count, "&q", site.y())]


def pool(site: Site) -> list[str]:
    low, high = activation_range(str(attr(site.node, TABLE[site.node.op], "activation")), data_quant(site.node, site.out))
    window = window_rows(site, tuple(attr(site.node, TABLE[site.node.op], "filter")))
    return [*window, site.call(site.step.kernel, site.x(), "&window", low, high, site.y())]


def add(site: Site) -> list[str]:
    p = add_params(site.node, site.tensor(0), site.tensor(1), site.out)
    rows: list[tuple[Sequence[object], str]] = [
        ((p.zeros[0], p.multipliers[0], p.shifts[0]), "a: zero point, multiplier, shift"),
        ((p.zeros[1], p.multipliers[1], p.shifts[1]), "b: zero point, multiplier, shift"),
        (
            (p.left_shift, p.out_multiplier, p.out_shift, p.out_zero, *p.clamp),
            "left shift, multiplier, shift, zero, lowest, highest",
        ),
    ]
    kind = "_s16" if site.out.dtype == "int16" else ""
    block = site.block(f"{site.node.op.lower()}{kind}_terms", "terms", rows)
    return [*spread(site), *block, site.call(site.step.kernel, site.x(0), site.x(1), "&walk", "&terms", site.y())]


def mul(site: Site) -> list[str]:
    p = mul_params(site.node, site.tensor(0), site.tensor(1), site.out)
    scale = (p.multiplier, p.shift, p.out_zero, *p.clamp)
    return [*spread(site), site.call(site.step.kernel, site.x(0), p.zeros[0], site.x(1), p.zeros[1], "&walk", *scale, site.y())]


def prelu(site: Site) -> list[str]:
    x, slope = site.tensor(0), site.tensor(1)
    above, below = prelu_params(site.node, x, slope, site.out)
    zeros = [zero_of(int8_quant(site.node, t)) for t in (x, slope, site.out)]
    scale = (*above, *below, zeros[2])
    return [*spread(site), site.call("prelu_s8", site.x(0), zeros[0], site.x(1), zeros[1], "&walk", *scale, site.y())]


def table(site: Site) -> list[str]:
    values = unary_table(site.node, site.tensor(0), site.out)
    name = site.array("table", values, "int8_t", site.node.op)
    return [site.call("table_s8", site.x(), name, site.amount(site.out.elements), site.y())]


def requantize(site: Site) -> list[str]:
    x, y = site.tensor(0), site.out
    zeros = [zero_of(int8_quant(site.node, t)) for t in (x, y)]
    scale = requantize_params(site.node, x, y)
    return [site.call("requantize_s8", site.x(), zeros[0], site.amount(x.elements), *scale, zeros[1], site.y())]


def softmax(site: Site) -> list[str]:
    p = softmax_params(site.node, site.tensor(0), site.out)
    depth = site.out.shape[-1]
    rows = site.out.elements // max(depth, 1)
    return [site.call("softmax_s8", site.x(), rows, depth, p.multiplier, p.left_shift, p.diff_min, site.y())]


def sums(site: Site) -> list[str]:
    p = reduce_params(site.node, site.tensor(0), site.out)
    walks = reduced(site)
    scale = (p.zero * p.count, p.multiplier, p.shift, p.out_zero)
    return [*walks, site.call("sum_s8", site.x(), "&kept", "&over", *scale, site.y())]


def extreme(site: Site) -> list[str]:
    return [*reduced(site), site.call(site.step.kernel, site.x(), "&kept", "&over", site.y())]


def compare(site: Site) -> list[str]:
    return [*spread(site), site.call(site.step.kernel, site.x(0), site.x(1), "&walk", site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "conv_s8": conv,
    "conv_1x1_s8": conv,
    "depthwise_s8": depthwise,
    "depthwise_multiplier_s8": depthwise,
    "fully_connected_s8": fully_connected,
    "average_pool_2d_s8": pool,
    "max_pool_2d_s8": pool,
    "add_s8": add,
    "sub_s8": add,
    "mul_s8": mul,
    "div_s8": mul,
    "maximum_s8": compare,
    "minimum_s8": compare,
    "prelu_s8": prelu,
    "table_s8": table,
    "requantize_s8": requantize,
    "softmax_s8": softmax,
    "mean_s8": sums,
    "sum_s8": sums,
    "reduce_max_s8": extreme,
    "reduce_min_s8": extreme,
}
