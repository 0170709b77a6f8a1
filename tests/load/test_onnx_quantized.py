"""Quantized ONNX files of onnxruntime.quantization in every form it writes, judged by ONNX Runtime; docs/quantized-onnx.md."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.boundary import from_outputs, random_feeds, random_samples, to_feeds
from edgekit.errors import Unsupported
from edgekit.export.onnx import export_onnx
from edgekit.graph import Graph, Quant, Tensor
from edgekit.load import load
from edgekit.load.onnx import HANDLERS, load_onnx, qlinear
from edgekit.load.symmetric import symmetric
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize_with_report
from edgekit.pipeline import prepare
from tests.passes.net import Net

DOCS = Path(__file__).resolve().parents[2] / "docs" / "quantized-onnx.md"
SHAPE = (1, 3, 8, 8)


def small_net(path: Path) -> Path:
    """conv, depthwise, residual add, swish, strided 1x1, concat, pools, dense, softmax."""
    rng = np.random.default_rng(0)
    held: list[Any] = []

    def weights(name: str, *shape: int) -> str:
        held.append(numpy_helper.from_array(rng.normal(0.05, 0.4, shape).astype(np.float32), name))
        return name

    n = helper.make_node
    nodes = [
        n("Conv", ["x", weights("w1", 8, 3, 3, 3), weights("b1", 8)], ["c1"], pads=[1, 1, 1, 1]),
        n("Relu", ["c1"], ["r1"]),
        n("Conv", ["r1", weights("w2", 8, 1, 3, 3), weights("b2", 8)], ["c2"], pads=[1, 1, 1, 1], group=8),
        n("Add", ["r1", "c2"], ["a"]),
        n("Sigmoid", ["a"], ["s"]),
        n("Mul", ["a", "s"], ["m"]),
        n("Conv", ["m", weights("w3", 8, 8, 1, 1)], ["c3"], strides=[2, 2]),
        n("LeakyRelu", ["c3"], ["l"], alpha=0.1),
        n("MaxPool", ["l"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        n("AveragePool", ["l"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        n("Concat", ["p1", "p2"], ["cat"], axis=1),
        n("Flatten", ["cat"], ["f"]),
        n("Gemm", ["f", weights("w4", 5, 64), weights("b4", 5)], ["g"], transB=1),
        n("Softmax", ["g"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "small", [info("x", TensorProto.FLOAT, SHAPE)], [info("y", TensorProto.FLOAT, [1, 5])], held
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def inputs(count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=SHAPE).astype(np.float32)} for _ in range(count)]


def quantized(source: Path, out: Path, form: str, activations: str, weights: str, per_channel: bool) -> Path:
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter(inputs(8, 0))

        def get_next(self) -> Any:
            return next(self.feeds, None)

    logging.disable(logging.WARNING)  # it advises to pre-process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kinds = {"weight_type": getattr(q.QuantType, weights), "per_channel": per_channel}
            if form == "dynamic":
                q.quantize_dynamic(source, out, **kinds)
            else:
                kinds |= {"quant_format": getattr(q.QuantFormat, form), "activation_type": getattr(q.QuantType, activations)}
                q.quantize_static(source, out, Reader(), **kinds)
    finally:
        logging.disable(logging.NOTSET)
    return out


def agreement(graph: Graph, path: Path) -> float:
    """SQNR in dB against ONNX Runtime on the same file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = inputs(10, 1)
    truth = [session.run(None, f)[0] for f in feeds]
    ours = [from_outputs(graph, reference.run(graph, to_feeds(graph, f)))["y"] for f in feeds]
    return sqnr_db(truth, ours)


