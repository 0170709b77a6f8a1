"""What a network is trained for: the loss and the metric of each task, and which task the labels speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from edgekit.boundary import source_shape
from edgekit.data import Dataset
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, Shape
from edgekit.trainable import logits_of

Task = Literal[
    "classification", "multilabel", "regression", "segmentation", "reconstruction", "language", "embedding", "teacher"
]
TASKS: tuple[Task, ...] = (
    "classification",
    "multilabel",
    "regression",
    "segmentation",
    "reconstruction",
    "language",
    "embedding",
    "teacher",
)
IGNORED = -100  # label of a token or pixel that counts for nothing
TINY = 1e-7
MARGIN = 0.2  # of cosines, between the nearest stranger and the farthest of the same class


@dataclass(frozen=True)
class Metric:
    """name: what is measured; higher: whether more is better. Values are means over samples unless `batchwise`."""

    name: str
    higher: bool


METRICS: dict[Task, Metric] = {
    "classification": Metric("accuracy", True),
    "multilabel": Metric("accuracy of labels", True),
    "regression": Metric("mean absolute error", False),
    "segmentation": Metric("mean IoU", True),
    "reconstruction": Metric("mean square error", False),
    "language": Metric("perplexity", False),
    "embedding": Metric("recall@1", True),
    "teacher": Metric("distance to the teacher", False),
}


def source_output(graph: Graph) -> Shape:
    """The shape of the first output in the source model's layout."""
    name = graph.outputs[0]
    shape, perm = graph[name].shape, graph.contract.output(name).perm
    return shape if perm is None else tuple(shape[axis] for axis in perm)


