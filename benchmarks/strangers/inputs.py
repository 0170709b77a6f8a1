"""Made-up data of the right kind: random, but with the smoothness and range that real images, sounds and ids have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgekit.boundary import source_shape
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Shape

IDS = 100  # ids are below this; the vocabularies of make_torch.py are larger


def samples(graph: Graph, kind: str, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """`count` samples in the source's layout. kind: a key of KINDS, for inputs of real numbers; integers are ids."""
    rng = np.random.default_rng(seed)
    return [{name: _one(graph, name, kind, rng) for name in graph.inputs} for _ in range(count)]


def _one(graph: Graph, name: str, kind: str, rng: np.random.Generator) -> Array:
    shape, tensor = source_shape(graph, name), graph[name]
    if tensor.dtype.startswith("float") or tensor.quant is not None:
        return KINDS[kind](rng, shape).astype(np.float32)
    high = 2 if tensor.dtype == "bool" else IDS
    return rng.integers(0, high, shape).astype(NUMPY_DTYPES[tensor.dtype])


def _smooth(rng: np.random.Generator, shape: Shape, step: int) -> Array:
    """Noise of which neighbours along every axis longer than 8 are alike, standard deviation about 1."""
    coarse = rng.normal(0, 1, [max(1, -(-n // step)) if n > 8 else n for n in shape])
    for axis, n in enumerate(shape):
        if n > 8:
            at = np.linspace(0, coarse.shape[axis] - 1, n)
            low = np.floor(at).astype(int)
            part = (at - low).reshape([-1 if i == axis else 1 for i in range(len(shape))])
            high = np.minimum(low + 1, coarse.shape[axis] - 1)
            coarse = np.take(coarse, low, axis) * (1 - part) + np.take(coarse, high, axis) * part
    return np.asarray(coarse / max(float(coarse.std()), 1e-6))


def _image(rng: np.random.Generator, shape: Shape) -> Array:
    """Patches of colour with grain, normalized as photographs are: about N(0, 1), within +-2.6."""
    return np.clip(0.9 * _smooth(rng, shape, 12) + 0.3 * rng.normal(0, 1, shape), -2.6, 2.6)


def _audio(rng: np.random.Generator, shape: Shape) -> Array:
    """A few harmonics with an envelope and noise, within +-1."""
    t = np.arange(shape[-1]) / 16000
    voice = sum(rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * rng.uniform(80, 250) * k * t) for k in range(1, 6))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(2, 6) * t)
    return np.clip(np.broadcast_to(voice * envelope, shape) + rng.normal(0, 0.02, shape), -1, 1)


KINDS: Mapping[str, Callable[[np.random.Generator, Shape], Array]] = {
    "image": _image,
    "video": _image,
    "audio": _audio,
    "spectrogram": lambda rng, shape: 0.8 * _smooth(rng, shape, 6) + 0.4 * rng.normal(0, 1, shape),
    "features": lambda rng, shape: np.maximum(rng.normal(0, 1, shape), 0),
    "series": lambda rng, shape: np.cumsum(rng.normal(0, 0.3, shape), axis=1 if len(shape) > 2 else -1),
    "table": lambda rng, shape: rng.normal(0, 1, shape),
    "ids": lambda rng, shape: rng.normal(0, 1, shape),
}
