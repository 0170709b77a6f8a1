"""evaluate: batches answer as single samples do, and accuracy says what it was taken from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import evaluate
from edgekit.boundary import random_samples
from edgekit.data import Dataset, from_arrays
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.passes.rebatch import batch_of
from tests.passes.random_net import random_graph

COUNT = evaluate.BATCH + 3  # a whole batch, and some that fill none


def dense(axes: tuple[int, ...] | None = None) -> Graph:
    """y[1,3] = x[1,4] W; with `axes`, less its mean over them."""
    weight = const("w", np.random.RandomState(0).normal(size=(3, 4)).astype(np.float32))
    tensors = [Tensor("x", (1, 4), "float32"), weight, *(Tensor(n, (1, 3), "float32") for n in ("h", "y"))]
    nodes = [Node("FULLY_CONNECTED", ("x", "w"), ("h",))]
    if axes is None:
        return build("dense", ["x"], ["h"], nodes, tensors)
    tensors.append(Tensor("m", (1,) if axes == (1,) else (3,), "float32"))
    nodes += [Node("MEAN", ("h",), ("m",), {"axes": axes}), Node("SUB", ("h", "m"), ("y",))]
    return build("dense", ["x"], ["y"], nodes, tensors)


def samples(graph: Graph, labels: bool = True) -> Dataset:
    x = np.random.RandomState(1).normal(size=(COUNT, 4)).astype(np.float32)
    return from_arrays(graph, {"x": x}, np.arange(COUNT) % 3 if labels else None, name="made up")


@pytest.mark.parametrize("axes", [None, (0,)])  # a mean over the batch cannot be batched
def test_batches_answer_as_single_samples(monkeypatch: pytest.MonkeyPatch, axes: tuple[int, ...] | None) -> None:
    graph = dense(axes)
    many = list(evaluate.outputs(graph, samples(graph)))
    monkeypatch.setattr(evaluate, "BATCH", 1)
    single = list(evaluate.outputs(graph, samples(graph)))
    assert len(many) == len(single) == COUNT
    for a, b in zip(many, single, strict=True):
        assert a.keys() == b.keys()
        assert all(a[n].shape == b[n].shape == (1, 3) and np.allclose(a[n], b[n], atol=1e-6) for n in a)


def test_a_network_of_two_samples_a_run_is_batched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = next(g for g in map(random_graph, range(9)) if batch_of(g) == 2)
    given = random_samples(graph, COUNT)
    many = list(evaluate.outputs(graph, given))
    monkeypatch.setattr(evaluate, "BATCH", 1)
    for a, b in zip(many, evaluate.outputs(graph, given), strict=True):
        assert all(a[n].shape == b[n].shape and np.allclose(a[n], b[n], atol=1e-5) for n in a)


def test_accuracy_names_its_data_or_says_why_there_is_none() -> None:
    graph = dense()
    data = replace(samples(graph), notes=("sounds are cut",))
    found = evaluate.judged(graph, data)
    answers = [int(np.argmax(o["h"])) for o in evaluate.outputs(graph, data)]
    assert found.value == pytest.approx(np.mean(np.array(answers) == np.arange(COUNT) % 3))
    assert found.note == f"{COUNT} samples of made up; sounds are cut"
    none = evaluate.judged(graph, samples(graph, labels=False))
    assert (none.value, none.how) == (None, "unavailable")
    assert "no labels" in none.note
    assert "--eval" in evaluate.judged(graph, None).note
    assert evaluate.drop(found, replace(found, value=0.0)).value == pytest.approx(100 * (found.value or 0.0))
    assert evaluate.drop(found, none).value is None
    assert "no labels" in evaluate.drop(found, none).note
