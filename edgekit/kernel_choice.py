"""Which C kernel a node runs, and the scratch it needs. One literal table a family of operators."""

from __future__ import annotations

from edgekit.dsp import packed
from edgekit.dsp_transposed import packed_transposed
from edgekit.errors import Unsupported
from edgekit.graph import Graph, Node, Tensor
from edgekit.kernel_choice_audio import OPS as AUDIO
from edgekit.kernel_choice_audio import audio_kernel
from edgekit.kernel_choice_math import ELEMENTWISE as MATH_ELEMENTWISE
from edgekit.kernel_choice_math import math_kernel
from edgekit.kernel_choice_recurrent import SCRATCH as RECURRENT
from edgekit.kernel_choice_recurrent import recurrent_kernel
from edgekit.kernel_choice_s4 import is_narrow, narrow_kernel
from edgekit.kernel_choice_s16 import packed_wide, wide_kernel
from edgekit.mve import laned
from edgekit.ops import TABLE, attr
from edgekit.ops.spatial import most_taps

# dtype -> suffix of the kernels that only move it; others have no kernel at all.
SUFFIX = {
    "int8": "s8",
    "uint8": "u8",
    "bool": "u8",
    "int16": "s16",
    "int32": "s32",
    "int64": "s64",
    "float32": "f32",
}
# Output i may take the place of input i: one pass from first to last element, reading i before writing i.
ELEMENTWISE = (
    frozenset(
        "RELU RELU6 RELU_N1_TO_1 LEAKY_RELU PRELU LOGISTIC TANH HARD_SWISH HARD_SIGMOID ELU SOFTMAX BATCH_NORM ADD SUB "
        "MUL DIV MAXIMUM MINIMUM QUANTIZE LAYER_NORM RMS_NORM GROUP_NORM L2_NORMALIZATION LOG_SOFTMAX".split()
    )
    | MATH_ELEMENTWISE
)
# Each window starts at or after the place of its output, so rows may be written over rows already used.
POOLS = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D"})

_MOVES = frozenset("RESHAPE TRANSPOSE SLICE SPLIT CONCATENATION PAD DEPTH_TO_SPACE SPACE_TO_DEPTH".split())
_NORMS = frozenset({"LAYER_NORM", "RMS_NORM", "GROUP_NORM"})
_UNARY = frozenset("RELU RELU6 RELU_N1_TO_1 LEAKY_RELU LOGISTIC TANH HARD_SWISH HARD_SIGMOID ELU".split())
_SHARED = frozenset(
    "FULLY_CONNECTED AVERAGE_POOL_2D MAX_POOL_2D MEAN SUM REDUCE_MAX REDUCE_MIN ADD SUB MUL DIV MAXIMUM MINIMUM "
    "RESIZE_BILINEAR PRELU SOFTMAX LOG_SOFTMAX L2_NORMALIZATION BATCH_MATMUL".split()
)


def kernels_of(graph: Graph, isa: str) -> list[tuple[str, int]]:
    """(kernel, scratch bytes) of each node; Unsupported lists all that have none."""
    chosen: list[tuple[str, int]] = []
    problems: list[tuple[str, str, str]] = []
    for node in graph.nodes:
        kernel = _kernel(graph, node)
        if node.op in RECURRENT:
            kernel = recurrent_kernel(node, graph.input_tensors(node), graph[node.outputs[0]], isa)
        narrow = is_narrow(graph, node)
        if narrow:
            kernel = narrow_kernel(graph, node, kernel, isa)
        elif isa == "dsp" and kernel is not None and kernel[0].endswith("_s8"):
            kernel = packed(graph, node) or packed_transposed(graph, node) or kernel
        if isa in {"dsp", "mve"} and kernel is not None:  # cores with Helium have packed products, too
            kernel = packed_wide(kernel)
        if isa == "mve" and not narrow and kernel is not None and kernel[0].endswith("_s8"):
            kernel = laned(graph, node) or kernel
        if kernel is None:
            kinds = ", ".join(t.dtype for t in (*graph.input_tensors(node), *graph.output_tensors(node)) if t is not None)
            problems.append((f"{node.op} '{node.source}'", f"no C kernel for {kinds}", "int8 or float32 throughout"))
        chosen.append(kernel or ("", 0))
    if problems:
        raise Unsupported("C", problems)
    return chosen


