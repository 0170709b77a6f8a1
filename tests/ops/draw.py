"""What the op tests draw: random generators, quantized activations, weights and biases."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from edgekit.graph import Quant, Tensor, const

FUSED = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
# A seeded NumPy generator draws everything else: integers over whole ranges matter here, not small counter-examples.
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
sampled = settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


def any_quant(rng: np.random.Generator, scale: float | None = None) -> Quant:
    """int8, per tensor, any zero point; a scale between 1e-4 and 1 unless given."""
    return Quant.per_tensor(float(10 ** rng.uniform(-4, 0)) if scale is None else scale, int(rng.integers(-128, 128)))


def activation(name: str, shape: tuple[int, ...], rng: np.random.Generator, scale: float | None = None) -> Tensor:
    return Tensor(name, shape, "int8", None, any_quant(rng, scale))


def weights(shape: tuple[int, ...], axis: int, rng: np.random.Generator, per_channel: bool = True) -> Tensor:
    """Symmetric int8 weights with scales over three decades."""
    count = shape[axis] if per_channel else 1
    scale = (10 ** rng.uniform(-4, -1, count)).astype(np.float32)
    quant = Quant.per_channel(scale, axis) if per_channel else Quant.per_tensor(float(scale[0]))
    return const("w", rng.integers(-127, 128, shape).astype(np.int8), quant)


def bias_for(x: Tensor, w: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    assert x.quant is not None
    assert w.quant is not None
    scale = x.quant.scale[0] * w.quant.scale
    quant = Quant(scale, np.zeros(scale.size, np.int64), 0 if scale.size > 1 else None, None, "int32")
    return const("b", rng.integers(-30000, 30001, count).astype(np.int32), quant)


def sum_quant(x: Tensor, w: Tensor, rng: np.random.Generator) -> Quant:
    """An output scale that neither saturates everything nor rounds everything away."""
    assert x.quant is not None
    assert w.quant is not None
    return any_quant(rng, float(x.quant.scale[0]) * float(w.quant.scale.mean()) * float(rng.uniform(20, 800)))


def scale_of(tensor: Tensor) -> float:
    assert tensor.quant is not None
    return float(tensor.quant.scale[0])


def ints(rng: np.random.Generator, low: int, high: int, count: int) -> tuple[int, ...]:
    """`count` integers in low..high-1."""
    return tuple(int(n) for n in rng.integers(low, high, count))


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rng.normal(size=shape).astype(np.float32)
