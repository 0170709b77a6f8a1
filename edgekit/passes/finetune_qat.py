"""Quantization-aware training: the float network learns with its weights and values rounded as the integer one rounds them.

Jacob et al. 2018, Quantization and Training of Neural Networks, sec. 3: rounding forward, the identity backward within the
range (Bengio et al. 2013, straight-through estimator). Scales of values are those of calibration; those of weights follow them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit import evaluate, metrics, states
from edgekit.boundary import to_feeds
from edgekit.data import Dataset
from edgekit.fixedpoint import integer_range
from edgekit.graph import Array, Graph
from edgekit.ops import op_of
from edgekit.passes.finetune import Progress, Training, train
from edgekit.passes.quantize.choose import Choice
from edgekit.trainable import GraphModule, to_graph, to_module

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
        self.module: GraphModule | None = None
        self.report: QatReport | None = None

    def __call__(self, graph: Graph, choice: Choice) -> Graph:
        """The graph with trained constants. The float network as it comes is the teacher; labels, if there are any, count, too.

        Raises Unsupported for operators without a gradient, BadData for labels that do not fit.
        """
        self.module = to_module(graph, scales=False)
        self.module.transform.update(rounded(graph, choice))
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
        for sample, answer in zip(samples, evaluate.outputs(integer, samples), strict=False):
            if len(real) == AGREED:
                break
            with torch.no_grad():
                feeds = {n: torch.from_numpy(v) for n, v in to_feeds(self.module.graph, sample).items()}
                real.append(self.module(feeds)[self.module.graph.outputs[0]].numpy())
            exact.append(_in_graph_layout(self.module.graph, answer[first]))
        if not real or real[0].size != real[0].shape[-1] or states.start(integer):
            return self.report
        return replace(self.report, agreement=metrics.argmax_agreement(real, exact), samples=len(real))


def _in_graph_layout(graph: Graph, answer: Array) -> Array:
    perm = graph.contract.output(graph.outputs[0]).perm
    return answer if perm is None else np.asarray(answer.transpose(np.argsort(perm)))


def rounded(graph: Graph, choice: Choice) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """{tensor: rounding to its integers and back} of every value and weight that `choice` quantizes."""
    made: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
    stays = {n for node in graph.nodes if node.outputs[0] in choice.islands for n in node.outputs}
    for name, (scale, zero) in choice.activations.items():
        if name in graph.tensors and name not in stays and graph[name].dtype == "float32":
            made[name] = _affine(scale, zero, "int16" if name in choice.wide else choice.scheme.activations)
    limit = integer_range(choice.scheme.weights)[1]
    for node in graph.nodes:
        for index, axis in op_of(node).weights.items():
            name = str(node.inputs[index]) if index < len(node.inputs) else ""
            if name in choice.weights:
                made[name] = _symmetric(axis if len(choice.weights[name]) > 1 else None, limit)
    return made


def _affine(scale: float, zero: int, dtype: str) -> Callable[[torch.Tensor], torch.Tensor]:
    low, high = integer_range(dtype)

    def function(x: torch.Tensor) -> torch.Tensor:
        held = x.clamp((low - zero) * scale, (high - zero) * scale)
        steps = (torch.round(x.detach() / scale) + zero).clamp(low, high)
        return held + ((steps - zero) * scale - held).detach()

    return function


def _symmetric(axis: int | None, limit: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def function(w: torch.Tensor) -> torch.Tensor:
        plain = w.detach().abs()
        others = [i for i in range(w.dim()) if i != axis]
        most: Any = plain.amax(others, keepdim=True) if axis is not None and others else plain.max()
        scale = most.clamp(min=1e-12) / limit
        steps: torch.Tensor = torch.round(w.detach() / scale) * scale
        return w + (steps - w).detach()

    return function
