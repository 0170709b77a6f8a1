"""Control flow and sequences, judged by ONNX Runtime, which runs them as they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit import reference
from edgekit.errors import BadModel, Unsupported
from edgekit.graph import Array
from edgekit.load.onnx import load_onnx
from tests.load.onnx_maker import agrees, body, model, op, value

INT64, BOOL = TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(5)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def chosen(condition: str, then: onnx.GraphProto, other: onnx.GraphProto, outputs: list[str]) -> onnx.NodeProto:
    return op("If", [condition], outputs, then_branch=then, else_branch=other)


def constant(name: str, number: float) -> onnx.NodeProto:
    return op("Constant", [], name, value=onnx.numpy_helper.from_array(np.asarray(number, np.float32)))


def test_two_bodies_may_use_the_same_names() -> None:
    """The constant of the second must not be the first one's."""

    def inner(kind: str, source: str, number: float) -> onnx.GraphProto:
        return body([constant("k", number), op(kind, [source, "k"], "v")], [], [value("v")])

    nodes = [
        op("Equal", ["sr", "rate"], "c"),
        chosen("c", inner("Mul", "x", 2), inner("Add", "x", 3), ["h"]),
        chosen("c", inner("Mul", "h", 5), inner("Sub", "h", 7), ["y"]),
    ]
    data = model(nodes, [value("x", [1, 4]), value("sr", [], INT64)], ["y"], {"rate": np.array(16000)})
    for rate in (8000, 16000):
        agrees(data, fed={"sr": np.array(rate)}, fixed={"sr": str(rate)})


def test_nested_branches_read_what_the_outer_one_made() -> None:
    def inner(kind: str) -> onnx.GraphProto:
        return body([op(kind, ["t", "two"], "v")], [], [value("v")])

    outer = body([op("Tanh", ["x"], "t"), chosen("small", inner("Mul"), inner("Add"), ["w"])], [], [value("w")])
    other = body([op("Relu", ["x"], "t"), chosen("small", inner("Sub"), inner("Div"), ["w"])], [], [value("w")])
    nodes = [op("Equal", ["sr", "rate"], "c"), op("Less", ["sr", "rate"], "small"), chosen("c", outer, other, ["y"])]
    held: dict[str, Any] = {"rate": np.array(16000), "two": np.float32(2)}
    data = model(nodes, [value("x", [1, 4]), value("sr", [], INT64)], ["y"], held)
    for rate in (8000, 16000, 48000):
        agrees(data, fed={"sr": np.array(rate)}, fixed={"sr": str(rate)})


def test_a_recurrent_layer_stands_in_a_branch() -> None:
    """Its last state is read only inside: it must not be dropped as unused."""
    units = 3
    held: dict[str, Any] = {
        "w": normal(1, 4 * units, 2),
        "r": normal(1, 4 * units, units),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
    }
    inner = [
        op("Gather", ["state", "first"], "h"),
        op("Gather", ["state", "second"], "c"),
        op("LSTM", ["x", "w", "r", "", "", "h", "c"], ["yy", "yh", "yc"], hidden_size=units),
        op("Concat", ["yh", "yc"], "out", axis=0),
        op("Squeeze", ["yy", "second"], "y1"),
    ]
    then = body(inner, [], [value("y1"), value("out")], held)
    other = body([op("Identity", ["x"], "a"), op("Identity", ["state"], "b")], [], [value("a"), value("b")])
    nodes = [op("Equal", ["sr", "rate"], "is"), chosen("is", then, other, ["y", "next"])]
    inputs = [value("x", [5, 1, 2]), value("state", [2, 1, units]), value("sr", [], INT64)]
    graph = agrees(
        model(nodes, inputs, ["y", "next"], {"rate": np.array(16000)}), fed={"sr": np.array(16000)}, fixed={"sr": "16000"}
    )
    assert [n.op for n in graph.nodes].count("LSTM") == 1


