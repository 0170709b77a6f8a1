"""Values of fixed scale that end in a CONCATENATION, as a detector's sigmoid does, keep it for their other readers."""

from __future__ import annotations

import numpy as np

from edgekit import ops, reference
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize_with_report


def head() -> Graph:
    """sigmoid(x)'s first half, times 60, beside its second half."""
    tensors = {"x": Tensor("x", (1, 8, 6), "float32"), "sixty": const("sixty", np.array([60.0], np.float32))}
    cut = {"size": (1, 8, 3), "stride": (1, 1, 1)}
    nodes = [
        Node("LOGISTIC", ("x",), ("s",), {}, "sigmoid"),
        Node("SLICE", ("s",), ("a",), {"begin": (0, 0, 0), **cut}, "boxes"),
        Node("SLICE", ("s",), ("b",), {"begin": (0, 0, 3), **cut}, "scores"),
        Node("MUL", ("a", "sixty"), ("m",), {}, "scaled"),
        Node("CONCATENATION", ("m", "b"), ("y",), {"axis": 2}, "joined"),
    ]
    for node in nodes:
        (made,) = ops.infer(node, [None if n is None else tensors[n] for n in node.inputs])
        tensors[node.outputs[0]] = Tensor(node.outputs[0], *made)
    return build("head", ["x"], ["y"], nodes, tensors)


def test_a_sigmoid_is_requantized_where_it_is_joined() -> None:
    graph, rng = head(), np.random.default_rng(0)
    data = [{"x": rng.normal(size=(1, 8, 6)).astype(np.float32)} for _ in range(8)]
    integer, report = quantize_with_report(graph, data, io="float")
    assert [name for name, _, _ in report.requantizes] == ["b"]
    quant = integer["a"].quant
    assert quant is not None
    assert quant.scale[0] == np.float32(1 / 256)
    real, found = ([reference.run(g, d)["y"] for d in data] for g in (graph, integer))
    assert sqnr_db(real, found) > 40


def test_equal_fixed_scales_are_joined_as_they_are() -> None:
    tensors = {"x": Tensor("x", (1, 4), "float32")}
    nodes = [
        Node("LOGISTIC", ("x",), ("a",), {}, "first"),
        Node("LOGISTIC", ("a",), ("b",), {}, "second"),
        Node("CONCATENATION", ("a", "b"), ("y",), {"axis": 1}, "joined"),
    ]
    for node in nodes:
        (made,) = ops.infer(node, [None if n is None else tensors[n] for n in node.inputs])
        tensors[node.outputs[0]] = Tensor(node.outputs[0], *made)
    graph = build("pair", ["x"], ["y"], nodes, tensors)
    _, report = quantize_with_report(graph, [{"x": np.array([[-1, 0, 1, 2]], np.float32)}])
    assert report.requantizes == ()
