from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit import reference
from edgekit.boundary import to_feeds
from edgekit.engines import ENGINES
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const
from edgekit.load.tflite import load_tflite
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import Choice, quantize_with_report, shares
from edgekit.passes.quantize.shares import find, widen
from edgekit.passes.rebatch import rebatch
from edgekit.target import find_target
from tests.export.c.test_kernels import compare

WIDTH = 8


def attention(tokens: int, *, sharp: float = 0.2, masked: bool = False, shown: bool = False) -> Graph:
    """softmax(q k^T [+ mask]) v of dense layers of one input; shown: the shares are an output, too."""
    rng = np.random.default_rng(tokens)
    tensors = [Tensor(n, (1, tokens, WIDTH), "float32") for n in ("x", "q", "k", "v", "y")]
    tensors += [Tensor(n, (1, tokens, tokens), "float32") for n in ("s", "m", "p", "t")]
    tensors += [const(f"w{n}", rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 3) for n in "qkv"]
    tensors += [const("mask", np.triu(np.full((1, tokens, tokens), -1e9, np.float32), 1))]
    nodes = [Node("FULLY_CONNECTED", ("x", f"w{n}"), (n,), {"keep_dims": True}) for n in "qkv"]
    nodes += [Node("BATCH_MATMUL", ("q", "k"), ("s",), {"adj_y": True})]
    nodes += [Node("ADD", ("s", "mask"), ("m",))] if masked else []
    nodes += [Node("SOFTMAX", ("m" if masked else "s",), ("p",), {"beta": sharp}, "the softmax")]
    nodes += [Node("RESHAPE", ("p",), ("t",), {"shape": (1, tokens, tokens)}), Node("BATCH_MATMUL", ("t", "v"), ("y",))]
    return build("attention", ["x"], ["y", "p"] if shown else ["y"], nodes, tensors)


def samples(graph: Graph, count: int = 4) -> list[dict[str, Array]]:
    rng = np.random.default_rng(7)
    return [{"x": rng.normal(size=graph["x"].shape).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("masked", [False, True])
def test_long_rows_are_made_in_16_bits_and_every_engine_agrees(
    masked: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = attention(240 if masked else 160, masked=masked)
    data = samples(graph)
    made, report = quantize_with_report(graph, data)
    assert list(report.choice.shares) == ["p"]
    inner = [n for n in made.nodes if n.op in {"BATCH_MATMUL", "ADD", "SOFTMAX", "RESHAPE"}]
    assert {t.dtype for n in inner for t in (*made.input_tensors(n), *made.output_tensors(n)) if t} == {"int16"}
    assert {made[n].dtype for n in (*made.inputs, *made.outputs)} == {"int8"}
    monkeypatch.setattr(shares, "ENOUGH_DB", 0.0)
    plain, _ = quantize_with_report(graph, data)
    want = [reference.run(graph, d)["y"] for d in data]
    decibels = []
    for integer in (plain, made):
        quant = integer["y"].quant
        assert quant is not None
        found = [reference.run(integer, to_feeds(integer, d))["y"] for d in data]
        decibels.append(sqnr_db(want, [(f.astype(np.float32) - quant.zero_point[0]) * quant.scale[0] for f in found]))
    assert decibels[1] > decibels[0] + (3 if masked else 8), decibels
    assert decibels[1] > 28
    compare(made, np.random.default_rng(1), samples=1)
    feeds = [to_feeds(made, d) for d in data[:1]]
    ours = reference.run(made, feeds[0])["y"]
    for engine, apart in {"tflm": 0, "litert-reference": 1, "onnx": 1}.items():
        theirs = ENGINES[engine].run(made, feeds, find_target("mcu"))[0][0]["y"]
        assert np.abs(theirs.astype(int) - ours.astype(int)).max() <= apart, engine
    path = tmp_path / "a.tflite"
    path.write_bytes(export_tflite(made))
    again = load_tflite(path)
    np.testing.assert_array_equal(reference.run(again, {again.inputs[0]: feeds[0]["x"]})[again.outputs[0]], ours)
    twice = rebatch(made, 2)
    both = reference.run(twice, {"x": np.concatenate([to_feeds(made, d)["x"] for d in data[:2]])})["y"]
    np.testing.assert_array_equal(both[:1], ours)


def test_short_or_sharp_rows_and_shares_that_are_read_otherwise_stay_int8() -> None:
    for graph in (attention(16), attention(160, sharp=20.0), attention(160, shown=True)):
        made, report = quantize_with_report(graph, samples(graph))
        assert not report.choice.shares
        assert {t.dtype for t in made.tensors.values()} <= {"int8", "int32"}
    assert find(attention(160, shown=True)) == []


def test_the_choice_survives_json_and_other_names_are_left_alone() -> None:
    graph = attention(160)
    report = quantize_with_report(graph, samples(graph))[1]
    assert Choice.from_json(json.loads(json.dumps(report.choice.to_json()))) == report.choice
    x = Tensor("x", (1, 4), "int8", None, Quant.per_tensor(0.1))
    other = build("o", ["x"], ["y"], [Node("RELU", ("x",), ("y",))], [x, Tensor("y", (1, 4), "int8", None, x.quant)])
    assert [n.op for n in widen(other, ["y"]).nodes] == ["RELU"]
