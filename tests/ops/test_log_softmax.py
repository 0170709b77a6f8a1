from __future__ import annotations

import numpy as np
import pytest

from edgekit import ops, reference
from edgekit.engines import ENGINES
from edgekit.errors import BadModel
from edgekit.graph import Graph, Node, Quant, Tensor, build
from edgekit.passes.quantize import quantize
from edgekit.target import find_target
from tests.export.c.test_kernels import compare
from tests.ops.draw import activation
from tests.tflm_judge import agree, feeds_for, one_node

Y = Quant.per_tensor(1 / 16, 127)


def drawn(seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 60)) if seed % 8 else int(rng.integers(200, 1500))
    x = activation("x", (int(rng.integers(1, 5)), depth), rng, float(10 ** rng.uniform(-4, 0.6)))
    return one_node("LOG_SOFTMAX", [x], [Y], {})


def test_integers_equal_tflm() -> None:
    for seed in range(60):
        graph, rng = drawn(seed), np.random.default_rng(seed)
        feeds = feeds_for(graph, rng)
        near = {name: (values // 8).astype(np.int8) for name, values in feeds.items()}
        agree(graph, near if seed % 3 == 0 else feeds)


def test_the_generated_c_equals_the_reference() -> None:
    graphs = [drawn(seed) for seed in (1, 2, 3, 5, 8, 9)]
    names = [f"{name}{i}" for i in range(len(graphs)) for name in ("x", "y")]
    tensors = [
        Tensor(name, t.shape, t.dtype, None, t.quant)
        for name, t in zip(names, [g[n] for g in graphs for n in ("x", "y0")], strict=True)
    ]
    nodes = [Node("LOG_SOFTMAX", (x,), (y,), {}, f"n{x}") for x, y in zip(names[::2], names[1::2], strict=True)]
    compare(build("many", names[::2], names[1::2], nodes, tensors), np.random.default_rng(0))


def test_a_network_that_ends_in_it_has_no_float_operator() -> None:
    rng = np.random.default_rng(3)
    tensors = [Tensor("x", (1, 24), "float32"), Tensor("y", (1, 24), "float32")]
    graph = build("end", ["x"], ["y"], [Node("LOG_SOFTMAX", ("x",), ("y",))], tensors)
    data = [{"x": rng.normal(size=(1, 24)).astype(np.float32) * 2} for _ in range(16)]
    made = quantize(graph, data)
    assert [n.op for n in made.nodes] == ["LOG_SOFTMAX"]
    x = made["x"].quant
    assert x is not None
    feeds = [{"x": np.clip(np.round(d["x"] / x.scale[0] + x.zero_point[0]), -128, 127).astype(np.int8)} for d in data]
    ours = np.array([reference.run(made, f)["y"] for f in feeds])
    real = np.array([reference.run(graph, d)["y"] for d in data])
    assert np.abs((ours.astype(np.float64) - 127) / 16 - real).max() < 0.08
    for engine in ("onnx", "litert", "litert-reference"):
        theirs = ENGINES[engine].run(made, feeds, find_target("mcu"))[0]
        assert np.abs(np.array([t["y"] for t in theirs]).astype(int) - ours.astype(int)).max() <= 1, engine


def test_another_scale_is_refused_and_long_rows_stay_float() -> None:
    graph = one_node("LOG_SOFTMAX", [Tensor("x", (1, 4), "int8", None, Quant.per_tensor(0.1))], [Quant.per_tensor(0.1)], {})
    with pytest.raises(BadModel, match="1/16"):
        reference.run(graph, {"x": np.zeros((1, 4), np.int8)})
    tensors = [Tensor("x", (1, 5000), "float32"), Tensor("y", (1, 5000), "float32")]
    long = build("long", ["x"], ["y"], [Node("LOG_SOFTMAX", ("x",), ("y",))], tensors)
    made = quantize(long, [{"x": np.ones((1, 5000), np.float32)}])
    assert "DEQUANTIZE" in [n.op for n in made.nodes]
    assert ops.TABLE["LOG_SOFTMAX"].fixed["int8"] == (1 / 16, 127)
