"""Energy: only where a profile has a power, with both errors in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.bench.energy import SPREAD, of_run
from edgekit.bench.measuring import measure
from edgekit.measure import Measurement, unavailable
from edgekit.target import find_target, load_target, profiles
from tests.bench.devices import dense


def test_power_times_latency() -> None:
    board = find_target("nucleo-l4r5zi")
    assert board.active_mw == 52.3
    took = Measurement("latency", 10.0, "ms", "estimated", 0.1, tool="t")
    drawn = of_run(board, {"latency": took})
    assert drawn is not None
    assert (drawn.value, drawn.unit, drawn.how) == (523.0, "uJ", "estimated")
    assert drawn.error == pytest.approx(1.1 * (1 + SPREAD) - 1)
    assert "MLPerf Tiny v1.0" in drawn.note
    assert "https" not in drawn.note
    measured = of_run(board, {"latency": replace(took, how="measured", error=None)})
    assert measured is not None
    assert measured.error == pytest.approx(SPREAD)


def test_without_a_power_or_a_latency_there_is_none() -> None:
    board = find_target("nucleo-l4r5zi")
    assert of_run(replace(board, active_mw=None), {"latency": Measurement("latency", 1.0, "ms", "measured")}) is None
    assert of_run(board, {"latency": unavailable("latency", "no clock")}) is None
    assert of_run(board, {}) is None


def test_bench_has_it_for_boards_with_a_source_only() -> None:
    boards = [find_target("nucleo-l4r5zi"), find_target("nucleo-f401re")]
    with_power, without = measure(dense(), boards, runner="estimate")
    assert "energy" not in {m.metric for m in without.measurements}
    found = with_power.get("energy")
    latency = with_power.get("latency")
    if latency is not None and latency.value is not None:
        assert found is not None
        assert found.value == pytest.approx(52.3 * latency.value)


def test_every_power_was_read_at_its_source() -> None:
    given = [load_target(path) for path in profiles().values()]
    powers = [t for t in given if t.active_mw is not None]
    assert powers
    assert all("active_mw" not in t.unverified and "MLPerf Tiny" in t.sources["active_mw"] for t in powers)
