"""How each operator of the table is written in ONNX, opset 17. One function a family; `WRITERS` is the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export import onnx_attention, onnx_audio, onnx_blocks, onnx_recurrent, onnx_spatial
from edgekit.export.onnx import NCHW, NCHW_AXIS, OWN, TO_NCHW, TO_NHWC, Writer, domain_of
from edgekit.export.onnx_math import WRITERS as MATH
from edgekit.graph import Node, Tensor
from edgekit.ops import attr, op_of

PAST_START = -(1 << 31)  # the end of a backwards slice that includes element 0


def _get(node: Node, name: str) -> Any:
    return attr(node, op_of(node), name)


def _x(node: Node) -> str:
    assert node.inputs[0] is not None
    return node.inputs[0]


def _y(w: Writer, node: Node) -> Tensor:
    return w.graph[node.outputs[0]]


def _in_order(w: Writer, tensor: str) -> str:
    """Real values whose memory order is the Graph's, for a reshape: NCHW will do where it is the same bytes."""
    nchw_only = w.layouts(tensor) == [NCHW]
    return w.real(tensor, NCHW if nchw_only and w.same_order(w.graph[tensor]) else OWN)


def _weights(w: Writer, node: Node) -> tuple[Tensor, str]:
    t = w.graph[str(node.inputs[1])]
    if t.data is None:
        raise Unsupported("writing ONNX", [(node.source, "its weights are not constant", "make them initializers")])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return t, "" if bias is None else _bias(w, bias)


def _bias(w: Writer, name: str) -> str:
    t = w.graph[name]
    return w.real(name) if t.data is None else w.constant(name, t.data, "bias", axis=0)


def conv(w: Writer, node: Node) -> None:
    t, bias = _weights(w, node)
    assert t.data is not None
    channels = w.graph[_x(node)].shape[3]
    depthwise = node.op == "DEPTHWISE_CONV_2D"
    data = t.data.transpose(3, 0, 1, 2) if depthwise else t.data.transpose(0, 3, 1, 2)
    groups = channels if depthwise else channels // t.shape[3]
    top, bottom, left, right = _get(node, "pad")
    w.put(
        _y(w, node), NCHW, "Conv", [w.real(_x(node), NCHW), w.constant(t.name, data, "oihw", axis=0), bias],
        _get(node, "activation"), kernel_shape=list(data.shape[2:]), strides=list(_get(node, "stride")),
        dilations=list(_get(node, "dilation")), pads=[top, left, bottom, right], group=groups,
    )  # fmt: skip


def fully_connected(w: Writer, node: Node) -> None:
    t, bias = _weights(w, node)
    assert t.data is not None
    y, x = _y(w, node), w.graph[_x(node)]
    activation = _get(node, "activation")
    if t.quant is not None and t.quant.block is not None:
        onnx_blocks.matmul(w, node, t, bias)
        return
    if len(y.shape) == 2:
        flat = w.real(x.name) if len(x.shape) == 2 else ""
        if not flat:
            shape = w.ints((y.shape[0], t.shape[1]), f"{y.name}/rows")
            flat = w.step("Reshape", [_in_order(w, x.name), shape], y.name)
        w.put(y, OWN, "Gemm", [flat, w.constant(t.name, t.data, "oi", axis=0), bias], activation, transB=1)
        return
    matrix = w.constant(t.name, t.data.T, "io", axis=1)
    if not bias:
        w.put(y, OWN, "MatMul", [w.real(x.name), matrix], activation)
    else:
        product = w.step("MatMul", [w.real(x.name), matrix], y.name)
        w.put(y, OWN, "Add", [product, bias], activation)


def pool(w: Writer, node: Node) -> None:
    top, bottom, left, right = _get(node, "pad")
    maximum = node.op == "MAX_POOL_2D"
    attrs: dict[str, Any] = {} if maximum else {"count_include_pad": 0}
    w.put(
        _y(w, node), NCHW, "MaxPool" if maximum else "AveragePool", [w.real(_x(node), NCHW)], _get(node, "activation"),
        kernel_shape=list(_get(node, "filter")), strides=list(_get(node, "stride")), pads=[top, left, bottom, right], **attrs,
    )  # fmt: skip


REDUCE = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}


