"""One rule per Graph operator: a Node -> a TFLite builtin with its operands and options. `tflite.py` writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit import fixedpoint
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Node, Quant, Shape, Tensor, const
from edgekit.load.tflite_ops import ACTIVATIONS, same_padding
from edgekit.load.tflite_schema import DTYPES, schema
from edgekit.ops import TABLE, attr

ACTIVATION_CODES = {name: code for code, name in ACTIVATIONS.items()}
TYPE_CODES = {dtype: name for name, dtype in DTYPES.items()}
SAME, VALID = 0, 1
LEGALIZE = "legalize the graph for tflite first"


class Refused(Exception):
    """One node that TFLite cannot spell: why, and what to do. The writer collects them."""

    def __init__(self, why: str, fix: str = LEGALIZE) -> None:
        super().__init__(why)
        self.why, self.fix = why, fix


@dataclass(frozen=True)
class Loop:
    """Once a step of a sequence: `body` of the sequence's part [N,I] and of the states gives a row of y [N,H] and the states.

    values: those that go round, as (counter, sequence, states, and y [N,T,H] if it is kept). steps: (first, last, 1 or -1).
    ends: the body's row of y and its states after the step.
    """

    body: Graph
    values: tuple[Tensor, ...]
    steps: tuple[int, int, int]
    ends: tuple[str, ...]
    keeps: bool


@dataclass(frozen=True)
class Written:
    """A builtin operator. inputs: Graph names, new constants, or None; options: the schema's object and its union tag.
    A new tensor without data is a variable one. outputs: those written, and new ones that nobody reads (default: the node's);
    intermediates: the operator's own; loop: what a WHILE repeats."""

    code: str
    inputs: tuple[str | Tensor | None, ...]
    options: Any = None
    attrs: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str | Tensor, ...] | None = None
    intermediates: tuple[Tensor, ...] = ()
    loop: Loop | None = None


Rule = Callable[[Graph, Node], Written]


def options(kind: str, **values: Any) -> Any:
    """A schema options object, e.g. options("SoftmaxOptions", beta=1.0)."""
    made = getattr(schema(), f"{kind}T")()
    for key, value in values.items():
        setattr(made, key, value)
    return made


def get(node: Node, name: str) -> Any:
    return attr(node, TABLE[node.op], name)


def ints(tag: str, values: Sequence[int] | Array) -> Tensor:
    """An int32 constant operand."""
    return const(tag, np.asarray(values, np.int32))


def fused(node: Node) -> int:
    return ACTIVATION_CODES[get(node, "activation")]


