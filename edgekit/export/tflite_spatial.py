"""How the operators of `ops.spatial` and `ops.resize` are written in TFLite."""

from __future__ import annotations

from edgekit.export.tflite_ops import LEGALIZE, SAME, VALID, Refused, Rule, Written, fused, get, ints, options
from edgekit.graph import Graph, Node
from edgekit.ops.spatial import spread_of
from edgekit.passes.legalize.transposed import padding_of


def transpose_conv(graph: Graph, node: Node) -> Written:
    x, w, y = graph[str(node.inputs[0])], graph[str(node.inputs[1])], graph[node.outputs[0]]
    kind = padding_of(spread_of(node, w.shape), x.shape, y.shape)
    if kind is None or w.shape[3] != x.shape[3] or tuple(get(node, "dilation")) != (1, 1):
        raise Refused("TFLite crops as SAME or not at all, and has neither groups nor dilation", LEGALIZE)
    stride = get(node, "stride")
    made = options(
        "TransposeConvOptions",
        padding=SAME if kind == "SAME" else VALID,
        strideH=stride[0],
        strideW=stride[1],
        fusedActivationFunction=fused(node),
    )
    bias = [node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] is not None else []
    attrs = {"bias": bool(bias), "activation": get(node, "activation")}
    return Written("TRANSPOSE_CONV", (ints("size", y.shape), w.name, x.name, *bias), made, attrs)


def resize(graph: Graph, node: Node) -> Written:
    align, half = bool(get(node, "align_corners")), bool(get(node, "half_pixel_centers"))
    kind = "ResizeBilinearOptions" if node.op == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    made = options(kind, alignCorners=align, halfPixelCenters=half)
    return Written(node.op, (node.inputs[0], ints("size", get(node, "size"))), made, {"align": align, "half": half})


def depth_to_space(graph: Graph, node: Node) -> Written:
    kind = "DepthToSpaceOptions" if node.op == "DEPTH_TO_SPACE" else "SpaceToDepthOptions"
    return Written(node.op, node.inputs, options(kind, blockSize=int(get(node, "block"))))


RULES: dict[str, Rule] = {
    "TRANSPOSE_CONV": transpose_conv,
    "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": depth_to_space,
}
