from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.graph import Graph, Node, Quant, Tensor, build, check
from edgekit.memory import plan, run_program
from edgekit.order import branches, lean_order
from edgekit.schedule import schedule
from tests.export.c.nets import Net, feeds, tangle, weights

Q = Quant.per_tensor(0.1)


def wide(seed: int = 0) -> Graph:
    """Three branches that grow large before they get small, written one layer of all branches after another."""
    rng = np.random.default_rng(seed)
    net = Net("int8", rng, extreme=False)
    ends = [net.input((1, 8, 8, 2))] * 3
    for channels, size in ((24, 3), (2, 3)):
        made = []
        for x in ends:
            w, _ = weights(net, (channels, size, size, net.of(x).shape[3]), 0)
            made.append(net.op("CONV_2D", [x, w, None], net.quant(0.5), pad=(1, 1, 1, 1))[0])
        ends = made
    y = net.op("ADD", [ends[0], ends[1]], net.quant(0.5))[0]
    return net.graph([net.op("ADD", [y, ends[2]], net.quant(0.5))[0]])


def test_branches_run_one_after_the_other() -> None:
    graph = wide()
    program = schedule(graph, dead_channels=True)
    assert plan(program).peak < 0.6 * 3 * 8 * 8 * 24
    data = feeds(graph, np.random.default_rng(1))
    expected = reference.run(graph, data)
    for name, value in run_program(program, data).items():
        np.testing.assert_array_equal(value, expected[name])


def alive(graph: Graph) -> int:
    """The fullest moment without any sharing, counted from the definition."""
    last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
    last |= dict.fromkeys(graph.outputs, len(graph.nodes))
    born = dict.fromkeys(graph.inputs, -1) | {n: i for i, node in enumerate(graph.nodes) for n in node.outputs}
    return max(
        sum(graph[n].nbytes for n, b in born.items() if b <= i <= max(last.get(n, b), b)) for i in range(-1, len(graph.nodes))
    )


@pytest.mark.parametrize("seed", range(25))
def test_a_small_graph_gets_its_best_order(seed: int) -> None:
    """Against every order of six nodes over values of random sizes."""
    rng = np.random.default_rng(seed)
    tensors = [Tensor(f"t{i}", (int(rng.integers(1, 50)),), "int8", None, Q) for i in range(7)]
    nodes = [Node("MAXIMUM", tuple(f"t{j}" for j in rng.integers(0, i, 2)), (f"t{i}",), {}, f"n{i}") for i in range(1, 7)]
    graph = build("g", ["t0"], ["t6"], nodes, tensors)
    root = {n: n for n in graph.tensors}
    found = lean_order(graph, root, [False] * 6)
    check(found)
    best = min(alive(replace(graph, nodes=order)) for order in itertools.permutations(graph.nodes) if valid(graph, order))
    assert alive(found) == best


def valid(graph: Graph, order: tuple[Node, ...]) -> bool:
    made = set(graph.inputs)
    for node in order:
        if not made.issuperset(n for n in node.inputs if n is not None):
            return False
        made.update(node.outputs)
    return True


@pytest.mark.parametrize("seed", range(10))
def test_any_order_found_is_one_that_runs(seed: int) -> None:
    graph = tangle("int8", 40, seed)
    found = lean_order(graph, {n: n for n in graph.tensors}, [False] * len(graph.nodes))
    check(found)
    assert sorted(n.outputs for n in found.nodes) == sorted(n.outputs for n in graph.nodes)


def test_a_chain_has_one_order() -> None:
    nodes = (Node("RELU", ("x",), ("a",)), Node("RELU6", ("a",), ("y",)))
    assert not branches(build("g", ["x"], ["y"], nodes, [Tensor(n, (4,), "int8", None, Q) for n in "xay"]))
    assert branches(wide())
