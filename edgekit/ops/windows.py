"""Sliding windows over NHWC arrays: what convolutions and pools share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.graph import Array, Node, Shape
from edgekit.ops.op import fail

CHUNK_ELEMENTS = 1 << 22  # most elements of unfolded patches held at once


def output_size(
    node: Node,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pad: tuple[int, int, int, int],
) -> tuple[int, int]:
    """(OH, OW) of a window of `kernel` over (H, W) = size; pad = (top, bottom, left, right). Raises BadModel when empty."""
    out = []
    for axis in (0, 1):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        room = size[axis] + pad[2 * axis] + pad[2 * axis + 1] - reach
        if room < 0:
            fail(node, f"a window of {reach} does not fit a padded {'height' if axis == 0 else 'width'} of {room + reach}")
        out.append(room // stride[axis] + 1)
    return out[0], out[1]


def padded(x: Array, pad: tuple[int, int, int, int], value: float) -> Array:
    """x[N,H,W,C] with rows and columns of `value` around it; pad = (top, bottom, left, right)."""
    if not any(pad):
        return x
    top, bottom, left, right = pad
    n, h, w, c = x.shape
    out = np.full((n, h + top + bottom, w + left + right, c), value, x.dtype)
    out[:, top : top + h, left : left + w] = x
    return out


def taps(
    x: Array, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], out: tuple[int, int]
) -> Iterator[tuple[int, int, Array]]:
    """(row, column, view [N,OH,OW,C]) of every place in the window, over x already padded."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            yield (
                i,
                j,
                x[
                    :,
                    top : top + (out[0] - 1) * stride[0] + 1 : stride[0],
                    left : left + (out[1] - 1) * stride[1] + 1 : stride[1],
                ],
            )


def patches(x: Array, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], out: Shape) -> Array:
    """A view [N,OH,OW,kh,kw,C] of x[N,H,W,C], already padded."""
    n, _, _, c = x.shape
    sn, sh, sw, sc = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (n, out[0], out[1], kernel[0], kernel[1], c),
        (sn, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1], sc),
        writeable=False,
    )
