"""How the operators of `ops.attention` and `ops.norm_layer` are written in ONNX, opset 17.

What opset 17 lacks is a function of the model itself, in the domain "edgekit", under the name and with the attributes that
the operator has in later opsets: any runtime computes it, and edgekit reads it back whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgekit.export.onnx import NCHW, OPSET, OWN, Writer
from edgekit.graph import Node, Tensor
from edgekit.ops import attr, op_of

Writing = Callable[[Writer, Node], None]
DOMAIN, TANH_DOMAIN = "edgekit", "edgekit.tanh"


def _get(node: Node, name: str) -> Any:
    return attr(node, op_of(node), name)


def refer(op: str, inputs: Sequence[str], output: str, **attributes: tuple[str, int]) -> onnx.NodeProto:
    """A node of a function's body whose attributes are the function's: name here -> (name there, AttributeProto type)."""
    node = helper.make_node(op, inputs, [output])
    for name, (outer, kind) in attributes.items():
        node.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=outer, type=kind))  # type: ignore[arg-type]
    return node


def _number(output: str, value: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [output], value_float=value)


def function(
    name: str, inputs: str, body: Sequence[onnx.NodeProto], attributes: Sequence[str] = (), domain: str = DOMAIN
) -> onnx.FunctionProto:
    return helper.make_function(
        domain, name, inputs.split(), ["Y"], body, [helper.make_opsetid("", OPSET)], attributes=list(attributes)
    )


@cache
def functions() -> dict[str, onnx.FunctionProto]:
    """name in the domain (":tanh" for the other domain) -> its definition."""
    node = helper.make_node
    ints, real = onnx.AttributeProto.INTS, onnx.AttributeProto.FLOAT
    mean = refer("ReduceMean", ["squares"], "mean", axes=("axes", ints))
    rms = [
        node("Mul", ["X", "X"], ["squares"]),
        mean,
        refer("Constant", [], "epsilon", value_float=("epsilon", real)),
        node("Add", ["mean", "epsilon"], ["sum"]),
        node("Sqrt", ["sum"], ["root"]),
        node("Div", ["X", "root"], ["unit"]),
        node("Mul", ["unit", "scale"], ["Y"]),
    ]
    one, zero = (helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [v]) for v in (1.0, 0.0))
    group = [
        node("Shape", ["X"], ["shape"]),
        refer("Constant", [], "grouped", value_ints=("grouped", ints)),
        refer("Constant", [], "count", value_ints=("count", ints)),
        refer("Constant", [], "axes", value_ints=("axes", ints)),
        node("Reshape", ["X", "grouped"], ["rows"]),
        node("ConstantOfShape", ["count"], ["ones"], value=one),
        node("ConstantOfShape", ["count"], ["zeros"], value=zero),
        refer("InstanceNormalization", ["rows", "ones", "zeros"], "units", epsilon=("epsilon", real)),
        node("Reshape", ["units", "shape"], ["unit"]),
        node("Unsqueeze", ["scale", "axes"], ["wide_scale"]),
        node("Unsqueeze", ["bias", "axes"], ["wide_bias"]),
        node("Mul", ["unit", "wide_scale"], ["scaled"]),
        node("Add", ["scaled", "wide_bias"], ["Y"]),
    ]
    gate = [_number("one", 1.0), node("Add", ["inner", "one"], ["gate"]), _number("half", 0.5)]
    gate += [node("Mul", ["X", "half"], ["part"]), node("Mul", ["part", "gate"], ["Y"])]
    erf = [_number("root", float(np.sqrt(0.5))), node("Mul", ["X", "root"], ["scaled"]), node("Erf", ["scaled"], ["inner"])]
    tanh = [
        node("Mul", ["X", "X"], ["square"]),
        node("Mul", ["square", "X"], ["cube"]),
        _number("share", 0.044715),
        node("Mul", ["cube", "share"], ["small"]),
        node("Add", ["X", "small"], ["sum"]),
        _number("slope", float(np.sqrt(2 / np.pi))),
        node("Mul", ["sum", "slope"], ["angle"]),
        node("Tanh", ["angle"], ["inner"]),
    ]
    swish = [node("Sigmoid", ["X"], ["gate"]), node("Mul", ["X", "gate"], ["Y"])]
    return {
        "RMSNormalization": function("RMSNormalization", "X scale", rms, ("axis", "axes", "epsilon")),
        "GroupNormalization": function(
            "GroupNormalization", "X scale bias", group, ("num_groups", "grouped", "count", "axes", "epsilon")
        ),
        "Gelu": function("Gelu", "X", [*erf, *gate]),
        "Gelu:tanh": function("Gelu", "X", [*tanh, *gate], ("approximate",), TANH_DOMAIN),
        "Swish": function("Swish", "X", swish),
    }


def _call(w: Writer, y: Tensor, layout: str, key: str, inputs: Sequence[str], **attrs: Any) -> None:
    function = functions()[key]
    w.functions[key] = function
    w.put(y, layout, function.name, inputs, domain=function.domain, **attrs)


def _parameters(w: Writer, node: Node, size: tuple[int, ...], count: int) -> list[str]:
    """gamma and beta as initializers; ones and zeros where the node has none."""
    names = []
    for index, default in list(enumerate((1.0, 0.0), 1))[:count]:
        name = node.inputs[index] if index < len(node.inputs) else None
        if name is not None:
            names.append(w.stored(name, OWN))
        elif index == 1 or count == 2:
            names.append(
                w.initializer(np.full(size, default, np.float32), f"{node.outputs[0]}/{'scale' if index == 1 else 'bias'}")
            )
    return names


def layer_norm(w: Writer, node: Node) -> None:
    x, y = w.graph[str(node.inputs[0])], w.graph[node.outputs[0]]
    axis, epsilon = int(_get(node, "axis")), float(_get(node, "epsilon"))
    if node.op == "LAYER_NORM":
        values = [w.real(x.name), *_parameters(w, node, x.shape[axis:], 2)]
        w.put(y, OWN, "LayerNormalization", values, axis=axis, epsilon=epsilon)
        return
    values = [w.real(x.name), *_parameters(w, node, x.shape[axis:], 1)]
    axes = list(range(axis, len(x.shape)))
    _call(w, y, OWN, "RMSNormalization", values, axis=axis, axes=axes, epsilon=epsilon)


def group_norm(w: Writer, node: Node) -> None:
    """On NCHW; other ranks get their channels, the last axis, to axis 1 and back."""
    x, y = w.graph[str(node.inputs[0])], w.graph[node.outputs[0]]
    groups, epsilon, rank = int(_get(node, "groups")), float(_get(node, "epsilon")), len(x.shape)
    values = [w.real(x.name, NCHW) if rank == 4 else w.real(x.name), *_parameters(w, node, x.shape[-1:], 2)]
    if rank != 4:
        values[0] = w.step("Transpose", values[:1], y.name, perm=[0, rank - 1, *range(1, rank - 1)])
    attrs: dict[str, Any] = {"epsilon": epsilon}
    whole = groups == x.shape[-1] and rank > 2
    if not whole:
        attrs |= {"num_groups": groups, "grouped": [0, groups, -1], "count": [groups], "axes": list(range(1, rank - 1)) or [0]}
    if rank == 4:
        if whole:
            w.put(y, NCHW, "InstanceNormalization", values, **attrs)
        else:
            _call(w, y, NCHW, "GroupNormalization", values, **attrs)
        return
    made = w.unused(f"{y.name}/norm")
    if whole:
        w.node("InstanceNormalization", values, [made], **attrs)
    else:
        w.functions["GroupNormalization"] = functions()["GroupNormalization"]
        w.node("GroupNormalization", values, [made], domain=DOMAIN, **attrs)
    w.put(y, OWN, "Transpose", [made], perm=[0, *range(2, rank), 1])


def l2_normalization(w: Writer, node: Node) -> None:
    w.put(w.graph[node.outputs[0]], OWN, "LpNormalization", [w.real(str(node.inputs[0]))], axis=-1, p=2)


def log_softmax(w: Writer, node: Node) -> None:
    w.put(w.graph[node.outputs[0]], OWN, "LogSoftmax", [w.real(str(node.inputs[0]))], axis=-1)


def gate(w: Writer, node: Node) -> None:
    x, y = str(node.inputs[0]), w.graph[node.outputs[0]]
    layout = w.choose(node, [x])
    if node.op == "SILU":
        _call(w, y, layout, "Swish", [w.real(x, layout)])
    elif _get(node, "approximate"):
        _call(w, y, layout, "Gelu:tanh", [w.real(x, layout)], approximate="tanh")
    else:
        _call(w, y, layout, "Gelu", [w.real(x, layout)])


def batch_matmul(w: Writer, node: Node) -> None:
    y, values = w.graph[node.outputs[0]], []
    for name, key in zip(node.inputs, ("adj_x", "adj_y"), strict=True):
        value, rank = w.real(str(name)), len(w.graph[str(name)].shape)
        if _get(node, key):
            value = w.step("Transpose", [value], y.name, perm=[*range(rank - 2), rank - 1, rank - 2])
        values.append(value)
    w.put(y, OWN, "MatMul", values)


WRITERS: dict[str, Writing] = {
    "BATCH_MATMUL": batch_matmul,
    "GELU": gate,
    "GROUP_NORM": group_norm,
    "L2_NORMALIZATION": l2_normalization,
    "LAYER_NORM": layer_norm,
    "LOG_SOFTMAX": log_softmax,
    "RMS_NORM": layer_norm,
    "SILU": gate,
}
