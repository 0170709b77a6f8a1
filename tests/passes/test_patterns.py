"""Operators that exporters write in pieces, put together again; masks kept out of int8 ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit import reference
from edgekit.graph import Array, Graph
from edgekit.load.onnx import load_onnx
from edgekit.passes.quantize import quantize_with_report
from edgekit.passes.rebatch import rebatch
from edgekit.passes.simplify import simplify

RNG = np.random.default_rng(0)


class Pieces:
    """An ONNX graph of one input x, growing by calls."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.nodes, self.consts = shape, list[onnx.NodeProto](), list[onnx.TensorProto]()

    def __call__(self, op: str, *inputs: str | float | Array | list[int], **attrs: Any) -> str:
        names = []
        for value in inputs:
            if not isinstance(value, str):
                kind = np.int64 if isinstance(value, list) else np.float32
                self.consts.append(numpy_helper.from_array(np.asarray(value, kind), f"c{len(self.consts)}"))
                value = self.consts[-1].name
            names.append(value)
        self.nodes.append(helper.make_node(op, names, [f"v{len(self.nodes)}"], **attrs))
        return f"v{len(self.nodes) - 1}"

    def graph(self, y: str) -> Graph:
        ends = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shape)]
        made = helper.make_graph(self.nodes, "g", ends, [onnx.ValueInfoProto(name=y)], self.consts)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        return load_onnx(model.SerializeToString())


def layer_norm(p: Pieces) -> str:
    away = p("Sub", "x", p("ReduceMean", "x", [-1]))
    root = p("Sqrt", p("Add", p("ReduceMean", p("Pow", away, 2.0), [-1]), 1e-5))
    return p("Add", p("Mul", p("Div", away, root), np.arange(1, 9)), np.arange(8))


def keras_norm(p: Pieces) -> str:
    mean = p("ReduceMean", "x", [-1])
    away = p("Sub", "x", mean)
    inverse = p("Reciprocal", p("Sqrt", p("Add", p("ReduceMean", p("Mul", away, away), [-1]), 1e-3)))
    scale = p("Mul", inverse, np.arange(1, 9))
    return p("Add", p("Mul", "x", scale), p("Sub", np.arange(8), p("Mul", mean, scale)))


def rms_norm(p: Pieces) -> str:
    inverse = p("Reciprocal", p("Sqrt", p("Add", p("ReduceMean", p("Pow", "x", 2.0), [-1]), 1e-6)))
    return p("Mul", np.arange(1, 9), p("Mul", "x", inverse))


def gelu(p: Pieces) -> str:
    return p("Mul", p("Mul", "x", p("Add", p("Erf", p("Div", "x", 2**0.5)), 1.0)), 0.5)


def gelu_tanh(p: Pieces) -> str:
    inner = p("Mul", p("Add", "x", p("Mul", p("Pow", "x", 3.0), 0.044715)), (2 / np.pi) ** 0.5)
    return p("Mul", p("Mul", 0.5, "x"), p("Add", 1.0, p("Tanh", inner)))


def length(p: Pieces) -> str:
    return p("Div", "x", p("Sqrt", p("ReduceSum", p("Mul", "x", "x"), [-1])))


def group_norm(p: Pieces) -> str:
    rows = p("Reshape", "x", [0, 2, -1])
    units = p("InstanceNormalization", rows, np.ones(2), np.zeros(2))
    return p(
        "Add", p("Mul", p("Reshape", units, [2, 4, 2, 8]), np.arange(1, 5).reshape(4, 1, 1)), np.arange(4).reshape(4, 1, 1)
    )


