"""Random networks for the schedule, the planner and the C generator: every operator, int8 and float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit import ops
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const

Rng = np.random.Generator
Shape = tuple[int, ...]
FUSED = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


class Net:
    """A graph under construction; `kind` is "int8" or "float32"."""

    def __init__(self, kind: str, rng: Rng, extreme: bool = True) -> None:
        """extreme: now and then scales and biases that no sane network has (left shifts, sums that wrap)."""
        self.kind, self.rng, self.extreme = kind, rng, extreme
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def quant(self, scale: float | None = None) -> Quant | None:
        """A random activation Quant, or None in a float network."""
        if self.kind != "int8":
            return None
        chosen = float(10 ** self.rng.uniform(-2.5, -0.5)) if scale is None else scale
        return Quant.per_tensor(chosen, int(self.rng.integers(-128, 128)))

    def add(self, tensor: Tensor) -> str:
        self.tensors[tensor.name] = tensor
        return tensor.name

    def input(self, shape: Shape, quant: Quant | None = None) -> str:
        name = self.add(Tensor(f"x{len(self.tensors)}", shape, self.kind, None, quant or self.quant()))
        self.inputs.append(name)
        return name

    def ids(self, shape: Shape) -> str:
        name = self.add(Tensor(f"ids{len(self.tensors)}", shape, "int32"))
        self.inputs.append(name)
        return name

    def const(self, data: Array, quant: Quant | None = None) -> str:
        return self.add(const(f"k{len(self.tensors)}", data, quant))

    def values(self, shape: Shape, quant: Quant | None = None) -> str:
        """A constant operand of the network's kind."""
        if self.kind == "int8":
            return self.const(self.rng.integers(-128, 128, shape).astype(np.int8), quant or self.quant())
        return self.const(self.rng.normal(size=shape).astype(np.float32))

    def op(self, op: str, inputs: Sequence[str | None], quant: Quant | None, **attrs: Any) -> list[str]:
        """The outputs of a new node; their shapes are inferred, their scale is `quant`."""
        count = len(attrs["sizes"]) if op == "SPLIT" else 1
        names = tuple(f"t{len(self.tensors) + i}" for i in range(count))
        node = Node(op, tuple(inputs), names, attrs, f"node {len(self.nodes)} */ {op.lower()}")
        made = ops.infer(node, [None if n is None else self.tensors[n] for n in inputs])
        for name, (shape, dtype) in zip(names, made, strict=True):
            self.add(Tensor(name, shape, dtype, None, quant))
        self.nodes.append(node)
        return list(names)

    def of(self, name: str) -> Tensor:
        return self.tensors[name]

    def graph(self, outputs: Sequence[str] | None = None) -> Graph:
        return build("net", self.inputs, outputs or self.outputs, self.nodes, self.tensors)


def feeds(graph: Graph, rng: Rng) -> dict[str, Array]:
    """Random values for every input; ids are 0, 1 or 2."""
    made: dict[str, Array] = {}
    for name in graph.inputs:
        tensor = graph[name]
        if tensor.dtype == "int8":
            made[name] = rng.integers(-128, 128, tensor.shape).astype(np.int8)
        elif tensor.dtype == "int32":
            made[name] = rng.integers(0, 3, tensor.shape).astype(np.int32)
        else:
            made[name] = (rng.normal(size=tensor.shape) * 3).astype(np.float32)
    return made


