"""How far apart an operator's input and output must lie to share memory.

A kernel that makes its output pixel by pixel can write over input that no later pixel reads. Going forward, the output then
starts `lag` bytes before the input; going backward (last pixel first), `lag` bytes after it. Nothing is copied and the inner
loops are the same; what must be kept of the input, a row or two of a 3x3 window, sets the lag.

Contract of the kernels named in RULES: pixels in order of memory (or the reverse), at most PIXELS_TOGETHER at a time, nothing
of a group written before everything of the groups ahead of it is read; see each rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgekit.graph import DTYPE_BYTES, Array, Graph, Node, Tensor
from edgekit.ops.conv import window_of

# Pixels that a matrix kernel may compute side by side: it reads all their inputs until it has written all their outputs.
PIXELS_TOGETHER = 4
# Offsets within a buffer are multiples of this, the largest alignment a user can ask for.
OFFSET_MULTIPLE = 16
Order = Literal["any", "same", "forward", "backward"]


@dataclass(frozen=True)
class Rule:
    """orders: directions the kernel can run in. channelwise: an output pixel's channel reads that channel alone and is written
    after its last read, one pixel at a time; otherwise up to PIXELS_TOGETHER whole pixels."""

    orders: tuple[Order, ...]
    channelwise: bool


RULES: dict[str, Rule] = {
    "conv_1x1_s8": Rule(("backward", "forward"), False),
    "conv_s8": Rule(("forward",), False),
    "depthwise_s8": Rule(("forward",), True),
}


def lags(graph: Graph, node: Node, kernel: str) -> list[tuple[Order, int]]:
    """(order, least distance in bytes) of each way in which this node's output may overlap its first input."""
    rule = RULES.get(kernel)
    if rule is None:
        return []
    x, w, y = graph[node.inputs[0] or ""], graph[node.inputs[1] or ""], graph[node.outputs[0]]
    if node.op == "CONV_2D" and w.shape[3] != x.shape[3]:
        return []  # group after group, each over the whole image
    ahead = 1 if rule.channelwise else PIXELS_TOGETHER
    first, last = reads(node, x, w, y)
    pixels = len(first)
    if not pixels:
        return []
    size, wide = (t.shape[3] * DTYPE_BYTES[t.dtype] for t in (x, y))
    place = np.arange(pixels)
    found: list[tuple[Order, int]] = []
    if "forward" in rule.orders:
        needed = np.minimum.accumulate(first[::-1])[::-1][np.maximum(place - ahead + 1, 0)]
        end = place if rule.channelwise else place + 1
        found.append(("forward", _rounded(int((end * wide - needed * size).max()))))
    if "backward" in rule.orders:
        needed = np.maximum.accumulate(last)[np.minimum(place + ahead - 1, pixels - 1)] + 1
        found.append(("backward", _rounded(int((needed * size - place * wide).max()))))
    return sorted(found, key=lambda pair: rule.orders.index(pair[0]))


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


def _rounded(lag: int) -> int:
    return max(0, -(-lag // OFFSET_MULTIPLE) * OFFSET_MULTIPLE)
