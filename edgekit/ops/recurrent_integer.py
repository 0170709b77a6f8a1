"""The integer meaning of LSTM, GRU and RNN: int8 in and out, gates and long memory in 16 bits.

LSTM is TensorFlow Lite Micro's UNIDIRECTIONAL_SEQUENCE_LSTM (8x8->16) bit for bit: weights of one scale a gate; both products
of a gate are rescaled to int16 of scale 2**-12, each saturating, and added, saturating; sigmoid and tanh give int16 of scale
2**-15; the cell state is int16 of a power-of-two scale; h is int8, with y's scale.

GRU and RNN are edgekit's own, in the same manner: gates are int16 of scale 2**-11 (products up to 16 do not saturate), weights
have a scale a row. GRU's h is int16 of a power-of-two scale, so that small updates are not lost; its products read it as
y (int8). RNN's h is int8, with y's scale; with RELU its sum is int16 of a 64th of y's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import Array, Node, Tensor
from edgekit.ops.gates import sigmoid16, tanh16
from edgekit.ops.op import fail, given, optional
from edgekit.ops.requant import int8_quant, quant_of, scale_of, zero_of

LSTM_POWER, OWN_POWER = -12, -11  # scale of the gates' inputs, as a power of two
UNIT = 2.0**-15  # scale of a gate's output
RELU_BITS = 6
Pair = tuple[int, int]


@dataclass(frozen=True)
class Products:
    """The two products of the gates: sums + bias are rescaled by (multiplier, shift) of their row. int64[G*H] each."""

    weights: Array
    bias: Array
    zero: int
    multiplier: Array
    shift: Array

    def __call__(self, q: Array) -> Array:
        """int16 values (int64) of q int8[..., depth]; sums are modulo 2**32, the result saturates."""
        sums = (q.astype(np.int64) - self.zero) @ self.weights.T + self.bias
        scaled = fixedpoint.multiply_by_quantized_multiplier(fixedpoint.wrap_int32(sums), self.multiplier, self.shift)
        return clamp16(scaled)


@dataclass(frozen=True)
class Params:
    """input, recurrent: products of x and of h. power: of the scale of the long memory (c of LSTM, h of GRU).

    forget, update, out: (multiplier, shift) of s(f) c, of s(i) tanh(g), and to y's scale. reset: GRU's s(r) h to y's scale.
    """

    input: Products
    recurrent: Products
    zero: int
    power: int
    out: Pair
    forget: Pair = (0, 0)
    update: Pair = (0, 0)
    reset: Pair = (0, 0)


def clamp16(x: Array) -> Array:
    return np.clip(x, -32768, 32767)


def clamp8(x: Array) -> Array:
    return np.clip(x, -128, 127)


def rescale(x: Array, pair: Pair) -> Array:
    return fixedpoint.multiply_by_quantized_multiplier(x, *pair)


def power_of(node: Node, tensor: Tensor) -> int:
    """log2 of the scale of a 16-bit state. Raises BadModel when it is not int16 of a power-of-two scale."""
    quant = quant_of(node, tensor)
    power = int(np.round(np.log2(scale_of(quant))))
    if tensor.dtype != "int16" or scale_of(quant) != 2.0**power or zero_of(quant) or not -24 <= power <= 0:
        fail(node, f"its state '{tensor.name}' must be int16 with a power of two from 2**-24 to 1 as scale, zero point 0")
    return power


def products(node: Node, q: Tensor, w: Tensor, bias: Tensor | None, scale: float) -> Products:
    """The products with rows of w, rescaled to `scale`. Raises BadModel for weights that are not symmetric constants."""
    if w.quant is None or w.data is None or np.any(w.quant.zero_point != 0):
        fail(node, f"weights '{w.name}' need constant values and a symmetric Quant")
    if bias is not None and bias.data is None:
        fail(node, f"its bias '{bias.name}' is computed by the network")
    rows = w.shape[0]
    quant = int8_quant(node, q)
    real = scale_of(quant) * np.broadcast_to(w.quant.scale.astype(np.float64), (rows,)) / scale
    added = np.zeros(rows, np.int64) if bias is None or bias.data is None else bias.data.astype(np.int64)
    return Products(w.data.astype(np.int64), added, zero_of(quant), *fixedpoint.quantize_multipliers(real))


def params(node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> Params:
    """How a quantized LSTM, GRU or RNN rescales. Raises BadModel for Quants that do not fit the operator."""
    (x, w, r), bias, sixth = given(ins, 3), optional(ins, 3), optional(ins, 5)
    y, h = outs[0], outs[1]
    quant = int8_quant(node, y)
    for a, b in ((optional(ins, 4), h), (sixth if node.op == "LSTM" else None, outs[-1]), (h if node.op != "GRU" else None, y)):
        if a is not None and (b.quant is None or not b.quant.same_as(a.quant)):
            fail(node, f"'{a.name}' must have the scale of '{b.name}'")
    scale, zero = scale_of(quant), zero_of(quant)
    pair = fixedpoint.quantize_multiplier
    if node.op == "LSTM":
        gate = 2.0**LSTM_POWER
        power = power_of(node, outs[2])
        return Params(
            products(node, x, w, bias, gate),
            products(node, y, r, None, gate),
            zero,
            power,
            pair(UNIT * UNIT / scale),
            forget=pair(UNIT),
            update=pair(UNIT * UNIT / 2.0**power),
        )
    if node.op == "GRU":
        gate, power = 2.0**OWN_POWER, power_of(node, h)
        rows = w.shape[0]
        own = None if sixth is None or sixth.data is None else sixth.data.astype(np.int64)
        inner = products(node, y, r, None, gate)
        if own is not None:
            inner = Products(
                inner.weights, np.concatenate([inner.bias[: rows // 3 * 2], own]), inner.zero, inner.multiplier, inner.shift
            )
        out, reset = pair(2.0**power / scale), pair(UNIT * 2.0**power / scale)
        return Params(products(node, x, w, bias, gate), inner, zero, power, out, reset=reset)
    relu = node.attrs.get("activation", "TANH") == "RELU"
    gate = scale / (1 << RELU_BITS) if relu else 2.0**OWN_POWER
    return Params(products(node, x, w, bias, gate), products(node, y, r, None, gate), zero, -15, pair(UNIT / scale))


def _start(first: Array | None, like: Array, value: int) -> Array:
    return np.full(like.shape, value, np.int64) if first is None else first.astype(np.int64)


def _order(node: Node, steps: int) -> range:
    return range(steps - 1, -1, -1) if node.attrs.get("reverse", False) else range(steps)


def lstm(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    p = params(node, ins, outs)
    (x,) = given(inputs)
    forward = p.input(x)
    shape = np.empty((x.shape[0], p.recurrent.weights.shape[1]))
    h, c = _start(optional(inputs, 4), shape, p.zero), _start(optional(inputs, 5), shape, 0)
    y = np.empty((*x.shape[:2], shape.shape[1]), np.int8)
    for t in _order(node, x.shape[1]):
        gates = np.split(clamp16(forward[:, t] + p.recurrent(h)), 4, axis=1)
        i, f, o = (sigmoid16(gates[k], LSTM_POWER) for k in (0, 1, 3))
        kept, new = clamp16(rescale(f * c, p.forget)), clamp16(rescale(i * tanh16(gates[2], LSTM_POWER), p.update))
        c = clamp16(kept + new)
        h = clamp8(rescale(tanh16(c, p.power) * o, p.out) + p.zero)
        y[:, t] = h
    return [y, h, c]


def gru(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    p = params(node, ins, outs)
    (x,) = given(inputs)
    forward = p.input(x)
    units = p.recurrent.weights.shape[1]
    after = bool(node.attrs.get("reset_after", True))
    h = _start(optional(inputs, 4), np.empty((x.shape[0], units)), 0)
    y = np.empty((*x.shape[:2], units), np.int8)
    drop = p.power + 15  # bits that a number of scale 2**-15 has more than h
    for t in _order(node, x.shape[1]):
        h8 = clamp8(rescale(h, p.out) + p.zero)
        inner = p.recurrent(h8)
        z, reset = np.split(sigmoid16(clamp16(forward[:, t, : 2 * units] + inner[:, : 2 * units]), OWN_POWER), 2, axis=1)
        if after:
            candidate = (reset * inner[:, 2 * units :] + (1 << 14)) >> 15
        else:
            candidate = p.recurrent(clamp8(rescale(reset * h, p.reset) + p.zero))[:, 2 * units :]
        n = tanh16(clamp16(forward[:, t, 2 * units :] + candidate), OWN_POWER)
        n = (n + ((1 << drop) >> 1)) >> drop if drop >= 0 else clamp16(n << -drop)
        h = clamp16((z * h + (32768 - z) * n + (1 << 14)) >> 15)
        y[:, t] = clamp8(rescale(h, p.out) + p.zero)
    return [y, h]


def rnn(node: Node, inputs: Sequence[Array | None], ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    p = params(node, ins, outs)
    (x,) = given(inputs)
    forward = p.input(x)
    units = p.recurrent.weights.shape[1]
    relu = node.attrs.get("activation", "TANH") == "RELU"
    h = _start(optional(inputs, 4), np.empty((x.shape[0], units)), p.zero)
    y = np.empty((*x.shape[:2], units), np.int8)
    for t in _order(node, x.shape[1]):
        total = clamp16(forward[:, t] + p.recurrent(h))
        if relu:
            made = (np.maximum(total, 0) + (1 << (RELU_BITS - 1))) >> RELU_BITS
        else:
            made = rescale(tanh16(total, OWN_POWER), p.out)
        h = clamp8(made + p.zero)
        y[:, t] = h
    return [y, h]
