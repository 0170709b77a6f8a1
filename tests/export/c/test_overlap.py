"""Layers that write over their own input: the packed kernels' and float32's."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph
from edgekit.memory import run_program
from edgekit.schedule import schedule
from tests.export.c.nets import Net, bias, feeds, weights


def separable(seed: int, kind: str = "int8") -> Graph:
    """Depthwise 3x3 of stride 1 and 2, 1x1 that grow and shrink, 3x3: sizes that the packed kernels take."""
    rng = np.random.default_rng(seed)
    net = Net(kind, rng, extreme=False)
    x = net.input((1, *(int(n) for n in rng.integers(5, 14, 2)), 4 * int(rng.integers(1, 4))))
    for _ in range(8):
        _, height, width, channels = net.of(x).shape
        op, size, stride = (
            rng.choice(("DEPTHWISE_CONV_2D", "CONV_2D")),
            3,
            int(rng.integers(1, 3)) if min(height, width) > 4 else 1,
        )
        out = channels if op == "DEPTHWISE_CONV_2D" else int(rng.choice((channels, 4, 8, 12, 16, 7)))
        if op == "CONV_2D" and rng.random() < 0.7:
            size = stride = 1
        pad = tuple(int(n) for n in rng.integers(0, 2, 4)) if size == 3 and min(height, width) > 2 else (size // 2,) * 4
        shape, axis = ((1, 3, 3, channels), 3) if op == "DEPTHWISE_CONV_2D" else ((out, size, size, channels), 0)
        w, scales = weights(net, shape, axis)
        quant = net.of(x).quant
        scale = 1.0 if quant is None else float(quant.scale[0] * scales.mean() * np.sqrt(np.prod(shape) / out) * 80)
        x = net.op(str(op), [x, w, bias(net, out)], net.quant(max(scale, 1e-3)), pad=pad, stride=(stride, stride))[0]
    return net.graph([x])


@pytest.mark.parametrize("seed", range(30))
def test_programs_equal_the_reference(seed: int) -> None:
    graph = separable(seed)
    data = feeds(graph, np.random.default_rng(seed))
    expected = reference.run(graph, data)
    for isa in ("plain", "dsp", "mve"):
        found = run_program(schedule(graph, isa=isa, dead_channels=True), data)
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=isa)


def test_every_packed_kernel_overlaps_in_some() -> None:
    steps = [s for seed in range(30) for s in schedule(separable(seed), isa="dsp").steps]
    seen = {(s.kernel, s.order) for s in steps}
    assert {("conv_1x1_dsp_s8", "backward"), ("conv_1x1_dsp_s8", "forward"), ("depthwise_dsp_s8", "same")} <= seen
    assert ("conv_dsp_s8", "forward") in seen


@pytest.mark.parametrize("seed", range(8))
def test_generated_c_equals_the_reference(seed: int) -> None:
    graph = separable(seed)
    model = compile_c(graph, "net", isa="dsp")
    data = [feeds(graph, np.random.default_rng(seed)) for _ in range(2)]
    found = run_c(model.files, model.interface, data, sanitize=True, form="static")
    for sample, actual in zip(data, found, strict=True):
        for name, value in reference.run(graph, sample).items():
            np.testing.assert_array_equal(actual[name], value)


@pytest.mark.parametrize("seed", range(6))
def test_float_layers_overlap_and_equal_the_reference(seed: int) -> None:
    graph = separable(seed, "float32")
    program = schedule(graph)
    assert {("conv_f32", "forward"), ("depthwise_f32", "forward")} & {(s.kernel, s.order) for s in program.steps}
    data = feeds(graph, np.random.default_rng(seed))
    model = compile_c(graph, "net")
    (compiled,) = run_c(model.files, model.interface, [data], sanitize=True, form="static")
    for name, value in reference.run(graph, data).items():
        close = 1e-5 * np.abs(value).max()
        np.testing.assert_allclose(run_program(program, data)[name], value, atol=close)
        np.testing.assert_allclose(compiled[name], value, atol=close)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_rows_of_nothing_but_padding(kind: str) -> None:
    """Above and below the image, wider than the window."""
    net = Net(kind, np.random.default_rng(3), extreme=False)
    x = net.input((1, 8, 6, 4))
    w, _ = weights(net, (2, 2, 2, 4), 0)
    y = net.op("CONV_2D", [x, w, bias(net, 2)], net.quant(), pad=(4, 5, 3, 3), stride=(2, 2))[0]
    graph = net.graph([y])
    program = schedule(graph)
    assert [s.order for s in program.steps] == ["forward"]
    data = feeds(graph, net.rng)
    np.testing.assert_allclose(run_program(program, data)[y], reference.run(graph, data)[y], rtol=1e-5, atol=1e-6)
