"""The bounds of benchmarks.compression are held."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from benchmarks import compression, compression_chain, compression_students
from benchmarks.compression_data import spread

CHAIN = compression_chain.Chain(
    "net", ("l2", "uniform"), 0.98, (0.99, 0.99), (0.971, 0.973), dict.fromkeys(compression_chain.METRICS, (1000.0, 490.0))
)
STUDENTS = compression_students.Students("net", (300, 700), 0.25, 0.98, (0.90, 0.92), (0.93, 0.93), (0.95, 0.97))
SAID = (("c", "exact"), ("onnxruntime", "close"))
FAMILY = compression.Row("net", 0.5, 0.98, (0.971, 0.973), 0.98, (0.97, 0.97), (900.0, 500.0), (9e5, 5e5), SAID, True)


def test_a_chain_is_half_of_everything_at_a_point() -> None:
    assert CHAIN.kept
    assert not replace(CHAIN, test=(0.96, 0.97)).kept
    for metric in ("flash", "instructions"):
        assert not replace(CHAIN, figures={**CHAIN.figures, metric: (1000.0, 511.0)}).kept
    assert "49.0%" in compression_chain.table([CHAIN])
    assert "97.20 ± 0.14" in compression_chain.table([CHAIN])


def test_a_student_is_better_beyond_the_spreads() -> None:
    assert STUDENTS.better
    assert not replace(STUDENTS, unlabelled=(0.92, 0.93)).better
    assert spread(STUDENTS.alone) in compression_students.table([STUDENTS])


def test_a_family_loses_a_point_at_most_and_every_engine_has_a_word() -> None:
    assert FAMILY.kept
    assert not replace(FAMILY, same=False).kept
    assert not replace(FAMILY, after=(0.96, 0.97)).kept
    assert not replace(FAMILY, flash=(900.0, 900.0)).kept
    text = compression.family_table([FAMILY])
    assert "onnxruntime" in text
    assert "close" in text
