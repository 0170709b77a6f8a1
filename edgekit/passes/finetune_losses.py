"""What training makes small: terms of a loss, from the labels and from a teacher's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from edgekit.errors import BadConfig
from edgekit.graph import Graph
from edgekit.passes.finetune_augment import Blend
from edgekit.passes.finetune_tasks import Judge
from edgekit.tasks import IGNORED
from edgekit.trainable import logits_of

Values = Mapping[str, torch.Tensor]
TEMPERATURE = 4.0  # of the default loss against a teacher; Hinton et al. 2015, Distilling the Knowledge


@dataclass(frozen=True)
class Step:
    """What a loss sees of a batch. outputs, taught: of the student and the teacher, with what each was asked to keep.

    blend: with which samples those of the batch were blended (None: they were not)."""

    feeds: Values
    outputs: Values
    labels: torch.Tensor | None
    taught: Values
    judge: Judge
    blend: Blend | None = None


@dataclass(frozen=True)
class Loss:
    """A term of the loss. function: Step -> mean over the batch. keep, teacher_keep: values inside the networks it reads.

    module: what it learns of its own (a projection); trained with the network, and left out of the result.
    """

    name: str
    function: Callable[[Step], torch.Tensor]
    weight: float = 1.0
    keep: tuple[str, ...] = ()
    teacher_keep: tuple[str, ...] = ()
    module: torch.nn.Module | None = None


def task_loss() -> Loss:
    """The loss of the labels."""

    def function(step: Step) -> torch.Tensor:
        labels = step.labels
        if labels is not None and labels.dim() == 1 and not labels.is_floating_point() and bool((labels == IGNORED).all()):
            return torch.zeros((), device=labels.device)  # nothing in the batch is labelled
        own = step.judge.loss(step.outputs, labels, step.feeds)
        if step.blend is None or labels is None:
            return own
        other = labels.index_select(0, step.blend.other.to(labels.device))
        return step.blend.part * own + (1 - step.blend.part) * step.judge.loss(step.outputs, other, step.feeds)

    return Loss("task", function)


def teacher_loss(graph: Graph, teacher: Graph, temperature: float = TEMPERATURE, weight: float = 1.0) -> Loss:
    """Against the teacher's first output: softened cross entropy for classes, mean square error for real numbers.

    Hinton et al. 2015; scaled by temperature squared, so that gradients keep their size. Raises BadConfig for outputs of
    different shapes.
    """
    ours, theirs = graph[graph.outputs[0]].shape, teacher[teacher.outputs[0]].shape
    if ours[1:] != theirs[1:]:
        raise BadConfig(
            f"the teacher answers with {list(theirs[1:])}, the student with {list(ours[1:])}: no answer to learn from",
            "use a teacher of the same task and classes",
        )
    student_at, student_kind = logits_of(graph)
    teacher_at, teacher_kind = logits_of(teacher)

    def function(step: Step) -> torch.Tensor:
        y, wanted = step.outputs[student_at], step.taught[teacher_at].detach()
        y, wanted = _in_source(graph, student_at, y), _in_source(teacher, teacher_at, wanted)
        axis = step.judge.axis
        known = step.judge.task in {"classification", "segmentation", "language"}
        if y.shape[axis] > 1 and (known or student_kind == teacher_kind == "softmax"):
            y, wanted = (_logarithms(v.movedim(axis, -1)).reshape(-1, v.shape[axis]) / temperature for v in (y, wanted))
            soft = torch.log_softmax(wanted, -1)
            return F.kl_div(torch.log_softmax(y, -1), soft, reduction="batchmean", log_target=True) * temperature**2
        if student_kind == teacher_kind == "sigmoid":
            return F.binary_cross_entropy_with_logits(y, torch.sigmoid(wanted))
        return F.mse_loss(y, wanted)

    return Loss("teacher", function, weight, (student_at,), (teacher_at,))


def _in_source(graph: Graph, name: str, value: torch.Tensor) -> torch.Tensor:
    perm = graph.contract.output(name).perm if name in graph.outputs else None
    return value if perm is None else value.permute(perm)


def _logarithms(y: torch.Tensor) -> torch.Tensor:
    """Probabilities as their logarithms; logits as they are."""
    total = y.detach().sum(-1)
    chances = bool((y >= 0).all()) and bool(torch.allclose(total, torch.ones_like(total), atol=1e-3))
    return torch.log(y.clamp(min=1e-7)) if chances else y
