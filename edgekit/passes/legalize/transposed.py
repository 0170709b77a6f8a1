"""TRANSPOSE_CONV for TensorFlow Lite, which crops as SAME or not at all and has neither groups nor dilation."""

from __future__ import annotations

import math

import numpy as np

from edgekit.graph import Array, Graph, Node, Quant, Shape
from edgekit.ops.spatial import Spread, spread_of
from edgekit.passes.draft import Draft

MOST_PARTS = 8  # groups beyond which one convolution with zeros is tidier than a convolution a group


def padding_of(g: Spread, x: Shape, y: Shape) -> str | None:
    """ "SAME" or "VALID", when that is how TFLite crops for this output; None otherwise.

    The convolution from y to x fixes the crop: SAME has rows = ceil(out / stride), VALID rows = (out - kernel) // stride + 1.
    """
    if all(x[1 + i] == math.ceil(y[1 + i] / g.stride[i]) and _same_top(g, x, y, i) == g.pad[2 * i] for i in (0, 1)):
        return "SAME"
    valid = all(y[1 + i] >= g.kernel[i] and x[1 + i] == (y[1 + i] - g.kernel[i]) // g.stride[i] + 1 for i in (0, 1))
    return "VALID" if valid and g.pad[0] == g.pad[2] == 0 else None


def _same_top(g: Spread, x: Shape, y: Shape, axis: int) -> int:
    return max((x[1 + axis] - 1) * g.stride[axis] + g.kernel[axis] - y[1 + axis], 0) // 2


def refused(graph: Graph, node: Node) -> bool:
    """True for a TRANSPOSE_CONV that TFLite cannot spell as it stands."""
    if node.op != "TRANSPOSE_CONV":
        return False
    x, w, y = graph[str(node.inputs[0])], graph[str(node.inputs[1])], graph[node.outputs[0]]
    g = spread_of(node, w.shape)
    return g.dilation != (1, 1) or w.shape[3] != x.shape[3] or padding_of(g, x.shape, y.shape) is None


def transpose_conv(draft: Draft, node: Node) -> bool:
    """Dilation by weights with zeros between, groups one by one (or by zeros), cropping by SLICE. All are exact."""
    if node.op != "TRANSPOSE_CONV" or not draft.is_const(node.inputs[1]):
        return False
    w = draft[node.inputs[1]]
    g = spread_of(node, w.shape)
    if g.dilation != (1, 1):
        name = draft.const(f"{w.name}_dilated", with_zeros(draft.data(w.name), g.dilation), w.quant, w.dtype)
        attrs = {k: v for k, v in node.attrs.items() if k != "dilation"}
        draft.change(node, inputs=(node.inputs[0], name, *node.inputs[2:]), attrs=attrs)
        return True
    x, y = draft[node.inputs[0]], draft[node.outputs[0]]
    if w.shape[3] != x.shape[3]:
        _split_groups(draft, node)
        return True
    if padding_of(g, x.shape, y.shape) is None:
        return _crop(draft, node, g)
    return False


def with_zeros(w: Array, dilation: tuple[int, int]) -> Array:
    """w[O, kh, kw, I] with dilation - 1 rows and columns of zeros between its own."""
    o, kh, kw, i = w.shape
    wide = np.zeros((o, (kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1, i), w.dtype)
    wide[:, :: dilation[0], :: dilation[1]] = w
    return wide


def _split_groups(draft: Draft, node: Node) -> None:
    x, w, y = draft[node.inputs[0]], draft[node.inputs[1]], draft[node.outputs[0]]
    data = draft.data(w.name)
    groups, each, outs = x.shape[3] // w.shape[3], w.shape[3], w.shape[0]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if groups > MOST_PARTS or (bias is not None and not draft.is_const(bias)):
        whole = np.zeros((groups, outs // groups, *w.shape[1:3], groups, each), data.dtype)
        for group, part in enumerate(data.reshape(groups, outs // groups, *w.shape[1:])):
            whole[group, :, :, :, group] = part
        name = draft.const(f"{w.name}_spread", whole.reshape(outs, *w.shape[1:3], -1), w.quant, w.dtype)
        draft.change(node, inputs=(x.name, name, *node.inputs[2:]))
        return
    pieces = [draft.fresh(f"{x.name}_group") for _ in range(1)]
    pieces += [draft.fresh(f"{x.name}_group_{i}") for i in range(1, groups)]
    draft.emit("SPLIT", (x.name,), {"axis": 3, "sizes": (each,) * groups}, node, pieces, [x.quant] * groups)
    draft.drop(node)
    made: list[str] = []
    for group, piece in enumerate(pieces):
        rows = slice(group * (outs // groups), (group + 1) * (outs // groups))
        inputs: list[str | None] = [piece, draft.const(f"{w.name}_group", data[rows], _part(w.quant, rows), w.dtype)]
        if bias is not None:
            b = draft[bias]
            inputs.append(draft.const(f"{bias}_group", draft.data(bias)[rows], _part(b.quant, rows), b.dtype))
        out = draft.fresh(f"{y.name}_group")
        made.append(draft.emit("TRANSPOSE_CONV", inputs, node.attrs, node, (out,), [y.quant]).outputs[0])
    draft.emit("CONCATENATION", made, {"axis": 3}, node, node.outputs, [y.quant])


def _part(quant: Quant | None, rows: slice) -> Quant | None:
    """The Quant of some output channels."""
    if quant is None or quant.scale.size == 1:
        return quant
    return Quant(quant.scale[rows], quant.zero_point[rows], quant.axis, quant.block, quant.dtype)


def _crop(draft: Draft, node: Node, g: Spread) -> bool:
    """All that is reached, of which a SLICE takes what was asked for."""
    y = draft[node.outputs[0]]
    x = draft[node.inputs[0]].shape
    # Rows of the bias alone may follow what is reached; fewer of them than the stride fit VALID.
    extra = [max(g.pad[2 * i] + y.shape[1 + i] - g.full(i, x[1 + i]), 0) for i in (0, 1)]
    if any(extra[i] >= g.stride[i] for i in (0, 1)):
        return False
    name = draft.fresh(f"{y.name}_whole")
    attrs = {**node.attrs, "pad": (0, 0, 0, 0), "output_padding": tuple(extra)}
    draft.drop(node)
    draft.emit("TRANSPOSE_CONV", node.inputs, attrs, node, (name,), [y.quant])
    cut = {"begin": (0, g.pad[0], g.pad[2], 0), "size": y.shape, "stride": (1, 1, 1, 1)}
    draft.emit("SLICE", (name,), cut, node, node.outputs, [y.quant])
    return True
