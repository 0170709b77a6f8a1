"""Calls of the recurrent kernels. Multipliers, shifts and weights are the reference's own, from `ops.recurrent_integer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.export.c.calls_f32 import dequantize, quantize
from edgekit.export.c.calls_s8 import in_turn
from edgekit.export.c.site import Site
from edgekit.ops.gates import SIGMOID, steps_of
from edgekit.ops.recurrent import GATES
from edgekit.ops.requant import quant_of, requantize_params, zero_of
from edgekit.ops.recurrent_integer import LSTM_POWER, OWN_POWER, Params, Products, params


def _optional(site: Site, index: int) -> str:
    """An operand, or the null pointer."""
    return site.x(index) if site.optional(index) is not None else "0"


def _constants(site: Site) -> None:
    for index in (1, 2, 3, *((5,) if site.node.op == "GRU" else ())):
        tensor = site.optional(index)
        if tensor is not None and tensor.data is None:
            raise site.refuse(f"'{tensor.name}' is computed by the network", "constant weights and biases")


def _sizes(site: Site) -> tuple[tuple[Sequence[object], str], ...]:
    x, units = site.tensor(0), site.tensor(2).shape[1]
    reverse = int(bool(site.node.attrs.get("reverse", False)))
    return (((*x.shape, units, reverse), "batch, steps, inputs, units, from the end"),)


def _gates(site: Site, name: str, p: Products) -> tuple[list[str], str]:
    """(the array `name` of ek_quantized, one a gate; the weights' array)."""
    gates = GATES[site.node.op]
    folded = p.bias - p.zero * p.weights.sum(axis=1)
    folded = ((folded + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)  # sums are modulo 2**32 in the kernels too
    pairs = np.stack([p.multiplier, p.shift]).reshape(2, gates, -1)
    each = bool(np.any(pairs != pairs[:, :, :1]))
    held = pairs if each else pairs[:, :, :1]
    arrays = (
        site.array(f"{name}_bias", folded.astype(np.int32), "int32_t", "with the input's zero point"),
        site.array(f"{name}_multiplier", held[0].astype(np.int32), "int32_t"),
        site.array(f"{name}_shift", held[1].astype(np.int8), "int8_t"),
    )
    rows, step = len(folded) // gates, held.shape[2]
    lines = [f"static const {site.prefix}_quantized {name}[{gates}] = {{"]
    for k in range(gates):
        bias, multiplier, shift = (f"{a} + {n * k}" for a, n in zip(arrays, (rows, step, step), strict=True))
        lines.append(f"    {{{bias}, {multiplier}, {shift}, {int(each)}, 0, 0, 0}},")
    w = p.weights.astype(np.int8)
    stored = w if site.step.kernel.endswith("_dsp_s8") else in_turn(w, gates)
    return [*lines, "};"], site.array(f"{name}_weights", stored, "int8_t")


def _integer(site: Site) -> tuple[Params, list[str]]:
    """(how it rescales, the blocks `forward`, `back` and `cell`)."""
    _constants(site)
    p = params(site.node, site.graph.input_tensors(site.node), site.graph.output_tensors(site.node))
    first, w = _gates(site, "forward", p.input)
    second, r = _gates(site, "back", p.recurrent)
    table = site.array("sigmoid", SIGMOID, "uint16_t", "sigmoid(i / 24)")
    within = {"LSTM": (p.forget, p.update), "GRU": (p.reset, (0, 0)), "RNN": ((0, 0), (0, 0))}[site.node.op]
    scales = (p.out, *within)
    steps = steps_of(p.power if site.node.op == "LSTM" else OWN_POWER)
    rows: list[tuple[Sequence[object], str]] = [
        ((w, r, "forward", "back", table), "weights, rescales, table"),
        *_sizes(site),
        ((f"{{{', '.join(str(m) for m, _ in scales)}}}", f"{{{', '.join(str(s) for _, s in scales)}}}"), "multipliers, shifts"),
        ((*steps, p.zero), "to the table's steps, zero point of y"),
    ]
    return p, [*first, *second, *site.block("recurrent", "cell", rows)]


def lstm_s8(site: Site) -> list[str]:
    assert steps_of(LSTM_POWER) == (3, 0), "lstm_s8.c has the gates' steps in its text"
    _, lines = _integer(site)
    ends = (site.scratch, site.y(0), site.y(1), site.y(2))
    return [*lines, site.call(site.step.kernel, site.x(), _optional(site, 4), _optional(site, 5), "&cell", *ends)]


def gru_s8(site: Site) -> list[str]:
    p, lines = _integer(site)
    after = int(bool(site.node.attrs.get("reset_after", True)))
    ends = (site.scratch, site.y(0), site.y(1))
    return [*lines, site.call(site.step.kernel, site.x(), _optional(site, 4), "&cell", after, p.power + 15, *ends)]


def _relu(site: Site) -> int:
    return int(site.node.attrs.get("activation", "TANH") == "RELU")


def rnn_s8(site: Site) -> list[str]:
    _, lines = _integer(site)
    ends = (site.scratch, site.y(0), site.y(1))
    return [*lines, site.call(site.step.kernel, site.x(), _optional(site, 4), "&cell", _relu(site), *ends)]


def real(site: Site) -> list[str]:
    _constants(site)
    arrays = (site.x(1), site.x(2), _optional(site, 3))
    block = site.block("recurrent_f32", "cell", [(arrays, "weights, bias"), *_sizes(site)])
    kinds = {
        "LSTM": (_optional(site, 4), _optional(site, 5), "&cell"),
        "GRU": (_optional(site, 4), _optional(site, 5), "&cell", int(bool(site.node.attrs.get("reset_after", True)))),
        "RNN": (_optional(site, 4), "&cell", _relu(site)),
    }
    ends = [site.y(i) for i in range(len(site.node.outputs))]
    return [*block, site.call(site.step.kernel, site.x(), *kinds[site.node.op], site.scratch, *ends)]


def requantize(site: Site) -> list[str]:
    """Between 8 and 16 bits."""
    x, y = site.tensor(0), site.out
    zeros = [zero_of(quant_of(site.node, t)) for t in (x, y)]
    scale = requantize_params(site.node, x, y)
    return [site.call(site.step.kernel, site.x(), zeros[0], x.elements, *scale, zeros[1], site.y())]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    **dict.fromkeys(("lstm_s8", "lstm_dsp_s8"), lstm_s8),
    **dict.fromkeys(("gru_s8", "gru_dsp_s8"), gru_s8),
    **dict.fromkeys(("rnn_s8", "rnn_dsp_s8"), rnn_s8),
    **dict.fromkeys(("requantize_s16_s8", "requantize_s8_s16"), requantize),
    "quantize_f32_s16": quantize,
    "dequantize_s16_f32": dequantize,
    **dict.fromkeys(("lstm_f32", "gru_f32", "rnn_f32"), real),
}
