"""Times by operator on a device that is reached: each engine's way, on this host."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgekit.bench import per_op
from edgekit.bench.on_device import Settings, measure_at
from edgekit.bench.remote import address
from edgekit.errors import EdgekitError
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.report.model import RunReport, TargetResult
from edgekit.report.run import run_text
from tests.bench.devices import QUICK


def branches() -> Graph:
    """A dense layer whose value two others read."""
    weights = const("w", np.full((64, 64), 0.01, np.float32))
    nodes = [
        Node("FULLY_CONNECTED", ("x", "w", None), ("a",), source="dense"),
        Node("TANH", ("a",), ("b",), source="tanh"),
        Node("LOGISTIC", ("a",), ("c",), source="sigmoid"),
        Node("MUL", ("b", "c"), ("y",), source="gate"),
    ]
    return build("branches", ["x"], ["y"], nodes, [weights, *(Tensor(n, (1, 64), "float32") for n in "xabcy")])


def test_a_cut_keeps_what_is_read_later() -> None:
    found = per_op.cuts(branches())
    assert [cut.outputs for cut in found] == [("a",), ("a", "b"), ("b", "c"), ("y",)]
    assert all("w" in cut.tensors for cut in found)
    assert "c" not in found[1].tensors


@pytest.mark.parametrize("engine", ["tflite", "onnx", "c"])
def test_each_engine_says_where_the_time_goes(engine: str) -> None:
    if engine != "c":
        pytest.importorskip({"tflite": "ai_edge_litert", "onnx": "onnxruntime"}[engine])
    settings = Settings(policy=QUICK, engines=(engine,), per_op=True)
    (timed,) = measure_at(address("host"), branches(), None, None, settings)
    found = timed.per_op
    assert found is not None
    assert not found.why
    assert sum(step.share for step in found.steps) == pytest.approx(1)
    if engine != "onnx":  # it names what it fused
        assert [step.source for step in found.steps] == ["dense", "tanh", "sigmoid", "gate"]
    else:
        assert {"Tanh", "Sigmoid"} <= {step.op for step in found.steps}
    assert all(step.share >= 0 for step in found.steps)
    result = TargetResult("host", engine, tuple(timed.measurements()), device=timed.to_json())
    text = run_text(RunReport("m", "0", (result,)))
    assert f"host, {engine}: {found.how}" in text
    assert "sum; a whole run takes" in text


def test_without_the_question_there_is_no_answer() -> None:
    (timed,) = measure_at(address("host"), branches(), None, None, Settings(policy=QUICK, engines=("c",)))
    assert timed.per_op is None
    assert "per_op" not in timed.to_json()


def test_a_cut_that_takes_less_is_noise_and_has_no_share() -> None:
    found = per_op.of_cuts(branches(), json.dumps({"medians_ns": [2e6, 1.9e6, 3e6, 4e6], "runs": 3}).encode())
    assert [round(step.ms, 3) for step in found.steps] == [2.0, -0.1, 1.1, 1.0]
    assert found.steps[1].share == 0
    assert found.whole == 4.0
    with pytest.raises(EdgekitError, match="cut off"):
        per_op.of_cuts(branches(), b"Killed")
