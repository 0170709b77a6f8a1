"""Features that one scale cannot hold are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import api
from edgekit.coarse import coarse_inputs
from edgekit.data import from_arrays
from edgekit.graph import Array, Graph, Node, Tensor, build


def table(shape: tuple[int, ...], features: int) -> Graph:
    """A dense layer over the last axis."""
    rng = np.random.default_rng(0)
    weights = Tensor("w", (2, features), "float32", rng.normal(size=(2, features)).astype(np.float32))
    tensors = [Tensor("x", shape, "float32"), weights, Tensor("y", (*shape[:-1], 2), "float32")]
    node = Node("FULLY_CONNECTED", ("x", "w", None), ("y",), {"keep_dims": True})
    return build("table", ["x"], ["y"], [node], tensors)


def quantized(shape: tuple[int, ...], x: Array, **options: Any) -> tuple[str, ...]:
    graph = table(shape, shape[-1])
    return api.quantize(graph, "out.tflite", from_arrays(graph, {"x": x}), **options).notes


def spread(*shape: int) -> Array:
    """Real numbers in 0..1, the last feature in 0..1000, the first constant."""
    x = np.random.default_rng(1).random(shape).astype(np.float32)
    x[..., 0] = 3
    x[..., -1] *= 1000
    return x


@pytest.mark.parametrize("shape", [(1, 5), (1, 4, 5)])
def test_features_below_the_step_are_named(shape: tuple[int, ...]) -> None:
    (note,) = quantized(shape, spread(20, *shape[1:]))
    assert "input 'x': 3 of 5 features move less than 2 of its steps of 3.8" in note


def test_features_alike_and_finer_integers_are_fine() -> None:
    x = spread(20, 5)
    assert quantized((1, 5), x, scheme="int16x8") == ()
    assert quantized((1, 5), x / np.array([1, 1, 1, 1, 1000], np.float32)) == ()
    assert quantized((1, 5), np.ones((3, 5), np.float32)) == ()
    assert coarse_inputs(table((1, 5), 5), [{"x": x[:1]}]) == ()
