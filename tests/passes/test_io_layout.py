"""io_layout: the edge changes, what an application sees through the boundary does not."""

from __future__ import annotations

import pytest

from edgekit.graph import InputContract, InputSpec
from edgekit.passes.io_layout import io_layout
from edgekit.passes.simplify import simplify
from tests.passes.net import Net, assert_same, ops
from tests.passes.test_simplify import NETS, finished


@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
def test_there_and_back(make) -> None:  # type: ignore[no-untyped-def]
    graph = simplify(finished(make()))
    nhwc = io_layout(graph, "nhwc")
    assert_same(graph, nhwc)
    back = io_layout(nhwc, "source")
    assert_same(graph, back)
    assert [back[n].shape for n in (*back.inputs, *back.outputs)] == [graph[n].shape for n in (*graph.inputs, *graph.outputs)]
    assert all(back.contract.input(n).perm is None for n in back.inputs)
    assert ops(io_layout(nhwc, "nhwc")) == ops(nhwc)


def test_the_contract_takes_the_transposes() -> None:
    net = Net()
    graph = net.graph(net.conv(net.input(1, 3, 8, 6), 4), contract=InputContract({"x": InputSpec("image", "NCHW")}))
    nhwc = io_layout(graph, "nhwc")
    assert ops(nhwc) == ["CONV_2D"]
    assert nhwc["x"].shape == (1, 8, 6, 3)
    assert nhwc[nhwc.outputs[0]].shape == (1, 8, 6, 4)
    assert nhwc.contract.input("x") == InputSpec("image", "NCHW", (0, 2, 3, 1))
    assert nhwc.contract.output(nhwc.outputs[0]).perm == (0, 3, 1, 2)


def test_an_input_read_in_both_orders() -> None:
    graph = simplify(finished(NETS["two_heads"]()))
    net = Net()
    x = net.input(1, 3, 8, 6)
    graph = net.graph(net.conv(x, 4), net.dense(x, 5, keep_dims=True))
    nhwc = io_layout(graph, "nhwc")
    assert nhwc["x"].shape == (1, 8, 6, 3)
    assert_same(graph, nhwc)


def test_an_output_read_inside() -> None:
    net = Net()
    y = net.conv(net.input(1, 3, 8, 6), 4)
    graph = net.graph(y, net.dense(y, 5, keep_dims=True))
    nhwc = io_layout(graph, "nhwc")
    assert nhwc[y].shape == (1, 8, 6, 4)
    assert_same(graph, nhwc)


def test_one_channel_is_a_reshape() -> None:
    net = Net()
    graph = simplify(net.graph(net.conv(net.input(1, 1, 8, 6), 4)))
    assert ops(graph)[0] == "RESHAPE"
    nhwc = io_layout(graph, "nhwc")
    assert ops(nhwc) == ["CONV_2D"]
    assert_same(graph, nhwc)


def test_other_ranks_and_orders_stay() -> None:
    net = Net()
    x = net.add("TRANSPOSE", net.input(2, 3, 4), perm=(0, 2, 1))
    graph = net.graph(net.dense(x, 5, keep_dims=True))
    assert ops(io_layout(graph, "nhwc")) == ops(graph)
    with pytest.raises(ValueError, match="layout"):
        io_layout(graph, "nchw")  # type: ignore[arg-type]