def reduce(w: Writer, node: Node) -> None:
    x, y = w.graph[_x(node)], _y(w, node)
    keep, axes = bool(_get(node, "keep_dims")), [int(a) for a in _get(node, "axes")]
    layout, made = OWN, OWN
    if len(x.shape) == 4 and NCHW in w.layouts(x.name):
        left = [NCHW_AXIS[a] for a in range(4) if a not in axes]
        if keep or left == sorted(left):
            layout, made = NCHW, NCHW if keep else OWN
    if layout == NCHW:
        axes = sorted(NCHW_AXIS[a] for a in axes)
    value, keepdims = w.real(x.name, layout), int(keep)
    if node.op == "SUM":  # the only one whose axes are an input in opset 17
        w.put(y, made, "ReduceSum", [value, w.ints(axes, f"{y.name}/axes")], keepdims=keepdims)
    else:
        w.put(y, made, REDUCE[node.op], [value], axes=axes, keepdims=keepdims)


BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min"}


def binary(w: Writer, node: Node) -> None:
    names = [str(n) for n in node.inputs]
    layout = w.choose(node, names)
    activation = _get(node, "activation") if node.op in ("ADD", "SUB", "MUL") else "NONE"
    w.put(_y(w, node), layout, BINARY[node.op], [w.operand(n, layout) for n in names], activation)


UNARY = {
    "RELU": "Relu",
    "LEAKY_RELU": "LeakyRelu",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "HARD_SWISH": "HardSwish",
    "HARD_SIGMOID": "HardSigmoid",
    "ELU": "Elu",
    "RELU6": "Clip",
    "RELU_N1_TO_1": "Clip",
}


def unary(w: Writer, node: Node) -> None:
    layout = w.choose(node, [_x(node)])
    extra = w.activation(node.op)[1] if UNARY[node.op] == "Clip" else []
    attrs: dict[str, Any] = {name: float(_get(node, name)) for name in op_of(node).attrs}
    w.put(_y(w, node), layout, UNARY[node.op], [w.real(_x(node), layout), *extra], **attrs)


def prelu(w: Writer, node: Node) -> None:
    layout = w.choose(node, [_x(node)])
    w.put(_y(w, node), layout, "PRelu", [w.real(_x(node), layout), w.operand(str(node.inputs[1]), layout)])


def softmax(w: Writer, node: Node) -> None:
    layout, y = w.choose(node, [_x(node)]), _y(w, node)
    value, beta = w.real(_x(node), layout), float(_get(node, "beta"))
    if beta != 1.0:
        value = w.step("Mul", [value, w.number(beta, f"{y.name}/beta")], y.name)
    w.put(y, layout, "Softmax", [value], axis=1 if layout == NCHW else len(y.shape) - 1)


def batch_norm(w: Writer, node: Node) -> None:
    """BatchNormalization where the channel is axis 1; else a product and a sum."""
    x, y = w.graph[_x(node)], _y(w, node)
    statistics = [w.graph[str(n)] for n in node.inputs[1:]]
    epsilon = float(_get(node, "epsilon"))
    if len(x.shape) in (2, 4):
        layout = NCHW if len(x.shape) == 4 else OWN
        values = [w.real(x.name, layout), *(w.real(t.name) for t in statistics)]
        w.put(y, layout, "BatchNormalization", values, epsilon=epsilon)
        return
    gamma, beta, mean, variance = (t.real() for t in statistics)
    scale = (gamma / np.sqrt(variance + np.float32(epsilon))).astype(np.float32)
    product = w.step("Mul", [w.real(x.name), w.initializer(scale, f"{y.name}/scale")], y.name)
    w.put(y, OWN, "Add", [product, w.initializer((beta - mean * scale).astype(np.float32), f"{y.name}/shift")])


def pad(w: Writer, node: Node) -> None:
    layout, y = w.choose(node, [_x(node)]), _y(w, node)
    pads = [tuple(p) for p in _get(node, "pads")]
    if layout == NCHW:
        pads = [pads[axis] for axis in TO_NCHW]
    amounts = w.ints([p[0] for p in pads] + [p[1] for p in pads], f"{y.name}/pads")
    kind = "float32" if y.quant is not None else y.dtype
    value = w.initializer(np.asarray(_get(node, "value"), kind), f"{y.name}/value")
    w.put(y, layout, "Pad", [w.real(_x(node), layout), amounts, value])


def concatenation(w: Writer, node: Node) -> None:
    names = [str(n) for n in node.inputs]
    layout, axis = w.choose(node, names), int(_get(node, "axis"))
    w.put(_y(w, node), layout, "Concat", [w.real(n, layout) for n in names], axis=NCHW_AXIS[axis] if layout == NCHW else axis)


