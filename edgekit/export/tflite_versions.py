"""Operator versions, and the first TensorFlow Lite release that runs each.

Facts of TensorFlow's own versioning tables (tensorflow/lite/tools/versioning: op_version.cc, runtime_version.cc), for the
operators that edgekit writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.export.tflite_ops import Written
from edgekit.graph import Graph, Node, Tensor

# builtin -> {dtype of the first data input: version}; 1 for any other dtype.
BY_DTYPE: dict[str, dict[str, int]] = {
    **{code: {"int8": 2} for code in "EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL".split()},
    **{code: {"int8": 2} for code in "ARG_MAX ARG_MIN EXP LOG REDUCE_PROD SQUARED_DIFFERENCE TOPK_V2".split()},
    "FLOOR_DIV": {"float32": 2},
    "DEPTH_TO_SPACE": {"int8": 2},
    "SPACE_TO_DEPTH": {"int8": 2},
    "ABS": {"int8": 2, "int16": 3, "int32": 5},
    "ADD": {"int8": 2, "int16": 3, "int64": 4},
    "AVERAGE_POOL_2D": {"int8": 2, "int16": 3},
    "BATCH_MATMUL": {"int8": 2, "int16": 3},
    "BROADCAST_TO": {**dict.fromkeys(("float32", "int32", "int64", "bool"), 2), "int8": 3, "int16": 3},
    "CONCATENATION": {"int8": 2, "int16": 3},
    "DEQUANTIZE": {"int8": 2, "int16": 3, "float16": 3},
    "GATHER": {"int8": 2, "bool": 3, "int16": 4},
    "GATHER_ND": {"int16": 3, "bool": 5},
    "GELU": {"int8": 2},
    "L2_NORMALIZATION": {"int8": 2},
    "LEAKY_RELU": {"int16": 2},
    "LOG_SOFTMAX": {"int8": 2},
    "LOGISTIC": {"int8": 2, "int16": 3},
    "MAXIMUM": {"int8": 2, "int16": 4},
    "MAX_POOL_2D": {"int8": 2, "int16": 3},
    "MEAN": {"int8": 2, "int16": 3},
    "MINIMUM": {"int8": 2, "int16": 4},
    "MUL": {"int8": 2, "int16": 4, "int64": 5},
    "PAD": {"int8": 2, "int16": 3},
    "PADV2": {"int8": 2, "int16": 3},
    "REDUCE_MAX": {"int8": 2, "int16": 3},
    "REDUCE_MIN": {"int8": 2, "int16": 3},
    "RELU": {"int8": 2, "uint8": 2, "int16": 3},
    "RELU6": {"int8": 2, "int16": 3},
    "RSQRT": {"int8": 2, "int16": 3},
    "SIGN": {"int32": 2},
    "SLICE": {"int8": 2, "int16": 4},
    "SOFTMAX": {"int8": 2, "int16": 3},
    "SPLIT": {"int8": 2, "int32": 3, "int16": 4},
    "SPLIT_V": {"int8": 2},
    "STRIDED_SLICE": {"int8": 2, "bool": 3},
    "SUB": {"int8": 2, "int64": 4, "int16": 5},
    "SUM": {"int8": 2},
    "TANH": {"int8": 2, "int16": 3},
    "TILE": {"int8": 3},
    "TRANSPOSE": {"int8": 2, "bool": 3, "int16": 5},
}
# builtin -> version when an operand has more than four axes.
HIGH_RANK = {"PAD": 4, "PADV2": 4, "SLICE": 5, "STRIDED_SLICE": 4, "TRANSPOSE": 4}
HIGH_RANK_BROADCAST = {"DIV": 2, "MAXIMUM": 3, "MINIMUM": 3, "SUB": 3}
# (builtin, version) -> release. Versions that are not here run since 1.14.0.
RUNTIME: dict[tuple[str, int], str] = {
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", 1): "1.13.1",
    ("ABS", 2): "2.4.0",
    ("ABS", 3): "2.5.0",
    ("ATAN2", 1): "2.10.0",
    ("BROADCAST_TO", 2): "2.5.0",
    ("BROADCAST_TO", 3): "2.5.0",
    ("CUMSUM", 1): "2.4.0",
    ("EXP", 2): "2.12.0",
    ("LOG", 2): "2.14.0",
    ("DYNAMIC_UPDATE_SLICE", 1): "2.9.0",
    ("GATHER_ND", 3): "2.5.0",
    ("QUANTIZE", 2): "1.15.0",
    ("REDUCE_ALL", 1): "2.6.0",
    ("REDUCE_PROD", 2): "2.6.0",
    ("RSQRT", 2): "2.5.0",
    ("SCATTER_ND", 1): "2.1.0",
    ("SELECT_V2", 1): "2.2.0",
    ("SIGN", 1): "2.12.0",
    ("SPLIT_V", 2): "2.3.0",
    ("SQUARED_DIFFERENCE", 2): "2.5.0",
    ("TILE", 3): "2.8.0",
    ("WHILE", 1): "1.15.0",
    ("DEPTH_TO_SPACE", 1): "2.1.0",
    ("DEPTH_TO_SPACE", 2): "2.5.0",
    ("RESIZE_BILINEAR", 1): "1.7.0",
    ("RESIZE_BILINEAR", 3): "2.2.0",
    ("RESIZE_BILINEAR", 4): "2.5.0",
    ("RESIZE_NEAREST_NEIGHBOR", 1): "1.13.1",
    ("RESIZE_NEAREST_NEIGHBOR", 3): "2.3.0",
    ("RESIZE_NEAREST_NEIGHBOR", 4): "2.4.0",
    ("SPACE_TO_DEPTH", 1): "1.5.0",
    ("TRANSPOSE_CONV", 1): "1.9.0",
    ("TRANSPOSE_CONV", 2): "2.2.0",
    ("TRANSPOSE_CONV", 3): "2.3.0",
    ("TRANSPOSE_CONV", 4): "2.13.0",
    ("ADD", 1): "1.5.0",
    ("ADD", 3): "2.4.0",
    ("ADD", 4): "2.6.0",
    ("AVERAGE_POOL_2D", 1): "1.5.0",
    ("AVERAGE_POOL_2D", 3): "2.3.0",
    ("BATCH_MATMUL", 1): "2.3.0",
    ("BATCH_MATMUL", 2): "2.3.0",
    ("BATCH_MATMUL", 3): "2.4.0",
    ("CAST", 1): "1.5.0",
    ("CAST", 3): "2.8.0",
    ("CONCATENATION", 1): "1.5.0",
    ("CONCATENATION", 3): "2.3.0",
    ("CONV_2D", 1): "1.5.0",
    ("CONV_2D", 2): "1.14.0",
    ("CONV_2D", 4): "2.3.0",
    ("CONV_2D", 5): "2.4.0",
    ("CONV_2D", 6): "2.9.0",
    ("CONV_2D", 7): "2.11.0",
    ("DEPTHWISE_CONV_2D", 1): "1.5.0",
    ("DEPTHWISE_CONV_2D", 2): "1.12.0",
    ("DEPTHWISE_CONV_2D", 4): "2.2.0",
    ("DEPTHWISE_CONV_2D", 5): "2.3.0",
    ("DEPTHWISE_CONV_2D", 6): "2.3.0",
    ("DEPTHWISE_CONV_2D", 7): "2.11.0",
    ("DEQUANTIZE", 1): "1.13.1",
    ("DEQUANTIZE", 3): "1.15.0",
    ("DEQUANTIZE", 5): "2.7.0",
    ("DIV", 1): "1.6.0",
    ("DIV", 2): "2.3.0",
    ("FULLY_CONNECTED", 1): "1.5.0",
    ("FULLY_CONNECTED", 5): "2.0.0",
    ("FULLY_CONNECTED", 6): "2.1.0",
    ("FULLY_CONNECTED", 7): "2.3.0",
    ("FULLY_CONNECTED", 10): "2.11.0",
    ("FULLY_CONNECTED", 12): "2.17.0",
    ("GATHER", 1): "1.6.0",
    ("GATHER", 3): "1.15.0",
    ("GATHER", 4): "2.4.0",
    ("GELU", 1): "2.9.0",
    ("GELU", 2): "2.9.0",
    ("HARD_SWISH", 1): "1.15.0",
    ("L2_NORMALIZATION", 1): "1.5.0",
    ("LEAKY_RELU", 1): "1.13.1",
    ("LEAKY_RELU", 2): "2.3.0",
    ("LOGISTIC", 3): "2.3.0",
    ("MAXIMUM", 3): "2.3.0",
    ("MAXIMUM", 4): "2.3.0",
    ("MAX_POOL_2D", 1): "1.5.0",
    ("MAX_POOL_2D", 3): "2.3.0",
    ("MEAN", 1): "1.6.0",
    ("MEAN", 3): "2.4.0",
    ("MINIMUM", 3): "2.3.0",
    ("MINIMUM", 4): "2.3.0",
    ("MUL", 1): "1.5.0",
    ("MUL", 3): "1.15.0",
    ("MUL", 4): "2.3.0",
    ("MUL", 5): "2.6.0",
    ("PAD", 1): "1.5.0",
    ("PAD", 3): "2.4.0",
    ("PAD", 4): "2.6.0",
    ("PADV2", 1): "1.9.0",
    ("PADV2", 3): "2.4.0",
    ("PADV2", 4): "2.6.0",
    ("PRELU", 1): "1.8.0",
    ("REDUCE_MAX", 1): "1.11.0",
    ("REDUCE_MAX", 3): "2.5.0",
    ("REDUCE_MIN", 1): "1.11.0",
    ("REDUCE_MIN", 3): "2.5.0",
    ("RELU", 1): "1.5.0",
    ("RELU", 2): "2.1.0",
    ("RELU", 3): "2.5.0",
    ("RELU6", 1): "1.5.0",
    ("RELU6", 3): "2.5.0",
    ("RELU_N1_TO_1", 1): "1.5.0",
    ("RESHAPE", 1): "1.5.0",
    ("SLICE", 4): "2.4.0",
    ("SLICE", 5): "2.5.0",
    ("SOFTMAX", 1): "1.5.0",
    ("SOFTMAX", 3): "2.3.0",
    ("SPLIT", 1): "1.5.0",
    ("SPLIT", 4): "2.3.0",
    ("SPLIT_V", 1): "1.13.1",
    ("STRIDED_SLICE", 1): "1.6.0",
    ("STRIDED_SLICE", 3): "2.1.0",
    ("STRIDED_SLICE", 4): "2.2.0",
    ("SUB", 1): "1.6.0",
    ("SUB", 3): "2.3.0",
    ("SUB", 4): "2.4.0",
    ("SUB", 5): "2.4.0",
    ("SUM", 1): "1.10.0",
    ("SUM", 2): "1.15.0",
    ("TANH", 3): "2.3.0",
    ("TRANSPOSE", 1): "1.6.0",
    ("TRANSPOSE", 3): "1.15.0",
    ("TRANSPOSE", 4): "2.3.0",
    ("TRANSPOSE", 5): "2.4.0",
}
# Real inputs beside int8 weights: version with one scale, with one a channel.
HYBRID = {"CONV_2D": (2, 5), "DEPTHWISE_CONV_2D": (4, 6), "FULLY_CONNECTED": (3, 12)}
# int8 inputs beside int4 weights: as HYBRID.
NARROW = {"CONV_2D": (7, 7), "DEPTHWISE_CONV_2D": (7, 7), "FULLY_CONNECTED": (10, 12)}
OLDEST, COMMON = "1.5.0", "1.14.0"


def version_of(code: str, ins: Sequence[Tensor | None], outs: Sequence[Tensor], attrs: Mapping[str, Any]) -> int:
    """The lowest version whose kernels know these types and options. ins: the data inputs first."""
    x = ins[0]
    assert x is not None
    int8, wide = x.dtype == "int8", x.dtype == "int16"
    if code in HYBRID and len(ins) > 1 and ins[1] is not None and x.dtype == "float32" and ins[1].dtype == "int8":
        return HYBRID[code][ins[1].quant is not None and ins[1].quant.scale.size > 1]
    if code in NARROW and len(ins) > 1 and ins[1] is not None and ins[1].dtype == "int4":
        return NARROW[code][ins[1].quant is not None and ins[1].quant.scale.size > 1]
    ranks = [len(t.shape) for t in ins if t is not None]
    if code == "CONV_2D":
        weights = ins[1]
        return 6 if weights is not None and x.shape[3] != weights.shape[3] else 4 if wide else 3 if int8 else 1
    if code == "DEPTHWISE_CONV_2D":
        return 5 if wide else 3 if int8 else 2 if tuple(attrs.get("dilation", (1, 1))) != (1, 1) else 1
    if code == "FULLY_CONNECTED" and wide:
        per_channel = ins[1] is not None and ins[1].quant is not None and ins[1].quant.scale.size > 1
        return 12 if per_channel else 7
    if code == "FULLY_CONNECTED":
        return 6 if len(ins) < 3 or ins[2] is None else 5 if attrs.get("keep_dims") else 4 if int8 else 1
    if code == "MUL" and int8 and rescale(ins, outs) >= 1.0:
        return 3
    if code == "DEQUANTIZE" and x.quant is not None and x.quant.scale.size > 1:
        return 5
    if code == "TRANSPOSE_CONV":
        data = ins[2]
        quantized = data is not None and data.dtype == "int8"
        return 4 if attrs["activation"] != "NONE" else 3 if attrs["bias"] else 2 if quantized else 1
    if code in {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}:
        newer = attrs["half"] or (attrs["align"] and code == "RESIZE_NEAREST_NEIGHBOR")
        return 4 if wide else 3 if newer else 2 if int8 else 1
    if code == "CAST":
        return 3 if "int8" in (x.dtype, outs[0].dtype) else 1
    if code == "QUANTIZE":
        return 2 if outs[0].dtype == "int16" else 1
    if code == "TRANSPOSE" and max(ranks) > 5:
        return 6
    if wide and code in {"TRANSPOSE", "MAXIMUM", "MINIMUM", "SUB"}:
        return BY_DTYPE[code]["int16"]
    if max(ranks) > 4 and code in HIGH_RANK:
        return HIGH_RANK[code]
    if max(ranks) > 4 and code in HIGH_RANK_BROADCAST and len({t.shape for t in ins if t is not None}) > 1:
        return HIGH_RANK_BROADCAST[code]
    return BY_DTYPE.get(code, {}).get(x.dtype, 1)


def version_in(graph: Graph, node: Node, op: Written) -> int:
    """The version of the builtin that a node of the graph is written as."""
    ins = [None if v is None else v if isinstance(v, Tensor) else graph[v] for v in op.inputs]
    return version_of(op.code, ins[::-1] if op.code == "SPLIT" else ins, graph.output_tensors(node), op.attrs)


def rescale(ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> float:
    """The product of the inputs' scales over the output's."""
    scales = [t.quant.scale[0] if t is not None and t.quant is not None else 0.0 for t in (ins[0], ins[1], outs[0])]
    return float(scales[0] * scales[1] / scales[2]) if scales[2] else 0.0


def min_runtime(versions: Sequence[tuple[str, int]]) -> str:
    """The first release that runs all of these (builtin, version)."""
    releases = [RUNTIME.get(key, COMMON) for key in versions] or [OLDEST]
    return max(releases, key=lambda release: [int(part) for part in release.split(".")])
