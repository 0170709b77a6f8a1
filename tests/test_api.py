"""The Python API where it differs from the command line: graphs and data sets in memory."""

from __future__ import annotations

import numpy as np

from edgekit import api
from edgekit.data import Dataset, from_arrays
from edgekit.graph import Graph, Node, Tensor, build, const


def dense() -> Graph:
    weight = const("w", np.random.RandomState(0).normal(size=(3, 4)).astype(np.float32))
    tensors = [Tensor("x", (1, 4), "float32"), weight, Tensor("y", (1, 3), "float32")]
    return build("dense", ["x"], ["y"], [Node("FULLY_CONNECTED", ("x", "w"), ("y",))], tensors)


def labelled(graph: Graph, count: int) -> Dataset:
    x = np.random.RandomState(1).normal(size=(count, 4)).astype(np.float32)
    return from_arrays(graph, {"x": x}, np.arange(count) % 3)


def test_samples_and_split_hold_for_data_in_memory_too() -> None:
    graph = dense()
    found = api.quantize(graph, "dense.tflite", labelled(graph, 40), split="25%", samples=12)
    assert found.report.samples == 12
    assert found.accuracy.value is not None
    assert found.accuracy.note.startswith("10 samples")
    assert list(found.files) == ["dense.tflite"]
    report = api.verify(found.graph, data=labelled(graph, 40), samples=5, engines=())
    assert report.samples == 5