def _kernel(graph: Graph, node: Node) -> tuple[str, int] | None:
    ins, out = graph.input_tensors(node), graph.output_tensors(node)[0]
    x = ins[0]
    if x is None or not {x.dtype, out.dtype} <= SUFFIX.keys():
        return None
    if node.op in AUDIO:
        return audio_kernel(node, x)
    if node.op in _MOVES:
        return (f"move_{SUFFIX[out.dtype]}", 0) if all(t is None or t.dtype == out.dtype for t in ins) else None
    if node.op == "GATHER":
        ids = ins[1]
        fits = ids is not None and ids.dtype == "int32" and x.dtype == out.dtype
        return (f"gather_{SUFFIX[out.dtype]}", 0) if fits else None
    if node.op == "RESIZE_NEAREST_NEIGHBOR":
        return (f"resize_nearest_{SUFFIX[out.dtype]}", 0) if x.dtype == out.dtype else None
    if node.op == "CAST":
        if not {x.dtype, out.dtype} <= _CASTABLE:
            return None
        if out.dtype == "bool":
            return f"cast_{SUFFIX[x.dtype]}_bool", 0
        return f"cast_{SUFFIX[x.dtype]}_{SUFFIX[out.dtype]}", 0
    if (found := math_kernel(node, ins, out)) is not None:
        return found, 0
    kinds = (x.dtype, out.dtype)
    if node.op in {"QUANTIZE", "DEQUANTIZE"}:
        name = _CONVERSIONS.get(kinds)
        return (name, 0) if name else None
    if node.op in _NORMS and kinds in {("int8", "int8"), ("float32", "float32")}:
        return f"norm_{SUFFIX[out.dtype]}", 0  # gamma and beta are float32 in an int8 graph, too
    if kinds == ("int8", "int8") and out.quant is not None and x.quant is not None:
        return _int8_kernel(node, x, ins[1] if len(ins) > 1 else None)
    if kinds == ("int16", "int16") and out.quant is not None and x.quant is not None:
        return wide_kernel(node, x, ins[1] if len(ins) > 1 else None)
    if kinds == ("float32", "float32") and all(t is None or t.dtype == "float32" for t in ins):
        return _float_kernel(node, x)
    return None


_CONVERSIONS = {
    ("float32", "int8"): "quantize_f32_s8",
    ("int8", "int8"): "requantize_s8",
    ("int16", "int16"): "relu_s16",
    ("int16", "int8"): "requantize_s16_s8",
    ("int8", "int16"): "requantize_s8_s16",
    ("float32", "int16"): "quantize_f32_s16",
    ("int16", "float32"): "dequantize_s16_f32",
    ("int8", "float32"): "dequantize_s8_f32",
}
_CASTABLE = frozenset({"float32", "int32", "int16", "int8", "uint8", "bool"})


def _int8_kernel(node: Node, x: Tensor, w: Tensor | None) -> tuple[str, int] | None:
    if node.op == "CONV_2D" and w is not None:
        if _is_pointwise(node, x, w):
            return "conv_1x1_s8", 0
        return "conv_s8", 2 * w.shape[1] * w.shape[2] * w.shape[3]  # two patches side by side
    if node.op == "DEPTHWISE_CONV_2D" and w is not None:
        return ("depthwise_s8" if w.shape[3] == x.shape[3] else "depthwise_multiplier_s8"), 0
    if node.op == "TRANSPOSE_CONV" and w is not None:
        return "transpose_conv_s8", 2 * most_taps(node, w.shape) * w.shape[3]  # two patches side by side
    if node.op in _UNARY:
        return "table_s8", 0
    return (f"{node.op.lower()}_s8", 0) if node.op in _SHARED else None


def _float_kernel(node: Node, x: Tensor) -> tuple[str, int] | None:
    if node.op == "CONV_2D":
        return "conv_f32", 0
    if node.op == "TRANSPOSE_CONV":
        return "transpose_conv_f32", 0
    if node.op == "DEPTHWISE_CONV_2D":
        return "depthwise_f32", 0
    if node.op in _UNARY or node.op in _SHARED or node.op == "BATCH_NORM":
        return f"{node.op.lower()}_f32", 0
    return None


def _is_pointwise(node: Node, x: Tensor, w: Tensor) -> bool:
    """A 1x1 convolution that reads every pixel once, in order: a matrix product."""
    entry = TABLE[node.op]
    return (
        w.shape[1:3] == (1, 1)
        and w.shape[3] == x.shape[3]
        and tuple(attr(node, entry, "stride")) == (1, 1)
        and not any(attr(node, entry, "pad"))
    )
