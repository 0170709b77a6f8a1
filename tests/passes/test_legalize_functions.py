"""Functions, choices and indices on the engines of TFLite: float to rounding, int8 by the reference's own integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgekit import ops, reference
from edgekit.bench.litert import run_litert
from edgekit.bench.tflm import run_tflm
from edgekit.errors import Unsupported
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, Node, Tensor, build, const
from edgekit.ops.functions import FUNCTIONS
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import quantize
from edgekit.passes.rebatch import rebatch

SHAPE = (1, 3, 4)
# Functions of x that need it above 1, or within -1..1.
ABOVE, WITHIN = {"ACOSH", "LOG", "RECIPROCAL", "RSQRT", "SQRT"}, {"ACOS", "ASIN", "ATANH"}


def one(op: str, given: Mapping[str, tuple[tuple[int, ...], str] | Array], **attrs: Any) -> Graph:
    """A graph of one operator on `given`: shapes and dtypes of what is fed, arrays of what is constant."""
    ins = [const(n, v) if isinstance(v, np.ndarray) else Tensor(n, v[0], v[1]) for n, v in given.items()]
    node = Node(op, tuple(given), (), attrs, op)
    made = ops.infer(node, ins)
    names = tuple(f"y{i}" for i in range(len(made)))
    outs = [Tensor(n, s, d) for n, (s, d) in zip(names, made, strict=True)]
    fed = [t.name for t in ins if not t.is_const]
    return build("one", fed, names, [Node(op, node.inputs, names, attrs, op)], [*ins, *outs])


def functions() -> Graph:
    """Every function side by side, and the choices and indices that have an int8 meaning."""
    x = (SHAPE, "float32")
    parts = [one(op, {"x": x}) for op in sorted(FUNCTIONS)] + [one("ELU", {"x": x}, alpha=2.0)]
    parts += [
        one("POW", {"x": x, "e": np.array(3.0, np.float32)}),
        one("CUMSUM", {"x": x}, axis=1, exclusive=True, reverse=True),
    ]
    parts += [one("SQUARED_DIFFERENCE", {"x": x, "z": ((3, 1), "float32")}), one("LESS", {"x": x, "z": ((3, 1), "float32")})]
    parts += [one("SELECT_V2", {"c": ((3, 1), "bool"), "x": x, "z": ((4,), "float32")})]
    parts += [one("TILE", {"x": x}, multiples=(1, 3, 2)), one("BROADCAST_TO", {"x": ((1, 1, 4), "float32")}, shape=SHAPE)]
    parts += [one("GATHER_ND", {"x": x, "i": np.array([[0, 2], [0, 0]], np.int32)}), one("ARG_MAX", {"x": x}, axis=2)]
    parts += [one("SCATTER_ND", {"i": np.array([[1], [3]], np.int32), "x": ((2, 3), "float32")}, shape=(5, 3))]
    parts += [one("ONE_HOT", {"i": ((1, 3), "int32")}, depth=4, axis=2, on=2.0, off=-1.0)]
    tensors: dict[str, Tensor] = {}
    nodes: list[Node] = []
    inputs: list[str] = []
    outputs: list[str] = []
    for number, part in enumerate(parts):
        new = {n: f"{part.nodes[0].op}_{number}_{n}" for n in part.tensors}
        tensors |= {new[n]: Tensor(new[n], t.shape, t.dtype, t.data) for n, t in part.tensors.items()}
        (node,) = part.nodes
        ins, outs = (tuple(new[str(n)] for n in names) for names in (node.inputs, node.outputs))
        nodes.append(Node(node.op, ins, outs, node.attrs, node.op))
        inputs += [new[n] for n in part.inputs]
        outputs += [new[n] for n in part.outputs]
    return build("functions", inputs, outputs, nodes, tensors)


def feeds(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for name in graph.inputs:
        t, op = graph[name], name.rsplit("_", 2)[0]
        if t.dtype == "int8":
            made[name] = rng.integers(-128, 128, t.shape).astype(np.int8)
        elif t.dtype == "bool":
            made[name] = rng.integers(0, 2, t.shape).astype(np.bool_)
        elif t.dtype == "int32":
            made[name] = rng.integers(0, 4, t.shape).astype(np.int32)
        else:
            x = rng.normal(size=t.shape).astype(np.float32)
            made[name] = np.abs(x) + np.float32(1.05) if op in ABOVE else np.clip(x, -0.95, 0.95) if op in WITHIN else x
    return made


def test_float_functions_on_litert() -> None:
    graph, rng = functions(), np.random.default_rng(0)
    legal = legalize(graph, "tflite")
    sample = feeds(graph, rng)
    got, want = run_litert(export_tflite(legal), [sample], "default")[0], reference.run(graph, sample)
    for name in graph.outputs:
        np.testing.assert_allclose(got[name], want[name], rtol=3e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("engine", ["tflite", "tflm"])
def test_int8_functions_stay_whole(engine: str) -> None:
    """Legalized before and after quantization: TFLM gives the reference's integers, LiteRT to one step."""
    graph, rng = functions(), np.random.default_rng(1)
    before = legalize(graph, engine, whole=True)
    assert {"ERF", "TAN", "MISH"} <= {node.op for node in before.nodes}
    quantized = legalize(quantize(before, [feeds(graph, rng) for _ in range(8)]), engine)
    samples = [feeds(quantized, rng) for _ in range(3)]
    model = export_tflite(quantized)
    results = run_tflm(model, samples) if engine == "tflm" else run_litert(model, samples, "default")
    for sample, got in zip(samples, results, strict=True):
        want = reference.run(quantized, sample)
        for name in quantized.outputs:
            gap = np.abs(got[name].astype(np.int64) - want[name].astype(np.int64)).max()
            assert gap <= (0 if engine == "tflm" else 1), f"{name} differs by {gap}"


