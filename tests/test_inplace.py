"""Convolutions that write over their own input: where values lie, and that nothing is read after it was written over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.graph import Graph
from edgekit.inplace import Move, offsets
from edgekit.lag import lags
from edgekit.memory import occupancy, plan, run_program
from edgekit.schedule import BufferView, Program, schedule
from tests.export.c.nets import Net, chained, feeds, weights


def overlapping(program: Program) -> list[int]:
    return [i for i, step in enumerate(program.steps) if step.order in {"forward", "backward"}]


def nearer(program: Program, step: int, by: int) -> Program:
    """The program whose step has its output `by` bytes nearer to its input."""
    call = program.steps[step]
    view = call.outputs[0]
    moved = replace(view, offset=view.offset + (by if call.order == "forward" else -by))

    def put(operand: Any) -> Any:
        return moved if isinstance(operand, BufferView) and operand.tensor == view.tensor else operand

    steps = [replace(s, inputs=tuple(map(put, s.inputs)), outputs=tuple(map(put, s.outputs))) for s in program.steps]
    outputs = {n: put(v) for n, v in program.outputs.items()}
    return replace(program, steps=tuple(steps), views={**program.views, view.tensor: moved}, outputs=outputs)


@pytest.mark.parametrize("seed", range(40))
def test_program_equals_reference_with_overlapping_values(seed: int) -> None:
    graph = chained(seed)
    program = schedule(graph, dead_channels=True)
    data = feeds(graph, np.random.default_rng(seed))
    expected = reference.run(graph, data)
    for name, value in run_program(program, data).items():
        np.testing.assert_array_equal(value, expected[name])
    assert plan(program).bound <= plan(schedule(graph, dead_channels=True, in_place=False)).bound


def test_both_directions_are_used() -> None:
    orders = [step.order for seed in range(20) for step in schedule(chained(seed)).steps]
    assert min(orders.count("forward"), orders.count("backward")) > 10


def test_the_law_notices_values_that_are_too_near() -> None:
    noticed = tried = 0
    for seed in range(12):
        program = schedule(chained(seed, 4), dead_channels=True)
        layout = plan(program)
        layout = replace(layout, peak=layout.peak + 4096, offsets={n: at + 2048 for n, at in layout.offsets.items()})
        data = feeds(program.graph, np.random.default_rng(seed))
        expected = reference.run(program.graph, data)
        for step in overlapping(program):
            # Nearer by more than any rounding of the lag.
            found = run_program(nearer(program, step, 48), data, layout)
            tried += 1
            noticed += any(not np.array_equal(v, expected[n]) for n, v in found.items())
    assert tried > 15
    assert noticed > tried // 3


def one(shape: tuple[int, ...], kernel: tuple[int, int], out: int, op: str = "CONV_2D", **attrs: object) -> Graph:
    net = Net("int8", np.random.default_rng(0))
    x = net.input(shape)
    depthwise = op == "DEPTHWISE_CONV_2D"
    w, _ = weights(net, (1, *kernel, shape[3]) if depthwise else (out, *kernel, shape[3]), 3 if depthwise else 0)
    return net.graph([net.op(op, [x, w, None], net.quant(0.5), **attrs)[0]])


def test_lags_of_the_usual_layers() -> None:
    same = one((1, 10, 8, 16), (3, 3), 16, "DEPTHWISE_CONV_2D", pad=(1, 1, 1, 1))
    assert lags(same, same.nodes[0], "depthwise_s8") == [("forward", (8 + 1) * 16)]
    square = one((1, 10, 8, 16), (3, 3), 16, pad=(1, 1, 1, 1))
    assert lags(square, square.nodes[0], "conv_s8") == [("forward", (8 + 1) * 16)]
    point = one((1, 10, 8, 16), (1, 1), 16)
    assert lags(point, point.nodes[0], "conv_1x1_s8") == [("backward", 4 * 16), ("forward", 4 * 16)]
    grown = one((1, 10, 8, 16), (1, 1), 32)
    assert dict(lags(grown, grown.nodes[0], "conv_1x1_s8")) == {"backward": 4 * 16, "forward": 80 * 16 + 4 * 16}
    assert lags(point, point.nodes[0], "conv_unknown") == []


def test_a_chain_swings_instead_of_drifting() -> None:
    """Depthwise forward, 1x1 backward: the buffer is one row and a pixel larger than its values, however long the chain."""
    net = Net("int8", np.random.default_rng(0), extreme=False)
    x = net.input((1, 10, 8, 16))
    for _ in range(4):
        w, _ = weights(net, (1, 3, 3, 16), 3)
        x = net.op("DEPTHWISE_CONV_2D", [x, w, None], net.quant(0.5), pad=(1, 1, 1, 1))[0]
        w, _ = weights(net, (16, 1, 1, 16), 0)
        x = net.op("CONV_2D", [x, w, None], net.quant(0.5))[0]
    program = schedule(net.graph([x]), dead_channels=True)
    assert list(occupancy(program)) == [net.inputs[0]]
    assert plan(program).peak == 10 * 8 * 16 + (8 + 1) * 16


def test_offsets_are_the_least_that_keep_all_distances() -> None:
    moves = [
        Move("a", "b", "forward", 32),
        Move("b", "c", "backward", 16),
        Move("c", "d", "same", 0),
        Move("d", "e", "forward", 64),
    ]
    heads, at = offsets(moves)
    assert set(heads.values()) == {"a"}
    assert at == {"a": 32, "b": 0, "c": 64, "d": 64, "e": 0}


def test_an_input_that_is_read_again_keeps_its_place() -> None:
    net = Net("int8", np.random.default_rng(0))
    x = net.input((1, 6, 6, 4))
    w, _ = weights(net, (4, 1, 1, 4), 0)
    a = net.op("CONV_2D", [x, w, None], net.quant(0.5))[0]
    y = net.op("ADD", [a, x], net.quant(0.5))[0]
    program = schedule(net.graph([y]), dead_channels=True)
    assert [step.order for step in program.steps] == ["any", "same"]
    assert schedule(net.graph([a]), const_input=True).steps[0].order == "any"
