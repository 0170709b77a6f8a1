"""What the operators of the table mean in PyTorch, on real numbers, so that gradients flow: `trainable` runs them.

A rule takes (node, input tensors, output shapes) and gives the outputs. Layouts and attributes are the Graph's (NHWC, OHWI);
the shapes are those of the batch at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.graph import Node, Shape
from edgekit.ops.norm_layer import spans_of
from edgekit.ops.requant import BOUNDS
from edgekit.ops.resize import between, modes, nearest
from edgekit.ops.spatial import spread_of
from edgekit.trainable_functions import BINARY, UNARY, option

Inputs = Sequence[Tensor | None]
Rule = Callable[[Node, Inputs, Sequence[Shape]], list[Tensor]]
DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def present(inputs: Inputs, index: int) -> Tensor:
    """An input that `infer` has seen to be there."""
    found = inputs[index]
    assert found is not None
    return found


def maybe(inputs: Inputs, index: int) -> Tensor | None:
    return inputs[index] if index < len(inputs) else None


def clamp(node: Node, y: Tensor) -> Tensor:
    """The node's fused activation."""
    low, high = BOUNDS[str(node.attrs.get("activation", "NONE"))]
    if low == -math.inf:
        return y
    return F.relu(y) if (low, high) == (0, math.inf) else torch.clamp(y, low, high)


# Convolutions, dense layers, products ---------------------------------------------------------------------------------


def padded(x: Tensor, pad: Sequence[int], value: float = 0.0) -> Tensor:
    """NCHW with (top, bottom, left, right) of `value`."""
    top, bottom, left, right = (int(p) for p in pad)
    return F.pad(x, (left, right, top, bottom), value=value) if any(pad) else x


