"""QUANTIZE and DEQUANTIZE: between real numbers and integers, or between two integer scales. The tensors' Quants say how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import NUMPY_DTYPES, Array, Node, Shape, Tensor
from edgekit.ops.op import Op, fail, given, same_axes, take
from edgekit.ops.requant import requantize_params, zero_of

QUANTIZED = ("int8", "int16", "int32", "uint8")


def infer_quantize(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    dtype = str(node.attrs.get("dtype", "int8"))
    if dtype not in QUANTIZED:
        fail(node, f"cannot quantize to {dtype}")
    return [(x.shape, dtype)]


def infer_dequantize(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    (x,) = take(node, inputs, 1)
    if x.quant is None:
        fail(node, f"its input '{x.name}' has no scale")
    return [(x.shape, "float32")]


def real(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Real numbers are what they are: both ops are the identity on them."""
    return given(inputs)


def integer_quantize(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    (x,), (source,), target = given(inputs), given(ins), outs[0].quant
    if target is None:
        fail(node, f"its output '{outs[0].name}' has no scale")
    scale, zero = target.broadcast(x.ndim)
    if source.quant is None:
        return [fixedpoint.quantize(x, scale, zero, outs[0].dtype)]
    multiplier, shift = requantize_params(node, source, outs[0])
    moved = fixedpoint.multiply_by_quantized_multiplier(x.astype(np.int64) - zero_of(source.quant), multiplier, shift)
    low, high = fixedpoint.integer_range(outs[0].dtype)
    return [np.clip(moved + zero_of(target), low, high).astype(NUMPY_DTYPES[outs[0].dtype])]


def integer_dequantize(
    node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]
) -> list[Array]:
    (x,), (source,) = given(inputs), given(ins)
    if source.quant is None:
        fail(node, f"its input '{source.name}' has no scale")
    return [fixedpoint.dequantize(x, *source.quant.broadcast(np.ndim(x)))]


OPS: tuple[Op, ...] = (
    Op(
        "QUANTIZE",
        infer_quantize,
        real,
        integer_quantize,
        attrs={"dtype": "int8"},
        quant="none",
        coupled=same_axes,
        elementwise=True,
    ),
    Op("DEQUANTIZE", infer_dequantize, real, integer_dequantize, quant="none", coupled=same_axes, elementwise=True),
)
