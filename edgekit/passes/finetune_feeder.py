"""Samples of a data set as batches of tensors in a graph's layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from edgekit import states
from edgekit.boundary import to_feeds
from edgekit.data import Dataset
from edgekit.graph import Array, Graph
from edgekit.trainable import LENGTHS, batch_axis

HELD = 1 << 30  # bytes of data that are kept in memory; more is read again each epoch


class Feeder:
    """Batches of a data set; kept in memory where they fit.

    Inputs are matched by name, or by order when the data was opened for a graph with other names. For a graph with states each
    tensor has time in front, sequences are padded at their end to the longest, and LENGTHS says how long each is.
    """

    def __init__(self, graph: Graph, dataset: Dataset, device: torch.device) -> None:
        self.graph, self.dataset, self.device = graph, dataset, device
        self._held: dict[str, torch.Tensor] | None = None
        size = sum(np.asarray(a).nbytes for a in dataset[0].values()) if graph.states and len(dataset) else 0
        if (size or sum(graph[name].nbytes for name in graph.inputs)) * len(dataset) <= HELD:
            self._held = self._read(range(len(dataset)))

    def __len__(self) -> int:
        return len(self.dataset)

    def _read(self, places: Sequence[int]) -> dict[str, torch.Tensor]:
        rows: dict[str, list[Array]] = {name: [] for name in self.graph.inputs}
        for place in places:
            sample = self.dataset[place]
            if set(sample) != set(self.graph.inputs):
                sample = dict(zip(self.graph.inputs, sample.values(), strict=True))
            for name, array in fed(self.graph, sample).items():
                rows[name].append(array)
        found = {}
        if self.graph.states:
            lengths = [len(array) for array in rows[self.graph.inputs[0]]]
            found[LENGTHS] = torch.tensor(lengths)
            most = max(lengths, default=0)
            rows = {name: [_padded(array, most) for array in arrays] for name, arrays in rows.items()}
        return found | {n: torch.from_numpy(np.concatenate(arrays, self._axis(n))) for n, arrays in rows.items()}

    def _axis(self, name: str) -> int:
        return 0 if name == LENGTHS else batch_axis(self.graph, name) + bool(self.graph.states)

    def batch(self, places: Array) -> dict[str, torch.Tensor]:
        if self._held is None:
            found = self._read([int(p) for p in places])
        else:
            index = torch.from_numpy(np.ascontiguousarray(places, np.int64))
            found = {n: v.index_select(self._axis(n), index) for n, v in self._held.items()}
        return {name: value.to(self.device) for name, value in found.items()}

    def batches(self, size: int) -> Iterator[tuple[Array, dict[str, torch.Tensor]]]:
        """(positions, feeds) in order."""
        for start in range(0, len(self), size):
            places = np.arange(start, min(start + size, len(self)))
            yield places, self.batch(places)


def fed(graph: Graph, sample: Mapping[str, Array]) -> dict[str, Array]:
    """A sample in the graph's layout; for a graph with states, time in front. Raises BadData."""
    if not graph.states:
        return to_feeds(graph, sample)
    steps = [to_feeds(graph, frame) for frame in states.frames(graph, sample)]
    return {name: np.stack([step[name] for step in steps]) for name in graph.inputs}


def _padded(array: Array, length: int) -> Array:
    return np.concatenate((array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)))
