from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.graph import Graph, Quant, Tensor, const
from tests.ops.draw import activation, floats, ints
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node


def any_slice(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, Any]:
    """A slice that stays inside, strides of 1, 2 and -1."""
    rows = []
    for n in shape:
        stride, begin = int(rng.choice([1, 1, 2, -1])), int(rng.integers(0, n))
        room = (n - 1 - begin) // stride + 1 if stride > 0 else begin + 1
        rows.append((begin, int(rng.integers(1, room + 1)), stride))
    return dict(zip(("begin", "size", "stride"), zip(*rows, strict=True), strict=True))


def moved(op: str, rng: np.random.Generator) -> Graph:
    rank = int(rng.integers(2, 5))
    x, axis = activation("x", ints(rng, 2, 6, rank), rng), int(rng.integers(0, rank))
    inputs, outputs = [x], [x.quant]
    attrs: dict[str, Any] = {}
    if op == "RESHAPE":
        attrs = {"shape": (x.elements // x.shape[0], x.shape[0])}
    elif op == "TRANSPOSE":
        attrs = {"perm": tuple(int(p) for p in rng.permutation(rank))}
    elif op == "PAD":
        attrs = {"pads": tuple(ints(rng, 0, 3, 2) for _ in range(rank))}
    elif op == "CONCATENATION":
        inputs.append(Tensor("z", (*x.shape[:axis], 3, *x.shape[axis + 1 :]), "int8", None, x.quant))
        attrs = {"axis": axis}
    elif op == "SPLIT":
        outputs, attrs = [x.quant, x.quant], {"axis": axis, "sizes": (1, x.shape[axis] - 1)}
    elif op == "SLICE":
        attrs = any_slice(x.shape, rng)
    else:
        inputs.append(const("i", rng.integers(0, x.shape[axis], 4).astype(np.int32)))
        attrs = {"axis": axis}
    return one_node(op, inputs, outputs, attrs)


@pytest.mark.parametrize("op", ["RESHAPE", "TRANSPOSE", "PAD", "CONCATENATION", "SPLIT", "SLICE", "GATHER"])
def test_integer_equals_tflm(op: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        graph = moved(op, rng)
        agree(graph, feeds_for(graph, rng))


def test_pad_value_is_quantized_in_the_output_scale() -> None:
    x = Tensor("x", (2,), "int8", None, Quant.per_tensor(0.5, 3))
    graph = one_node("PAD", [x], [x.quant], {"pads": ((1, 2),), "value": -1.5})
    result = reference.run(graph, {"x": np.array([7, 8], np.int8)})["y0"]
    assert result.tolist() == [0, 7, 8, 0, 0]


def test_float_equals_onnx_runtime() -> None:
    rng = np.random.default_rng(0)
    x, pads = floats(rng, 2, 3, 4), ((1, 0), (0, 2), (1, 1))
    flat = np.array([p[0] for p in pads] + [p[1] for p in pads])
    (theirs,) = run_ort("Pad", [x, flat, np.array(-2, np.float32)])
    np.testing.assert_array_equal(run_real("PAD", [x], pads=pads, value=-2.0)[0], theirs)
    indices = np.array([[2, 0], [1, 1]], np.int32)
    (theirs,) = run_ort("Gather", [x, indices], axis=1)
    np.testing.assert_array_equal(run_real("GATHER", [x], [indices], axis=1)[0], theirs)
    halves = run_ort("Split", [x], outputs=2, axis=2)
    ours = run_real("SPLIT", [x], outputs=2, axis=2, sizes=(2, 2))
    for a, b in zip(ours, halves, strict=True):
        np.testing.assert_array_equal(a, b)


def test_cast_truncates_and_keeps_ids() -> None:
    assert run_real("CAST", [np.array([-1.7, 2.9], np.float32)], to="int32")[0].tolist() == [-1, 2]
    assert run_real("CAST", [np.array([0, 3], np.int64)], to="bool")[0].tolist() == [False, True]


def test_negative_strides_reverse() -> None:
    x = np.arange(5, dtype=np.float32)
    assert run_real("SLICE", [x], begin=(4,), size=(5,), stride=(-1,))[0].tolist() == [4, 3, 2, 1, 0]
    assert run_real("SLICE", [x], begin=(3,), size=(2,), stride=(-2,))[0].tolist() == [3, 1]
    assert run_real("SLICE", [x], begin=(0,), size=(0,), stride=(1,))[0].shape == (0,)
