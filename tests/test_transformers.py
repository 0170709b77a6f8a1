"""A Transformer from PyTorch to int8 C and TFLite-Micro; `python -m benchmarks.transformers` does ten."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks import transformers


def test_rotary_grouped_query_attention_in_every_engine(tmp_path: Path) -> None:
    for row in transformers.measure("llama", tmp_path):
        assert not row.failed
        assert row.same
        assert row.islands == 0
        assert row.read_db > 100
        assert row.int8_db > 25
