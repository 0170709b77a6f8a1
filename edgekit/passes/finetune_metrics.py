"""Metrics that torchmetrics computes, fed batch by batch; see `tasks_further` for their names."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.nn import functional as F

from edgekit.errors import MissingTool
from edgekit.tasks import IGNORED, Task
from edgekit.tasks_further import further


class Collected:
    """One metric over a data set."""

    def __init__(self, task: Task, name: str, device: torch.device) -> None:
        """Raises BadConfig for a metric that the task does not have, MissingTool without torchmetrics."""
        self.task, self.entry, self.device = task, further(task, name), device
        self._library = _torchmetrics(name)
        self._metric: Any = None

    def add(self, scores: torch.Tensor, wanted: torch.Tensor, kind: str) -> None:
        """scores, wanted: as `tasks.count` takes them; kind: of the output ("sigmoid": the scores are its logits)."""
        arguments = dict(self.entry.arguments)
        if self.task == "multilabel":
            scores, wanted = torch.sigmoid(scores), wanted.long()
            arguments["num_labels"] = scores.shape[1]
        elif self.task in {"regression", "reconstruction"}:
            scores, wanted = scores.reshape(len(scores), -1), wanted.reshape(len(scores), -1)
            scores, wanted = (v.squeeze(1) if v.shape[1] == 1 else v for v in (scores, wanted))
        else:
            flat, ids = scores.reshape(-1, scores.shape[-1]), wanted.reshape(-1)
            if flat.shape[1] == 1:  # one score that says yes
                yes = torch.sigmoid(flat) if kind == "sigmoid" else flat.clamp(0, 1)
                chances = torch.cat((1 - yes, yes), 1)
            else:
                chances = F.softmax(flat, 1)
            scores, wanted = chances[ids != IGNORED], ids[ids != IGNORED]
            arguments["num_classes"] = chances.shape[1]
            if "top_k" in arguments:
                arguments["top_k"] = min(arguments["top_k"], chances.shape[1])
        if self._metric is None:
            home = self._library.classification if self.entry.maker.startswith("Multi") else self._library
            self._metric = getattr(home, self.entry.maker)(**arguments).to(self.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._metric.update(scores, wanted)

    def value(self) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes without samples
            return float(self._metric.compute())


def _torchmetrics(name: str) -> Any:
    try:
        return _imported()
    except ImportError as error:
        raise MissingTool(
            f"--metric {name} needs torchmetrics, which is not installed", "pip install 'edgekit[train]'"
        ) from error


def _imported() -> Any:
    """torchmetrics. It imports torchvision where there is one, whose compiled operators do not load beside every torch: their
    declarations, which is all that is needed here, are then given."""
    try:
        import torchmetrics
        import torchmetrics.classification
    except RuntimeError:
        declared: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            declared.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(declared)
        import torchmetrics
        import torchmetrics.classification
    return torchmetrics


_KEPT: list[Any] = []  # declarations hold as long as they are referred to
