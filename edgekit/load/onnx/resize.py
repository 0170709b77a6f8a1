"""Resize and Upsample. What TensorFlow Lite's two operators mean exactly becomes one of them; any other nearest resize a GATHER
an axis, any other linear or cubic one a product with a constant matrix an axis (ONNX operators, "Resize")."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from edgekit.graph import Array, Shape
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler, axis_of
from edgekit.load.onnx.move import take
from edgekit.ops.resize import between, nearest

LARGEST_P = 8  # of LpPool: its powers are products
LARGEST_MATRIX = 1 << 18  # elements; beyond it a resize is no constant to carry along
CLOSE = 1e-5  # shares this near are the same: float32 coordinates of a few hundred rows differ by less
MODES = ((False, False), (False, True), (True, False))  # (align_corners, half_pixel_centers)


class Axis:
    """One resized axis: input and output size, scale, and its part of `roi`."""

    def __init__(self, index: int, count: int, out: int, scale: float, roi: tuple[float, float]) -> None:
        self.index, self.count, self.out, self.scale, self.roi = index, count, out, scale, roi

    def places(self, transform: str) -> Array:
        """float64[out]: where each output row lies in the input."""
        n, out, rows = self.count, self.out, np.arange(self.out, dtype=np.float64)
        if transform == "align_corners":
            return rows * (n - 1) / (out - 1) if out > 1 else rows
        if transform == "asymmetric":
            return rows / self.scale
        if transform == "tf_half_pixel_for_nn":
            return (rows + 0.5) / self.scale
        if transform == "tf_crop_and_resize":
            start, end = self.roi
            if out > 1:
                return start * (n - 1) + rows * (end - start) * (n - 1) / (out - 1)
            return np.full(1, 0.5 * (start + end) * (n - 1))
        half = (rows + 0.5) / self.scale - 0.5
        if transform == "pytorch_half_pixel" and out == 1:
            return np.zeros(1)
        if transform == "half_pixel_symmetric":
            return half + n / 2 * (1 - out / (self.scale * n))
        if transform not in ("half_pixel", "pytorch_half_pixel"):
            raise Cannot(f"its coordinates are {transform}", "use half_pixel, asymmetric or align_corners")
        return half


def rows_of(axis: Axis, transform: str, rounding: str) -> Array:
    """int64[out]: the nearest input row. Places are rounded to float32, which ONNX Runtime computes in."""
    at = axis.places(transform).astype(np.float32)
    half = np.float32(0.5)
    ways = {
        "round_prefer_floor": np.ceil(at - half),
        "round_prefer_ceil": np.floor(at + half),
        "floor": np.floor(at),
        "ceil": np.ceil(at),
    }
    if rounding not in ways:
        raise ValueError(f"nearest_mode {rounding}")
    rows: Array = np.clip(ways[rounding].astype(np.int64), 0, axis.count - 1)
    return rows


def matrix_of(axis: Axis, c: Call, transform: str) -> Array:
    """float64[out, count]: the share of each input row in each output row, for linear and cubic."""
    at = axis.places(transform)
    squeeze = min(axis.scale, 1.0) if c.get("antialias", 0) else 1.0
    cubic, a = c.get("mode", "nearest") == "cubic", float(c.get("cubic_coeff_a", -0.75))
    radius = 2 if cubic else 1
    first = int(np.floor(-radius / squeeze) + 1)
    found = np.zeros((axis.out, axis.count))
    for row, place in enumerate(at):
        if transform == "tf_crop_and_resize" and not 0 <= place <= axis.count - 1:
            continue
        base = int(np.floor(place))
        ids = np.arange(base + first, base + 2 - first)
        shares = cubic_share((ids - place) * squeeze, a) if cubic else np.clip(1 - np.abs((ids - place) * squeeze), 0, 1)
        if c.get("exclude_outside", 0):
            shares = np.where((ids >= 0) & (ids < axis.count), shares, 0.0)
        np.add.at(found[row], np.clip(ids, 0, axis.count - 1), shares / shares.sum())
    return found


def cubic_share(distance: Array, a: float) -> Array:
    """The cubic convolution kernel (Keys 1981), coefficient a."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    shares: Array = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
    return shares


