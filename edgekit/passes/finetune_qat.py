"""Quantization-aware training: the float network learns with its weights and values rounded (see `finetune_rounded`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from edgekit import evaluate, metrics
from edgekit.data import Dataset
from edgekit.graph import Array, Graph
from edgekit.passes.finetune import Progress, Training, train
from edgekit.passes.finetune_feeder import fed
from edgekit.passes.finetune_rounded import RoundedModule
from edgekit.passes.quantize.choose import Choice
from edgekit.tasks import Task
from edgekit.trainable import to_graph, to_module

RATE = 2e-4
AGREED = 500  # samples that the training mode's answers are compared on


@dataclass(frozen=True)
class QatReport:
    """training: what the loop says. agreement: share (0..1) of the decisions (one a sample, a pixel or a token) on `samples`
    that the float32 training mode and the integer network make alike; None before there is an integer network, or where
    outputs are no scores. One of several equal scores is as good as another.
    """

    training: Training
    agreement: float | None = None
    samples: int = 0


class Qat:
    """Trains a graph for the choice made for it; called by the quantizer in between choosing and applying."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        epochs: int,
        task: Task | None = None,
        lr: float = RATE,
        batch: int = 64,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.dataset, self.seed, self.checkpoint, self.progress = dataset, seed, checkpoint, progress
        self.epochs, self.lr, self.batch, self.task = epochs, lr, batch, task
        self.module: RoundedModule | None = None
        self.report: QatReport | None = None

    def __call__(self, graph: Graph, choice: Choice) -> Graph:
        """The graph with trained constants. The float network as it comes is the teacher; labels, if there are any, count, too.

        Raises Unsupported for operators without a gradient, BadData for labels that do not fit.
        """
        self.module = RoundedModule(graph, choice)
        done = train(
            self.module,
            self.dataset,
            task=self.task,
            epochs=self.epochs,
            lr=self.lr,
            batch=self.batch,
            seed=self.seed,
            teacher=to_module(graph, scales=False),
            checkpoint=self.checkpoint,
            progress=self.progress,
        )
        self.report = QatReport(done)
        return to_graph(self.module, f"qat {self.epochs} epochs")

    def compare(self, integer: Graph, samples: Iterable[Mapping[str, Array]]) -> QatReport:
        """The report with the agreement between the training mode and the integer network it was made into."""
        assert self.module is not None
        assert self.report is not None
        first = integer.outputs[0]
        real, exact = list[Array](), list[Array]()
        self.module.exact = False
        for sample, answer in zip(samples, evaluate.outputs(integer, samples), strict=False):
            if len(real) == AGREED:
                break
            with torch.no_grad():
                feeds = {n: torch.from_numpy(v) for n, v in fed(self.module.graph, sample).items()}
                real.append(self.module(feeds)[self.module.graph.outputs[0]].numpy())
            exact.append(_in_graph_layout(self.module.graph, answer[first]))
        self.module.exact = None
        task, shape = self.report.training.task, real[0].shape if real else ()
        scores = task in {"classification", "multilabel", "segmentation", "language"}
        if not real or not (scores or (task == "teacher" and real[0].size == shape[-1])):
            return self.report
        return replace(self.report, agreement=_alike(task, real, exact), samples=len(real))


def _alike(task: Task, real: Sequence[Array], exact: Sequence[Array]) -> float:
    """Share of equal decisions: the largest score of each position, or for every label whether its score says yes."""
    one, other = np.concatenate(real), np.concatenate(exact)
    if task == "multilabel" or one.shape[-1] == 1:
        least = 0.5 if other.min() >= 0 and other.max() <= 1 else 0.0  # scores beyond 0..1 are logits
        return float(np.mean((one > least) == (other > least)))
    return metrics.argmax_agreement(*(list(y.reshape(-1, y.shape[-1])) for y in (one, other)))


def _in_graph_layout(graph: Graph, answer: Array) -> Array:
    perm = graph.contract.output(graph.outputs[0]).perm
    return answer if perm is None else np.asarray(answer.transpose(np.argsort(perm)))
