"""LSTM as TFLite's UNIDIRECTIONAL_SEQUENCE_LSTM: 24 operands, two of them variable tensors that hold the state.

The interpreters keep these between invokes: the application resets them (`reset_variable_tensors`, `Reset()`) before each
sequence. GRU and RNN, which have no builtin, and LSTMs that it cannot spell are loops: `tflite_loop`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.export.tflite_ops import Refused, Written, options
from edgekit.graph import Graph, Node, Quant, Tensor, const
from edgekit.ops.recurrent_integer import LSTM_POWER

TANH = 4  # the schema's ActivationFunctionType


def used(graph: Graph, name: str) -> bool:
    """True when somebody reads the value."""
    ends = {*graph.outputs, *(s.output for s in graph.states)}
    return name in ends or any(name in node.inputs for node in graph.nodes)


def lstm(graph: Graph, node: Node) -> Written:
    x, w, r, bias, *firsts = [*graph.input_tensors(node), None, None, None][:6]
    assert x is not None
    if w is None or r is None or w.data is None or r.data is None or (bias is not None and bias.data is None):
        raise Refused("its weights are computed by the network", "constant weights")
    if node.attrs.get("reverse") or any(t is not None for t in firsts) or any(used(graph, n) for n in node.outputs[1:]):
        raise Refused("TFLite's LSTM starts from zero, goes forward and shows neither h nor c")
    units, (y, _, c) = r.shape[1], graph.output_tensors(node)
    biases = _parts(bias, 4) if bias is not None else _parts(_zero(x, w), 4)
    shape = (x.shape[0], units)
    states = (Tensor("state", shape, y.dtype, None, y.quant), Tensor("cell", shape, c.dtype, None, c.quant))
    inputs = (node.inputs[0], *_parts(w, 4), *_parts(r, 4), *[None] * 3, *biases, None, None, *states, *[None] * 4)
    gates: tuple[Tensor, ...] = ()
    if y.quant is not None:
        # Scales of the gates, as the converter writes them; of no size, so that no interpreter makes room for them.
        gate = Quant.per_tensor(2.0**LSTM_POWER, 0, "int16")
        hidden = Tensor("hidden", (0,), "int8", None, y.quant)
        gates = (*(Tensor(f"gate{k}", (0,), "int16", None, gate) for k in range(4)), hidden)
    made = options("UnidirectionalSequenceLSTMOptions", fusedActivationFunction=TANH)
    return Written("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, made, outputs=node.outputs[:1], intermediates=gates)


def _zero(x: Tensor, w: Tensor) -> Tensor:
    """The bias of an LSTM that has none."""
    rows = w.shape[0]
    if x.quant is None or w.quant is None:
        return const("bias", np.zeros(rows, np.float32))
    scale = np.broadcast_to(x.quant.scale * w.quant.scale, (rows,))
    return const("bias", np.zeros(rows, np.int32), Quant.per_channel(scale, 0, "int32"))


def _parts(t: Tensor, gates: int) -> list[Tensor]:
    """The rows of each gate, with its one scale."""
    assert t.data is not None
    made: list[Tensor] = []
    for k, part in enumerate(np.split(t.data, gates)):
        quant = t.quant
        if quant is not None and quant.scale.size > 1:
            scales = np.split(quant.scale, gates)[k]
            if np.any(scales != scales[0]):
                raise Refused(f"'{t.name}' has several scales in a gate", "quantize with edgekit: one scale a gate")
            quant = Quant.per_tensor(float(scales[0]), 0, quant.dtype)
        made.append(replace(const("weights", part, quant, t.dtype), shape=part.shape))
    return made
