"""What files of other makers do that none of the readers' own tests thought of: minimal forms of models once met."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.boundary import to_feeds
from edgekit.errors import BadData, Unsupported
from edgekit.load.onnx import load_onnx
from edgekit.load.tflite import load_tflite
from tests.load.tflite_maker import O, T, constant, make

RNG = np.random.default_rng(3)


def onnx_bytes(nodes: list[onnx.NodeProto], shape: tuple[int, ...], held: dict[str, np.ndarray], opset: int = 17) -> bytes:
    """A model x -> y; held: {initializer: values}."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(v, k) for k, v in held.items()]
    told = [x, *(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers)]
    graph = helper.make_graph(nodes, "g", told, [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3).SerializeToString()


def test_a_slope_vector_before_opset_7_belongs_to_the_channels() -> None:
    """As many channels as columns, so that a wrong axis would not be noticed by its shape."""
    slope = np.array([0.1, 0.5, 2.0], np.float32)
    graph = load_onnx(onnx_bytes([helper.make_node("PRelu", ["x", "s"], ["y"])], (1, 3, 2, 3), {"s": slope}, opset=6))
    x = RNG.normal(size=(1, 3, 2, 3)).astype(np.float32)
    y = reference.run(graph, to_feeds(graph, {"x": x}))["y"]
    np.testing.assert_array_equal(y, np.where(x < 0, x * slope.reshape(1, 3, 1, 1), x))


def test_a_model_of_foreign_operators_only_lists_them() -> None:
    nodes = [
        helper.make_node("Scaler", ["x"], ["h"], name="a", domain="ai.onnx.ml"),
        helper.make_node("LinearRegressor", ["h"], ["y"], domain="ai.onnx.ml"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in "xy")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)])
    with pytest.raises(Unsupported) as caught:
        load_onnx(model.SerializeToString())
    assert "Scaler 'a': it belongs to 'ai.onnx.ml'" in str(caught.value)
    assert "LinearRegressor 'y'" in str(caught.value)


def test_data_beyond_float32_is_refused() -> None:
    graph = load_onnx(onnx_bytes([helper.make_node("Relu", ["x"], ["y"])], (1, 2), {}))
    with pytest.raises(BadData, match="beyond the range of float32"):
        to_feeds(graph, {"x": np.array([[1e300, 0.0]])})


def test_what_only_follows_from_a_refused_operator_is_not_blamed() -> None:
    """A shape computed through an operator that cannot be read: that one is listed, and not the RESHAPE behind it."""
    x, h, s, y = T("x", (1, 6)), T("h", (2,), dtype="int32"), T("s", (2,), dtype="int32"), T("y", (2, 3))
    model = make(
        [x, h, s, y, constant("c", np.array([2, 3], np.int32))],
        [
            O("UNIQUE", ["c"], ["h"]),
            O("RESHAPE", ["x", "h"], ["y"]),
        ],
        ["x"],
        ["y"],
    )
    with pytest.raises(Unsupported) as caught:
        load_tflite(model)
    assert "UNIQUE" in str(caught.value)
    assert "RESHAPE" not in str(caught.value)
