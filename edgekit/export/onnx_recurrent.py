"""LSTM, GRU and RNN in ONNX, and how their 16-bit states travel: as real values, their scales in metadata_props."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit import fixedpoint
from edgekit.errors import Unsupported
from edgekit.export.onnx import OWN, Writer
from edgekit.graph import Array, Graph, Node, Tensor, const
from edgekit.load.onnx.recurrent import ORDER
from edgekit.ops import op_of

# {node's name in the file: {"y": [scale, zero point] of y, "power": log2 of the 16-bit state's scale, or null}}
CELLS = "edgekit.cells"


def real_states(graph: Graph) -> Graph:
    """The graph with its int16 states as real numbers, as the file holds them (opset 17 quantizes to 8 bits)."""
    states: set[str] = set()
    before = -1
    while before != len(states):  # what cells make and are given, and whatever re-arranges it
        before = len(states)
        for node in graph.nodes:
            values = [n for n in (*node.inputs, *node.outputs) if n is not None and _is_wide(graph[n])]
            if op_of(node).recurrent is not None or (op_of(node).quant == "same" and not states.isdisjoint(values)):
                states |= set(values)
    tensors = dict(graph.tensors)
    for name in states:
        t = graph[name]
        tensors[name] = const(name, t.real()) if t.is_const else Tensor(name, t.shape, "float32")
    return replace(graph, tensors=tensors) if states else graph


def as_reals(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Feeds of the graph as its file takes them: 16-bit states are real numbers there."""
    held = real_states(graph)
    return {n: fixedpoint.dequantize(a, *_affine(graph[n])) if held[n].dtype != graph[n].dtype else a for n, a in feeds.items()}


def as_integers(graph: Graph, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The file's outputs as the graph gives them."""
    held = real_states(graph)
    return {
        n: fixedpoint.quantize(a, *_affine(graph[n]), graph[n].dtype) if held[n].dtype != graph[n].dtype else a
        for n, a in outputs.items()
    }


def _affine(t: Tensor) -> tuple[Array, Array]:
    assert t.quant is not None
    return t.quant.broadcast(len(t.shape))


def _is_wide(t: Tensor) -> bool:
    return t.dtype == "int16" and t.quant is not None


def cells(graph: Graph) -> Mapping[str, str]:
    """{CELLS: JSON} of a graph with quantized recurrent nodes; {} of any other."""
    told: dict[str, Any] = {}
    for node in graph.nodes:
        quant = graph[node.outputs[0]].quant
        if op_of(node).recurrent is None or quant is None:
            continue
        wide = [t.quant for t in graph.output_tensors(node) if t.dtype == "int16" and t.quant is not None]
        power = int(np.round(np.log2(float(wide[0].scale[0])))) if wide else None
        told[node_name(node)] = {"y": [float(quant.scale[0]), int(quant.zero_point[0])], "power": power}
    return {CELLS: json.dumps(told, sort_keys=True)} if told else {}


def node_name(node: Node) -> str:
    return f"{node.outputs[0]}/{node.op}"


def file_order(op: str, a: Array) -> Array:
    """Rows of the op table's gates [G*H, ...] in ONNX's order, with an axis of one direction before them."""
    parts = a.reshape(len(ORDER[op]), -1, *a.shape[1:])
    return np.ascontiguousarray(parts[list(ORDER[op])].reshape(a.shape))[None]


def _weights(w: Writer, op: str, tensor: Tensor) -> str:
    """W or R; its scales follow their rows."""
    if tensor.data is None:
        raise Unsupported(
            "writing ONNX", [(tensor.name, "weights of a recurrent layer are not constant", "make them initializers")]
        )
    name = w.initializer(file_order(op, tensor.data), f"{tensor.name}/{op.lower()}")
    quant = tensor.quant
    if quant is None:
        return name
    if quant.scale.size > 1:
        moved = file_order(op, quant.scale.reshape(-1)).reshape(-1)
        quant = replace(quant, scale=moved, zero_point=np.zeros(moved.size, np.int64))
    return w.dequantize(name, quant, f"{tensor.name}/{op.lower()}", 1)


def recurrent(w: Writer, node: Node) -> None:
    op, ins = node.op, [*w.graph.input_tensors(node), None, None, None][:6]
    x, weights, back, bias, h0, sixth = ins
    assert x is not None
    assert weights is not None
    assert back is not None
    (batch, steps, _), (rows, units) = x.shape, back.shape
    y, *states = w.graph.output_tensors(node)
    halves = np.zeros((2, rows), np.float32)
    if bias is not None:
        halves[0] = bias.real()
    if op == "GRU" and sixth is not None:
        halves[1, 2 * units :] = sixth.real()
    b = np.concatenate([file_order(op, half) for half in halves], axis=1)
    firsts: list[str] = []
    for t in (h0, sixth) if op == "LSTM" else (h0,):
        shape = "" if t is None else w.ints((1, batch, units), f"{y.name}/state_shape")
        firsts.append("" if t is None else w.step("Reshape", [w.real(t.name), shape], y.name))
    inputs = [w.step("Transpose", [w.real(x.name)], y.name, perm=[1, 0, 2]), _weights(w, op, weights), _weights(w, op, back)]
    inputs += [w.initializer(b, f"{y.name}/bias"), "", *firsts]
    attrs: dict[str, Any] = {"hidden_size": units, "direction": "reverse" if node.attrs.get("reverse") else "forward"}
    if op == "GRU":
        attrs["linear_before_reset"] = int(bool(node.attrs.get("reset_after", True)))
    elif op == "RNN":
        attrs["activations"] = [str(node.attrs.get("activation", "TANH")).capitalize()]
    made = [w.unused(f"{t.name}/sequence" if t is y else f"{t.name}/last") for t in (y, *states)]
    while not inputs[-1]:
        inputs.pop()
    w.nodes.append(_node(op, inputs, made, node_name(node), attrs))
    if node.attrs.get("last"):  # what the last step made is the state that is left
        w.put(y, OWN, "Reshape", [made[1], w.ints((batch, 1, units), f"{y.name}/flat_shape")])
    else:
        flat = w.step("Reshape", [made[0], w.ints((steps, batch, units), f"{y.name}/flat_shape")], y.name)
        w.put(y, OWN, "Transpose", [flat], perm=[1, 0, 2])
    plain = w.ints((batch, units), f"{y.name}/flat_state")
    for state, name in zip(states, made[1:], strict=True):
        w.put(state, OWN, "Reshape", [name, plain])


def _node(op: str, inputs: list[str], outputs: list[str], name: str, attrs: Mapping[str, Any]) -> Any:
    from onnx import helper

    return helper.make_node(op, inputs, outputs, name, **attrs)
