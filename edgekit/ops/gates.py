"""Sigmoid and tanh of 16-bit integers by interpolation in one table: what the gates of recurrent operators run.

The rules are TensorFlow Lite's for int16 (reference_integer_ops `Logistic` and `Tanh`): sigmoid(i / 24) in 256 steps, linear
between them; tanh(x) = 2 sigmoid(2 x) - 1. An input of scale 2**power is first brought to steps of 1 / (24 * 512).
"""

from __future__ import annotations

import numpy as np

from edgekit.graph import Array

# Entries that TensorFlow Lite's table has one higher than the nearest number.
HIGHER = (
    4,
    8,
    12,
    14,
    15,
    16,
    17,
    19,
    20,
    21,
    22,
    25,
    27,
    28,
    29,
    30,
    31,
    33,
    34,
    35,
    37,
    39,
    40,
    41,
    43,
    44,
    45,
    46,
    49,
    50,
    54,
    62,
    63,
    64,
    66,
    82,
    86,
    93,
    100,
    103,
    112,
    116,
    135,
    255,
)
# uint16[256]: sigmoid(i / 24) with 16 bits after the point.
SIGMOID: Array = np.floor(65536 / (1 + np.exp(-np.arange(256) / 24)) + 0.5).astype(np.uint16)
SIGMOID[list(HIGHER)] += 1


def steps_of(power: int) -> tuple[int, int]:
    """(multiplier, right shift) that bring an input of scale 2**power to the table's steps."""
    return (3 << (power + 12), 0) if power >= -12 else (3, -12 - power)


def _steps(x: Array, power: int) -> Array:
    multiplier, shift = steps_of(power)
    rounded: Array = (np.asarray(x, np.int64) * multiplier + ((1 << shift) >> 1)) >> shift
    return rounded


def _interpolated(size: Array, bits: int, most: int) -> Array:
    """The table at size / 2**bits, with `bits` more bits after the point; `most` past its end."""
    index = size >> bits
    inside = np.minimum(index, 254)
    low, high = SIGMOID[inside].astype(np.int64), SIGMOID[inside + 1].astype(np.int64)
    value = (low << bits) + (size & ((1 << bits) - 1)) * (high - low)
    return np.where(index >= 255, most, value)


def sigmoid16(x: Array, power: int) -> Array:
    """sigmoid(x * 2**power) * 2**15, int64 in 0..32767. x: int16 values of any shape."""
    return sigmoid_steps(_steps(x, power))


def sigmoid_steps(steps: Array) -> Array:
    """The same of a number of steps of 1 / (24 * 512)."""
    value = _interpolated(np.abs(steps), 9, 0x7FFF << 10)
    half = 1 << 9
    return np.where(steps >= 0, value + half, (1 << 25) - value + half - 1) >> 10


def tanh16(x: Array, power: int) -> Array:
    """tanh(x * 2**power) * 2**15, int64 in -32768..32767. x: int16 values of any shape."""
    return tanh_steps(_steps(x, power))


def tanh_steps(steps: Array) -> Array:
    """The same of a number of steps of 1 / (24 * 512)."""
    value = _interpolated(np.abs(steps), 8, 0xFFFF << 8)
    middle, half = 1 << 23, 1 << 7
    return np.where(steps >= 0, value - middle + half, middle - value + half - 1) >> 8
