"""What the loss would change by without an index of a weight, to first order: for pruning."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.data import Dataset
from edgekit.errors import BadConfig
from edgekit.graph import Array, Graph
from edgekit.passes.finetune import repeatable
from edgekit.passes.finetune_feeder import Feeder
from edgekit.passes.finetune_tasks import Judge
from edgekit.tasks import Task, targets_of, task_of
from edgekit.trainable import learned, to_module


def sensitivities(
    graph: Graph, dataset: Dataset, task: Task | None = None, *, batch: int = 32, most: int = 512
) -> dict[str, dict[int, Array]]:
    """{learned constant: {axis: float64[size]}}: mean over batches of (sum of weight times gradient)^2 of each index.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning. Uses up to `most` samples. Raises BadData.
    """
    task = task or task_of(graph, dataset)
    if task == "teacher":
        raise BadConfig("the Taylor score needs labels", "--score l2")
    part = dataset if len(dataset) <= most else dataset.subset(np.arange(most))
    module, labels = to_module(graph, scales=False), targets_of(graph, part, task)
    judge, feeder = Judge(graph, task, part.labels), Feeder(graph, part, module.device)
    names = list(learned(graph))
    total = {name: {axis: np.zeros(size) for axis, size in enumerate(graph[name].shape)} for name in names}
    with repeatable(0):
        for count, (places, feeds) in enumerate(feeder.batches(batch)):
            outputs = module(feeds, keep=(judge.name,))
            if not count:
                judge.look(outputs)
            truth = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels[places]))
            module.zero_grad()
            judge.loss(outputs, truth, feeds).backward()  # type: ignore[no-untyped-call]
            for name in names:
                weights = module.parameter(name)
                if weights.grad is None:
                    continue
                change = (weights.detach() * weights.grad).double().numpy()
                for axis, sums in total[name].items():
                    others = tuple(i for i in range(change.ndim) if i != axis)
                    sums += np.square(change.sum(axis=others))
    return total
