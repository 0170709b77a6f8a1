"""Gathers of more axes than an engine takes."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.graph import Node, Shape, Tensor, build
from edgekit.passes.legalize import legalize

CASES: list[tuple[Shape, int, Shape]] = [((30,), 0, (1, 2, 3, 2, 2)), ((2, 3, 4, 5), 2, (2, 3)), ((2, 3, 2, 2, 4), 4, (3,))]


@pytest.mark.parametrize(("shape", "axis", "ids"), CASES)
def test_gathers_of_many_axes_are_done_at_four(shape: Shape, axis: int, ids: Shape) -> None:
    rng = np.random.default_rng(0)
    made = (*shape[:axis], *ids, *shape[axis + 1 :])
    tensors = [Tensor("x", shape, "float32"), Tensor("ids", ids, "int32"), Tensor("y", made, "float32")]
    graph = build("gather", ["x", "ids"], ["y"], [Node("GATHER", ("x", "ids"), ("y",), {"axis": axis})], tensors)
    x, places = rng.normal(size=shape).astype(np.float32), rng.integers(0, shape[axis], ids).astype(np.int32)
    legal = legalize(graph, "c")
    assert all(len(legal[o].shape) <= 4 for n in legal.nodes for o in n.outputs if n.op == "GATHER")
    np.testing.assert_array_equal(reference.run(legal, {"x": x, "ids": places})["y"], x.take(places, axis))
