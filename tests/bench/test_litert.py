"""The LiteRT runner: both resolvers, its errors, and a child that dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench import child
from edgekit.bench.litert import run_litert
from edgekit.engines import ENGINES
from edgekit.errors import BadData, BadModel, EdgekitError, Unsupported
from edgekit.export.tflite import export_tflite
from edgekit.graph import Node, Quant, Tensor, build
from edgekit.target import find_target
from tests.export.tflite_nets import feeds, network
from tests.load.tflite_maker import O, T, constant, make


def test_both_resolvers_and_every_sample() -> None:
    graph = network(0, int8=False)
    model, samples = export_tflite(graph), feeds(graph, 0, 5)
    expected = [reference.run(graph, s) for s in samples]
    for resolver in ("reference", "default"):
        results = run_litert(model, samples, resolver)
        assert [list(r) for r in results] == [list(graph.outputs)] * 5
        for ours, theirs in zip(expected, results, strict=True):
            for name in graph.outputs:
                np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-3)
    assert run_litert(model, []) == []
    with pytest.raises(ValueError, match="resolver"):
        run_litert(model, samples, "fastest")  # type: ignore[arg-type]


def test_signature_names_key_the_results() -> None:
    model = make([T("x:0", (1, 2)), T("y", (1, 2))], [O("RELU", ["x:0"], ["y"])], ["x:0"], ["y"], {"x:0": "in", "y": "out"})
    (result,) = run_litert(model, [{"in": np.array([[-1, 2]], np.float32)}])
    np.testing.assert_array_equal(result["out"], [[0, 2]])


def test_a_sample_or_model_that_does_not_fit() -> None:
    graph = network(0, int8=True)
    model, (sample,) = export_tflite(graph), feeds(graph, 0, 1)
    for bad in ({}, {"image": sample["image"].astype(np.float32)}, {"image": sample["image"][:, 1:]}):
        with pytest.raises(BadData, match="image"):
            run_litert(model, [bad])
    with pytest.raises(BadModel):
        run_litert(model[:100], [sample])


def test_litert_says_why_it_cannot() -> None:
    """PAD with a paddings tensor of the wrong length: the file parses, the kernel refuses."""
    pads = constant("p", np.array([[0, 0]], np.int32))
    model = make([T("x", (1, 2)), T("y", (1, 2)), pads], [O("PAD", ["x", "p"], ["y"], "PadOptions")], ["x"], ["y"])
    with pytest.raises(EdgekitError, match=r"LiteRT cannot run the model: .*PAD"):
        run_litert(model, [{"x": np.zeros((1, 2), np.float32)}])


def test_an_operator_that_a_resolver_lacks_is_not_a_failure_of_the_model() -> None:
    model = make([T("x", (1, 2)), T("y", (1, 2))], [O("ELU", ["x"], ["y"])], ["x"], ["y"])
    sample = {"x": np.array([[-1, 2]], np.float32)}
    assert np.allclose(run_litert(model, [sample], "default")[0]["y"], [[np.expm1(-1), 2]])
    with pytest.raises(Unsupported, match="reference kernels have no version 1"):
        run_litert(model, [sample], "reference")


def test_int8_sum_is_not_judged_by_the_broken_reference_kernel() -> None:
    x = Tensor("x", (1, 2, 2, 1), "int8", None, Quant.per_tensor(0.1, 0))
    y = Tensor("y", (1, 1), "int8", None, Quant.per_tensor(0.2, 0))
    graph = build("sum", ["x"], ["y"], [Node("SUM", ("x",), ("y",), {"axes": (1, 2)}, "sum")], [x, y])
    sample = {"x": np.full((1, 2, 2, 1), 10, np.int8)}
    assert run_litert(export_tflite(graph), [sample], "default")[0]["y"] == 20
    with pytest.raises(Unsupported, match="int8 SUM is broken"):
        ENGINES["litert-reference"].run(graph, [sample], find_target("mcu"))


class Interrupted:
    """A pipe that is interrupted when it is read."""

    def __init__(self, pipe: Any) -> None:
        self.close = pipe.close

    def read(self, size: int) -> bytes:
        raise KeyboardInterrupt


def test_a_child_that_dies_or_hangs_is_an_error_and_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    graph = network(0, int8=False)
    model, samples = export_tflite(graph), feeds(graph, 0, 1)
    run_litert(model, samples)
    child.worker("litert").process.kill()
    child.worker("litert").process.wait()
    with pytest.raises(EdgekitError, match="litert ended while running the model"):
        run_litert(model, samples)
    assert run_litert(model, samples)
    child.close_all()
    (tmp_path / "asleep.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(child, "TIME_LIMIT", 0.3)
    monkeypatch.setattr(child, "SCRIPT", tmp_path / "asleep.py")
    with pytest.raises(EdgekitError, match="exit status -9"):
        run_litert(model, samples)
    monkeypatch.undo()
    assert run_litert(model, samples)


def test_an_interrupted_answer_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make([T("x", (1, 2)), T("y", (1, 2))], [O("RELU", ["x"], ["y"])], ["x"], ["y"])
    first, second = ({"x": np.full((1, 2), value, np.float32)} for value in (1, 2))
    busy = child.worker("litert")
    monkeypatch.setattr(busy.process, "stdout", Interrupted(busy.process.stdout))
    with pytest.raises(KeyboardInterrupt):
        run_litert(model, [first])
    monkeypatch.undo()
    assert np.array_equal(run_litert(model, [second])[0]["y"], second["x"])
