"""Tasks: what labels speak of, and each task's metric held to its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import evaluate
from edgekit.data import Dataset, from_arrays
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const
from edgekit.measure import ERRORS, JUDGED_TASKS, OTHER_TASKS, SHARES, UNITS
from edgekit.tasks import METRICS, Task, count, judged, result, task_of

RNG = np.random.RandomState(0)


def passing(*shape: int, ops: tuple[str, ...] = (), dtype: str = "float32") -> Graph:
    """y = x of that shape with the batch of 1, through operators of one input."""
    names = ["x", *(f"v{i}" for i in range(len(ops) - 1)), "y"] if ops else ["x", "y"]
    nodes = [Node(op, (a,), (b,), {"shape": (1, *shape)} if op == "RESHAPE" else {}) for op, a, b in
             zip(ops or ("RESHAPE",), names, names[1:], strict=False)]  # fmt: skip
    return build("net", ["x"], ["y"], nodes, [Tensor(n, (1, *shape), dtype) for n in names])


def data(graph: Graph, x: Array, y: Array | None = None, task: Task | None = None) -> Dataset:
    return from_arrays(graph, dict.fromkeys(graph.inputs, x), y, task=task)


def rows(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def test_one_table_for_measurements_and_tasks() -> None:
    assert [*METRICS] == [*JUDGED_TASKS, "teacher"]
    keys = {m.key for task, m in METRICS.items() if task != "teacher"}
    assert keys == {"accuracy", *OTHER_TASKS} == {*SHARES, *ERRORS}
    assert keys <= set(UNITS)
    assert all(m.higher == (m.key in SHARES) for task, m in METRICS.items() if task != "teacher")


CASES: list[tuple[Graph, Array | None, Task]] = [
    (passing(3), np.arange(6) % 3, "classification"),
    (passing(3), np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2]], "classification"),
    (passing(1), np.arange(6) % 2, "classification"),
    (passing(1), np.arange(6) * 30, "regression"),
    (passing(1), rows(6, 1), "regression"),
    (passing(4), rows(6, 4), "regression"),
    (passing(3), (rows(6, 3) > -0.5).astype(int), "multilabel"),
    (passing(2, 5, 5), RNG.randint(0, 2, (6, 5, 5)), "segmentation"),
    (passing(1, 5, 5), RNG.randint(0, 2, (6, 5, 5)), "segmentation"),
    (passing(4, 7), RNG.randint(0, 7, (6, 4)), "language"),
    (passing(4), None, "reconstruction"),
]


@pytest.mark.parametrize(("graph", "labels", "task"), CASES)
def test_labels_speak_of_a_task_and_it_has_a_figure(graph: Graph, labels: Array | None, task: Task) -> None:
    given = data(graph, rows(6, *graph["x"].shape[1:]), labels)
    assert task_of(graph, given) == task
    found = evaluate.judged(graph, given)
    assert (found.metric, found.value is not None, found.how) == (METRICS[task].key, True, "computed")


def value(graph: Graph, x: Array, y: Array | None, task: Task | None = None) -> float:
    found = evaluate.judged(graph, data(graph, x, y, task), task=task)
    assert found.value is not None
    return found.value


def test_each_metric_is_its_definition() -> None:
    x, y = rows(8, 4), rows(8, 4)
    assert value(passing(4), x, y) == pytest.approx(np.abs(x - y).mean(), rel=1e-5)
    assert value(passing(4), x, y, "reconstruction") == pytest.approx(((x - y) ** 2).mean(), rel=1e-5)
    assert value(passing(4), x, None) == 0.0
    many = (rows(8, 4) > 0).astype(int)
    many[0] = 1  # several at once
    assert value(passing(4), x, many) == ((x > 0) == many).mean()
    assert value(passing(4, ops=("LOGISTIC",)), x, many) == ((x > 0) == many).mean()
    scores, ids = rows(8, 5, 7), RNG.randint(0, 7, (8, 5))
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    told = np.exp(-np.mean(np.take_along_axis(logs, ids[..., None], -1)))
    assert value(passing(5, 7), scores, ids) == pytest.approx(told, rel=1e-5)
    assert value(passing(5, 7, ops=("SOFTMAX",)), scores, ids) == pytest.approx(told, rel=1e-4)
    assert value(passing(5, 7, ops=("LOG_SOFTMAX",)), scores, ids) == pytest.approx(told, rel=1e-4)


def test_classes_of_pixels() -> None:
    scores, wanted = rows(3, 2, 4, 4), RNG.randint(0, 2, (3, 4, 4))
    chosen = scores.argmax(1)
    both = [np.sum((chosen == c) & (wanted == c)) / np.sum((chosen == c) | (wanted == c)) for c in (0, 1)]
    assert value(passing(2, 4, 4), scores, wanted) == pytest.approx(np.mean(both))
    one = scores[:, 1:] - scores[:, :1]  # a single logit decides alike
    assert value(passing(1, 4, 4), one, wanted) == pytest.approx(np.mean(both))
    ignored = count("segmentation", np.moveaxis(scores, 1, -1), np.where(wanted, wanted, -100))
    assert result("segmentation", ignored) == pytest.approx(np.mean(chosen[wanted == 1]) / 2)


def test_a_single_logit_says_yes_above_zero_and_a_probability_above_a_half() -> None:
    x = np.array([[-3.0], [0.2], [0.4], [5.0]], np.float32)
    assert value(passing(1), x, np.array([0, 1, 1, 1])) == 1.0
    assert value(passing(1), np.clip(x, 0, 1), np.array([0, 0, 0, 1])) == 1.0
    assert value(passing(1, ops=("LOGISTIC",)), x, np.array([0, 1, 1, 1])) == 1.0


def test_embeddings_find_their_like() -> None:
    x = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.8]], np.float32)
    assert value(passing(2), x, np.array([7, 7, 9, 9]), "embedding") == 1.0
    assert value(passing(2), x, np.array([7, 9, 7, 9]), "embedding") == 0.0


def test_two_towers_find_their_partners_and_share_captions() -> None:
    tensors = [Tensor(n, (1, 2), "float32") for n in ("picture", "text", "a", "b")]
    nodes = [Node("RESHAPE", (n,), (m,), {"shape": (1, 2)}) for n, m in (("picture", "a"), ("text", "b"))]
    graph = build("towers", ["picture", "text"], ["a", "b"], nodes, tensors)
    pictures = np.array([[1, 0], [0.9, 0.2], [0, 1]], np.float32)
    captions = np.array([[1, 0.1], [1, 0.1], [0, 1]], np.float32)
    given = from_arrays(graph, {"picture": pictures, "text": captions})
    found = evaluate.judged(graph, given)
    assert (found.metric, found.value) == ("recall_at_1", 1.0)
    assert "each pair against all others" in found.note
    turned = from_arrays(graph, {"picture": pictures, "text": captions[::-1].copy()})
    assert evaluate.judged(graph, turned).value == pytest.approx(1 / 3)


def test_a_language_model_foretells_its_own_tokens() -> None:
    table = rows(6, 6)
    tensors = [Tensor("ids", (1, 4), "int32"), const("table", table), Tensor("y", (1, 4, 6), "float32")]
    graph = build("bigram", ["ids"], ["y"], [Node("GATHER", ("table", "ids"), ("y",), {"axis": 0})], tensors)
    ids = RNG.randint(0, 6, (5, 4)).astype(np.int32)
    logs = table - np.log(np.exp(table).sum(-1, keepdims=True))
    told = np.exp(-np.mean(logs[ids[:, :-1], ids[:, 1:]]))
    assert value(graph, ids, None) == pytest.approx(told, rel=1e-5)


def test_quantized_numbers_are_no_tokens() -> None:
    quant = Quant.per_tensor(0.1, 0, "int8")
    tensors = [Tensor("x", (1, 3, 5), "int8", None, quant), Tensor("y", (1, 3, 4), "int8", None, quant)]
    node = Node("SLICE", ("x",), ("y",), {"begin": (0, 0, 0), "size": (1, 3, 4), "stride": (1, 1, 1)})
    graph = build("net", ["x"], ["y"], [node], tensors)
    with pytest.raises(BadData, match="no labels"):
        task_of(graph, data(graph, rows(4, 3, 5)))


def test_a_state_beside_its_output_is_no_second_tower() -> None:
    tensors = [Tensor(n, (1, 4), "float32") for n in ("x", "h", "y", "after")]
    nodes = [Node("ADD", ("x", "h"), ("y",), {}), Node("TANH", ("y",), ("after",), {})]
    graph = build("net", ["x", "h"], ["y", "after"], nodes, tensors)
    with pytest.raises(BadData, match="no labels"):
        task_of(graph, data(graph, rows(5, 4)))


def test_how_much_worse_errors_are_in_percent() -> None:
    graph = passing(1)
    before, after = (
        evaluate.judged(graph, data(graph, np.zeros((4, 1), np.float32) + e, np.full((4, 1), 2.5))) for e in (0.5, 0)
    )
    lost = evaluate.drop(before, after)
    assert lost.value == pytest.approx(25.0)
    assert "percent of the float model's mean_absolute_error" in lost.note


def test_labels_that_fit_no_task_are_refused() -> None:
    graph = passing(4)
    for labels, why in ((rows(6, 3), "do not fit"), (None, "")):
        if labels is not None:
            with pytest.raises(BadData, match=why):
                task_of(graph, data(graph, rows(6, 4), labels))
    wide = passing(2, 3)
    given = data(wide, rows(6, 2, 3), np.arange(6) % 2)
    assert evaluate.judged(wide, given).value is None
    with pytest.raises(BadData, match="labels"):
        judged(wide, "embedding", [{"y": row} for row in rows(6, 1, 2, 3)], data(wide, rows(6, 2, 3)))


def test_unlabelled_data_judges_what_it_can() -> None:
    graph: Any = passing(4)
    found = evaluate.unlabelled((graph, graph), data(graph, rows(6, 4)))
    assert found is not None
    assert (found[0].name, found[1]) == ("mean square error", [0.0, 0.0])
    assert evaluate.unlabelled((graph, graph), data(graph, rows(6, 4), np.arange(6) % 4)) is None
    assert evaluate.unlabelled((graph, graph), None) is None
