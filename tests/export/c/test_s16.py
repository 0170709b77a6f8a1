"""C kernels of int16 activations against the reference, plain and packed, under sanitizers, and on an emulated core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.emulate import emulate
from edgekit.bench.host_c import run_c
from edgekit.dsp import isa_of
from edgekit.errors import Unsupported
from edgekit.export.c import compile_c
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from edgekit.memory import plan, run_program
from edgekit.ops import infer
from edgekit.schedule import schedule
from edgekit.target import find_target
from tests.ops.draw import ints, weights
from tests.ops.test_int16 import MAKERS, bias_for, one, sum_quant, wide
from tests.tflm_judge import feeds_for, one_node

KINDS = {**MAKERS, "RELU_N1_TO_1": one("RELU_N1_TO_1")}


def together(graphs: Sequence[Graph]) -> Graph:
    """All of them side by side in one graph."""
    tensors, nodes, inputs, outputs = [], [], [], []
    for i, graph in enumerate(graphs):
        tensors += [replace(t, name=f"{name}_{i}") for name, t in graph.tensors.items()]
        for node in graph.nodes:
            ins = tuple(None if n is None else f"{n}_{i}" for n in node.inputs)
            nodes.append(replace(node, inputs=ins, outputs=tuple(f"{n}_{i}" for n in node.outputs)))
        inputs += [f"{n}_{i}" for n in graph.inputs]
        outputs += [f"{n}_{i}" for n in graph.outputs]
    return build("net", inputs, outputs, nodes, tensors)


def padded_conv(rng: np.random.Generator) -> Graph:
    """Any padding, stride and dilation; weights whose sums may leave 32 bits in a window."""
    kernel, c, o = ints(rng, 1, 4, 2), int(rng.integers(1, 60)), int(rng.integers(1, 6))
    x = wide("x", (1, *ints(rng, 4, 8, 2), c), 1e-3)
    w = weights((o, *kernel, c), 0, rng)
    if rng.random() < 0.5:
        w = const("w", np.full(w.shape, -128, np.int8), w.quant)
    attrs = {"stride": ints(rng, 1, 3, 2), "pad": ints(rng, 0, 3, 4)}
    return one_node("CONV_2D", [x, w, bias_for(x, w, o, rng)], [sum_quant(x, w, rng)], attrs)


def check(graph: Graph, isa: str, rng: np.random.Generator) -> None:
    samples = [feeds_for(graph, rng), {n: np.full(graph[n].shape, -32768, np.int16) for n in graph.inputs}]
    model = compile_c(graph, "net", isa=isa)
    for ours, feed in zip(run_c(model.files, model.interface, samples, sanitize=True), samples, strict=True):
        expected = reference.run(graph, feed)
        for name in graph.outputs:
            np.testing.assert_array_equal(ours[name], expected[name], err_msg=name)


@pytest.mark.parametrize("isa", ["plain", "dsp"])
def test_every_kernel_equals_the_reference(isa: str) -> None:
    rng = np.random.default_rng(7)
    graphs = [make(np.random.default_rng(seed)) for make in KINDS.values() for seed in range(4)]
    check(together([*graphs, *(padded_conv(rng) for _ in range(5))]), isa, rng)


def test_on_an_emulated_core() -> None:
    rng = np.random.default_rng(3)
    graph = together([KINDS[op](rng) for op in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D", "SOFTMAX", "ADD", "TANH")])
    feed = feeds_for(graph, rng)
    target = find_target("cortex-m4:flash=512K,ram=128K")
    model = compile_c(graph, "net", isa=isa_of(target.core))
    result = emulate(model.files, model.interface, target, [feed])
    expected = reference.run(graph, feed)
    for name in graph.outputs:
        np.testing.assert_array_equal(result.outputs[0][name], expected[name])


def test_what_the_kernels_cannot_hold_is_refused() -> None:
    rng = np.random.default_rng(0)
    x, w = wide("x", (1, 4), 0.1), weights((2, 4), 0, rng)
    bias = const("b", np.array([1 << 47, 0]), Quant.per_channel(np.ones(2), 0, "int64"))
    with pytest.raises(Unsupported, match="47 bits"):
        compile_c(one_node("FULLY_CONNECTED", [x, w, bias], [x.quant], {}), "net")
    tall = Tensor("x", (1, 300, 300, 1), "int16", None, x.quant)
    with pytest.raises(Unsupported, match="90000 values"):
        compile_c(one_node("MEAN", [tall], [x.quant], {"axes": (1, 2)}), "net")


def chain(seed: int) -> Graph:
    """Layers one after another, so that each may write over its input."""
    rng = np.random.default_rng(seed)
    tensors = [wide("t0", (1, *ints(rng, 5, 9, 2), int(rng.integers(1, 6))), 1e-3)]
    nodes: list[Node] = []
    for i in range(7):
        x = tensors[-1]
        op = "CONV_2D" if rng.random() < 0.6 else "DEPTHWISE_CONV_2D"
        kernel = (1, 1) if op == "CONV_2D" and rng.random() < 0.6 else ints(rng, 1, 4, 2)
        pad = tuple(int(k) for size in kernel for k in ((size - 1) // 2, size // 2))
        c = x.shape[3]
        o = int(rng.integers(1, 12)) if op == "CONV_2D" else c * (2 if rng.random() < 0.2 else 1)
        shape, axis = ((o, *kernel, c), 0) if op == "CONV_2D" else ((1, *kernel, o), 3)
        w = replace(weights(shape, axis, rng), name=f"w{i}")
        node = Node(op, (x.name, w.name), (f"t{i + 1}",), {"pad": pad}, f"layer {i}")
        tensors += [w, replace(wide(f"t{i + 1}", infer(node, [x, w])[0][0], 1e-3), quant=sum_quant(x, w, rng))]
        nodes.append(node)
    return build("net", ["t0"], ["t7"], nodes, tensors)


@pytest.mark.parametrize("isa", ["plain", "dsp"])
def test_layers_write_over_their_inputs(isa: str) -> None:
    shared = 0
    for seed in range(2):
        graph = chain(seed)
        program = schedule(graph, isa=isa)
        shared += sum(step.order != "any" for step in program.steps)
        feed = feeds_for(graph, np.random.default_rng(seed))
        simulated = run_program(program, feed, plan(program))
        np.testing.assert_array_equal(simulated["t7"], reference.run(graph, feed)["t7"])
        check(graph, isa, np.random.default_rng(seed))
    assert shared > 4
