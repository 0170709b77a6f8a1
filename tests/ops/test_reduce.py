from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from edgekit.graph import Graph
from tests.ops.draw import activation, any_quant, floats, generators, ints, sampled, scale_of
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node

ONNX = {"MEAN": "ReduceMean", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}


def any_axes(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    """One or two axes: TFLM's kernels hold no more."""
    return tuple(sorted(int(a) for a in rng.choice(rank, size=min(rank, int(rng.integers(1, 3))), replace=False)))


@pytest.mark.parametrize("op", ONNX)
@sampled
@given(generators)
def test_float_equals_onnx_runtime(op: str, rng: np.random.Generator) -> None:
    x = floats(rng, *ints(rng, 1, 6, int(rng.integers(1, 5))))
    axes, keep = any_axes(rng, x.ndim), bool(rng.random() < 0.5)
    (ours,) = run_real(op, [x], axes=axes, keep_dims=keep)
    (theirs,) = run_ort(ONNX[op], [x], axes=axes, keepdims=int(keep))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_sum() -> None:
    x = floats(np.random.default_rng(0), 3, 4, 5)
    np.testing.assert_allclose(run_real("SUM", [x], axes=(0, 2))[0], x.sum(axis=(0, 2)), rtol=1e-5)


def quantized(op: str, rng: np.random.Generator, same: bool) -> Graph:
    x = activation("x", ints(rng, 1, 9, int(rng.integers(1, 5))), rng)
    attrs: dict[str, Any] = {"axes": any_axes(rng, len(x.shape)), "keep_dims": bool(rng.random() < 0.5)}
    count = int(np.prod([x.shape[a] for a in attrs["axes"]])) if op == "SUM" else 1
    quant = any_quant(rng, scale_of(x) * count * float(10 ** rng.uniform(-0.6, 0.5)))
    return one_node(op, [x], [x.quant if same else quant], attrs)


@pytest.mark.parametrize(
    ("op", "same"), [("MEAN", False), ("MEAN", True), ("SUM", False), ("REDUCE_MAX", True), ("REDUCE_MIN", True)]
)
def test_integer_equals_tflm(op: str, same: bool) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = quantized(op, rng, same)
        agree(graph, feeds_for(graph, rng))
