"""How far apart an operator's input and output must lie to share memory.

A kernel that makes its output pixel by pixel can write over input that no later pixel reads. Going forward, the output then
starts `lag` bytes before the input; going backward (last pixel first), `lag` bytes after it. Nothing is copied and the inner
loops are the same; what must be kept of the input, a row or two of a 3x3 window, sets the lag.

The kernels named in RULES keep to their rule; a kernel that makes its outputs in another order must not be listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgekit.graph import DTYPE_BYTES, Array, Graph, Node, Tensor
from edgekit.ops import TABLE, attr
from edgekit.ops.conv import window_of
from edgekit.ops.resize import lines

# Pixels that a "group" may have: so many at most are computed side by side.
PIXELS_TOGETHER = 4
# Offsets within a buffer are multiples of this, the largest alignment a user can ask for.
OFFSET_MULTIPLE = 16
Order = Literal["any", "same", "forward", "backward"]


@dataclass(frozen=True)
class Rule:
    """orders: directions the kernel can run in. unit: what it reads before it writes.

    "group": up to PIXELS_TOGETHER pixels side by side; their inputs are read until all their outputs are written.
    "buffered": the inputs of some pixels are copied to scratch before the first of their outputs is written.
    "channel": one pixel at a time; a channel's output is written after its own inputs are read, later channels' are not yet.
    "plane": one channel at a time, line by line; a line is written after all its input lines are read, each read once.
    """

    orders: tuple[Order, ...]
    unit: Literal["group", "buffered", "channel", "plane"]


RULES: dict[str, Rule] = {
    "conv_1x1_s8": Rule(("backward", "forward"), "group"),
    "conv_s8": Rule(("forward",), "buffered"),
    "depthwise_s8": Rule(("forward",), "channel"),
    "conv_1x1_dsp_s8": Rule(("backward", "forward"), "buffered"),
    "conv_dsp_s8": Rule(("forward",), "buffered"),
    "depthwise_dsp_s8": Rule(("same",), "plane"),
    "conv_1x1_mve_s8": Rule(("backward", "forward"), "group"),
    "conv_mve_s8": Rule(("forward",), "buffered"),
    "depthwise_mve_s8": Rule(("same",), "plane"),
    **dict.fromkeys(("conv_s4", "conv_dsp_s4"), Rule(("forward",), "buffered")),
    "conv_1x1_s4": Rule(("backward", "forward"), "group"),
    "conv_1x1_dsp_s4": Rule(("backward", "forward"), "buffered"),
    "depthwise_s4": Rule(("forward",), "channel"),
    **dict.fromkeys(("depthwise_dsp_s4", "depthwise_mve_s4"), Rule(("same",), "plane")),
    **dict.fromkeys(("conv_1x1_s16", "conv_1x1_dsp_s16"), Rule(("backward", "forward"), "group")),
    **dict.fromkeys(("conv_s16", "conv_dsp_s16"), Rule(("forward",), "buffered")),
    **dict.fromkeys(("depthwise_s16", "depthwise_dsp_s16"), Rule(("forward",), "channel")),
    **dict.fromkeys(("conv_f32", "depthwise_f32"), Rule(("forward",), "group")),
}


# A channel's plane at a time, its output's lines written after its own are read.
BY_PLANE = frozenset({"depthwise_dsp_s8", "depthwise_dsp_s4"})
# Pixel by pixel, in either direction.
RESIZES = frozenset({"RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"})


def shrinks(graph: Graph, node: Node) -> bool:
    """True when no line of a 3x3 depthwise output reaches past the input lines it and its predecessors have read."""
    x, y = graph[node.inputs[0] or ""], graph[node.outputs[0]]
    pad = attr(node, TABLE[node.op], "pad")
    return x.shape[0] == 1 and max(pad) <= 2 and y.shape[1] <= x.shape[1] and y.shape[2] <= x.shape[2]


def lags(graph: Graph, node: Node, kernel: str) -> list[tuple[Order, int]]:
    """(order, least distance in bytes) of each way in which this node's output may overlap its first input, nearest first."""
    if node.op in RESIZES:
        return resized(graph, node)
    rule = RULES.get(kernel)
    if kernel in BY_PLANE:
        return [("same", 0)] if shrinks(graph, node) else []
    if rule is None:
        return []
    x, w, y = graph[node.inputs[0] or ""], graph[node.inputs[1] or ""], graph[node.outputs[0]]
    if node.op == "CONV_2D" and w.shape[3] != x.shape[3]:
        return []  # group after group, each over the whole image
    if not x.elements or not y.elements:
        return []
    found: list[tuple[Order, int]] = []
    if "same" in rule.orders and _plane_fits(node, x, w, y):
        found.append(("same", 0))
    first, last = reads(node, x, w, y)
    size, wide = (t.shape[3] * DTYPE_BYTES[t.dtype] for t in (x, y))
    place = np.arange(len(first))
    ahead = {"group": PIXELS_TOGETHER, "channel": 1}.get(rule.unit, 0)
    if "backward" in rule.orders:
        # One more than the last input pixel that is still to be read while an output pixel is written.
        needed = np.append(0, np.maximum.accumulate(last) + 1)[np.minimum(place + ahead, len(last))]
        found.append(("backward", _rounded(int((needed * size - place * wide).max()))))
    if "forward" in rule.orders:
        # The first input pixel that is still to be read while an output pixel is written; after the last, none is.
        needed = np.append(np.minimum.accumulate(first[::-1])[::-1], len(place) * wide + x.elements)
        needed = needed[np.maximum(place - ahead + 1, 0)]
        end = place if rule.unit == "channel" else place + 1
        found.append(("forward", _rounded(int((end * wide - needed * size).max()))))
    return sorted(found, key=lambda way: way[1])


