"""What a network is for: the metric of each task, which task the labels speak of, and the metric of outputs. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgekit import fixedpoint
from edgekit.boundary import source_shape
from edgekit.data import Dataset
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, Shape
from edgekit.measure import Judged

Task = Judged | Literal["teacher"]
IGNORED = -100  # label of a token or pixel that counts for nothing
TINY = 1e-7  # the least probability that a logarithm is taken of


@dataclass(frozen=True)
class Metric:
    """name: what is measured; higher: whether more is better; key: its name in measurements ("": it is never one)."""

    name: str
    higher: bool
    key: str


METRICS: dict[Task, Metric] = {
    "classification": Metric("accuracy", True, "accuracy"),
    "multilabel": Metric("accuracy of labels", True, "label_accuracy"),
    "regression": Metric("mean absolute error", False, "mean_absolute_error"),
    "segmentation": Metric("mean IoU", True, "mean_iou"),
    "reconstruction": Metric("mean square error", False, "mean_square_error"),
    "language": Metric("perplexity", False, "perplexity"),
    "embedding": Metric("recall@1", True, "recall_at_1"),
    "teacher": Metric("distance to the teacher", False, ""),
}
TASKS: tuple[Task, ...] = tuple(METRICS)


def source_output(graph: Graph, name: str | None = None) -> Shape:
    """The shape of an output (default: the first) in the source model's layout."""
    name = name or graph.outputs[0]
    shape, perm = graph[name].shape, graph.contract.output(name).perm
    return shape if perm is None else tuple(shape[axis] for axis in perm)


def task_of(graph: Graph, dataset: Dataset, teacher: bool = False) -> Task:
    """The task that the labels (or their absence) and the first output's shape speak of. Raises BadData when none fits."""
    shape, labels = source_output(graph)[1:], dataset.labels
    outputs = int(np.prod(shape))
    if labels is None:
        if teacher:
            return "teacher"
        if len(graph.inputs) == 1 and int(np.prod(source_shape(graph, graph.inputs[0])[1:])) == outputs:
            return "reconstruction"
        first = graph[graph.inputs[0]]
        if len(shape) == 2 and first.dtype.startswith("int") and first.quant is None and first.elements == shape[0]:
            return "language"
        if paired(graph):
            return "embedding"
        raise BadData(f"{dataset.name} has no labels, and the network does not give back its input", "add labels y")
    whole = labels.dtype.kind in "iub"
    row = labels.shape[1:]
    size = int(np.prod(row))
    if whole and size == 1 and (outputs > 1 or np.isin(labels, (0, 1)).all()):
        return "classification"
    if whole and len(shape) == 1 and size == shape[-1] > 1 and np.isin(labels, (0, 1)).all():
        return "classification" if (labels.reshape(len(labels), -1).sum(1) == 1).all() else "multilabel"
    if whole and len(shape) == 2 and row == shape[:1]:
        return "language"
    if whole and len(shape) > 2 and size * _classes(shape, row) == outputs:
        return "segmentation"
    if size == outputs:
        return "regression"
    raise BadData(
        f"{dataset.name}: labels of shape {list(row)} a sample do not fit an output of {list(shape)}",
        f"name what is meant with --task: {', '.join(TASKS)}",
    )


def paired(graph: Graph) -> bool:
    """Whether the first two of several outputs are embeddings of the same width, each of inputs of its own: two towers."""
    if len(graph.inputs) < 2 or len(graph.outputs) < 2:
        return False
    shapes = [[n for n in source_output(graph, name) if n > 1] for name in graph.outputs[:2]]
    read = [_inputs_of(graph, name) for name in graph.outputs[:2]]
    return shapes[0] == shapes[1] and len(shapes[0]) == 1 and not read[0] & read[1]


def _inputs_of(graph: Graph, name: str) -> set[str]:
    """The inputs that a value depends on."""
    makers, seen, open_ones = graph.producers(), {name}, [name]
    while open_ones:
        maker = makers.get(open_ones.pop())
        fresh = {n for n in maker.inputs if n is not None} - seen if maker is not None else set[str]()
        seen |= fresh
        open_ones += fresh
    return seen & set(graph.inputs)


