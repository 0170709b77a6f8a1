"""Memory of a process that runs a network: the benchmark's fit, and a small network measured on this host."""

from __future__ import annotations

import sys

import pytest

from benchmarks import memory
from edgekit.bench.estimate import PROCESS


def row(weights: int, activations: int, measured: float) -> memory.Row:
    return memory.Row(f"{weights}/{activations}", "tflite", "float32", 1, weights, activations, round(measured), None)


def test_the_fit_finds_what_made_the_figures() -> None:
    rows = [row(w * 10**6, a * 10**6, 40e6 + 2.5e6 * w + 1.5e6 * a) for w, a in ((1, 1), (5, 2), (9, 8), (20, 3), (3, 9))]
    assert memory.fitted(rows) == pytest.approx((40e6, 2.5, 1.5), rel=1e-4)
    assert all(abs(r.left_out or 1) < 1e-4 for r in memory.judged(rows))
    assert memory.judged(rows[:3])[0].left_out is None  # too few to say
    assert min(memory.fitted([row(10**6, 10**6, 4e7), row(9 * 10**6, 2 * 10**6, 6e7), row(10**6, 9 * 10**6, 3e7)])) >= 0


@pytest.mark.skipif(sys.platform != "linux", reason="resident sizes of Linux")
def test_what_is_said_is_what_this_host_takes() -> None:
    """The coefficients are of one machine and its versions: another's runtime may weigh more, but not twice as much."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("onnxruntime")
    found = memory.rows_of("ds_cnn")
    assert {(r.engine, r.precision) for r in found} == set(PROCESS)
    for r in found:
        assert r.estimated is not None
        assert 0.5 < r.estimated / r.measured < 1.5, r
