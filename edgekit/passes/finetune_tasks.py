"""What a network is trained for: the loss of each task, and its metric on batches of tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

from edgekit import tasks
from edgekit.graph import Array, Graph
from edgekit.passes.finetune_metrics import Collected
from edgekit.tasks import IGNORED, TINY, Task, class_axis, source_output
from edgekit.tasks_further import metric_of
from edgekit.trainable import logits_of

MARGIN = 0.2  # of cosines, between the nearest stranger and the farthest of the same class


class Judge:
    """A task's loss and metric for one graph: what its output means, and where the classes lie."""

    def __init__(self, graph: Graph, task: Task, labels: Array | None, metric: str | None = None) -> None:
        """metric: another than the task's own (see `tasks_further`). Raises BadConfig for one that it does not have."""
        self.graph, self.task, self.metric, self.further = graph, task, metric_of(task, metric), metric
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

    def tally(self, device: torch.device) -> Collected | Tally:
        """What collects the metric over batches. Raises MissingTool."""
        return Tally(self.task) if self.further is None else Collected(self.task, self.further, device)

    def pairs(
        self, outputs: Mapping[str, torch.Tensor], labels: torch.Tensor | None, feeds: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, str]:
        """(scores, what they should be, kind of output) of a batch, as a tally takes them."""
        y = self.value(outputs).detach()
        if self.task in {"reconstruction", "regression"}:
            scores, wanted = y, self._wanted(y, labels, feeds)
        elif self.task in {"multilabel", "embedding"}:
            assert labels is not None
            scores, wanted = y.reshape(len(y), -1), labels
        else:
            scores, wanted = self._pairs(outputs, labels, feeds)
        return scores.detach(), wanted, self.kind


class Tally:
    """A task's own metric over batches: sums, see `tasks.count`."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.total: Array | None = None

    def add(self, scores: torch.Tensor, wanted: torch.Tensor, kind: str) -> None:
        # What is judged of a sigmoid, and of several labels at once, are its logits.
        threshold = 0.0 if kind == "sigmoid" or self.task == "multilabel" else 0.5
        added = tasks.count(self.task, scores.cpu().numpy(), wanted.cpu().numpy(), threshold)
        self.total = added if self.total is None else self.total + added

    def value(self) -> float:
        assert self.total is not None
        return tasks.result(self.task, self.total)


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
