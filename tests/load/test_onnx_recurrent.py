from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.errors import Unsupported
from edgekit.export.onnx import export_onnx
from edgekit.graph import Array
from edgekit.load.onnx import load_onnx

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, UNITS = 5, 2, 3, 4


def model(
    op: str, direction: str, state: bool = True, lengths: Array | None = None, **attrs: Any
) -> tuple[bytes, dict[str, Array]]:
    """(file, feeds) of one node with random weights."""
    rng = np.random.default_rng(GATES[op])
    count = 2 if direction == "bidirectional" else 1

    def some(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    rows = GATES[op] * UNITS
    held = {"W": some(count, rows, WIDTH), "R": some(count, rows, UNITS), "B": some(count, 2 * rows)}
    fed = {"X": some(STEPS, BATCH, WIDTH)}
    names = ["X", "W", "R", "B", ""]
    if lengths is not None:
        held["L"], names[4] = lengths.astype(np.int32), "L"
    for name in (["h", "c"] if op == "LSTM" else ["h"]) if state else []:
        fed[name] = some(count, BATCH, UNITS)
        names.append(name)
    outputs = ["Y", "Yh", "Yc"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(op, names, outputs, "cell", hidden_size=UNITS, direction=direction, **attrs)
    graph = helper.make_graph(
        [node],
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in fed.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString(), fed


def run_ort(file: bytes, fed: dict[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, fed), strict=True))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op", "attrs"),
    [("LSTM", {}), ("GRU", {"linear_before_reset": 1}), ("GRU", {"linear_before_reset": 0}), ("RNN", {})],
)
def test_every_direction_equals_onnx_runtime_and_survives_a_round_trip(op: str, attrs: dict[str, Any], direction: str) -> None:
    for state in (False, True):
        file, fed = model(op, direction, state, **attrs)
        graph = load_onnx(file)
        assert sum(n.op == op for n in graph.nodes) == (2 if direction == "bidirectional" else 1)
        expected, again = run_ort(file, fed), run_ort(export_onnx(graph), fed)
        for name, value in reference.run(graph, fed).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(again[name], expected[name], rtol=1e-4, atol=1e-5)


def test_an_rnn_may_have_relu() -> None:
    file, fed = model("RNN", "bidirectional", activations=["Relu", "Tanh"])
    np.testing.assert_allclose(reference.run(load_onnx(file), fed)["Y"], run_ort(file, fed)["Y"], rtol=1e-4, atol=1e-5)


def test_batch_may_come_first() -> None:
    """layout=1, which ONNX Runtime does not run: against layout 0 with everything transposed."""
    file, fed = model("LSTM", "bidirectional")
    expected = reference.run(load_onnx(file), fed)
    proto = onnx.load_from_string(file)
    proto.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_value, dims[1].dim_value = dims[1].dim_value, dims[0].dim_value
    swapped = {n: np.ascontiguousarray(a.transpose(1, 0, 2)) for n, a in fed.items()}
    found = reference.run(load_onnx(proto.SerializeToString()), swapped)
    np.testing.assert_allclose(found["Y"], expected["Y"].transpose(2, 0, 1, 3), atol=1e-6)
    np.testing.assert_allclose(found["Yh"], expected["Yh"].transpose(1, 0, 2), atol=1e-6)


def test_lengths_of_their_own_are_refused() -> None:
    with pytest.raises(Unsupported, match="lengths"):
        load_onnx(model("LSTM", "forward", lengths=np.array([5, 3]))[0])


def test_lengths_of_the_whole_sequence_are_no_lengths() -> None:
    file, fed = model("LSTM", "forward", lengths=np.array([STEPS, STEPS]))
    np.testing.assert_allclose(reference.run(load_onnx(file), fed)["Y"], run_ort(file, fed)["Y"], rtol=1e-4, atol=1e-5)
