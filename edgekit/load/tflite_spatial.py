"""TFLite's transposed convolution, resizes and blocks -> Graph nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.load.tflite_build import Builder, Refused, const_of, ints_of
from edgekit.load.tflite_file import FileOp

SAME = 0


def transpose_conv(b: Builder, op: FileOp) -> None:
    """Inputs: output shape, weights, data, bias. What is cropped follows from the output's shape, as the kernels have it."""
    from edgekit.load.tflite_ops import activation

    target = ints_of(b, op, 0, "the output shape")
    weights = const_of(b, op, 1, "weights")
    shape, stride = b.shape(op.inputs[2]), (int(op.options["strideH"]), int(op.options["strideW"]))
    if weights.ndim != 4 or len(shape) != 4 or len(target) != 4 or min(stride) < 1:
        raise Refused(f"input {list(shape)}, weights {list(weights.shape)}, stride {stride} do not make sense")
    if weights.shape[3] != shape[3]:
        raise Refused(f"weights {list(weights.shape)} do not fit {shape[3]} input channels")
    pad: list[int] = []
    extra: list[int] = []
    for axis in (0, 1):
        full = (shape[1 + axis] - 1) * stride[axis] + weights.shape[1 + axis]
        before = max(full - target[1 + axis], 0) // 2 if op.options["padding"] == SAME else 0
        rows = -(-target[1 + axis] // stride[axis])
        if op.options["padding"] != SAME:
            rows = (target[1 + axis] - weights.shape[1 + axis]) // stride[axis] + 1
        if rows != shape[1 + axis]:
            raise Refused(f"an output of {target} is not what {list(shape)} makes with stride {stride}")
        after = full - before - target[1 + axis]
        pad += [before, max(after, 0)]
        extra.append(max(-after, 0))
    # The helpers read the data at place 0 and the weights at place 1.
    usual = replace(op, inputs=(op.inputs[2], op.inputs[1], *op.inputs[3:]))
    named = b.weights(usual, 1, axis=0)
    attrs = {"stride": stride, "pad": tuple(pad), "output_padding": tuple(extra), "activation": activation(op)}
    b.add("TRANSPOSE_CONV", (b.name(usual.inputs[0]), named, b.bias(usual, 2, named)), op, attrs)


def transpose_conv_bias(b: Builder, op: FileOp) -> None:
    """MediaPipe's operator: data, weights [O,H,W,I], bias; its options are 32-bit padding (1 SAME, 2 VALID) and strides x, y.

    SAME crops filter - 1 - (size - 1) % stride, the lesser half first.
    """
    raw = op.options.get("custom", b"")
    if len(raw) < 12 or len(op.inputs) != 3:
        raise Refused(f"its options have {len(raw)} bytes", "use TRANSPOSE_CONV")
    padding, across, down = (int(n) for n in np.frombuffer(raw[:12], "<i4"))
    weights, shape, stride = const_of(b, op, 1, "weights"), b.shape(op.inputs[0]), (down, across)
    if weights.ndim != 4 or len(shape) != 4 or min(stride) < 1 or weights.shape[3] != shape[3] or padding not in (1, 2):
        raise Refused(f"input {list(shape)}, weights {list(weights.shape)}, stride {stride} do not make sense")
    pad: list[int] = []
    for axis in (0, 1):
        lost = max(weights.shape[1 + axis] - (shape[1 + axis] - 1) % stride[axis] - 1, 0) if padding == 1 else 0
        pad += [lost // 2, lost - lost // 2]
    named = b.weights(op, 1, axis=0)
    b.add("TRANSPOSE_CONV", (b.name(op.inputs[0]), named, b.bias(op, 2, named)), op, {"stride": stride, "pad": tuple(pad)})


def resize(b: Builder, op: FileOp) -> None:
    size = ints_of(b, op, 1, "the size")
    align, half = bool(op.options.get("alignCorners", False)), bool(op.options.get("halfPixelCenters", False))
    attrs = {"size": tuple(size), "align_corners": align, "half_pixel_centers": half}
    b.add(op.code, (b.name(op.inputs[0]),), op, attrs)


def blocks(b: Builder, op: FileOp) -> None:
    b.add(op.code, (b.name(op.inputs[0]),), op, {"block": int(op.options["blockSize"])})
