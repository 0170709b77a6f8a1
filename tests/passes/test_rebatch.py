"""rebatch: 8 samples at once are 8 runs of one, on every net and for every operator; what mixes samples is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekit import reference
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import Unsupported
from edgekit.graph import Array, Graph, Quant
from edgekit.passes.io_layout import io_layout
from edgekit.passes.legalize import ENGINE_OPS, legalize
from edgekit.passes.rebatch import batch_of, rebatch
from edgekit.passes.simplify import simplify
from tests.passes.net import Net, feeds_of
from tests.passes.random_net import random_graph, random_int8_graph
from tests.passes.test_simplify import LEVELS, NETS, Q, finished, shuffle


def run(graph: Graph, source: dict[str, Array]) -> Array:
    results = from_outputs(graph, reference.run(graph, to_feeds(graph, source)), real=False)
    return results[graph.outputs[0]]


def assert_law(graph: Graph, n: int = 8, axis: int = 0, exact: bool = False) -> None:
    one = rebatch(graph, 1)
    many = rebatch(one, n)
    assert batch_of(many) == n
    data = feeds_of(many)
    singles = [run(one, {k: v[i : i + 1] for k, v in data.items()}) for i in range(n)]
    expected = np.concatenate(singles, axis=axis)
    if exact:
        np.testing.assert_array_equal(run(many, data), expected)
    else:
        np.testing.assert_allclose(run(many, data), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [*NETS.values(), shuffle], ids=lambda f: f.__name__)
def test_law(make: Callable[[], Net]) -> None:
    graph = finished(make())
    assert_law(graph)
    for level in LEVELS:
        simple = simplify(graph, level)
        assert_law(simple)
        assert_law(io_layout(simple, "nhwc"))


@pytest.mark.parametrize("seed", range(20))
def test_law_on_random_graphs(seed: int) -> None:
    graph = random_graph(seed)
    if len(graph.inputs) == 1:
        assert_law(simplify(graph), n=3)
    assert_law(random_int8_graph(seed), n=3, exact=True)


@pytest.mark.parametrize("engine", ENGINE_OPS)
def test_law_of_legalized_nets(engine: str) -> None:
    for make in (NETS["squeeze_excite"], NETS["inception"], shuffle):
        assert_law(legalize(simplify(finished(make())), engine), n=3)


def test_back_and_the_same() -> None:
    graph = finished(NETS["inception"]())
    back = rebatch(rebatch(graph, 5), 2)
    assert {n: t.shape for n, t in back.tensors.items() if not t.is_const} == {
        n: t.shape for n, t in graph.tensors.items() if not t.is_const
    }
    assert rebatch(graph, 2) is graph


def test_integers_are_exact() -> None:
    net = Net()
    x = net.nhwc(net.input(1, 3, 4, 5, quant=Q))
    y = net.add("PAD", net.add("RELU", x, quant=Q), pads=((0, 0), (0, 1), (1, 0), (0, 0)), quant=Q)
    y = net.add("CONCATENATION", y, y, axis=3, quant=Q)
    assert_law(net.graph(net.reshape(y, 1, 180)), exact=True)


def test_the_batch_may_merge_with_another_axis_and_come_back() -> None:
    net = Net()
    x = net.reshape(net.input(1, 4, 6), 4, 6)
    x = net.add("SOFTMAX", net.dense(x, 5))
    x = net.add("ADD", x, net.random(4, 5))
    x = net.add("MEAN", net.reshape(x, 1, 4, 5), axes=(1,))
    assert_law(net.graph(x))


def test_the_batch_may_move() -> None:
    net = Net()
    x = net.add("TRANSPOSE", net.input(1, 4, 6), perm=(1, 0, 2))
    x = net.dense(net.reshape(x, 4, 6), 5)
    x = net.add("SLICE", net.reshape(x, 4, 1, 5), begin=(1, 0, 0), size=(2, 1, 5), stride=(2, 1, 1))
    x = net.add("CONCATENATION", x, net.random(3, 1, 5), axis=0)
    assert_law(net.graph(x), axis=1)


def test_look_ups() -> None:
    net = Net()
    x = net.input(2, 4, 6)
    y = net.add("GATHER", x, net.value(np.array([3, 0], np.int32)), axis=1)
    assert_law(net.graph(net.add("GATHER", y, net.value(np.array(1, np.int32)), axis=2)))


def mixing(name: str) -> Net:
    net = Net()
    x = net.add("TANH", net.input(2, 4, 6))
    {
        "reduces": lambda: net.add("MEAN", x, axes=(0,), keep_dims=True),
        "joins": lambda: net.add("CONCATENATION", x, x, axis=0),
        "splits": lambda: net.many("SPLIT", x, axis=0, sizes=(1, 1), outputs=2)[0],
        "takes part": lambda: net.add("SLICE", x, begin=(1, 0, 0), size=(1, 4, 6), stride=(1, 1, 1)),
        "takes parts": lambda: net.add("GATHER", x, net.value(np.array([1], np.int32)), axis=0),
        "pads": lambda: net.add("PAD", x, pads=((0, 1), (0, 0), (0, 0))),
        "differs from sample": lambda: net.add("ADD", x, net.random(2, 1, 1)),
        "sums over": lambda: net.dense(net.add("TRANSPOSE", x, perm=(1, 2, 0)), 3, keep_dims=True),
        "normalises along": lambda: net.add("SOFTMAX", net.add("TRANSPOSE", x, perm=(1, 2, 0))),
        "tears": lambda: net.reshape(net.add("TRANSPOSE", x, perm=(1, 0, 2)), 3, 4, 4),
        "different axes": lambda: net.add("ADD", half := net.reshape(x, 2, 2, 12), net.add("TRANSPOSE", half, perm=(1, 0, 2))),
    }[name]()
    return net


@pytest.mark.parametrize(
    "why",
    [
        "reduces", "joins", "splits", "takes part", "takes parts", "pads", "differs from sample", "sums over",
        "normalises along", "tears", "different axes",
    ],
)  # fmt: skip
def test_mixing_samples_is_refused(why: str) -> None:
    net = mixing(why)
    graph = net.graph(net.nodes[-1].outputs[0])
    with pytest.raises(Unsupported, match=why):
        rebatch(graph, 8)


def test_every_refusal_is_listed_once() -> None:
    net = Net()
    x = net.input(2, 6)
    a, b = net.add("MEAN", x, axes=(0,), keep_dims=True), net.add("SUM", x, axes=(0,), keep_dims=True)
    graph = net.graph(net.add("ADD", a, b))
    with pytest.raises(Unsupported) as caught:
        rebatch(graph, 8)
    assert len(caught.value.problems) == 2


def test_inputs_of_different_batches_are_refused() -> None:
    net = Net()
    graph = net.graph(net.dense(net.input(2, 6), 3), net.dense(net.input(1, 6, name="z"), 3))
    with pytest.raises(Unsupported, match="samples"):
        rebatch(graph, 8)
    with pytest.raises(ValueError, match="batch"):
        rebatch(graph, 0)


def test_quantized_constants_keep_their_scale() -> None:
    net = Net()
    x = net.input(2, 3, quant=Q)
    c = net.value(np.broadcast_to(np.array([[1, -2, 3]], np.int8), (2, 3)).copy(), Quant.per_tensor(0.1))
    many = rebatch(net.graph(net.add("ADD", x, c, quant=Quant.per_tensor(0.2))), 5)
    (name,) = [n for n, t in many.tensors.items() if t.is_const]
    assert many[name].shape == (5, 3)
    assert many[name].quant is not None
