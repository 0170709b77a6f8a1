"""verify: engines that agree pass, an engine that is wrong is caught and located, one that is missing is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgekit import engines, reference
from edgekit.against import aligned
from edgekit.boundary import from_outputs, random_samples
from edgekit.data import from_arrays
from edgekit.engines import ENGINES, Engine, Feeds, Outputs
from edgekit.errors import BadConfig, BadData, EdgekitError, MissingTool, Unsupported
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, InputContract, InputSpec, OutputSpec
from edgekit.load.tflite import load_tflite
from edgekit.passes.quantize import layer_sqnr, quantize
from edgekit.target import Target
from edgekit.verify import integer_only, verify_model
from tests.passes.net import Net, feeds_of

Spoil = Callable[[Outputs], Outputs]


def float_net() -> Graph:
    net = Net()
    x = net.input(1, 6, 6, 3)
    a = net.add("CONV_2D", x, net.random(8, 3, 3, 3), net.random(8), pad=(1, 1, 1, 1), activation="RELU")
    b = net.add("DEPTHWISE_CONV_2D", a, net.random(1, 3, 3, 8), net.random(8), pad=(1, 1, 1, 1))
    c = net.add("MEAN", net.add("ADD", a, b), axes=(1, 2))
    return net.graph(net.add("SOFTMAX", net.add("FULLY_CONNECTED", c, net.random(5, 8), net.random(5))))


def int8_net() -> Graph:
    graph = float_net()
    return quantize(graph, [feeds_of(graph, seed) for seed in range(16)])


def fake(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Graph, Feeds, Target], tuple[Outputs, str]], exact: bool = True
) -> None:
    monkeypatch.setitem(ENGINES, "fake", Engine("a fake", "c", exact, run))


def spoilt(change: Callable[[Array], Array], only: int | None = None) -> Callable[[Graph, Feeds, Target], tuple[Outputs, str]]:
    """An engine that is the reference, but for its outputs (of sample `only`)."""

    def run(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
        results = [reference.run(graph, f) for f in feeds]
        for i, result in enumerate(results):
            if only is None or i == only:
                result[graph.outputs[0]] = change(result[graph.outputs[0]])
        return results, "fake 1.0"

    return run


def test_real_engines_on_an_int8_graph() -> None:
    report = verify_model(int8_net(), ["c", "tflm", "onnx"])
    assert report.random
    assert report.samples == 100
    assert report.passed
    assert (report.row("c").status, report.row("c").max_lsb, report.row("c").argmax) == ("exact", 0, 1.0)
    assert report.row("tflm").status in {"exact", "unavailable"}
    assert report.row("onnx").status in {"exact", "close"}
    assert "onnxruntime" in report.row("onnx").tool
    assert report.accuracy_note.startswith("no accuracy: the inputs are random")
    json.dumps(report.to_json(), allow_nan=False)


def test_real_engines_on_a_float_graph() -> None:
    report = verify_model(float_net(), ["c", "onnx"], random_samples(float_net(), 4))
    assert report.passed
    assert report.row("c").rule == "SQNR at least 60 dB"
    assert all((row.sqnr or 999) > 100 for row in report.rows)


def test_one_wrong_bit_fails_an_exact_engine_and_is_located(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, spoilt(lambda a: np.where(a > -128, a - 1, a).astype(a.dtype), only=3))
    graph = int8_net()
    report = verify_model(graph, ["fake"], random_samples(graph, 6))
    row = report.row("fake")
    assert not report.passed
    assert (row.status, row.passed, row.max_lsb, row.differing, row.worst_samples) == ("different", False, 1, 1, (3,))
    assert row.rule == "bit for bit"
    assert "1 of 6 samples differ" in row.reason


def test_a_judged_engine_may_round_but_not_compute_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = int8_net()
    data = random_samples(graph, 6)
    fake(monkeypatch, spoilt(lambda a: np.where(a > -128, a - 1, a).astype(a.dtype)), exact=False)
    row = verify_model(graph, ["fake"], data).row("fake")
    assert (row.status, row.passed, row.differing) == ("close", True, 6)
    strict = verify_model(graph, ["fake"], data, tolerance=90.0).row("fake")
    assert (strict.status, strict.rule) == ("different", "SQNR at least 90 dB")
    fake(monkeypatch, spoilt(lambda a: a[..., ::-1].copy()), exact=False)
    assert verify_model(graph, ["fake"], data).row("fake").passed is False


def test_the_layer_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
        weight = graph[str(graph.nodes[1].inputs[1])]
        assert weight.data is not None
        wrong = replace(graph, tensors={**graph.tensors, weight.name: replace(weight, data=weight.data[..., ::-1].copy())})
        return [reference.run(wrong, f) for f in feeds], "fake"

    fake(monkeypatch, run)
    graph = int8_net()
    row = verify_model(graph, ["fake"], random_samples(graph, 4)).row("fake")
    assert row.layers[0].op == "DEPTHWISE_CONV_2D"
    assert row.layers[0].source


def shifted(a: Array, steps: int) -> Array:
    return np.asarray(np.clip(a.astype(int) + steps, -128, 127), a.dtype)


@pytest.mark.parametrize(("steps", "passed"), [(1, True), (2, False)])
def test_a_judged_engine_is_held_to_a_step_an_operator(monkeypatch: pytest.MonkeyPatch, steps: int, passed: bool) -> None:
    """Every convolution off by `steps`: the outputs' SQNR alone would not tell."""

    def run(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
        results = []
        for feed in feeds:
            values: dict[str, Array] = dict(feed)
            for node in graph.nodes:
                for name, value in zip(node.outputs, reference.run_node(graph, node, values), strict=True):
                    values[name] = shifted(value, steps) if node.op == "CONV_2D" else value
            results.append({name: values[name] for name in graph.outputs})
        return results, "fake"

    fake(monkeypatch, run, exact=False)
    graph = int8_net()
    data = random_samples(graph, 4)
    row = verify_model(graph, ["fake"], data).row("fake")
    assert row.sqnr is not None
    assert row.sqnr > 15
    assert (row.passed, row.op_lsb) == (passed, steps)
    if not passed:
        assert "CONV_2D 'conv_2d0' is off by 2 steps" in row.reason
    assert verify_model(graph, ["fake"], data, tolerance=10.0).row("fake").passed


def test_constants_of_equal_integers_but_other_scales_stay_apart_in_onnx() -> None:
    net = Net()
    x = net.input(1, 16)
    graph = net.graph(net.add("MUL", net.add("ADD", x, net.value([3.0])), net.value([0.25])))
    report = verify_model(quantize(graph, [feeds_of(graph, seed) for seed in range(4)]), ["onnx"])
    assert report.passed


def test_labels_give_accuracy_and_hold_judged_engines_to_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = int8_net()
    x = np.concatenate([s["x"] for s in random_samples(graph, 8)])
    labels = np.array([int(np.argmax(reference.run(graph, {"x": x[i : i + 1]})[graph.outputs[0]])) for i in range(8)])
    labels[0] = (labels[0] + 1) % 5
    data = from_arrays(graph, {"x": x}, labels)
    fake(monkeypatch, spoilt(lambda a: np.roll(a, 1, axis=-1), only=2), exact=False)
    report = verify_model(graph, ["fake"], data, tolerance=-100.0)
    assert not report.random
    assert report.row("reference").accuracy == 7 / 8
    assert report.row("fake").argmax == 7 / 8
    assert report.row("fake").passed is False, "the SQNR is within tolerance, the class is not"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MissingTool("no such tool", "pip install it"), "unavailable"),
        (Unsupported("engine", [("n", "cannot", "")]), "unavailable"),
        (EdgekitError("it crashed"), "failed"),
    ],
)
def test_engines_that_cannot_run(monkeypatch: pytest.MonkeyPatch, error: EdgekitError, status: str) -> None:
    def run(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
        raise error

    fake(monkeypatch, run)
    graph = int8_net()
    data = random_samples(graph, 1)
    report = verify_model(graph, ["fake"], data)
    assert report.row("fake").status == status
    assert error.message in report.row("fake").reason
    assert report.passed == (status == "unavailable")
    with pytest.raises(type(error)):
        verify_model(graph, [], data, require=["fake"])


def test_against_the_float_model() -> None:
    source, graph = float_net(), int8_net()
    report = verify_model(graph, [], random_samples(graph, 8), against=source)
    row = report.row("against")
    assert row.passed
    assert row.sqnr is not None
    assert 15 < row.sqnr < 80
    assert {layer.tensor for layer in report.layers} == {out for node in source.nodes for out in node.outputs}
    other = replace(
        source, tensors={n: replace(t, data=-t.data) if t.data is not None else t for n, t in source.tensors.items()}
    )
    assert not verify_model(graph, [], random_samples(graph, 8), against=other).passed


def test_layers_are_compared_with_the_source_although_files_drop_their_names() -> None:
    source, graph = float_net(), int8_net()
    stripped = load_tflite(export_tflite(graph))
    assert not {n for node in stripped.nodes[:-1] for n in node.outputs} & set(source.tensors)
    layers = verify_model(stripped, [], random_samples(stripped, 8), against=source).layers
    assert [layer.op for layer in layers] == [layer.op for layer in layer_sqnr(source, graph, samples_of(graph, 8))]
    assert [layer.source for layer in layers] == [layer.source for layer in layer_sqnr(source, graph, samples_of(graph, 8))]
    net = Net()
    other = net.graph(net.add("RELU", net.input(1, 6, 6, 3)))
    assert aligned(stripped, other) is None


def samples_of(graph: Graph, count: int) -> list[dict[str, Array]]:
    """random_samples as real numbers."""
    return [from_outputs(replace(graph, outputs=graph.inputs), s) for s in random_samples(graph, count)]


def test_against_a_model_in_the_other_layout_with_other_names() -> None:
    source, graph = float_net(), int8_net()
    net = Net()
    x = net.input(1, 3, 6, 6, name="image")
    moved = net.add("TRANSPOSE", x, perm=(0, 2, 3, 1))
    names = {"x": moved} | {n: f"s_{n}" for n in source.tensors if n != "x"}
    tensors = {names[n]: replace(t, name=names[n]) for n, t in source.tensors.items()} | net.tensors
    nodes = [
        replace(n, inputs=tuple(names[str(i)] for i in n.inputs), outputs=tuple(names[o] for o in n.outputs))
        for n in source.nodes
    ]
    twin = replace(source, inputs=("image",), outputs=(names[source.outputs[0]],), nodes=(*net.nodes, *nodes), tensors=tensors)
    one = verify_model(graph, [], random_samples(graph, 3), against=source).row("against").sqnr
    assert verify_model(graph, [], random_samples(graph, 3), against=twin).row("against").sqnr == pytest.approx(one)


def test_against_something_else_is_refused() -> None:
    net = Net()
    a, b = net.input(1, 4, name="a"), net.input(1, 4, name="b")
    with pytest.raises(BadData, match="2 inputs"):
        verify_model(int8_net(), [], against=net.graph(net.add("ADD", a, b)))
    small = Net()
    with pytest.raises(BadData, match="does not fit the other model"):
        verify_model(int8_net(), [], against=small.graph(small.add("RELU", small.input(1, 7))))


def test_source_layout_reaches_the_engines() -> None:
    graph = int8_net()
    contract = InputContract({"x": InputSpec(perm=(0, 2, 3, 1), layout="NCHW")}, {graph.outputs[0]: OutputSpec()})
    report = verify_model(
        replace(graph, contract=contract), ["c", "onnx"], random_samples(replace(graph, contract=contract), 3)
    )
    assert report.passed
    assert report.row("c").status == "exact"


def test_equal_infinities_are_equal() -> None:
    net = Net()
    graph = net.graph(net.add("DIV", net.value(np.array([1.0, -1.0, 0.0, 2.0])), net.input(1, 4)))
    row = verify_model(graph, ["c"], [{"x": np.array([[0, 0, 0, 2]], np.float32)}]).row("c")
    assert (row.status, row.differing) == ("exact", 0)


def test_bad_calls() -> None:
    with pytest.raises(BadConfig, match="no engine tensorrt"):
        verify_model(int8_net(), ["tensorrt"])
    with pytest.raises(BadData, match="no samples"):
        verify_model(int8_net(), [], [])


def test_what_counts_as_integer_only() -> None:
    assert integer_only(int8_net())
    assert not integer_only(float_net())
    net = Net()
    x = net.input(1, 1, 1, 4)
    island = net.graph(net.add("RELU", net.add("BATCH_NORM", x, *[net.value(np.ones(4, np.float32)) for _ in range(4)])))
    mixed = quantize(island, [feeds_of(island, seed) for seed in range(4)])
    assert mixed.is_quantized
    assert not integer_only(mixed)


def test_every_engine_is_described() -> None:
    assert list(engines.ENGINES) == ["c", "emulated", "tflm", "litert-reference", "litert", "onnx"]
    assert [name for name, engine in engines.ENGINES.items() if engine.exact] == ["c", "emulated", "tflm"]
