"""Operators that work on integers (QLinearConv and its kin, and those of dynamic quantization) in the words of Q/DQ.

Static: DequantizeLinear -> the float operator -> QuantizeLinear, which `qdq` then fuses again. Dynamic: the scale of an
activation is only known at run time, so the network is read as the float network it approximates, with the file's weights.
docs/quantized-onnx.md says what is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.graph import Array
from edgekit.load.onnx.file import tensor_array

MICROSOFT = "com.microsoft"
# QLinear operator with inputs (x, its scale and zero point)... and the result's scale and zero point -> the float one.
UNARY = {
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearReduceMean": "ReduceMean",
}
BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul", "QLinearMatMul": "MatMul"}
OTHER = ("QLinearConv", "QLinearConcat", "QGemm", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
READ = (*UNARY, *BINARY, *OTHER)
# Attributes of com.microsoft's that the standard operators lack.
OWN_ATTRIBUTES = ("channels_last", "opset")


def to_qdq(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """(the model without these operators, what the history says). The model itself where it has none."""
    if not any(n.op_type in READ or _foreign_qdq(n) for n in model.graph.node):
        return model, []
    made = onnx.ModelProto()
    made.CopyFrom(model)
    rewriter = _Rewriter(made)
    del made.graph.node[:]
    made.graph.node.extend(rewriter.nodes)
    made.graph.initializer.extend(rewriter.constants)
    return made, list(dict.fromkeys(rewriter.notes))


def _foreign_qdq(node: onnx.NodeProto) -> bool:
    return node.domain == MICROSOFT and node.op_type in ("QuantizeLinear", "DequantizeLinear")


class _Rewriter:
    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.held = {t.name: t for t in graph.initializer}
        self.names = {n for node in graph.node for n in (*node.input, *node.output)} | set(self.held)
        self.names |= {v.name for v in (*graph.input, *graph.output)}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.notes: list[str] = []
        self.real: set[str] = set()  # integers of DynamicQuantizeLinear that stay real numbers
        for node in graph.node:
            self.node(node)

    def node(self, node: onnx.NodeProto) -> None:
        rewrite: dict[str, Callable[[onnx.NodeProto], bool]] = {
            **dict.fromkeys(UNARY, self.unary),
            **dict.fromkeys(BINARY, self.binary),
            "QLinearConv": self.conv,
            "QLinearConcat": self.concat,
            "QGemm": self.gemm,
            "DynamicQuantizeLinear": self.dynamic,
            "ConvInteger": self.integer,
            "MatMulInteger": self.integer,
        }
        known = node.op_type in rewrite and node.domain in ("", "ai.onnx", MICROSOFT)
        if not known or not rewrite[node.op_type](node):
            copy = self.nodes.append
            if _foreign_qdq(node):
                node = self.like(node, node.op_type, list(node.input), list(node.output))
            copy(node)

    # -- pieces --------------------------------------------------------------------------------------------------------
    def fresh(self, base: str) -> str:
        name, count = base, 0
        while name in self.names:
            count += 1
            name = f"{base}_{count}"
        self.names.add(name)
        return name

    def like(self, node: onnx.NodeProto, op: str, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.NodeProto:
        """The standard operator `op` with the node's name and attributes."""
        made = helper.make_node(op, list(inputs), list(outputs), name=node.name)
        made.attribute.extend(a for a in node.attribute if a.name not in OWN_ATTRIBUTES)
        return made

    def constant(self, base: str, array: Array) -> str:
        name = self.fresh(base)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def dequantized(self, name: str, scale: str, zero: str, axis: int = 0) -> str:
        out = self.fresh(f"{name}/real")
        inputs = [name, scale, *([zero] if zero else [])]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [out], name=out, axis=axis))
        return out

    def quantized(self, node: onnx.NodeProto, real: onnx.NodeProto, scale: str, zero: str) -> None:
        inputs = [real.output[0], scale, *([zero] if zero else [])]
        self.nodes += [real, helper.make_node("QuantizeLinear", inputs, [node.output[0]], name=f"{node.name}/quantize")]

    def array(self, name: str) -> Array | None:
        return tensor_array(self.held[name], None) if name in self.held and not self.held[name].external_data else None

    # -- operators -----------------------------------------------------------------------------------------------------
    def unary(self, node: onnx.NodeProto) -> bool:
        if any(a.name == "channels_last" and a.i for a in node.attribute):
            return False
        ins = [*node.input, ""]
        x = self.dequantized(ins[0], ins[1], ins[2])
        self.quantized(node, self.like(node, UNARY[node.op_type], [x], [self.fresh(f"{node.output[0]}/real")]), ins[3], ins[4])
        return True

    def binary(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, ""]
        # A constant's scales a channel are those of its last axis, as MatMul has it.
        axis = max(len(self.held[ins[3]].dims) - 1, 0) if ins[3] in self.held else 0
        a, b = self.dequantized(ins[0], ins[1], ins[2]), self.dequantized(ins[3], ins[4], ins[5], axis)
        real = self.like(node, BINARY[node.op_type], [a, b], [self.fresh(f"{node.output[0]}/real")])
        self.quantized(node, real, ins[6], ins[7])
        return True

    def bias(self, name: str, x_scale: str, w_scale: str) -> str | None:
        """An int32 bias: its scale is the product of the other two. None when these are computed."""
        scales = self.array(x_scale), self.array(w_scale)
        if scales[0] is None or scales[1] is None:
            return None
        product = np.asarray(scales[0].reshape(-1)[0] * scales[1].reshape(-1), np.float32)
        scale = self.constant(f"{name}/scale", product.reshape(()) if product.size == 1 else product)
        return self.dequantized(name, scale, "")

    def conv(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, ""][:9]
        bias = self.bias(ins[8], ins[1], ins[4]) if ins[8] else ""
        if bias is None:
            return False
        x, w = self.dequantized(ins[0], ins[1], ins[2]), self.dequantized(ins[3], ins[4], ins[5])
        real = self.like(node, "Conv", [x, w, *([bias] if bias else [])], [self.fresh(f"{node.output[0]}/real")])
        self.quantized(node, real, ins[6], ins[7])
        return True

    def gemm(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, *[""] * 9][:9]
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        alpha = next((a.f for a in node.attribute if a.name == "alpha"), 1.0)
        bias = self.bias(ins[6], ins[1], ins[4]) if ins[6] else ""
        if bias is None or alpha != 1.0:
            return False
        a, b = self.dequantized(ins[0], ins[1], ins[2]), self.dequantized(ins[3], ins[4], ins[5], 0 if transposed else 1)
        out = self.fresh(f"{node.output[0]}/real") if ins[7] else node.output[0]
        real = self.like(node, "Gemm", [a, b, *([bias] if bias else [])], [out])
        if ins[7]:
            self.quantized(node, real, ins[7], ins[8])
        else:
            self.nodes.append(real)
        return True

    def concat(self, node: onnx.NodeProto) -> bool:
        rest = list(node.input[2:])
        parts = [self.dequantized(*rest[i : i + 3]) for i in range(0, len(rest), 3)]
        real = self.like(node, "Concat", parts, [self.fresh(f"{node.output[0]}/real")])
        self.quantized(node, real, node.input[0], node.input[1])
        return True

    def dynamic(self, node: onnx.NodeProto) -> bool:
        """Integers whose scale is known at run time stay the real numbers they stand for: scale 1, zero point 0."""
        outputs = [*node.output, "", ""]
        self.nodes.append(helper.make_node("Identity", [node.input[0]], [outputs[0]], name=node.name))
        for name, value in ((outputs[1], np.float32(1)), (outputs[2], np.uint8(0))):
            if name:
                self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        self.real.add(outputs[0])
        self.notes.append("dynamic quantization read as the float network, with the file's weights")
        return True

    def integer(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, "", ""][:4]
        weights = self.array(ins[1])
        zero = np.zeros((), np.float32) if not ins[3] else self.array(ins[3])
        if ins[0] not in self.real or weights is None or zero is None:
            return False
        if node.op_type == "ConvInteger" and zero.size > 1:
            zero = zero.reshape(-1, *[1] * (weights.ndim - 1))
        real = self.constant(f"{ins[1]}/centred", weights.astype(np.float32) - zero.astype(np.float32))
        op = "Conv" if node.op_type == "ConvInteger" else "MatMul"
        self.nodes.append(self.like(node, op, [ins[0], real], [node.output[0]]))
        return True