def test_a_condition_on_data_computes_both_branches_and_says_so() -> None:
    then, other = body([op("Relu", ["x"], "a")], [], [value("a")]), body([op("Neg", ["x"], "b")], [], [value("b")])
    nodes = [
        op("ReduceSum", ["x"], "s", keepdims=0),
        op("Greater", ["s", "zero"], "c"),
        chosen("c", then, other, ["h"]),
        op("Tanh", ["h"], "y"),
    ]
    samples = [{"x": np.full((1, 4), sign, np.float32)} for sign in (0.5, -0.5)]
    graph = agrees(model(nodes, [value("x", [1, 4])], ["y"], {"zero": np.float32(0)}), samples=samples)
    assert any("both branches" in line for line in graph.history)


def test_a_condition_on_data_between_shapes_is_refused() -> None:
    then, other = (
        body([op("Concat", ["x", "x"], "a", axis=1)], [], [value("a")]),
        body([op("Neg", ["x"], "b")], [], [value("b")]),
    )
    nodes = [op("ReduceSum", ["x"], "s", keepdims=0), op("Greater", ["s", "zero"], "c"), chosen("c", then, other, ["y"])]
    with pytest.raises(Unsupported, match=r"If 'y': its branches give float32\[1, 8\] and float32\[1, 4\].*depends on x"):
        load_onnx(model(nodes, [value("x", [1, 4])], ["y"], {"zero": np.float32(0)}))


def turning(steps: str = "n") -> list[onnx.NodeProto]:
    """v = tanh(v W + x[i]), collected; as often as x has rows, or `steps`."""
    inner = body(
        [
            op("Gather", ["x", "i"], "row", axis=0),
            op("MatMul", ["v", "w"], "m"),
            op("Add", ["m", "row"], "a"),
            op("Tanh", ["a"], "next"),
            op("Identity", ["go"], "on"),
            op("Identity", ["next"], "seen"),
        ],
        [value("i", [], INT64), value("go", [], BOOL), value("v", [1, 3])],
        [value("on", [], BOOL), value("next", [1, 3]), value("seen", [1, 3])],
    )
    return [
        op("Shape", ["x"], "s"),
        op("Gather", ["s", "zero"], "n", axis=0),
        op("Loop", [steps, "yes", "v0"], ["last", "all"], body=inner),
    ]


HELD: dict[str, Any] = {"zero": np.int64(0), "yes": np.bool_(True), "v0": np.zeros((1, 3), np.float32), "w": normal(3, 3)}


def test_a_loop_of_a_known_number_of_turns_is_written_out() -> None:
    data = model(turning(), [value("x", ["t", 3])], ["last", "all"], HELD)
    for steps in (1, 4):
        graph = agrees(data, shapes={"x": (steps, 3)})
        assert [n.op for n in graph.nodes].count("TANH") == steps
    with pytest.raises(Unsupported, match="written out, its 500 turns are 3000 nodes"):
        load_onnx(data, shapes={"x": (500, 3)})


def test_a_loop_whose_end_is_computed_is_refused() -> None:
    inner = body(
        [op("Mul", ["v", "half"], "next"), op("ReduceMax", ["next"], "top", keepdims=0), op("Greater", ["top", "half"], "on")],
        [value("i", [], INT64), value("go", [], BOOL), value("v", [1, 3])],
        [value("on", [], BOOL), value("next", [1, 3])],
    )
    nodes = [op("Loop", ["n", "", "x"], ["y"], name="loop", body=inner)]
    with pytest.raises(Unsupported, match=r"Loop 'loop': whether it goes on is computed at run time"):
        load_onnx(model(nodes, [value("x", [1, 3])], ["y"], {"n": np.int64(3), "half": np.float32(0.5)}))