def _plane_fits(node: Node, x: Tensor, w: Tensor, y: Tensor) -> bool:
    """True when no line of an output that starts where its input does reaches an input line that is still to be read."""
    win = window_of(node, w.shape)
    (n, rows, columns, _), (_, lines, width, _) = x.shape, y.shape
    done = np.arange(lines) * win.stride[0] - win.pad[0] + (win.kernel[0] - 1) * win.dilation[0] + 1
    fits = (np.arange(lines) + 1) * width <= np.where(done < rows, done * columns, rows * columns * n)
    return bool(fits.all()) and (n == 1 or lines * width <= rows * columns)


def reads(node: Node, x: Tensor, w: Tensor, y: Tensor) -> tuple[Array, Array]:
    """(first, last) input pixel that each output pixel reads, int64[N * OH * OW], as places in memory order."""
    win = window_of(node, w.shape)
    n, height, width, _ = x.shape
    edges = []
    for reach in (0, 1):
        axes = []
        for axis, (count, limit) in enumerate(((y.shape[1], height), (y.shape[2], width))):
            at = np.arange(count) * win.stride[axis] - win.pad[2 * axis] + reach * (win.kernel[axis] - 1) * win.dilation[axis]
            axes.append(np.clip(at, 0, limit - 1))
        image = axes[0][:, None] * width + axes[1][None, :]
        edges.append((np.arange(n)[:, None, None] * height * width + image).reshape(-1))
    return edges[0], edges[1]


def resized(graph: Graph, node: Node) -> list[tuple[Order, int]]:
    """The same of a resize, which makes one pixel after the other in either direction.

    A nearest pixel is copied in the direction of the whole, so that it may overlap its own source.
    """
    x, y = graph[node.inputs[0] or ""], graph[node.outputs[0]]
    if not x.elements or not y.elements:
        return []
    (n, height, width, _), size = x.shape, x.shape[3] * DTYPE_BYTES[x.dtype]
    image = np.arange(n)[:, None, None] * height * width
    rows, columns = lines(node, x.shape, y.shape)
    first, last = ((image + r[:, None] * width + c[None, :]).reshape(-1) for r, c in zip(rows, columns, strict=True))
    place = np.arange(len(first))
    highest, lowest = np.maximum.accumulate(last) + 1, np.minimum.accumulate(first[::-1])[::-1]
    if node.op == "RESIZE_NEAREST_NEIGHBOR":
        highest = np.maximum(np.append(0, highest[:-1]), first)
        lowest = np.minimum(np.append(lowest[1:], place[-1] + 1 + n * height * width), first + 1)
    back, ahead = int((highest - place).max()) * size, int((place + 1 - lowest).max()) * size
    found: list[tuple[Order, int]] = [("backward", _rounded(back)), ("forward", _rounded(ahead))]
    return sorted(found, key=lambda way: way[1])


def _rounded(lag: int) -> int:
    return max(0, -(-lag // OFFSET_MULTIPLE) * OFFSET_MULTIPLE)