def conv(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x, w = present(inputs, 0).permute(0, 3, 1, 2), present(inputs, 1)
    depthwise = node.op == "DEPTHWISE_CONV_2D"
    kernel = w.permute(3, 0, 1, 2) if depthwise else w.permute(0, 3, 1, 2)
    groups = x.shape[1] // kernel.shape[1]
    x = padded(x, option(node, "pad"))
    stride, dilation = tuple(option(node, "stride")), tuple(option(node, "dilation"))
    y = F.conv2d(x, kernel, maybe(inputs, 2), stride, 0, dilation, groups)
    return [clamp(node, y.permute(0, 2, 3, 1))]


def transpose_conv(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x, w = present(inputs, 0).permute(0, 3, 1, 2), present(inputs, 1)
    outs, kh, kw, per_group = w.shape
    groups = x.shape[1] // per_group
    kernel = w.reshape(groups, outs // groups, kh, kw, per_group).permute(0, 4, 1, 2, 3)
    kernel = kernel.reshape(groups * per_group, outs // groups, kh, kw)
    g = spread_of(node, tuple(w.shape))
    y = F.conv_transpose2d(x, kernel, None, g.stride, 0, 0, groups, g.dilation)
    rows, columns = shapes[0][1:3]
    missing = [max(0, n + before - have) for n, before, have in zip((rows, columns), g.pad[::2], y.shape[2:], strict=True)]
    y = padded(y, (0, missing[0], 0, missing[1]))
    y = y[:, :, g.pad[0] : g.pad[0] + rows, g.pad[2] : g.pad[2] + columns].permute(0, 2, 3, 1)
    bias = maybe(inputs, 2)
    return [clamp(node, y if bias is None else y + bias)]


def dense(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x, w = present(inputs, 0), present(inputs, 1)
    y = F.linear(x.reshape(-1, w.shape[1]), w, maybe(inputs, 2))
    return [clamp(node, y).reshape(shapes[0])]


def matmul(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    a, b = present(inputs, 0), present(inputs, 1)
    a = a.transpose(-1, -2) if node.attrs.get("adj_x", False) else a
    b = b.transpose(-1, -2) if node.attrs.get("adj_y", False) else b
    return [torch.matmul(a, b)]


# Pools, reductions, normalisations --------------------------------------------------------------------------------------


def average_pool(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    """Padding is not counted: sums over counts."""
    x = present(inputs, 0).permute(0, 3, 1, 2)
    kernel, stride, pad = tuple(option(node, "filter")), tuple(option(node, "stride")), option(node, "pad")
    total = F.avg_pool2d(padded(x, pad), kernel, stride, divisor_override=1)
    count = F.avg_pool2d(padded(torch.ones_like(x[:1, :1]), pad), kernel, stride, divisor_override=1)
    return [clamp(node, (total / count).permute(0, 2, 3, 1))]


def max_pool(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x = padded(present(inputs, 0).permute(0, 3, 1, 2), option(node, "pad"), -math.inf)
    y = F.max_pool2d(x, tuple(option(node, "filter")), tuple(option(node, "stride")))
    return [clamp(node, y.permute(0, 2, 3, 1))]


def reduce(function: Callable[..., Tensor], node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    axes = [int(a) for a in node.attrs["axes"]]
    x = present(inputs, 0)
    return [function(x, axes).reshape(shapes[0]) if axes else x]


def product(x: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis)
    return x


def soft(function: Callable[[Tensor, int], Tensor], node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    beta = float(node.attrs.get("beta", 1.0))
    x = present(inputs, 0)
    return [function(x if beta == 1.0 else x * beta, -1)]


def normalise(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    """LAYER_NORM, RMS_NORM, GROUP_NORM."""
    x, gamma, beta = present(inputs, 0), maybe(inputs, 1), maybe(inputs, 2)
    s = spans_of(node, tuple(x.shape))
    rows = x.reshape(s.rows, s.pixels, s.groups, s.depth)
    if node.op != "RMS_NORM":
        rows = rows - rows.mean((1, 3), keepdim=True)
    y = rows / torch.sqrt(rows.square().mean((1, 3), keepdim=True) + float(option(node, "epsilon")))
    y = y if gamma is None else y * gamma.reshape(s.groups, s.depth)
    y = y if beta is None else y + beta.reshape(s.groups, s.depth)
    return [y.reshape(x.shape)]


def l2(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x = present(inputs, 0)
    return [x / torch.clamp(torch.linalg.vector_norm(x, dim=-1, keepdim=True), min=1e-6)]


# Recurrent --------------------------------------------------------------------------------------------------------------


def recurrent(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    """LSTM, GRU and RNN through PyTorch's own cells (gates in another order); the GRU that resets before in a loop."""
    x, w, r = (present(inputs, i) for i in range(3))
    units = r.shape[1]
    bias, h, sixth = (maybe(inputs, i) for i in (3, 4, 5))
    bias = w.new_zeros(w.shape[0]) if bias is None else bias
    zeros = x.new_zeros(x.shape[0], units)
    h = zeros if h is None else h
    back = bool(node.attrs.get("reverse", False))
    x = x.flip(1) if back else x
    if node.op == "LSTM":
        c = zeros if sixth is None else sixth
        weights = [w, r, bias, torch.zeros_like(bias)]
        y, h, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, False, False, True)
        states = [h[0], c[0]]
    elif node.op == "GRU":
        inner = w.new_zeros(units) if sixth is None else sixth
        if bool(option(node, "reset_after")):
            w, r, bias = (torch.cat((v[units : 2 * units], v[:units], v[2 * units :])) for v in (w, r, bias))
            hidden = torch.cat((inner.new_zeros(2 * units), inner))
            y, h = torch.gru(x, h[None], [w, r, bias, hidden], True, 1, 0.0, False, False, True)
            states = [h[0]]
        else:
            y, states = reset_before(F.linear(x, w, bias), r, inner, h)
    else:
        cell = torch.rnn_relu if option(node, "activation") == "RELU" else torch.rnn_tanh
        y, h = cell(x, h[None], [w, r, bias, torch.zeros_like(bias)], True, 1, 0.0, False, False, True)
        states = [h[0]]
    return [y.flip(1) if back else y, *states]


def reset_before(forward: Tensor, r: Tensor, inner: Tensor, h: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A GRU that resets the state before its product: n = tanh(Wn x + bn + Rn (s(r) h) + rb)."""
    units, steps = r.shape[1], []
    for t in range(forward.shape[1]):
        now = forward[:, t]
        z, reset = torch.sigmoid(now[:, : 2 * units] + F.linear(h, r[: 2 * units])).chunk(2, dim=1)
        n = torch.tanh(now[:, 2 * units :] + F.linear(reset * h, r[2 * units :], inner))
        h = (1 - z) * n + z * h
        steps.append(h)
    return torch.stack(steps, 1), [h]


# Moves ------------------------------------------------------------------------------------------------------------------


def pad(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    flat = [int(n) for pair in reversed(list(node.attrs["pads"])) for n in pair]
    return [F.pad(present(inputs, 0), flat, value=float(node.attrs.get("value", 0.0)))]


def cut(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    """SLICE, by index: strides may be negative."""
    y = present(inputs, 0)
    for axis, (begin, size, stride) in enumerate(zip(*(node.attrs[n] for n in ("begin", "size", "stride")), strict=True)):
        if int(stride) == 1:
            y = y.narrow(axis, int(begin), int(size))
        else:
            places = int(begin) + int(stride) * torch.arange(int(size), device=y.device)
            y = y.index_select(axis, places)
    return [y]


def gather(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x, ids = present(inputs, 0), present(inputs, 1)
    axis = int(node.attrs.get("axis", 0))
    return [x.index_select(axis, ids.reshape(-1).long()).reshape(shapes[0])]


def gather_nd(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    return [present(inputs, 0)[tuple(present(inputs, 1).long().unbind(-1))]]


def scatter_nd(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    ids, updates = present(inputs, 0), present(inputs, 1)
    return [updates.new_zeros(shapes[0]).index_put(tuple(ids.long().unbind(-1)), updates, accumulate=True)]


def one_hot(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    ids, axis = present(inputs, 0), int(node.attrs["axis"])
    places = torch.arange(int(node.attrs["depth"]), device=ids.device)
    hot = ids.unsqueeze(axis) == places.reshape((-1,) + (1,) * (ids.dim() - axis))
    kind = DTYPES[option(node, "dtype")]
    on, off = (torch.tensor(option(node, n), device=ids.device).to(kind) for n in ("on", "off"))
    return [torch.where(hot, on, off)]


def top(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    values, places = torch.sort(present(inputs, 0), dim=-1, descending=True, stable=True)
    count = int(node.attrs["k"])
    return [values[..., :count], places[..., :count].int()]


def extreme(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    pick = torch.argmax if node.op == "ARG_MAX" else torch.argmin
    return [pick(present(inputs, 0), dim=int(node.attrs["axis"])).int()]


def running(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x, axis = present(inputs, 0), int(node.attrs["axis"])
    back = bool(node.attrs.get("reverse", False))
    x = x.flip(axis) if back else x
    y = torch.cumsum(x, axis, dtype=x.dtype)
    y = y - x if node.attrs.get("exclusive", False) else y
    return [y.flip(axis) if back else y]


def resize(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x = present(inputs, 0)
    for axis in (1, 2):
        places = x.shape[axis], int(node.attrs["size"][axis - 1]), *modes(node)
        if node.op == "RESIZE_NEAREST_NEIGHBOR":
            x = x.index_select(axis, torch.from_numpy(nearest(*places)).to(x.device))
            continue
        first, last, share = (torch.from_numpy(v).to(x.device) for v in between(*places))
        share = share.reshape([-1 if i == axis else 1 for i in range(4)]).to(x.dtype)
        x = x.index_select(axis, first) * (1 - share) + x.index_select(axis, last) * share
    return [x]


def space(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    x, block = present(inputs, 0), int(node.attrs["block"])
    n, h, w, c = x.shape
    if node.op == "DEPTH_TO_SPACE":
        parts = x.reshape(n, h, w, block, block, c // (block * block)).permute(0, 1, 3, 2, 4, 5)
    else:
        parts = x.reshape(n, h // block, block, w // block, block, c).permute(0, 1, 3, 2, 4, 5)
    return [parts.reshape(shapes[0])]


def cast(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    return [present(inputs, 0).to(DTYPES[node.attrs["to"]])]


# Functions of one or two values -----------------------------------------------------------------------------------------


def unary(function: Callable[[Tensor, Node], Tensor], node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    return [function(present(inputs, 0), node)]


def binary(function: Callable[[Tensor, Tensor], Tensor], node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    return [clamp(node, function(present(inputs, 0), present(inputs, 1)))]


def select(node: Node, inputs: Inputs, shapes: Sequence[Shape]) -> list[Tensor]:
    return [torch.where(present(inputs, 0), present(inputs, 1), present(inputs, 2))]


REDUCERS: Mapping[str, Callable[[Tensor, list[int]], Tensor]] = {
    "MEAN": lambda x, axes: torch.mean(x, axes),
    "SUM": lambda x, axes: torch.sum(x, axes, dtype=x.dtype),
    "REDUCE_MAX": lambda x, axes: torch.amax(x, axes),
    "REDUCE_MIN": lambda x, axes: torch.amin(x, axes),
    "REDUCE_PROD": product,
    "REDUCE_ANY": lambda x, axes: torch.amax(x, axes),
    "REDUCE_ALL": lambda x, axes: torch.amin(x, axes),
}
# BATCH_NORM is the module's own: it updates its statistics.
RULES: dict[str, Rule] = {
    **{name: partial(unary, function) for name, function in UNARY.items()},
    **{name: partial(binary, function) for name, function in BINARY.items()},
    **{name: partial(reduce, function) for name, function in REDUCERS.items()},
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), conv),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
    **dict.fromkeys(("LAYER_NORM", "RMS_NORM", "GROUP_NORM"), normalise),
    **dict.fromkeys(("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"), resize),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), space),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), extreme),
    "AVERAGE_POOL_2D": average_pool,
    "BATCH_MATMUL": matmul,
    "BROADCAST_TO": lambda n, x, s: [torch.broadcast_to(present(x, 0), s[0])],
    "CAST": cast,
    "CONCATENATION": lambda n, x, s: [torch.cat([v for v in x if v is not None], int(n.attrs["axis"]))],
    "CUMSUM": running,
    "FULLY_CONNECTED": dense,
    "GATHER": gather,
    "GATHER_ND": gather_nd,
    "L2_NORMALIZATION": l2,
    "LOG_SOFTMAX": partial(soft, torch.log_softmax),
    "MAX_POOL_2D": max_pool,
    "ONE_HOT": one_hot,
    "PAD": pad,
    "QUANTIZE": lambda n, x, s: [present(x, 0)],
    "RESHAPE": lambda n, x, s: [present(x, 0).reshape(s[0])],
    "SCATTER_ND": scatter_nd,
    "SELECT_V2": select,
    "SLICE": cut,
    "SOFTMAX": partial(soft, torch.softmax),
    "SPLIT": lambda n, x, s: list(torch.split(present(x, 0), [int(v) for v in n.attrs["sizes"]], int(n.attrs["axis"]))),
    "TILE": lambda n, x, s: [torch.tile(present(x, 0), tuple(int(v) for v in n.attrs["multiples"]))],
    "TOPK_V2": top,
    "TRANSPOSE": lambda n, x, s: [present(x, 0).permute(tuple(int(p) for p in n.attrs["perm"]))],
    "TRANSPOSE_CONV": transpose_conv,
}
