"""Calls of the int16 kernels. Multipliers, shifts and tables are the reference's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.export.c.calls_move import reduced, spread, window_rows
from edgekit.export.c.calls_norm import matrices
from edgekit.export.c.calls_s8 import add, constant_weights, extreme, pool
from edgekit.export.c.calls_spatial import residue_taps
from edgekit.export.c.site import Site
from edgekit.fixedpoint import reduced_multipliers
from edgekit.graph import Array
from edgekit.ops import TABLE, attr
from edgekit.ops.attention import matmul_requant
from edgekit.ops.gates import SIGMOID
from edgekit.ops.int16 import leaky_params, softmax_tables, softmax_wide_params, steps_params
from edgekit.ops.requant import (
    activation_range,
    conv_requant,
    data_quant,
    dense_requant,
    mul_params,
    reduce_params,
    requantize_params,
    weight_quant,
)

EXACT = 1 << 47  # sums below it keep their products with a multiplier within 64 bits
CERTAIN = 508  # so many products of int16 and int8 fit 32 bits, whatever they are


def weighted(site: Site, weights: Array, requant: tuple[Array, Array]) -> tuple[list[str], str]:
    """(the block `q` of a layer, "short_" or "": which kernels take it). weights: int64[O, ...].

    Short ones have sums of 32 bits and take the high word of a product, which gives the same integers: the multipliers of 15
    bits are shifted so that 32 is the right shift. All sums must fit, whatever the input.
    """
    flat = np.abs(weights.reshape(len(weights), -1))
    bias_tensor = site.optional(2)
    bias = np.zeros(len(weights), np.int64)
    if bias_tensor is not None:
        if bias_tensor.data is None or bias_tensor.dtype != "int64":
            raise site.refuse(f"its bias is {bias_tensor.dtype}", "constant biases of int64 beside int16 values")
        bias = bias_tensor.data
    most = 32768 * flat.sum(axis=1)
    if np.any(np.abs(bias) + most >= EXACT):
        raise site.refuse("its biases leave 47 bits", "a model whose biases fit its outputs")
    low, high = activation_range(str(attr(site.node, TABLE[site.node.op], "activation")), data_quant(site.node, site.out))
    multipliers, shifts = _scales(*requant)
    # A channel of zeros is the integer that its bias comes out as.
    ends = np.clip((bias * multipliers + (np.int64(1) << (shifts - 1))) >> shifts, low, high)
    fixed = most == 0
    near, shifted = np.where(fixed, 4 * ends, bias), np.where(fixed, 1 << 30, multipliers << np.clip(32 - shifts, 0, 16))
    if np.all(fixed | ((shifts >= 16) & (shifts <= 32))) and np.all(np.abs(near) + most < 1 << 31):
        each = int(bool(np.any(shifted != shifted[0])))
        names = (
            site.array("bias", near.astype(np.int32), "int32_t"),
            site.array("multiplier", (shifted if each else shifted[:1]).astype(np.int32), "int32_t"),
        )
        rows: list[tuple[Sequence[object], str]] = [
            (names, "bias, multiplier"),
            ((each, low, high), "one multiplier a channel, lowest, highest"),
        ]
        return site.block("short_s16", "q", rows), "short_"
    # Sums of a whole row or window fit 32 bits when the weights are small enough together.
    run = -(-flat.shape[1] // 4) * 4 if np.all(most < 1 << 31) else CERTAIN
    each = int(bool(np.any(multipliers != multipliers[0]) or np.any(shifts != shifts[0])))
    if not each:
        multipliers, shifts = multipliers[:1], shifts[:1]
    wide = (
        site.array("bias", bias, "int64_t"),
        site.array("multiplier", multipliers.astype(np.int16), "int16_t"),
        site.array("shift", shifts.astype(np.int8), "int8_t"),
    )
    rows = [
        (wide, "bias, multiplier, shift"),
        ((each, run, low, high), "one multiplier a channel, products that fit 32 bits, lowest, highest"),
    ]
    return site.block("quantized_s16", "q", rows), ""


def _form(site: Site, stem: str, short: str) -> str:
    """The kernel of that stem for a layer's sums and the core."""
    return f"{stem}_{short}{'dsp_' if '_dsp_' in site.step.kernel else ''}s16"


