"""Run a graph over a data set with the bit-exact reference, and judge its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from edgekit import reference, states
from edgekit.boundary import from_outputs, to_feeds
from edgekit.data import Dataset
from edgekit.errors import BadData, EdgekitError
from edgekit.graph import Array, Graph
from edgekit.measure import SHARES, UNITS, Measurement, unavailable
from edgekit.passes.rebatch import batch_of, rebatch
from edgekit.tasks import METRICS, Metric, Task, task_of
from edgekit.tasks import judged as judge

# What is judged without labels.
UNLABELLED = {
    "reconstruction": "against the inputs themselves",
    "language": "each token against the next",
    "embedding": "each pair against all others",
}
BATCH = 16  # samples the reference runs at once: enough to amortise Python, little memory


def outputs(graph: Graph, samples: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
    """The outputs of every sample: real numbers, source layout, batch 1. Batches where the graph can be rebatched.

    A graph with states takes sequences; its answer is the last step's.
    """
    if graph.states:
        yield from (from_outputs(graph, states.run(graph, sample)[-1]) for sample in samples)
        return
    try:
        wide: Graph | None = rebatch(graph, BATCH * batch_of(graph))
    except EdgekitError:
        wide = None
    stream = iter(samples)
    while group := list(islice(stream, BATCH)):
        if wide is not None and len(group) == BATCH:
            feeds = [to_feeds(graph, sample) for sample in group]
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in graph.inputs}
            result = reference.run(wide, joined)
            for i in range(BATCH):
                yield from_outputs(graph, {name: _part(result[name], graph[name].shape[0], i) for name in graph.outputs})
        else:
            for sample in group:
                yield from_outputs(graph, reference.run(graph, to_feeds(graph, sample)))


def _part(array: Array, rows: int, index: int) -> Array:
    return array[index * rows : (index + 1) * rows]


def judged(
    graph: Graph,
    data: Dataset | None,
    results: Iterable[Mapping[str, Array]] | None = None,
    task: Task | None = None,
) -> Measurement:
    """The metric of the task (default: the one its labels speak of) on labelled data (`computed` by the reference), of the
    first output: accuracy, mean absolute error, ... (see `tasks.METRICS`); or why there is none.

    results: outputs already at hand, one a sample, in the data's order.
    """
    if data is None:
        return unavailable("accuracy", "no evaluation data: --eval (or --split of quantize, or eval in edgekit.toml)")
    metric = METRICS[task or "classification"].key
    try:
        task = task or task_of(graph, data)
        metric = METRICS[task].key
        value = judge(graph, task, outputs(graph, data) if results is None else results, data)
    except BadData as error:
        return unavailable(metric, error.message)
    own = f", {UNLABELLED[task]}" if data.labels is None else ""
    note = "; ".join((f"{len(data)} samples of {data.name}{own}", *data.notes))
    return Measurement(metric, value, UNITS[metric], "computed", None, note, "edgekit reference")


def unlabelled(graphs: Sequence[Graph], data: Dataset | None) -> tuple[Metric, list[float]] | None:
    """(metric, its values) of graphs by what data without labels says of them: reconstruction, next tokens, pairs; None where
    it says nothing. The first graph's inputs and outputs tell the task."""
    if data is None or data.labels is not None:
        return None
    try:
        task = task_of(graphs[0], data)
    except BadData:
        return None
    values = [judged(graph, data, task=task).value for graph in graphs]
    return None if None in values else (METRICS[task], [float(v) for v in values if v is not None])


def drop(before: Measurement, after: Measurement) -> Measurement:
    """How much worse `after` is than `before` (float): points of a share such as accuracy, percent of an error; negative when
    it is better."""
    if before.value is None or after.value is None:
        return unavailable("accuracy_drop", after.note if after.value is None else before.note)
    if after.metric in SHARES:
        lost, note = 100.0 * (before.value - after.value), after.note
    else:
        lost = 100.0 * (after.value - before.value) / (abs(before.value) or 1.0)
        note = f"percent of the float model's {after.metric}; {after.note}"
    return Measurement("accuracy_drop", lost, UNITS["accuracy_drop"], "computed", None, note, after.tool)
