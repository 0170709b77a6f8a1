"""The constants of an audio front-end: windows, mel filters, the cosine transform. NumPy only; float64 results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.graph import Array

# Cosine series of each window, over t / length (periodic): as SciPy and ONNX have them.
SERIES = {"hann": (0.5, 0.5), "hamming": (25 / 46, 21 / 46), "blackman": (0.42, 0.5, 0.08), "rect": (1.0,)}


def window(name: str, length: int) -> Array:
    """A periodic window of `length` samples; hamming with 25/46 (0.5435), "hamming54" with the rounded 0.54."""
    series = (0.54, 0.46) if name == "hamming54" else SERIES[name]
    t = 2 * np.pi * np.arange(length) / length
    return np.asarray(sum((-1) ** i * a * np.cos(i * t) for i, a in enumerate(series)))


def _slaney(hz: Array) -> Array:
    """Slaney 1998, Auditory Toolbox: linear below 1 kHz, logarithmic above."""
    above = 15 + 27 / np.log(6.4) * np.log(np.maximum(hz, 1000.0) / 1000.0)
    return np.where(hz < 1000.0, hz * 3 / 200, above)


def _from_slaney(mel: Array) -> Array:
    return np.where(mel < 15, mel * 200 / 3, 1000.0 * np.exp(np.log(6.4) / 27 * (mel - 15)))


# name -> (Hz to mel, mel to Hz). htk: O'Shaughnessy 1987, as in the HTK Book.
SCALES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "htk": (lambda hz: 2595.0 * np.log10(1.0 + hz / 700.0), lambda mel: 700.0 * (10.0 ** (mel / 2595.0) - 1.0)),
    "slaney": (_slaney, _from_slaney),
}


def filters(count: int, fft: int, rate: float, low: float, high: float, scale: str, triangles: str, norm: str) -> Array:
    """[count, fft // 2 + 1] triangular filters, evenly spaced on the mel scale from `low` to `high` Hz.

    triangles: straight in "hz" (torchaudio, librosa) or in "mel" (TensorFlow, HTK). norm: "none", or "slaney" for equal areas.
    """
    to_mel, to_hz = SCALES[scale]
    frequencies = np.arange(fft // 2 + 1) * rate / fft
    mels = np.linspace(float(to_mel(np.asarray(low))), float(to_mel(np.asarray(high))), count + 2)
    edges = to_hz(mels)
    at, corners = (frequencies, edges) if triangles == "hz" else (to_mel(frequencies), mels)
    left, centre, right = (corners[i : i + count, None] for i in range(3))
    weights = np.maximum(0.0, np.minimum((at - left) / (centre - left), (right - at) / (right - centre)))
    areas = (2.0 / (edges[2:] - edges[:count]))[:, None] if norm == "slaney" else 1.0
    return np.asarray(weights * areas)


def cosines(count: int, size: int, dct: str) -> Array:
    """[count, size] rows of the type-2 cosine transform: "ortho"normal, or as "htk" has it (row 0 as long as the others)."""
    k, n = np.arange(count)[:, None], np.arange(size)
    rows: Array = np.sqrt(2.0 / size) * np.cos(np.pi * k * (n + 0.5) / size)
    if dct == "ortho":
        rows[0] *= np.sqrt(0.5)
    return rows