def padding(node: Node, shape: Shape, window: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> int:
    """SAME or VALID for the node's explicit pad. Raises Refused when it is neither."""
    pad = tuple(get(node, "pad"))
    if pad == (0, 0, 0, 0):
        return VALID
    sides = [same_padding(shape[1 + i], window[i], stride[i], dilation[i]) for i in range(2)]
    if pad == (*sides[0], *sides[1]):
        return SAME
    raise Refused(f"padding {pad} is neither SAME {(*sides[0], *sides[1])} nor VALID", "insert a PAD: " + LEGALIZE)


def zero_bias(x: Tensor, w: Tensor, channels: int) -> Tensor:
    """LiteRT's convolutions need a bias."""
    if x.quant is None or w.quant is None:
        return const("bias", np.zeros(channels, np.float32))
    scale, kind = x.quant.scale[0] * w.quant.scale, "int64" if x.dtype == "int16" else "int32"
    quant = Quant(scale, np.zeros(scale.size, np.int64), None if scale.size == 1 else 0, None, kind)
    return const("bias", np.zeros(channels, NUMPY_DTYPES[kind]), quant)


def conv(graph: Graph, node: Node) -> Written:
    x, w = graph.tensors[str(node.inputs[0])], graph.tensors[str(node.inputs[1])]
    stride, dilation = get(node, "stride"), get(node, "dilation")
    values = {
        "padding": padding(node, x.shape, w.shape[1:3], stride, dilation),
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": fused(node),
    }
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    inputs = (*node.inputs[:2], zero_bias(x, w, w.shape[0 if node.op == "CONV_2D" else 3]) if bias is None else bias)
    if node.op == "CONV_2D":
        return Written("CONV_2D", inputs, options("Conv2DOptions", **values))
    multiplier = w.shape[3] // x.shape[3]
    made = options("DepthwiseConv2DOptions", **values, depthMultiplier=multiplier)
    return Written("DEPTHWISE_CONV_2D", inputs, made, {"dilation": dilation})


def dense(graph: Graph, node: Node) -> Written:
    keep = bool(get(node, "keep_dims"))
    made = options("FullyConnectedOptions", fusedActivationFunction=fused(node), keepNumDims=keep)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return Written("FULLY_CONNECTED", (*node.inputs[:2], *([bias] if bias else [])), made, {"keep_dims": keep})


def pool(graph: Graph, node: Node) -> Written:
    x = graph.tensors[str(node.inputs[0])]
    window, stride = get(node, "filter"), get(node, "stride")
    made = options(
        "Pool2DOptions",
        padding=padding(node, x.shape, window, stride, (1, 1)),
        strideH=stride[0],
        strideW=stride[1],
        filterHeight=window[0],
        filterWidth=window[1],
        fusedActivationFunction=fused(node),
    )
    return Written(node.op, node.inputs, made)


def reduce(graph: Graph, node: Node) -> Written:
    made = options("ReducerOptions", keepDims=bool(get(node, "keep_dims")))
    return Written(node.op, (node.inputs[0], ints("axes", get(node, "axes"))), made)


ARITHMETIC = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}


def arithmetic(graph: Graph, node: Node) -> Written:
    made = options(ARITHMETIC[node.op], fusedActivationFunction=fused(node))
    if node.op != "MUL" and graph[node.outputs[0]].dtype == "int16":
        made.potScaleInt16 = False  # the rule for any scale
    return Written(node.op, node.inputs, made)


# Operators without attributes: the schema's (empty) options, None where it has none.
PLAIN: dict[str, str | None] = {
    "DEQUANTIZE": "DequantizeOptions",
    "DIV": "DivOptions",
    "HARD_SWISH": "HardSwishOptions",
    "LOGISTIC": None,
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "PRELU": None,
    "QUANTIZE": "QuantizeOptions",
    "RELU": None,
    "RELU6": None,
    "RELU_N1_TO_1": None,
    "TANH": None,
}


def plain(graph: Graph, node: Node) -> Written:
    kind = PLAIN[node.op]
    return Written(node.op, node.inputs, None if kind is None else options(kind))


def elu(graph: Graph, node: Node) -> Written:
    if get(node, "alpha") != 1.0:
        raise Refused(f"ELU has alpha 1, not {get(node, 'alpha')}")
    return Written("ELU", node.inputs)


def softmax(graph: Graph, node: Node) -> Written:
    return Written("SOFTMAX", node.inputs, options("SoftmaxOptions", beta=float(get(node, "beta"))))


def leaky(graph: Graph, node: Node) -> Written:
    return Written("LEAKY_RELU", node.inputs, options("LeakyReluOptions", alpha=float(get(node, "alpha"))))


def reshape(graph: Graph, node: Node) -> Written:
    shape = [int(n) for n in get(node, "shape")]
    return Written("RESHAPE", (node.inputs[0], ints("shape", shape)), options("ReshapeOptions", newShape=shape))


def transpose(graph: Graph, node: Node) -> Written:
    return Written("TRANSPOSE", (node.inputs[0], ints("perm", get(node, "perm"))), options("TransposeOptions"))


