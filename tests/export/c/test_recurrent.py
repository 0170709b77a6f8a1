"""The recurrent kernels against the reference, with sanitizers: both forms, plain and for the DSP extension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import Form, run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph
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


def test_int8_takes_no_library_of_mathematics() -> None:
    model = compile_c(int8_net("LSTM", np.random.default_rng(0)), "net")
    assert "math.h" not in model.files["net.c"].decode()
