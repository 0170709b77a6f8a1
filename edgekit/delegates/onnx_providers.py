"""ONNX Runtime's providers for Android, by their documentation; operators in ONNX's names."""

from __future__ import annotations

from edgekit.delegates.rules import (
    Why,
    constant_weights,
    every_one,
    rank_in,
)
from edgekit.graph import Graph, Node


def _two_d(graph: Graph, node: Node) -> str:
    return rank_in(4)(graph, node)


NNAPI: dict[str, Why | None] = {
    **dict.fromkeys(
        "Abs Add Cast Clip Concat DequantizeLinear Div Elu Exp Flatten Floor Gemm Identity Log MatMul Max Min Mul Neg Pow"
        " QuantizeLinear Relu Reshape Sigmoid Sin Slice Softmax Sqrt Squeeze Sub Tanh Transpose".split()
    ),
    **dict.fromkeys("AveragePool GlobalAveragePool GlobalMaxPool MaxPool Resize".split(), _two_d),
    "Conv": every_one(_two_d, constant_weights),
}
QNN: dict[str, Why | None] = dict.fromkeys(
    "Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Clip Concat Conv ConvTranspose Cos"
    " DepthToSpace DequantizeLinear Div Elu Equal Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool Greater"
    " GreaterOrEqual GridSample HardSwish InstanceNormalization LRN LayerNormalization LeakyRelu Less LessOrEqual Log"
    " LogSoftmax LpNormalization MatMul Max MaxPool Min Mul Neg Not Or PRelu Pad Pow QuantizeLinear ReduceMax ReduceMean"
    " ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round Sigmoid Sign Sin Slice Softmax SpaceToDepth Split Sqrt Squeeze"
    " Sub Tanh Tile TopK Transpose Unsqueeze Where".split()
)


def quantized_only(graph: Graph, node: Node) -> str:
    used = [graph[name] for name in (*node.inputs, *node.outputs) if name is not None]
    real = any(t.quant is None and t.dtype.startswith("float") for t in used)
    return "float32: its HTP takes quantized networks" if real and node.op not in {"QUANTIZE", "DEQUANTIZE"} else ""
