"""ConvTranspose, DepthToSpace and SpaceToDepth, as NHWC operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.graph import Array
from edgekit.load.onnx import volume
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler
from edgekit.load.onnx.spatial import pair, weights_of


def conv_transpose(b: Builder, c: Call) -> list[str]:
    if volume.is_volume(b, c.needed(0)):
        return volume.conv_transpose(b, c)
    rank, weight = weights_of(b, c)
    x, w, bias = c.needed(0), c.needed(1), c.input(2)
    kernel = pair(weight.shape[2:], rank)
    stride, dilation = pair(c.get("strides"), rank), pair(c.get("dilations"), rank)
    data = b.to_spatial(b.tensor(x))
    size, channels, groups = b.tensors[data].shape[1:3], b.tensors[data].shape[3], int(c.get("group", 1))
    if groups < 1 or weight.shape[0] != channels or channels % groups:
        raise ValueError(f"weight {list(weight.shape)} with group={groups} does not fit {channels} channels")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pad, extra = cropped(c, rank, size, reach, stride)

    def arrange(a: Array) -> Array:
        """[C, O / groups, kh, kw] as [O, kh, kw, C / groups]."""
        full = a.reshape(groups, channels // groups, a.shape[1], *kernel)
        return full.transpose(0, 2, 3, 4, 1).reshape(groups * a.shape[1], *kernel, channels // groups)

    inputs = [data, b.weight(w, f"TRANSPOSE_CONV/{groups}", arrange), None if bias is None else b.weight(bias, "", lambda a: a)]
    attrs = {"stride": stride, "dilation": dilation, "pad": pad, "output_padding": extra}
    return [b.from_spatial(b.one("TRANSPOSE_CONV", inputs, **attrs), rank)]


def cropped(
    c: Call, rank: int, size: Sequence[int], reach: Sequence[int], stride: Sequence[int]
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """(pad, output_padding) of TRANSPOSE_CONV, from pads, output_shape or auto_pad."""
    auto, given = c.get("auto_pad", "NOTSET"), c.get("output_shape")
    extra = list(pair(c.get("output_padding"), rank, default=0))
    same = auto in ("SAME_UPPER", "SAME_LOWER")
    if given is None and not same:
        flat = [int(v) for v in c.get("pads", [0] * (2 * rank - 4))] if auto == "NOTSET" else [0] * (2 * rank - 4)
        if len(flat) != 2 * rank - 4:
            raise ValueError(f"pads {flat} do not fit rank {rank}")
        if min(flat) < 0:
            raise Cannot("it has negative padding", "pad its output instead")
        pads = [0, 0, *flat] if rank == 3 else [flat[0], flat[2], flat[1], flat[3]]
    else:
        # A list of all axes, or of the spatial ones.
        wanted = (
            pair(given[-(rank - 2) :], rank) if given is not None else tuple(n * s for n, s in zip(size, stride, strict=True))
        )
        pads = []
        for axis in (0, 1):
            total = stride[axis] * (size[axis] - 1) + extra[axis] + reach[axis] - wanted[axis]
            if rank == 3 and axis == 0:
                total = 0
            if total < 0:
                extra[axis] -= total
                total = 0
            small = total // 2
            pads += [small, total - small] if auto == "SAME_UPPER" else [total - small, small]
    return (pads[0], pads[1], pads[2], pads[3]), (extra[0], extra[1])


def depth_to_space(b: Builder, c: Call) -> list[str]:
    """DCR is the Graph's own order of channels; CRD (nn.PixelShuffle) has the block's place last: a GATHER puts it first."""
    x, block = c.needed(0), int(c.attrs["blocksize"])
    if len(b.shape(x)) != 4:
        raise ValueError(f"an input of rank {len(b.shape(x))}")
    data = b.to_spatial(b.tensor(x))
    channels = b.tensors[data].shape[3]
    if not block_first(c):
        data = _reordered(b, data, np.arange(channels).reshape(-1, block * block).T)
    return [b.from_spatial(b.one("DEPTH_TO_SPACE", [data], block=block), 4)]


def space_to_depth(b: Builder, c: Call) -> list[str]:
    x = c.needed(0)
    if len(b.shape(x)) != 4:
        raise ValueError(f"an input of rank {len(b.shape(x))}")
    block = int(c.attrs["blocksize"])
    y = b.one("SPACE_TO_DEPTH", [b.to_spatial(b.tensor(x))], block=block)
    if not block_first(c):
        y = _reordered(b, y, np.arange(b.tensors[y].shape[3]).reshape(block * block, -1).T)
    return [b.from_spatial(y, 4)]


def block_first(c: Call) -> bool:
    """True for DCR: a channel's number is (row * block + column) * C + c; False for CRD: (c * block + row) * block + column."""
    mode = c.get("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise ValueError(f"mode {mode}")
    return bool(mode == "DCR")


def _reordered(b: Builder, x: str, order: Array) -> str:
    ids = b.constant(np.ascontiguousarray(order.reshape(-1)).astype(np.int32), "channels")
    return b.one("GATHER", [x, ids], axis=3)


HANDLERS: dict[str, Handler] = {
    "ConvTranspose": conv_transpose,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
