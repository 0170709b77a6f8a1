from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.errors import Unsupported
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from edgekit.memory import plan, run_program
from edgekit.schedule import BufferView, Program, schedule
from tests.export.c.nets import Net, families, feeds, many, tangle

Q = Quant.per_tensor(0.1)


def chain(*nodes: Node, shape: tuple[int, ...] = (1, 4, 4, 2), outputs: tuple[str, ...] = ("y",)) -> Graph:
    """Nodes over tensors of one shape, from input x."""
    names = dict.fromkeys(n for node in nodes for n in (*node.inputs, *node.outputs) if n is not None)
    return build("chain", ["x"], outputs, nodes, [Tensor(n, shape, "int8", None, Q) for n in names])


def buffers(program: Program) -> dict[str, str]:
    return {name: view.buffer for name, view in program.views.items()}


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("seed", range(12))
def test_program_equals_reference_on_random_networks(kind: str, seed: int) -> None:
    graph = tangle(kind, 30, seed)
    data = feeds(graph, np.random.default_rng(seed))
    expected = reference.run(graph, data)
    choices: tuple[dict[str, Any], ...] = ({}, {"in_place": False}, {"const_input": True})
    for options in choices:
        found = run_program(schedule(graph, **options), data)
        assert found.keys() == dict.fromkeys(graph.outputs).keys()
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=str(options))


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_program_equals_reference_for_every_operator(kind: str) -> None:
    for family in families(kind):
        graph = many(kind, family, 12, seed=7)
        data = feeds(graph, np.random.default_rng(0))
        expected = reference.run(graph, data)
        for name, value in run_program(schedule(graph), data).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=family)


def test_law_notices_a_plan_that_overlaps() -> None:
    graph = tangle("int8", 20, 1)
    program = schedule(graph)
    layout = plan(program)
    broken = type(layout)(dict.fromkeys(layout.offsets, 0), layout.peak, layout.bound, layout.alignment, layout.who)
    data = feeds(graph, np.random.default_rng(1))
    expected = reference.run(graph, data)
    assert any(not np.array_equal(v, expected[n]) for n, v in run_program(program, data, broken).items())


def test_a_dead_operand_gives_its_place() -> None:
    program = schedule(chain(Node("RELU", ("x",), ("a",)), Node("RELU6", ("a",), ("y",))))
    assert buffers(program) == {"x": "x", "a": "x", "y": "x"}
    assert plan(program).peak == 32
    assert plan(schedule(chain(Node("RELU", ("x",), ("a",)), Node("RELU6", ("a",), ("y",))), in_place=False)).peak == 64


def test_an_operand_read_later_keeps_its_place() -> None:
    program = schedule(chain(Node("RELU", ("x",), ("a",)), Node("RELU6", ("a",), ("b",)), Node("ADD", ("a", "b"), ("y",))))
    assert buffers(program) == {"x": "x", "a": "x", "b": "b", "y": "x"}


def test_outputs_and_const_inputs_are_not_written_over() -> None:
    nodes = (Node("RELU", ("x",), ("a",)), Node("RELU6", ("a",), ("y",)))
    assert buffers(schedule(chain(*nodes, outputs=("a", "y"))))["y"] == "y"
    kept = schedule(chain(*nodes), const_input=True)
    assert buffers(kept)["a"] == "a"
    assert kept.held == {"x"}


def test_a_broadcast_operand_is_never_the_place_of_the_result() -> None:
    tensors = [Tensor("x", (1, 2, 2, 3), "int8", None, Q), Tensor("s", (1, 1, 1, 3), "int8", None, Q)]
    tensors += [Tensor("y", (1, 2, 2, 3), "int8", None, Q)]
    graph = build("g", ["x", "s"], ["y"], [Node("ADD", ("s", "x"), ("y",))], tensors)
    assert buffers(schedule(graph))["y"] == "x"


