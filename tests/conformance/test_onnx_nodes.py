"""A sample of ONNX's node tests through every engine; `python -m benchmarks.onnx_nodes` runs them all."""

from __future__ import annotations

import onnx
import pytest

from benchmarks import onnx_nodes

# One case in so many: compiling is what takes time.
EVERY = {"reference": 3, "onnx": 5, "tflite": 7, "c": 41}


@pytest.fixture(scope="module")
def cases() -> list[onnx_nodes.Case]:
    return onnx_nodes.collect(onnx_nodes.exclusions())


def test_the_suite_is_large_and_exclusions_name_real_cases(cases: list[onnx_nodes.Case]) -> None:
    """The denominator: a reader that stops covering an operator, or a filter gone wrong, shows here."""
    assert len(cases) >= 1000
    assert len({node.op_type for case in cases for node in onnx.ModelProto.FromString(case.model).graph.node}) >= 130
    excluded = onnx_nodes.exclusions()
    assert set(excluded) <= {case.name for case in onnx_nodes.collect({})}
    assert len(excluded) <= 0.05 * len(cases)


@pytest.mark.parametrize("engine", list(onnx_nodes.ENGINES))
def test_sampled_cases(cases: list[onnx_nodes.Case], engine: str) -> None:
    sample = cases[:: EVERY[engine]]
    failed = onnx_nodes.run(sample, [engine])[engine]
    assert len(failed) <= 0.05 * len(sample), "\n".join(f"{name}: {why}" for name, why in failed.items())


def test_a_wrong_answer_fails(cases: list[onnx_nodes.Case]) -> None:
    case = next(case for case in cases if case.name == "test_relu")
    wrong = onnx_nodes.Case(case.name, case.model, case.feeds, (case.expected[0] + 0.01,), case.rtol, case.atol)
    assert "differs" in onnx_nodes.judge(wrong, "reference")