def bilinear_matrix(count: int, out: int, align: bool, half: bool) -> Array:
    """`matrix_of` for RESIZE_BILINEAR."""
    first, last, share = between(count, out, align, half)
    found = np.zeros((out, count))
    np.add.at(found, (np.arange(out), first), 1.0 - share)
    np.add.at(found, (np.arange(out), last), share)
    return found


def sizes_and_scales(b: Builder, c: Call, shape: Shape) -> tuple[list[int], list[float], list[int]]:
    """(sizes, scales, axes) of the axes that are asked for."""
    rank = len(shape)
    if c.op == "Upsample" or c.opset < 11:
        name = c.input(1)
        scales = [float(s) for s in c.attrs["scales"]] if name is None else _floats(b, name)
        return [int(np.floor(n * np.float32(s))) for n, s in zip(shape, scales, strict=True)], scales, list(range(rank))
    axes = [axis_of(a, rank) for a in c.get("axes", range(rank))]
    sizes = b.ints(c.input(3), "sizes")
    counts = [shape[a] for a in axes]
    if sizes:
        policy = c.get("keep_aspect_ratio_policy", "stretch")
        ratios = [s / n for s, n in zip(sizes, counts, strict=True)]
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            sizes = [int(np.floor(ratio * n + 0.5)) for n in counts]
            ratios = [ratio] * len(axes)
        return [int(s) for s in sizes], ratios, axes
    scales = _floats(b, c.needed(2))
    return [int(np.floor(n * np.float32(s))) for n, s in zip(counts, scales, strict=True)], scales, axes


def _floats(b: Builder, name: str) -> list[float]:
    value = b.array(name)
    if value is None:
        raise Cannot("its scales are computed at run time", "resize by a constant factor or to a constant size")
    return [float(v) for v in value.reshape(-1)]


