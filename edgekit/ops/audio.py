"""Sound: STFT (framing, window, Fourier transform, filters) and FILTER_BANK (mel filters, the cosine transform).

Both compute in float32 and are never quantized: the front-end of an audio network is its float segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array, Node, Shape, Tensor
from edgekit.ops.op import REQUIRED, Op, fail, given, optional, take

FORMS = ("POWER", "MAGNITUDE", "COMPLEX")
STFT_ATTRS = {"hop": REQUIRED, "fft": REQUIRED, "form": "POWER"}


def bins_of(fft: int) -> int:
    """Frequencies of a real signal's transform, 0 to half the sampling rate."""
    return fft // 2 + 1


def infer_stft(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    """x float32 or int16 [n, samples], window float32 [frame], filters float32 [m, bins] or none -> float32
    [n, frames, bins or m], of form COMPLEX [n, frames, bins, 2]. frames = (samples - frame) / hop + 1, rounded down."""
    x, window = take(node, inputs, 2, 1)
    filters = optional(inputs, 2)
    hop, fft, form = node.attrs["hop"], node.attrs["fft"], node.attrs.get("form", "POWER")
    if len(x.shape) != 2 or x.dtype not in {"float32", "int16"} or x.quant is not None:
        fail(node, f"takes float32 or int16 [n, samples], not {x.dtype}{list(x.shape)}")
    if len(window.shape) != 1 or window.dtype != "float32":
        fail(node, f"its window is {window.dtype}{list(window.shape)}, not a float32 row")
    frame, bins = window.shape[0], bins_of(int(fft))
    if form not in FORMS or not isinstance(hop, int) or not isinstance(fft, int) or hop < 1 or not 1 <= frame <= fft:
        fail(node, f"hop={hop!r}, fft={fft!r}, form={form!r} do not fit a window of {frame}")
    if x.shape[1] < frame:
        fail(node, f"{x.shape[1]} samples are less than one frame of {frame}")
    if filters is not None and (form == "COMPLEX" or len(filters.shape) != 2 or filters.shape[1] != bins):
        fail(node, f"its filters are {list(filters.shape)} for {bins} frequencies of form {form}")
    frames = (x.shape[1] - frame) // hop + 1
    if form == "COMPLEX":
        return [((x.shape[0], frames, bins, 2), "float32")]
    return [((x.shape[0], frames, bins if filters is None else filters.shape[0]), "float32")]


def real_stft(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Transformed in float64, as NumPy has it: engines in float32 are within their rounding of it."""
    x, window = given(inputs, 2)
    filters, form = optional(inputs, 2), node.attrs.get("form", "POWER")
    frames = np.lib.stride_tricks.sliding_window_view(x, window.shape[0], axis=1)[:, :: node.attrs["hop"]]
    spectrum = np.fft.rfft(frames * window.astype(np.float64), int(node.attrs["fft"]), axis=-1)
    if form == "COMPLEX":
        return [np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)]
    values = np.square(spectrum.real) + np.square(spectrum.imag)
    values = values if form == "POWER" else np.sqrt(values)
    return [(values if filters is None else values @ filters.T.astype(np.float64)).astype(np.float32)]


def macs_stft(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    """n log2 n a transform of n samples, and the filters where they are not zero."""
    fft, frames = int(node.attrs["fft"]), outputs[0].shape[0] * outputs[0].shape[1]
    filters = optional(inputs, 2)
    return frames * (int(fft * np.log2(max(fft, 2))) + (0 if filters is None else taps(filters)))


def taps(weights: Tensor) -> int:
    """Weights a filter bank multiplies with: those between the first and the last of each filter that are not zero."""
    return weights.elements if weights.data is None else int(sum(n for _, n in spans(weights.data)))


def spans(weights: Array) -> list[tuple[int, int]]:
    """(first, how many) of each filter: from its first to its last weight that is not zero."""
    found = []
    for row in weights:
        used = np.flatnonzero(row)
        found.append((int(used[0]), int(used[-1] - used[0] + 1)) if used.size else (0, 0))
    return found


def infer_bank(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    """x float32 [..., depth], filters float32 [m, depth], bias float32 [m] or none -> float32 [..., m]."""
    x, w = take(node, inputs, 2, 1)
    bias = optional(inputs, 2)
    if not x.shape or len(w.shape) != 2 or x.shape[-1] != w.shape[1] or {x.dtype, w.dtype} != {"float32"}:
        fail(node, f"{x.dtype}{list(x.shape)} does not fit filters {w.dtype}{list(w.shape)}")
    if bias is not None and bias.shape != (w.shape[0],):
        fail(node, f"its bias is {list(bias.shape)}, for {w.shape[0]} filters")
    return [((*x.shape[:-1], w.shape[0]), "float32")]


def real_bank(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, w = given(inputs, 2)
    bias = optional(inputs, 2)
    y = x @ w.T
    return [y if bias is None else y + bias]


def macs_bank(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int:
    x, w = given(inputs, 2)
    return x.elements // x.shape[-1] * taps(w)


def coupled_stft(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    """Recordings; a front-end's filters are not a network's to lose."""
    return [[(given(inputs, 1)[0].name, 0), (outputs[0].name, 0)]]


def coupled_bank(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    (x,), y = given(inputs, 1), outputs[0]
    return [[(x.name, axis), (y.name, axis)] for axis in range(len(y.shape) - 1)]


OPS: tuple[Op, ...] = (
    Op("STFT", infer_stft, real_stft, attrs=STFT_ATTRS, ids=(1, 2), quant="none", macs=macs_stft, coupled=coupled_stft),
    Op("FILTER_BANK", infer_bank, real_bank, ids=(1, 2), quant="none", macs=macs_bank, coupled=coupled_bank),
)
