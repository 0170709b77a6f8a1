"""Operators of ONNX Runtime's own, and inputs of integers that stand for real numbers, judged by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit import reference
from edgekit.errors import Unsupported
from edgekit.graph import Array
from edgekit.load.onnx import load_onnx
from tests.load.onnx_maker import MICROSOFT, agrees, model, op, value

RNG = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    return (RNG.normal(size=shape) / 2).astype(np.float32)


def own(kind: str, inputs: list[str], outputs: str | list[str], **attrs: Any) -> onnx.NodeProto:
    return op(kind, inputs, outputs, MICROSOFT, **attrs)


WIDE = normal(6, 18), normal(18)
CONVOLUTION = {"w": normal(4, 3, 3, 3), "b": normal(4), "w0": normal(4, 3, 3, 3)}
NORM = {"g": normal(6) + 1, "b": normal(6), "bias": normal(6)}
# name -> (nodes, shape of x, initializers)
FLOAT: dict[str, tuple[list[onnx.NodeProto], tuple[int, ...], dict[str, Any]]] = {
    "FusedConv relu": ([own("FusedConv", ["x", "w", "b"], "y", activation="Relu")], (1, 3, 5, 5), CONVOLUTION),
    "FusedConv clip": (
        [own("FusedConv", ["x", "w"], "y", activation="Clip", activation_params=[0.0, 0.4])],
        (1, 3, 5, 5),
        CONVOLUTION,
    ),
    "FusedConv leaky": (
        [own("FusedConv", ["x", "w"], "y", activation="LeakyRelu", activation_params=[0.2])],
        (1, 3, 5, 5),
        CONVOLUTION,
    ),
    "FusedConv sum": (
        [op("Conv", ["x", "w0"], "z"), own("FusedConv", ["x", "w", "b", "z"], "y", activation="Relu")],
        (1, 3, 5, 5),
        CONVOLUTION,
    ),
    "FusedGemm": (
        [own("FusedGemm", ["x", "w", "b"], "y", transB=1, activation="LeakyRelu", activation_alpha=0.3)],
        (2, 6),
        {"w": normal(4, 6), "b": normal(4)},
    ),
    "FusedMatMul weights": ([own("FusedMatMul", ["x", "w"], "y", transB=1, alpha=0.25)], (1, 3, 6), {"w": normal(5, 6)}),
    "FusedMatMul batches": (
        [op("Relu", ["x"], "a"), own("FusedMatMul", ["x", "a"], "y", transBatchA=1, transBatchB=1, transB=1, alpha=0.5)],
        (2, 3, 6),
        {},
    ),
    "Gelu": (
        [own("Gelu", ["x"], "h"), own("BiasGelu", ["h", "b"], "g"), own("FastGelu", ["g"], "y")],
        (2, 6),
        {"b": normal(6)},
    ),
    "QuickGelu": ([own("QuickGelu", ["x"], "h"), own("QuickGelu", ["h"], "y", alpha=1.0)], (2, 6), {}),
    "norms": (
        [
            op("Tanh", ["x"], "s"),
            own("SkipLayerNormalization", ["x", "s", "g", "b", "bias"], ["h", "", "", "sum"], epsilon=1e-5),
            own("SkipSimplifiedLayerNormalization", ["h", "sum", "g"], "r", epsilon=1e-5),
            op("SimplifiedLayerNormalization", ["r", "g"], "y", axis=-1, epsilon=1e-5),
        ],
        (1, 3, 6),
        NORM,
    ),
    "Attention": (
        [own("Attention", ["x", "w", "b", "mask", "", "bias"], "y", num_heads=2, unidirectional=1)],
        (1, 4, 6),
        {"w": WIDE[0], "b": WIDE[1], "mask": np.array([[1, 1, 1, 0]], np.int32), "bias": normal(1, 2, 4, 4)},
    ),
    "Attention lengths": (
        [own("Attention", ["x", "w", "b", "mask"], "y", num_heads=3, scale=0.3)],
        (1, 4, 6),
        {"w": WIDE[0], "b": WIDE[1], "mask": np.array([3], np.int32)},
    ),
    "Attention past": (
        [own("Attention", ["x", "w", "b", "", "past"], ["y", "present"], num_heads=2, unidirectional=1)],
        (1, 4, 6),
        {"w": WIDE[0], "b": WIDE[1], "past": normal(2, 1, 2, 3, 3)},
    ),
    "MultiHeadAttention": (
        [op("Tanh", ["x"], "k"), op("Neg", ["x"], "v"), own("MultiHeadAttention", ["x", "k", "v", "b"], "y", num_heads=2)],
        (1, 4, 6),
        {"b": WIDE[1]},
    ),
    "RotaryEmbedding": (
        [own("RotaryEmbedding", ["x", "first", "cos", "sin"], "y")],
        (1, 4, 8),
        {"first": np.array([2]), "cos": np.cos(normal(8, 2)), "sin": np.sin(normal(8, 2))},
    ),
    "MatMulNBits": (
        [own("MatMulNBits", ["x", "q", "s", "z"], "y", K=40, N=3, bits=4, block_size=16)],
        (2, 40),
        {
            "q": RNG.integers(0, 256, (3, 3, 8), dtype=np.uint8),
            "s": np.abs(normal(9)) + 0.1,
            "z": RNG.integers(0, 256, 6, dtype=np.uint8),
        },
    ),
}


@pytest.mark.parametrize("name", FLOAT)
def test_a_fused_operator_is_what_it_stands_for(name: str) -> None:
    nodes, shape, held = FLOAT[name]
    made = [n for n in nodes[-1].output if n]
    graph = agrees(model(nodes, [value("x", shape)], made, held, domains=[MICROSOFT]))
    assert not any(node.op in ("CAST", "CUSTOM") for node in graph.nodes)


def test_embeddings_are_summed_and_normalized() -> None:
    held = {k: normal(n, 6) for k, n in (("words", 9), ("places", 7), ("kinds", 2))} | NORM
    names = ["ids", "segments", "words", "places", "kinds", "g", "b", "mask"]
    nodes = [
        own("EmbedLayerNormalization", names, ["h", "count"], epsilon=1e-5),
        own("Attention", ["h", "w", "wb", "count"], "y", num_heads=2),
    ]
    inputs = [value(n, [1, 5], TensorProto.INT32) for n in ("ids", "segments", "mask")]
    samples = [
        {
            "ids": RNG.integers(0, 9, (1, 5)).astype(np.int32),
            "segments": np.array([[0, 0, 1, 1, 1]], np.int32),
            "mask": np.array([[1, 1, 1, 1, 0]], np.int32),
        }
    ]
    agrees(model(nodes, inputs, ["y"], held | {"w": WIDE[0], "wb": WIDE[1]}, domains=[MICROSOFT]), samples=samples)


def packed(array: Array) -> tuple[Array, Array]:
    scale = np.asarray(np.abs(array).max() / 127, np.float32)
    return np.rint(array / scale).astype(np.int8), scale


def test_dynamic_quantization_is_read_as_the_float_network() -> None:
    """ONNX Runtime rounds the activations, edgekit does not: about 8 bits of agreement."""
    (w, ws), (a, scale) = packed(normal(6, 4)), packed(WIDE[0])
    nodes = [
        own("DynamicQuantizeMatMul", ["x", "w", "ws", "zero", "b"], "m"),
        op("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
        own("MatMulIntegerToFloat", ["q", "w", "qs", "ws", "qz", "zero", "b"], "n"),
        own("QAttention", ["q", "a", "ab", "qs", "as", "", "qz", "zero"], "o", num_heads=2),
        op("Concat", ["m", "n", "o"], "y", axis=2),
    ]
    held = {"w": w, "ws": ws, "zero": np.int8(0), "b": normal(4), "a": a, "as": scale, "ab": WIDE[1]}
    graph = agrees(model(nodes, [value("x", [1, 5, 6])], ["y"], held, domains=[MICROSOFT]), least=30)
    assert any("dynamic quantization" in line for line in graph.history)


def test_a_dynamically_quantized_lstm_is_read_as_float() -> None:
    (w, ws), (r, rs) = packed(normal(1, 4, 12)), packed(normal(1, 3, 12))
    held = {"w": w, "r": r, "b": normal(1, 24), "ws": ws[None], "rs": rs[None], "z": np.zeros(1, np.int8)}
    inputs = ["x", "w", "r", "b", "", "", "", "", "ws", "z", "rs", "z"]
    nodes = [own("DynamicQuantizeLSTM", inputs, ["y", "", ""], hidden_size=3)]
    agrees(model(nodes, [value("x", [5, 1, 4])], ["y"], held, domains=[MICROSOFT]), least=30)


SCALES: dict[str, Any] = {"xs": np.float32(0.03), "xz": np.uint8(128), "ys": np.float32(0.04), "yz": np.uint8(120)}
WEIGHTS = packed(normal(4, 4, 3, 3))
INTEGER: dict[str, tuple[list[onnx.NodeProto], tuple[int, ...], dict[str, Any]]] = {
    "pool": ([own("QLinearGlobalAveragePool", ["q", "xs", "xz", "ys", "yz"], "z", channels_last=1)], (1, 5, 5, 4), {}),
    "where": (
        [own("QLinearWhere", ["m", "q", "xs", "xz", "k", "xs", "xz", "ys", "yz"], "z")],
        (1, 4),
        {"m": np.array([[True, False, True, False]]), "k": np.array([100], np.uint8)},
    ),
    "convolution": (
        [
            own("QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], "c", channels_last=1),
            own("NhwcMaxPool", ["c"], "z", kernel_shape=[2, 2], strides=[2, 2]),
        ],
        (1, 6, 6, 4),
        {"w": WEIGHTS[0], "ws": WEIGHTS[1], "wz": np.int8(0)},
    ),
}


@pytest.mark.parametrize("name", INTEGER)
def test_integers_with_channels_last(name: str) -> None:
    nodes, shape, held = INTEGER[name]
    steps = [op("QuantizeLinear", ["x", "xs", "xz"], "q"), *nodes, op("DequantizeLinear", ["z", "ys", "yz"], "y")]
    graph = agrees(model(steps, [value("x", shape)], ["y"], SCALES | held, domains=[MICROSOFT]), least=20)
    assert graph.is_quantized


def test_what_stays_foreign_is_told_by_domain_with_the_way_to_the_rest() -> None:
    nodes = [
        op("Tanh", ["x"], "h"),
        own("Inverse", ["h"], "i"),
        op("Scaler", ["h"], "s", "ai.onnx.ml"),
        op("Relu", ["i"], "y"),
        op("Abs", ["h"], "z"),
    ]
    data = model(nodes, [value("x", [1, 3, 3])], ["y", "s", "z"], domains=[MICROSOFT, "ai.onnx.ml"])
    with pytest.raises(Unsupported) as caught:
        load_onnx(data)
    assert "Inverse 'i': it belongs to 'com.microsoft'" in caught.value.message
    assert "Scaler 's': it belongs to 'ai.onnx.ml'" in caught.value.message
    assert caught.value.hint.endswith("--outputs h,z")
    assert load_onnx(data, outputs=["h", "z"]).outputs == ("h", "z")


# Integers that are real numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        (TensorProto.UINT8, (0.0, 255.0)),
        (TensorProto.INT8, (-128.0, 127.0)),
        (TensorProto.INT16, (-32768.0, 32767.0)),
        (TensorProto.INT32, None),
    ],
)
def test_integers_that_are_only_cast_are_real_numbers(kind: int, held: tuple[float, float] | None) -> None:
    nodes = [
        op("Transpose", ["x"], "t", perm=[0, 3, 1, 2]),
        op("Cast", ["t"], "f", to=TensorProto.FLOAT),
        op("Sub", ["f", "mean"], "s"),
        op("Conv", ["s", "w"], "y"),
    ]
    numbers = {"w": normal(2, 3, 2, 2), "mean": np.float32(3.5)}
    data = model(nodes, [value("x", [1, 4, 4, 3], kind)], ["y"], numbers)
    graph = agrees(data, samples=[{"x": RNG.integers(0, 120, (1, 4, 4, 3)).astype(np.float32)}])
    spec = graph.contract.input("x")
    assert (graph["x"].dtype, spec.range, spec.scale, spec.zero_point) == ("float32", held, 1.0, 0)
    assert "CAST" not in [node.op for node in graph.nodes]


def test_integers_that_count_or_point_stay_integers() -> None:
    nodes = [
        op("Gather", ["table", "x"], "g"),
        op("Cast", ["x"], "f", to=TensorProto.FLOAT),
        op("Mul", ["g", "f"], "y"),
    ]
    data = model(nodes, [value("x", [4], TensorProto.INT64)], ["y"], {"table": normal(9)})
    assert agrees(data, samples=[{"x": np.array([0, 8, 3, 3])}])["x"].dtype == "int32"


# Older forms -----------------------------------------------------------------------------------------------------------


def test_statistics_of_each_position() -> None:
    held = {"s": normal(3, 2, 2), "b": normal(3, 2, 2), "m": normal(3, 2, 2), "v": np.abs(normal(3, 2, 2)) + 0.5}
    nodes = [op("BatchNormalization", ["x", "s", "b", "m", "v"], "y", spatial=0)]
    agrees(model(nodes, [value("x", [1, 3, 2, 2])], ["y"], held, opset=7))


def test_initializers_that_are_no_inputs_before_opset_7() -> None:
    held = {"s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3)) + 0.5}
    nodes = [op("BatchNormalization", ["x", "s", "b", "m", "v"], "y", is_test=1, epsilon=1e-3)]
    graph = load_onnx(model(nodes, [value("x", [1, 3, 2, 2])], ["y"], held, opset=6, ir=3))
    assert [n.op for n in graph.nodes if n.op != "TRANSPOSE"] == ["BATCH_NORM"]


def test_the_first_operator_sets_are_converted_step_by_step() -> None:
    """Shapes as attributes, broadcasting that is asked for: a Gemm of opset 3 behind a Reshape."""
    held = {"w": normal(4, 3, 3, 3), "b": normal(4), "f": normal(5, 64), "fb": normal(5)}
    nodes = [
        op("Conv", ["x", "w", "b"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        op("MaxPool", ["c"], "m", kernel_shape=[2, 2], strides=[2, 2]),
        op("Reshape", ["m"], "r", shape=[1, -1]),
        op("Gemm", ["r", "f", "fb"], "y", broadcast=1, transB=1),
    ]
    graph = load_onnx(model(nodes, [value("x", [1, 3, 8, 8])], ["y"], held, opset=3, ir=3))
    today = [*nodes[:2], op("Flatten", ["m"], "r"), op("Gemm", ["r", "f", "fb"], "y", transB=1)]
    other = load_onnx(model(today, [value("x", [1, 3, 8, 8])], ["y"], held))
    x = normal(1, 3, 8, 8)
    np.testing.assert_array_equal(reference.run(graph, {"x": x})["y"], reference.run(other, {"x": x})["y"])


def test_the_mask_of_a_dropout_keeps_everything() -> None:
    nodes = [op("Dropout", ["x"], ["d", "m"]), op("Cast", ["m"], "f", to=TensorProto.FLOAT), op("Mul", ["d", "f"], "y")]
    agrees(model(nodes, [value("x", [1, 4])], ["y"]))


def test_a_computed_slope() -> None:
    nodes = [op("Sigmoid", ["x"], "s"), op("PRelu", ["x", "s"], "y")]
    agrees(model(nodes, [value("x", [1, 4])], ["y"]))


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_known_length_shorter_than_the_sequence(direction: str) -> None:
    count = 2 if direction == "bidirectional" else 1
    held = {"w": normal(count, 12, 2), "r": normal(count, 12, 3), "n": np.array([3], np.int32)}
    nodes = [op("LSTM", ["x", "w", "r", "", "n"], ["y", "h", "c"], hidden_size=3, direction=direction)]
    agrees(model(nodes, [value("x", [5, 1, 2])], ["y", "h", "c"], held))


def test_a_length_that_is_fed_is_fixed_with_the_option_told() -> None:
    held = {"w": normal(1, 12, 2), "r": normal(1, 12, 3)}
    nodes = [op("LSTM", ["x", "w", "r", "", "n"], ["y", "", ""], hidden_size=3)]
    data = model(nodes, [value("x", [5, 1, 2]), value("n", [1], TensorProto.INT32)], ["y"], held)
    with pytest.raises(Unsupported, match="--set n=5"):
        load_onnx(data)
    agrees(data, fixed={"n": "5"}, fed={"n": np.array([5], np.int32)})


def test_nodes_out_of_order_are_put_in_order() -> None:
    """Converters to float16 append the casts of inputs at the end."""
    nodes = [op("Tanh", ["h"], "y"), op("Relu", ["x"], "h")]
    data = model(nodes, [value("x", [1, 4])], ["y"])
    assert [n.op for n in load_onnx(data).nodes] == ["RELU", "TANH"]
    assert [n.op for n in load_onnx(data, outputs=["h"]).nodes] == ["RELU"]


@pytest.mark.parametrize("block", [0, 4])
def test_weights_of_four_bits_are_read_as_real_numbers(block: int) -> None:
    held = {"s": np.abs(normal(2, 6)) + 0.1 if block else np.float32(0.1)}
    attrs: dict[str, Any] = {"axis": 0, "block_size": block} if block else {}
    nodes = [op("DequantizeLinear", ["q", "s"], "w", **attrs)]
    made = onnx.load_from_string(
        model([*nodes, op("MatMul", ["x", "w"], "y")], [value("x", [1, 8])], ["y"], held, opset=21, ir=10)
    )
    made.graph.initializer.append(onnx.helper.make_tensor("q", TensorProto.INT4, [8, 6], RNG.integers(-8, 8, 48).tolist()))
    agrees(made.SerializeToString())


def test_a_sparse_constant_is_read_as_a_dense_one() -> None:
    values, places = (onnx.numpy_helper.from_array(np.array(v, k)) for v, k in (([1.5, 2], np.float32), ([1, 3], np.int64)))
    sparse = onnx.helper.make_sparse_tensor(values, places, [4])
    nodes = [op("Constant", [], "k", sparse_value=sparse), op("Mul", ["x", "k"], "y")]
    agrees(model(nodes, [value("x", [1, 4])], ["y"]))


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_a_quantized_table_is_looked_up(kind: type[np.generic]) -> None:
    """Embeddings of dynamically quantized language models."""
    held = {"table": RNG.integers(0, 100, (9, 4)).astype(kind), "s": np.float32(0.05), "z": kind(40), "w": normal(4, 3)}
    nodes = [
        op("Gather", ["table", "x"], "rows"),
        op("DequantizeLinear", ["rows", "s", "z"], "e"),
        op("MatMul", ["e", "w"], "y"),
    ]
    data = model(nodes, [value("x", [1, 5], TensorProto.INT64)], ["y"], held)
    graph = agrees(data, samples=[{"x": np.array([[0, 8, 3, 3, 1]])}])
    assert not graph.is_quantized


def test_the_page_of_sources_names_every_construct() -> None:
    from pathlib import Path

    from edgekit.load import tflite_batches, tflite_spectrum, tflite_states
    from edgekit.load.onnx import contrib, flow

    text = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text("utf-8")
    tables = (flow.RULES, contrib.RULES, tflite_batches.RULES, tflite_spectrum.RULES, tflite_states.RULES)
    assert not [name for table in tables for name in table if f"`{name}`" not in text]
