"""Fourier transforms of TFLite files: of real numbers along the last axis, as a product with cosines and sines. Complex values
are pairs of tensors, which REAL, IMAG and COMPLEX_ABS take apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.graph import const, fresh
from edgekit.load.tflite_build import Builder, Refused, ints_of
from edgekit.load.tflite_file import FileOp

LARGEST = 2048  # points: its two matrices are 16 MiB


def transform(b: Builder, op: FileOp) -> None:
    """RFFT2D over [1, n]: a transform of n points of each row, cut or padded with zeros."""
    lengths = ints_of(b, op, 1, "the length")
    shape = b.shape(op.inputs[0])
    if len(lengths) != 2 or lengths[0] != 1 or len(shape) < 2 or shape[-2] != 1:
        raise Refused(f"it transforms {lengths} of {list(shape)}, over two axes", "transform one axis at a time")
    if lengths[1] > LARGEST:
        raise Refused(f"its transform of {lengths[1]} points would be a matrix of as many rows", "use at most 2048 points")
    points, bins = lengths[1], lengths[1] // 2 + 1
    x = b.name(op.inputs[0])
    used = min(points, shape[-1])
    if used < shape[-1]:
        size = (*shape[:-1], used)
        x = b.steps("SLICE", (x,), op, {"begin": (0,) * len(shape), "size": size, "stride": (1,) * len(shape)}, 1)[0]
    # Angles from a whole number of turns, so that they are exact for long transforms.
    turns = np.outer(np.arange(bins), np.arange(used)) % points * (2 * np.pi / points)
    parts = []
    for what, matrix in (("cosines", np.cos(turns)), ("sines", -np.sin(turns))):
        name = fresh(b.taken, f"{b.file.names[op.outputs[0]]}/{what}")
        b.taken.add(name)
        b.tensors[name] = const(name, matrix.astype(np.float32))
        parts.append(b.between("FULLY_CONNECTED", (x, name, None), op, {"keep_dims": True}, "float32", None, 1)[0])
    b.complex[op.outputs[0]] = (parts[0], parts[1])


def part(b: Builder, op: FileOp) -> None:
    if op.inputs[0] not in b.complex:
        raise Refused("it reads complex numbers of another operator", "make them with RFFT2D")
    real, imaginary = b.complex[op.inputs[0]]
    if op.code != "COMPLEX_ABS":
        x = real if op.code == "REAL" else imaginary
        b.add("RESHAPE", (x,), op, {"shape": b.tensors[x].shape})
        return
    squares = [b.between("MUL", (x, x), op, {}, "float32", None, 1)[0] for x in (real, imaginary)]
    total = b.between("ADD", squares, op, {}, "float32", None, 1)[0]
    b.add("SQRT", (total,), op, {})


def move(b: Builder, op: FileOp) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS of complex numbers: of both parts."""
    shape = tuple(b.file.tensors[op.outputs[0]].shape)
    real, imaginary = (b.reshape(x, shape, op) for x in b.complex[op.inputs[0]])
    b.complex[op.outputs[0]] = (real, imaginary)


RULES: dict[str, Callable[[Builder, FileOp], None]] = {
    "RFFT2D": transform,
    **dict.fromkeys(["REAL", "IMAG", "COMPLEX_ABS"], part),
}
MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