def _classes(shape: Shape, row: Shape) -> int:
    return max(1, int(np.prod(shape)) // max(1, int(np.prod(row))))


def targets_of(graph: Graph, dataset: Dataset, task: Task) -> Array | None:
    """Labels as the task's loss takes them, one row a sample. Raises BadData: missing, of another shape, out of range."""
    labels, shape = dataset.labels, source_output(graph)[1:]
    if task == "teacher" or (task in {"reconstruction", "language"} and labels is None):
        return None
    if labels is None:
        raise BadData(f"{dataset.name} has no labels, which {task} needs", "add an array y, or train without: --task teacher")
    array = labels.reshape(len(labels), -1)
    size, classes = int(np.prod(shape)), shape[-1] if shape else 1
    if task in {"classification", "embedding"}:
        if task == "classification" and size != classes:
            raise BadData(f"accuracy needs one answer a sample, the output is {list(shape)}", "name what is meant with --task")
        if task == "classification" and array.shape[1] == size > 1:
            array = array.argmax(1)[:, None]
        most = None if task == "embedding" else max(2, classes)
        return _ids(dataset, array, 1, most).reshape(-1)
    if task in {"multilabel", "regression", "reconstruction"}:
        if array.shape[1] != size:
            raise BadData(f"{dataset.name}: {array.shape[1]} labels a sample, the network gives {size} values")
        if task == "multilabel" and not np.isin(array, (0, 1)).all():
            raise BadData(f"{dataset.name}: labels of several classes at once must be 0 and 1")
        if not np.isfinite(array.astype(np.float64)).all():
            raise BadData(f"{dataset.name}: labels hold values that are not finite")
        return array.astype(np.float32)
    if task == "language":
        return _ids(dataset, array, shape[0], classes)
    axis = class_axis(shape, labels.shape[1:])
    return _ids(dataset, array, size // shape[axis], max(2, shape[axis]))


def class_axis(shape: Shape, row: Shape) -> int:
    """The axis of a sample's output (without the batch) that holds classes, for labels of shape `row`. Raises BadData."""
    for axis in (len(shape) - 1, 0):
        if tuple(n for n in (*shape[:axis], *shape[axis + 1 :]) if n > 1) == tuple(n for n in row if n > 1):
            return axis
    raise BadData(f"labels of {list(row)} a sample do not fit an output of {list(shape)}", "one class a pixel")


def _ids(dataset: Dataset, array: Array, size: int, classes: int | None) -> Array:
    if array.dtype.kind not in "iub":
        raise BadData(f"{dataset.name}: labels are {array.dtype}, not classes", "encode them as 0, 1, ...")
    if array.shape[1] != size:
        raise BadData(f"{dataset.name}: {array.shape[1]} labels a sample, {size} are needed")
    ids = array.astype(np.int64)
    wrong = (ids < 0) & (ids != IGNORED)
    if classes is not None:
        wrong |= ids >= classes
    if wrong.any():
        row, at = (int(v) for v in np.argwhere(wrong)[0])
        raise BadData(
            f"{dataset.name}: label {ids[row, at]} of sample {row} is out of range: the network has {classes} classes"
        )
    return ids


# ---------------------------------------------------------------------------------------------------------- metrics


def count(task: Task, scores: Array, wanted: Array, threshold: float = 0.5, others: Array | None = None) -> Array:
    """What a batch adds to the task's metric: an array of sums, see `result`.

    scores: [n, values], or [n, ..., classes] where there are classes: what the output holds, logarithms of probabilities or
    logits for "language"; wanted: as `targets_of`, or the values themselves. threshold: above it a single score says yes.
    embedding: [n, width], its recall is that of the batch. others: embeddings [n, width] of their partners to find them among.
    """
    if task in {"reconstruction", "regression"}:
        gap = scores.reshape(len(scores), -1).astype(np.float64) - wanted.reshape(len(scores), -1)
        per = np.abs(gap) if task == "regression" else np.square(gap)
        return np.array([per.mean(1).sum(), len(scores)])
    if task == "multilabel":
        hits = (scores.reshape(len(scores), -1) > threshold) == (wanted > 0.5)
        return np.array([hits.mean(1).sum(), len(scores)], np.float64)
    if task == "embedding":
        return np.array([_recalled(scores, wanted, others), len(scores)], np.float64)
    flat, ids = scores.reshape(-1, scores.shape[-1]), wanted.reshape(-1)
    kept = ids != IGNORED
    if task == "language":
        logits = flat[kept].astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), ids[kept]]
        return np.array([loss.sum(), kept.sum()], np.float64)
    found = flat.argmax(1) if flat.shape[1] > 1 else (flat[:, 0] > threshold).astype(np.int64)
    if task == "classification":
        return np.array([(found == ids).sum(), len(ids)], np.float64)
    classes = max(2, flat.shape[1])
    return np.bincount(ids[kept] * classes + found[kept], minlength=classes * classes).astype(np.float64)