def task_of(graph: Graph, dataset: Dataset, teacher: bool = False) -> Task:
    """The task that the labels (or their absence) and the first output's shape speak of. Raises BadData when none fits."""
    shape, labels = source_output(graph)[1:], dataset.labels
    if labels is None:
        if teacher:
            return "teacher"
        if len(graph.inputs) == 1 and int(np.prod(source_shape(graph, graph.inputs[0])[1:])) == int(np.prod(shape)):
            return "reconstruction"
        if len(shape) == 2 and graph[graph.inputs[0]].dtype.startswith("int"):
            return "language"
        raise BadData(f"{dataset.name} has no labels, and the network does not give back its input", "add labels y")
    whole = labels.dtype.kind in "iub"
    row = labels.shape[1:]
    size = int(np.prod(row))
    if whole and size == 1:
        return "classification"
    if whole and len(shape) == 1 and size == shape[-1] and np.isin(labels, (0, 1)).all():
        return "classification" if size > 1 and (labels.reshape(len(labels), -1).sum(1) == 1).all() else "multilabel"
    if whole and len(shape) == 2 and row == shape[:1]:
        return "language"
    if whole and len(shape) > 2 and size * _classes(shape, row) == int(np.prod(shape)):
        return "segmentation"
    if size == int(np.prod(shape)):
        return "regression"
    raise BadData(
        f"{dataset.name}: labels of shape {list(row)} a sample do not fit an output of {list(shape)}",
        f"name what is trained with --task: {', '.join(TASKS)}",
    )


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
    return _ids(dataset, array, size // shape[axis], shape[axis])


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


class Judge:
    """A task's loss and metric for one graph: what its output means, and where the classes lie."""

    def __init__(self, graph: Graph, task: Task, labels: Array | None) -> None:
        self.graph, self.task, self.metric = graph, task, METRICS[task]
        self.name, self.kind = logits_of(graph)
        if task not in {"classification", "multilabel"}:
            self.name, self.kind = graph.outputs[0], "plain"
        shape = source_output(graph)[1:]
        self.axis = -1
        if task == "segmentation":
            assert labels is not None
            self.axis = 1 + class_axis(shape, labels.shape[1:])
        # Set by `look`: the output holds probabilities though no SOFTMAX makes it directly.
        self.probabilities = False

    def look(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Find out from one batch whether the output holds probabilities."""
        if self.task in {"classification", "segmentation", "language"} and self.kind == "plain":
            y = self.value(outputs)
            total = y.sum(self.axis)
            if y.shape[self.axis] > 1 and bool((y >= 0).all()):
                self.probabilities = bool(torch.allclose(total, torch.ones_like(total), atol=1e-3))

    def value(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the loss is computed from, in the source model's layout."""
        y = outputs[self.name]
        perm = self.graph.contract.output(self.name).perm if self.name in self.graph.outputs else None
        return y if perm is None else y.permute(perm)

    def scores(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits, or logarithms of probabilities: the loss takes both alike. Classes are the last axis: [..., classes]."""
        y = self.value(outputs).movedim(self.axis, -1)
        return torch.log(y.clamp(min=TINY)) if self.probabilities else y

    def loss(
        self, outputs: Mapping[str, torch.Tensor], labels: torch.Tensor | None, feeds: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """The mean over the batch."""
        if self.task == "teacher":
            raise ValueError("without labels the teacher's losses are all there is")
        if self.task in {"reconstruction", "regression"}:
            y = self.value(outputs)
            return F.mse_loss(y.reshape(len(y), -1), self._wanted(y, labels, feeds))
        if self.task == "multilabel":
            assert labels is not None
            y = self.value(outputs)
            return F.binary_cross_entropy_with_logits(y.reshape(len(y), -1), labels)
        if self.task == "embedding":
            assert labels is not None
            return triplet(self.value(outputs), labels)
        scores, wanted = self._pairs(outputs, labels, feeds)
        if scores.shape[-1] == 1:
            flat = scores.reshape(-1)
            if self.kind == "sigmoid":
                return F.binary_cross_entropy_with_logits(flat, wanted.float())
            return F.mse_loss(flat, wanted.float())
        return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), wanted, ignore_index=IGNORED)

    def _wanted(self, y: torch.Tensor, labels: torch.Tensor | None, feeds: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if labels is not None:
            return labels
        name = self.graph.inputs[0]
        x, perm = feeds[name], self.graph.contract.input(name).perm
        return (x if perm is None else x.permute(tuple(int(p) for p in np.argsort(perm)))).reshape(len(y), -1)

    def _pairs(
        self, outputs: Mapping[str, torch.Tensor], labels: torch.Tensor | None, feeds: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(scores [..., classes], labels [n]); a language model without labels foretells its own input."""
        scores = self.scores(outputs)
        if labels is None:
            ids = feeds[self.graph.inputs[0]].reshape(len(scores), -1)
            return scores[:, :-1], ids[:, 1:].reshape(-1).long()
        return scores, labels.reshape(-1)

    def count(
        self, outputs: Mapping[str, torch.Tensor], labels: torch.Tensor | None, feeds: Mapping[str, torch.Tensor]
    ) -> Array:
        """What a batch adds to the metric: an array of sums, see `result`."""
        y = self.value(outputs).detach()
        if self.task in {"reconstruction", "regression"}:
            gap = (y.reshape(len(y), -1) - self._wanted(y, labels, feeds)).double()
            per = gap.abs() if self.task == "regression" else gap.square()
            return np.array([float(per.mean(1).sum()), len(y)])
        if self.task == "multilabel":
            assert labels is not None
            hits = (y.reshape(len(y), -1) > 0) == (labels > 0.5)
            return np.array([float(hits.double().mean(1).sum()), len(y)])
        if self.task == "embedding":
            assert labels is not None
            near = cosines(y)
            near.fill_diagonal_(-2)
            return np.array([float((labels[near.argmax(1)] == labels).double().sum()), len(y)])
        scores, wanted = self._pairs(outputs, labels, feeds)
        scores, kept = scores.detach().reshape(-1, scores.shape[-1]), wanted != IGNORED
        if self.task == "language":
            loss = F.cross_entropy(scores, wanted, ignore_index=IGNORED, reduction="sum")
            return np.array([float(loss), int(kept.sum())])
        threshold = 0.0 if self.kind == "sigmoid" else 0.5
        found = scores.argmax(-1) if scores.shape[-1] > 1 else (scores.reshape(-1) > threshold).long()
        if self.task == "classification":
            return np.array([int((found == wanted).sum()), len(wanted)])
        classes = scores.shape[-1]
        pairs = torch.bincount(wanted[kept] * classes + found[kept], minlength=classes * classes)
        return pairs.cpu().numpy().astype(np.float64)

    def result(self, total: Array) -> float:
        """The metric, of the sum of all `count`s."""
        if self.task == "segmentation":
            classes = round(float(np.sqrt(total.size)))
            table = total.reshape(classes, classes)
            union = table.sum(0) + table.sum(1) - np.diag(table)
            return float((np.diag(table)[union > 0] / union[union > 0]).mean())
        mean = float(total[0] / total[1])
        return float(np.exp(min(mean, 700.0))) if self.task == "language" else mean


def cosines(y: torch.Tensor) -> torch.Tensor:
    """[n, n] cosines between the rows of a batch."""
    flat = F.normalize(y.reshape(len(y), -1), dim=1)
    return flat @ flat.T


def triplet(y: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The batch's hardest pairs: the farthest of one's class nearer than the nearest stranger, by a margin.

    Hermans et al. 2017, In Defense of the Triplet Loss; with cosines for distances.
    """
    near, same = cosines(y), labels[:, None] == labels[None]
    other = same & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    farthest = near.masked_fill(~other, 2.0).amin(1)
    nearest = near.masked_fill(same, -2.0).amax(1)
    use = other.any(1) & (~same).any(1)
    gaps = F.relu(nearest - farthest + MARGIN)
    return (gaps * use).sum() / use.sum().clamp(min=1)
