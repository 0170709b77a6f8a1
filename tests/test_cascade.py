"""Layers that run a few rows at a time: the program, and the generated C, equal the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.cascade import Run, Slide, takes
from edgekit.export.c import compile_program
from edgekit.graph import Graph
from edgekit.kernel_choice import kernels_of
from edgekit.memory import plan, run_program
from edgekit.schedule import Program, Segment, schedule
from tests.export.c.nets import Net, arithmetic, compare, conv, depthwise, feeds, pick, pool, prelu, unary


def rows_of_layers(kind: str, seed: int, length: int = 9, extreme: bool = True) -> Graph:
    """Layers of which most can run row by row, with any strides and paddings; branches meet again."""
    rng = np.random.default_rng(seed)
    net = Net(kind, rng, extreme)
    values = [net.input((1, int(rng.integers(5, 18)), int(rng.integers(3, 10)), int(pick(rng, (1, 3, 4, 8)))))]
    makers = (conv, conv, depthwise, depthwise, pool, arithmetic, arithmetic, compare, unary, prelu, beside, packed)
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


def scaled(net: Net, channels: int, axis: int):  # type: ignore[no-untyped-def]
    from edgekit.graph import Quant

    return None if net.kind != "int8" else Quant.per_channel(net.rng.uniform(0.005, 0.01, channels).astype(np.float32), axis)


def wide(net: Net, x: str, reach: int):  # type: ignore[no-untyped-def]
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


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("seed", range(40))
def test_programs_equal_the_reference(kind: str, seed: int) -> None:
    graph = rows_of_layers(kind, seed)
    data = feeds(graph, np.random.default_rng(seed))
    expected = reference.run(graph, data)
    for isa, in_place, const_input in (("plain", True, False), ("dsp", True, True), ("dsp", False, False)):
        found = run_program(cascaded(graph, isa, seed, in_place, const_input), data)
        for name, value in found.items():
            np.testing.assert_allclose(
                value, expected[name], rtol=2e-4 if kind == "float32" else 0, atol=1e-5 * (kind != "int8")
            )


@pytest.mark.parametrize(("kind", "isa"), [("int8", "plain"), ("int8", "dsp"), ("float32", "plain")])
@pytest.mark.parametrize("seed", range(8))
def test_generated_c_equals_the_reference(kind: str, isa: str, seed: int) -> None:
    graph = rows_of_layers(kind, seed, 14, extreme=False)
    model = compile_program(cascaded(graph, isa, seed), "net")
    data = [feeds(graph, np.random.default_rng(seed)) for _ in range(2)]
    form = "static" if seed % 2 else "run"
    for sample, found in zip(data, run_c(model.files, model.interface, data, sanitize=True, form=form), strict=True):
        for name, value in reference.run(graph, sample).items():
            np.testing.assert_allclose(
                found[name], value, rtol=2e-4 if kind == "float32" else 0, atol=1e-4 * (kind != "int8"), err_msg=form
            )
