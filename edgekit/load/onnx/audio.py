"""STFT and DFT as ONNX has them, and the functions in which edgekit writes its own spectrum and filter bank."""

from __future__ import annotations

import numpy as np

from edgekit.graph import Array
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler, axis_of
from edgekit.ops.audio import bins_of

LARGEST_DFT = 4096  # a DFT along an axis is a matrix product


def stft(b: Builder, c: Call) -> list[str]:
    """A real signal [n, samples, 1] (or [n, samples]) -> [n, frames, bins, 2]."""
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    step, given, length = b.ints(c.needed(1), "step"), c.input(2), b.ints(c.input(3), "frame length")
    assert step is not None
    window = b.array(given)
    if given is not None and window is None:
        raise Cannot("its window is computed at run time", "export with a constant window")
    if len(shape) == 3 and shape[2] == 2:
        raise Cannot("its signal is complex", "a real signal")
    frame = length[0] if length else window.size if window is not None else 0
    if frame < 1 or (window is not None and window.size != frame):
        raise ValueError(f"frame length {length} does not fit the window")
    x = b.reshape(x, shape[:2])
    values = np.ones(frame, np.float32) if window is None else window.astype(np.float32)
    y = b.one("STFT", [x, b.constant(values, "window")], hop=int(step[0]), fft=frame, form="COMPLEX")
    if int(c.get("onesided", 1)):
        return [y]
    # The other half is the mirror image, conjugated.
    count = bins_of(frame)
    mirror = np.arange(frame - count, 0, -1, dtype=np.int32)
    if not mirror.size:
        return [y]
    half = b.one("GATHER", [y, b.constant(mirror, "mirror")], axis=2)
    half = b.one("MUL", [half, b.constant(np.array([1, -1], np.float32), "conjugate")])
    return [b.one("CONCATENATION", [y, half], axis=2)]


def _matrix(size: int, length: int, complex_in: bool, inverse: bool, bins: int) -> Array:
    """[bins * 2, size * (2 when complex)]: rows real, imaginary in turn; `size` values of a transform of `length`."""
    angle = 2 * np.pi * np.outer(np.arange(bins), np.arange(size)) / length * (1 if inverse else -1)
    scale = 1 / length if inverse else 1.0
    real, imaginary = np.cos(angle) * scale, np.sin(angle) * scale
    rows = np.stack([real, imaginary], axis=1)  # [bins, 2, size]
    if complex_in:
        rows = np.stack([rows, np.stack([-imaginary, real], axis=1)], axis=-1)
    return rows.reshape(2 * bins, -1).astype(np.float32)


def _real_matrix(size: int, length: int) -> Array:
    """[length, size * 2]: a real signal from the first `size` values of its half spectrum, the other half being conjugated."""
    k = np.arange(size)
    angle = 2 * np.pi * np.outer(np.arange(length), k) / length
    twice = np.where((k == 0) | (2 * k == length), 1.0, 2.0) / length
    rows = np.stack([np.cos(angle) * twice, -np.sin(angle) * twice], axis=-1)
    return rows.reshape(length, -1).astype(np.float32)


def dft(b: Builder, c: Call) -> list[str]:
    """Along one axis of [..., 1] real or [..., 2] complex numbers, as a matrix product."""
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    rank, complex_in = len(shape), shape[-1] == 2
    later = b.ints(c.input(2), "axis") if c.opset >= 20 else None
    axis = axis_of(later[0] if later else -2 if c.opset >= 20 else c.get("axis", 1), rank)
    given = b.ints(c.input(1), "length")
    inverse, onesided = bool(c.get("inverse", 0)), bool(c.get("onesided", 0))
    back = inverse and onesided  # from the half spectrum to the real signal
    length = given[0] if given else 2 * (shape[axis] - 1) if back else shape[axis]
    if shape[-1] not in (1, 2) or axis == rank - 1 or length < 1:
        raise ValueError(f"shape {list(shape)}, axis {axis}, length {length}")
    if length > LARGEST_DFT:
        raise Cannot(f"its transform of {length} would be a matrix of {length} by {length}", "STFT, which is a fast transform")
    if back and not complex_in:
        raise ValueError("an inverse transform of one side is of complex numbers")
    size = min(bins_of(length) if back else length, shape[axis])
    x = b.transpose(x, [*(a for a in range(rank) if a not in (axis, rank - 1)), axis, rank - 1])
    lead = b.tensors[x].shape[:-2]
    if size < shape[axis]:
        full = b.tensors[x].shape
        x = b.one("SLICE", [x], begin=(0,) * rank, size=(*lead, size, full[-1]), stride=(1,) * rank)
    bins = length if inverse or not onesided else bins_of(length)
    matrix = _real_matrix(size, length) if back else _matrix(size, length, complex_in, inverse, bins)
    y = b.one("FILTER_BANK", [b.reshape(x, (*lead, size * shape[-1])), b.constant(matrix, "transform")])
    y = b.reshape(y, (*lead, bins, 1 if back else 2))
    order = [*(a for a in range(rank) if a not in (axis, rank - 1)), axis, rank - 1]
    return [b.transpose(y, [order.index(a) for a in range(rank)])]


def spectrum(b: Builder, c: Call) -> list[str]:
    """edgekit's own functions SpectrumPOWER and so on: signal, window, and filters for those of Filtered."""
    ins = [b.tensor(c.needed(0)), b.constant(np.asarray(b.array(c.needed(1)), np.float32), "window")]
    if c.input(2) is not None:
        ins.append(b.constant(np.asarray(b.array(c.input(2)), np.float32), "filters"))
    form = c.op.removeprefix("Spectrum").removesuffix("Filtered")
    return [b.one("STFT", ins, hop=int(c.attrs["hop"]), fft=int(c.attrs["fft"]), form=form)]


def filter_bank(b: Builder, c: Call) -> list[str]:
    """edgekit's own function FilterBank."""
    parts = [b.constant(np.asarray(b.array(n), np.float32), f"part{i}") for i, n in enumerate(c.inputs[1:]) if n is not None]
    return [b.one("FILTER_BANK", [b.tensor(c.needed(0)), *parts])]


# edgekit's own functions, no operators of ONNX.
OWN: dict[str, Handler] = {
    "FilterBank": filter_bank,
    "FilterBankBiased": filter_bank,
    **{f"Spectrum{form}{kind}": spectrum for form in ("POWER", "MAGNITUDE") for kind in ("", "Filtered")},
    "SpectrumCOMPLEX": spectrum,
}
HANDLERS: dict[str, Handler] = {"STFT": stft, "DFT": dft, **OWN}
# Constants once their sizes are: folding makes them.
FOLDED = ("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix")
