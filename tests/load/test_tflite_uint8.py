"""Legacy uint8 TFLite files: made by hand, judged by LiteRT, which still runs them."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgekit import reference
from edgekit.boundary import to_feeds
from edgekit.graph import Array
from edgekit.load import inferred
from edgekit.load.tflite import load_tflite
from tests.load.tflite_maker import O, T, constant, make


def small_net(weight_zero: int, spread: int) -> bytes:
    """conv 3x3 SAME with RELU, mean pool, dense, softmax; weights within `spread` of their zero point."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> T:
        data = np.clip(rng.integers(weight_zero - spread, weight_zero + spread + 1, shape), 0, 255).astype(np.uint8)
        return constant(name, data, scale=[0.01], zero=[weight_zero])

    def bias(name: str, scale: float, size: int) -> T:
        return constant(name, rng.integers(-900, 900, size).astype(np.int32), scale=[scale], zero=[0])

    tensors = [
        T("x", (1, 8, 8, 3), "uint8", scale=[0.02], zero=[120]),
        weights("w1", 4, 3, 3, 3),
        bias("b1", 0.02 * 0.01, 4),
        T("c", (1, 8, 8, 4), "uint8", scale=[0.03], zero=[0]),
        T("p", (1, 2, 2, 4), "uint8", scale=[0.03], zero=[0]),
        constant("flat", np.array([1, 16], np.int32)),
        T("f", (1, 16), "uint8", scale=[0.03], zero=[0]),
        weights("w2", 5, 16),
        bias("b2", 0.03 * 0.01, 5),
        T("g", (1, 5), "uint8", scale=[0.02], zero=[100]),
        T("y", (1, 5), "uint8", scale=[1 / 256], zero=[0]),
    ]
    window = {"padding": 1, "strideH": 4, "strideW": 4, "filterHeight": 4, "filterWidth": 4}
    conv = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": 1}
    ops = [
        O("CONV_2D", ["x", "w1", "b1"], ["c"], "Conv2DOptions", conv),
        O("AVERAGE_POOL_2D", ["c"], ["p"], "Pool2DOptions", window),
        O("RESHAPE", ["p", "flat"], ["f"], "ReshapeOptions", {"newShape": [1, 16]}),
        O("FULLY_CONNECTED", ["f", "w2", "b2"], ["g"], "FullyConnectedOptions"),
        O("SOFTMAX", ["g"], ["y"], "SoftmaxOptions", {"beta": 1.0}),
    ]
    return make(tensors, ops, ["x"], ["y"])


def litert(data: bytes, x: Array) -> Array:
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


@pytest.mark.parametrize(("weight_zero", "spread", "exact"), [(128, 120, True), (97, 127, True), (60, 200, False)])
def test_uint8_becomes_int8(weight_zero: int, spread: int, exact: bool) -> None:
    data = small_net(weight_zero, spread)
    graph = inferred(load_tflite(data))
    assert {graph.tensors[n].dtype for n in (*graph.inputs, *graph.outputs)} == {"int8"}
    assert all(not np.any(graph.tensors[n].quant.zero_point) for n in ("w1", "w2"))  # type: ignore[union-attr]
    assert any("rounded to a larger scale" in note for note in graph.history) != exact
    spec = graph.contract.input("x")
    assert spec.scale == pytest.approx(0.02)
    assert spec.zero_point == 120
    rng = np.random.default_rng(1)
    worst = 0
    for _ in range(8):
        x = rng.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
        (y,) = reference.run(graph, {"x": (x.astype(np.int16) - 128).astype(np.int8)}).values()
        worst = max(worst, int(np.abs(y.astype(int) + 128 - litert(data, x).astype(int)).max()))
    # LiteRT rounds a dense layer once, edgekit as TFLM twice: a step of the logits is up to two of the softmax.
    assert worst <= (2 if exact else 6)
    fed = to_feeds(graph, {"x": (rng.integers(0, 256, (1, 8, 8, 3)) - 120).astype(np.float32) * np.float32(0.02)})
    assert fed["x"].dtype == np.int8
