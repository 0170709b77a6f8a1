"""Transposed convolutions by the packed kernel, on the host's model of the instructions and on an emulated core."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.emulate import emulate
from edgekit.bench.host_c import run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph
from edgekit.target import find_target
from tests.export.c.nets import Net, feeds, transposed


def layers(seed: int, count: int) -> Graph:
    """Random ones side by side; sane scales, so that the packed kernel takes most."""
    net = Net("int8", np.random.default_rng(seed), extreme=False)
    for _ in range(count):
        shape = (int(net.rng.integers(1, 3)), *(int(n) for n in net.rng.integers(1, 8, 2)), int(net.rng.integers(1, 9)))
        net.outputs += transposed(net, net.input(shape))
    return net.graph()


@pytest.mark.parametrize("seed", range(2))
def test_generated_c_equals_the_reference(seed: int) -> None:
    graph = layers(seed, 24)
    model = compile_c(graph, "net", isa="dsp")
    assert [s.kernel for s in model.program.steps].count("transpose_conv_dsp_s8") >= 6
    data = [feeds(graph, np.random.default_rng(seed))]
    (found,) = run_c(model.files, model.interface, data, sanitize=True)
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=str(graph.producers()[name].attrs))


def test_an_emulated_core_gives_the_reference() -> None:
    graph = layers(5, 12)
    model = compile_c(graph, "net", isa="dsp")
    data = [feeds(graph, np.random.default_rng(0))]
    made = emulate(model.files, model.interface, find_target("cortex-m4:flash=512K,ram=256K"), data).outputs[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(made[name], expected)
