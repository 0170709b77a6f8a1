"""SLICE nodes that move up: what nobody reads is not computed, and what is read stays the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekit import reference
from edgekit.boundary import to_feeds
from edgekit.graph import Graph
from edgekit.metrics import sqnr_db
from edgekit.ops import macs
from edgekit.passes.quantize import quantize
from edgekit.passes.simplify import simplify
from tests.passes.net import Net, assert_same, ops

T, C = 6, 8  # tokens, channels


def cut(net: Net, x: str, axis: int, begin: int, size: int, stride: int = 1) -> str:
    shape = net.shape(x)
    return net.add(
        "SLICE",
        x,
        begin=tuple(begin if i == axis else 0 for i in range(len(shape))),
        size=tuple(size if i == axis else n for i, n in enumerate(shape)),
        stride=tuple(stride if i == axis else 1 for i in range(len(shape))),
    )


def shapes(graph: Graph, op: str) -> list[tuple[int, ...]]:
    return [graph[n.outputs[0]].shape for n in graph.nodes if n.op == op]


def attention(net: Net, x: str) -> str:
    def heads(name: str) -> str:
        dense = net.add("FULLY_CONNECTED", name, net.random(C, C), net.random(C), keep_dims=True)
        return net.add("TRANSPOSE", net.add("RESHAPE", dense, shape=(1, T, 2, C // 2)), perm=(0, 2, 1, 3))

    scores = net.add("SOFTMAX", net.add("BATCH_MATMUL", heads(x), heads(x), adj_y=True))
    mixed = net.add("TRANSPOSE", net.add("BATCH_MATMUL", scores, heads(x)), perm=(0, 2, 1, 3))
    return net.add("FULLY_CONNECTED", net.add("RESHAPE", mixed, shape=(1, T, C)), net.random(C, C), None, keep_dims=True)


def transformer(blocks: int) -> Graph:
    """Pre-norm blocks of which the first token is read."""
    net = Net()

    def norm(name: str) -> str:
        return net.add("LAYER_NORM", name, net.random(C), net.random(C), axis=2)

    x = net.input(1, T, C)
    for _ in range(blocks):
        x = net.add("ADD", x, attention(net, norm(x)))
        hidden = net.add("GELU", net.add("FULLY_CONNECTED", norm(x), net.random(4 * C, C), None, keep_dims=True))
        x = net.add("ADD", x, net.add("FULLY_CONNECTED", hidden, net.random(C, 4 * C), None, keep_dims=True))
    return net.graph(cut(net, norm(x), 1, 0, 1))


def test_the_last_block_of_a_transformer_computes_the_token_that_is_read() -> None:
    graph = transformer(2)
    after = simplify(graph)
    assert_same(graph, after)
    dense = sorted(shapes(after, "FULLY_CONNECTED"))
    # Both keys and values are of all tokens; queries, the attention's and the two layers after it of one.
    assert sum(shape[1] == 1 for shape in dense) == 4
    saved = (T - 1) * (C * C * 2 + C * 4 * C * 2 + T * C * 2)  # queries and output, two layers, two products
    assert macs(graph) - macs(after) == saved
    assert shapes(after, "SOFTMAX")[-1][2] == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_products_are_cut_along_rows_and_columns(axis: int) -> None:
    for adj_x, adj_y in ((False, False), (True, False), (False, True), (True, True)):
        net = Net()
        a = net.input(2, *((5, 3) if adj_x else (3, 5)), name="a")
        b = net.input(2, *((4, 5) if adj_y else (5, 4)), name="b")
        product = net.add("BATCH_MATMUL", net.add("TANH", a), net.add("TANH", b), adj_x=adj_x, adj_y=adj_y)
        graph = net.graph(cut(net, product, axis + 1, 1, 2))
        after = simplify(graph)
        assert_same(graph, after)
        assert shapes(after, "BATCH_MATMUL") == [tuple(2 if i == axis + 1 else n for i, n in enumerate((2, 3, 4)))]
        assert ops(after)[-1] == "BATCH_MATMUL"


def test_broadcast_inputs_are_cut_where_they_are_as_long() -> None:
    net = Net()
    x = net.add("ADD", net.add("TANH", net.input(1, T, C)), net.random(T, 1))
    x = net.add("MUL", x, net.random(C))
    graph = net.graph(cut(net, cut(net, x, 1, 4, 2, -2), 2, 3, 4))
    after = simplify(graph)
    assert_same(graph, after)
    assert shapes(after, "ADD") == shapes(after, "MUL") == shapes(after, "TANH") == [(1, 2, 4)]


Make = Callable[[Net, str], str]
STAY: dict[str, Make] = {
    "a softmax along the axis": lambda net, x: cut(net, net.add("SOFTMAX", x), 2, 0, 3),
    "a norm over the axis": lambda net, x: cut(net, net.add("LAYER_NORM", x, net.random(T, C), None, axis=1), 1, 0, 2),
    "another reader": lambda net, x: net.add("ADD", (y := net.add("TANH", x)), cut(net, y, 1, 0, 1)),
    "nothing is cut": lambda net, x: net.add("SLICE", net.add("TANH", x), begin=(0, 5, 0), size=(1, T, C), stride=(1, -1, 1)),
}


@pytest.mark.parametrize("case", STAY)
def test_a_slice_stays_below(case: str) -> None:
    net = Net()
    graph = net.graph(STAY[case](net, net.input(1, T, C)))
    after = simplify(graph)
    assert_same(graph, after)
    assert ops(after) == ops(graph)


@pytest.mark.parametrize(
    ("begin", "size", "stride", "left"),
    [
        (0, 2, 1, ["TANH"]),
        (2, 3, 1, ["SIN"]),
        (3, 2, -1, ["SLICE", "SIN"]),
        (1, 2, 1, ["TANH", "SIN", "CONCATENATION", "SLICE"]),
    ],
)
def test_a_slice_of_a_joined_part_is_one_of_the_part(begin: int, size: int, stride: int, left: list[str]) -> None:
    net = Net()
    a, b = net.input(1, 2, C, name="a"), net.input(1, 3, C, name="b")
    joined = net.add("CONCATENATION", net.add("TANH", a), net.add("SIN", b), axis=1)
    graph = net.graph(cut(net, joined, 1, begin, size, stride), net.add("NEG", cut(net, joined, 1, 1, 3)))
    after = simplify(graph)
    assert_same(graph, after)
    alone = net.graph(cut(net, joined, 1, begin, size, stride))
    assert ops(simplify(alone)) == left


def test_a_scale_need_not_span_what_is_thrown_away() -> None:
    """One small token beside large ones, as a class token is: after the cut, it has a scale of its own."""

    def net(kept: int) -> Graph:
        made = Net()
        x = made.add("MUL", made.input(1, T, C), made.value(np.array([[0.01], *([[20.0]] * (T - 1))], np.float32)))
        x = made.add("ADD", x, made.add("LEAKY_RELU", x, alpha=0.5))
        return made.graph(cut(made, made.add("NEG", x), 1, 0, kept))

    rng = np.random.default_rng(0)
    data = [{"x": rng.normal(0, 1, (1, T, C)).astype(np.float32)} for _ in range(8)]
    db = {}
    for name, graph in (("cut", simplify(net(1))), ("whole", simplify(net(T)))):
        integers = quantize(graph, data, io="float")
        (truth,), (made,) = (list(reference.run(g, to_feeds(g, data[0])).values()) for g in (graph, integers))
        db[name] = sqnr_db(truth[:, :1], made[:, :1])
    assert db["cut"] > 30 > 10 > db["whole"]


def token_beside_patches(tokens: int = 32) -> Graph:
    """A small class token joined with large patches, normalised, read by itself and with the rest (as CaiT and XCiT do)."""
    net = Net()
    token, patches = net.input(1, 1, C), net.input(1, tokens - 1, C, name="rest")
    whole = net.add("CONCATENATION", token, patches, axis=1)
    whole = net.add("ADD", whole, net.random(1, tokens, C))
    own = net.add("FULLY_CONNECTED", cut(net, whole, 1, 0, 1), net.random(C, C), None, keep_dims=True)
    return net.graph(own, net.add("REDUCE_MAX", whole, axes=(1,), keep_dims=False))


def test_a_token_joined_with_others_is_read_where_it_comes_from() -> None:
    graph = token_beside_patches()
    made = simplify(graph)
    assert_same(graph, made)
    assert "SLICE" not in [n.op for n in made.nodes]


def test_a_large_part_and_one_across_parts_are_not_made_twice() -> None:
    net = Net()
    a, b = net.input(1, 4, C), net.input(1, 28, C, name="rest")
    whole = net.add("RELU", net.add("CONCATENATION", a, b, axis=1))
    ends = [net.add("GELU", cut(net, whole, 1, 0, 8)), net.add("GELU", cut(net, whole, 1, 2, 4)), net.add("TANH", whole)]
    made = simplify(net.graph(*ends))
    assert [n.op for n in made.nodes].count("RELU") == 1