def _scales(multiplier: Array | int, shift: Array | int) -> tuple[Array, Array]:
    """(multipliers of 15 bits, right shifts): see `fixedpoint.multiply_by_quantized_multiplier_int64`."""
    reduced = reduced_multipliers(np.asarray(multiplier, np.int64))
    return reduced, np.where(reduced == 0, 1, 15 - np.asarray(shift, np.int64))


def _scratch(site: Site) -> str:
    """The windows' address: buffers begin at whole words."""
    return f"(int16_t *)(void *){site.scratch}"


def stored(site: Site, w: Array) -> str:
    """w[O, depth] as an array, in the kernel's order."""
    kept = in_packs(w) if "_dsp_" in site.step.kernel else w
    return site.array("weights", kept, "int8_t", site.tensor(1).name)


def in_packs(w: Array) -> Array:
    """w[O, depth] with each whole four of a row in the order 0, 2, 1, 3."""
    whole = w.shape[1] // 4 * 4
    packs = w[:, :whole].reshape(len(w), -1, 4)[..., [0, 2, 1, 3]]
    return np.concatenate([packs.reshape(len(w), whole), w[:, whole:]], axis=1)


def conv(site: Site) -> list[str]:
    w, x, y = constant_weights(site), site.tensor(0), site.out
    lines, short = weighted(site, w.astype(np.int64), conv_requant(site.node, x, site.tensor(1), y))
    weights = stored(site, w.reshape(len(w), -1))
    groups = x.shape[3] // w.shape[3]
    call = site.call(_form(site, "conv", short), site.x(), "&window", groups, weights, "&q", _scratch(site), site.y())
    return [*window_rows(site, (w.shape[1], w.shape[2])), *lines, call]


def matmul(site: Site) -> list[str]:
    """Dense layers and 1x1 convolutions."""
    w, tensor = constant_weights(site), site.tensor(1)
    if np.any(weight_quant(site.node, tensor).zero_point != 0):
        raise site.refuse("its weights have a zero point", "weights with zero point 0")
    flat = w.reshape(len(w), -1)
    requant = (dense_requant if site.node.op == "FULLY_CONNECTED" else conv_requant)(
        site.node, site.tensor(0), tensor, site.out
    )
    lines, short = weighted(site, flat.astype(np.int64), requant)
    rows, depth = site.tensor(0).elements // flat.shape[1], flat.shape[1]
    kernel = _form(site, "matmul_back" if site.step.order == "backward" else "matmul", short)
    return [*lines, site.call(kernel, site.x(), rows, depth, stored(site, flat), len(flat), "&q", site.y())]


def depthwise(site: Site) -> list[str]:
    w = constant_weights(site)
    if w.shape[1] * w.shape[2] > 511:
        raise site.refuse(f"its window has {w.shape[1] * w.shape[2]} places, the kernel takes 511", "a smaller window")
    by_channel = w.astype(np.int64).reshape(-1, w.shape[3]).T
    lines, short = weighted(site, by_channel, conv_requant(site.node, site.tensor(0), site.tensor(1), site.out))
    weights = site.array("weights", w, "int8_t", site.tensor(1).name)
    window = window_rows(site, (w.shape[1], w.shape[2]))
    return [*window, *lines, site.call(_form(site, "depthwise", short), site.x(), "&window", weights, "&q", site.y())]


def transpose_conv(site: Site) -> list[str]:
    w = constant_weights(site)
    x, groups = site.tensor(0), site.tensor(0).shape[3] // w.shape[3]
    parts, window, names = residue_taps(site, w)
    lines, short = weighted(site, w.astype(np.int64), conv_requant(site.node, x, site.tensor(1), site.out))
    if "_dsp_" in site.step.kernel:
        parts = [in_packs(part.reshape(len(part), -1)) for part in parts]
    weights = site.array("weights", np.concatenate([p.reshape(-1) for p in parts]), "int8_t", site.tensor(1).name)
    operands = (site.x(), "&window", groups, *names, weights, "&q", _scratch(site), site.y())
    return [*window, *lines, site.call(_form(site, "transpose_conv", short), *operands)]


