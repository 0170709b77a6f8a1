"""graph: what check refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import BadModel
from edgekit.graph import Graph, Node, Quant, Tensor, build, check, const

X = Tensor("x", (1, 4), "int8", None, Quant.per_tensor(0.5))
Y = replace(X, name="y")
RELU = Node("RELU", ("x",), ("y",), {}, "relu")


def graph(*tensors: Tensor, nodes: tuple[Node, ...] = (RELU,)) -> Graph:
    return build("g", ["x"], ["y"], nodes, [X, Y, *tensors])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_are_positive_numbers(scale: float) -> None:
    with pytest.raises(BadModel, match="'y' has a scale that is not a positive number"):
        graph(replace(Y, quant=Quant.per_tensor(scale)))


def test_a_dead_channel_of_weights_may_have_no_scale() -> None:
    weights = const("w", np.zeros((2, 4), np.int8), Quant.per_channel(np.array([0.0, 0.1]), 0))
    check(graph(replace(Y, shape=(1, 2)), weights, nodes=(Node("FULLY_CONNECTED", ("x", "w"), ("y",)),)))


@pytest.mark.parametrize(
    ("nodes", "tensors", "why"),
    [
        ((RELU, RELU), (), "'y' is made twice"),
        ((replace(RELU, inputs=("y",)),), (), "reads 'y' before it is made"),
        ((replace(RELU, inputs=("z",)),), (), "undefined values: z"),
        ((), (), "output 'y' is never made"),
        ((RELU,), (replace(Y, dtype="int3"),), "unknown dtype int3"),
        ((RELU,), (replace(Y, shape=(-1, 4)),), "dynamic shape"),
        ((RELU,), (replace(Y, data=np.zeros((1, 4), np.int8)),), "writes the constant 'y'"),
        ((RELU,), (replace(X, data=np.zeros((4,), np.int8)),), r"declared \(1, 4\) but holds \(4,\)"),
        ((RELU,), (replace(X, data=np.zeros((1, 4), np.int16)),), "declared int8 but holds int16"),
        ((RELU,), (replace(Y, quant=Quant.per_channel(np.ones(3), 1)),), "3 scales for axis 1"),
    ],
)
def test_faults_are_named(nodes: tuple[Node, ...], tensors: tuple[Tensor, ...], why: str) -> None:
    with pytest.raises(BadModel, match=why):
        graph(*tensors, nodes=nodes)
