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
OTHER = (
    *("QLinearConv", "QLinearConcat", "QLinearWhere", "QGemm", "NhwcMaxPool", "DynamicQuantizeLinear", "ConvInteger"),
    *("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"),
)
READ = (*UNARY, *BINARY, *OTHER)
DYNAMIC = "dynamic quantization read as the float network, with the file's weights"
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
        self.real_names: set[str] = set()  # integers of DynamicQuantizeLinear that stay real numbers
        for node in graph.node:
            self.node(node)

    def node(self, node: onnx.NodeProto) -> None:
        rewrite: dict[str, Callable[[onnx.NodeProto], bool]] = {
            **dict.fromkeys(UNARY, self.unary),
            **dict.fromkeys(BINARY, self.binary),
            "QLinearConv": self.conv,
            "QLinearConcat": self.concat,
            "QLinearWhere": self.where,
            "QGemm": self.gemm,
            "NhwcMaxPool": self.max_pool,
            "DynamicQuantizeLinear": self.dynamic,
            "ConvInteger": self.integer,
            "MatMulInteger": self.integer,
            "MatMulIntegerToFloat": self.to_float,
            "DynamicQuantizeMatMul": self.dynamic_matmul,
            "DynamicQuantizeLSTM": self.dynamic_lstm,
            "QAttention": self.attention,
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

    def channels(self, name: str, rank: int, out: str = "", *, last: bool) -> str:
        """The value with its channels moved to the last axis, or back to the second."""
        perm = [0, *range(2, rank), 1] if last else [0, rank - 1, *range(1, rank - 1)]
        out = out or self.fresh(f"{name}/channels")
        self.nodes.append(helper.make_node("Transpose", [name], [out], name=out, perm=perm))
        return out

    def quantized(self, node: onnx.NodeProto, real: onnx.NodeProto, scale: str, zero: str) -> None:
        inputs = [real.output[0], scale, *([zero] if zero else [])]
        self.nodes += [real, helper.make_node("QuantizeLinear", inputs, [node.output[0]], name=f"{node.name}/quantize")]

    def array(self, name: str) -> Array | None:
        return tensor_array(self.held[name], None) if name in self.held and not self.held[name].external_data else None

    # -- operators -----------------------------------------------------------------------------------------------------
    def last(self, node: onnx.NodeProto) -> bool:
        """Does the operator work on channels last?"""
        return any(a.name == "channels_last" and a.i for a in node.attribute)

    def real(self, node: onnx.NodeProto, op: str, inputs: Sequence[str], scale: str, zero: str, rank: int = 0) -> bool:
        """The standard operator and the quantization of its output. rank: of operators with channels last, else 0."""
        made = self.like(node, op, [self.channels(inputs[0], rank, last=False), *inputs[1:]] if rank else inputs, [""])
        made.output[0] = self.fresh(f"{node.output[0]}/real")
        if rank:
            self.nodes.append(made)
            back = self.fresh(f"{node.output[0]}/last")
            perm = [0, *range(2, rank), 1]
            made = helper.make_node("Transpose", [made.output[0]], [back], name=node.name, perm=perm)
        self.quantized(node, made, scale, zero)
        return True

    def unary(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, ""]
        window = next((len(a.ints) for a in node.attribute if a.name == "kernel_shape"), 2)
        x = self.dequantized(ins[0], ins[1], ins[2])
        return self.real(node, UNARY[node.op_type], [x], ins[3], ins[4], window + 2 if self.last(node) else 0)

    def max_pool(self, node: onnx.NodeProto) -> bool:
        window = next((len(a.ints) for a in node.attribute if a.name == "kernel_shape"), 2)
        made = self.like(node, "MaxPool", [self.channels(node.input[0], window + 2, last=False)], [self.fresh("pooled")])
        self.nodes.append(made)
        self.channels(made.output[0], window + 2, node.output[0], last=True)
        return True

    def where(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, ""]
        a, b = self.dequantized(*ins[1:4]), self.dequantized(*ins[4:7])
        return self.real(node, "Where", [ins[0], a, b], ins[7], ins[8])

    def binary(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, ""]
        # A constant's scales a channel are those of its last axis, as MatMul has it.
        axis = max(len(self.held[ins[3]].dims) - 1, 0) if ins[3] in self.held else 0
        a, b = self.dequantized(ins[0], ins[1], ins[2]), self.dequantized(ins[3], ins[4], ins[5], axis)
        return self.real(node, BINARY[node.op_type], [a, b], ins[6], ins[7])

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
        if bias is None or (self.last(node) and ins[3] not in self.held):
            return False
        x, w = self.dequantized(ins[0], ins[1], ins[2]), self.dequantized(ins[3], ins[4], ins[5])
        rank = len(self.held[ins[3]].dims) if self.last(node) and ins[3] in self.held else 0
        return self.real(node, "Conv", [x, w, *([bias] if bias else [])], ins[6], ins[7], rank)

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
        return self.real(node, "Concat", parts, node.input[0], node.input[1])

    def dynamic(self, node: onnx.NodeProto) -> bool:
        """Integers whose scale is known at run time stay the real numbers they stand for: scale 1, zero point 0."""
        outputs = [*node.output, "", ""]
        self.nodes.append(helper.make_node("Identity", [node.input[0]], [outputs[0]], name=node.name))
        for name, value in ((outputs[1], np.float32(1)), (outputs[2], np.uint8(0))):
            if name:
                self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        self.real_names.add(outputs[0])
        self.notes.append(DYNAMIC)
        return True

    def integer(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, "", ""][:4]
        weights = self.array(ins[1])
        zero = np.zeros((), np.float32) if not ins[3] else self.array(ins[3])
        if ins[0] not in self.real_names or weights is None or zero is None:
            return False
        if node.op_type == "ConvInteger" and zero.size > 1:
            zero = zero.reshape(-1, *[1] * (weights.ndim - 1))
        real = self.constant(f"{ins[1]}/centred", weights.astype(np.float32) - zero.astype(np.float32))
        op = "Conv" if node.op_type == "ConvInteger" else "MatMul"
        self.nodes.append(self.like(node, op, [ins[0], real], [node.output[0]]))
        return True

    def centred(self, name: str, scale: str, zero: str) -> Array | None:
        """The real numbers of constant weights whose scales, if several, are those of the last axis; None when computed."""
        weights, scales = self.array(name), self.array(scale)
        points = np.zeros((), np.int8) if not zero else self.array(zero)
        if weights is None or scales is None or points is None:
            return None
        return (weights.astype(np.float32) - points.astype(np.float32)) * scales.astype(np.float32)

    def as_real(self, name: str, scale: str, zero: str) -> str:
        """A quantized activation as real numbers."""
        return name if name in self.real_names else self.dequantized(name, scale, zero)

    def product(self, node: onnx.NodeProto, x: str, weights: Array, bias: str) -> bool:
        w = self.constant(f"{node.input[1]}/real", weights)
        out = self.fresh(f"{node.output[0]}/product") if bias else node.output[0]
        self.nodes.append(helper.make_node("MatMul", [x, w], [out], name=node.name))
        if bias:
            self.nodes.append(helper.make_node("Add", [out, bias], [node.output[0]], name=node.name))
        return True

    def to_float(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, *[""] * 7][:7]
        weights = self.centred(ins[1], ins[3], ins[5])
        return weights is not None and self.product(node, self.as_real(ins[0], ins[2], ins[4]), weights, ins[6])

    def dynamic_matmul(self, node: onnx.NodeProto) -> bool:
        ins = [*node.input, *[""] * 5][:5]
        weights = self.centred(*ins[1:4])
        self.notes.append(DYNAMIC)
        return weights is not None and self.product(node, ins[0], weights, ins[4])

    def dynamic_lstm(self, node: onnx.NodeProto) -> bool:
        """LSTM whose weights [directions, inputs, 4 * units] are int8, with a scale a direction or a row."""
        ins = [*node.input, *[""] * 12][:12]
        made = []
        for name, scale, zero in ((ins[1], ins[8], ins[9]), (ins[2], ins[10], ins[11])):
            weights, scales, points = self.array(name), self.array(scale), self.array(zero) if zero else np.zeros((), np.int8)
            if weights is None or scales is None or points is None:
                return False
            lead = weights.shape[0]
            spread = [
                a.astype(np.float32).reshape(lead, 1, -1) if a.size > 1 else a.astype(np.float32) for a in (scales, points)
            ]
            real = (weights.astype(np.float32) - spread[1]) * spread[0]
            made.append(self.constant(f"{name}/real", real.transpose(0, 2, 1)))
        self.nodes.append(self.like(node, "LSTM", [ins[0], *made, *ins[3:8]], list(node.output)))
        self.notes.append(DYNAMIC)
        return True

    def attention(self, node: onnx.NodeProto) -> bool:
        """ONNX Runtime's Attention, with weights of int8."""
        ins = [*node.input, *[""] * 9][:9]
        weights = self.centred(ins[1], ins[4], ins[7])
        if weights is None:
            return False
        x, w = self.as_real(ins[0], ins[3], ins[6]), self.constant(f"{ins[1]}/real", weights)
        made = self.like(node, "Attention", [x, w, ins[2], ins[5], ins[8]], list(node.output))
        made.domain = MICROSOFT
        self.nodes.append(made)
        return True
