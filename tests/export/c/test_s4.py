"""Kernels for weights of 4 bits against the reference: plain and packed, under sanitizers, and on emulated cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.emulate import emulate
from edgekit.bench.host_c import run_c
from edgekit.dsp import isa_of
from edgekit.errors import BadModel
from edgekit.export.c import compile_c, compile_program
from edgekit.export.c.calls_s4 import in_pairs, in_words
from edgekit.graph import Graph, Quant, const
from edgekit.memory import plan, run_program
from edgekit.schedule import schedule
from edgekit.target import find_target
from tests.export.c.nets import Net, feeds, many, tangle
from tests.export.c.test_dsp import layers
from tests.export.c.test_mve import needs_tools
from tests.export.c.test_s16 import together
from tests.test_cascade import cascaded, rows_of_layers

LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def narrowed(graph: Graph) -> Graph:
    """The int8 network with the upper half of each layer's weights."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        w = tensors[node.inputs[1] or ""] if node.op in LAYERS else None
        if w is not None and w.data is not None and w.dtype == "int8" and w.quant is not None:
            tensors[w.name] = const(w.name, w.data >> 4, replace(w.quant, dtype="int4"), "int4")
    return replace(graph, tensors=tensors)


def check(graph: Graph, isa: str, seed: int, const_input: bool = False) -> list[str]:
    model = compile_c(graph, "net", isa=isa, const_input=const_input)
    rng = np.random.default_rng(seed)
    data = [feeds(graph, rng) for _ in range(2)]
    for fed, made in zip(data, run_c(model.files, model.interface, data, sanitize=True, form="static"), strict=True):
        for name, expected in reference.run(graph, fed).items():
            made_by = [f"{n.op} {dict(n.attrs)}" for n in graph.nodes if name in n.outputs]
            np.testing.assert_array_equal(made[name], expected, err_msg=f"{name}: {made_by}")
    return [step.kernel for step in model.program.steps]


@pytest.mark.parametrize("isa", ["plain", "mve"])
def test_any_layer(isa: str) -> None:
    """Left shifts, sums that wrap, groups, strides, dilation, odd channels; and values that several layers share."""
    families = [narrowed(many("int8", family, 4, seed=3)) for family in ("conv", "depthwise", "dense")]
    kernels = check(together([*families, narrowed(tangle("int8", 6, 40))]), isa, 1)
    assert sum(kernel.endswith("_s4") for kernel in kernels) >= 10


# Kernels of the DSP extension, and the int8 ones whose networks they are tried on.
PACKED = ("conv_1x1_dsp", "conv_dsp", "depthwise_dsp", "dense_dsp")


def test_packed_kernels() -> None:
    kernels = check(together([narrowed(layers(f"{stem}_s8", 8, 1)) for stem in PACKED]), "dsp", 3, const_input=True)
    assert all(kernels.count(f"{stem}_s4") > 1 for stem in PACKED)


