"""Run a graph over a data set with the bit-exact reference, and judge its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np

from edgekit import metrics, reference, states
from edgekit.boundary import from_outputs, to_feeds
from edgekit.data import Dataset
from edgekit.errors import BadData, EdgekitError
from edgekit.graph import Array, Graph
from edgekit.measure import Measurement, unavailable
from edgekit.passes.rebatch import batch_of, rebatch

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


def accuracy(graph: Graph, data: Dataset | None, results: Iterable[Mapping[str, Array]] | None = None) -> Measurement:
    """Top-1 accuracy of the first output on labelled data (`computed` by the reference), or why there is none.

    results: outputs already at hand, one a sample, in the data's order.
    """
    if data is None:
        return unavailable("accuracy", "no evaluation data: --eval (or --split of quantize, or eval in edgekit.toml)")
    if data.labels is None:
        return unavailable("accuracy", f"{data.name} has no labels (an array named y)")
    first = graph.outputs[0]
    answers = [result[first] for result in (outputs(graph, data) if results is None else results)]
    try:
        value = metrics.accuracy(answers, data.labels)
    except BadData as error:
        return unavailable("accuracy", error.message)
    note = "; ".join((f"{len(answers)} samples of {data.name}", *data.notes))
    return Measurement("accuracy", value, "", "computed", None, note, "edgekit reference")


def drop(before: Measurement, after: Measurement) -> Measurement:
    """Percentage points of accuracy lost from `before` (float) to `after`; negative when it rose."""
    if before.value is None or after.value is None:
        return unavailable("accuracy_drop", after.note if after.value is None else before.note)
    return Measurement("accuracy_drop", 100.0 * (before.value - after.value), "pt", "computed", None, after.note, after.tool)
