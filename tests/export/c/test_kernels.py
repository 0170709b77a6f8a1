from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import Form, run_c
from edgekit.export.c import compile_c
from edgekit.graph import Graph
from tests.export.c.nets import Rng, between, chained, families, feeds, many, tangle


def compare(graph: Graph, rng: Rng, samples: int = 3, sanitize: bool = True, const_input: bool = False) -> None:
    """Generated C, in both forms, gives the reference's outputs: the same integers, nearly the same real numbers."""
    model = compile_c(graph, "net", const_input=const_input)
    data = [feeds(graph, rng) for _ in range(samples)]
    wanted = [reference.run(graph, d) for d in data]
    forms: tuple[Form, ...] = ("run", "static")
    for form in forms:
        found = run_c(model.files, model.interface, data, sanitize=sanitize, form=form)
        for expected, actual in zip(wanted, found, strict=True):
            for name in graph.outputs:
                made_by = next((f"{n.op} {dict(n.attrs)}" for n in graph.nodes if name in n.outputs), "input")
                if graph[name].dtype == "float32":
                    np.testing.assert_allclose(actual[name], expected[name], rtol=2e-4, atol=2e-4, err_msg=made_by)
                else:
                    np.testing.assert_array_equal(actual[name], expected[name], err_msg=made_by)


CASES = [(kind, family) for kind in ("int8", "float32") for family in (*families(kind), "high_rank")]


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_generated_c_equals_reference(kind: str, family: str) -> None:
    compare(many(kind, family, 20, seed=len(family)), np.random.default_rng(1))


def test_rescale_without_left_shifts_is_used_and_exact() -> None:
    graph = many("int8", "conv", 16, seed=3, extreme=False)
    source = compile_c(graph, "net").files["net.c"].decode()
    assert "net_scale_right(" in source
    assert "net_scale(" not in source
    compare(graph, np.random.default_rng(2))


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("seed", range(4))
def test_generated_c_of_random_networks_equals_reference(kind: str, seed: int) -> None:
    compare(tangle(kind, 25, seed), np.random.default_rng(seed), const_input=seed == 3)


@pytest.mark.parametrize("seed", range(2))
def test_networks_between_float_and_int8_equal_the_reference(seed: int) -> None:
    compare(between(seed), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(8))
def test_convolutions_over_their_own_input_equal_the_reference(seed: int) -> None:
    compare(chained(seed, 10), np.random.default_rng(seed))