def resize(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    old = c.op == "Upsample" or c.opset < 11
    mode = c.get("mode", "nearest")
    transform = "asymmetric" if old else c.get("coordinate_transformation_mode", "half_pixel")
    sizes, scales, asked = sizes_and_scales(b, c, shape)
    if min(sizes) < 1:
        raise Cannot(f"it makes {sizes}, which holds nothing", "resize to at least one row and column")
    roi = _roi(b, c, len(asked)) if transform == "tf_crop_and_resize" else [(0.0, 1.0)] * len(asked)
    whole = [r == (0.0, 1.0) for r in roi]
    axes = [
        Axis(a, shape[a], size, scale, part)
        for a, size, scale, part, same in zip(asked, sizes, scales, roi, whole, strict=True)
        if size != shape[a] or not same or (scale != 1.0 and transform != "align_corners")
    ]
    if not axes:
        return [x]
    if mode == "nearest":
        if transform == "tf_crop_and_resize":
            raise Cannot("it crops and takes the nearest pixel", "crop with Slice, then resize")
        rounding = "floor" if old else c.get("nearest_mode", "round_prefer_floor")
        return [_nearest(b, x, axes, [rows_of(axis, transform, rounding) for axis in axes])]
    if mode not in ("linear", "cubic"):
        raise ValueError(f"mode {mode}")
    matrices = [matrix_of(axis, c, transform) for axis in axes]
    return [_outside(b, _weighted(b, x, axes, matrices), axes, matrices, float(c.get("extrapolation_value", 0.0)))]


def _outside(b: Builder, y: str, axes: Sequence[Axis], matrices: Sequence[Array], value: float) -> str:
    """What a crop takes from outside the input is `value`; so far it is 0, the sum of no rows."""
    shape = b.tensors[y].shape
    empty = np.zeros(shape[min(a.index for a in axes) :], bool)
    for axis, matrix in zip(axes, matrices, strict=True):
        after = len(shape) - axis.index - 1
        empty |= ~np.any(matrix, axis=1).reshape(-1, *[1] * after)
    if value == 0.0 or not np.any(empty):
        return y
    return b.one("ADD", [y, b.constant(np.where(empty, value, 0.0).astype(np.float32), "outside")])


def _roi(b: Builder, c: Call, count: int) -> list[tuple[float, float]]:
    flat = _floats(b, c.needed(1))
    if len(flat) != 2 * count:
        raise ValueError(f"{len(flat)} numbers of roi for {count} axes")
    return list(zip(flat[:count], flat[count:], strict=True))


def _as_image(b: Builder, x: str, axes: Sequence[Axis]) -> tuple[str, list[int]] | None:
    """(x as [N,H,W,C], output size) when only its rows and columns are resized; None otherwise."""
    shape = b.tensors[x].shape
    if len(shape) not in (3, 4) or any(axis.index < 2 for axis in axes):
        return None
    size = [1, shape[2]] if len(shape) == 3 else list(shape[2:])
    for axis in axes:
        size[axis.index - len(shape)] = axis.out
    return b.to_spatial(x), size


def _nearest(b: Builder, x: str, axes: Sequence[Axis], rows: Sequence[Array]) -> str:
    image = _as_image(b, x, axes)
    if image is not None:
        for align, half in MODES:
            if all(np.array_equal(r, nearest(a.count, a.out, align, half)) for a, r in zip(axes, rows, strict=True)):
                made = b.one(
                    "RESIZE_NEAREST_NEIGHBOR", [image[0]], size=tuple(image[1]), align_corners=align, half_pixel_centers=half
                )
                return b.from_spatial(made, len(b.tensors[x].shape))
    for axis, ids in zip(axes, rows, strict=True):
        x = take(b, x, axis.index, ids.tolist())
    return x


def _weighted(b: Builder, x: str, axes: Sequence[Axis], matrices: Sequence[Array]) -> str:
    image = _as_image(b, x, axes)
    if image is not None:
        for align, half in MODES:
            pairs = zip(axes, matrices, strict=True)
            if all(np.allclose(m, bilinear_matrix(a.count, a.out, align, half), rtol=0, atol=CLOSE) for a, m in pairs):
                made = b.one("RESIZE_BILINEAR", [image[0]], size=tuple(image[1]), align_corners=align, half_pixel_centers=half)
                return b.from_spatial(made, len(b.tensors[x].shape))
    rank = len(b.tensors[x].shape)
    for axis, matrix in zip(axes, matrices, strict=True):
        if matrix.size > LARGEST_MATRIX:
            raise Cannot(f"it has no compact form and its matrix of {axis.out} x {axis.count} is large", "resize bilinearly")
        last = [a for a in range(rank) if a != axis.index] + [axis.index]
        flat = b.transpose(x, last)
        weights = b.constant(matrix.astype(np.float32), f"rows{axis.index}")
        y = b.one("FULLY_CONNECTED", [flat, weights, None], keep_dims=True)
        x = b.transpose(y, [int(p) for p in np.argsort(last)])
    return x


def center_crop_pad(b: Builder, c: Call) -> list[str]:
    """A SLICE where the input is larger, a PAD where it is smaller, both in the middle."""
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    wanted = b.ints(c.input(1), "shape")
    assert wanted is not None, "the shape is required"
    axes = [axis_of(a, len(shape)) for a in c.get("axes", range(len(shape)))]
    begin, size, pads = [0] * len(shape), list(shape), [(0, 0)] * len(shape)
    for axis, n in zip(axes, wanted, strict=True):
        more = int(n) - shape[axis]
        begin[axis], size[axis] = max(-more, 0) // 2, min(int(n), shape[axis])
        pads[axis] = (max(more, 0) // 2, max(more, 0) - max(more, 0) // 2)
    if tuple(size) != shape:
        x = b.one("SLICE", [x], begin=tuple(begin), size=tuple(size), stride=(1,) * len(shape))
    return [b.one("PAD", [x], pads=tuple(pads)) if any(max(p) for p in pads) else x]


def lp_pool(b: Builder, c: Call) -> list[str]:
    """(sum |x|^p)^(1/p); the sum over a window is a depthwise convolution with ones."""
    from edgekit.load.onnx.spatial import conv_pads, pair, pool_output, rank_of

    x, p = c.needed(0), int(c.get("p", 2))
    if not 1 <= p <= LARGEST_P:
        raise Cannot(f"its p is {p}", f"use p of 1 to {LARGEST_P}")
    rank = rank_of(b, x)
    data = b.to_spatial(b.tensor(x))
    power = size_of = b.one("ABS", [data]) if p % 2 else data
    for _ in range(p - 1):
        power = b.one("MUL", [power, size_of])
    if c.op == "GlobalLpPool":
        total = b.one("SUM", [power], axes=(1, 2), keep_dims=True)
    else:
        kernel, stride = pair(c.attrs["kernel_shape"], rank), pair(c.get("strides"), rank)
        dilation = pair(c.get("dilations"), rank)
        window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        size, channels = b.tensors[data].shape[1:3], b.tensors[data].shape[3]
        _, pad = pool_output(size, window, stride, conv_pads(c, rank, size, window, stride), bool(c.get("ceil_mode", 0)))
        ones = b.constant(np.ones((1, *kernel, channels), np.float32), "ones")
        total = b.one("DEPTHWISE_CONV_2D", [power, ones, None], stride=stride, dilation=dilation, pad=pad)
    if p == 2:
        total = b.one("SQRT", [total])
    elif p > 2:
        total = b.one("POW", [total, b.constant(np.asarray([1 / p], np.float32), "root")])
    return [b.from_spatial(total, rank)]


def col2im(b: Builder, c: Call) -> list[str]:
    """Blocks of columns summed at their places: a TRANSPOSE_CONV whose weights put each row of a column at its tap."""
    image, block = b.ints(c.input(1), "image shape"), b.ints(c.input(2), "block shape")
    x = b.tensor(c.needed(0))
    assert image is not None, "the image's shape is required"
    assert block is not None, "the block's shape is required"
    if len(image) != 2 or len(block) != 2:
        raise Cannot(f"it makes a {len(image)}-D image", "only 2-D images are made of columns")
    dilation, stride = (tuple(int(v) for v in c.get(name, (1, 1))) for name in ("dilations", "strides"))
    top, left, bottom, right = (int(v) for v in c.get("pads", (0, 0, 0, 0)))
    n, rows, count = b.tensors[x].shape
    taps = block[0] * block[1]
    channels = rows // taps
    room = (image[0] + top + bottom, image[1] + left + right)
    across = [(room[a] - dilation[a] * (block[a] - 1) - 1) // stride[a] + 1 for a in (0, 1)]
    if across[0] * across[1] != count or rows % taps:
        raise ValueError(f"columns {[n, rows, count]} do not make an image of {image}")
    weights = np.zeros((channels, *block, rows), np.float32)
    for channel, i, j in product(range(channels), range(block[0]), range(block[1])):
        weights[channel, i, j, channel * taps + i * block[1] + j] = 1.0
    reached = [(across[a] - 1) * stride[a] + (block[a] - 1) * dilation[a] + 1 for a in (0, 1)]
    extra = (room[0] - reached[0], room[1] - reached[1])
    data = b.to_spatial(b.reshape(x, (n, rows, across[0], across[1])))
    attrs = {"stride": stride, "dilation": dilation, "pad": (top, bottom, left, right), "output_padding": extra}
    return [b.from_spatial(b.one("TRANSPOSE_CONV", [data, b.constant(weights, "places"), None], **attrs), 4)]


HANDLERS: dict[str, Handler] = {
    "Resize": resize,
    "Upsample": resize,
    "CenterCropPad": center_crop_pad,
    "LpPool": lp_pool,
    "GlobalLpPool": lp_pool,
    "Col2Im": col2im,
}
