"""verify with nothing to compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli import main

MODEL = Path(__file__).parents[2] / "models" / "mlp" / "mlp.onnx"


def test_no_engine_at_hand_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = CliRunner().invoke(main, ["verify", str(MODEL), "--engine", "c"])
    assert result.exit_code == 2
    assert "no C compiler" in result.stdout
    assert result.stdout.rstrip().endswith("nothing was verified (1 unavailable)")
    found = json.loads(CliRunner().invoke(main, ["verify", str(MODEL), "--engine", "c", "--json"]).stdout)
    assert (found["judged"], found["passed"]) == (False, True)
