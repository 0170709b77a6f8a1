"""boundary: what an application gives and what a graph takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.boundary import from_outputs, random_feeds, random_samples, source_shape, to_feeds
from edgekit.errors import BadData
from edgekit.graph import Graph, InputContract, InputSpec, Node, OutputSpec, Quant, Tensor, build, const

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def image(quant: Quant | None = None) -> Graph:
    """x[1,2,3,4] NHWC, given and answered as [1,4,2,3]; y = relu(x)."""
    dtype = "float32" if quant is None else quant.dtype
    tensors = [Tensor(name, (1, 2, 3, 4), dtype, None, quant) for name in ("x", "y")]
    contract = InputContract({"x": InputSpec(layout="NCHW", perm=TO_NHWC)}, {"y": OutputSpec(perm=TO_NCHW)})
    return build("image", ["x"], ["y"], [Node("RELU", ("x",), ("y",))], tensors, contract=contract)


def table(dtype: str = "int32") -> Graph:
    """Rows of a table of 7, by 50 ids; beside a real input in 2..3."""
    tensors = [Tensor("ids", (1, 50), dtype), const("t", np.zeros((7, 2), np.float32)), Tensor("y", (1, 50, 2), "float32")]
    tensors += [Tensor("x", (1, 4), "float32"), Tensor("z", (1, 4), "float32")]
    nodes = [Node("GATHER", ("t", "ids"), ("y",), {"axis": 0}), Node("RELU", ("x",), ("z",))]
    return build("t", ["ids", "x"], ["y", "z"], nodes, tensors, contract=InputContract({"x": InputSpec(range=(2.0, 3.0))}))


def test_layout_goes_there_and_back() -> None:
    graph = image()
    given = np.arange(24, dtype=np.float32).reshape(1, 4, 2, 3)
    assert source_shape(graph, "x") == (1, 4, 2, 3)
    fed = to_feeds(graph, {"x": given})["x"]
    assert np.array_equal(fed, given.transpose(TO_NHWC))
    assert np.array_equal(from_outputs(graph, {"y": fed})["y"], given)


def test_real_numbers_are_quantized_and_the_input_s_own_integers_pass() -> None:
    graph = image(Quant.per_tensor(0.5, 3))
    given = np.linspace(-100, 100, 24).reshape(1, 4, 2, 3)
    fed = to_feeds(graph, {"x": given})["x"]
    assert fed.dtype == np.int8
    assert (int(fed.min()), int(fed.max())) == (-128, 127)
    own = np.arange(24, dtype=np.int8).reshape(1, 4, 2, 3)
    assert np.array_equal(to_feeds(graph, {"x": own})["x"], own.transpose(TO_NHWC))
    assert np.array_equal(from_outputs(graph, {"y": fed}, real=False)["y"], fed.transpose(TO_NCHW))
    assert float(from_outputs(graph, {"y": fed})["y"].max()) == 0.5 * (127 - 3)


@pytest.mark.parametrize("quant", [None, Quant.per_tensor(0.5)])
@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"z": 0}, "no data for input 'x'"),
        ({"x": np.zeros((1, 2, 3, 4))}, r"needs shape \[1, 4, 2, 3\], got \[1, 2, 3, 4\]"),
        ({"x": np.full((1, 4, 2, 3), np.nan)}, "not finite"),
        ({"x": np.full((1, 4, 2, 3), np.inf, np.float32)}, "not finite"),
    ],
)
def test_what_does_not_fit(quant: Quant | None, given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadData, match=why):
        to_feeds(image(quant), given)


@pytest.mark.parametrize("value", [1.5, 3e9, np.int64(1) << 40])
def test_ids_are_whole_numbers_that_fit(value: float) -> None:
    x = np.full((1, 4), 2.5)
    assert to_feeds(table(), {"ids": np.full((1, 50), 3.0), "x": x})["ids"].dtype == np.int32
    with pytest.raises(BadData, match="takes ids"):
        to_feeds(table(), {"ids": np.full((1, 50), value), "x": x})


def test_random_samples_are_repeatable_and_in_range() -> None:
    graph = table()
    one, two = random_samples(graph, 3), random_samples(graph, 3)
    assert all(np.array_equal(a[n], b[n]) for a, b in zip(one, two, strict=True) for n in a)
    assert {int(i) for s in one for i in s["ids"].flat} == set(range(7))
    assert all(2 <= s["x"].min() <= s["x"].max() <= 3 for s in one)
    wide = random_samples(image(Quant.per_tensor(0.5)), 40)
    assert (min(s["x"].min() for s in wide), max(s["x"].max() for s in wide)) == (-128, 127)
    narrow = random_samples(image(Quant.per_tensor(0.5, dtype="int4")), 40)
    assert (min(s["x"].min() for s in narrow), max(s["x"].max() for s in narrow)) == (-8, 7)


def test_random_feeds_are_the_samples_as_the_graph_takes_them() -> None:
    graph = image(Quant.per_tensor(0.5))
    for sample, feed in zip(random_samples(graph, 3, seed=5), random_feeds(graph, 3, seed=5), strict=True):
        assert np.array_equal(feed["x"], sample["x"].transpose(TO_NHWC))
