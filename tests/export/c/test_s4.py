"""Kernels for weights of 4 bits against the reference: plain and packed, under sanitizers, and on emulated cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.export.c import compile_c
from edgekit.export.c.calls_s4 import in_pairs
from edgekit.graph import Graph, const
from tests.export.c.nets import feeds, many, tangle

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
    for fed, made in zip(data, run_c(model.files, model.interface, data, sanitize=True), strict=True):
        for name, expected in reference.run(graph, fed).items():
            made_by = [f"{n.op} {dict(n.attrs)}" for n in graph.nodes if name in n.outputs]
            np.testing.assert_array_equal(made[name], expected, err_msg=f"{name}: {made_by}")
    return [step.kernel for step in model.program.steps]


@pytest.mark.parametrize("isa", ["plain", "dsp"])
@pytest.mark.parametrize("family", ["conv", "depthwise", "dense"])
def test_any_layer(family: str, isa: str) -> None:
    """Left shifts, sums that wrap, groups, strides, dilation, odd channels."""
    kernels = check(narrowed(many("int8", family, 20, seed=3)), isa, 1)
    assert sum(kernel.endswith("_s4") for kernel in kernels) >= 20


@pytest.mark.parametrize("isa", ["plain", "dsp"])
def test_random_networks(isa: str) -> None:
    check(narrowed(tangle("int8", 25, 40)), isa, 2, const_input=isa == "dsp")


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