@pytest.mark.parametrize("directions", [(0, 0), (1, 0), (1, 1)])
def test_a_scan_is_written_out(directions: tuple[int, int]) -> None:
    inner = body(
        [op("MatMul", ["h", "w"], "m"), op("Add", ["m", "row"], "a"), op("Tanh", ["a"], "n"), op("Identity", ["n"], "seen")],
        [value("h", [1, 3]), value("row", [1, 3])],
        [value("n", [1, 3]), value("seen", [1, 3])],
    )
    attrs: dict[str, Any] = {"num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1]}
    attrs |= {"scan_input_directions": [directions[0]], "scan_output_directions": [directions[1]]}
    nodes = [op("Scan", ["v0", "x"], ["last", "all"], body=inner, **attrs)]
    agrees(model(nodes, [value("x", [1, 4, 3])], ["last", "all"], {"v0": HELD["v0"], "w": HELD["w"]}))


@pytest.mark.parametrize(
    "nodes",
    [
        [op("SplitToSequence", ["x", "two"], "q", axis=1), op("SequenceAt", ["q", "last"], "y")],
        [op("SplitToSequence", ["x", "sizes"], "q", axis=1), op("SequenceAt", ["q", "first"], "y")],
        [op("SplitToSequence", ["x"], "q", axis=1, keepdims=0), op("SequenceAt", ["q", "two"], "y")],
        [op("SequenceConstruct", ["x", "x2"], "q"), op("ConcatFromSequence", ["q"], "y", axis=1)],
        [
            op("SequenceEmpty", [], "q0"),
            op("SequenceInsert", ["q0", "x"], "q1"),
            op("SequenceInsert", ["q1", "x2", "first"], "q2"),
            op("SequenceInsert", ["q2", "x2", "last"], "q3"),
            op("SequenceErase", ["q3", "first"], "q4"),
            op("ConcatFromSequence", ["q4"], "y", axis=2, new_axis=1),
        ],
        [
            op("SplitToSequence", ["x", "two"], "q", axis=1),
            op("SequenceLength", ["q"], "n"),
            op("Cast", ["n"], "f", to=TensorProto.FLOAT),
            op("Mul", ["x", "f"], "y"),
        ],
    ],
)
def test_sequences_are_values_beside_each_other(nodes: list[onnx.NodeProto]) -> None:
    held = {"two": np.int64(2), "first": np.int64(0), "last": np.int64(-1), "sizes": np.array([1, 4], np.int64)}
    agrees(model([op("Neg", ["x"], "x2"), *nodes], [value("x", [1, 5, 3])], ["y"], held))


def test_a_sequence_is_no_output() -> None:
    end = onnx.helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None)
    nodes = [op("Neg", ["x"], "a"), op("Abs", ["x"], "b"), op("SequenceConstruct", ["a", "b"], "q")]
    with pytest.raises(BadModel, match="output 'q' is a sequence of 2 values") as caught:
        load_onnx(model(nodes, [value("x", [1, 5])], [end]))
    assert "--outputs a,b" in caught.value.hint


def test_comparisons_with_zero_run_on_litert() -> None:
    """Its kernels end the process at a scale of 1, which a constant of zeros had."""
    from edgekit.bench.litert import run_litert
    from edgekit.boundary import random_samples, to_feeds
    from edgekit.export.tflite import export_tflite
    from edgekit.passes.quantize import quantize
    from edgekit.pipeline import prepare

    nodes = [
        op("ReduceSum", ["x"], "s", keepdims=0),
        op("Greater", ["s", "zero"], "c"),
        op("Relu", ["x"], "r"),
        op("Where", ["c", "r", "x"], "y"),
    ]
    graph = prepare(load_onnx(model(nodes, [value("x", [1, 4])], ["y"], {"zero": np.float32(0)})), "tflite")
    samples = random_samples(graph, 8)
    integer = quantize(graph, samples)
    feeds = to_feeds(integer, samples[0])
    (made,) = run_litert(export_tflite(integer), [feeds])
    np.testing.assert_array_equal(made["y"], reference.run(integer, feeds)["y"])


def test_a_comparison_of_large_numbers_is_refused_for_tflite() -> None:
    from edgekit.boundary import random_samples
    from edgekit.export.tflite import tflite_problems
    from edgekit.passes.quantize import quantize
    from edgekit.pipeline import prepare

    nodes = [op("Mul", ["x", "k"], "h"), op("Greater", ["h", "x"], "c"), op("Where", ["c", "h", "x"], "y")]
    graph = prepare(load_onnx(model(nodes, [value("x", [1, 4])], ["y"], {"k": np.float32(1000)})), "tflite")
    ((where, why, _),) = tflite_problems(quantize(graph, random_samples(graph, 8)))
    assert where == "Greater 'c'"
    assert "those below 1" in why
