"""Arm Ethos-U55, by the list that the Vela compiler writes of what it takes (SUPPORTED_OPS.md)."""

from __future__ import annotations

from math import prod

import numpy as np

from edgekit.delegates.rules import (
    Why,
    every_one,
    first,
    get,
    multiplier,
)
from edgekit.graph import Graph, Node
from edgekit.ops import op_of

_DTYPES = {"int8", "uint8", "int16", "int32"}
_INT32 = {"ADD", "MUL", "SUB"}
_ANY_BATCH = {"FULLY_CONNECTED", "RESHAPE", "SLICE", "SOFTMAX", "SPLIT"}
_WEIGHT_SUM = 8323072


def every(graph: Graph, node: Node) -> str:
    biased = node.op in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
    used = [name for i, name in enumerate(node.inputs) if name is not None and not (biased and i == 2)]
    tensors = [graph[name] for name in (*used, *node.outputs)]
    if any(t.quant is None and t.dtype.startswith("float") for t in tensors):
        return "float32: quantize the network to int8"
    wrong = sorted({t.dtype for t in tensors} - _DTYPES)
    if wrong:
        return wrong[0]
    if any(t.dtype == "int32" for t in tensors) and node.op not in _INT32:
        return "int32"
    if any(len(t.shape) > 4 for t in tensors):
        return "more than 4 axes"
    if any(n > 65535 for t in tensors for n in t.shape):
        return "an axis longer than 65,535"
    x = graph[used[0]]
    if node.op not in _ANY_BATCH and len(x.shape) == 4 and x.shape[0] != 1:
        return f"a batch of {x.shape[0]}"
    return ""


def _weights(graph: Graph, node: Node) -> str:
    weights = first(graph, node, 1)
    if not weights.is_const:
        return "weights that are not constant"
    if weights.dtype not in {"int8", "uint8"}:
        return f"weights of {weights.dtype}"
    assert weights.data is not None
    axis = 3 if node.op == "DEPTHWISE_CONV_2D" else 0
    others = tuple(i for i in range(len(weights.shape)) if i != axis)
    total = int(np.abs(np.asarray(weights.data, np.int64)).sum(axis=others).max())
    return "" if total <= _WEIGHT_SUM else f"weights of a channel that add up to {total:,}, more than {_WEIGHT_SUM:,}"


def _kernel(most: int) -> Why:
    """Convolutions: stride and dilated kernel."""

    def why(graph: Graph, node: Node) -> str:
        rows, columns = first(graph, node, 1).shape[1:3]
        down, across = get(node, "dilation") if "dilation" in op_of(node).attrs else (1, 1)
        height, width = (rows - 1) * down + 1, (columns - 1) * across + 1
        if max(get(node, "stride")) > most:
            return f"stride {max(get(node, 'stride'))}, more than {most}"
        if height > 64 or height * width > 4096:
            return f"a kernel of {height} x {width}: at most 64 rows and 4,096 in all"
        return ""

    return why


def _pool(graph: Graph, node: Node) -> str:
    height, width = get(node, "filter")
    if max(get(node, "stride")) > 3:
        return f"stride {max(get(node, 'stride'))}, more than 3"
    if node.op == "AVERAGE_POOL_2D" and any(get(node, "pad")) and max(height, width) > 8:
        return f"a padded window of {height} x {width}, more than 8 x 8"
    return "" if height <= 256 and height * width <= 65536 else f"a window of {height} x {width}"


def _transposed(graph: Graph, node: Node) -> str:
    return "" if tuple(get(node, "stride")) == (2, 2) else f"stride {list(get(node, 'stride'))}; it takes 2"


def _dense(graph: Graph, node: Node) -> str:
    rank = len(graph[node.outputs[0]].shape)
    return "" if rank == 2 else f"an output with {rank} axes; it takes 2"


def _mean(graph: Graph, node: Node) -> str:
    x = first(graph, node)
    axes = set(get(node, "axes"))
    if x.dtype not in {"int8", "uint8"}:
        return f"of {x.dtype}"
    if len(x.shape) < 2 or not axes <= ({1, 2} if len(x.shape) == 4 else {0, 1}):
        return f"over axes {sorted(axes)}: only height and width"
    size = prod(x.shape[i] for i in axes)
    return "" if size <= (4096 if get(node, "keep_dims") else 65536) else f"over {size:,} values"


def _pad(graph: Graph, node: Node) -> str:
    pads = get(node, "pads")
    if len(pads) not in {3, 4}:
        return f"{len(pads)} axes; it takes 3 or 4"
    others = [pads[-1], *([pads[0]] if len(pads) == 4 else [])]
    return "pads other axes than height and width" if any(tuple(p) != (0, 0) for p in others) else ""


def _resize(graph: Graph, node: Node) -> str:
    (_, h, w, _), (_, made_h, made_w, _) = first(graph, node).shape, graph[node.outputs[0]].shape
    corners, centers = get(node, "align_corners"), get(node, "half_pixel_centers")
    if corners and centers:
        return "align_corners with half_pixel_centers"
    if (h, w) in {(1, 1), (made_h, made_w)}:
        return ""
    less = 1 if corners else 0
    times = {(made_h - less) / (h - less), (made_w - less) / (w - less)} if min(h, w) > less else {0.0}
    if len(times) != 1 or not times <= {2.0, 4.0, 8.0}:
        return f"{h} x {w} to {made_h} x {made_w}: 2, 4 or 8 times as large in both directions only"
    half = node.op == "RESIZE_BILINEAR" and centers and times != {2.0}
    return "half_pixel_centers: only twice as large" if half else ""


def _slice(graph: Graph, node: Node) -> str:
    return "" if all(step == 1 for step in get(node, "stride")) else f"steps {list(get(node, 'stride'))}; it takes 1"


def _two(graph: Graph, node: Node) -> str:
    made, shapes = graph[node.outputs[0]].shape, [graph[str(n)].shape for n in node.inputs]
    return "" if made in shapes else f"both inputs are broadcast ({list(shapes[0])}, {list(shapes[1])})"


def _extreme(graph: Graph, node: Node) -> str:
    quants = [graph[str(n)].quant for n in (*node.inputs, *node.outputs)]
    same = len({(float(q.scale[0]), int(q.zero_point[0])) for q in quants if q is not None}) <= 1
    return _two(graph, node) or ("" if same else "scales that differ")


def _int8(graph: Graph, node: Node) -> str:
    return "" if first(graph, node).dtype in {"int8", "uint8"} else f"of {first(graph, node).dtype}"


TAKES: dict[str, Why | None] = {
    **dict.fromkeys(
        "ABS CONCATENATION LEAKY_RELU LOGISTIC PRELU QUANTIZE RELU RELU6 RELU_N1_TO_1 RESHAPE SOFTMAX SPLIT TANH".split()
    ),
    **dict.fromkeys(("ADD", "MUL", "SUB"), _two),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), _extreme),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _pool),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "CONV_2D": every_one(_kernel(4), _weights),
    "DEPTHWISE_CONV_2D": every_one(_kernel(3), multiplier, _weights),
    "TRANSPOSE_CONV": every_one(_transposed, _kernel(2), _weights),
    "FULLY_CONNECTED": every_one(_dense, _weights),
    "HARD_SWISH": _int8,
    "MEAN": _mean,
    "PAD": _pad,
    "SLICE": _slice,
}
