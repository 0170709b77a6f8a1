"""Schemes that only store weights in fewer bits; activations stay real numbers, nothing is calibrated.

`float16`: constants are IEEE half precision and widened when they are read. `dynamic`: the weights of convolutions and dense
layers are int8 with a scale an output channel; LiteRT quantizes their inputs as they come (its hybrid kernels), ONNX Runtime
widens the weights. `int4-blocks`: the weights of dense layers have 4 bits and a scale for 32 inputs each; ONNX Runtime
multiplies them as they are (MatMulNBits). The graph holds such constants as they are stored; their real numbers are what the
network means.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit import fixedpoint
from edgekit.errors import BadConfig, BadModel
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from edgekit.ops import op_of
from edgekit.passes.quantize.narrow import row_scales

STORAGE: Mapping[str, str] = {"float16": "float16", "dynamic": "int8", "int4-blocks": "int4"}  # -> what weights are stored as
ENGINES: Mapping[str, frozenset[str]] = {
    "float16": frozenset({"tflite", "onnx"}),
    "dynamic": frozenset({"tflite", "onnx"}),
    "int4-blocks": frozenset({"onnx"}),
}
BLOCK = 32  # inputs that share a scale
# What LiteRT's kernels take int8 weights beside real inputs in.
HYBRID = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
LEAST = 24  # smaller constants stay float32: what they need beside them is larger than what they save


def stored(graph: Graph, scheme: str, engine: str) -> Graph:
    """The legalized float graph with its weights as `scheme` stores them. Raises BadConfig for an engine that computes with
    the numbers as they are stored, BadModel for a graph that is quantized already."""
    if engine not in ENGINES[scheme]:
        why = "it has no kernels that widen weights as they run, and float32 copies of them would take more memory than before"
        if engine == "tflite":
            why = "its dense layers take a scale a channel, not a block"
        raise BadConfig(f"scheme {scheme} is not for {engine}: {why}", "--scheme int8, int4 or int16x8")
    if graph.is_quantized:
        raise BadModel(f"'{graph.name}' is quantized already", "quantize the float model it was made from")
    changed = {"float16": _halves, "dynamic": _bytes, "int4-blocks": _blocks}[scheme](graph)
    tensors = {name: changed.get(name, t) for name, t in graph.tensors.items()}
    rest = {"states": graph.states, "contract": graph.contract, "history": graph.history}
    return build(graph.name, graph.inputs, graph.outputs, graph.nodes, tensors, **rest).with_history(f"quantize {scheme}")


def _halves(graph: Graph) -> dict[str, Tensor]:
    changed: dict[str, Tensor] = {}
    limit = float(np.finfo(np.float16).max)
    for name, tensor in graph.tensors.items():
        if tensor.data is None or tensor.dtype != "float32" or tensor.elements < LEAST or name in graph.outputs:
            continue
        if np.all(np.abs(tensor.data) <= limit):  # others would become infinite
            changed[name] = const(name, tensor.data.astype(np.float16))
    return changed


def _bytes(graph: Graph) -> dict[str, Tensor]:
    changed: dict[str, Tensor] = {}
    barred = {n for node in graph.nodes for i, n in enumerate(node.inputs) if n is not None and not _is_weight(node, i)}
    for node in graph.nodes:
        for index, axis in op_of(node).weights.items() if node.op in HYBRID else ():
            tensor = graph.tensors[str(node.inputs[index])]
            if tensor.data is None or tensor.elements < LEAST or tensor.name in barred or tensor.name in graph.outputs:
                continue
            rows = np.moveaxis(np.abs(tensor.real().astype(np.float64)), axis, 0).reshape(tensor.shape[axis], -1)
            scale = np.maximum(rows.max(axis=1) / 127, np.finfo(np.float32).tiny).astype(np.float32)
            quant = Quant.per_tensor(float(scale[0])) if len(scale) == 1 else Quant.per_channel(scale, axis)
            data = fixedpoint.quantize(tensor.data, quant.broadcast(len(tensor.shape))[0], 0)
            changed[tensor.name] = const(tensor.name, np.maximum(data, -127), quant, "int8")
    return changed


def _blocks(graph: Graph) -> dict[str, Tensor]:
    changed: dict[str, Tensor] = {}
    limit = fixedpoint.integer_range("int4")[1]
    barred = {n for node in graph.nodes for i, n in enumerate(node.inputs) if node.op != "FULLY_CONNECTED" or i != 1}
    for node in graph.nodes:
        name = str(node.inputs[1]) if node.op == "FULLY_CONNECTED" else ""
        if not name or name in barred or graph[name].data is None or name in graph.outputs or graph[name].elements < LEAST:
            continue
        real = graph[name].real()
        outs, ins = real.shape
        count = -(-ins // BLOCK)
        rows = np.zeros((outs, count * BLOCK))
        rows[:, :ins] = real
        scale = row_scales(rows.reshape(-1, BLOCK), limit).astype(np.float32)
        scale = np.maximum(scale, np.finfo(np.float32).tiny)
        codes = np.clip(np.rint(rows.reshape(-1, BLOCK) / scale[:, None]), -limit, limit).astype(np.int8)
        quant = Quant(scale, np.zeros(scale.size, np.int64), None, BLOCK, "int4")
        changed[name] = const(name, codes.reshape(outs, -1)[:, :ins], quant, "int4")
    return changed


def _is_weight(node: Node, index: int) -> bool:
    return node.op in HYBRID and index in op_of(node).weights
