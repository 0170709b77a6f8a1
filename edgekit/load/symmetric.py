"""Weights with a zero point (legacy uint8 files) as symmetric int8, which is all that the integer kernels take."""

from __future__ import annotations

import numpy as np

from edgekit.graph import Quant, Tensor


def symmetric(tensor: Tensor) -> tuple[Tensor, bool]:
    """(the weights with zero point 0, whether they are the same numbers).

    They are where every q - zero_point fits int8. Elsewhere the scale grows until the largest does, and the values are
    rounded to its steps: an error of at most half a step, of a step that is at most 255/127 of the file's.
    """
    quant = tensor.quant
    assert quant is not None
    assert tensor.data is not None
    _, zeros = quant.broadcast(len(tensor.shape))
    steps = tensor.data.astype(np.int64) - zeros
    axes = tuple(i for i in range(len(tensor.shape)) if i != quant.axis) if quant.scale.size > 1 else None
    most = np.abs(steps).max(axis=axes)
    grow = np.maximum(np.atleast_1d(most) / 127.0, 1.0)
    exact = bool(np.all(grow == 1.0))
    shape = [1] * len(tensor.shape)
    if quant.scale.size > 1 and quant.axis is not None:
        shape[quant.axis] = quant.scale.size
    data = np.rint(steps / grow.reshape(shape)).astype(np.int8)
    scale = (quant.scale.astype(np.float64) * grow).astype(np.float32)
    made = Quant(scale, np.zeros(quant.scale.size, np.int64), quant.axis, None, "int8")
    return Tensor(tensor.name, tensor.shape, "int8", data, made), exact


def told(name: str, exact: bool) -> str:
    """What the history says of weights that were changed."""
    return f"weights '{name}' made symmetric" + ("" if exact else ", rounded to a larger scale")
