"""Kernels for Helium against the reference: on this machine through C models of the instructions, under sanitizers, and where
the tools are installed on an emulated Cortex-M55."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import numpy as np
import pytest

from edgekit import mve, reference
from edgekit.bench import gcc
from edgekit.bench.emulate import build_firmware, emulate, qemu
from edgekit.export.c import compile_c
from edgekit.export.c.calls_mve import in_lanes
from edgekit.graph import Graph, Quant
from edgekit.target import find_target
from tests.export.c import packed
from tests.export.c.nets import FUSED, Net, Rng, bias, feeds, many, pick, tangle, weights
from tests.export.c.packed import Pair
from tests.export.c.test_overlap import separable

needs_tools = pytest.mark.skipif(
    not (shutil.which(gcc.GCC) and shutil.which(qemu.QEMU)), reason="arm-none-eabi-gcc and qemu-system-arm are optional"
)
BOARD = "cortex-m55:flash=512K,ram=256K"
KINDS: packed.Kinds = {
    "conv_1x1_mve_s8": ("CONV_2D", ((1, 1),), ((1, 1),)),
    "conv_mve_s8": ("CONV_2D", ((1, 1), (3, 3), (2, 4), (4, 1), (5, 3)), ((1, 1), (2, 2), (1, 3))),
    "depthwise_mve_s8": ("DEPTHWISE_CONV_2D", ((3, 3), (3, 3), (1, 1), (2, 4), (5, 3), (1, 7)), ((1, 1), (2, 2), (1, 3))),
    "dense_mve_s8": ("FULLY_CONNECTED", ((1, 1),), ((1, 1),)),
    "add_mve_s8": ("ADD", ((1, 1),), ((1, 1),)),
    "average_pool_2d_mve_s8": ("AVERAGE_POOL_2D", ((1, 1), (3, 3), (2, 4), (7, 7)), ((1, 1), (2, 2), (1, 3))),
}


def layer(net: Net, op: str, size: Pair, stride: Pair, rng: Rng) -> list[str]:
    """One layer: random image, padding, activation, zero points, dead channels, channel counts; now and then left shifts."""
    depth = int(rng.integers(1, 14) if rng.random() < 0.6 else rng.integers(14, 70))
    shape = (int(rng.integers(1, 3)), *(int(n) for n in rng.integers(1 if op == "ADD" else 7, 12, 2)), depth)
    x = net.input(shape, Quant.per_tensor(0.1, int(pick(rng, (-128, 0, 127, 5)))))
    if op == "ADD":
        return packed.add(net, x, rng)
    if op == "AVERAGE_POOL_2D":
        pad = packed.pads(size, rng)
        return net.op(op, [x], net.of(x).quant, filter=size, stride=stride, pad=pad, activation=str(pick(rng, FUSED)))
    out = depth if op == "DEPTHWISE_CONV_2D" else int(rng.integers(1, 20) if rng.random() < 0.7 else rng.integers(20, 100))
    attrs: dict[str, Any] = {"stride": stride}
    if rng.random() < 0.7:
        attrs["pad"] = packed.pads(size, rng)
    if rng.random() < 0.2:
        attrs |= {"dilation": tuple(2 if 2 * (k - 1) < 7 else 1 for k in size)}
    left = 1e-4 if rng.random() < 0.15 else 1.0
    return packed.weighted(net, op, x, out, size, attrs, rng, lambda spread, largest: spread * left)


def layers(kernel: str, count: int, seed: int) -> Graph:
    return packed.layers(KINDS, layer, kernel, count, seed)


compare = partial(packed.compare, isa="mve")


@pytest.mark.parametrize("kernel", KINDS)
def test_kernels_equal_the_reference(kernel: str) -> None:
    graph = layers(kernel, 30, 1)
    model = compile_c(graph, "net", isa="mve")
    assert [s.kernel for s in model.program.steps].count(kernel) > 9
    text = model.files["net.c"].decode()
    if kernel not in {"add_mve_s8", "average_pool_2d_mve_s8"}:
        assert all(f"{kind}_mve" in text for kind in ("relu", "right", "any"))
    compare(graph, np.random.default_rng(1))


def test_a_depthwise_layer_of_one_channel_is_a_convolution() -> None:
    net = Net("int8", np.random.default_rng(4))
    for out in (1, 8, 21):
        x = net.input((2, 9, 7, 1), Quant.per_tensor(0.1, 3))
        w = weights(net, (1, 4, 3, out), 3)
        quant = Quant.per_tensor(float(w[1].max() * 30), -5)
        net.outputs += net.op("DEPTHWISE_CONV_2D", [x, w[0], bias(net, out)], quant, stride=(2, 1), pad=(1, 2, 1, 0))
    graph = net.graph()
    assert [s.kernel for s in compile_c(graph, "net", isa="mve").program.steps] == ["conv_mve_s8"] * 3
    compare(graph, np.random.default_rng(0))


@pytest.mark.parametrize("family", ["conv", "depthwise", "dense", "arithmetic", "pool"])
def test_extreme_layers(family: str) -> None:
    """Sums that wrap, groups, large multipliers, windows larger than the image."""
    compare(many("int8", family, 20, seed=11), np.random.default_rng(2))


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed: int) -> None:
    compare(tangle("int8", 25, 30 + seed), np.random.default_rng(seed), const_input=seed == 1)


@pytest.mark.parametrize("seed", range(6))
def test_layers_that_write_over_their_input(seed: int) -> None:
    graph = separable(seed)
    compare(graph, np.random.default_rng(seed))


def test_every_kernel_overlaps_in_some() -> None:
    steps = [s for seed in range(6) for s in compile_c(separable(seed), "net", isa="mve").program.steps]
    seen = {(s.kernel, s.order) for s in steps}
    assert {("conv_1x1_mve_s8", "backward"), ("conv_1x1_mve_s8", "forward"), ("depthwise_mve_s8", "same")} <= seen
    assert ("conv_mve_s8", "forward") in seen


@needs_tools
@pytest.mark.parametrize(("opt", "each"), [("-O2", 8), ("-O0", 3)])
def test_kernels_on_the_emulated_core(opt: str, each: int) -> None:
    """Assembly and intrinsics as gcc compiles them, also with the fewest registers to spare."""
    net = Net("int8", np.random.default_rng(2))
    for op, sizes, strides in KINDS.values():
        for _ in range(each):
            net.outputs += layer(net, op, pick(net.rng, sizes), pick(net.rng, strides), net.rng)
    graph = net.graph()
    model = compile_c(graph, "net", isa="mve")
    assert {s.kernel for s in model.program.steps} >= KINDS.keys()
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target(BOARD), data, toolchain="gcc", opt=opt).outputs[0]
    packed.same(graph, reference.run(graph, data[0]), made)


@needs_tools
def test_operands_of_equal_value() -> None:
    """As many rows in a window as bytes in an image's row: where a compiler knows that, it may put both in one register."""
    net = Net("int8", np.random.default_rng(0), extreme=False)
    x = net.input((1, 19, 10, 1), Quant.per_tensor(0.1))
    w = weights(net, (9, 10, 4, 1), 0)
    net.outputs += net.op("CONV_2D", [x, w[0], bias(net, 9)], Quant.per_tensor(float(w[1].max() * 20)), pad=(4, 5, 1, 1))
    graph = net.graph()
    model = compile_c(graph, "net", isa="mve")
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target(BOARD), data, toolchain="gcc").outputs[0]
    packed.same(graph, reference.run(graph, data[0]), made)


