"""Normalisations by the values themselves: LAYER_NORM, RMS_NORM, GROUP_NORM (instance norm: one channel a group), L2.

y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over each row (RMS_NORM: mean 0, so the variance is the mean square).
Ba et al. 2016, Layer Normalization; Zhang and Sennrich 2019, Root Mean Square Layer Normalization; Wu and He 2018, Group
Normalization. The integer meanings are exact up to the normalised value, which has 18 fraction bits: nothing is rounded to
int8 in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import REQUIRED, Op, axis_of, fail, given, optional, take
from edgekit.ops.requant import int8_quant, scale_of, zero_of

FRACTION = 18  # fraction bits of a normalised value; |value| <= sqrt(MOST)
MOST = 1 << 17  # values a row: sums of their squares stay within 32 bits
LARGEST_FLOOR = 1 << 60


@dataclass(frozen=True)
class Spans:
    """x as [rows, pixels, groups, depth]: statistics are over pixels and depth; gamma and beta are [groups, depth]."""

    rows: int
    pixels: int
    groups: int
    depth: int

    @property
    def count(self) -> int:
        """Values that are normalised together."""
        return self.pixels * self.depth


def spans_of(node: Node, shape: Shape) -> Spans:
    """How a node of this family (not L2_NORMALIZATION) sees its input."""
    if node.op == "GROUP_NORM":
        groups = int(node.attrs["groups"])
        return Spans(shape[0], math.prod(shape[1:-1]), groups, shape[-1] // groups)
    axis = int(node.attrs["axis"])
    return Spans(math.prod(shape[:axis]), 1, 1, math.prod(shape[axis:]))


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1, 1 if node.op == "RMS_NORM" else 2)
    if node.op == "GROUP_NORM":
        groups = node.attrs["groups"]
        if len(x.shape) < 2 or not isinstance(groups, int | np.integer) or groups < 1 or x.shape[-1] % groups:
            fail(node, f"groups={groups!r} do not divide the last axis of {list(x.shape)}")
        wanted: Shape = x.shape[-1:]
    else:
        wanted = x.shape[axis_of(node, node.attrs["axis"], len(x.shape)) :]
    for name, tensor in (("gamma", optional(inputs, 1)), ("beta", optional(inputs, 2))):
        if tensor is not None and (tensor.shape != wanted or tensor.dtype != "float32"):
            fail(node, f"{name} must be float32 {list(wanted)}, is {tensor.dtype} {list(tensor.shape)}")
    return [(x.shape, x.dtype)]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,), gamma, beta = given(inputs), optional(inputs, 1), optional(inputs, 2)
    s = spans_of(node, x.shape)
    rows = x.reshape(s.rows, s.pixels, s.groups, s.depth)
    if node.op != "RMS_NORM":
        rows = rows - rows.mean(axis=(1, 3), keepdims=True, dtype=x.dtype)
    variance = np.square(rows).mean(axis=(1, 3), keepdims=True, dtype=x.dtype)
    y = rows / np.sqrt(variance + x.dtype.type(node.attrs.get("epsilon", 1e-5)))
    if gamma is not None:
        y = y * gamma.astype(x.dtype).reshape(s.groups, s.depth)
    if beta is not None:
        y = y + beta.astype(x.dtype).reshape(s.groups, s.depth)
    return [y.reshape(x.shape)]


@dataclass(frozen=True)
class NormParams:
    """The integer meaning. For a row of n integers q with sum s and sum of squares ss, c = s (RMS_NORM: c = n * zero):

    v = n * ss + c * (c - 2 * s) + floor            n^2 times the variance (and epsilon), in input steps
    z = (n * q - c) / sqrt(v)                       with FRACTION bits
    y = (z * gain + offset * 2^(shift - 16)) >> shift, clamped to int8

    gain, offset: int64[groups * depth], or one element for all; a half and the output's zero point are in offset.
    """

    spans: Spans
    centred: bool
    zero: int
    floor: int
    gain: Array
    offset: Array
    shift: int


def norm_params(node: Node, x: Tensor, y: Tensor, gamma: Array | None, beta: Array | None) -> NormParams:
    """Raises BadModel when the tensors have no int8 Quant or a row is too long."""
    qx, qy, spans = int8_quant(node, x), int8_quant(node, y), spans_of(node, x.shape)
    if spans.count > MOST:
        fail(node, f"normalises {spans.count} values together, its integer kernel takes {MOST}")
    size = 1 if gamma is None and beta is None else spans.groups * spans.depth
    scale, step = scale_of(qx), scale_of(qy)
    epsilon = float(np.float32(node.attrs.get("epsilon", 1e-5)))
    floor = int(min(max(round(spans.count * spans.count * epsilon / (scale * scale)), 1), LARGEST_FLOOR))
    ratio = (np.ones(size) if gamma is None else gamma.astype(np.float64).reshape(-1)) / step
    ratio = np.broadcast_to(ratio, (size,))
    largest = float(np.abs(ratio).max(initial=0.0))
    # 2**30 <= the largest gain < 2**31, where shift allows.
    left = min(max(30 - (math.frexp(largest)[1] - 1 if largest else 0) - 1, -2), 30)
    gain = fixedpoint.round_half_away(np.ldexp(ratio, left)).astype(np.int64)
    shift = left + FRACTION
    centre = (np.zeros(size) if beta is None else beta.astype(np.float64).reshape(-1)) / step + zero_of(qy) + 0.5
    offset = np.clip(fixedpoint.round_half_away(centre * (1 << 16)), -(1 << 30), 1 << 30).astype(np.int64)
    return NormParams(spans, node.op != "RMS_NORM", zero_of(qx), floor, np.clip(gain, -(2**31 - 1), 2**31 - 1), offset, shift)


def integer(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    (x,), (tx,) = given(inputs), given(ins)
    p = norm_params(node, tx, outs[0], optional(inputs, 1), optional(inputs, 2))
    s = p.spans
    q = x.astype(np.int64).reshape(s.rows, s.pixels, s.groups, s.depth)
    n = s.count
    total = q.sum(axis=(1, 3), keepdims=True)
    centre = total if p.centred else np.full_like(total, n * p.zero)
    v = n * np.square(q).sum(axis=(1, 3), keepdims=True) + centre * (centre - 2 * total) + p.floor
    multiplier, right = inverse_sqrt_wide(v)
    z = fixedpoint.multiply_by_quantized_multiplier(n * q - centre, multiplier, FRACTION - right)
    size = (s.groups, s.depth) if p.gain.size > 1 else (1, 1)
    y = (z * p.gain.reshape(size) + (p.offset.reshape(size) << (p.shift - 16))) >> p.shift
    return [np.clip(y, -128, 127).astype(np.int8).reshape(x.shape)]


def inverse_sqrt_wide(v: Array) -> tuple[Array, Array]:
    """(multiplier, n): 1 / sqrt(v) = multiplier / 2**31 / 2**n for an int64 v > 0: its upper 31 bits count."""
    bits = np.frexp(v.astype(np.float64))[1].astype(np.int64)
    bits -= v < (np.int64(1) << (bits - 1))  # a float64 may round up to the next power of two
    drop = np.maximum(bits - 30, 0) // 2
    multiplier, right = fixedpoint.inverse_sqrt(v >> (2 * drop))
    return multiplier, right + drop


def infer_l2(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    if not x.shape:
        fail(node, "needs an input of rank 1 or more")
    return [(x.shape, x.dtype)]


def real_l2(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """x / |x| over the last axis; TFLite keeps |x| from falling below 1e-6."""
    (x,) = given(inputs)
    return [x / np.maximum(np.sqrt(np.square(x).sum(axis=-1, keepdims=True)), x.dtype.type(1e-6))]


def integer_l2(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """TFLM: sums of squares in 32 bits, the output is 1/128, 0."""
    (x,), (tx,) = given(inputs), given(ins)
    quant = int8_quant(node, outs[0])
    if quant.scale[0] != np.float32(1 / 128) or zero_of(quant) != 0:
        fail(node, f"its output '{outs[0].name}' must have scale 1/128 and zero point 0")
    if x.shape[-1] > 1 << 15:
        fail(node, f"normalises {x.shape[-1]} values together, its integer kernel takes {1 << 15}")
    centred = x.astype(np.int64) - zero_of(int8_quant(node, tx))
    multiplier, right = fixedpoint.inverse_sqrt(np.square(centred).sum(axis=-1, keepdims=True))
    y = fixedpoint.multiply_by_quantized_multiplier(centred, multiplier, 7 - right)
    return [np.clip(y, -128, 127).astype(np.int8)]


def free_axes(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    """The axes along which rows are independent; leaving out any other would change the statistics."""
    (x,) = given(inputs)
    rank = len(x.shape)
    count = {"GROUP_NORM": 1, "L2_NORMALIZATION": rank - 1}.get(node.op)
    free = int(node.attrs["axis"]) if count is None else count
    return [[(outputs[0].name, axis), (x.name, axis)] for axis in range(free)]


OPS: tuple[Op, ...] = (
    *(
        Op(name, infer, real, integer, attrs={"axis": REQUIRED, "epsilon": 1e-5}, ids=(1, 2), coupled=free_axes)
        for name in ("LAYER_NORM", "RMS_NORM")
    ),
    Op("GROUP_NORM", infer, real, integer, attrs={"groups": REQUIRED, "epsilon": 1e-5}, ids=(1, 2), coupled=free_axes),
    Op(
        "L2_NORMALIZATION",
        infer_l2,
        real_l2,
        integer_l2,
        quant="fixed",
        fixed={"int8": (1 / 128, 0)},
        coupled=free_axes,
    ),
)
