"""What figures are made of: shares sum to the figure, and are the nodes' own."""

from __future__ import annotations

import pytest

from edgekit import api, attribution
from edgekit.measure import Measurement
from edgekit.report import RunReport, TargetResult
from edgekit.report.model import from_json
from tests.gate_project import make_project


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    done = api.quantize(folder / "net.onnx", "net.tflite", folder / "data.npz", target="mcu")
    return api.bench(done.graph, ["mcu", "rpi"], details=True)


def test_shares_sum_to_the_figures(report: RunReport) -> None:
    board, linux = report.results
    assert set(board.breakdown) == {"flash", "ram", "arena", "instructions", "file", "macs", "params"}
    assert set(linux.breakdown) == {"file", "macs", "params"}
    for result in report.results:
        for metric, parts in result.breakdown.items():
            found = result.get(metric)
            assert found is not None
            assert sum(parts.values()) == found.value, metric


def test_parts_are_the_models_nodes(report: RunReport) -> None:
    parts = report.results[0].breakdown
    assert parts["macs"] == {"Conv 'first'": 144 * 9 * 4, "Conv 'second'": 9 * 9 * 4 * 16, "Gemm 'last'": 64}
    assert parts["params"] == {"Conv 'first'": 40, "Conv 'second'": 592, "Gemm 'last'": 68}
    assert {"Conv 'first'", "Conv 'second'", "Gemm 'last'"} <= set(parts["instructions"])
    assert parts["flash"]["Conv 'second': weights"] >= 576
    assert list(parts["flash"]) == sorted(parts["flash"])


def test_a_file_holds_them(report: RunReport) -> None:
    assert from_json(report.to_json(), "run.json") == report


def run(**parts: float) -> RunReport:
    flash = Measurement("flash", sum(parts.values()), "B", "emulated")
    return RunReport("net", "", (TargetResult("mcu", "c", (flash,), "", {"flash": parts} if parts else {}),))


def test_changes_are_largest_first_with_what_came_and_went() -> None:
    why = attribution.explain(run(a=10, b=50, c=7), run(a=10, b=20, d=40), "mcu", "flash")
    assert why is not None
    assert (why.before, why.after) == (70, 67)
    assert [(p.name, p.before, p.after, p.change) for p in why.parts] == [("d", 40, 0, -40), ("b", 20, 50, 30), ("c", 0, 7, 7)]


def test_without_earlier_parts_all_are_given() -> None:
    for base in (None, run()):
        why = attribution.explain(run(a=1, b=3, c=3), base, "mcu", "flash")
        assert why is not None
        assert why.before is None
        assert [p.name for p in why.parts] == ["b", "c", "a"]


def test_nothing_to_explain() -> None:
    assert attribution.explain(run(a=1), run(a=1), "mcu", "flash") is None
    assert attribution.explain(run(), run(a=1), "mcu", "flash") is None
    assert attribution.explain(run(a=1), None, "pi", "flash") is None
