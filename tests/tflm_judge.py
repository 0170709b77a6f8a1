"""Single-operator .tflite files, and the TensorFlow Lite Micro interpreter to judge integer meanings by.

`run_tflm(graph, feeds)` writes a Graph whose paddings are SAME or VALID with the plain flatbuffers object API, nothing of
edgekit's own writer, and runs it: an error in the writer cannot hide an error in the op table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_micro import runtime

from edgekit import ops, reference
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int4": schema.TensorType.INT4,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
}
FUSED = {
    "NONE": schema.ActivationFunctionType.NONE,
    "RELU": schema.ActivationFunctionType.RELU,
    "RELU6": schema.ActivationFunctionType.RELU6,
    "RELU_N1_TO_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}


def same_pad(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """TFLite's SAME padding as (top, bottom, left, right)."""
    pad: list[int] = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pad += [total // 2, total - total // 2]
    return tuple(pad)


def one_node(op: str, inputs: Sequence[Tensor | None], outputs: Sequence[Quant | None], attrs: Mapping[str, Any]) -> Graph:
    """A graph of one node; the outputs' shapes are inferred, their Quants given (an int32 Quant makes an int32 output)."""
    names = tuple(f"y{i}" for i in range(len(outputs)))
    node = Node(op, tuple(None if t is None else t.name for t in inputs), names, dict(attrs), "the node")
    made = ops.infer(node, inputs)
    results = [Tensor(n, s, q.dtype if q else d, None, q) for n, (s, d), q in zip(names, made, outputs, strict=True)]
    given = [t for t in inputs if t is not None]
    fed = [t.name for t in given if not t.is_const]
    return build("judged", dict.fromkeys(fed), names, [node], [*given, *results])


def options(graph: Graph, node: Node) -> tuple[str, Any, list[Tensor | None], list[Tensor]]:
    """(TFLite op name, options, inputs, extra constants) of a node."""
    a = {**ops.op_of(node).attrs, **node.attrs}
    ins = list(graph.input_tensors(node))
    extra: list[Tensor] = []

    def side(values: Any, shape: tuple[int, ...] | None = None) -> None:
        array = np.asarray(values, np.int32)
        extra.append(const(f"side{len(extra)}", array if shape is None else array.reshape(shape)))
        ins.append(extra[-1])

    option: Any = None
    name = node.op
    x = ins[0]
    assert x is not None
    if node.op in {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"}:
        kernel = a["filter"] if "filter" in a else ins[1].shape[1:3]  # type: ignore[union-attr]
        dilation = a.get("dilation", (1, 1))
        if "filter" in a:
            option = schema.Pool2DOptionsT()
            option.filterHeight, option.filterWidth = kernel
        else:
            option = schema.Conv2DOptionsT() if node.op == "CONV_2D" else schema.DepthwiseConv2DOptionsT()
            option.dilationHFactor, option.dilationWFactor = dilation
            if node.op != "CONV_2D":
                option.depthMultiplier = graph[node.outputs[0]].shape[3] // x.shape[3]
        option.strideH, option.strideW = a["stride"]
        same = tuple(a["pad"]) == same_pad(x.shape[1:3], kernel, a["stride"], dilation)
        assert same or not any(a["pad"]), "a judged graph is padded SAME or VALID"
        option.padding = schema.Padding.SAME if same else schema.Padding.VALID
        option.fusedActivationFunction = FUSED[a["activation"]]
    elif node.op == "FULLY_CONNECTED":
        option = schema.FullyConnectedOptionsT()
        option.fusedActivationFunction, option.keepNumDims = FUSED[a["activation"]], a["keep_dims"]
    elif node.op in {"ADD", "SUB", "MUL"}:
        option = {"ADD": schema.AddOptionsT, "SUB": schema.SubOptionsT, "MUL": schema.MulOptionsT}[node.op]()
        option.fusedActivationFunction = FUSED[a["activation"]]
    elif node.op == "TRANSPOSE_CONV":
        option = schema.TransposeConvOptionsT()
        option.strideH, option.strideW = a["stride"]
        option.padding = schema.Padding.SAME if any(a["pad"]) else schema.Padding.VALID
        option.fusedActivationFunction = FUSED[a["activation"]]
        side(graph[node.outputs[0]].shape)
        ins = [ins[-1], ins[1], ins[0], *ins[2:-1]]
    elif node.op in {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}:
        bilinear = node.op == "RESIZE_BILINEAR"
        option = schema.ResizeBilinearOptionsT() if bilinear else schema.ResizeNearestNeighborOptionsT()
        option.alignCorners, option.halfPixelCenters = a["align_corners"], a["half_pixel_centers"]
        side(a["size"])
    elif node.op in {"DEPTH_TO_SPACE", "SPACE_TO_DEPTH"}:
        option = schema.DepthToSpaceOptionsT() if node.op == "DEPTH_TO_SPACE" else schema.SpaceToDepthOptionsT()
        option.blockSize = a["block"]
    elif node.op == "DIV":
        option = schema.DivOptionsT()
    elif node.op in {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"}:
        option = schema.ReducerOptionsT()
        option.keepDims = a["keep_dims"]
        side(a["axes"])
    elif node.op == "SOFTMAX":
        option = schema.SoftmaxOptionsT()
        option.beta = a["beta"]
    elif node.op == "BATCH_MATMUL":
        option = schema.BatchMatMulOptionsT()
        option.adjX, option.adjY = a["adj_x"], a["adj_y"]
    elif node.op == "L2_NORMALIZATION":
        option = schema.L2NormOptionsT()
    elif node.op == "LEAKY_RELU":
        option = schema.LeakyReluOptionsT()
        option.alpha = a["alpha"]
    elif node.op == "RESHAPE":
        option = schema.ReshapeOptionsT()
        option.newShape = list(a["shape"])
        side(a["shape"])
    elif node.op == "TRANSPOSE":
        side(a["perm"])
    elif node.op == "PAD":
        side(a["pads"], (-1, 2))
    elif node.op == "CONCATENATION":
        option = schema.ConcatenationOptionsT()
        option.axis = a["axis"]
    elif node.op == "SPLIT":
        name, option = "SPLIT_V", schema.SplitVOptionsT()
        option.numSplits = len(a["sizes"])
        side(a["sizes"])
        side(a["axis"], ())
    elif node.op == "SLICE":
        name, option = "STRIDED_SLICE", schema.StridedSliceOptionsT()
        ends = [b + n * s for b, n, s in zip(a["begin"], a["size"], a["stride"], strict=True)]
        option.endMask = sum(1 << i for i, e in enumerate(ends) if e < 0)
        side(a["begin"])
        side(ends)
        side(a["stride"])
    elif node.op in {"ARG_MAX", "ARG_MIN"}:
        option = schema.ArgMaxOptionsT() if node.op == "ARG_MAX" else schema.ArgMinOptionsT()
        option.outputType = schema.TensorType.INT32
        side(a["axis"])
    elif node.op == "BROADCAST_TO":
        side(a["shape"])
    elif node.op == "GATHER":
        option = schema.GatherOptionsT()
        option.axis = a["axis"]
    return name, option, ins, extra


def to_tflite(graph: Graph) -> bytes:
    """The graph's nodes as a TFLite file."""
    model, sub = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, "judged"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    sub.tensors, sub.operators, sub.name = [], [], "main"
    index: dict[str, int] = {}

    def place(tensor: Tensor) -> int:
        if tensor.name not in index:
            item = schema.TensorT()
            item.name, item.shape, item.type = tensor.name, list(tensor.shape), TYPES[tensor.dtype]
            item.buffer = 0
            if tensor.data is not None:
                buffer = schema.BufferT()
                data = np.ascontiguousarray(tensor.data).reshape(-1)
                if tensor.dtype == "int4":  # two a byte, the first below
                    data = np.append(data, np.zeros(data.size % 2, np.int8))
                    data = (data[1::2] << 4 | data[0::2] & 15).astype(np.int8)
                buffer.data = np.frombuffer(data.tobytes(), np.uint8)
                model.buffers.append(buffer)
                item.buffer = len(model.buffers) - 1
            if tensor.quant is not None:
                item.quantization = schema.QuantizationParametersT()
                item.quantization.scale = tensor.quant.scale
                item.quantization.zeroPoint = tensor.quant.zero_point
                item.quantization.quantizedDimension = tensor.quant.axis or 0
            index[tensor.name] = len(sub.tensors)
            sub.tensors.append(item)
        return index[tensor.name]

    for node in graph.nodes:
        name, option, ins, _ = options(graph, node)
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        operator.opcodeIndex = len(model.operatorCodes)
        model.operatorCodes.append(code)
        operator.inputs = [-1 if t is None else place(t) for t in ins]
        operator.outputs = [place(t) for t in graph.output_tensors(node)]
        if option is not None:
            operator.builtinOptions = option
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(option).__name__[:-1])
        sub.operators.append(operator)
    sub.inputs = [index[n] for n in graph.inputs]
    sub.outputs = [index[n] for n in graph.outputs]
    model.subgraphs = [sub]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run_tflm(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of the reference interpreter of TensorFlow Lite Micro."""
    interpreter = runtime.Interpreter.from_bytes(to_tflite(graph), arena_size=4 << 20)
    for i, name in enumerate(graph.inputs):
        interpreter.set_input(feeds[name], i)
    interpreter.invoke()
    return {n: np.array(interpreter.get_output(i)).reshape(graph[n].shape) for i, n in enumerate(graph.outputs)}


def feeds_for(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    """Random integers over the whole range of each input."""
    whole = {"int8": (-128, 128), "int16": (-32768, 32768), "int32": (-(1 << 20), 1 << 20), "bool": (0, 2)}
    feeds = {}
    for name in graph.inputs:
        t = graph[name]
        if t.dtype == "float32":
            feeds[name] = rng.normal(size=t.shape).astype(np.float32) * np.float32(4)
        else:
            feeds[name] = rng.integers(*whole[t.dtype], size=t.shape).astype(t.dtype)
    return feeds


def agree(graph: Graph, feeds: Mapping[str, Array], where: Array | None = None) -> None:
    """Assert that the reference and TFLM give the same bits (where `where` is true, when given)."""
    ours, theirs = reference.run(graph, feeds), run_tflm(graph, feeds)
    for name in graph.outputs:
        assert ours[name].dtype == theirs[name].dtype
        mask = np.ones(graph[name].shape, bool) if where is None else where
        np.testing.assert_array_equal(ours[name][mask], theirs[name][mask], err_msg=f"{graph.nodes[0]}")
