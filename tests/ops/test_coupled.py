"""The law of coupling: taking one index out of every member of a group takes it out of the output, and changes nothing else.

A group without the output (the channels a product sums over) is taken out of an input that is zero there: nothing changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.graph import Array, Node, Tensor
from edgekit.ops import infer, op_of
from tests.ops.draw import floats

CASES: list[tuple[str, list[tuple[int, ...]], dict[str, Any]]] = [
    ("CONV_2D", [(2, 5, 5, 3), (4, 3, 3, 3), (4,)], {"pad": (1, 1, 1, 1)}),
    ("CONV_2D", [(2, 5, 5, 4), (4, 3, 3, 2), (4,)], {}),
    ("DEPTHWISE_CONV_2D", [(2, 5, 5, 3), (1, 3, 3, 3), (3,)], {}),
    ("DEPTHWISE_CONV_2D", [(2, 5, 5, 3), (1, 3, 3, 6), (6,)], {}),
    ("FULLY_CONNECTED", [(2, 5), (4, 5), (4,)], {}),
    ("FULLY_CONNECTED", [(2, 3, 5), (4, 5), (4,)], {"keep_dims": True}),
    ("ADD", [(2, 3, 4), (3, 1)], {}),
    ("MUL", [(2, 3, 4), (4,)], {}),
    ("PRELU", [(2, 3, 4), (1, 4)], {}),
    ("RELU", [(2, 3)], {}),
    ("SOFTMAX", [(2, 3, 4)], {}),
    ("BATCH_NORM", [(2, 3), (3,), (3,), (3,), (3,)], {}),
    ("AVERAGE_POOL_2D", [(2, 4, 4, 3)], {"filter": (2, 2)}),
    ("MEAN", [(2, 3, 4)], {"axes": (1,)}),
    ("REDUCE_MAX", [(2, 3, 4)], {"axes": (1,), "keep_dims": True}),
    ("TRANSPOSE", [(2, 3, 4)], {"perm": (2, 0, 1)}),
    ("CONCATENATION", [(2, 3, 4), (2, 2, 4)], {"axis": 1}),
    ("SPLIT", [(2, 4, 3)], {"axis": 1, "sizes": (1, 3)}),
    ("PAD", [(2, 3)], {"pads": ((1, 0), (0, 0))}),
    ("LSTM", [(2, 4, 3), (20, 3), (20, 5), (20,), (2, 5), (2, 5)], {}),
    ("GRU", [(2, 4, 3), (15, 3), (15, 5), (15,), (2, 5), (5,)], {}),
    ("RNN", [(2, 4, 3), (5, 3), (5, 5), (5,), (2, 5)], {"reverse": True}),
    ("STFT", [(2, 12), (4,)], {"hop": 2, "fft": 4}),
    ("FILTER_BANK", [(2, 3, 4), (5, 4)], {}),
]

STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}  # outputs besides y


def run(node: Node, arrays: list[Array]) -> list[Array]:
    return op_of(node).real(node, arrays)


@pytest.mark.parametrize(("op", "shapes", "attrs"), CASES)
def test_a_group_loses_an_index_together(op: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    arrays = [np.abs(floats(rng, *s)) for s in shapes]
    inputs = [Tensor(f"x{i}", s, "float32") for i, s in enumerate(shapes)]
    count = len(attrs["sizes"]) if "sizes" in attrs else STATES.get(op, 0) + 1
    node = Node(op, tuple(t.name for t in inputs), tuple(f"y{i}" for i in range(count)), attrs, "n")
    outputs = [Tensor(n, s, d) for n, (s, d) in zip(node.outputs, infer(node, inputs), strict=True)]
    rule = op_of(node).coupled
    assert rule is not None
    groups = rule(node, inputs, outputs)
    assert groups
    for group in groups:
        axes = dict(group)
        sizes = {t.shape[axes[t.name]] for t in (*inputs, *outputs) if t.name in axes}
        assert len(sizes) == 1, "a group's axes are of one size"
        index = max(sizes) - 1
        zeroed = [a.copy() for a in arrays]
        if not any(t.name in axes for t in outputs):
            zeroed[0][(slice(None),) * axes["x0"] + (index,)] = 0
        cut = [np.delete(a, index, axes[t.name]) if t.name in axes else a for a, t in zip(zeroed, inputs, strict=True)]
        for before, after, tensor in zip(run(node, zeroed), run(node, cut), outputs, strict=True):
            expected = np.delete(before, index, axes[tensor.name]) if tensor.name in axes else before
            np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-6)


def test_reshape_couples_the_axes_that_survive() -> None:
    x, y = Tensor("x", (2, 1, 1, 6), "float32"), Tensor("y", (2, 6), "float32")
    node = Node("RESHAPE", ("x",), ("y",), {"shape": (2, 6)}, "n")
    rule = op_of(node).coupled
    assert rule is not None
    assert rule(node, [x], [y]) == [[("x", 0), ("y", 0)], [("x", 3), ("y", 1)]]
    mixed = Tensor("y", (3, 4), "float32")
    assert rule(node, [Tensor("x", (2, 6), "float32")], [mixed]) == []
