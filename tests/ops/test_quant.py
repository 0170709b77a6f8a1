from __future__ import annotations

import numpy as np

from edgekit import reference
from edgekit.graph import Quant, Tensor
from edgekit.ops import unary_table
from tests.ops.draw import activation, any_quant, scale_of
from tests.tflm_judge import agree, feeds_for, one_node


def test_float_to_int8_equals_tflm() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        quant = any_quant(rng, float(10 ** rng.uniform(-2, 0)))
        graph = one_node("QUANTIZE", [Tensor("x", (4, 50), "float32")], [quant], {})
        agree(graph, feeds_for(graph, rng))


def test_halves_round_away_from_zero_as_in_tflm() -> None:
    graph = one_node("QUANTIZE", [Tensor("x", (9,), "float32")], [Quant.per_tensor(0.5, 1)], {})
    agree(graph, {"x": np.array([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 0, 1e9, -1e9], np.float32)})


def test_floats_beside_a_half_equal_tflm() -> None:
    """x / scale is k + 1/2 in float32 and not in float64."""
    for seed in range(5):
        scale = np.float32(np.random.default_rng(seed).uniform(0.01, 0.4))
        graph = one_node("QUANTIZE", [Tensor("x", (200,), "float32")], [Quant.per_tensor(float(scale), 3)], {})
        agree(graph, {"x": ((np.arange(-100, 100) + 0.5) * scale).astype(np.float32)})


def test_between_int8_scales_equals_tflm_and_its_table() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = activation("x", (3, 64), rng)
        graph = one_node("QUANTIZE", [x], [any_quant(rng, scale_of(x) * float(10 ** rng.uniform(-3, 3)))], {})
        feeds = feeds_for(graph, rng)
        agree(graph, feeds)
        table = unary_table(graph.nodes[0], x, graph["y0"])
        np.testing.assert_array_equal(reference.run(graph, feeds)["y0"], table[feeds["x"].astype(int) + 128])


def test_int8_to_int16_and_back_equals_tflm() -> None:
    rng = np.random.default_rng(0)
    wide = Quant.per_tensor(0.001, 0, "int16")
    up = one_node("QUANTIZE", [activation("x", (64,), rng, 0.05)], [wide], {"dtype": "int16"})
    down = one_node("QUANTIZE", [Tensor("x", (64,), "int16", None, wide)], [any_quant(rng, 0.2)], {})
    for graph in (up, down):
        agree(graph, feeds_for(graph, rng))


def test_dequantize_equals_tflm() -> None:
    rng = np.random.default_rng(0)
    graph = one_node("DEQUANTIZE", [activation("x", (64,), rng)], [None], {})
    agree(graph, feeds_for(graph, rng))
