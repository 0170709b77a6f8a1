from __future__ import annotations

import numpy as np
import pytest

from edgekit.bench.ort import Session, run_onnx
from edgekit.errors import BadModel, EdgekitError
from edgekit.export.onnx import export_onnx
from tests.passes.net import Net


@pytest.fixture
def double() -> bytes:
    net = Net()
    x = net.input(1, 3)
    return export_onnx(net.graph(net.add("ADD", x, x)))


def test_each_sample_gives_its_outputs_by_name(double: bytes) -> None:
    samples = [{"x": np.full((1, 3), i, np.float32)} for i in range(3)]
    for i, outputs in enumerate(run_onnx(double, samples)):
        (value,) = outputs.values()
        np.testing.assert_array_equal(value, np.full((1, 3), 2 * i))


def test_session_tells_names(double: bytes) -> None:
    session = Session(double)
    assert session.inputs == ("x",)
    assert len(session.outputs) == 1


def test_refusals_are_edgekit_errors(double: bytes) -> None:
    with pytest.raises(BadModel, match="refuses"):
        run_onnx(b"not a model", [])
    with pytest.raises(EdgekitError, match="ONNX Runtime failed"):
        run_onnx(double, [{"x": np.zeros((1, 4), np.float32)}])
    with pytest.raises(EdgekitError, match="ONNX Runtime failed"):
        run_onnx(double, [{"y": np.zeros((1, 3), np.float32)}])
