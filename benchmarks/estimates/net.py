"""A network written as a few calls: shapes and operators only, weights of zeros that take no memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit import ops
from edgekit.graph import Graph, Node, Tensor, build

# How a network's activation function is spelled: fused into the layer before it, or as operators of its own.
FUSED = {"relu": "RELU", "relu6": "RELU6", "": "NONE"}
ALONE = {"hswish": "HARD_SWISH", "hsigmoid": "HARD_SIGMOID", "sigmoid": "LOGISTIC", "tanh": "TANH", "gelu": "GELU"}


class Net:
    """Values are tensor names. Every layer returns the name of its output. Spatial values are [1, H, W, C]."""

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self.name, self.tensors, self.nodes = name, dict[str, Tensor](), list[Node]()
        self.input = self._add("input", tuple(shape))

    def _add(self, name: str, shape: tuple[int, ...], data: Any = None, dtype: str = "float32") -> str:
        self.tensors[name] = Tensor(name, shape, dtype, data)
        return name

    def _zeros(self, *shape: int) -> str:
        return self._add(f"w{len(self.tensors)}", shape, np.broadcast_to(np.float32(0), shape))

    def op(self, op: str, inputs: Sequence[str], **attrs: Any) -> str:
        """One operator with one output."""
        return self.ops(op, inputs, **attrs)[0]

    def ops(self, op: str, inputs: Sequence[str], **attrs: Any) -> list[str]:
        outputs = [f"v{len(self.nodes)}_{i}" for i in range(len(attrs["sizes"]) if op == "SPLIT" else 1)]
        draft = Node(op, tuple(inputs), tuple(outputs), attrs, f"{op}_{len(self.nodes)}")
        made = ops.infer(draft, [self.tensors[name] for name in inputs])
        self.nodes.append(draft)
        return [self._add(name, shape, None, dtype) for name, (shape, dtype) in zip(outputs, made, strict=True)]

    def done(self, *outputs: str) -> Graph:
        return build(self.name, [self.input], outputs, self.nodes, self.tensors)

    def shape(self, x: str) -> tuple[int, ...]:
        return self.tensors[x].shape

    def channels(self, x: str) -> int:
        return self.shape(x)[-1]

    def _pad(self, x: str, kernel: tuple[int, int], stride: tuple[int, int], pad: str | int) -> tuple[int, int, int, int]:
        """(top, bottom, left, right): "same" as TensorFlow has it, "valid", or so many on every side."""
        if isinstance(pad, int):
            return (pad, pad, pad, pad)
        if pad == "valid":
            return (0, 0, 0, 0)
        sides: list[int] = []
        for size, k, s in zip(self.shape(x)[1:3], kernel, stride, strict=True):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            sides += [total // 2, total - total // 2]
        return (sides[0], sides[1], sides[2], sides[3])

    def act(self, x: str, kind: str) -> str:
        """An activation that is an operator of its own (swish is two)."""
        if kind == "swish":
            return self.op("MUL", [x, self.op("LOGISTIC", [x])])
        return self.op(ALONE[kind], [x]) if kind in ALONE else self.op(FUSED[kind], [x])

    def conv(
        self,
        x: str,
        out: int,
        k: int | tuple[int, int] = 1,
        s: int = 1,
        act: str = "relu",
        pad: str | int = "same",
        groups: int = 1,
    ) -> str:
        kernel, stride = (k, k) if isinstance(k, int) else k, (s, s)
        weights = self._zeros(out, *kernel, self.channels(x) // groups)
        pads = self._pad(x, kernel, stride, pad)
        y = self.op("CONV_2D", [x, weights, self._zeros(out)], stride=stride, pad=pads, activation=FUSED.get(act, "NONE"))
        return y if act in FUSED else self.act(y, act)

    def dw(
        self,
        x: str,
        k: int | tuple[int, int] = 3,
        s: int | tuple[int, int] = 1,
        act: str = "relu",
        pad: str | int = "same",
        m: int = 1,
    ) -> str:
        kernel, stride = (k, k) if isinstance(k, int) else k, (s, s) if isinstance(s, int) else s
        out = self.channels(x) * m
        pads = self._pad(x, kernel, stride, pad)
        inputs = [x, self._zeros(1, *kernel, out), self._zeros(out)]
        y = self.op("DEPTHWISE_CONV_2D", inputs, stride=stride, pad=pads, activation=FUSED.get(act, "NONE"))
        return y if act in FUSED else self.act(y, act)

    def fc(self, x: str, out: int, act: str = "", keep: bool = False) -> str:
        width = self.channels(x)
        y = self.op(
            "FULLY_CONNECTED", [x, self._zeros(out, width), self._zeros(out)], activation=FUSED.get(act, "NONE"), keep_dims=keep
        )
        return y if act in FUSED else self.act(y, act)

    def pool(self, x: str, k: int, s: int, kind: str = "max", pad: str | int = "same") -> str:
        op = "MAX_POOL_2D" if kind == "max" else "AVERAGE_POOL_2D"
        return self.op(op, [x], filter=(k, k), stride=(s, s), pad=self._pad(x, (k, k), (s, s), pad))

    def mean(self, x: str, keep: bool = False) -> str:
        return self.op("MEAN", [x], axes=(1, 2), keep_dims=keep)

    def add(self, a: str, b: str, act: str = "") -> str:
        return self.op("ADD", [a, b], activation=FUSED[act])

    def mul(self, a: str, b: str) -> str:
        return self.op("MUL", [a, b])

    def concat(self, *parts: str) -> str:
        return self.op("CONCATENATION", parts, axis=len(self.shape(parts[0])) - 1)

    def reshape(self, x: str, *shape: int) -> str:
        return self.op("RESHAPE", [x], shape=shape)

    def flat(self, x: str) -> str:
        return self.reshape(x, 1, int(np.prod(self.shape(x))))

    def scale(self, x: str) -> str:
        """Multiply and add per channel: a batch normalisation that could not be folded."""
        return self.op("ADD", [self.op("MUL", [x, self._zeros(self.channels(x))]), self._zeros(self.channels(x))])

    def squeeze_excite(self, x: str, reduced: int, gate: str = "hsigmoid", act: str = "relu") -> str:
        y = self.conv(self.mean(x, keep=True), reduced, act=act)
        return self.mul(x, self.conv(y, self.channels(x), act=gate))

    def softmax(self, x: str) -> str:
        return self.op("SOFTMAX", [x])