@pytest.mark.parametrize(
    ("core", "opt", "toolchain"),
    [
        ("cortex-m4", "-O2", "zig"),
        ("cortex-m4", "-O0", "zig"),
        pytest.param("cortex-m55", "-O2", "gcc", marks=needs_tools),
    ],
)
def test_on_emulated_cores(core: str, opt: str, toolchain: str) -> None:
    """Random layers, left shifts, odd depths and channels; an unoptimized build has the fewest registers to spare."""
    nets = [narrowed(layers(f"{stem}_s8", 3, 2)) for stem in PACKED]
    graph = together([*nets, narrowed(many("int8", "conv", 2, seed=5))])
    board = find_target(f"{core}:flash=512K,ram=256K")
    model = compile_c(graph, "net", isa=isa_of(board.core))
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, board, data, toolchain=toolchain, opt=opt).outputs[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(made[name], expected)


def test_layers_write_over_their_inputs() -> None:
    """What the planner promises of each kernel holds byte for byte."""
    for isa in ("plain", "dsp"):
        graph = narrowed(tangle("int8", 25, 41))
        program = schedule(graph, isa=isa)
        feed = feeds(graph, np.random.default_rng(1))
        made = run_program(program, feed, plan(program))
        for name, expected in reference.run(graph, feed).items():
            np.testing.assert_array_equal(made[name], expected)


def test_a_few_rows_at_a_time() -> None:
    graph = narrowed(rows_of_layers("int8", 0))
    data = feeds(graph, np.random.default_rng(0))
    program = cascaded(graph, "dsp", 0)
    seen = {stage.kernel for step in program.steps if step.cascade is not None for stage in step.cascade.stages}
    assert {"conv_s4", "conv_dsp_s4", "conv_1x1_dsp_s4"} <= seen
    model = compile_program(program, "net")
    (made,) = run_c(model.files, model.interface, [data], sanitize=True)
    for name, expected in reference.run(graph, data).items():
        np.testing.assert_array_equal(made[name], expected)


def test_dead_channels_are_left_out() -> None:
    net = Net("int8", np.random.default_rng(0))
    x = net.input((1, 4, 4, 8), Quant.per_tensor(0.1))
    w = net.rng.integers(-8, 8, (8, 1, 1, 8)).astype(np.int8)
    w[:4] = 0
    kernel = net.add(const("w", w, Quant.per_channel(np.full(8, 0.1), 0, "int4"), "int4"))
    y = net.op("CONV_2D", [x, kernel], Quant.per_tensor(0.3, -128), activation="RELU")[0]
    again = net.add(const("v", w[::-1].copy(), Quant.per_channel(np.full(8, 0.1), 0, "int4"), "int4"))
    graph = net.graph(net.op("CONV_2D", [y, again], Quant.per_tensor(0.3, 4)))
    program = schedule(graph)
    assert {(t.dtype, t.shape) for t in program.weights if t.quant is not None and t.quant.dtype == "int4"} == {
        ("int4", (4, 1, 1, 8)),
        ("int4", (8, 1, 1, 4)),
    }
    feed = feeds(graph, np.random.default_rng(0))
    for name, expected in reference.run(graph, feed).items():
        np.testing.assert_array_equal(run_program(program, feed, plan(program))[name], expected)


def test_words_hold_every_code() -> None:
    """Two channels by four inputs a word."""
    w = np.random.default_rng(1).integers(-8, 8, (5, 12))
    words = in_words(w).view(np.uint32).astype(np.int64)
    assert words.shape == (3, 3)
    again = np.zeros((6, 12), np.int64)
    for k, (half, high) in enumerate(((0, 0), (0, 4), (16, 0), (16, 4))):
        for channel in (0, 1):
            again[channel::2, k::4] = (words >> half + 8 * channel + high & 15) - 8
    np.testing.assert_array_equal(again[:5], w)


@pytest.mark.parametrize("shape", [(4, 3), (5, 2), (1, 7), (6, 1)])
def test_packing_is_a_bijection(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-8, 8, shape)
    packed = in_pairs(w).astype(np.int64).reshape(-1, shape[1])
    low, high = ((packed & 15) ^ 8) - 8, packed >> 4
    again = np.stack([low, high], axis=1).reshape(-1, shape[1])
    np.testing.assert_array_equal(again[: len(w)], w)
    assert packed.nbytes // 8 == -(-shape[0] // 2) * shape[1]
    assert not again[len(w) :].any()


@pytest.mark.parametrize("isa", ["plain", "dsp", "mve"])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_weights_without_a_scale_are_a_fault_of_the_model(kind: str, isa: str) -> None:
    net = Net("int8", np.random.default_rng(0))
    w = net.add(const("w", np.ones((3, 8), np.int8), None, kind))
    y = net.op("FULLY_CONNECTED", [net.input((1, 8)), w], net.quant())
    with pytest.raises(BadModel, match="'w' have no Quant"):
        compile_c(net.graph(y), "net", isa=isa)
