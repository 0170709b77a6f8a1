"""The TFLite-Micro runner: results, the arena's growth, its report and its errors."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench import child, tflm
from edgekit.bench.tflm import host_arena, run_tflm, run_tflm_reporting
from edgekit.errors import BadData, EdgekitError, MissingTool
from edgekit.export.tflite import export_tflite
from edgekit.graph import Node, Quant, Tensor, build
from tests.export.tflite_nets import feeds, network
from tests.load.tflite_maker import O, T, make


def test_every_sample_equals_the_reference() -> None:
    graph = network(8, int8=True)
    samples = feeds(graph, 1, 6)
    for sample, result in zip(samples, run_tflm(export_tflite(graph), samples), strict=True):
        for name, value in reference.run(graph, sample).items():
            np.testing.assert_array_equal(value, result[name])


def test_inputs_are_set_again_for_every_sample() -> None:
    """The first input is dead after the first node, so that TFLM puts the second node's output over it."""
    q = Quant.per_tensor(0.1, 2)
    values = [Tensor(n, (1, 4), "int8", None, q) for n in ("a", "b", "s", "t", "y")]
    nodes = [Node("ADD", ("a", "b"), ("s",)), Node("RELU", ("s",), ("t",)), Node("ADD", ("t", "s"), ("y",))]
    graph = build("g", ["a", "b"], ["y"], nodes, values)
    one = {"a": np.array([[1, 2, 3, 4]], np.int8), "b": np.array([[9, 8, 7, 6]], np.int8)}
    results = run_tflm(export_tflite(graph), [one, one, one])
    for result in results:
        np.testing.assert_array_equal(result["y"], results[0]["y"])
    np.testing.assert_array_equal(results[0]["y"], reference.run(graph, one)["y"])


def test_the_host_arena_is_reported() -> None:
    model = export_tflite(network(8, int8=True))
    run = run_tflm_reporting(model, [])
    assert run.outputs == []
    assert run.arena == host_arena(model)
    assert run.arena is not None
    assert run.arena > 500
    assert any("Arena allocation head" in line for line in run.allocations)


def test_the_arena_grows_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(8, int8=True)
    model, samples = export_tflite(graph), feeds(graph, 1, 1)
    sizes: list[int] = []
    ask = child.ask

    def watched(engine: str, model: bytes, job: dict[str, Any], given: Any) -> Any:
        sizes.append(job["arena"])
        return ask(engine, model, job, given)

    head = run_tflm_reporting(model, []).arena
    assert head is not None
    monkeypatch.setattr(child, "ask", watched)
    for first in (head - 64, head // 4):  # in the one TFLM says that it starves, in the other it crashes
        sizes.clear()
        monkeypatch.setattr(tflm, "first_arena", lambda file, first=first: first)
        run_tflm(model, samples)
        assert sizes[:2] == [first, 4 * first]


def test_tflm_says_why_it_cannot() -> None:
    model = make([T("x", (1, 2)), T("y", (1, 2))], [O("RELU_N1_TO_1", ["x"], ["y"])], ["x"], ["y"])
    with pytest.raises(EdgekitError, match="RELU_N1_TO_1"):
        run_tflm(model, [{"x": np.zeros((1, 2), np.float32)}])
    with pytest.raises(BadData):
        run_tflm(model, [{"x": np.zeros((1, 3), np.float32)}])


def test_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tflite_micro" else find(name))
    with pytest.raises(MissingTool) as refusal:
        run_tflm(b"", [])
    assert 'pip install "edgekit[mcu]"' in refusal.value.hint