def pick(rng: Rng, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def weights(net: Net, shape: Shape, axis: int) -> tuple[str, Array]:
    """(constant, its scales); now and then a channel is all zero."""
    if net.kind != "int8":
        return net.const((net.rng.normal(size=shape) * 0.3).astype(np.float32)), np.ones(1)
    count = shape[axis] if net.rng.random() < 0.8 else 1
    scale = (10 ** net.rng.uniform(-3, -1, count)).astype(np.float32)
    quant = Quant.per_channel(scale, axis) if count > 1 else Quant.per_tensor(float(scale[0]))
    data = net.rng.integers(-128, 128, shape).astype(np.int8)
    if net.rng.random() < 0.2:
        data[(slice(None),) * axis + (0,)] = 0
    return net.const(data, quant), scale


def bias(net: Net, channels: int) -> str | None:
    if net.rng.random() < 0.3:
        return None
    if net.kind != "int8":
        return net.const(net.rng.normal(size=channels).astype(np.float32))
    data = net.rng.integers(-20000, 20000, channels).astype(np.int32)
    if net.extreme and net.rng.random() < 0.2:
        data[0] = pick(net.rng, (2**31 - 1, -(2**31)))
    return net.const(data, Quant.per_channel(np.full(channels, 0.001), 0, "int32") if channels > 1 else None)


def summed(net: Net, x: str, scales: Array, reach: float) -> Quant | None:
    """A scale that spreads sums of products over int8 (or, now and then, far from it)."""
    quant = net.of(x).quant
    if quant is None:
        return None
    stretch = 10 ** net.rng.uniform(-4, 3) if net.extreme and net.rng.random() < 0.15 else net.rng.uniform(0.3, 3)
    return net.quant(float(quant.scale[0] * scales.mean() * np.sqrt(reach) * 40 * stretch))


def window(rng: Rng, shape: Shape, dilated: bool = True) -> tuple[Shape, dict[str, Any]]:
    """(kernel, attributes) that fit an image of `shape`."""
    h, w = shape[1:3]
    kernel = (int(rng.integers(1, min(h, 4) + 1)), int(rng.integers(1, min(w, 4) + 1)))
    attrs: dict[str, Any] = {"stride": (int(rng.integers(1, 4)), int(rng.integers(1, 4)))}
    if dilated and rng.random() < 0.3:
        spread = [int(rng.integers(1, 4)) for _ in range(2)]
        attrs["dilation"] = tuple(d if (k - 1) * d + 1 <= n else 1 for d, k, n in zip(spread, kernel, (h, w), strict=True))
    if rng.random() < 0.6:
        attrs["pad"] = tuple(int(rng.integers(0, k)) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    return kernel, attrs


# One function an operator: (net, input) -> outputs. Inputs are [N,H,W,C]. ---------------------------------------------


def conv(net: Net, x: str) -> list[str]:
    rng, shape = net.rng, net.of(x).shape
    groups = pick(rng, [g for g in range(1, shape[3] + 1) if shape[3] % g == 0]) if rng.random() < 0.3 else 1
    out = groups * int(rng.integers(1, 6))
    kernel, attrs = window(rng, shape) if rng.random() < 0.7 else ((1, 1), {})
    w, scales = weights(net, (out, *kernel, shape[3] // groups), 0)
    inputs = [x, w, bias(net, out)]
    reach = kernel[0] * kernel[1] * shape[3] / groups
    return net.op("CONV_2D", inputs, summed(net, x, scales, reach), activation=pick(rng, FUSED), **attrs)


def depthwise(net: Net, x: str) -> list[str]:
    rng, shape = net.rng, net.of(x).shape
    out = shape[3] * (int(rng.integers(2, 4)) if rng.random() < 0.3 else 1)
    kernel, attrs = window(rng, shape)
    w, scales = weights(net, (1, *kernel, out), 3)
    inputs = [x, w, bias(net, out)]
    quant = summed(net, x, scales, kernel[0] * kernel[1])
    return net.op("DEPTHWISE_CONV_2D", inputs, quant, activation=pick(rng, FUSED), **attrs)


def dense(net: Net, x: str) -> list[str]:
    rng, shape = net.rng, net.of(x).shape
    keep = bool(rng.integers(2))
    size = shape[-1] if keep else int(np.prod(shape[1:]))
    out = int(rng.integers(1, 9))
    w, scales = weights(net, (out, size), 0)
    inputs = [x, w, bias(net, out)]
    made = net.op("FULLY_CONNECTED", inputs, summed(net, x, scales, size), activation=pick(rng, FUSED), keep_dims=keep)
    return back_to_image(net, made[0])


def back_to_image(net: Net, x: str) -> list[str]:
    """[..., C] as [1,1,n,C]."""
    tensor = net.of(x)
    if len(tensor.shape) == 4:
        return [x]
    last = tensor.shape[-1] if tensor.shape else 1
    return net.op("RESHAPE", [x], tensor.quant, shape=(1, 1, tensor.elements // last, last))


def pool(net: Net, x: str) -> list[str]:
    kernel, attrs = window(net.rng, net.of(x).shape, dilated=False)
    kind = pick(net.rng, ("AVERAGE_POOL_2D", "MAX_POOL_2D"))
    return net.op(kind, [x], net.of(x).quant, filter=kernel, activation=pick(net.rng, FUSED), **attrs)


def reduce(net: Net, x: str) -> list[str]:
    axes = tuple(a for a in range(4) if net.rng.random() < 0.5) or (1, 2)
    kind = pick(net.rng, ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"))
    quant = net.of(x).quant
    if kind == "MEAN" and net.rng.random() < 0.5:
        quant = net.quant()
    if kind == "SUM" and quant is not None:
        quant = net.quant(float(quant.scale[0]) * float(net.rng.uniform(0.5, 20)))
    return back_to_image(net, net.op(kind, [x], quant, axes=axes, keep_dims=bool(net.rng.integers(2)))[0])


def partner(net: Net, x: str, quant: Quant | None = None) -> str:
    """A second operand for x: another value of its shape, or a constant that is broadcast."""
    rng, shape = net.rng, net.of(x).shape
    alike = [n for n, t in net.tensors.items() if t.shape == shape and not t.is_const and t.dtype == net.kind]
    alike = [n for n in alike if quant is None or quant.same_as(net.of(n).quant)]
    if alike and rng.random() < 0.5:
        return str(pick(rng, alike))
    part = tuple(1 if rng.random() < 0.4 else n for n in shape)
    part = part[int(rng.integers(len(part) + 1)) :] if rng.random() < 0.4 else part
    return net.values(part, quant)


def arithmetic(net: Net, x: str) -> list[str]:
    kind = pick(net.rng, ("ADD", "SUB", "MUL", "DIV"))
    other = partner(net, x)
    inputs = [x, other] if net.rng.random() < 0.7 else [other, x]
    attrs = {} if kind == "DIV" else {"activation": pick(net.rng, FUSED)}
    qx, qy = net.of(inputs[0]).quant, net.of(inputs[1]).quant
    quant = None
    if qx is not None and qy is not None:
        a, b = float(qx.scale[0]), float(qy.scale[0])
        quant = net.quant({"MUL": a * b * 60, "DIV": a / b / 20}.get(kind, max(a, b) * float(net.rng.uniform(0.5, 3))))
    return net.op(kind, inputs, quant, **attrs)


def compare(net: Net, x: str) -> list[str]:
    quant = net.of(x).quant
    return net.op(pick(net.rng, ("MAXIMUM", "MINIMUM")), [x, partner(net, x, quant)], quant)


UNARY = ("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH", "HARD_SIGMOID", "ELU", "QUANTIZE")
FIXED = {"LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}


def unary(net: Net, x: str) -> list[str]:
    kind = pick(net.rng, UNARY)
    if kind == "QUANTIZE" and net.kind != "int8":
        kind = "TANH"
    quant = net.of(x).quant
    if quant is not None:
        around = net.quant(float(quant.scale[0]) * float(net.rng.uniform(0.3, 1.5)))
        quant = Quant.per_tensor(*FIXED[kind]) if kind in FIXED else pick(net.rng, (quant, around))
    attrs = {"LEAKY_RELU": {"alpha": 0.2}, "HARD_SIGMOID": {"alpha": 0.3, "beta": 0.4}}.get(kind, {})
    return net.op(kind, [x], quant, **attrs)


def softmax(net: Net, x: str) -> list[str]:
    quant = None if net.kind != "int8" else Quant.per_tensor(*FIXED["SOFTMAX"])
    return net.op("SOFTMAX", [x], quant, beta=float(pick(net.rng, (1.0, 0.5, 2.0))))


def prelu(net: Net, x: str) -> list[str]:
    shape = net.of(x).shape
    slope = net.values(pick(net.rng, (shape[3:], (1, 1, shape[3]), shape[1:])))
    return net.op("PRELU", [x, slope], net.quant())


def move(net: Net, x: str) -> list[str]:
    """PAD, CONCATENATION, SPLIT, SLICE, TRANSPOSE, RESHAPE or GATHER."""
    rng, tensor = net.rng, net.of(x)
    shape, quant = tensor.shape, tensor.quant
    kind = pick(rng, ("PAD", "CONCATENATION", "SPLIT", "SLICE", "TRANSPOSE", "RESHAPE", "GATHER"))
    axis = int(rng.integers(4))
    if kind == "PAD":
        pads = tuple((int(rng.integers(3)), int(rng.integers(3))) if i else (0, 0) for i in range(4))
        return net.op("PAD", [x], quant, pads=pads, value=float(pick(rng, (0.0, 0.25, -1.0))))
    if kind == "CONCATENATION":
        sizes = [int(rng.integers(1, 4)) for _ in range(int(rng.integers(0, 3)))]
        others = [net.values((*shape[:axis], n, *shape[axis + 1 :]), quant) for n in sizes]
        return net.op("CONCATENATION", [x, *others, x][: int(rng.integers(1, len(others) + 3))], quant, axis=axis)
    if kind == "SPLIT":
        cut = int(rng.integers(1, shape[axis])) if shape[axis] > 1 else 0
        return net.op("SPLIT", [x], quant, axis=axis, sizes=(cut, shape[axis] - cut) if cut else (shape[axis],))
    if kind == "SLICE":
        begin, size, stride = [], [], []
        for n in shape:
            step = int(pick(rng, (1, 1, 2, -1, -2)))
            first = int(rng.integers(n))
            room = (n - 1 - first) // step if step > 0 else first // -step
            begin.append(first)
            size.append(int(rng.integers(1, room + 2)))
            stride.append(step)
        return net.op("SLICE", [x], quant, begin=tuple(begin), size=tuple(size), stride=tuple(stride))
    if kind == "TRANSPOSE":
        return net.op("TRANSPOSE", [x], quant, perm=tuple(int(p) for p in rng.permutation(4)))
    if kind == "RESHAPE":
        return net.op("RESHAPE", [x], quant, shape=tuple(shape[int(p)] for p in rng.permutation(4)))
    if shape[axis] < 3:
        axis = int(np.argmax(shape))
    if shape[axis] < 3:
        return net.op("RESHAPE", [x], quant, shape=(1, *shape[:0], 1, 1, tensor.elements))
    ids = net.ids((2,)) if rng.random() < 0.5 else net.const(rng.integers(0, shape[axis], 3).astype(np.int32))
    return net.op("GATHER", [x, ids], quant, axis=axis)


def transposed(net: Net, x: str) -> list[str]:
    """TRANSPOSE_CONV: any cropping, stride, dilation and groups."""
    rng, shape = net.rng, net.of(x).shape
    groups = pick(rng, [g for g in range(1, shape[3] + 1) if shape[3] % g == 0]) if rng.random() < 0.3 else 1
    out = groups * int(rng.integers(1, 6))
    kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, top, 2)) for top in (5, 4, 3))
    reach = [(shape[1 + i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
    pad = tuple(int(rng.integers(0, (reach[i // 2] + 1) // 2)) for i in range(4)) if rng.random() < 0.6 else (0, 0, 0, 0)
    extra = tuple(int(rng.integers(0, s)) for s in stride)
    w, scales = weights(net, (out, *kernel, shape[3] // groups), 0)
    quant = summed(net, x, scales, kernel[0] * kernel[1] * shape[3] / groups / stride[0] / stride[1])
    attrs = {"stride": stride, "dilation": dilation, "pad": pad, "output_padding": extra, "activation": pick(rng, FUSED)}
    return net.op("TRANSPOSE_CONV", [x, w, bias(net, out)], quant, **attrs)


def resized(net: Net, x: str) -> list[str]:
    """A resize, or blocks of pixels to channels and back."""
    rng, tensor = net.rng, net.of(x)
    kind = pick(rng, ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_NEAREST_NEIGHBOR", "BLOCKS"))
    _, h, w, c = tensor.shape
    if kind == "BLOCKS":
        blocks = [b for b in (2, 3) if h % b == w % b == 0 or c % (b * b) == 0] or [1]
        block = int(pick(rng, blocks))
        deep = "SPACE_TO_DEPTH" if h % block == w % block == 0 else "DEPTH_TO_SPACE"
        return net.op(deep, [x], tensor.quant, block=block)
    size = pick(rng, ((2 * h, 2 * w), (h, 3 * w), (int(rng.integers(1, 12)), int(rng.integers(1, 12)))))
    align, half = pick(rng, ((False, False), (True, False), (False, True)))
    return net.op(kind, [x], tensor.quant, size=size, align_corners=align, half_pixel_centers=half)


def batch_norm(net: Net, x: str) -> list[str]:
    channels = net.of(x).shape[3]
    parts = [net.const(net.rng.uniform(0.5, 2, channels).astype(np.float32)) for _ in range(4)]
    return net.op("BATCH_NORM", [x, *parts], None)


def high_rank(net: Net, x: str) -> list[str]:
    """Moves, sums and broadcasts over five and six axes that do not merge; x is only the scale's source."""
    rng, quant = net.rng, net.of(x).quant
    rank = int(rng.integers(5, 7))
    wide = net.input(tuple(int(n) for n in rng.integers(2, 4, rank)), quant)
    shape = net.of(wide).shape
    kind = pick(rng, ("TRANSPOSE", "SLICE", "PAD", "MAXIMUM", "REDUCE_MAX"))
    if kind == "TRANSPOSE":
        return net.op(kind, [wide], quant, perm=tuple(int(p) for p in rng.permutation(rank)))
    if kind == "SLICE":
        begin = tuple(int(pick(rng, (0, n - 1))) for n in shape)
        stride = tuple(1 if b == 0 else -1 for b in begin)
        return net.op(kind, [wide], quant, begin=begin, size=tuple(n - int(rng.integers(2)) for n in shape), stride=stride)
    if kind == "PAD":
        return net.op(kind, [wide], quant, pads=tuple((int(rng.integers(2)), int(rng.integers(2))) for _ in shape))
    if kind == "MAXIMUM":
        part = tuple(n if i % 2 else 1 for i, n in enumerate(shape))
        return net.op(kind, [wide, net.values(part, quant)], quant)
    return net.op(kind, [wide], quant, axes=tuple(range(int(rng.integers(2)), rank, 2)))


def normalised(net: Net, x: str) -> list[str]:
    """LAYER_NORM, RMS_NORM, GROUP_NORM or L2_NORMALIZATION."""
    rng, shape = net.rng, net.of(x).shape
    kind = pick(rng, ("LAYER_NORM", "RMS_NORM", "GROUP_NORM", "L2_NORMALIZATION"))
    if kind == "L2_NORMALIZATION":
        return net.op(kind, [x], None if net.kind != "int8" else Quant.per_tensor(1 / 128))
    axis = int(rng.integers(1, 4))
    wanted = shape[3:] if kind == "GROUP_NORM" else shape[axis:]
    parameters = [net.const(rng.normal(1, 0.5, wanted).astype(np.float32)) for _ in range(int(rng.integers(3)))]
    parameters = parameters[:1] if kind == "RMS_NORM" else parameters
    groups = pick(rng, [g for g in range(1, shape[3] + 1) if shape[3] % g == 0])
    attrs = {"groups": groups} if kind == "GROUP_NORM" else {"axis": axis}
    return net.op(kind, [x, *parameters], net.quant(), epsilon=float(pick(rng, (1e-5, 1e-2))), **attrs)


def product(net: Net, x: str) -> list[str]:
    """BATCH_MATMUL with another input, either transposed, its leading axes broadcast now and then."""
    rng, (n, h, w, c) = net.rng, net.of(x).shape
    adj_x, adj_y = bool(rng.integers(2)), bool(rng.integers(2))
    depth, columns = (w if adj_x else c), int(rng.integers(1, 10))
    lead = (n, h) if rng.random() < 0.6 else (1, h) if rng.random() < 0.5 else (h,)
    other = net.input((*lead, columns, depth) if adj_y else (*lead, depth, columns))
    qx, qy = net.of(x).quant, net.of(other).quant
    quant = None if qx is None or qy is None else net.quant(float(qx.scale[0] * qy.scale[0]) * 100 * float(np.sqrt(depth)))
    return net.op("BATCH_MATMUL", [x, other], quant, adj_x=adj_x, adj_y=adj_y)


FAMILIES: dict[str, Callable[[Net, str], list[str]]] = {
    f.__name__: f
    for f in (
        conv,
        depthwise,
        transposed,
        resized,
        dense,
        pool,
        reduce,
        arithmetic,
        compare,
        unary,
        softmax,
        prelu,
        move,
        normalised,
        product,
    )
}


def families(kind: str) -> dict[str, Callable[[Net, str], list[str]]]:
    return FAMILIES if kind == "int8" else FAMILIES | {"batch_norm": batch_norm}


def image(rng: Rng) -> Shape:
    """A small [N,H,W,C]."""
    return (int(pick(rng, (1, 1, 1, 2))), int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(rng.integers(1, 11)))


def many(kind: str, family: str, count: int, seed: int, extreme: bool = True) -> Graph:
    """`count` single operators of a family side by side, each with its own input and outputs."""
    net = Net(kind, np.random.default_rng(seed), extreme)
    build_one = high_rank if family == "high_rank" else families(kind)[family]
    for _ in range(count):
        net.outputs += build_one(net, net.input(image(net.rng)))
    return net.graph(list(dict.fromkeys(net.outputs)))


def tangle(kind: str, length: int, seed: int) -> Graph:
    """A random network: each operator reads values made before it; what nobody reads is an output, and some others."""
    rng = np.random.default_rng(seed)
    net = Net(kind, rng)
    values = [net.input(image(rng)) for _ in range(int(rng.integers(1, 3)))]
    for _ in range(length):
        family = families(kind)[str(pick(rng, list(families(kind))))]
        recent = values[-4:] if rng.random() < 0.7 else values
        found = [n for n in recent if 0 < net.of(n).elements < 4000]
        made = family(net, str(pick(rng, found or values)))
        values += [n for n in made if len(net.of(n).shape) == 4]
    read = {n for node in net.nodes for n in node.inputs}
    ends = [o for node in net.nodes for o in node.outputs if o not in read]
    return net.graph(list(dict.fromkeys([*ends, *(v for v in values if rng.random() < 0.15)])))


def between(seed: int) -> Graph:
    """float32 -> int8 -> float32 -> int8 -> float32: memory is used for one type, then for another."""
    net = Net("float32", np.random.default_rng(seed), extreme=False)
    x = net.op("RELU", [net.input((1, 6, 6, 4))], None)
    for _ in range(2):
        x = net.op("TANH", net.op("QUANTIZE", x, Quant.per_tensor(0.05, 3), dtype="int8"), Quant.per_tensor(1 / 128))
        net.kind = "int8"
        x = unary(net, conv(net, x[0])[0])
        net.kind = "float32"
        x = net.op("TANH", net.op("DEQUANTIZE", x, None), None)
        net.outputs += x
    return net.graph()


def chained(seed: int, length: int = 7) -> Graph:
    """Convolutions of all kinds one after another, any stride, padding and channel count; now and then a residual add."""
    rng = np.random.default_rng(seed)
    net = Net("int8", rng)
    x = net.input((int(rng.integers(1, 3)), *(int(n) for n in rng.integers(3, 9, 2)), int(rng.integers(1, 9))))
    for _ in range(length):
        shape = net.of(x).shape
        kind = rng.choice(("1x1", "kxk", "depthwise", "residual"), p=(0.4, 0.2, 0.3, 0.1))
        k = tuple(int(rng.integers(1, min(n, 3) + 1)) for n in shape[1:3])
        pad = tuple(int(rng.integers(0, n)) for n in (k[0], k[0], k[1], k[1]))
        stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3))) if min(shape[1:3]) > 3 else (1, 1)
        out = int(rng.integers(1, 12))
        if kind == "depthwise":
            w, scales = weights(net, (1, *k, shape[3]), 3)
            quant = summed(net, x, scales, k[0] * k[1])
            x = net.op("DEPTHWISE_CONV_2D", [x, w, bias(net, shape[3])], quant, pad=pad, stride=stride)[0]
        elif kind == "kxk":
            w, scales = weights(net, (out, *k, shape[3]), 0)
            quant = summed(net, x, scales, k[0] * k[1] * shape[3])
            x = net.op("CONV_2D", [x, w, bias(net, out)], quant, pad=pad, stride=stride)[0]
        else:
            count = shape[3] if kind == "residual" else out
            w, scales = weights(net, (count, 1, 1, shape[3]), 0)
            y = net.op("CONV_2D", [x, w, bias(net, count)], summed(net, x, scales, shape[3]))[0]
            x = net.op("ADD", [x, y], net.quant(0.1))[0] if kind == "residual" else y
    return net.graph([x])