@needs_tools
def test_overlaps_on_the_emulated_core() -> None:
    graph = separable(3)
    model = compile_c(graph, "net", isa="mve")
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target(BOARD), data, toolchain="gcc").outputs[0]
    packed.same(graph, reference.run(graph, data[0]), made)


def test_the_default_toolchain_builds_them() -> None:
    net = Net("int8", np.random.default_rng(5))
    for kernel in KINDS:
        op, sizes, strides = KINDS[kernel]
        net.outputs += layer(net, op, sizes[-1], strides[-1], net.rng)
    graph = net.graph()
    model = compile_c(graph, "net", isa="mve")
    image = build_firmware(model.files, model.interface, find_target(BOARD))
    assert image.flash > 1000


def test_the_order_of_lanes() -> None:
    """Narrowing even and odd lanes in turn, twice, puts channels back in order."""
    assert in_lanes(np.arange(16)).tolist() == [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]
    assert in_lanes(np.arange(1, 4)).tolist() == [1, 0, 0, 0, 2, 0, 0, 0, 3, *[0] * 7]


def test_two_products_that_leave_int16_are_left_to_the_plain_kernel() -> None:
    net = Net("int8", np.random.default_rng(0))
    x = net.input((1, 3, 3, 2), Quant.per_tensor(0.1))
    for value in (-128, -127):
        w = net.const(np.full((1, 3, 3, 2), value, np.int8), Quant.per_channel(np.full(2, 0.1), 3))
        net.outputs += net.op("DEPTHWISE_CONV_2D", [x, w, None], Quant.per_tensor(1.0))
    graph = net.graph()
    assert [mve.laned(graph, n) for n in graph.nodes] == [None, ("depthwise_mve_s8", 40 + 3 * 3 * 16)]
    compare(graph, np.random.default_rng(0))
