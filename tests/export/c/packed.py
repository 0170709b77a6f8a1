"""Random layers for kernels that take several values at once, and both forms of their C held to the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit import reference
from edgekit.bench.host_c import Form, run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph, Quant
from tests.export.c.nets import FUSED, Net, Rng, bias, feeds, pick, weights

Pair = tuple[int, int]
Kinds = Mapping[str, tuple[str, tuple[Pair, ...], tuple[Pair, ...]]]  # kernel -> (op, kernel sizes, strides) it takes
Layer = Callable[[Net, str, Pair, Pair, Rng], list[str]]


def add(net: Net, x: str, rng: Rng) -> list[str]:
    """x and another input of its shape, of any scale, in either order."""
    scale = float(pick(rng, (0.1, 0.05, 0.001, 1e-6, 0.3, 7.0)))
    other = net.input(net.of(x).shape, Quant.per_tensor(scale, int(rng.integers(-128, 128))))
    made = Quant.per_tensor(max(scale, 0.1) * float(rng.uniform(0.3, 3)), int(pick(rng, (-128, 0, 127))))
    return net.op("ADD", [x, other] if rng.random() < 0.5 else [other, x], made, activation=str(pick(rng, FUSED)))


def pads(size: Pair, rng: Rng) -> tuple[int, ...]:
    return tuple(int(rng.integers(0, k)) for k in (size[0], size[0], size[1], size[1]))


def weighted(
    net: Net, op: str, x: str, out: int, size: Pair, attrs: dict[str, Any], rng: Rng, scale: Callable[[float, float], float]
) -> list[str]:
    """A layer of weights with random zero points and activation, dead channels. scale: (what its sums spread over, the
    largest scale of its weights) -> its output's."""
    depth = net.of(x).shape[3]
    w = {
        "CONV_2D": lambda: weights(net, (out, *size, depth), 0),
        "DEPTHWISE_CONV_2D": lambda: weights(net, (1, *size, out), 3),
        "FULLY_CONNECTED": lambda: weights(net, (out, depth), 0),
    }[op]()
    reach = size[0] * size[1] * (1 if op == "DEPTHWISE_CONV_2D" else depth)
    largest = float(w[1].max())
    spread = largest * float(np.sqrt(reach)) * 4 * 10 ** rng.uniform(0, 6 if rng.random() < 0.1 else 0.5)
    quant = Quant.per_tensor(scale(spread, largest), int(pick(rng, (-128, -128, 0, 127, -7))))
    given = {"keep_dims": True} if op == "FULLY_CONNECTED" else attrs
    return net.op(op, [x, w[0], bias(net, out)], quant, activation=str(pick(rng, FUSED)), **given)


def layers(kinds: Kinds, layer: Layer, kernel: str, count: int, seed: int, **options: Any) -> Graph:
    """So many layers that the kernel is for, side by side."""
    op, sizes, strides = kinds[kernel]
    rng = np.random.default_rng(seed)
    net = Net("int8", rng, **options)
    for _ in range(count):
        net.outputs += layer(net, op, pick(rng, sizes), pick(rng, strides), rng)
    return net.graph()


def compare(graph: Graph, rng: Rng, isa: str, const_input: bool = False) -> None:
    """Both forms, under sanitizers."""
    model = compile_c(graph, "net", isa=isa, const_input=const_input)
    data = [feeds(graph, rng) for _ in range(2)]
    forms: tuple[Form, ...] = ("run", "static")
    for form in forms:
        found = run_c(model.files, model.interface, data, sanitize=True, form=form)
        for fed, actual in zip(data, found, strict=True):
            same(graph, reference.run(graph, fed), actual)


def same(graph: Graph, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    made = {name: node for node in graph.nodes for name in node.outputs}
    for name, value in expected.items():
        what = f"{made[name].op} {dict(made[name].attrs)}" if name in made else ""
        np.testing.assert_array_equal(actual[name], value, err_msg=f"{name} {what}")
