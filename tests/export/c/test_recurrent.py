"""The recurrent kernels against the reference, with sanitizers: both forms, plain and for the DSP extension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import Form, run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph, Node
from edgekit.ops.recurrent import GATES
from edgekit.passes.legalize import legalize
from tests.ops.recurrent_nets import feeds, float_net, int8_net, together

CASES: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {"reset_after": True}),
    ("GRU", {"reset_after": False}),
    ("RNN", {"activation": "TANH"}),
    ("RNN", {"activation": "RELU"}),
]


def compare(graph: Graph, isa: str, form: Form) -> None:
    model = compile_c(graph, "net", isa=isa)
    data = [feeds(graph, np.random.default_rng(i)) for i in range(3)]
    found = run_c(model.files, model.interface, data, sanitize=True, form=form)
    for fed, actual in zip(data, found, strict=True):
        expected = reference.run(graph, fed)
        for name in graph.outputs:
            if graph[name].dtype == "float32":
                np.testing.assert_allclose(actual[name], expected[name], rtol=2e-4, atol=2e-5)
            else:
                np.testing.assert_array_equal(actual[name], expected[name], err_msg=f"{name} {isa} {form}")


@pytest.mark.parametrize(("isa", "form"), [("plain", "run"), ("dsp", "static")])
def test_int8(isa: str, form: Form) -> None:
    rng = np.random.default_rng(len(isa))
    graphs = [int8_net(op, rng, state=state, reverse=state, **attrs) for op, attrs in CASES for state in (False, True)]
    graphs += [int8_net(op, rng, most=1 << 24, **attrs) for op, attrs in CASES]  # sums beyond 2**23
    compare(together(graphs), isa, form)


def test_float() -> None:
    rng = np.random.default_rng(2)
    graphs = [float_net(op, rng, state=state, reverse=not state, **attrs) for op, attrs in CASES for state in (False, True)]
    compare(together(graphs), "plain", "static")


@pytest.mark.parametrize("kind", [int8_net, float_net])
def test_y_of_the_last_step(kind: Callable[..., Graph]) -> None:
    """Where nobody reads the others, they are not held, and the result stays."""
    graph = together([ending(kind(op, np.random.default_rng(5), reverse=r, **a)) for op, a in CASES for r in (False, True)])
    short = legalize(graph, "c")
    held = [short[n.outputs[0]].shape for n in short.nodes if n.op in GATES]
    assert {shape[1] for shape in held} == {1}
    data = feeds(graph, np.random.default_rng(4))
    for name, value in reference.run(graph, data).items():
        np.testing.assert_array_equal(reference.run(short, data)[name], value, err_msg=name)
    compare(short, "dsp", "run")


def ending(graph: Graph) -> Graph:
    """Of y, the part that the step makes which runs last."""
    batch, steps, units = graph["y"].shape
    assert steps > 1
    begin = 0 if graph.nodes[0].attrs["reverse"] else steps - 1
    where = {"begin": (0, begin, 0), "size": (batch, 1, units), "stride": (1, 1, 1)}
    end = replace(graph["y"], name="end", shape=(batch, 1, units))
    nodes = (*graph.nodes, Node("SLICE", ("y",), ("end",), where, "end"))
    return replace(graph, nodes=nodes, outputs=("end", *graph.outputs[1:]), tensors={**graph.tensors, "end": end})


def test_int8_takes_no_library_of_mathematics() -> None:
    model = compile_c(int8_net("LSTM", np.random.default_rng(0)), "net")
    assert "math.h" not in model.files["net.c"].decode()
