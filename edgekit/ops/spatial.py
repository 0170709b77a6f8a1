"""TRANSPOSE_CONV (grouped and dilated too), DEPTH_TO_SPACE and SPACE_TO_DEPTH: NHWC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.activation import clamp, fused_of
from edgekit.ops.conv import exact_dtype, finish, grouped, reach_of
from edgekit.ops.move import moved
from edgekit.ops.op import REQUIRED, Op, fail, given, optional, take, whole_numbers
from edgekit.ops.requant import conv_requant, data_quant, zero_of

Groups = list[list[tuple[str, int]]]

# TRANSPOSE_CONV -----------------------------------------------------------------------------------------------------
# Input pixel i adds x[i] * w[k] to output pixel i * stride + k * dilation - pad. `pad` (top, bottom, left, right) is what is
# cropped of that; `output_padding` rows and columns, of the bias alone or of what was cropped, are added after it.

ATTRS: Mapping[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pad": (0, 0, 0, 0),
    "output_padding": (0, 0),
    "activation": "NONE",
}


@dataclass(frozen=True)
class Spread:
    """A transposed convolution's geometry: (vertical, horizontal) pairs; pad = (top, bottom, left, right) cropped."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int, int, int]
    output_padding: tuple[int, int]

    def size(self, axis: int, count: int) -> int:
        """Output rows (axis 0) or columns (1) of `count` input ones."""
        return self.full(axis, count) - self.pad[2 * axis] - self.pad[2 * axis + 1] + self.output_padding[axis]

    def full(self, axis: int, count: int) -> int:
        """What `count` input rows or columns reach, before anything is cropped."""
        return (count - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1


def spread_of(node: Node, weights: Shape) -> Spread:
    """The node's geometry; its kernel is axes 1 and 2 of the weights."""
    a = {**ATTRS, **node.attrs}
    names = ("stride", "dilation", "pad", "output_padding")
    return Spread((weights[1], weights[2]), *(tuple(int(n) for n in a[name]) for name in names))  # type: ignore[arg-type]


def infer_transpose_conv(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    x, w = grouped(node, inputs)
    for name, least, count in (("stride", 1, 2), ("dilation", 1, 2), ("pad", 0, 4), ("output_padding", 0, 2)):
        if name in node.attrs:
            whole_numbers(node, name, count, least)
    fused_of(node)
    bias = optional(inputs, 2)
    if bias is not None and bias.shape != (w.shape[0],):
        fail(node, f"bias {list(bias.shape)} does not fit {w.shape[0]} output channels")
    geometry = spread_of(node, w.shape)
    size = tuple(geometry.size(axis, x.shape[1 + axis]) for axis in (0, 1))
    if min(size) < 1:
        fail(node, f"padding {geometry.pad} leaves nothing of the output")
    return [((x.shape[0], *size, w.shape[0]), x.dtype)]


def scatter(x: Array, w: Array, g: Spread) -> Array:
    """x[N,H,W,C] times w[O,kh,kw,C/groups] of the same dtype -> [N,OH,OW,O]. One GEMM a tap."""
    n, h, width, c = x.shape
    o, kh, kw, per_group = w.shape
    groups = c // per_group
    sizes = [g.size(0, h), g.size(1, width)]
    # Room for all that is reached and all that is asked for.
    whole = [max(g.full(a, x.shape[1 + a]), sizes[a] + g.pad[2 * a]) for a in (0, 1)]
    out = np.zeros((n, *whole, o), x.dtype)
    # A copy: the last bit of a float product depends on how its operands lie in memory.
    split = np.array(x.reshape(-1, groups, per_group).transpose(1, 0, 2), order="C")
    matrices = w.reshape(groups, o // groups, kh, kw, per_group)
    for i in range(kh):
        for j in range(kw):
            product = split @ np.ascontiguousarray(matrices[:, :, i, j].transpose(0, 2, 1))
            top, left = i * g.dilation[0], j * g.dilation[1]
            rows = slice(top, top + (h - 1) * g.stride[0] + 1, g.stride[0])
            columns = slice(left, left + (width - 1) * g.stride[1] + 1, g.stride[1])
            out[:, rows, columns] += product.transpose(1, 0, 2).reshape(n, h, width, o)
    return np.ascontiguousarray(out[:, g.pad[0] : g.pad[0] + sizes[0], g.pad[2] : g.pad[2] + sizes[1]])


def real_transpose_conv(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    sums = scatter(x, w, spread_of(node, w.shape))
    return [clamp(sums if bias is None else sums + bias, fused_of(node))]


def integer_transpose_conv(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """As `conv.integer_conv`."""
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    tx, tw = given(ins, 2)
    requant = conv_requant(node, tx, tw, outs[0])
    kind = exact_dtype(w, reach_of(tx))
    centred = x.astype(kind) - kind(zero_of(data_quant(node, tx)))
    return [finish(node, scatter(centred, w.astype(kind), spread_of(node, w.shape)), bias, requant, outs[0])]


@dataclass(frozen=True)
class Residue:
    """The taps that output rows (columns) r, r + stride, r + 2 * stride, ... read: a convolution of stride 1.

    taps: kernel rows, in order of the input rows they read; first: input row that output r reads with taps[0] (may be
    negative); step: input rows from one tap to the next.
    """

    taps: tuple[int, ...]
    first: int
    step: int


def residues(g: Spread, axis: int) -> list[Residue]:
    """One Residue for each r in 0..stride-1 of the rows (axis 0) or columns (1)."""
    stride, dilation, pad = g.stride[axis], g.dilation[axis], g.pad[2 * axis]
    found = []
    for r in range(stride):
        taps = [k for k in reversed(range(g.kernel[axis])) if (r + pad - k * dilation) % stride == 0]
        first = (r + pad - taps[0] * dilation) // stride if taps else 0
        found.append(Residue(tuple(taps), first, dilation // gcd(stride, dilation)))
    return found


def most_taps(node: Node, weights: Shape) -> int:
    """The most taps that one output pixel reads."""
    g = spread_of(node, weights)
    rows, columns = (max(len(r.taps) for r in residues(g, axis)) for axis in (0, 1))
    return rows * columns


def macs(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    """Every input pixel times every tap (a few of which `pad` crops)."""
    x, w = given(inputs, 2)
    return x.elements // x.shape[3] * w.elements


def coupled_transpose_conv(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    """A grouped one's channels are tied by position, not by index: left out."""
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    y = outputs[0]
    batch = [(x.name, 0), (y.name, 0)]
    if w.shape[3] != x.shape[3]:
        return [batch]
    side = [(bias.name, 0)] if bias is not None else []
    return [batch, [(x.name, 3), (w.name, 3)], [(w.name, 0), *side, (y.name, 3)]]


# DEPTH_TO_SPACE, SPACE_TO_DEPTH -------------------------------------------------------------------------------------
# Channel (i * block + j) * C + c of a pixel is channel c of row i, column j of its block (TFLite; ONNX's DCR).


def block_of(node: Node) -> int:
    block = node.attrs["block"]
    if not isinstance(block, int | np.integer) or block < 1:
        fail(node, f"block={block!r} must be a positive whole number")
    return int(block)


def infer_depth_to_space(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    block = block_of(node)
    if len(x.shape) != 4 or x.shape[3] % (block * block):
        fail(node, f"{list(x.shape)} has no [N,H,W,C] of a multiple of {block * block} channels")
    n, h, w, c = x.shape
    return [((n, h * block, w * block, c // (block * block)), x.dtype)]


def real_depth_to_space(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,), block = given(inputs), block_of(node)
    n, h, w, c = x.shape
    parts = x.reshape(n, h, w, block, block, c // (block * block)).transpose(0, 1, 3, 2, 4, 5)
    return [np.ascontiguousarray(parts).reshape(n, h * block, w * block, -1)]


def infer_space_to_depth(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    block = block_of(node)
    if len(x.shape) != 4 or x.shape[1] % block or x.shape[2] % block:
        fail(node, f"{list(x.shape)} has no whole blocks of {block} x {block} pixels")
    n, h, w, c = x.shape
    return [((n, h // block, w // block, c * block * block), x.dtype)]


def real_space_to_depth(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x,), block = given(inputs), block_of(node)
    n, h, w, c = x.shape
    parts = x.reshape(n, h // block, block, w // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    return [np.ascontiguousarray(parts).reshape(n, h // block, w // block, -1)]


def coupled_batch(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Groups:
    return [[(given(inputs)[0].name, 0), (outputs[0].name, 0)]]


BLOCK: Mapping[str, Any] = {"block": REQUIRED}
OPS: tuple[Op, ...] = (
    Op(
        "TRANSPOSE_CONV",
        infer_transpose_conv,
        real_transpose_conv,
        integer_transpose_conv,
        attrs=ATTRS,
        weights={1: 0},
        bias=2,
        macs=macs,
        coupled=coupled_transpose_conv,
    ),
    Op(
        "DEPTH_TO_SPACE", infer_depth_to_space, real_depth_to_space, moved(real_depth_to_space), BLOCK, "same",
        coupled=coupled_batch,
    ),
    Op(
        "SPACE_TO_DEPTH", infer_space_to_depth, real_space_to_depth, moved(real_space_to_depth), BLOCK, "same",
        coupled=coupled_batch,
    ),
)  # fmt: skip
