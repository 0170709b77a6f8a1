"""Layers that run a few rows at a time: the program, and the generated C, equal the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.cascade import Slide, cascade_of, needs, takes
from edgekit.export.c import compile_program
from edgekit.graph import Array, Graph, Quant
from edgekit.kernel_choice import kernels_of
from edgekit.memory import occupancy, plan, run_program
from edgekit.schedule import Program, Segment, schedule
from tests.export.c.nets import FUSED, Net, compare, conv, depthwise, feeds, partner, pick, pool, prelu, unary, weights


def rows_of_layers(kind: str, seed: int, length: int = 9, extreme: bool = True) -> Graph:
    """Layers of which most can run row by row, with any strides and paddings; branches meet again."""
    rng = np.random.default_rng(seed)
    net = Net(kind, rng, extreme)
    values = [net.input((1, int(rng.integers(5, 18)), int(rng.integers(3, 10)), int(pick(rng, (1, 3, 4, 8)))))]
    makers = (conv, conv, depthwise, depthwise, pool, merged, merged, compare, unary, prelu, beside, packed)
    for _ in range(length):
        found = [n for n in values[-3:] if net.of(n).shape[1] > 1] or values[-1:]
        values += pick(rng, makers)(net, str(pick(rng, found[-2:])))
    read = {n for node in net.nodes for n in node.inputs}
    return net.graph([o for node in net.nodes for o in node.outputs if o not in read])


def beside(net: Net, x: str) -> list[str]:
    """Two values of one height, their channels side by side."""
    quant, shape = net.of(x).quant, net.of(x).shape
    fits = [n for n, t in net.tensors.items() if len(t.shape) == 4 and t.shape[:3] == shape[:3] and t.dtype == net.kind]
    same = [n for n in fits if quant is None or quant.same_as(net.of(n).quant)]
    return net.op("CONCATENATION", [x, str(pick(net.rng, same))], quant, axis=3)


def packed(net: Net, x: str) -> list[str]:
    """A layer of the sizes that the kernels for the DSP extension take: 3x3, or 1x1 of 4n channels."""
    rng, channels = net.rng, net.of(x).shape[3]
    stride = int(rng.integers(1, 3))
    pad = tuple(int(n) for n in rng.integers(0, 2, 4)) if min(net.of(x).shape[1:3]) > 2 else (1, 1, 1, 1)
    if rng.random() < 0.5:
        w = net.values((1, 3, 3, channels), scaled(net, channels, 3))
        return net.op("DEPTHWISE_CONV_2D", [x, w, None], wide(net, x, 9), pad=pad, stride=(stride, stride))
    size = 1 if channels % 4 == 0 else 3
    w = net.values((8, size, size, channels), scaled(net, 8, 0))
    sizes = {} if size == 1 else {"pad": pad, "stride": (stride, 1)}
    return net.op("CONV_2D", [x, w, None], wide(net, x, size * size * channels), **sizes)


def merged(net: Net, x: str) -> list[str]:
    """A sum, difference or product with another value of the same shape, or with a constant."""
    kind, other = pick(net.rng, ("ADD", "ADD", "SUB", "MUL")), partner(net, x)
    return net.op(kind, [x, other] if net.rng.random() < 0.7 else [other, x], net.quant(0.3), activation=pick(net.rng, FUSED))


def scaled(net: Net, channels: int, axis: int) -> Quant | None:
    """Scales of weights that no kernel rescales to the left for."""
    return None if net.kind != "int8" else Quant.per_channel(net.rng.uniform(0.005, 0.01, channels).astype(np.float32), axis)


def wide(net: Net, x: str, reach: int) -> Quant | None:
    quant = net.of(x).quant
    return None if quant is None else net.quant(max(float(quant.scale[0]) * float(np.sqrt(reach)), 1e-3))


def segments(graph: Graph, isa: str, seed: int) -> list[Segment]:
    """Every run of layers that can be a cascade, now and then cut in two; any rows a call."""
    rng = np.random.default_rng(seed)
    kernels = kernels_of(graph, isa)
    runs: list[list[int]] = [[]]
    for i, node in enumerate(graph.nodes):
        if not takes(graph, node, kernels[i][0]) or (runs[-1] and rng.random() < 0.1):
            runs.append([])
        if takes(graph, node, kernels[i][0]):
            runs[-1].append(i)
    found = []
    for run in runs:
        if run:
            rows = tuple(int(n) for n in rng.integers(1, 4, len(run)))
            found.append(Segment(run[0], run[-1], rows, int(rng.integers(0, 3))))
    return found


def cascaded(graph: Graph, isa: str, seed: int, in_place: bool = True, const_input: bool = False) -> Program:
    cut = segments(graph, isa, seed)
    return schedule(graph, isa=isa, dead_channels=True, cascades=cut, in_place=in_place, const_input=const_input)


def close(found: dict[str, Array], expected: dict[str, Array], kind: str) -> None:
    for name, value in expected.items():
        if kind == "int8":
            np.testing.assert_array_equal(found[name], value)
        else:
            np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("seed", range(40))
def test_programs_equal_the_reference(kind: str, seed: int) -> None:
    graph = rows_of_layers(kind, seed)
    data = feeds(graph, np.random.default_rng(seed))
    expected = reference.run(graph, data)
    for isa, in_place, const_input in (("plain", True, False), ("dsp", True, True), ("dsp", False, False)):
        close(run_program(cascaded(graph, isa, seed, in_place, const_input), data), expected, kind)


@pytest.mark.parametrize(("kind", "isa"), [("int8", "plain"), ("int8", "dsp"), ("int8", "mve"), ("float32", "plain")])
@pytest.mark.parametrize("seed", range(2))
def test_generated_c_equals_the_reference(kind: str, isa: str, seed: int) -> None:
    graph = rows_of_layers(kind, seed, 14, extreme=seed == 0)
    model = compile_program(cascaded(graph, isa, seed), "net")
    data = [feeds(graph, np.random.default_rng(seed)) for _ in range(2)]
    for sample, found in zip(
        data,
        run_c(model.files, model.interface, data, sanitize=True, form="static" if seed else "run", cxx=kind == "float32"),
        strict=True,
    ):
        close(found, reference.run(graph, sample), kind)


def stack(rows: int = 24, layers: int = 3) -> Graph:
    """3x3 convolutions of 8 channels on rows x rows pixels, the first and last value added at the end."""
    net = Net("int8", np.random.default_rng(0), extreme=False)
    first = x = net.op("CONV_2D", [net.input((1, rows, rows, 4)), weights(net, (8, 1, 1, 4), 0)[0], None], net.quant(0.3))[0]
    for _ in range(layers):
        x = net.op("CONV_2D", [x, weights(net, (8, 3, 3, 8), 0)[0], None], net.quant(0.3), pad=(1, 1, 1, 1))[0]
    x = net.op("ADD", [first, x], net.quant(0.3))[0]
    return net.graph(net.op("MAX_POOL_2D", [x], net.of(x).quant, filter=(rows, rows)))


def test_windows_hold_what_the_kernels_read_and_no_more() -> None:
    graph = stack()
    cascade = cascade_of(graph, kernels_of(graph, "plain"), 0, 4, (1,) * 5, 0)
    # A 3x3 layer reads three rows; the value that is added at the end waits for three layers of one row of padding each.
    assert [w.capacity for w in cascade.windows] == [4, 3, 3, 1]
    assert [w.row for w in cascade.windows] == [24 * 8] * 4
    assert cascade.extra > 0
    wide = cascade_of(graph, kernels_of(graph, "plain"), 0, 4, (4,) * 5, 2)
    assert sum(isinstance(a, Slide) for a in wide.actions) < sum(isinstance(a, Slide) for a in cascade.actions) // 3


def test_no_row_is_computed_twice() -> None:
    graph = rows_of_layers("int8", 5)
    for step in cascaded(graph, "plain", 5).steps:
        if step.cascade is not None:
            for index, stage in enumerate(step.cascade.stages):
                runs = [a for a in step.cascade.actions if not isinstance(a, Slide) and a.stage == index]
                made = [row for run in runs for row in range(run.first, run.first + run.count)]
                assert made == list(range(graph[stage.output].shape[1]))


def test_rows_needed() -> None:
    net = Net("int8", np.random.default_rng(0))
    w, _ = weights(net, (2, 3, 1, 1), 0)
    y = net.op("CONV_2D", [net.input((1, 11, 3, 1)), w, None], net.quant(), stride=(2, 1), dilation=(2, 1), pad=(1, 2, 0, 0))
    graph = net.graph(y)
    assert [needs(graph, graph.nodes[0], first, 1) for first in range(5)] == [(0, 4), (1, 6), (3, 8), (5, 10), (7, 11)]
    assert needs(graph, graph.nodes[0], 1, 3) == (1, 10)


def test_a_cascade_takes_less_memory_and_the_law_notices_a_window_that_is_too_small() -> None:
    graph = stack()
    whole = schedule(graph, dead_channels=True)
    program = schedule(graph, dead_channels=True, cascades=[Segment(0, 4, (1,) * 5)])
    assert plan(program).peak < 0.75 * plan(whole).peak
    assert max(int(need.max()) for need in occupancy(program).values()) < 24 * 24 * 8 * 2
    data = feeds(graph, np.random.default_rng(1))
    step = program.steps[0]
    assert step.cascade is not None
    late = [a for a in step.cascade.actions if not isinstance(a, Slide)]
    broken = replace(step, cascade=replace(step.cascade, actions=tuple(late)))
    with pytest.raises(AssertionError):
        run_program(replace(program, steps=(broken, *program.steps[1:])), data)