def mul(site: Site) -> list[str]:
    p = mul_params(site.node, site.tensor(0), site.tensor(1), site.out)
    scale = (p.multiplier, p.shift, p.out_zero, *p.clamp)
    return [*spread(site), site.call("mul_s16", site.x(0), p.zeros[0], site.x(1), p.zeros[1], "&walk", *scale, site.y())]


def compare(site: Site) -> list[str]:
    return [*spread(site), site.call(site.step.kernel, site.x(0), site.x(1), "&walk", site.y())]


def sums(site: Site) -> list[str]:
    p = reduce_params(site.node, site.tensor(0), site.out)
    if p.count > 1 << 16:
        raise site.refuse(f"it adds {p.count} values, sums of 32 bits hold {1 << 16} of int16", "a reduction in two steps")
    scale = (p.zero * p.count, p.multiplier, p.shift, p.out_zero)
    return [*reduced(site), site.call("sum_s16", site.x(), "&kept", "&over", *scale, site.y())]


def relu(site: Site) -> list[str]:
    """RELU and its kin, and QUANTIZE between two int16 scales."""
    quant = data_quant(site.node, site.out)
    low, high = activation_range("NONE" if site.node.op == "QUANTIZE" else site.node.op, quant)
    scale = requantize_params(site.node, site.tensor(0), site.out)
    return [site.call("relu_s16", site.x(), site.out.elements, *scale, low, high, site.y())]


def leaky(site: Site) -> list[str]:
    above, below = leaky_params(site.node, site.tensor(0), site.out)
    return [site.call("leaky_relu_s16", site.x(), site.out.elements, *above, *below, site.y())]


def gate(site: Site) -> list[str]:
    table = site.array("sigmoid", SIGMOID, "uint16_t", "sigmoid(i / 24)")
    scale = steps_params(site.node, site.tensor(0))
    return [site.call(site.step.kernel, site.x(), table, site.out.elements, *scale, site.y())]


def softmax(site: Site) -> list[str]:
    depth = site.out.shape[-1]
    if depth > 1 << 16:
        raise site.refuse(f"its rows are {depth} long, sums of 32 bits hold {1 << 16}", "shorter rows")
    exps, reciprocals = softmax_tables()
    tables = (
        site.array("exp", exps, "int16_t", "exp(x), x in -10..0"),
        site.array("reciprocal", reciprocals, "int16_t", "1 / (1 + x), x in 0..1"),
    )
    scale = softmax_wide_params(site.node, site.tensor(0), site.out)
    return [site.call("softmax_s16", site.x(), site.out.elements // max(depth, 1), depth, *scale, *tables, site.y())]


def batch_matmul(site: Site) -> list[str]:
    a, b = site.tensor(0), site.tensor(1)
    depth = a.shape[-2] if attr(site.node, TABLE[site.node.op], "adj_x") else a.shape[-1]
    if depth > 1 << 16:
        raise site.refuse(f"its products are {depth} long, the kernel's sums hold {1 << 16}", "shorter products")
    multiplier, shift = _scales(*matmul_requant(site.node, a, b, site.out))
    scale = (int(multiplier), int(shift))
    return [*matrices(site), site.call("batch_matmul_s16", site.x(0), site.x(1), "&walk", "&matrices", *scale, site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    **dict.fromkeys(("conv_s16", "conv_dsp_s16"), conv),
    **dict.fromkeys(("matmul_s16", "matmul_dsp_s16", "conv_1x1_s16", "conv_1x1_dsp_s16"), matmul),
    **dict.fromkeys(("transpose_conv_s16", "transpose_conv_dsp_s16"), transpose_conv),
    **dict.fromkeys(("depthwise_s16", "depthwise_dsp_s16", "depthwise_multiplier_s16"), depthwise),
    **dict.fromkeys(("average_pool_2d_s16", "max_pool_2d_s16"), pool),
    **dict.fromkeys(("add_s16", "sub_s16"), add),
    "mul_s16": mul,
    **dict.fromkeys(("maximum_s16", "minimum_s16"), compare),
    "sum_s16": sums,
    **dict.fromkeys(("reduce_max_s16", "reduce_min_s16"), extreme),
    "relu_s16": relu,
    "leaky_relu_s16": leaky,
    **dict.fromkeys(("logistic_of_s16", "tanh_of_s16"), gate),
    "softmax_s16": softmax,
    "batch_matmul_s16": batch_matmul,
}