def split(w: Writer, node: Node) -> None:
    layout, axis = w.choose(node, [_x(node)]), int(_get(node, "axis"))
    sizes = w.ints(_get(node, "sizes"), f"{node.outputs[0]}/sizes")
    parts = [
        w.unused(f"{name}/split") if w.graph[name].quant is not None else w.name_for(name, layout) for name in node.outputs
    ]
    w.node("Split", [w.real(_x(node), layout), sizes], parts, axis=NCHW_AXIS[axis] if layout == NCHW else axis)
    for name, part in zip(node.outputs, parts, strict=True):
        t = w.graph[name]
        if t.quant is None:
            w.have[(name, layout)] = part
        else:
            w.put(t, layout, "QuantizeLinear", [part, *w.scale(t.quant, name)], quantize=False, **domain_of(t.quant))


def slice_(w: Writer, node: Node) -> None:
    layout, y = w.choose(node, [_x(node)]), _y(w, node)
    order = TO_NCHW if layout == NCHW else range(len(y.shape))
    begin, size, stride = ([int(_get(node, key)[axis]) for axis in order] for key in ("begin", "size", "stride"))
    ends = [b + n * s for b, n, s in zip(begin, size, stride, strict=True)]
    ends = [PAST_START if e < 0 else e for e in ends]
    lists = {"starts": begin, "ends": ends, "axes": range(len(begin)), "steps": stride}
    w.put(y, layout, "Slice", [w.real(_x(node), layout), *(w.ints(v, f"{y.name}/{k}") for k, v in lists.items())])


def reshape(w: Writer, node: Node) -> None:
    y = _y(w, node)
    w.put(y, OWN, "Reshape", [_in_order(w, _x(node)), w.ints(y.shape, f"{y.name}/shape")])


def transpose(w: Writer, node: Node) -> None:
    """Between NHWC and NCHW only a new name for the same value; else one Transpose from whatever layout there is."""
    x, y, perm = _x(node), _y(w, node), tuple(int(p) for p in _get(node, "perm"))
    if perm == TO_NCHW:
        w.have[(y.name, OWN)] = w.stored(x, NCHW)
    elif perm == TO_NHWC:
        w.have[(y.name, NCHW)] = w.stored(x, OWN)
    else:
        layout = NCHW if w.layouts(x) == [NCHW] else OWN
        if layout == NCHW:
            perm = tuple(TO_NHWC[p] for p in perm)
        w.put(y, OWN, "Transpose", [w.real(x, layout)], perm=list(perm))


def gather(w: Writer, node: Node) -> None:
    y, axis, rows = _y(w, node), int(_get(node, "axis")), str(node.inputs[1])
    flat = len(w.graph[rows].shape) == 1
    layout = w.choose(node, [_x(node)]) if flat else OWN
    w.put(
        y, layout, "Gather", [w.real(_x(node), layout), w.stored(rows, OWN)], axis=NCHW_AXIS[axis] if layout == NCHW else axis
    )


def cast(w: Writer, node: Node) -> None:
    from onnx import helper

    layout = w.choose(node, [_x(node)])
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(_get(node, "to")))
    # Of a quantized value the integers themselves are cast.
    w.put(_y(w, node), layout, "Cast", [w.stored(_x(node), layout)], to=kind)


def quantize(w: Writer, node: Node) -> None:
    layout, y = w.choose(node, [_x(node)]), _y(w, node)
    if y.quant is None:  # a 16-bit state, real in the file
        w.put(y, layout, "Identity", [w.real(_x(node), layout)])
        return
    given = [w.real(_x(node), layout), *w.scale(y.quant, y.name)]
    w.put(y, layout, "QuantizeLinear", given, quantize=False, **domain_of(y.quant))


def dequantize(w: Writer, node: Node) -> None:
    layout, x = w.choose(node, [_x(node)]), w.graph[_x(node)]
    if x.quant is None:
        w.put(_y(w, node), layout, "Identity", [w.real(x.name, layout)])
        return
    w.put(_y(w, node), layout, "DequantizeLinear", [w.stored(x.name, layout), *w.scale(x.quant, x.name)], **domain_of(x.quant))


WRITERS: dict[str, Callable[[Writer, Node], None]] = {
    **onnx_spatial.WRITERS,
    **onnx_attention.WRITERS,
    **onnx_audio.WRITERS,
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": conv,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": pool,
    "MAX_POOL_2D": pool,
    **dict.fromkeys(REDUCE, reduce),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(UNARY, unary),
    "PRELU": prelu,
    "SOFTMAX": softmax,
    "BATCH_NORM": batch_norm,
    "PAD": pad,
    "CONCATENATION": concatenation,
    "SPLIT": split,
    "SLICE": slice_,
    "RESHAPE": reshape,
    "TRANSPOSE": transpose,
    "GATHER": gather,
    "CAST": cast,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), onnx_recurrent.recurrent),
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    **MATH,
}
