"""Legacy TFLite files with uint8 activations, in int8: values and zero points lose 128, which changes no real number.

Weights of such files have a zero point; the kernels take none, so they become symmetric (`load.symmetric`), and a bias
follows where their scale grew. The uint8 edges of int8 networks become int8 as well: bytes are given as before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.graph import Quant, Tensor
from edgekit.load.symmetric import symmetric, told
from edgekit.load.tflite_file import FileModel, FileTensor

SHIFT = 128
# Operators that multiply by constant weights -> (position of the weights, of the bias).
WEIGHTED = {"CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "FULLY_CONNECTED": (1, 2), "TRANSPOSE_CONV": (1, 3)}


def as_int8(file: FileModel) -> tuple[FileModel, list[str]]:
    """(the file without quantized uint8, what the history says); the file itself where nothing computes in uint8."""
    uint8 = {i for i, t in enumerate(file.tensors) if t.dtype == "uint8" and t.scale is not None}
    if not any(file.tensors[i].data is None for op in file.ops for i in (*op.inputs, *op.outputs) if i in uint8):
        return file, []
    tensors = [_shifted(t) if i in uint8 else t for i, t in enumerate(file.tensors)]
    notes = ["uint8 read as int8, 128 less"]
    done: dict[int, float] = {}
    for op in file.ops:
        positions = WEIGHTED.get(op.code)
        if positions is None or positions[0] >= len(op.inputs) or op.inputs[positions[0]] not in uint8:
            continue
        weights, bias = op.inputs[positions[0]], op.inputs[positions[1]] if len(op.inputs) > positions[1] else -1
        if weights not in done and tensors[weights].data is not None:
            tensors[weights], done[weights], note = _centred(tensors[weights], file.names[weights])
            notes += [note] if note else []
        if bias >= 0 and done.get(weights, 1.0) != 1.0:
            tensors[bias] = _rescaled(tensors[bias], done[weights])
    return replace(file, tensors=tuple(tensors)), notes


def _shifted(tensor: FileTensor) -> FileTensor:
    assert tensor.zero_point is not None
    data = None if tensor.data is None else (tensor.data.astype(np.int16) - SHIFT).astype(np.int8)
    return replace(tensor, dtype="int8", data=data, zero_point=tensor.zero_point - SHIFT)


def _centred(tensor: FileTensor, name: str) -> tuple[FileTensor, float, str]:
    """(symmetric weights, how much their scale grew, a note); per tensor, as all such files are."""
    assert tensor.scale is not None
    assert tensor.zero_point is not None
    if tensor.scale.size != 1 or not np.any(tensor.zero_point):
        return tensor, 1.0, ""
    quant = Quant(tensor.scale, tensor.zero_point, None, None, "int8")
    made, exact = symmetric(Tensor(name, tensor.shape, "int8", tensor.data, quant))
    assert made.quant is not None
    growth = 1.0 if exact else float(made.quant.scale[0]) / float(tensor.scale[0])
    changed = replace(tensor, data=made.data, scale=made.quant.scale, zero_point=made.quant.zero_point)
    return changed, growth, told(name, exact)


def _rescaled(bias: FileTensor, growth: float) -> FileTensor:
    """An int32 bias at the new scale: rounded to its steps, which are fine."""
    if bias.data is None or bias.dtype != "int32":
        return bias
    scale = None if bias.scale is None else (bias.scale * growth).astype(np.float32)
    return replace(bias, data=np.rint(bias.data / growth).astype(np.int32), scale=scale)
