from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import ops, reference
from edgekit.graph import Array, Graph, Node, Tensor, build, const
from edgekit.passes.simplify import simplify

Step = tuple[str, list[Array], dict[str, Any]]


def chain(shape: tuple[int, ...], *steps: Step) -> Graph:
    """One operator after another; each with its constants and attributes."""
    tensors, nodes, last = {"x": Tensor("x", shape, "float32")}, [], "x"
    for i, (op, constants, attrs) in enumerate(steps):
        names = [last]
        for j, data in enumerate(constants):
            names.append(f"c{i}_{j}")
            tensors[names[-1]] = const(names[-1], data)
        node = Node(op, tuple(names), (f"t{i}",), attrs, f"{op} {i}")
        (made,) = ops.infer(node, [tensors[n] for n in names])
        last = node.outputs[0]
        tensors[last] = Tensor(last, *made)
        nodes.append(node)
    return build("chain", ["x"], [last], nodes, tensors)


def floats(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def agrees(graph: Graph) -> list[str]:
    """The operators of the simplified graph, which computes the same."""
    simple = simplify(graph)
    x = {"x": floats(*graph["x"].shape)}
    for name, value in reference.run(graph, x).items():
        np.testing.assert_allclose(reference.run(simple, x)[name], value, rtol=1e-4, atol=1e-5)
    return [node.op for node in simple.nodes]


@pytest.mark.parametrize("maker", ["CONV_2D", "TRANSPOSE_CONV"])
def test_a_pixel_shuffles_order_goes_into_the_weights(maker: str) -> None:
    order = np.arange(12, dtype=np.int32).reshape(3, 4).T.reshape(-1)
    steps: list[Step] = [
        (maker, [floats(12, 3, 3, 5), floats(12)], {"activation": "RELU"}),
        ("GATHER", [np.ascontiguousarray(order)], {"axis": 3}),
        ("DEPTH_TO_SPACE", [], {"block": 2}),
    ]
    assert agrees(chain((1, 6, 6, 5), *steps)) == [maker, "DEPTH_TO_SPACE"]


def test_a_grouped_convolutions_channels_stay() -> None:
    order = np.array([3, 2, 1, 0], np.int32)
    steps: list[Step] = [("CONV_2D", [floats(4, 1, 1, 2)], {}), ("GATHER", [order], {"axis": 3})]
    assert agrees(chain((1, 3, 3, 4), *steps)) == ["CONV_2D", "GATHER"]


@pytest.mark.parametrize(
    ("resize", "activation", "channels", "first"),
    [
        ("RESIZE_NEAREST_NEIGHBOR", "RELU", 4, "CONV_2D"),
        ("RESIZE_BILINEAR", "NONE", 4, "CONV_2D"),
        ("RESIZE_BILINEAR", "RELU", 4, "RESIZE_BILINEAR"),
        ("RESIZE_BILINEAR", "NONE", 9, "RESIZE_BILINEAR"),
    ],
)
def test_pointwise_convolutions_come_before_enlarging(resize: str, activation: str, channels: int, first: str) -> None:
    conv: Step = ("CONV_2D", [floats(channels, 1, 1, 6), floats(channels)], {"activation": activation})
    ops_found = agrees(chain((1, 4, 5, 6), (resize, [], {"size": (8, 10), "half_pixel_centers": True}), conv))
    assert ops_found[0] == first
    assert len(ops_found) == 2
