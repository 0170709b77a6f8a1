"""The strangers benchmark: its list is sound, and its judge tells right from wrong from refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.strangers import judge
from benchmarks.strangers.__main__ import entries, line_of, model_of
from benchmarks.strangers.inputs import KINDS


def dense(path: Path, op: str = "Softmax") -> Path:
    """A file of a dense layer and an operator."""
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node(op, ["h"], ["y"], name="last")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 8))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_list_names_each_model_once_with_a_known_kind_of_input() -> None:
    rows = entries()
    assert len({row["name"] for row in rows}) == len(rows) >= 30
    assert {row["input"] for row in rows} <= set(KINDS)
    assert {row["kind"] for row in rows} == {"file", "filled", "torch", "keras"}
    held = [row for row in rows if row["kind"] in ("file", "filled")]
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in held)


def test_a_package_that_is_missing_or_another_file_is_told(tmp_path: Path) -> None:
    entry = {"name": "a", "kind": "file", "package": "no-such-package-here", "version": "1", "source": "m.onnx", "sha256": ""}
    assert model_of(entry, tmp_path, {}) == "the package no-such-package-here is not installed"
    other = {**entry, "package": "numpy", "source": "numpy/version.py"}
    assert "another file than the one listed" in str(model_of(other, tmp_path, {}))


def test_a_model_converts_is_refused_or_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = judge.judge(dense(tmp_path / "m.onnx"), "m", "table", {}, float_c=True)
    assert (good.status, good.exact) == ("converted", True)
    assert (good.float_db or 0) > 100
    assert (good.float_c_db or 0) > 100
    assert (good.int8_db or 0) > 20

    refused = judge.judge(dense(tmp_path / "n.onnx", "NonZero"), "n", "table", {}, float_c=False)
    assert (refused.status, refused.stage) == ("refused", "load")
    assert "NonZero 'last'" in refused.said
    assert "NonZero 'last'" in line_of(vars(refused), full=True)

    true_engine = judge.own_engine

    def other_engine(path: Path, graph: Any, judged: Sequence[Any]) -> list[dict[str, Any]]:
        return [{k: v[..., ::-1] for k, v in answer.items()} for answer in true_engine(path, graph, judged)]

    monkeypatch.setattr(judge, "own_engine", other_engine)
    wrong = judge.judge(tmp_path / "m.onnx", "m", "table", {}, float_c=False)
    assert (wrong.status, wrong.stage) == ("WRONG", "reference")
