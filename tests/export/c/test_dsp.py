"""Kernels for the DSP extension against the reference: on this machine through C models of the instructions, under sanitizers,
and on emulated cores that have them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import dsp, reference
from edgekit.bench.emulate import emulate
from edgekit.bench.host_c import run_c
from edgekit.export.c import compile_c, kernels
from edgekit.export.c.calls_dsp import filled, in_words
from edgekit.graph import Graph, Quant
from edgekit.target import find_target
from tests.export.c import packed
from tests.export.c.nets import Net, Rng, bias, feeds, many, pick, tangle, weights
from tests.export.c.packed import Pair

KINDS: packed.Kinds = {
    "conv_1x1_dsp_s8": ("CONV_2D", ((1, 1),), ((1, 1),)),
    "conv_dsp_s8": ("CONV_2D", ((1, 1), (3, 3), (2, 4), (4, 1), (5, 3)), ((1, 1), (2, 2), (1, 3))),
    "depthwise_dsp_s8": ("DEPTHWISE_CONV_2D", ((3, 3),), ((1, 1), (2, 2))),
    "dense_dsp_s8": ("FULLY_CONNECTED", ((1, 1),), ((1, 1),)),
    "add_dsp_s8": ("ADD", ((1, 1),), ((1, 1),)),
}


def layer(net: Net, op: str, size: Pair, stride: Pair, rng: Rng) -> list[str]:
    """One layer with right shifts only: random image, padding, activation, zero points, dead channels, odd channel counts."""
    shape = (int(rng.integers(1, 3)), *(int(n) for n in rng.integers(5, 12, 2)), int(rng.integers(1, 14)))
    x = net.input(shape, Quant.per_tensor(0.1, int(pick(rng, (-128, 0, 127, 5)))))
    if op == "ADD":
        return packed.add(net, x, rng)
    out = shape[3] if op == "DEPTHWISE_CONV_2D" else int(rng.integers(1, 12))
    attrs: dict[str, Any] = {"stride": stride}
    if rng.random() < 0.7:
        attrs["pad"] = packed.pads(size, rng)
    if op == "CONV_2D" and rng.random() < 0.2:
        attrs |= {"dilation": tuple(2 if 2 * (k - 1) < 4 else 1 for k in size)}
    return packed.weighted(net, op, x, out, size, attrs, rng, lambda spread, largest: max(spread, 0.11 * largest))


def layers(kernel: str, count: int, seed: int) -> Graph:
    return packed.layers(KINDS, layer, kernel, count, seed, extreme=False)


compare = partial(packed.compare, isa="dsp")


@pytest.mark.parametrize("kernel", KINDS)
def test_packed_kernels_equal_the_reference(kernel: str) -> None:
    graph = layers(kernel, 30, 1)
    steps = [s.kernel for s in compile_c(graph, "net", isa="dsp").program.steps]
    assert steps.count(kernel) > 4
    compare(graph, np.random.default_rng(1))


@pytest.mark.parametrize("family", ["conv", "depthwise", "dense", "arithmetic", "pool"])
def test_what_they_do_not_take_is_exact_too(family: str) -> None:
    """Left shifts, sums that wrap, groups, large multipliers: from the plain kernels."""
    compare(many("int8", family, 20, seed=11), np.random.default_rng(2))


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed: int) -> None:
    compare(tangle("int8", 25, 30 + seed), np.random.default_rng(seed), const_input=seed == 1)


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
@pytest.mark.parametrize("kernel", KINDS)
def test_packed_kernels_on_emulated_cores(core: str, kernel: str) -> None:
    graph = layers(kernel, 12, 2)
    model = compile_c(graph, "net", isa="dsp")
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target(f"{core}:flash=512K,ram=256K"), data).outputs[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(made[name], expected)


@pytest.mark.parametrize("kernel", KINDS)
def test_assembly_holds_in_an_unoptimized_build(kernel: str) -> None:
    """Where compilers have the fewest registers to spare."""
    graph = layers(kernel, 6, 3)
    model = compile_c(graph, "net", isa="dsp")
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target("cortex-m4:flash=512K,ram=256K"), data, opt="-O0").outputs[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(made[name], expected)


def test_a_pixels_step_that_is_the_count_of_words() -> None:
    """Three channels, 3 x 3: compilers may hold two operands of one value in one register, if assembly lets them."""
    net = Net("int8", np.random.default_rng(4))
    x = net.input((1, 6, 6, 3), Quant.per_tensor(0.1, 3))
    w = weights(net, (4, 3, 3, 3), 0)[0]
    net.outputs += net.op("CONV_2D", [x, w, bias(net, 4)], Quant.per_tensor(2.0, -5), stride=(1, 1))
    graph = net.graph()
    model = compile_c(graph, "net", isa="dsp")
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target("cortex-m4:flash=512K,ram=256K"), data).outputs[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(made[name], expected)


def test_assembly_that_changes_an_operand_shares_its_register_with_none() -> None:
    """Read and written operands are clobbered early: loops read the others after they changed them."""
    folder = Path(kernels.__file__).parent / "kernels"
    wrong = [f.name for f in folder.glob("*.c") if '"+r"' in f.read_text("utf-8")]
    assert not wrong


def test_the_order_of_weights_in_words() -> None:
    w = np.arange(12, dtype=np.int8).reshape(3, 4)
    pair = in_words(np.array([[-1, 2, 3, 4], [5, 6, 7, -8]], np.int8), narrow=True)[0, 0, :1]
    assert pair.astype("<i4").view("<i2").tolist() == [256 * 5 - 1, 256 * 7 + 3]
    first, second = in_words(w, narrow=False)
    assert first.astype("<i4").view(np.int8).ravel().tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    assert second.astype("<i4").view(np.int8).ravel().tolist() == [8, 0, 10, 0, 9, 0, 11, 0]
    assert filled(np.ones((2, 5))).tolist() == [[1] * 5 + [0] * 3] * 2


def at_the_limits(more: int = 0, second: int = -127, first: int = 127) -> Graph:
    """A layer whose sums reach -2**23 and 2**23 - 1 + more; the first two channels' first weights as given."""
    net = Net("int8", np.random.default_rng(0))
    x = net.input((1, 1, 5, 512), Quant.per_tensor(0.1))
    w = np.full((5, 1, 1, 512), 127, np.int8)
    w[1], w[3] = -127, -127
    w[0, ..., :8], w[1, ..., :8] = first, second
    kernel = net.const(w, Quant.per_channel(np.full(5, 0.1), 0))
    offsets = net.const(np.array([0, 0, -(1 << 16), (1 << 16) - 1 + more, 5], np.int32))
    net.outputs += net.op("CONV_2D", [x, kernel, offsets], Quant.per_tensor(700.0, 4))
    return net.graph()


