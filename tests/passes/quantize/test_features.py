"""Features of very different ranges under float inputs: scaled in float, the same function, nothing of them lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import evaluate, metrics, reference
from edgekit.data import Dataset, from_arrays
from edgekit.graph import Array, Graph, Node, Tensor, build, const
from edgekit.ops import infer
from edgekit.passes.quantize.features import scaled
from edgekit.pipeline import Quantized, quantize_graph
from edgekit.verify import verify_model

RANGES = np.array([1000.0, 1.0, 0.01, 30.0, 0.0], np.float32)  # the last feature never changes
CENTRES = np.array([0.0, 500.0, 0.0, -30.0, 7.0], np.float32)


def some(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def net(shape: tuple[int, ...], nodes: list[Node], constants: dict[str, Array]) -> Graph:
    table = {name: const(name, data) for name, data in constants.items()} | {"x": Tensor("x", shape, "float32")}
    for node in nodes:
        ins = [None if n is None else table[n] for n in node.inputs]
        for name, (size, dtype) in zip(node.outputs, infer(node, ins), strict=True):
            table[name] = Tensor(name, size, dtype)
    return build("net", ["x"], [nodes[-1].outputs[0]], nodes, table)


def even(*rows: int) -> Array:
    """Weights of which every feature moves the output alike."""
    return (some(*rows, 5) / np.where(RANGES > 0, RANGES, 1)).astype(np.float32)


def dense() -> Graph:
    nodes = [Node("FULLY_CONNECTED", ("x", "w", "b"), ("y",), {"activation": "RELU"}, "dense")]
    return net((1, 5), nodes, {"w": even(8), "b": -even(8) @ CENTRES})


def two_readers() -> Graph:
    """Query and key of the same rows, each by a layer without a bias."""
    nodes = [
        Node("FULLY_CONNECTED", ("x", "w", None), ("q",), {"keep_dims": True}, "q"),
        Node("FULLY_CONNECTED", ("x", "v", None), ("k",), {"keep_dims": True}, "k"),
        Node("ADD", ("q", "k"), ("y",), {}, "sum"),
    ]
    return net((1, 4, 5), nodes, {"w": even(6), "v": even(6)})


def recurrent() -> Graph:
    nodes = [Node("GRU", ("x", "w", "r", "b"), ("y", "h"), {}, "cell")]
    return net((1, 6, 5), nodes, {"w": 0.3 * even(12), "r": 0.3 * some(12, 4), "b": -0.3 * even(12) @ CENTRES})


def convolution(pad: tuple[int, int, int, int]) -> Graph:
    nodes = [
        Node("RESHAPE", ("x",), ("rows",), {"shape": (1, 1, 8, 5)}, "rows"),
        Node("CONV_2D", ("rows", "w", "b"), ("y",), {"pad": pad}, "conv"),
    ]
    return net((1, 8, 5), nodes, {"w": even(4, 1, 3), "b": some(4)})


def channels_first() -> Graph:
    """A sequence as Conv1d takes it: features before time."""
    nodes = [
        Node("RESHAPE", ("x",), ("rows",), {"shape": (1, 1, 5, 8)}, "rows"),
        Node("TRANSPOSE", ("rows",), ("turned",), {"perm": (0, 1, 3, 2)}, "turn"),
        Node("CONV_2D", ("turned", "w", "b"), ("y",), {"pad": (0, 0, 1, 1)}, "conv"),
    ]
    return net((1, 5, 8), nodes, {"w": even(4, 1, 3), "b": some(4)})


def normalised() -> Graph:
    """The network's own normalisation, which two layers read: it cannot be folded."""
    nodes = [
        Node("SUB", ("x", "mean"), ("centred",), {}, "mean"),
        Node("MUL", ("centred", "factor"), ("scaled",), {}, "std"),
        Node("FULLY_CONNECTED", ("scaled", "w", None), ("a",), {}, "a"),
        Node("TANH", ("scaled",), ("t",), {}, "t"),
        Node("FULLY_CONNECTED", ("t", "w", None), ("b",), {}, "b"),
        Node("ADD", ("a", "b"), ("y",), {}, "sum"),
    ]
    factor = (1 / np.where(RANGES > 0, RANGES, 1)).astype(np.float32)
    return net((1, 5), nodes, {"mean": CENTRES, "factor": factor, "w": some(8, 5)})


