"""Weights of 4 bits for TensorFlow Lite Micro, whose dense layers take one scale, its convolutions one a channel."""

from __future__ import annotations

from edgekit.graph import Node
from edgekit.passes.draft import Draft


def dense_by_channel(draft: Draft, node: Node) -> bool:
    """A dense layer with int4 weights and several scales as a 1x1 convolution over its rows: the same sums, rescaled alike."""
    w = draft[node.inputs[1]] if node.op == "FULLY_CONNECTED" else None
    if w is None or w.data is None or w.dtype != "int4" or w.quant is None or w.quant.scale.size == 1:
        return False
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    outs, ins = w.shape
    rows = x.elements // ins
    batch = x.shape[0] if x.shape and rows % max(x.shape[0], 1) == 0 else 1
    image = (batch, 1, rows // max(batch, 1), ins)
    name = draft.fresh(f"{x.name}_pixels")
    draft.drop(node)
    draft.emit("RESHAPE", [x.name], {"shape": image}, node, [name], [x.quant])
    kernel = draft.const(f"{w.name}_1x1", w.data.reshape(outs, 1, 1, ins), w.quant, "int4")
    made = draft.fresh(f"{y.name}_pixels")
    attrs = {"activation": node.attrs.get("activation", "NONE")}
    draft.emit("CONV_2D", [name, kernel, *node.inputs[2:]], attrs, node, [made], [y.quant])
    draft.emit("RESHAPE", [made], {"shape": y.shape}, node, [y.name], [y.quant])
    return True
