"""Recurrent layers with peepholes, coupled gates, clipping or other functions: written out, equal to ONNX Runtime's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit import reference
from edgekit.boundary import to_feeds
from edgekit.engines import ENGINES
from edgekit.errors import Unsupported
from edgekit.export.onnx import export_onnx
from edgekit.graph import Array
from edgekit.load.onnx import load_onnx
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare
from edgekit.target import find_target
from tests.load.test_onnx_recurrent import UNITS, model, run_ort

HARD = {"activations": ["HardSigmoid", "Tanh", "Softsign"], "activation_alpha": [0.2], "activation_beta": [0.5]}
SCALED = {"activations": ["HardSigmoid", "ScaledTanh"], "activation_alpha": [0.3, 1.7], "activation_beta": [0.4, 0.6]}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"peepholes": True, "input_forget": 1, "clip": 0.7}),
    ("LSTM", HARD),
    ("GRU", {"clip": 0.5, "linear_before_reset": 0}),
    ("GRU", {**SCALED, "linear_before_reset": 1}),
    ("RNN", {"activations": ["Sigmoid"]}),
    ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.2], "clip": 2.0}),
]


def made(op: str, direction: str, attrs: dict[str, Any], state: bool) -> tuple[bytes, dict[str, Array]]:
    """One layer; every direction has the same functions."""
    count = 2 if direction == "bidirectional" else 1
    given: dict[str, Any] = {n: v * count if isinstance(v, list) else v for n, v in attrs.items() if n != "peepholes"}
    file, fed = model(op, direction, state, **given)
    if "peepholes" in attrs:
        proto = onnx.load_from_string(file)
        node = proto.graph.node[0]
        node.input.extend([*[""] * (7 - len(node.input)), "P"])
        values = np.random.default_rng(5).normal(size=(count, 3 * UNITS)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, "P"))
        file = proto.SerializeToString()
    return file, fed


@pytest.mark.parametrize(("op", "attrs"), CASES)
def test_each_equals_onnx_runtime(op: str, attrs: dict[str, Any]) -> None:
    for direction, state in (("forward", True), ("reverse", False), ("bidirectional", True)):
        file, fed = made(op, direction, attrs, state)
        graph = load_onnx(file)
        expected, again = run_ort(file, fed), run_ort(export_onnx(graph), fed)
        for name, value in reference.run(graph, fed).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(again[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("op", "attrs"), [CASES[1], CASES[4]])
def test_each_runs_in_int8(op: str, attrs: dict[str, Any]) -> None:
    file, fed = made(op, "forward", attrs, False)
    rng, graph = np.random.default_rng(0), load_onnx(file)
    data = [{"X": rng.normal(size=fed["X"].shape).astype(np.float32)} for _ in range(24)]
    for engine in ("c", "tflm"):
        legal = prepare(graph, engine)
        integer = quantize(legal, data)
        feeds = [to_feeds(integer, d) for d in data[:4]]
        ours = [reference.run(integer, f) for f in feeds]
        for mine, theirs in zip(ours, ENGINES[engine].run(integer, feeds, find_target("mcu"))[0], strict=True):
            assert all(np.array_equal(mine[n], theirs[n]) for n in mine)
        quant = integer["Y"].quant
        assert quant is not None
        real = [(o["Y"].astype(np.float32) - quant.zero_point[0]) * quant.scale[0] for o in ours]
        assert sqnr_db([reference.run(legal, d)["Y"] for d in data[:4]], real) > 22


def test_unknown_functions_and_too_many_steps_are_refused() -> None:
    with pytest.raises(Unsupported) as caught:
        load_onnx(made("RNN", "forward", {"activations": ["Sine"]}, False)[0])
    assert "sine" in str(caught.value.problems)
    file, _ = made("LSTM", "forward", {"peepholes": True}, False)
    with pytest.raises(Unsupported) as caught:
        load_onnx(file, shapes={"X": (400, 2, 3)})
    assert "2048 nodes" in str(caught.value.problems)
