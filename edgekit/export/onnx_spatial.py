"""How the operators of `ops.spatial` and `ops.resize` are written in ONNX, opset 17."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.onnx import NCHW, TO_NCHW, Writer
from edgekit.graph import Array, Node
from edgekit.ops import attr, op_of
from edgekit.ops.spatial import spread_of


def _get(node: Node, name: str) -> Any:
    return attr(node, op_of(node), name)


def ungrouped(w: Array, groups: int) -> Array:
    """w[O, kh, kw, C / groups] as [O, kh, kw, C], with zeros for the inputs of other groups."""
    o, kh, kw, each = w.shape
    whole = np.zeros((groups, o // groups, kh, kw, groups, each), w.dtype)
    for g in range(groups):
        whole[g, :, :, :, g] = w.reshape(groups, o // groups, kh, kw, each)[g]
    return whole.reshape(o, kh, kw, groups * each)


def transpose_conv(w: Writer, node: Node) -> None:
    """ConvTranspose. Scales a channel lie along one axis of weights, which a group's outputs are not: zeros fill those."""
    x, y, t = (w.graph[str(n)] for n in (node.inputs[0], node.outputs[0], node.inputs[1]))
    if t.data is None:
        raise Unsupported("writing ONNX", [(node.source, "its weights are not constant", "make them initializers")])
    data, groups = t.data, x.shape[3] // t.shape[3]
    if groups > 1 and t.quant is not None and t.quant.scale.size > 1:
        data, groups = ungrouped(data, groups), 1
    o, kh, kw, each = data.shape
    moved = data.reshape(groups, o // groups, kh, kw, each).transpose(0, 4, 1, 2, 3).reshape(-1, o // groups, kh, kw)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    b = w.graph[bias] if bias is not None else None
    names = [w.real(x.name, NCHW), w.constant(t.name, np.ascontiguousarray(moved), "iohw", axis=1)]
    if b is not None:
        names.append(w.real(b.name) if b.data is None else w.constant(b.name, b.data, "bias", axis=0))
    g = spread_of(node, t.shape)
    top, bottom, left, right = g.pad
    w.put(
        y, NCHW, "ConvTranspose", names, _get(node, "activation"), kernel_shape=list(g.kernel), strides=list(g.stride),
        dilations=list(g.dilation), pads=[top, left, bottom, right], output_padding=list(g.output_padding), group=groups,
    )  # fmt: skip


def resize(w: Writer, node: Node) -> None:
    """RESIZE_NEAREST_NEIGHBOR's rounding is up from the half with half pixels and aligned corners, else down."""
    x, y = w.graph[str(node.inputs[0])], w.graph[node.outputs[0]]
    align, half = bool(_get(node, "align_corners")), bool(_get(node, "half_pixel_centers"))
    transform = "align_corners" if align else "half_pixel" if half else "asymmetric"
    attrs: dict[str, Any] = {"mode": "linear"}
    if node.op == "RESIZE_NEAREST_NEIGHBOR":
        attrs = {"mode": "nearest", "nearest_mode": "round_prefer_ceil" if align or half else "floor"}
    sizes = w.ints([y.shape[a] for a in TO_NCHW], f"{y.name}/sizes")
    inputs = [w.real(x.name, NCHW), "", "", sizes]
    w.put(y, NCHW, "Resize", inputs, coordinate_transformation_mode=transform, **attrs)


def depth_to_space(w: Writer, node: Node) -> None:
    op = "DepthToSpace" if node.op == "DEPTH_TO_SPACE" else "SpaceToDepth"
    attrs: dict[str, Any] = {"mode": "DCR"} if node.op == "DEPTH_TO_SPACE" else {}
    w.put(w.graph[node.outputs[0]], NCHW, op, [w.real(str(node.inputs[0]), NCHW)], blocksize=int(_get(node, "block")), **attrs)


WRITERS: dict[str, Callable[[Writer, Node], None]] = {
    "TRANSPOSE_CONV": transpose_conv,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "RESIZE_BILINEAR": resize,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": depth_to_space,
}
