"""BATCH_MATMUL, the product of two activations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import Op, broadcast_shapes, fail, given, take
from edgekit.ops.requant import data_quant, int8_quant, scale_of, zero_of


def flips(node: Node) -> tuple[bool, bool]:
    """(adj_x, adj_y): which factors are used transposed."""
    return bool(node.attrs.get("adj_x", False)), bool(node.attrs.get("adj_y", False))


def infer_matmul(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    """a[..., M, K] b[..., K, N] (last two axes swapped where adj says so) -> [..., M, N], leading axes broadcast."""
    a, b = take(node, inputs, 2)
    if min(len(a.shape), len(b.shape)) < 2 or a.dtype != b.dtype:
        found = f"{a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
        fail(node, f"needs two inputs of one dtype and rank 2 or more, has {found}")
    flip_a, flip_b = flips(node)
    rows, depth = a.shape[-2:][::-1] if flip_a else a.shape[-2:]
    inner, columns = b.shape[-2:][::-1] if flip_b else b.shape[-2:]
    if depth != inner:
        fail(node, f"{list(a.shape)} and {list(b.shape)} do not multiply (adj_x={flip_a}, adj_y={flip_b})")
    return [((*broadcast_shapes(node, a.shape[:-2], b.shape[:-2]), rows, columns), a.dtype)]


def _factors(node: Node, a: Array, b: Array) -> tuple[Array, Array]:
    flip_a, flip_b = flips(node)
    return np.swapaxes(a, -1, -2) if flip_a else a, np.swapaxes(b, -1, -2) if flip_b else b


def real_matmul(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b = _factors(node, *given(inputs, 2))
    return [np.asarray(np.matmul(a, b))]


def matmul_requant(node: Node, a: Tensor, b: Tensor, y: Tensor) -> tuple[int, int]:
    """(multiplier, shift) of BATCH_MATMUL."""
    scales = [scale_of(data_quant(node, t)) for t in (a, b, y)]
    return fixedpoint.quantize_multiplier(scales[0] * scales[1] / scales[2])


def integer_matmul(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    """Exact sums of products of the centred values, one rescale; sums are of 32 bits (int16: of 64)."""
    (a, b), (ta, tb) = given(inputs, 2), given(ins, 2)
    a, b = _factors(node, a, b)
    # float64 holds sums of up to 2**37 products of 9-bit numbers exactly, and multiplies faster than int64.
    x, w = (q.astype(np.float64) - zero_of(data_quant(node, t)) for q, t in ((a, ta), (b, tb)))
    sums, requant = np.matmul(x, w).astype(np.int64), matmul_requant(node, ta, tb, outs[0])
    if outs[0].dtype == "int16":
        scaled = fixedpoint.multiply_by_quantized_multiplier_int64(sums, *requant)
        return [np.clip(scaled, -32768, 32767).astype(np.int16)]
    sums = fixedpoint.wrap_int32(sums)
    scaled = fixedpoint.multiply_by_quantized_multiplier(sums, *requant)
    return [np.clip(scaled + zero_of(int8_quant(node, outs[0])), -128, 127).astype(np.int8)]


def macs_matmul(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    a, _ = given(inputs, 2)
    return outputs[0].elements * a.shape[-2 if flips(node)[0] else -1]


def coupled_matmul(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    (a, b), y = given(inputs, 2), outputs[0]
    (flip_a, flip_b), ra, rb, ry = flips(node), len(a.shape), len(b.shape), len(y.shape)
    groups = [
        [(a.name, ra - 1 if flip_a else ra - 2), (y.name, ry - 2)],
        [(b.name, rb - 2 if flip_b else rb - 1), (y.name, ry - 1)],
        [(a.name, ra - 2 if flip_a else ra - 1), (b.name, rb - 1 if flip_b else rb - 2)],
    ]
    for axis in range(ry - 2):
        group = [(y.name, axis)]
        for t in (a, b):
            own = axis - ry + len(t.shape)
            if own >= 0 and t.shape[own] == y.shape[axis]:
                group.append((t.name, own))
        groups.append(group)
    return groups


OPS: tuple[Op, ...] = (
    Op(
        "BATCH_MATMUL",
        infer_matmul,
        real_matmul,
        integer_matmul,
        attrs={"adj_x": False, "adj_y": False},
        macs=macs_matmul,
        coupled=coupled_matmul,
    ),
)
