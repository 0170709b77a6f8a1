"""Random networks that are legal for TFLite as they stand, float32 or int8, from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.graph import Array, Graph, InputContract, InputSpec, Node, Quant, Shape, Tensor, build, const
from edgekit.load.tflite_ops import same_padding
from edgekit.ops import infer, op_of

SAME_SCALE = "same"


class Net:
    """A growing graph; `x` names are values. Every method returns its output's name."""

    def __init__(self, seed: int, int8: bool) -> None:
        self.rng, self.int8 = np.random.default_rng(seed), int8
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []

    def fresh(self, base: str) -> str:
        return f"{base}{len(self.tensors)}"

    def shape(self, x: str) -> Shape:
        return self.tensors[x].shape

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def quant(self) -> Quant | None:
        """An activation's scale and zero point."""
        if not self.int8:
            return None
        return Quant.per_tensor(float(self.rng.uniform(0.02, 0.2)), int(self.rng.integers(-60, 60)))

    def input(self, shape: Shape, name: str) -> str:
        quant = self.quant()
        self.tensors[name] = Tensor(name, shape, "int8" if self.int8 else "float32", None, quant)
        return name

    def constant(self, data: Array, quant: Quant | None = None) -> str:
        name = self.fresh("c")
        self.tensors[name] = const(name, data, quant)
        return name

    def operand(self, shape: Shape) -> str:
        """A constant activation."""
        if not self.int8:
            return self.constant(self.rng.normal(size=shape).astype(np.float32))
        return self.constant(self.rng.integers(-128, 128, shape).astype(np.int8), self.quant())

    def weights(self, x: str, shape: Shape, axis: int, bias: int) -> tuple[str, str | None]:
        """(weights, bias or None): per channel, or per tensor now and then."""
        wanted = self.rng.random() < 0.8
        if not self.int8:
            w = self.constant(self.rng.normal(0, 0.4, shape).astype(np.float32))
            return w, self.constant(self.rng.normal(size=bias).astype(np.float32)) if wanted else None
        per_channel = self.rng.random() < 0.7
        scale = self.rng.uniform(0.002, 0.02, shape[axis] if per_channel else 1).astype(np.float32)
        quant = Quant.per_channel(scale, axis) if per_channel else Quant.per_tensor(float(scale[0]))
        w = self.constant(self.rng.integers(-127, 128, shape).astype(np.int8), quant)
        source = self.tensors[x].quant
        assert source is not None
        product = source.scale[0] * scale
        bias_quant = Quant(product, np.zeros(product.size, np.int64), 0 if per_channel else None, None, "int32")
        data = self.rng.integers(-2000, 2000, bias).astype(np.int32)
        return w, self.constant(data, bias_quant) if wanted else None

    def add(self, op: str, *inputs: str | None, count: int = 1, **attrs: Any) -> list[str]:
        node = Node(op, inputs, tuple(self.fresh(f"v{i}_") for i in range(count)), attrs, f"{op} {len(self.nodes)}")
        ins = [None if n is None else self.tensors[n] for n in inputs]
        entry = op_of(node)
        for name, (shape, dtype) in zip(node.outputs, infer(node, ins), strict=True):
            quant = self.quant() if dtype == "int8" else None
            if quant is not None and entry.quant == SAME_SCALE:
                quant = next(t.quant for t in ins if t is not None)
            elif quant is not None and entry.quant == "fixed":
                quant = Quant.per_tensor(*entry.fixed["int8"])
            self.tensors[name] = Tensor(name, shape, dtype, None, quant)
        self.nodes.append(node)
        return list(node.outputs)

    def window(self, x: str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Any:
        """SAME or VALID padding as numbers; SAME where the window is larger than the input."""
        h, w = self.shape(x)[1:3]
        fits = h > (kernel[0] - 1) * dilation[0] and w > (kernel[1] - 1) * dilation[1]
        if fits and self.rng.random() < 0.5:
            return (0, 0, 0, 0)
        return (*same_padding(h, kernel[0], stride[0], dilation[0]), *same_padding(w, kernel[1], stride[1], dilation[1]))

    # --- one random step on a rank-4 value

    def conv(self, x: str) -> str:
        c, kernel = self.shape(x)[3], (self.pick(1, 2, 3), self.pick(1, 3))
        groups = self.pick(1, 1, 2) if c % 2 == 0 and c > 2 else 1
        stride = self.pick((1, 1), (2, 1), (2, 2))
        dilation = (1, 1) if stride != (1, 1) else self.pick((1, 1), (2, 1))
        outs = groups * self.pick(2, 3, 5)
        w, bias = self.weights(x, (outs, *kernel, c // groups), 0, outs)
        pad = self.window(x, kernel, stride, dilation)
        fused = self.pick("NONE", "RELU", "RELU6")
        return self.add("CONV_2D", x, w, bias, stride=stride, dilation=dilation, pad=pad, activation=fused)[0]

    def depthwise(self, x: str) -> str:
        c, kernel, stride, multiplier = self.shape(x)[3], (3, self.pick(2, 3)), self.pick((1, 1), (2, 2)), self.pick(1, 1, 2)
        w, bias = self.weights(x, (1, *kernel, c * multiplier), 3, c * multiplier)
        pad = self.window(x, kernel, stride)
        return self.add("DEPTHWISE_CONV_2D", x, w, bias, stride=stride, pad=pad, activation=self.pick("NONE", "RELU"))[0]

    def transposed(self, x: str) -> str:
        """TRANSPOSE_CONV, cropped as SAME or not at all."""
        c, stride, outs = self.shape(x)[3], self.pick((1, 1), (2, 2), (2, 3)), self.pick(2, 3)
        kernel = (self.pick(3, 4), self.pick(3, 5))
        w, bias = self.weights(x, (outs, *kernel, c), 0, outs)
        attrs: dict[str, Any] = {"output_padding": (stride[0] - 1, 0)}
        if self.rng.random() < 0.6:
            over = [k - s for k, s in zip(kernel, stride, strict=True)]
            attrs = {"pad": (over[0] // 2, over[0] - over[0] // 2, over[1] // 2, over[1] - over[1] // 2)}
        return self.add("TRANSPOSE_CONV", x, w, bias, stride=stride, activation=self.pick("NONE", "RELU"), **attrs)[0]

    def resized(self, x: str) -> str:
        _, h, w, c = self.shape(x)
        if c % 4 == 0 and self.rng.random() < 0.5:
            return self.add("DEPTH_TO_SPACE", x, block=2)[0]
        if h % 2 == w % 2 == 0 and self.rng.random() < 0.5:
            return self.add("SPACE_TO_DEPTH", x, block=2)[0]
        align, half = self.pick((False, False), (True, False), (False, True))
        op, size = self.pick("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), self.pick((2 * h, 2 * w), (h, w + 3), (3, 4))
        return self.add(op, x, size=size, align_corners=align, half_pixel_centers=half)[0]

    def pool(self, x: str) -> str:
        kernel, stride = (2, self.pick(2, 3)), self.pick((1, 1), (2, 2))
        op = self.pick("AVERAGE_POOL_2D", "MAX_POOL_2D")
        return self.add(
            op, x, filter=kernel, stride=stride, pad=self.window(x, kernel, stride), activation=self.pick("NONE", "RELU")
        )[0]

    def arithmetic(self, x: str) -> str:
        shape = self.shape(x)
        other = self.pick(x, self.operand(shape), self.operand((1, 1, 1, shape[3])), self.operand((1,)))
        operands = (x, other) if self.rng.random() < 0.7 else (other, x)
        return self.add(self.pick("ADD", "SUB", "MUL"), *operands, activation=self.pick("NONE", "RELU", "RELU_N1_TO_1"))[0]

    def extreme(self, x: str) -> str:
        other = self.operand((self.shape(x)[3],))
        if self.int8:
            self.tensors[other] = const(other, self.values(other), self.tensors[x].quant)
        return self.add(self.pick("MAXIMUM", "MINIMUM"), x, other)[0]

    def values(self, name: str) -> Array:
        data = self.tensors[name].data
        assert data is not None
        return data

    def unary(self, x: str) -> str:
        op = self.pick("RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "PRELU")
        if op == "PRELU":
            slope = self.operand((1, 1, self.shape(x)[3]))
            return self.add(op, x, slope)[0]
        if op == "LEAKY_RELU":
            return self.add(op, x, alpha=0.15)[0]
        return self.add(op, x)[0]

    def pad(self, x: str) -> str:
        value = self.pick(0.0, 0.0, 0.75)
        return self.add("PAD", x, pads=((0, 0), (1, self.pick(0, 1)), (0, 2), (0, self.pick(0, 1))), value=value)[0]

    def split(self, x: str) -> str:
        size = self.shape(x)[3]
        if size < 2:
            return x
        sizes = (size // 2, size // 2) if size % 2 == 0 and self.rng.random() < 0.5 else (1, size - 1)
        first, second = self.add("SPLIT", x, axis=3, sizes=sizes, count=2)
        return self.add("CONCATENATION", second, first, axis=3)[0]

    def slice(self, x: str) -> str:
        shape = self.shape(x)
        if self.rng.random() < 0.5 or min(shape[1:3]) < 3:
            return self.add("SLICE", x, begin=(0, 0, 0, 0), size=(*shape[:3], max(shape[3] - 1, 1)), stride=(1, 1, 1, 1))[0]
        return self.add(
            "SLICE", x, begin=(0, shape[1] - 1, 1, 0), size=(1, shape[1], shape[2] // 2, shape[3]), stride=(1, -1, 2, 1)
        )[0]

    def move(self, x: str) -> str:
        n, h, w, c = self.shape(x)
        if self.rng.random() < 0.3:
            indices = self.constant(self.rng.integers(0, c, 3).astype(np.int32))
            return self.add("GATHER", x, indices, axis=3)[0]
        if self.rng.random() < 0.5:
            return self.add("RESHAPE", x, shape=(n, w, h, c))[0]
        return self.add("TRANSPOSE", x, perm=self.pick((0, 2, 1, 3), (0, 3, 1, 2)))[0]

    def requantize(self, x: str) -> str:
        return self.add("QUANTIZE", x)[0] if self.int8 else x


STEPS: tuple[Callable[[Net, str], str], ...] = (
    Net.conv,
    Net.conv,
    Net.depthwise,
    Net.pool,
    Net.transposed,
    Net.resized,
    Net.arithmetic,
    Net.extreme,
    Net.unary,
    Net.pad,
    Net.split,
    Net.slice,
    Net.move,
    Net.requantize,
)


def network(seed: int, int8: bool) -> Graph:
    """A few random steps, then a reduction or a flatten, a dense layer and perhaps a softmax; one or two outputs."""
    net = Net(seed, int8)
    first = net.input((1, net.pick(5, 6, 8), net.pick(5, 7), net.pick(1, 3, 4)), "image")
    x, inputs = first, [first]
    for _ in range(int(net.rng.integers(2, 7))):
        x = STEPS[int(net.rng.integers(len(STEPS)))](net, x)
    outputs = [x] if net.rng.random() < 0.3 and x != first else []
    if net.rng.random() < 0.5:
        x = net.add(net.pick("MEAN", "REDUCE_MAX", "SUM", "REDUCE_MIN"), x, axes=(1, 2))[0]
    shape = net.shape(x)
    w, bias = net.weights(x, (4, int(np.prod(shape[1:]))), 0, 4)
    x = net.add("RESHAPE", x, shape=(1, int(np.prod(shape[1:]))))[0]
    x = net.add("FULLY_CONNECTED", x, w, bias, activation=net.pick("NONE", "RELU"), keep_dims=bool(net.rng.random() < 0.3))[0]
    if net.rng.random() < 0.5:
        x = net.add("SOFTMAX", x, beta=1.0)[0]
    if int8 and net.rng.random() < 0.2:
        x = net.add("DEQUANTIZE", x)[0]
    contract = InputContract({"image": InputSpec(kind="image", layout="NHWC", mean=(0.5,), std=(0.25,), range=(0.0, 1.0))})
    return build(f"net{seed}", inputs, [*outputs, x], net.nodes, net.tensors, contract=contract)


def feeds(graph: Graph, seed: int, count: int) -> list[dict[str, Array]]:
    """Random inputs, in the graph's own dtypes."""
    rng = np.random.default_rng(seed)
    return [
        {
            n: rng.integers(-128, 128, graph[n].shape).astype(np.int8)
            if graph[n].dtype == "int8"
            else rng.normal(size=graph[n].shape).astype(np.float32)
            for n in graph.inputs
        }
        for _ in range(count)
    ]
