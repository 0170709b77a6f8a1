"""Windows for engines that pad as SAME or VALID only (TFLite): other padding becomes a node of its own."""

from __future__ import annotations

import math

import numpy as np

from edgekit.graph import Array, Graph, Node, Shape
from edgekit.passes.draft import Draft

WINDOWED = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"}
NOT_NEGATIVE = {"RELU", "RELU6", "LOGISTIC", "HARD_SIGMOID", "SOFTMAX"}

Pair = tuple[int, int]


def same_padding(size: int, reach: int, stride: int) -> Pair:
    """TFLite's SAME padding of one axis for a window that reaches over `reach` values: (before, after)."""
    total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def window_reach(node: Node, weights: Shape) -> Pair:
    """Rows and columns a window spans, dilation included."""
    if node.op in {"AVERAGE_POOL_2D", "MAX_POOL_2D"}:
        kernel, dilation = node.attrs["filter"], (1, 1)
    else:
        kernel, dilation = weights[1:3], node.attrs.get("dilation", (1, 1))
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def needed(node: Node, x: Shape, y: Shape, reach: Pair) -> tuple[int, int, int, int]:
    """The padding the windows really read: what is asked after the last row or column may lie beyond the last window."""
    top, _, left, _ = node.attrs.get("pad", (0, 0, 0, 0))
    stride = node.attrs.get("stride", (1, 1))
    after = [max(0, (y[1 + i] - 1) * stride[i] + reach[i] - x[1 + i] - before) for i, before in enumerate((top, left))]
    return int(top), int(after[0]), int(left), int(after[1])


def spelled(node: Node, x: Shape, y: Shape, pad: tuple[int, int, int, int], reach: Pair) -> bool:
    """True when `pad` is VALID or SAME on both axes."""
    stride = node.attrs.get("stride", (1, 1))
    sides = [same_padding(x[1 + i], reach[i], stride[i]) for i in range(2)]
    sizes = all(y[1 + i] == math.ceil(x[1 + i] / stride[i]) for i in range(2))
    return not any(pad) or (sizes and pad == (*sides[0], *sides[1]))


def refused(graph: Graph, node: Node) -> bool:
    """True for a windowed node whose padding is neither SAME nor VALID as it stands."""
    if node.op not in WINDOWED:
        return False
    x, y = graph[str(node.inputs[0])].shape, graph[node.outputs[0]].shape
    reach = window_reach(node, graph[str(node.inputs[1])].shape if len(node.inputs) > 1 else ())
    return not spelled(node, x, y, tuple(node.attrs.get("pad", (0, 0, 0, 0))), reach)


def same_or_valid(draft: Draft, node: Node) -> bool:
    """Padding becomes SAME or VALID, exactly: where it cannot, the values are padded first."""
    if node.op not in WINDOWED:
        return False
    x, y = draft[node.inputs[0]].shape, draft[node.outputs[0]].shape
    reach = window_reach(node, draft[node.inputs[1]].shape if len(node.inputs) > 1 else ())
    asked = tuple(node.attrs.get("pad", (0, 0, 0, 0)))
    pad = needed(node, x, y, reach)
    if spelled(node, x, y, pad, reach):
        if pad == asked:
            return False
        draft.change(node, attrs={**node.attrs, "pad": pad})
        return True
    if node.op == "AVERAGE_POOL_2D":
        return _average(draft, node, pad)
    if node.op == "MAX_POOL_2D" and not _clamped_at_zero(draft, node):
        _repeat_edges(draft, node, pad)
        return True
    padded = _zeros(draft, node, pad)
    draft.change(node, inputs=(padded, *node.inputs[1:]), attrs={**node.attrs, "pad": (0, 0, 0, 0)})
    return True


def _zeros(draft: Draft, node: Node, pad: tuple[int, int, int, int]) -> str:
    """The node's input with rows and columns of 0 (the zero point, quantized) around it."""
    x = draft[node.inputs[0]]
    pads = ((0, 0), pad[:2], pad[2:], (0, 0))
    return draft.emit("PAD", (x.name,), {"pads": pads}, node, (draft.fresh(f"{x.name}_pad"),), [x.quant]).outputs[0]


def _clamped_at_zero(draft: Draft, node: Node) -> bool:
    """True when 0 can stand for "nothing" in a maximum: no input is below 0, or the result is clamped there."""
    maker = draft.maker(node.inputs[0])
    while maker is not None and maker.op in {"MAX_POOL_2D", "RESHAPE", "TRANSPOSE", "SLICE", "SPLIT"}:
        if maker.attrs.get("activation") in {"RELU", "RELU6"}:
            return True
        maker = draft.maker(maker.inputs[0])
    ends = {"RELU", "RELU6"}
    made = maker is not None and (maker.op in NOT_NEGATIVE or maker.attrs.get("activation") in ends)
    return made or node.attrs.get("activation") in ends


def _repeat_edges(draft: Draft, node: Node, pad: tuple[int, int, int, int]) -> None:
    """Pad a maximum by repeating the outermost rows and columns: every window that reads one reads its original too."""
    name = node.inputs[0]
    for axis, (before, after) in ((1, pad[:2]), (2, pad[2:])):
        if before or after:
            size, quant = draft[name].shape[axis], draft[name].quant
            rows = draft.const(
                f"{node.outputs[0]}_rows", np.clip(np.arange(-before, size + after), 0, size - 1).astype(np.int32)
            )
            out = draft.fresh(f"{name}_edge")
            name = draft.emit("GATHER", (name, rows), {"axis": axis}, node, (out,), [quant]).outputs[0]
    draft.change(node, inputs=(name,), attrs={**node.attrs, "pad": (0, 0, 0, 0)})


def _average(draft: Draft, node: Node, pad: tuple[int, int, int, int]) -> bool:
    """Average over padding too, then MUL by what that made too small. Float only: integers would round twice."""
    if not draft.is_float(node):
        return False
    x, y = draft[node.inputs[0]].shape, draft[node.outputs[0]].shape
    rows, columns = (_counts(node, x, y, pad, i) for i in range(2))
    whole = int(node.attrs["filter"][0]) * int(node.attrs["filter"][1])
    factor = (whole / (rows[:, None] * columns[None, :])).astype(np.float32).reshape(1, y[1], y[2], 1)
    padded = _zeros(draft, node, pad)
    pooled = draft.fresh(f"{node.outputs[0]}_sum")
    attrs = {"filter": node.attrs["filter"], "stride": node.attrs.get("stride", (1, 1))}
    activation = {"activation": node.attrs.get("activation", "NONE")}
    draft.drop(node)
    draft.emit("AVERAGE_POOL_2D", (padded,), attrs, node, (pooled,))
    draft.emit("MUL", (pooled, draft.const(f"{node.outputs[0]}_factor", factor)), activation, node, node.outputs)
    return True


def _counts(node: Node, x: Shape, y: Shape, pad: tuple[int, int, int, int], axis: int) -> Array:
    """How many rows (axis 0) or columns (1) of the input each window holds."""
    start = np.arange(y[1 + axis]) * int(node.attrs.get("stride", (1, 1))[axis]) - pad[2 * axis]
    end = np.minimum(start + int(node.attrs["filter"][axis]), x[1 + axis])
    counts: Array = end - np.maximum(start, 0)
    return counts
