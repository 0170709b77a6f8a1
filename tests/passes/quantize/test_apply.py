"""apply, and quantize as a whole: the integer graph computes what the float graph does, and says what it could not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from edgekit import metrics, reference
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import BadConfig, BadModel
from edgekit.graph import Array, Graph
from edgekit.passes.quantize import Choice, apply, choose, layer_sqnr, observe, quantize, quantize_with_report, wanted
from tests.passes.net import Net, feeds_of, ops

IOS: tuple[Literal["int8", "float"], ...] = ("int8", "float")


def samples(graph: Graph, count: int = 24) -> list[dict[str, Array]]:
    return [feeds_of(graph, seed) for seed in range(count)]


def sqnr(float_graph: Graph, int8_graph: Graph, data: list[dict[str, Array]]) -> float:
    pairs = [
        (from_outputs(g, reference.run(g, to_feeds(g, s)))[float_graph.outputs[0]] for s in data)
        for g in (float_graph, int8_graph)
    ]
    return metrics.sqnr_db(*pairs)


def conv_net() -> Graph:
    """Convolution, depthwise, residual add, pools, concat, dense, softmax: what most networks are made of."""
    net = Net()
    x = net.input(1, 8, 8, 3)
    a = net.add("CONV_2D", x, net.random(8, 3, 3, 3), net.random(8), pad=(1, 1, 1, 1), activation="RELU")
    b = net.add("DEPTHWISE_CONV_2D", a, net.random(1, 3, 3, 8), net.random(8), pad=(1, 1, 1, 1), activation="RELU6")
    c = net.add("ADD", a, b, activation="RELU")
    d = net.add(
        "CONCATENATION",
        net.add("MAX_POOL_2D", c, filter=(2, 2), stride=(2, 2)),
        net.add("AVERAGE_POOL_2D", a, filter=(2, 2), stride=(2, 2)),
        axis=3,
    )
    e = net.add("MUL", d, net.random(16))
    f = net.add("MEAN", e, axes=(1, 2))
    logits = net.add("FULLY_CONNECTED", f, net.random(5, 16), net.random(5))
    return net.graph(net.add("SOFTMAX", logits))


@pytest.mark.parametrize("io", IOS)
@pytest.mark.parametrize("observer", ["minmax", "percentile", "mse"])
def test_a_conv_net_stays_close(io: Literal["int8", "float"], observer: Literal["minmax", "percentile", "mse"]) -> None:
    graph = conv_net()
    data = samples(graph)
    result, report = quantize_with_report(graph, data, io=io, observer=observer)
    assert result.inputs == graph.inputs
    assert result.outputs == graph.outputs
    assert {result[n].dtype for n in (*result.inputs, *result.outputs)} == {"int8" if io == "int8" else "float32"}
    assert ops(result) == (["QUANTIZE", *ops(graph), "DEQUANTIZE"] if io == "float" else ops(graph))
    assert (report.islands, report.requantizes, report.samples) == ((), (), 24)
    assert sqnr(graph, result, samples(graph, 40)[24:]) > 25


def test_io_changes_the_edge_only() -> None:
    graph = conv_net()
    data = samples(graph)
    inner, outer = quantize(graph, data), quantize(graph, data, io="float")
    for sample in data[:4]:
        one = from_outputs(inner, reference.run(inner, to_feeds(inner, sample)))[graph.outputs[0]]
        two = reference.run(outer, to_feeds(outer, sample))[graph.outputs[0]]
        assert np.array_equal(one, two)


def test_scales_and_dtypes_of_weights_and_biases() -> None:
    graph = conv_net()
    result = quantize(graph, samples(graph))
    conv, depthwise, dense = result.nodes[0], result.nodes[1], result.nodes[-2]
    for node, axis in ((conv, 0), (depthwise, 3)):
        x, w, b = (result[str(n)] for n in node.inputs)
        assert x.quant is not None
        assert w.quant is not None
        assert b.quant is not None
        assert w.data is not None
        assert (w.dtype, b.dtype, w.quant.axis, b.quant.axis) == ("int8", "int32", axis, 0)
        assert np.abs(w.data.astype(int)).max() == 127
        assert b.quant.scale == pytest.approx(x.quant.scale[0] * w.quant.scale)
        assert b.real() == pytest.approx(graph[str(node.inputs[2])].real(), abs=0.51 * float(b.quant.scale.max()))
    assert result[str(dense.inputs[1])].quant.axis is None  # type: ignore[union-attr]


def test_the_same_choice_gives_the_same_graph() -> None:
    graph = conv_net()
    choice = choose(graph, observe(graph, samples(graph), wanted(graph)))
    one, two = apply(graph, choice), apply(graph, Choice.from_json(json.loads(json.dumps(choice.to_json()))))
    assert one.nodes == two.nodes
    for name, tensor in one.tensors.items():
        other = two[name]
        assert (tensor.data is None) == (other.data is None)
        assert tensor.data is None or np.array_equal(tensor.data, other.data)  # type: ignore[arg-type]
        assert tensor.quant is None or tensor.quant.same_as(other.quant)
    with pytest.raises(BadConfig, match="says nothing about"):
        apply(graph, replace(choice, activations={}))


def test_data_may_be_a_generator() -> None:
    graph = conv_net()

    def stream() -> Iterator[dict[str, Array]]:
        yield from samples(graph)

    assert quantize(graph, stream()).is_quantized


def test_a_requantize_is_inserted_and_reported() -> None:
    net = Net()
    x = net.input(1, 4)
    soft = net.add("SOFTMAX", x)
    graph = net.graph(net.add("CONCATENATION", soft, x, axis=1), soft)
    result, report = quantize_with_report(graph, samples(graph))
    assert ops(result) == ["SOFTMAX", "QUANTIZE", "CONCATENATION"]
    assert [entry[0] for entry in report.requantizes] == [soft]
    assert result[soft].quant.scale[0] == np.float32(1 / 256)  # type: ignore[union-attr]
    assert sqnr(graph, result, samples(graph)) > 35


@pytest.mark.parametrize("io", IOS)
def test_what_has_no_int8_meaning_stays_float_and_is_reported(io: Literal["int8", "float"]) -> None:
    net = Net()
    x = net.input(1, 1, 1, 4)
    a = net.add("RELU", x)
    params = [net.random(4) for _ in range(3)]
    b = net.add("BATCH_NORM", a, *params, net.value(np.ones(4, np.float32)))
    c = net.add("BATCH_NORM", b, *params, net.value(np.ones(4, np.float32)))
    graph = net.graph(net.add("ADD", c, a), b)
    result, report = quantize_with_report(graph, samples(graph), io=io)
    inner = ["RELU", "DEQUANTIZE", "BATCH_NORM", "BATCH_NORM", "QUANTIZE", "ADD"]
    assert [op for op in ops(result) if op != "QUANTIZE"][: len(inner)] == [
        op for op in (inner if io == "int8" else [*inner, "DEQUANTIZE"]) if op != "QUANTIZE"
    ]
    assert [(op, why) for op, _, why in report.islands] == [("BATCH_NORM", "BATCH_NORM has no int8 meaning")] * 2
    assert {result[n].dtype for n in result.outputs} == {"int8" if io == "int8" else "float32"}
    assert sqnr(graph, result, samples(graph)) > 30


def test_ids_are_not_quantized() -> None:
    net = Net()
    x = net.input(1, 4)
    net.tensors["ids"] = replace(net.tensors[x], name="ids", dtype="int32", shape=(1, 3))
    net.inputs[:] = ["ids"]
    y = net.add("GATHER", net.random(10, 6), "ids", axis=0)
    graph = net.graph(net.add("RELU", y))
    data = [{"ids": np.array([[i % 10, 3, 9]], np.int32)} for i in range(12)]
    result = quantize(graph, data)
    assert result["ids"].dtype == "int32"
    assert result["ids"].quant is None
    assert result[str(result.nodes[0].inputs[0])].dtype == "int8"
    assert sqnr(graph, result, data) > 35


def test_padding_with_a_value_is_representable() -> None:
    net = Net()
    y = net.add("PAD", net.input(1, 4), pads=((0, 0), (1, 1)), value=-7.0)
    graph = net.graph(y)
    result = quantize(graph, samples(graph))
    out = from_outputs(result, reference.run(result, to_feeds(result, samples(graph)[0])))[y]
    assert out[0, 0] == pytest.approx(-7.0, abs=0.05)


def test_flushed_channels_keep_their_bias() -> None:
    net = Net()
    x = net.input(1, 2, 2, 3)
    w = net.rng.normal(0, 1, (4, 1, 1, 3)).astype(np.float32)
    w[1] *= 1e-7
    graph = net.graph(net.add("CONV_2D", x, net.value(w), net.value(np.array([0.1, 1.7, -0.2, 0.3], np.float32))))
    result, report = quantize_with_report(graph, samples(graph))
    assert [(count, total) for _, count, total in report.flushed] == [(1, 4)]
    assert not result[str(result.nodes[0].inputs[1])].data[1].any()  # type: ignore[index]
    out = from_outputs(result, reference.run(result, to_feeds(result, samples(graph)[0])))[graph.outputs[0]]
    step = float(result[graph.outputs[0]].quant.scale[0])  # type: ignore[union-attr]
    assert np.abs(out[..., 1] - 1.7).max() <= 0.51 * step


def test_one_constant_two_uses() -> None:
    """A bias read by two nodes, and a constant read by an island and an int8 node, end as different integers."""
    net = Net()
    x = net.input(1, 1, 1, 4)
    shared = net.value(np.array([0.5, 1.0, 2.0, 4.0], np.float32))
    a = net.add("CONV_2D", x, net.random(4, 1, 1, 4), shared)
    b = net.add("CONV_2D", a, net.random(4, 1, 1, 4), shared)
    c = net.add("BATCH_NORM", b, shared, shared, shared, shared)
    graph = net.graph(net.add("MUL", c, shared))
    result = quantize(graph, samples(graph))
    assert sqnr(graph, result, samples(graph)) > 25


def test_refusals() -> None:
    graph = conv_net()
    done = quantize(graph, samples(graph))
    with pytest.raises(BadModel, match="quantized already"):
        quantize(done, samples(graph))
    with pytest.raises(BadConfig, match="io is int8 or float"):
        quantize(graph, samples(graph), io="uint8")  # type: ignore[arg-type]


@pytest.mark.parametrize("io", IOS)
def test_layer_sqnr_finds_the_broken_layer(io: Literal["int8", "float"]) -> None:
    graph = conv_net()
    data = samples(graph)
    result = quantize(graph, data, io=io)
    layers = layer_sqnr(graph, result, data[:4])
    assert {layer.tensor for layer in layers} == {out for node in graph.nodes for out in node.outputs}
    assert layers == sorted(layers, key=lambda layer: layer.cumulative)
    assert all(layer.isolated is not None and layer.isolated > 25 for layer in layers)
    first = next(layer for layer in layers if layer.tensor == graph.nodes[0].outputs[0])
    assert first.cumulative == first.isolated, "nothing comes before the first layer"
    # Spoil one layer's weights: it alone is bad in isolation, all after it are bad together.
    target = result.nodes[[n.op for n in result.nodes].index("DEPTHWISE_CONV_2D")]
    weight = result[str(target.inputs[1])]
    assert weight.data is not None
    spoilt = replace(
        result, tensors={**result.tensors, weight.name: replace(weight, data=np.ascontiguousarray(weight.data[..., ::-1]))}
    )
    bad = layer_sqnr(graph, spoilt, data[:4])
    assert [layer.op for layer in bad if layer.isolated is not None and layer.isolated < 20] == ["DEPTHWISE_CONV_2D"]
    assert all(layer.source for layer in bad)


@pytest.mark.parametrize("io", IOS)
def test_an_output_that_is_a_constant_stays_as_it_is(io: Literal["int8", "float"]) -> None:
    net = Net()
    x, constant = net.input(1, 4), net.random(4)
    y = net.add("ADD", x, constant)
    graph = replace(net.graph(y), outputs=(y, constant))
    result = quantize(graph, samples(graph), io=io)
    assert result.outputs == graph.outputs
    feed = feeds_of(graph, 99)
    got = from_outputs(result, reference.run(result, to_feeds(result, feed)))
    assert np.array_equal(got[constant], graph[constant].data)  # type: ignore[arg-type]
    assert np.allclose(got[y], reference.run(graph, feed)[y], atol=0.05)