def pad(graph: Graph, node: Node) -> Written:
    """PAD fills with zero (the zero point, on integers); PADV2 with a constant of the tensor's own type."""
    pads, value = ints("pads", np.asarray(get(node, "pads"), np.int32).reshape(-1, 2)), float(get(node, "value"))
    if value == 0.0:
        return Written("PAD", (node.inputs[0], pads), options("PadOptions"))
    x = graph.tensors[str(node.inputs[0])]
    data = np.array([value], NUMPY_DTYPES[x.dtype])
    if x.quant is not None:
        data = fixedpoint.quantize(np.array([value]), x.quant.scale, x.quant.zero_point, x.dtype)
    return Written("PADV2", (node.inputs[0], pads, const("value", data, x.quant, x.dtype)), options("PadV2Options"))


def concat(graph: Graph, node: Node) -> Written:
    return Written("CONCATENATION", node.inputs, options("ConcatenationOptions", axis=int(get(node, "axis"))))


def split(graph: Graph, node: Node) -> Written:
    sizes, count, axis = get(node, "sizes"), len(node.outputs), ints("axis", np.asarray(get(node, "axis")))
    if len(set(sizes)) == 1:
        return Written("SPLIT", (axis, node.inputs[0]), options("SplitOptions", numSplits=count))
    return Written("SPLIT_V", (node.inputs[0], ints("sizes", sizes), axis), options("SplitVOptions", numSplits=count))


def slice_(graph: Graph, node: Node) -> Written:
    begin, size, stride = (np.asarray(get(node, name), np.int64) for name in ("begin", "size", "stride"))
    if np.all(stride == 1):
        return Written("SLICE", (node.inputs[0], ints("begin", begin), ints("size", size)), options("SliceOptions"))
    end = begin + size * stride
    # A negative stride that runs to index 0 ends before it: only the mask can say so.
    mask = sum(1 << i for i in range(end.size) if end[i] < 0)
    made = options("StridedSliceOptions", endMask=mask)
    operands = (ints("begin", begin), ints("end", np.maximum(end, 0)), ints("stride", stride))
    return Written("STRIDED_SLICE", (node.inputs[0], *operands), made)


def gather(graph: Graph, node: Node) -> Written:
    return Written("GATHER", node.inputs, options("GatherOptions", axis=int(get(node, "axis"))))


def cast(graph: Graph, node: Node) -> Written:
    kinds = schema().TensorType
    source, target = graph.tensors[str(node.inputs[0])].dtype, str(get(node, "to"))
    made = options("CastOptions", inDataType=getattr(kinds, TYPE_CODES[source]), outDataType=getattr(kinds, TYPE_CODES[target]))
    return Written("CAST", node.inputs, made)


RULES: dict[str, Rule] = {
    "ADD": arithmetic,
    "AVERAGE_POOL_2D": pool,
    "CAST": cast,
    "CONCATENATION": concat,
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": conv,
    "ELU": elu,
    "FULLY_CONNECTED": dense,
    "GATHER": gather,
    "LEAKY_RELU": leaky,
    "MAX_POOL_2D": pool,
    "MEAN": reduce,
    "MUL": arithmetic,
    "PAD": pad,
    "REDUCE_MAX": reduce,
    "REDUCE_MIN": reduce,
    "RESHAPE": reshape,
    "SLICE": slice_,
    "SOFTMAX": softmax,
    "SPLIT": split,
    "SUB": arithmetic,
    "SUM": reduce,
    "TRANSPOSE": transpose,
    **dict.fromkeys(PLAIN, plain),
}


def dtype_problem(tensor: Tensor) -> str | None:
    """Why TFLite cannot hold the tensor, or None."""
    if tensor.dtype not in TYPE_CODES or (tensor.dtype == "int4" and not tensor.is_const):
        return f"'{tensor.name}' is {tensor.dtype}"
    quant: Quant | None = tensor.quant
    if quant is not None and quant.block is not None:
        return f"'{tensor.name}' is quantized in blocks"
    return None
