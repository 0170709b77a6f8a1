"""A small builder of graphs, as an ONNX reader would make them: NCHW values with a TRANSPOSE around each spatial node."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit import reference
from edgekit.boundary import from_outputs, source_shape, to_feeds
from edgekit.graph import Array, Graph, Node, Quant, Shape, Tensor, build, const
from edgekit.ops import infer


class Net:
    """Values by name; every method adds a node and returns its output's name."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []

    def input(self, *shape: int, name: str = "x", quant: Quant | None = None) -> str:
        self.tensors[name] = Tensor(name, shape, quant.dtype if quant else "float32", None, quant)
        self.inputs.append(name)
        return name

    def value(self, data: Any, quant: Quant | None = None) -> str:
        array = np.asarray(data)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"c{len(self.tensors)}"
        self.tensors[name] = const(name, array, quant, None if quant is None else quant.dtype)
        return name

    def random(self, *shape: int) -> str:
        return self.value(self.rng.normal(0, 0.5, shape).astype(np.float32))

    def add(self, op: str, *inputs: str | None, quant: Quant | None = None, outputs: int = 1, **attrs: Any) -> str:
        return self.many(op, *inputs, quant=quant, outputs=outputs, **attrs)[0]

    def many(self, op: str, *inputs: str | None, quant: Quant | None = None, outputs: int = 1, **attrs: Any) -> list[str]:
        names = tuple(f"v{len(self.tensors)}_{i}" for i in range(outputs))
        node = Node(op, inputs, names, attrs, f"{op.lower()}{len(self.nodes)}")
        shapes = infer(node, [None if n is None else self.tensors[n] for n in inputs])
        for name, (shape, dtype) in zip(names, shapes, strict=True):
            self.tensors[name] = Tensor(name, shape, dtype, None, quant)
        self.nodes.append(node)
        return list(names)

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    # -- NCHW, as a reader leaves it ----------------------------------------------------------------------------------

    def nhwc(self, x: str) -> str:
        return self.add("TRANSPOSE", x, perm=(0, 2, 3, 1), quant=self.tensors[x].quant)

    def nchw(self, x: str) -> str:
        return self.add("TRANSPOSE", x, perm=(0, 3, 1, 2), quant=self.tensors[x].quant)

    def conv(self, x: str, channels: int, k: int = 3, groups: int = 1, bias: bool = True, **attrs: Any) -> str:
        c = self.shape(x)[1]
        attrs.setdefault("pad", (k // 2,) * 4)
        b = self.random(channels) if bias else None
        if groups == c > 1:
            return self.nchw(self.add("DEPTHWISE_CONV_2D", self.nhwc(x), self.random(1, k, k, channels), b, **attrs))
        return self.nchw(self.add("CONV_2D", self.nhwc(x), self.random(channels, k, k, c // groups), b, **attrs))

    def norm(self, x: str) -> str:
        rank4 = len(self.shape(x)) == 4
        c = self.shape(x)[1]
        params = [self.random(c), self.random(c), self.random(c), self.value(np.abs(self.rng.normal(1, 0.2, c)) + 0.1)]
        y = self.add("BATCH_NORM", self.nhwc(x) if rank4 else x, *params)
        return self.nchw(y) if rank4 else y

    def pool(self, x: str, op: str = "MAX_POOL_2D", **attrs: Any) -> str:
        return self.nchw(self.add(op, self.nhwc(x), **attrs))

    def dense(self, x: str, features: int, bias: bool = True, **attrs: Any) -> str:
        w = self.random(features, self.shape(x)[-1])
        return self.add("FULLY_CONNECTED", x, w, self.random(features) if bias else None, **attrs)

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("RESHAPE", x, shape=shape, quant=self.tensors[x].quant)

    def graph(self, *outputs: str, **rest: Any) -> Graph:
        return build("net", self.inputs, outputs, self.nodes, self.tensors, **rest)


def feeds_of(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Random data for a graph, in the source's layout; integers for quantized inputs."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for name in graph.inputs:
        shape = source_shape(graph, name)
        if graph[name].dtype == "int8":
            feeds[name] = rng.integers(-128, 128, shape).astype(np.int8)
        else:
            feeds[name] = rng.normal(0, 1, shape).astype(np.float32)
    return feeds


def results(graph: Graph, source: dict[str, Array] | None = None, seed: int = 0) -> dict[str, Array]:
    """What a graph says to data in the source's layout, in the source's layout; integers stay integers."""
    feeds = to_feeds(graph, source if source is not None else feeds_of(graph, seed))
    return from_outputs(graph, reference.run(graph, feeds), real=False)


def assert_same(before: Graph, after: Graph, exact: bool = False) -> None:
    """Same interface, same results."""
    assert before.inputs == after.inputs
    assert before.outputs == after.outputs
    data = feeds_of(before)
    expected, got = results(before, data), results(after, data)
    for name in before.outputs:
        if exact:
            np.testing.assert_array_equal(got[name], expected[name])
        else:
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-4, atol=1e-4)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]