def data(graph: Graph, centres: Array = CENTRES) -> Dataset:
    rows = np.random.default_rng(3).uniform(-1, 1, (48, *graph["x"].shape[1:]))
    return from_arrays(graph, {"x": (rows * RANGES + centres).astype(np.float32)})


def made(graph: Graph, samples: Dataset, **options: Any) -> tuple[Quantized, float]:
    done = quantize_graph(graph, samples, "tflite", **options)
    name = graph.outputs[0]
    pairs = [[answer[name] for answer in evaluate.outputs(g, samples)] for g in (graph, done.after)]
    return done, metrics.sqnr_db(*pairs)


@pytest.mark.parametrize(
    "graph", [dense(), two_readers(), recurrent(), convolution((0, 0, 0, 0))], ids=lambda g: g.nodes[-1].op
)
def test_what_one_step_loses_is_scaled_and_the_function_stays(graph: Graph) -> None:
    samples = data(graph)
    even = scaled(graph, samples)
    assert [n.op for n in even.graph.nodes if n.op != "RESHAPE"][:2] == ["SUB", "MUL"]
    name = graph.outputs[0]
    values = [[reference.run(g, sample)[name] for sample in samples] for g in (graph, even.graph)]
    assert metrics.sqnr_db(*values) > 75  # float32 rounds elsewhere
    done, sqnr = made(graph, samples, io="float")
    assert sqnr > 24
    assert "scaled by its own range" in done.notes[0]
    assert {why for op, _, why in done.report.islands} == {"it brings the input's features to one range"}
    assert all(why[0] in ("SUB", "MUL", "RESHAPE") for why in done.report.islands)


def test_before_zeros_are_padded_features_keep_their_zero() -> None:
    graph = convolution((0, 1, 0, 1))
    samples = data(graph, np.zeros(5, np.float32))
    even = scaled(graph, samples)
    assert [n.op for n in even.graph.nodes] == ["RESHAPE", "MUL", "CONV_2D"]
    assert made(graph, samples, io="float")[1] > 24


def test_features_before_time_are_found_where_the_network_reads_them() -> None:
    graph = channels_first()
    rows = np.random.default_rng(3).uniform(-1, 1, (48, 5, 8)) * RANGES[:, None] + CENTRES[:, None]
    done, sqnr = made(graph, from_arrays(graph, {"x": rows.astype(np.float32)}), io="float")
    assert sqnr > 20
    assert "each of its 5 features" in done.notes[0]


def test_the_networks_own_normalisation_stays_float() -> None:
    graph = normalised()
    done, sqnr = made(graph, data(graph), io="float")
    assert sqnr > 24
    assert [op for op, _, _ in done.report.islands] == ["SUB", "MUL"]
    assert "stay float" in done.notes[0]


def test_features_alike_integer_inputs_and_finer_integers_are_left_alone() -> None:
    graph = dense()
    alike = from_arrays(graph, {"x": np.random.default_rng(0).uniform(-1, 1, (8, 5)).astype(np.float32)})
    assert scaled(graph, alike).graph is graph
    assert made(graph, data(graph))[0].notes == ()
    assert made(graph, data(graph), io="float", keep_float=["y"])[0].notes == ()


def test_every_engine_runs_it() -> None:
    graph = dense()
    samples = data(graph)
    report = verify_model(made(graph, samples, io="float")[0].after, ["c", "tflm", "litert", "onnx"], samples)
    assert report.passed
    assert report.row("c").status == "exact"
