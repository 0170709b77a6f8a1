"""Quantization-aware training: the float network learns with its weights and values rounded (see `finetune_rounded`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from edgekit.trainable import to_graph, to_module

RATE = 2e-4
AGREED = 500  # samples that the training mode's answers are compared on


@dataclass(frozen=True)
class QatReport:
    """training: what the loop says. agreement: share (0..1) of `samples` on which the float32 training mode and the integer
    network decide alike; None before there is an integer network, or where outputs are no scores."""

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
        lr: float = RATE,
        batch: int = 64,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.dataset, self.seed, self.checkpoint, self.progress = dataset, seed, checkpoint, progress
        self.epochs, self.lr, self.batch = epochs, lr, batch
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
        if not real or real[0].size != real[0].shape[-1]:
            return self.report
        return replace(self.report, agreement=metrics.argmax_agreement(real, exact), samples=len(real))


def _in_graph_layout(graph: Graph, answer: Array) -> Array:
    perm = graph.contract.output(graph.outputs[0]).perm
    return answer if perm is None else np.asarray(answer.transpose(np.argsort(perm)))
