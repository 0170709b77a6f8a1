"""Dense layers whose weights have 4 bits and a scale a block: ONNX Runtime's MatMulNBits."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.export.onnx import OWN, Writer
from edgekit.graph import Array, Node, Tensor

ZERO = 8  # what stands for 0 in the file


def packed(t: Tensor) -> Array:
    """uint8[O, blocks, block / 2]: the codes of t[O, I] as 0..15, two a byte, the first below; the last is filled with 0."""
    assert t.data is not None
    assert t.quant is not None
    assert t.quant.block is not None
    outs, ins = t.shape
    count = -(-ins // t.quant.block)
    codes = np.full((outs, count * t.quant.block), ZERO, np.uint8)
    codes[:, :ins] = t.data.astype(np.int64) + ZERO
    return (codes[:, 0::2] | codes[:, 1::2] << 4).reshape(outs, count, -1)


def matmul(w: Writer, node: Node, t: Tensor, bias: str) -> None:
    """y = x @ t.T + bias, x in float32."""
    assert t.quant is not None
    y, x = w.graph[node.outputs[0]], w.graph[str(node.inputs[0])]
    (outs, ins), activation = t.shape, str(node.attrs.get("activation", "NONE"))
    rows = w.stored(x.name, OWN)
    if len(x.shape) != len(y.shape) or x.shape[-1] != ins:
        rows = w.step("Reshape", [rows, w.ints((*y.shape[:-1], ins), f"{y.name}/rows")], y.name)
    weights = [w.initializer(packed(t), t.name), w.initializer(t.quant.scale, f"{t.name}/scale")]
    sizes: dict[str, Any] = {"K": ins, "N": outs, "bits": 4, "block_size": t.quant.block}
    if not bias:
        w.put(y, OWN, "MatMulNBits", [rows, *weights], activation, domain="com.microsoft", **sizes)
        return
    product = w.step("MatMulNBits", [rows, *weights], y.name, domain="com.microsoft", **sizes)
    w.put(y, OWN, "Add", [product, bias], activation)
