"""Fixtures for every test."""

from __future__ import annotations

import pytest

from edgekit.measure import Measurement, unavailable
from edgekit.report import RunReport, TargetResult

ZIG = "zig 0.17.0 -O2"


@pytest.fixture
def run_report() -> RunReport:
    """A report with every kind of figure: two targets, a missing number, an estimate, notes, tools."""
    board = (
        Measurement("flash", 31980, "B", "emulated", None, "weights 22,604 + code 9,376", ZIG),
        Measurement("ram", 9216, "B", "emulated", None, "", ZIG),
        Measurement("instructions", 7699740, "", "emulated", None, "", ZIG),
        Measurement("accuracy", 0.902, "", "computed"),
        unavailable("latency", "an emulator counts instructions, not time"),
    )
    linux = (
        Measurement("latency", 1.84, "ms", "estimated", 0.12, "calibrated on 12 boards"),
        Measurement("accuracy", 0.902, "", "computed"),
    )
    results = (TargetResult("nucleo-l4r5zi", "c", board, "class default, not your board"), TargetResult("pi", "tflite", linux))
    return RunReport("kws.tflite", "ab" * 32, results, "0.1.0")
