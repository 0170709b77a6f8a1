"""A sample of ONNX's node tests through every engine; `python -m benchmarks.onnx_nodes` runs them all."""

from __future__ import annotations

import pytest

from benchmarks import onnx_nodes

EVERY = 8  # one case in so many: each operator's first spelling comes first in ONNX's list


@pytest.fixture(scope="module")
def cases() -> list[onnx_nodes.Case]:
    return onnx_nodes.collect(onnx_nodes.exclusions())


def test_the_suite_is_large_and_exclusions_name_real_cases(cases: list[onnx_nodes.Case]) -> None:
    """The denominator: a reader that stops covering an operator, or a filter gone wrong, shows here."""
    assert len(cases) >= 250
    excluded = onnx_nodes.exclusions()
    assert set(excluded) <= {case.name for case in onnx_nodes.collect({})}
    assert len(excluded) <= 0.05 * len(cases)


@pytest.mark.parametrize("engine", list(onnx_nodes.ENGINES))
def test_sampled_cases(cases: list[onnx_nodes.Case], engine: str) -> None:
    sample = cases[::EVERY]
    failed = onnx_nodes.run(sample, [engine])[engine]
    assert len(failed) <= 0.05 * len(sample), "\n".join(f"{name}: {why}" for name, why in failed.items())


def test_reference_and_onnx_pass_every_case(cases: list[onnx_nodes.Case]) -> None:
    failed = onnx_nodes.run(cases, ["reference", "onnx"])
    assert {engine: list(names) for engine, names in failed.items()} == {"reference": [], "onnx": []}


def test_a_wrong_answer_fails(cases: list[onnx_nodes.Case]) -> None:
    case = next(case for case in cases if case.name == "test_relu")
    wrong = onnx_nodes.Case(case.name, case.model, case.feeds, (case.expected[0] + 0.01,), case.rtol, case.atol)
    assert "differs" in onnx_nodes.judge(wrong, "reference")
