"""How far two results are apart: SQNR, argmax agreement, largest difference in LSB, accuracy. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgekit.errors import BadData
from edgekit.graph import Array


def sqnr_db(reference: Array | Iterable[Array], test: Array | Iterable[Array]) -> float:
    """Signal to quantization noise ratio in dB: 10 log10(sum(ref**2) / sum((ref - test)**2)), over all arrays together.

    Both are one array or equally long sequences of arrays of equal shapes. Identical: inf; a reference of only zeros
    that is missed: -inf; noise that is not finite: -inf. Equal infinities and NaN for NaN are no noise (and no signal).
    """
    signal = noise = 0.0
    for ref, got in zip(_arrays(reference), _arrays(test), strict=True):
        r, g = np.asarray(ref, np.float64), np.asarray(got, np.float64)
        if r.shape != g.shape:
            raise BadData(f"cannot compare {list(r.shape)} with {list(g.shape)}")
        signal += float(np.sum(r * r, where=np.isfinite(r)))
        noise += float(np.sum(difference(r, g) ** 2))
    return decibels(signal, noise)


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise) of two powers: inf without noise, -inf without signal or with noise that is not finite."""
    if noise == 0.0:
        return float("inf")
    if signal == 0.0 or not np.isfinite(noise):
        return float("-inf")
    return float(10.0 * np.log10(signal / noise))


def difference(reference: Array, test: Array) -> Array:
    """|reference - test|, float64; zero where both are the same infinity or both NaN."""
    r, g = np.asarray(reference, np.float64), np.asarray(test, np.float64)
    same = (r == g) | (np.isnan(r) & np.isnan(g))
    return np.abs(np.subtract(r, g, out=np.zeros_like(r), where=~same))


def max_lsb(reference: Array, test: Array) -> int:
    """Largest |difference| of two integer arrays of the same shape."""
    if reference.shape != test.shape:
        raise BadData(f"cannot compare {list(reference.shape)} with {list(test.shape)}")
    if reference.size == 0:
        return 0
    return int(np.max(np.abs(reference.astype(np.int64) - test.astype(np.int64))))


def decide(output: Array) -> int:
    """The class an output means: index of its largest value (the first of equals); for a single value, value > 0.5."""
    flat = np.asarray(output).reshape(-1)
    return int(flat[0] > 0.5) if flat.size == 1 else int(np.argmax(flat))


def argmax_agreement(reference: Sequence[Array], test: Sequence[Array]) -> float:
    """Share (0..1) of samples whose largest output is at the same index.

    A tie counts as agreement when the reference's winner is among the test's winners, because quantized outputs tie
    where real ones do not.
    """
    if len(reference) != len(test) or not reference:
        raise BadData(f"cannot compare {len(reference)} samples with {len(test)}")
    same = 0
    for ref, got in zip(reference, test, strict=True):
        r, g = np.asarray(ref).reshape(-1), np.asarray(got).reshape(-1)
        same += int(g[int(np.argmax(r))] == g.max())
    return same / len(reference)


def accuracy(outputs: Sequence[Array], labels: Array) -> float:
    """Top-1 accuracy, 0..1, of one output array a sample (axis 0 is the batch of 1; see `decide`).

    labels: integers [n], or one-hot rows [n, classes]. Raises BadData, saying why, where accuracy has no meaning: real
    (regression) or multi-label labels, several answers a sample, or another number of labels than outputs.
    """
    truth = class_labels(labels)
    if len(outputs) != truth.size or not len(outputs):
        raise BadData(f"{truth.size} labels for {len(outputs)} outputs")
    size = np.asarray(outputs[0]).size
    if size != np.asarray(outputs[0]).shape[-1]:
        raise BadData(f"accuracy needs one answer a sample, the output is {list(np.asarray(outputs[0]).shape)}")
    if size == 1 and not np.all(np.isin(truth, (0, 1))):
        raise BadData("accuracy of a single output needs labels 0 and 1")
    hits = sum(decide(output) == int(label) for output, label in zip(outputs, truth, strict=True))
    return hits / len(outputs)


def class_labels(labels: Array) -> Array:
    """Labels as int64 [n]. Raises BadData when they are not classes (real numbers, several a sample)."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iufb":
        raise BadData(f"labels must be numbers, not {array.dtype}")
    if array.ndim == 2 and array.shape[1] > 1:
        if not (np.all(np.isin(array, (0, 1))) and np.all(array.sum(axis=1) == 1)):
            raise BadData("no accuracy: several labels a sample")
        return np.asarray(np.argmax(array, axis=1), np.int64)
    if array.size != array.shape[0]:
        raise BadData(f"no accuracy: labels of shape {list(array.shape)}")
    flat = array.reshape(-1)
    if flat.dtype.kind == "f":
        raise BadData("no accuracy: the labels are real numbers (regression)")
    return flat.astype(np.int64)


def _arrays(value: Array | Iterable[Array]) -> Iterable[Array]:
    return [value] if isinstance(value, np.ndarray) else value
