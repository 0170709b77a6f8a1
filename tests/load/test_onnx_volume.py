"""Convolutions and pools over three axes: the numbers of ONNX Runtime, in float and, the same in every engine, in int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.boundary import to_feeds
from edgekit.engines import ENGINES
from edgekit.graph import Array
from edgekit.load.onnx import load_onnx
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize
from edgekit.passes.rebatch import rebatch
from edgekit.pipeline import prepare
from edgekit.target import find_target

Layer = tuple[str, list[Array], dict[str, Any]]
rng = np.random.default_rng(0)


def weights(*shape: int) -> list[Array]:
    return [rng.normal(size=shape).astype(np.float32) / 4, rng.normal(size=shape[0]).astype(np.float32)]


def weights_back(*shape: int) -> list[Array]:
    """Of a transposed convolution, without a bias."""
    return [rng.normal(size=shape).astype(np.float32) / 4]


def net(layers: list[Layer], shape: tuple[int, ...]) -> bytes:
    held, nodes, name = [], [], "x"
    for i, (op, arrays, attrs) in enumerate(layers):
        names = [f"w{i}_{k}" for k in range(len(arrays))]
        held += [numpy_helper.from_array(a, n) for n, a in zip(names, arrays, strict=True)]
        nodes.append(helper.make_node(op, [name, *names], [f"y{i}"], name=f"{op}{i}", **attrs))
        name = f"y{i}"
    given, ends = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), (name, None)))
    graph = helper.make_graph(nodes, "net", [given], [ends], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


LAYERS: list[Layer] = [
    ("Conv", weights(4, 3, 3, 3, 3), {"pads": [1] * 6}),
    ("Conv", weights(4, 3, 3, 2, 3), {"strides": [2, 1, 2], "dilations": [2, 1, 1], "pads": [1, 0, 1, 2, 1, 0]}),
    ("Conv", weights(6, 1, 2, 3, 3), {"group": 3, "auto_pad": "SAME_UPPER"}),
    ("Conv", weights(6, 3, 3, 1, 1), {"pads": [1, 0, 0, 1, 0, 0]}),
    ("Conv", weights(6, 3, 1, 3, 3), {"strides": [2, 2, 2]}),
    ("Conv", weights(3, 1, 3, 1, 1), {"group": 3}),
    ("MaxPool", [], {"kernel_shape": [2, 3, 3], "strides": [2, 2, 1], "pads": [0, 1, 1, 1, 1, 1], "ceil_mode": 1}),
    ("MaxPool", [], {"kernel_shape": [2, 2, 2], "dilations": [2, 1, 2]}),
    ("AveragePool", [], {"kernel_shape": [3, 2, 3], "pads": [1, 0, 1, 1, 1, 1], "strides": [2, 1, 2]}),
    ("AveragePool", [], {"kernel_shape": [2, 3, 1], "pads": [1, 1, 0, 1, 1, 0], "count_include_pad": 1}),
    ("ConvTranspose", weights_back(3, 4, 2, 3, 2), {"strides": [2, 2, 1]}),
    (
        "ConvTranspose",
        weights_back(3, 4, 3, 3, 3),
        {"strides": [2, 1, 2], "pads": [1, 1, 0, 1, 2, 1], "output_padding": [1, 0, 1]},
    ),
    ("ConvTranspose", weights_back(3, 2, 2, 1, 3), {"group": 3, "dilations": [2, 1, 1], "strides": [1, 1, 3]}),
    ("ConvTranspose", weights_back(3, 2, 3, 2, 2), {"strides": [3, 2, 2], "output_shape": [14, 15, 11]}),
    ("ConvTranspose", weights_back(3, 2, 2, 2, 2), {"strides": [1, 2, 2], "pads": [3, 0, 0, 2, 0, 0], "dilations": [3, 1, 1]}),
    ("GlobalAveragePool", [], {}),
    ("GlobalMaxPool", [], {}),
    ("BatchNormalization", [*weights(3), np.ones(3, np.float32), np.full(3, 0.7, np.float32)], {}),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer[0]}-{'-'.join(layer[2])}")
def test_each_operator_equals_onnx_runtime(layer: Layer) -> None:
    file = net([layer], (2, 3, 5, 7, 6))
    x = rng.normal(size=(2, 3, 5, 7, 6)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    made = reference.run(load_onnx(file), {"x": x})["y0"]
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


def test_a_video_network_is_the_same_in_int8_everywhere() -> None:
    layers: list[Layer] = [
        ("Conv", weights(4, 3, 3, 3, 3), {"pads": [1] * 6, "strides": [1, 2, 2]}),
        ("Relu", [], {}),
        ("MaxPool", [], {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}),
        ("Conv", weights(6, 4, 3, 1, 1), {"pads": [1, 0, 0, 1, 0, 0]}),
        ("Relu", [], {}),
        ("GlobalAveragePool", [], {}),
    ]
    graph = load_onnx(net(layers, (1, 3, 4, 12, 12)))
    data = [{"x": rng.normal(size=(1, 3, 4, 12, 12)).astype(np.float32)} for _ in range(12)]
    for engine in ("c", "tflm"):
        legal = prepare(graph, engine)
        integer = quantize(legal, data)
        assert {t.dtype for t in integer.tensors.values()} <= {"int8", "int32"}
        feeds = [to_feeds(integer, d) for d in data[:3]]
        ours = [reference.run(integer, f) for f in feeds]
        found = ENGINES[engine].run(integer, feeds, find_target("mcu"))[0]
        name = integer.outputs[0]
        for mine, theirs in zip(ours, found, strict=True):
            np.testing.assert_array_equal(mine[name], theirs[name])
        quant = integer[name].quant
        assert quant is not None
        real = [(o[name].astype(np.float32) - quant.zero_point[0]) * quant.scale[0] for o in ours]
        assert sqnr_db([reference.run(legal, to_feeds(legal, d))[name] for d in data[:3]], real) > 28
        twice = rebatch(legal, 2)
        both = reference.run(twice, {n: np.concatenate([to_feeds(legal, d)[n] for d in data[:2]]) for n in legal.inputs})
        np.testing.assert_allclose(both[name][:1], reference.run(legal, to_feeds(legal, data[0]))[name], rtol=1e-4, atol=1e-5)
