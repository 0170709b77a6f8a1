from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.errors import BadData, Unsupported
from edgekit.graph import Graph, Node, Quant, State, Tensor, build, const


def chain() -> Graph:
    """y = relu(x + 1) * 2, with a constant output beside it."""
    tensors = [Tensor(n, (2, 3), "float32") for n in ("x", "sum", "positive", "y")]
    consts = [const("one", np.array([1], np.float32)), const("two", np.array([2], np.float32))]
    nodes = [
        Node("ADD", ("x", "one"), ("sum",), {}, "a"),
        Node("RELU", ("sum",), ("positive",), {}, "b"),
        Node("MUL", ("positive", "two"), ("y",), {}, "c"),
    ]
    return build("chain", ["x"], ["y", "two"], nodes, [*tensors, *consts])


def test_outputs_and_kept_values() -> None:
    x = np.array([[-3, -1, 0], [1, 2, 3]], np.float32)
    result = reference.run(chain(), {"x": x}, keep=["sum", "x"])
    assert set(result) == {"y", "two", "sum", "x"}
    np.testing.assert_array_equal(result["sum"], x + 1)
    np.testing.assert_array_equal(result["y"], np.maximum(x + 1, 0) * 2)
    assert result["y"].dtype == np.float32


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"z": np.zeros((2, 3), np.float32)},
        {"x": np.zeros((2, 3), np.float32), "z": np.zeros(1)},
        {"x": np.zeros((3, 2), np.float32)},
        {"x": np.zeros((2, 3), np.float64)},
    ],
)
def test_feeds_that_do_not_fit_are_refused(feeds: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> None:
    with pytest.raises(BadData, match="input"):
        reference.run(chain(), feeds)


def test_states_start_at_their_init() -> None:
    tensors = [Tensor(n, (2,), "float32") for n in ("x", "old", "new")]
    state = State("old", "new", np.array([5, 6], np.float32))
    graph = build("sums", ["x"], ["new"], [Node("ADD", ("x", "old"), ("new",), {}, "a")], tensors, states=(state,))
    assert reference.run(graph, {"x": np.ones(2, np.float32)})["new"].tolist() == [6, 7]


def test_a_quantized_node_without_integer_meaning_is_named() -> None:
    quant = Quant.per_tensor(0.1)
    x, y = Tensor("x", (2, 3), "int8", None, quant), Tensor("y", (2, 3), "int8", None, quant)
    consts = [const(n, np.ones(3, np.float32)) for n in ("gamma", "beta", "mean", "var")]
    node = Node("BATCH_NORM", ("x", "gamma", "beta", "mean", "var"), ("y",), {}, "bn1")
    graph = build("g", ["x"], ["y"], [node], [x, y, *consts])
    with pytest.raises(Unsupported, match="bn1"):
        reference.run(graph, {"x": np.zeros((2, 3), np.int8)})


def test_a_mixed_graph_quantizes_and_dequantizes() -> None:
    quant = Quant.per_tensor(0.05, 3)
    tensors = [Tensor("x", (4,), "float32"), Tensor("q", (4,), "int8", None, quant), Tensor("y", (4,), "float32")]
    nodes = [Node("QUANTIZE", ("x",), ("q",), {}, "q"), Node("DEQUANTIZE", ("q",), ("y",), {}, "d")]
    graph = build("g", ["x"], ["y"], nodes, tensors)
    x = np.array([-0.101, 0.0, 0.3, 100], np.float32)
    result = reference.run(graph, {"x": x}, keep=["q"])
    assert result["q"].tolist() == [1, 3, 9, 127]
    np.testing.assert_allclose(result["y"], [-0.1, 0, 0.3, 6.2], rtol=1e-6)