@pytest.mark.parametrize(
    ("engine", "graph"),
    [
        ("tflm", one("TOPK_V2", {"x": (SHAPE, "float32")}, k=2)),
        ("tflm", one("ATAN", {"x": (SHAPE, "float32")})),
        ("tflm", one("ABS", {"x": (SHAPE, "int32")})),
        ("tflm", one("POW", {"x": (SHAPE, "int32"), "y": (SHAPE, "int32")})),
    ],
)
def test_what_an_engine_lacks_is_refused_by_name(engine: str, graph: Graph) -> None:
    with pytest.raises(Unsupported, match=graph.nodes[0].op if graph.nodes[0].op != "ATAN" else "ATAN2"):
        legalize(graph, engine)


def test_whole_numbers_on_tflm() -> None:
    """Arithmetic on ids: position ids and masks."""
    a, b = (SHAPE, "int32"), ((4,), "int32")
    parts = [one(op, {"a": a, "b": b}) for op in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "LESS")]
    parts += [one("NEG", {"a": a}), one("SQUARE", {"a": a}), one("SELECT_V2", {"c": (SHAPE, "bool"), "a": a, "b": b})]
    parts += [one("TILE", {"a": a}, multiples=(1, 2, 2)), one("CAST", {"a": a}, to="float32")]
    rng = np.random.default_rng(2)
    for graph in parts:
        sample = {
            n: rng.integers(0, 2, graph[n].shape).astype(np.bool_ if graph[n].dtype == "bool" else np.int32)
            for n in graph.inputs
        }
        got, want = run_tflm(export_tflite(legalize(graph, "tflm")), [sample])[0], reference.run(graph, sample)
        for name in graph.outputs:
            np.testing.assert_array_equal(got[name], want[name], err_msg=graph.nodes[0].op)


def test_rebatched_functions_equal_single_runs() -> None:
    rng = np.random.default_rng(3)
    x = ((1, 3, 4), "float32")
    for graph in (
        one("CUMSUM", {"x": x}, axis=1),
        one("ARG_MAX", {"x": x}, axis=1),
        one("TOPK_V2", {"x": x}, k=2),
        one("TILE", {"x": x}, multiples=(1, 2, 1)),
        one("BROADCAST_TO", {"x": ((1, 1, 4), "float32")}, shape=(1, 3, 4)),
        one("REDUCE_PROD", {"x": x}, axes=(1,)),
        one("ONE_HOT", {"x": ((1, 3), "int32")}, depth=4, axis=2),
        one("SELECT_V2", {"c": ((1, 3, 4), "bool"), "x": x, "z": np.zeros((4,), np.float32)}),
    ):
        samples = [feeds(graph, rng) for _ in range(3)]
        single = [reference.run(graph, s) for s in samples]
        together = reference.run(rebatch(graph, 3), {n: np.concatenate([s[n] for s in samples]) for n in graph.inputs})
        for name in graph.outputs:
            np.testing.assert_array_equal(together[name], np.concatenate([s[name] for s in single]))
    with pytest.raises(Unsupported, match="the batch"):
        rebatch(one("CUMSUM", {"x": x}, axis=0), 2)
