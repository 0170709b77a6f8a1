"""Images that are enlarged where they lie: the last pixel first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph
from edgekit.memory import plan
from edgekit.schedule import schedule
from tests.export.c.nets import Net, feeds

MODES: tuple[dict[str, Any], ...] = ({}, {"align_corners": True}, {"half_pixel_centers": True})


def resized(*chains: tuple[str, tuple[int, ...], tuple[int, int], dict[str, Any]]) -> Graph:
    """(operator, shape, size, attributes), each with an input and an output of its own, between two ReLUs."""
    net = Net("int8", np.random.default_rng(0), extreme=False)
    for op, shape, size, attrs in chains:
        quant = net.quant()
        x = net.op("RELU", [net.input(shape, quant)], quant)
        net.outputs += net.op("RELU", net.op(op, x, quant, size=size, **attrs), quant)
    return net.graph()


@pytest.mark.parametrize(
    ("op", "attrs", "more"),
    [
        ("RESIZE_NEAREST_NEIGHBOR", {}, 0),
        ("RESIZE_NEAREST_NEIGHBOR", {"half_pixel_centers": True}, 0),
        ("RESIZE_BILINEAR", {"half_pixel_centers": True}, 16),
        ("RESIZE_BILINEAR", {"align_corners": True}, 16),
    ],
)
def test_an_enlarged_image_takes_the_place_of_the_small_one(op: str, attrs: dict[str, Any], more: int) -> None:
    graph = resized((op, (1, 6, 5, 3), (12, 10), attrs))
    assert plan(schedule(graph)).peak <= -(-12 * 10 * 3 // 16) * 16 + more


@pytest.mark.parametrize("op", ["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"])
def test_any_size_is_right_wherever_it_lies(op: str) -> None:
    sizes = ((12, 10), (3, 2), (12, 3), (2, 15), (7, 6))
    same_in_c(resized(*((op, (2, 6, 5, 3), size, attrs) for size in sizes for attrs in MODES)))


def same_in_c(graph: Graph) -> None:
    model, data = compile_c(graph, "net"), [feeds(graph, np.random.default_rng(i)) for i in range(2)]
    for found, given in zip(run_c(model.files, model.interface, data, sanitize=True), data, strict=True):
        for name, value in reference.run(graph, given).items():
            np.testing.assert_array_equal(found[name], value)
