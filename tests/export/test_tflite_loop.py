"""Recurrent layers as TFLite's WHILE: TFLM gives the reference's bits, LiteRT nearly, and the file reads back as it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.litert import run_litert
from edgekit.bench.tflm import run_tflm, run_tflm_reporting
from edgekit.errors import Unsupported
from edgekit.export import tflite_loop
from edgekit.export.tflite import export_tflite
from edgekit.export.tflm import export_tflm
from edgekit.export.tflm_arena import plan_arena
from edgekit.graph import Array, Graph, Node, Quant, Tensor
from edgekit.load.tflite import load_tflite
from edgekit.ops.recurrent_step import Step, step
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import quantize
from tests.export.c.test_kernels import compare
from tests.ops.recurrent_nets import float_net, int8_net

CELLS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {"reset_after": True}),
    ("GRU", {"reset_after": False}),
    ("RNN", {"activation": "TANH"}),
    ("RNN", {"activation": "RELU"}),
]
CELL = pytest.mark.parametrize(("op", "attrs"), CELLS)


def looped(graph: Graph) -> Graph:
    return replace(graph, nodes=tuple(replace(n, attrs={**n.attrs, "loop": True}) for n in graph.nodes))


def feeds(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    def one(t: Tensor) -> Array:
        if t.dtype == "float32":
            return rng.normal(size=t.shape).astype(np.float32)
        low, high = (-128, 128) if t.dtype == "int8" else (-20000, 20000)
        return rng.integers(low, high, t.shape).astype(t.dtype)

    return {name: one(graph[name]) for name in graph.inputs}


def draw(op: str, seed: int, attrs: dict[str, Any]) -> Graph:
    """With and without states, y, from the end."""
    rng = np.random.default_rng(seed)
    graph = int8_net(op, rng, state=bool(seed % 2), reverse=bool(seed // 2 % 2), **attrs)
    return replace(graph, outputs=graph.outputs[1:]) if seed % 3 == 0 else graph


@CELL
@pytest.mark.parametrize("seed", range(4))
def test_integers_are_tflm_s_and_the_file_reads_back(op: str, attrs: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = looped(draw(op, seed, attrs))
    file = export_tflite(graph)
    again = load_tflite(file)
    assert [n.op for n in again.nodes] == [op]
    assert export_tflite(again) == file
    samples = [feeds(graph, rng) for _ in range(2)]
    near = run_litert(file, samples)
    for sample, theirs, nearly in zip(samples, run_tflm(file, samples), near, strict=True):
        ours = reference.run(graph, sample)
        for name in graph.outputs:
            np.testing.assert_array_equal(theirs[name], ours[name], err_msg=name)
            # LiteRT rounds the products of int16 once more: a few steps of a 16-bit state.
            most = 2 if graph[name].dtype == "int8" else 64
            assert np.abs(nearly[name].astype(int) - ours[name]).max() <= most


@CELL
def test_floats(op: str, attrs: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    graph = float_net(op, rng, True, **attrs)
    wide = looped(graph)
    file, sample = export_tflite(wide), feeds(graph, rng)
    again = load_tflite(file)
    assert not again.nodes[0].attrs["loop"]
    for run in (run_tflm, run_litert):
        (theirs,) = run(file, [sample])
        for name, value in reference.run(graph, sample).items():
            np.testing.assert_allclose(theirs[name], value, atol=1e-5)
            np.testing.assert_allclose(reference.run(again, sample)[name], value, atol=1e-5)


@CELL
def test_the_loop_s_integers_are_near_the_sequence_operator_s(op: str, attrs: dict[str, Any]) -> None:
    """A calibrated cell: both round a real computation, in other places."""
    graph = int8_net(op, np.random.default_rng(2), False, **attrs)
    state, r = graph["h"].quant, graph["r"].quant
    assert state is not None
    assert r is not None
    if op == "GRU":  # y must be able to hold h, as a calibrated one can
        y = Quant.per_tensor(float(state.scale[0]) * 256, 0)
        changed = {"y": replace(graph["y"], quant=y)}
        if "rb" in graph.tensors:
            changed["rb"] = replace(
                graph["rb"], quant=Quant.per_channel(y.scale * r.scale[-graph["rb"].elements :], 0, "int32")
            )
        graph = replace(graph, tensors={**graph.tensors, **changed})
    sample = feeds(graph, np.random.default_rng(3))
    one, other = reference.run(graph, sample)["y"], reference.run(looped(graph), sample)["y"]
    assert np.abs(one.astype(int) - other).max() <= 2


def test_the_body_of_another_step_is_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that differs from a cell's in one operator, or in one scale, is refused."""

    def crooked(node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> Step:
        made = step(node, ins, outs)
        (place,) = (i for i, n in enumerate(made.nodes) if n.op == "SUB")
        made.nodes[place] = replace(made.nodes[place], op="ADD")
        return made

    def scaled(node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> Step:
        made = step(node, ins, outs)
        (name,) = (n.outputs[0] for n in made.nodes if n.op == "SUB")
        made.tensors[name] = replace(made.tensors[name], quant=Quant.per_tensor(2.0**-9, 0, "int16"))
        return made

    graph = looped(int8_net("GRU", np.random.default_rng(5), False))
    load_tflite(export_tflite(graph))
    for other in (crooked, scaled):
        monkeypatch.setattr(tflite_loop, "step", other)
        with pytest.raises(Unsupported, match="WHILE"):
            load_tflite(export_tflite(graph))


@pytest.mark.parametrize("seed", range(6))
def test_the_arena_of_a_loop_is_planned(seed: int) -> None:
    op, attrs = CELLS[seed % len(CELLS)]
    file = export_tflite(looped(draw(op, seed, attrs)))
    run = run_tflm_reporting(file, [])
    head = next(int(m[1]) for line in run.allocations if (m := re.search(r"Arena allocation head (\d+) bytes", line)))
    plan = plan_arena(file, kernels="ref")
    assert plan.head == head
    assert plan.unknown == ()


def test_tflm_links_what_is_in_the_loop() -> None:
    graph = looped(int8_net("RNN", np.random.default_rng(1), False))
    text = export_tflm(graph, "net")["net_ops.h"].decode()
    found = set(re.findall(r"resolver\.(Add\w+)\(\)", text))
    assert {"AddWhile", "AddLess", "AddGather", "AddFullyConnected", "AddTanh", "AddDynamicUpdateSlice"} <= found
    ends = replace(graph, outputs=graph.outputs[1:])
    assert "AddDynamicUpdateSlice" not in export_tflm(ends, "net")["net_ops.h"].decode()


@CELL
def test_a_file_s_loop_becomes_the_sequence_operator_in_c(op: str, attrs: dict[str, Any]) -> None:
    """Calibrated, as TFLite, read back, as C: a few steps from the file, and what C would have had from the start but for the
    rounding of biases."""
    rng = np.random.default_rng(4)
    graph = float_net(op, rng, False, **attrs)
    data = [feeds(graph, rng) for _ in range(24)]
    integer = quantize(legalize(graph, "tflm", whole=True), data)
    file = load_tflite(export_tflite(legalize(integer, "tflm")))
    made = legalize(file, "c")
    nodes = [n for n in made.nodes if n.op == op]
    assert len(nodes) == 1
    assert not nodes[0].attrs["loop"]
    assert any("loop" in note for note in made.history) == bool(file.nodes[0].attrs.get("loop"))
    sample = feeds(file, rng)
    ours, theirs, plain = (reference.run(g, f) for g, f in ((made, sample), (file, sample), (integer, sample)))
    near = [np.abs(ours[n].astype(int) - theirs[n]).max() for n in ours if file[n].dtype == "int8"]
    assert max(near) <= 3, near
    same = [np.abs(ours[n].astype(int) - plain[n]).max() for n in ours if file[n].dtype == "int8"]
    assert max(same) <= 1, same
    compare(made, rng, samples=1)
