"""FULLY_CONNECTED: y = x[..., I] @ w[O, I].T + b[O], with a fused activation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.activation import clamp, fused_of
from edgekit.ops.conv import exact_dtype, finish, reach_of
from edgekit.ops.op import Op, fail, given, optional, take
from edgekit.ops.requant import data_quant, dense_requant, zero_of


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    """keep_dims False: [elements / I, O] (I may span several trailing axes); True: x.shape[:-1] + [O]."""
    x, w = take(node, inputs, 2, 1)
    bias: Tensor | None = optional(inputs, 2)
    fused_of(node)
    if len(w.shape) != 2 or not x.shape:
        fail(node, f"needs weights [O,I] and an input of rank 1 or more, has {list(w.shape)} and {list(x.shape)}")
    outs, ins = w.shape
    keep = bool(node.attrs.get("keep_dims", False))
    if ins == 0 or (x.shape[-1] != ins if keep else x.elements % ins):
        fail(node, f"input {list(x.shape)} does not fit weights {list(w.shape)}")
    if bias is not None and bias.shape != (outs,):
        fail(node, f"bias {list(bias.shape)} does not fit {outs} outputs")
    return [((*x.shape[:-1], outs) if keep else (x.elements // ins, outs), x.dtype)]


def out_shape(node: Node, x: Array, w: Array) -> Shape:
    """The output's shape, for arrays that passed infer."""
    return (*x.shape[:-1], w.shape[0]) if node.attrs.get("keep_dims", False) else (x.size // w.shape[1], w.shape[0])


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    sums = x.reshape(-1, w.shape[1]) @ w.T
    return [clamp(sums if bias is None else sums + bias, fused_of(node)).reshape(out_shape(node, x, w))]


def integer(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """int8 w (one scale, or one an output); int8 x and int32 bias, exact sums modulo 2**32; or int16 and int64."""
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    tx, tw = given(ins, 2)
    requant = dense_requant(node, tx, tw, outs[0])
    assert tw.quant is not None
    centred = w.astype(np.int64) - tw.quant.zero_point.reshape(-1, 1)
    kind = exact_dtype(centred, reach_of(tx))
    flat = x.reshape(-1, w.shape[1]).astype(kind) - kind(zero_of(data_quant(node, tx)))
    return [finish(node, flat @ centred.astype(kind).T, bias, requant, outs[0]).reshape(out_shape(node, x, w))]


def macs(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    _, w = given(inputs, 2)
    return outputs[0].elements * w.shape[1]


def coupled(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    (x, w), bias = given(inputs, 2), optional(inputs, 2)
    y = outputs[0]
    side = [(bias.name, 0)] if bias is not None else []
    groups = [[(w.name, 0), *side, (y.name, len(y.shape) - 1)]]
    if x.shape[-1] == w.shape[1]:
        groups.append([(x.name, len(x.shape) - 1), (w.name, 1)])
    if len(x.shape) == len(y.shape):
        groups += [[(x.name, axis), (y.name, axis)] for axis in range(len(x.shape) - 1)]
    return groups


OPS: tuple[Op, ...] = (
    Op(
        "FULLY_CONNECTED",
        infer,
        real,
        integer,
        attrs={"activation": "NONE", "keep_dims": False},
        weights={1: 0},
        bias=2,
        macs=macs,
        coupled=coupled,
    ),
)
