"""Schemes: which integers a graph is made of; and the scale and zero point of a range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgekit.errors import BadConfig
from edgekit.fixedpoint import integer_range
from edgekit.passes.quantize.storage import STORAGE

SMALLEST_SCALE = 2.0**-40

Affine = tuple[float, int]  # (scale, zero point)


@dataclass(frozen=True)
class Scheme:
    """Which integers a graph is made of. per_channel: the operators whose weights have a scale an output channel.
    weights: "int8", or "int4" (of the operators of `narrow.NARROW`; weights of others are int8 then, too).

    FULLY_CONNECTED is per tensor by default, as TensorFlow's converter has it: per channel costs 12 bytes a channel in the
    file and needs a recent interpreter. Where precision matters more (10 dB on MLPerf Tiny's autoencoder, for 7 % of file)
    pass a Scheme that lists it; TFLM and LiteRT run it.
    """

    name: str
    weights: str = "int8"
    activations: str = "int8"
    per_channel: tuple[str, ...] = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


SCHEMES: dict[str, Scheme] = {
    "int8": Scheme("int8"),
    # Weights are the larger error here, so dense layers have a scale an output, too.
    "int16x8": Scheme(
        "int16x8", activations="int16", per_channel=("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
    ),
    "int4": Scheme("int4", weights="int4", per_channel=("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")),
}


def find_scheme(name: str | Scheme) -> Scheme:
    """The scheme of that name (a Scheme is itself). Raises BadConfig."""
    if isinstance(name, Scheme):
        return name
    if name not in SCHEMES:
        raise BadConfig(f"there is no quantization scheme {name}", f"schemes: {', '.join((*SCHEMES, *STORAGE))}")
    return SCHEMES[name]


def affine(low: float, high: float, dtype: str) -> Affine:
    """(scale, zero point) for low..high widened to hold zero, zero exact, scale a float32.

    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, sec. 3.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    smallest, largest = integer_range(dtype)
    if dtype == "int16":  # symmetric: kernels of 16 bits have no zero points
        return max(float(np.float32(max(-low, high) / largest)), SMALLEST_SCALE) if high > low else 1.0, 0
    scale = float(np.float32((high - low) / (largest - smallest)))
    if scale < SMALLEST_SCALE:
        return 0.5, 0  # always zero: any scale will do, but tiny ones overflow multipliers, and TFLite compares below 1 only
    zero = smallest - low / scale
    return scale, int(min(largest, max(smallest, math.floor(zero + 0.5))))