def result(task: Task, total: Array) -> float:
    """The metric, of the sum of all `count`s."""
    if task == "segmentation":
        classes = round(float(np.sqrt(total.size)))
        table = total.reshape(classes, classes)
        union = table.sum(0) + table.sum(1) - np.diag(table)
        return float((np.diag(table)[union > 0] / union[union > 0]).mean())
    mean = float(total[0] / total[1])
    return float(np.exp(min(mean, 700.0))) if task == "language" else mean


def _recalled(rows: Array, wanted: Array, others: Array | None) -> int:
    """How many rows are nearest, by cosine, to one of the same class: of the other rows, or of `others`."""
    unit = _normalized(rows)
    near = unit @ (unit if others is None else _normalized(others)).T
    if others is None:
        np.fill_diagonal(near, -2.0)
    return int((wanted[near.argmax(1)] == wanted).sum())


def _normalized(rows: Array) -> Array:
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), TINY))


def output_kind(graph: Graph) -> str:
    """What the first output holds: "softmax" or "sigmoid" (it goes through that), "log" (logarithms), "plain" (anything)."""
    makers = graph.producers()
    node = makers.get(graph.outputs[0])
    while node is not None and node.op in {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE"}:
        node = makers.get(str(node.inputs[0]))
    return {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "LOG_SOFTMAX": "log"}.get("" if node is None else node.op, "plain")


def judged(graph: Graph, task: Task, results: Iterable[Mapping[str, Array]], samples: Dataset) -> float:
    """The task's metric of outputs by name, one batch of 1 a sample of `samples`, real numbers in the source's layout; read one
    by one (embeddings are kept).

    Raises BadData where the labels do not fit the task.
    """
    if task == "embedding":
        return _embeddings(graph, results, samples)
    wanted, kind = targets_of(graph, samples, task), output_kind(graph)
    axis = -1
    if task == "segmentation":
        assert samples.labels is not None
        axis = 1 + class_axis(source_output(graph)[1:], samples.labels.shape[1:])
    # Scores outside of 0..1 are no probabilities: a logit says yes above zero. Which they are is known at the end.
    totals: dict[float, Array | float] = dict.fromkeys((0.5, 0.0), 0.0)
    logits = False
    given = (sample for sample in samples) if wanted is None else iter(())
    for i, found in enumerate(results):
        y = np.moveaxis(np.asarray(found[graph.outputs[0]]), axis, -1)
        if wanted is not None:
            truth = wanted[i : i + 1]
        else:
            truth = _real(graph, np.asarray(next(given)[graph.inputs[0]]))
        if task == "language":
            if kind in {"softmax", "sigmoid"} or (y.min() >= 0 and np.allclose(y.sum(-1), 1, atol=1e-3)):
                y = np.log(np.maximum(y, TINY))
            if wanted is None:  # it foretells its own input
                y, truth = y[:, :-1], truth.reshape(1, -1)[:, 1:].astype(np.int64)
        logits = logits or bool(y.min() < 0.0 or y.max() > 1.0)
        totals = {threshold: total + count(task, y, truth, threshold) for threshold, total in totals.items()}
    return result(task, np.asarray(totals[0.0 if logits and kind != "sigmoid" else 0.5]))


def _embeddings(graph: Graph, results: Iterable[Mapping[str, Array]], samples: Dataset) -> float:
    """recall@1 of rows among themselves by their labels, or of those of two towers among their partners."""
    kept = [[np.asarray(found[name]) for name in graph.outputs[:2]] for found in results]
    rows, others = np.concatenate([row[0] for row in kept]), None
    if samples.labels is not None:
        wanted = targets_of(graph, samples, "embedding")
        assert wanted is not None
    elif paired(graph):
        others = np.concatenate([row[1] for row in kept])
        # A caption that several pictures share is right for each of them.
        seen: dict[bytes, int] = {}
        wanted = np.array([seen.setdefault(np.asarray(s[graph.inputs[1]]).tobytes(), len(seen)) for s in samples])
    else:
        raise BadData(f"{samples.name} has no labels, which embedding needs", "add an array y")
    return result("embedding", count("embedding", rows, wanted, others=others))


def _real(graph: Graph, array: Array) -> Array:
    """What is fed to the first input as real numbers."""
    quant = graph[graph.inputs[0]].quant
    if quant is None or array.dtype.kind == "f":
        return array
    return fixedpoint.dequantize(array, quant.scale[0], quant.zero_point[0])
