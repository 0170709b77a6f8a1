"""Calls of the recurrent kernels. Multipliers, shifts and weights are the reference's own, from `ops.recurrent_integer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit import dsp
from edgekit.export.c.calls_dsp import filled, in_words
from edgekit.export.c.calls_f32 import dequantize, quantize
from edgekit.export.c.calls_s8 import in_turn
from edgekit.export.c.site import Site
from edgekit.graph import Array
from edgekit.ops.gates import SIGMOID, steps_of
from edgekit.ops.recurrent import GATES
from edgekit.ops.recurrent_integer import LSTM_POWER, OWN_POWER, Params, Products, params
from edgekit.ops.requant import quant_of, requantize_params, zero_of


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
    reverse, last = (int(bool(site.node.attrs.get(name, False))) for name in ("reverse", "last"))
    return (((*x.shape, units, reverse, last), "batch, steps, inputs, units, from the end, only the last of y"),)


def _folded(p: Products) -> Array:
    """Biases with the share of the zero point; sums are modulo 2**32 in the kernels too."""
    folded: Array = p.bias - p.zero * p.weights.sum(axis=1)
    return ((folded + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def _narrow(site: Site, p: Params) -> bool:
    """True when one word of weights may stand for two rows in every product (see packed.c)."""
    gates = GATES[site.node.op]
    return all(
        dsp.narrow(weights, folded)
        for q in (p.input, p.recurrent)
        for weights, folded in zip(np.split(q.weights, gates), np.split(_folded(q), gates), strict=True)
    )


def _stored(site: Site, name: str, p: Products, narrow: bool) -> tuple[str, str]:
    """(address of the weights, of the last gate's) in the order of the kernel's products."""
    gates, w = GATES[site.node.op], p.weights.astype(np.int8)
    if site.step.kernel.endswith("_dsp_s8"):
        words = np.concatenate([in_words(filled(part), narrow).reshape(-1) for part in np.split(w, gates)])
        array = site.array(f"{name}_weights", words, "int32_t")
        return tuple(f"(const int8_t *)({array} + {len(words) // gates * k})" for k in (0, gates - 1))  # type: ignore[return-value]
    array = site.array(f"{name}_weights", in_turn(w, gates), "int8_t")
    return array, f"{array} + {w.size // gates * (gates - 1)}"


def _gates(site: Site, name: str, p: Products) -> list[str]:
    """The array `name` of ek_quantized, one a gate."""
    gates, folded = GATES[site.node.op], _folded(p)
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
    return [*lines, "};"]


def _integer(site: Site) -> tuple[Params, str, list[str]]:
    """(how it rescales, the kernel, the blocks `forward`, `back` and `cell`)."""
    _constants(site)
    p = params(site.node, site.graph.input_tensors(site.node), site.graph.output_tensors(site.node))
    narrow, kernel = _narrow(site, p), site.step.kernel
    first, second = _gates(site, "forward", p.input), _gates(site, "back", p.recurrent)
    (w, _), (r, last) = _stored(site, "forward", p.input, narrow), _stored(site, "back", p.recurrent, narrow)
    table = site.array("sigmoid", SIGMOID, "uint16_t", "sigmoid(i / 24)")
    within = {"LSTM": (p.forget, p.update), "GRU": (p.reset, (0, 0)), "RNN": ((0, 0), (0, 0))}[site.node.op]
    scales = (p.out, *within)
    steps = steps_of(p.power if site.node.op == "LSTM" else OWN_POWER)
    rows: list[tuple[Sequence[object], str]] = [
        ((w, r, last, "forward", "back", table), "weights, rescales, table"),
        *_sizes(site),
        ((f"{{{', '.join(str(m) for m, _ in scales)}}}", f"{{{', '.join(str(s) for _, s in scales)}}}"), "multipliers, shifts"),
        ((*steps, p.zero), "to the table's steps, zero point of y"),
    ]
    kernel = kernel if narrow else kernel.replace("_dsp_s8", "_wide_dsp_s8")
    return p, kernel, [*first, *second, *site.block("recurrent", "cell", rows)]


def lstm_s8(site: Site) -> list[str]:
    assert steps_of(LSTM_POWER) == (3, 0), "lstm_s8.c has the gates' steps in its text"
    _, kernel, lines = _integer(site)
    ends = (site.scratch, site.y(0), site.y(1), site.y(2))
    return [*lines, site.call(kernel, site.x(), _optional(site, 4), _optional(site, 5), "&cell", *ends)]


def gru_s8(site: Site) -> list[str]:
    p, kernel, lines = _integer(site)
    after = int(bool(site.node.attrs.get("reset_after", True)))
    ends = (site.scratch, site.y(0), site.y(1))
    return [*lines, site.call(kernel, site.x(), _optional(site, 4), "&cell", after, p.power + 15, *ends)]


def _relu(site: Site) -> int:
    return int(site.node.attrs.get("activation", "TANH") == "RELU")


def rnn_s8(site: Site) -> list[str]:
    _, kernel, lines = _integer(site)
    ends = (site.scratch, site.y(0), site.y(1))
    return [*lines, site.call(kernel, site.x(), _optional(site, 4), "&cell", _relu(site), *ends)]


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
