"""Networks that bring their own spectrum: ONNX's STFT and DFT, against ONNX Runtime and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import data, reference
from edgekit.bench.ort import run_onnx
from edgekit.graph import Array
from edgekit.load.onnx import load_onnx
from edgekit.pipeline import prepare, quantize_graph

SAMPLES, FRAME, HOP, MELS = 400, 32, 16, 6


def model(root: bool) -> bytes:
    """log(mel(|STFT|^2) + eps) (root: of the magnitude), then a convolution over time."""
    rng = np.random.RandomState(0)
    bins = FRAME // 2 + 1
    constants = {
        "step": np.array(HOP),
        "window": np.hanning(FRAME).astype(np.float32),
        "length": np.array(FRAME),
        "mel": rng.rand(bins, MELS).astype(np.float32),
        "eps": np.array([1e-3], np.float32),
        "w": rng.randn(4, MELS, 3).astype(np.float32),
        "last": np.array([2]),
    }
    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["x", "last"], ["signal"]),
        node("STFT", ["signal", "step", "window", "length"], ["pairs"], onesided=1),
        node("ReduceSumSquare", ["pairs"], ["power"], axes=[-1], keepdims=0),
        *([node("Sqrt", ["power"], ["spectrum"])] if root else []),
        node("MatMul", ["spectrum" if root else "power", "mel"], ["bands"]),
        node("Add", ["bands", "eps"], ["kept"]),
        node("Log", ["kept"], ["log"]),
        node("Transpose", ["log"], ["turned"], perm=[0, 2, 1]),
        node("Conv", ["turned", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, SAMPLES])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "net", [x], [y], [numpy_helper.from_array(a, n) for n, a in constants.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("root", [False, True])
def test_a_network_with_its_own_spectrum(root: bool) -> None:
    graph = load_onnx(model(root))
    x = np.random.RandomState(1).randn(6, 1, SAMPLES).astype(np.float32)
    wanted = run_onnx(model(root), [{"x": x[0]}])[0]["y"]
    ready = prepare(graph, "c")
    assert np.allclose(reference.run(ready, {"x": x[0]})["y"], wanted.reshape(ready["y"].shape), atol=1e-3)
    first = ready.nodes[0]
    assert (first.op, first.attrs["form"]) == ("STFT", "MAGNITUDE" if root else "POWER")
    after = quantize_graph(graph, data.from_arrays(graph, {"x": x[:, 0]}), "c").after
    assert after["x"].dtype == "float32"  # eight bits would not do for samples
    assert all(after[n.outputs[0]].dtype == "float32" for n in after.nodes if n.op in {"STFT", "ADD", "LOG"})
    assert after["y"].dtype == "int8"


@pytest.mark.parametrize("length", [8, 9])
@pytest.mark.parametrize("kind", ["whole", "half", "back", "inverse"])
def test_dft_is_numpys(kind: str, length: int) -> None:
    rng = np.random.RandomState(2)
    signal = rng.randn(2, length)

    def both(z: Array) -> Array:
        return np.stack([z.real, z.imag], axis=-1)

    cases: dict[str, tuple[Array, Array, dict[str, Any]]] = {
        "whole": (signal[..., None], both(np.fft.fft(signal)), {}),
        "half": (signal[..., None], both(np.fft.rfft(signal)), {"onesided": 1}),
        "back": (both(np.fft.rfft(signal)), signal[..., None], {"onesided": 1, "inverse": 1}),
        "inverse": (both(np.fft.fft(signal)), both(signal.astype(complex)), {"inverse": 1}),
    }
    x, y, attrs = cases[kind]
    node = helper.make_node("DFT", ["x", "n"], ["y"], axis=1, **attrs)
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in (("x", x), ("y", y))]
    given = [numpy_helper.from_array(np.array(length), "n")]
    made = helper.make_model(
        helper.make_graph([node], "dft", ports[:1], ports[1:], given), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 8
    onnx.checker.check_model(made, full_check=False)
    graph = load_onnx(made.SerializeToString())
    assert np.allclose(reference.run(graph, {"x": x.astype(np.float32)})["y"], y, atol=1e-5)
