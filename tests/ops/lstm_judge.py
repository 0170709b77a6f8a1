"""An LSTM node as a TFLite file of its own making, for the TensorFlow Lite Micro interpreter and LiteRT to judge by."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_micro import runtime

from edgekit.graph import Array, Graph, Quant, Tensor, const

TYPES = {"float32": 0, "int32": 2, "int16": 7, "int8": 9}


def lstm_file(graph: Graph) -> bytes:
    """The graph's one LSTM (no reverse, no first state) as UNIDIRECTIONAL_SEQUENCE_LSTM, with the plain flatbuffers API."""
    (node,) = graph.nodes
    x, w, r, b = (graph.tensor(n) for n in node.inputs[:4])
    y, c = graph[node.outputs[0]], graph[node.outputs[2]]
    assert x is not None
    assert w is not None
    assert r is not None
    assert b is not None
    model, sub = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [sub]
    sub.tensors = []

    def place(t: Tensor, variable: bool = False) -> int:
        item = schema.TensorT()
        item.name, item.shape, item.type, item.buffer = t.name, list(t.shape), TYPES[t.dtype], 0
        item.isVariable = variable
        if t.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(t.data).tobytes(), np.uint8)
            model.buffers.append(buffer)
            item.buffer = len(model.buffers) - 1
        if t.quant is not None:
            item.quantization = schema.QuantizationParametersT()
            item.quantization.scale, item.quantization.zeroPoint = t.quant.scale, t.quant.zero_point
        sub.tensors.append(item)
        return len(sub.tensors) - 1

    units = r.shape[1]

    def gate(t: Tensor, k: int) -> Tensor:
        assert t.data is not None
        quant = t.quant
        if quant is not None:
            scale = quant.scale[k * units] if quant.scale.size > 1 else quant.scale[0]
            quant = Quant.per_tensor(float(scale), 0, quant.dtype)
        return const(f"{t.name}{k}", t.data[k * units : (k + 1) * units], quant, t.dtype)

    state = (x.shape[0], units)
    inputs = [place(x)] + [place(gate(t, k)) for t in (w, r) for k in range(4)] + [-1] * 3
    inputs += [place(gate(b, k)) for k in range(4)] + [-1, -1]
    inputs += [place(Tensor("h", state, y.dtype, None, y.quant), True), place(Tensor("c", state, c.dtype, None, c.quant), True)]
    inputs += [-1] * 4
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    code.version = 1
    operator.inputs, operator.outputs = inputs, [place(y)]
    option: Any = schema.UnidirectionalSequenceLSTMOptionsT()
    option.fusedActivationFunction = schema.ActivationFunctionType.TANH
    operator.builtinOptions, operator.builtinOptionsType = option, schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions
    if x.dtype == "int8":
        gates = [place(Tensor(f"n{k}", (0,), "int16", None, Quant.per_tensor(2.0**-12, 0, "int16"))) for k in range(4)]
        operator.intermediates = [*gates, place(Tensor("hidden", (0,), "int8", None, y.quant))]
    model.operatorCodes, sub.operators = [code], [operator]
    sub.inputs, sub.outputs = [0], list(operator.outputs)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run_lstm(graph: Graph, x: Array) -> Array:
    """y of TensorFlow Lite Micro."""
    interpreter = runtime.Interpreter.from_bytes(lstm_file(graph), arena_size=4 << 20)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return np.array(interpreter.get_output(0)).reshape(graph[graph.outputs[0]].shape)