@pytest.mark.parametrize(
    ("graph", "wide"),
    [
        (at_the_limits(), False),
        (at_the_limits(more=1), True),
        (at_the_limits(second=-128, first=1), False),
        (at_the_limits(second=-128, first=-1), True),
        (at_the_limits(second=-127, first=-128), False),
    ],
)
def test_two_channels_in_a_word_up_to_its_limits(graph: Graph, wide: bool) -> None:
    model = compile_c(graph, "net", isa="dsp")
    assert (b"tile_wide_dsp" in model.files["net.c"]) == wide
    rng = np.random.default_rng(3)
    x = np.stack([np.full(512, -128), np.full(512, 127), np.arange(512) % 256 - 128, *rng.integers(-128, 128, (2, 512))])
    data = [{graph.inputs[0]: x.reshape(1, 1, 5, 512).astype(np.int8)}]
    made = emulate(model.files, model.interface, find_target("cortex-m4:flash=512K,ram=256K"), data).outputs[0]
    host = run_c(model.files, model.interface, data, sanitize=True, form="run")[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(host[name], expected)
        np.testing.assert_array_equal(made[name], expected)


def test_depthwise_biases_of_any_size() -> None:
    """From 2**22 on, records have a word more."""
    for value in ((1 << 22) - 1, 1 << 22, -(1 << 29)):
        net = Net("int8", np.random.default_rng(0))
        x = net.input((1, 5, 4, 3), Quant.per_tensor(0.1))
        kernel = net.const(np.arange(-13, 14, dtype=np.int8).reshape(1, 3, 3, 3), Quant.per_channel(np.full(3, 0.1), 3))
        offsets = net.const(np.array([value, 7, -value], np.int32))
        scale = 0.01 * max(abs(value) / 100, 1 << 12)
        net.outputs += net.op("DEPTHWISE_CONV_2D", [x, kernel, offsets], Quant.per_tensor(scale, 4))
        graph = net.graph()
        assert [s.kernel for s in compile_c(graph, "net", isa="dsp").program.steps] == ["depthwise_dsp_s8"]
        compare(graph, np.random.default_rng(0))


def test_a_dead_channel_keeps_a_layer_packed() -> None:
    """Its bias may be anything; what comes out is a constant."""
    net = Net("int8", np.random.default_rng(0))
    x = net.input((1, 3, 3, 4), Quant.per_tensor(0.1))
    w = np.ones((3, 1, 1, 4), np.int8)
    w[1] = 0
    kernel = net.const(w, Quant.per_channel(np.full(3, 0.1), 0))
    for value in (2**31 - 1, -(2**31), 700):
        offsets = net.const(np.array([1, value, 2], np.int32))
        net.outputs += net.op("CONV_2D", [x, kernel, offsets], Quant.per_tensor(0.3, 4))
    graph = net.graph()
    assert [dsp.packed(graph, n) for n in graph.nodes] == [("conv_1x1_dsp_s8", 32)] * 3
    compare(graph, np.random.default_rng(0))
