"""Statistics of times, the ratio of two models, and what runners report."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from edgekit.bench.remote import script
from edgekit.bench.timing import Launch, Policy, ratio, read_launch, stats, t95
from edgekit.errors import EdgekitError


def launch(*ms: float, load: float = 1.0, first: float = 2.0, peak: int | None = None) -> Launch:
    return Launch(tuple(t / 1e3 for t in ms), load / 1e3, first / 1e3, 3, "E 1", 2, peak)


def test_percentiles_are_of_all_runs_and_spreads_within_and_between_processes() -> None:
    found = stats([launch(*range(1, 51), load=3, peak=10), launch(*range(51, 101), load=5, peak=20)])
    assert (found.runs, found.launches, found.threads, found.peak) == (100, 2, 2, 20)
    assert found.median == pytest.approx(50.5)
    assert found.p90 == pytest.approx(90.1)
    assert found.p99 == pytest.approx(99.01)
    assert found.least == pytest.approx(1)
    assert found.spread == pytest.approx(49.5 / 50.5)
    assert found.between == pytest.approx(50 / 50.5)
    assert found.load == pytest.approx(4)
    text = found.sentence()
    assert text.startswith("CPU, 2 threads; median of 100 runs in 2 processes; p90 90.1 ms, p99 99 ms")
    assert "restless" in text
    assert "processes' medians differ" in text


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.RandomState(5)
    inside, tries = 0, 400
    for _ in range(tries):
        a = [launch(*(1.0 * np.exp(rng.normal(0, 0.05)) * np.ones(3))) for _ in range(5)]
        b = [launch(*(1.5 * np.exp(rng.normal(0, 0.05)) * np.ones(3))) for _ in range(5)]
        found = ratio(a, b)
        inside += found.low <= 1.5 <= found.high
    assert 0.92 < inside / tries < 0.98


def test_what_slows_the_machine_for_a_while_does_not_change_the_ratio() -> None:
    slow = (1, 1, 4, 1.01, 1)
    found = ratio([launch(s) for s in slow], [launch(2 * s) for s in slow])
    assert (found.ratio, found.low, found.high) == pytest.approx((2, 2, 2))
    assert found.sentence("int8", "float32").startswith("int8 is 2.00 times as fast as float32")


def test_slower_is_said_aloud_and_no_difference_too() -> None:
    slower = ratio([launch(3), launch(3.1), launch(3)], [launch(1), launch(1), launch(1.01)])
    assert slower.verdict == "slower"
    assert slower.sentence("int8", "float32").startswith("int8 is SLOWER than float32 here: it takes 3.0")
    same = ratio([launch(1), launch(1.1), launch(0.9)], [launch(1.1), launch(1), launch(0.95)])
    assert same.verdict == "no difference"
    assert "same time" in same.sentence("int8", "float32")
    with pytest.raises(ValueError):
        ratio([launch(1)], [launch(1)])


def test_student() -> None:
    assert (t95(1), t95(4), t95(30), t95(500)) == (12.706, 2.776, 2.042, 1.960)


def test_the_policy_asks_for_30_runs_and_3_seconds_in_all() -> None:
    runs, seconds = Policy().launch()
    assert runs * Policy().launches >= 30
    assert seconds * Policy().launches == pytest.approx(3)
    runs, seconds = Policy().launch(turns=True)
    assert runs * Policy().turns >= 30
    assert seconds * Policy().turns == pytest.approx(3)


GOOD = {"engine": "E", "threads": 1, "load_ns": 1000, "first_ns": 2000, "warm": 1, "times_ns": [5000, 6000], "peak_kb": 3}


def test_a_report_is_read_whatever_is_printed_before_it() -> None:
    found = read_launch("banner\n" + json.dumps(GOOD) + "\n", "it")
    assert found.times == pytest.approx((5e-6, 6e-6))
    assert (found.peak, found.base) == (3072, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Killed",
        json.dumps(GOOD)[:-10],
        json.dumps({**GOOD, "times_ns": []}),
        json.dumps({**GOOD, "times_ns": [-1]}),
        json.dumps({**GOOD, "times_ns": [math.nan]}),
    ],
)
def test_a_report_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(EdgekitError, match="it did not report its times"):
        read_launch(text, "it")


def test_the_sent_script_needs_nothing_of_edgekit_to_say_what_is_there() -> None:
    done = subprocess.run([sys.executable, "-S", "-c", script("timer.py"), "probe"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"engines": {"tflite": None, "onnx": None}, "broken": []}