@pytest.mark.parametrize(
    ("form", "activations", "weights", "per_channel"),
    [
        ("QDQ", "QUInt8", "QInt8", False),
        ("QDQ", "QInt8", "QInt8", True),
        ("QDQ", "QUInt8", "QUInt8", False),
        ("QOperator", "QUInt8", "QInt8", False),
        ("QOperator", "QInt8", "QInt8", True),
        ("QOperator", "QUInt8", "QUInt8", False),
        ("dynamic", "", "QInt8", False),
        ("dynamic", "", "QUInt8", False),
    ],
)
def test_every_form_is_read(form: str, activations: str, weights: str, per_channel: bool, tmp_path: Path) -> None:
    path = quantized(small_net(tmp_path / "f.onnx"), tmp_path / "q.onnx", form, activations, weights, per_channel)
    graph = load(path)
    assert graph.is_quantized == (form != "dynamic")
    assert agreement(graph, path) > 30
    multiplies = [n for n in graph.nodes if n.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    assert len(multiplies) == 4
    if form != "dynamic":  # nothing of them stays float
        assert all(graph.tensors[str(n.inputs[1])].dtype == "int8" for n in multiplies)
    rounded = any("made symmetric, rounded" in note for note in graph.history)
    assert rounded == (weights == "QUInt8" and form != "dynamic")
    assert any("dynamic" in note for note in graph.history) == (form == "dynamic")


def test_weights_with_a_zero_point_stay_exact_where_they_fit() -> None:
    data = np.array([[-100, 20], [7, 27]], np.int8)
    quant = Quant(np.array([0.5], np.float32), np.array([-30]), None, None, "int8")
    tensor = Tensor("w", (2, 2), "int8", data, quant)
    made, exact = symmetric(tensor)
    assert exact
    np.testing.assert_array_equal(made.real(), tensor.real())
    wide = Tensor("w", (2, 2), "int8", np.array([[-128, 127], [0, 5]], np.int8), quant)
    made, exact = symmetric(wide)
    assert not exact
    assert made.quant is not None
    assert np.abs(made.real() - wide.real()).max() <= made.quant.scale[0] / 2


def test_a_product_that_is_not_read_is_refused_by_name() -> None:
    held = [numpy_helper.from_array(np.array(v), n) for n, v in (("s", np.float32(0.1)), ("z", np.uint8(3)))]
    held.append(numpy_helper.from_array(np.ones((2, 2), np.uint8), "w"))
    info = helper.make_tensor_value_info
    product = helper.make_node(
        "QGemm", ["x", "s", "z", "w", "s", "z", "", "s", "z"], ["y"], name="product", domain="com.microsoft", alpha=2.0
    )
    graph = helper.make_graph(
        [product], "g", [info("x", TensorProto.UINT8, [1, 2])], [info("y", TensorProto.UINT8, [1, 2])], held
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(Unsupported, match="QGemm 'product'"):
        load_onnx(helper.make_model(graph, opset_imports=sets).SerializeToString())


def test_the_table_names_every_operator_that_is_read() -> None:
    text = DOCS.read_text("utf-8")
    missing = [op for op in (*qlinear.READ, "QuantizeLinear", "DequantizeLinear") if f"`{op}`" not in text]
    assert not missing
    assert not set(qlinear.READ) & set(HANDLERS)


@pytest.mark.parametrize("ways", [{"scheme": "int16x8"}, {"keep_float": ["CONV_2D"]}, {"keep_float": ["FULLY_CONNECTED"]}])
def test_nodes_that_stayed_float_are_read_so(ways: dict[str, Any]) -> None:
    """A value that goes back into 16 bits behind them is one of 16 bits; weights without a scale make no integer layer."""
    net = Net(3)
    x = net.add("CONV_2D", net.input(1, 6, 6, 3), net.random(4, 3, 3, 3), net.random(4), activation="RELU")
    x = net.add("MEAN", net.add("LOG_SOFTMAX", x), axes=(1, 2))
    graph = net.graph(net.add("FULLY_CONNECTED", x, net.random(5, 4), net.random(5)))
    made, _ = quantize_with_report(prepare(graph, "c"), random_samples(graph, 8), io="float", **ways)
    again = prepare(load_onnx(export_onnx(prepare(made, "onnx", "nhwc"))), "c", "nhwc")
    assert [again[n.outputs[0]].dtype for n in again.nodes if n.op in {"CONV_2D", "FULLY_CONNECTED"}] == [
        made[n.outputs[0]].dtype for n in made.nodes if n.op in {"CONV_2D", "FULLY_CONNECTED"}
    ]
    assert all(n.attrs.get("dtype", "int8") == again[n.outputs[0]].dtype for n in again.nodes if n.op == "QUANTIZE")
    for feed in random_feeds(made, 3):
        ours, theirs = (reference.run(g, feed)[made.outputs[0]] for g in (made, again))
        np.testing.assert_allclose(theirs, ours, atol=1e-6)


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_a_softmax_of_scaled_scores_is_an_integer_one_again(scheme: str) -> None:
    net = Net(1)
    scores = net.add("FULLY_CONNECTED", net.input(1, 6, 8), net.random(40, 8), keep_dims=True)
    graph = net.graph(net.add("SOFTMAX", scores, beta=0.125))
    made, _ = quantize_with_report(prepare(graph, "c"), random_samples(graph, 8), scheme=scheme)
    again = prepare(load_onnx(export_onnx(prepare(made, "onnx", "nhwc"))), "c", "nhwc")
    assert [(n.op, n.attrs.get("beta")) for n in again.nodes] == [("FULLY_CONNECTED", None), ("SOFTMAX", 0.125)]
    for feed in random_feeds(made, 3):
        np.testing.assert_array_equal(reference.run(again, feed)[made.outputs[0]], reference.run(made, feed)[made.outputs[0]])