PATTERNS: dict[str, tuple[Callable[[Pieces], str], set[str]]] = {
    "layer norm": (layer_norm, {"LAYER_NORM"}),
    "as Keras": (keras_norm, {"LAYER_NORM"}),
    "RMS norm": (rms_norm, {"RMS_NORM"}),
    "GELU": (gelu, {"GELU"}),
    "GELU, tanh": (gelu_tanh, {"GELU"}),
    "SiLU": (lambda p: p("Mul", "x", p("Sigmoid", "x")), {"SILU"}),
    "Mish": (lambda p: p("Mul", p("Tanh", p("Softplus", "x")), "x"), {"MISH"}),
    "length": (length, {"L2_NORMALIZATION"}),
    "softmax": (lambda p: p("Div", p("Exp", "x"), p("ReduceSum", p("Exp", "x"), [-1])), {"SOFTMAX"}),
    "group norm": (group_norm, {"GROUP_NORM", "TRANSPOSE"}),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_pieces_become_one_operator(name: str) -> None:
    build, wanted = PATTERNS[name]
    pieces = Pieces((2, 4, 2, 8))
    graph = pieces.graph(build(pieces))
    whole = simplify(graph)
    assert {node.op for node in whole.nodes} <= wanted
    x = {"x": RNG.normal(size=(2, 4, 2, 8)).astype(np.float32)}
    expected, made = reference.run(graph, x), reference.run(whole, x)
    np.testing.assert_allclose(made[whole.outputs[0]], expected[graph.outputs[0]], rtol=1e-3, atol=1e-4)


def almost(p: Pieces) -> str:
    """Not GELU: another slope."""
    return p("Mul", p("Mul", "x", p("Add", p("Erf", p("Mul", "x", 0.8)), 1.0)), 0.5)


def test_what_only_looks_like_one_stays() -> None:
    pieces = Pieces((2, 4, 8))
    assert "GELU" not in {node.op for node in simplify(pieces.graph(almost(pieces))).nodes}


def attention(p: Pieces, mask: Array) -> str:
    """Four heads of 4 over 6 values of 16, q, k and v of one product; the mask is added."""
    parts = p("Transpose", p("Reshape", p("MatMul", "x", RNG.normal(size=(16, 48)) / 4), [0, 6, 3, 4, 4]), perm=[2, 0, 3, 1, 4])
    q, k, v = (p("Squeeze", p("Gather", parts, [i]), [0]) for i in range(3))
    scores = p("Mul", p("MatMul", q, p("Transpose", k, perm=[0, 1, 3, 2])), 0.5)
    y = p("MatMul", p("Softmax", p("Add", scores, mask), axis=-1), v)
    return p("Reshape", p("Transpose", y, perm=[0, 2, 1, 3]), [0, 6, 16])


@pytest.mark.parametrize("low", [-np.inf, -1e9, -1e4])
def test_attention_is_tidy_and_masks_spoil_no_range(low: float) -> None:
    pieces = Pieces((1, 6, 16))
    graph = simplify(pieces.graph(attention(pieces, np.triu(np.full((6, 6), low), 1).astype(np.float32))))
    ops = [node.op for node in graph.nodes]
    assert ops.count("FULLY_CONNECTED") == 3
    assert ops.count("TRANSPOSE") == 4
    assert not {"MUL", "GATHER", "SLICE"} & set(ops)
    samples = [{"x": RNG.normal(size=(1, 6, 16)).astype(np.float32)} for _ in range(8)]
    integer, report = quantize_with_report(graph, samples, io="float")
    assert len(report.masks) == 1
    assert -60 < report.masks[0][1] < -8
    exact, rounded = (np.concatenate([reference.run(g, s)[g.outputs[0]] for s in samples]) for g in (graph, integer))
    assert 10 * np.log10(np.square(exact).sum() / np.square(exact - rounded).sum()) > 28


def test_batches_of_attention_keep_apart() -> None:
    pieces = Pieces((1, 6, 16))
    graph = simplify(pieces.graph(attention(pieces, np.zeros((6, 6), np.float32))))
    x = RNG.normal(size=(3, 6, 16)).astype(np.float32)
    together = reference.run(rebatch(graph, 3), {"x": x})[graph.outputs[0]]
    apart = np.concatenate([reference.run(graph, {"x": x[i : i + 1]})[graph.outputs[0]] for i in range(3)])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "second"),
    [("bij,bjk->bik", (2, 8, 3)), ("bij,kj->bki", (5, 8)), ("bij,bij->bi", (2, 4, 8)), ("bij,b->ji", (2,)), ("...i,i", (8,))],
)
def test_einsum(equation: str, second: tuple[int, ...]) -> None:
    other = RNG.normal(size=second).astype(np.float32)
    pieces = Pieces((2, 4, 8))
    graph = pieces.graph(pieces("Einsum", "x", other, equation=equation))
    x = RNG.normal(size=(2, 4, 8)).astype(np.float32)
    made = reference.run(graph, {"x": x})[graph.outputs[0]]
    np.testing.assert_allclose(made, np.einsum(equation, x, other), rtol=1e-4, atol=1e-5)
