"""Batches changed as `Augment` says, the same for student and teacher; drawn from the seed and the step alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from edgekit.augment import HINT, Augment
from edgekit.boundary import source_shape
from edgekit.errors import BadConfig
from edgekit.graph import Graph
from edgekit.tasks import Task
from edgekit.trainable import batch_axis

Feeds = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Blend:
    """Which sample each was blended with (int64 [batch]), and its own share (0..1)."""

    other: torch.Tensor
    part: float


def check_augment(graph: Graph, augment: Augment, task: Task) -> None:
    """Raises BadConfig where inputs or labels have no such change."""
    ids = [name for name in graph.inputs if not graph[name].dtype.startswith("float")]
    if ids:
        raise BadConfig(f"--augment changes real numbers; {', '.join(ids)} takes {graph[ids[0]].dtype}", "leave it out")
    if graph.states:
        raise BadConfig("--augment changes single samples, and the network keeps a state from one to the next", "leave it out")
    if task in {"segmentation", "language"} and (any(augment.shift) or augment.mix):
        raise BadConfig(f"--augment: labels of {task} do not move or blend with their samples", "noise=0.1 alone")
    if task == "embedding" and augment.mix:
        raise BadConfig("--augment mix: a blend of two samples is of no class", "shift and noise alone")
    for name in graph.inputs if any(augment.shift) else ():
        _moves(graph, name, augment)


def augmented(graph: Graph, feeds: Feeds, augment: Augment, seed: int) -> tuple[dict[str, torch.Tensor], Blend | None]:
    """The batch changed, and how it was blended (None: not)."""
    # The generator is the CPU's wherever the batch is: same seed, same batch on every device.
    random = torch.Generator().manual_seed(seed % (1 << 63))
    changed = {}
    for name, value in feeds.items():
        axis = batch_axis(graph, name)
        for along, most in _moves(graph, name, augment).items() if any(augment.shift) else ():
            by = torch.randint(-most, most + 1, (value.shape[axis],), generator=random)
            value = _moved(value, axis, along, by.to(value.device))
        if augment.noise:
            drawn = torch.randn(value.shape, generator=random).to(value.device)
            value = value + drawn * (augment.noise * value.std())
        changed[name] = value
    if not augment.mix:
        return changed, None
    first = next(iter(changed))
    count = changed[first].shape[batch_axis(graph, first)]
    part = float(np.random.RandomState(seed % (1 << 32)).beta(augment.mix, augment.mix))
    other = torch.randperm(count, generator=random)
    for name, value in changed.items():
        partner = value.index_select(batch_axis(graph, name), other.to(value.device))
        changed[name] = part * value + (1 - part) * partner
    return changed, Blend(other, part)


def for_teacher(graph: Graph, teacher: Graph, feeds: Feeds) -> dict[str, torch.Tensor]:
    """The student's batch as the teacher takes it: by order, through the source's layout."""
    found = {}
    for name, theirs in zip(graph.inputs, teacher.inputs, strict=True):
        value, out, into = feeds[name], graph.contract.input(name).perm, teacher.contract.input(theirs).perm
        if out is not None:
            value = value.permute([out.index(axis) for axis in range(len(out))])
        found[theirs] = value if into is None else value.permute(into)
    return found


def _moves(graph: Graph, name: str, augment: Augment) -> dict[int, int]:
    """{axis of the graph's input: most places}."""
    shape, perm, shift = source_shape(graph, name), graph.contract.input(name).perm, augment.shift
    if len(shift) == 1 and len(shape) == 4:
        return {1: shift[0], 2: shift[0]}  # images are NHWC in a graph
    if len(shift) != len(shape) - 1:
        raise BadConfig(f"--augment shift: a sample of '{name}' has axes {list(shape[1:])}", HINT)
    return {axis if perm is None else perm.index(axis): most for axis, most in enumerate(shift, 1) if most}


def _moved(value: torch.Tensor, batch: int, axis: int, by: torch.Tensor) -> torch.Tensor:
    """Each sample moved along an axis by its own number of places, the edge repeated."""
    size = value.shape[axis]
    at = (torch.arange(size, device=value.device)[None] - by[:, None]).clamp(0, size - 1)
    rest = value.movedim((batch, axis), (0, 1))
    index = at.reshape(*at.shape, *(1,) * (rest.dim() - 2)).expand(rest.shape)
    return rest.gather(1, index).movedim((0, 1), (batch, axis))