def test_reshape_is_a_view_and_moves_nothing() -> None:
    tensors = [Tensor("x", (1, 2, 3), "int8", None, Q), Tensor("v", (6,), "int8", None, Q), Tensor("y", (6,), "int8", None, Q)]
    nodes = [Node("RESHAPE", ("x",), ("v",), {"shape": (6,)}), Node("RELU", ("v",), ("y",))]
    program = schedule(build("g", ["x"], ["y"], nodes, tensors))
    assert [step.kernel for step in program.steps] == ["table_s8"]
    assert program.views["v"] == BufferView("v", "x", 0, (6,), "int8")
    assert program.roots["v"] == "x"


def test_outputs_that_share_bytes_or_are_inputs_or_constants_are_copied() -> None:
    tensors = [Tensor(n, (4,), "int8", None, Q) for n in ("x", "a", "v")] + [const("k", np.arange(4, dtype=np.int8), Q)]
    nodes = [Node("TANH", ("x",), ("a",)), Node("RESHAPE", ("a",), ("v",), {"shape": (4,)})]
    tensors[1] = Tensor("a", (4,), "int8", None, Quant.per_tensor(1 / 128))
    tensors[2] = Tensor("v", (4,), "int8", None, Quant.per_tensor(1 / 128))
    graph = build("g", ["x"], ["a", "v", "k", "x"], nodes, tensors)
    program = schedule(graph)
    assert [step.kernel for step in program.steps] == ["table_s8", "copy_s8", "copy_s8", "copy_s8"]
    assert len({view.buffer for view in program.outputs.values()}) == 4
    data = {"x": np.array([-9, 0, 3, 100], np.int8)}
    expected = reference.run(graph, data)
    for name, value in run_program(program, data).items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_pool_in_place_needs_no_padding() -> None:
    tensors = [Tensor("x", (1, 4, 4, 2), "int8", None, Q), Tensor("y", (1, 2, 2, 2), "int8", None, Q)]
    plain = Node("MAX_POOL_2D", ("x",), ("y",), {"filter": (2, 2), "stride": (2, 2)})
    padded = Node("MAX_POOL_2D", ("x",), ("y",), {"filter": (2, 2), "stride": (3, 3), "pad": (1, 1, 1, 1)})
    assert buffers(schedule(build("g", ["x"], ["y"], [plain], tensors)))["y"] == "x"
    assert buffers(schedule(build("g", ["x"], ["y"], [padded], tensors)))["y"] == "y"


def test_nodes_without_a_kernel_are_listed_together() -> None:
    strange = [Tensor(n, (4,), "uint8") for n in ("x", "a", "y")]
    nodes = [Node("TANH", ("x",), ("a",), source="first"), Node("LOGISTIC", ("a",), ("y",), source="second")]
    with pytest.raises(Unsupported) as caught:
        schedule(build("g", ["x"], ["y"], nodes, strange))
    assert "first" in str(caught.value)
    assert "second" in str(caught.value)


def test_views_of_rows_and_rings_know_their_bytes() -> None:
    assert BufferView("t", "b", 0, (1, 10, 4, 3), "float32").nbytes == 480
    assert BufferView("t", "b", 0, (1, 10, 4, 3), "float32", rows=(2, 5)).nbytes == 240
    assert BufferView("t", "b", 0, (1, 10, 4, 3), "int8", rows=(0, 10), ring=3).nbytes == 36


def test_weights_are_listed_once_in_order_of_use() -> None:
    net = Net("int8", np.random.default_rng(0))
    x = net.input((1, 2, 2, 3))
    quant = net.quant()
    first, second = net.values((3,), quant), net.values((1, 3), quant)
    a = net.op("MUL", [x, second], net.quant())[0]
    b = net.op("MUL", [a, first], net.quant())[0]
    c = net.op("ADD", [b, second], net.quant())[0]
    assert [t.name for t in schedule(net.graph([c])).weights] == [second, first]
