"""Losses of a student against values inside its teacher, and where in the two networks they are taken.

feature: mean square error after a learned projection (Romero et al. 2015, FitNets, eq. 3). attention: distance of normalised
maps of energy (Zagoruyko and Komodakis 2017, Paying More Attention to Attention, eq. 2). Where maps differ in size, the larger
one is averaged down.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch.nn import functional as F

from edgekit.errors import BadConfig
from edgekit.graph import Graph, Shape
from edgekit.passes.finetune_losses import Loss, Step
from edgekit.trainable import learned

Kind = Literal["feature", "attention"]
Pair = tuple[str, str]  # a value of the student, one of the teacher
# Operators whose output is no new feature: the value before says the same.
_MOVES = frozenset("RESHAPE TRANSPOSE PAD SLICE SPLIT QUANTIZE DEQUANTIZE CAST".split())


def stages(graph: Graph) -> list[str]:
    """The last value of each resolution (of maps and sequences), in order; then the vector before the last layer, if any.

    Only values that something learned leads to, and that the answer depends on.
    """
    moved = set(learned(graph))
    last: dict[Shape, str] = {}
    vectors: list[str] = []
    for node in graph.nodes[:-1]:
        if moved.isdisjoint(n for n in node.inputs if n):
            continue
        moved |= set(node.outputs)
        name = node.outputs[0]
        shape = graph[name].shape
        if node.op in _MOVES or graph[name].dtype != "float32" or name in graph.outputs or not shape or shape[0] != 1:
            continue
        if len(shape) >= 3 and max(shape[1:-1]) > 1:
            last[shape[1:-1]] = name
        elif shape[-1] == graph[name].elements:
            vectors.append(name)
    weighted = [node for node in graph.nodes if node.op in {"FULLY_CONNECTED", "CONV_2D"}]
    ends = [str(weighted[-1].inputs[0])] if weighted and str(weighted[-1].inputs[0]) in vectors else []
    order = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    return [*sorted(last.values(), key=order.__getitem__), *ends]


def pairs_of(student: Graph, teacher: Graph, kind: Kind) -> list[Pair]:
    """Values to compare: of the same resolution where both have it, else as deep in one as in the other. Raises BadConfig."""

    def usable(graph: Graph) -> list[str]:
        return [n for n in stages(graph) if kind == "feature" or len(graph[n].shape) >= 3]

    ours, theirs = usable(student), usable(teacher)
    if not ours or not theirs:
        who = "student" if not ours else "teacher"
        raise BadConfig(
            f"the {who} has no values inside for a loss on {'features' if kind == 'feature' else 'attention maps'}",
            "use --loss logit",
        )
    pairs = []
    for i, name in enumerate(ours):
        own = student[name].shape
        same = [n for n in theirs if teacher[n].shape[1:-1] == own[1:-1] and len(teacher[n].shape) == len(own)]
        alike = [n for n in theirs if (len(teacher[n].shape) > 2) == (len(own) > 2)]
        if same or alike:
            pairs.append((name, same[-1] if same else alike[round(i * (len(alike) - 1) / max(1, len(ours) - 1))]))
    if not pairs:
        raise BadConfig("no value inside the student is like one inside the teacher", "use --loss logit")
    return pairs


def feature_loss(student: Graph, teacher: Graph, weight: float, seed: int, pairs: Sequence[Pair] | None = None) -> Loss:
    """Student's channels, projected linearly, against the teacher's, both as multiples of the teacher's mean square."""
    chosen = list(pairs or pairs_of(student, teacher, "feature"))
    sizes = [(student[a].shape[-1], teacher[b].shape[-1]) for a, b in chosen]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projections = torch.nn.ModuleList([torch.nn.Linear(a, b) for a, b in sizes])

    def function(step: Step) -> torch.Tensor:
        terms = []
        for (own, other), project in zip(chosen, projections, strict=True):
            y, wanted = alike(step.outputs[own], step.taught[other].detach())
            terms.append(F.mse_loss(project(y), wanted) / wanted.square().mean().clamp(min=1e-6))
        return torch.stack(terms).mean()

    keep = tuple(a for a, _ in chosen), tuple(b for _, b in chosen)
    return Loss("feature", function, weight, keep[0], keep[1], projections)


def attention_loss(student: Graph, teacher: Graph, weight: float, pairs: Sequence[Pair] | None = None) -> Loss:
    """Where a network looks: sum of squares over channels, normalised over places."""
    chosen = list(pairs or pairs_of(student, teacher, "attention"))

    def function(step: Step) -> torch.Tensor:
        terms = []
        for own, other in chosen:
            y, wanted = alike(step.outputs[own], step.taught[other].detach())
            maps = [F.normalize(v.square().mean(-1).flatten(1), dim=1) for v in (y, wanted)]
            terms.append((maps[0] - maps[1]).square().sum(1).mean())
        return torch.stack(terms).mean()

    return Loss("attention", function, weight, tuple(a for a, _ in chosen), tuple(b for _, b in chosen))


def alike(y: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both [N, ..., C] with the smaller of the two resolutions; vectors as they are."""
    if y.dim() != wanted.dim():
        y, wanted = (v.flatten(1, -2) if v.dim() > 3 else v for v in (y, wanted))
    if y.dim() < 3:
        return y, wanted
    size = [min(a, b) for a, b in zip(y.shape[1:-1], wanted.shape[1:-1], strict=True)]
    return _averaged(y, size), _averaged(wanted, size)


def _averaged(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Mean over equal parts of each inner axis."""
    for axis, count in enumerate(size, 1):
        if x.shape[axis] != count:
            edges = [round(i * x.shape[axis] / count) for i in range(count + 1)]
            parts = [x.narrow(axis, a, max(1, b - a)).mean(axis, keepdim=True) for a, b in pairwise(edges)]
            x = torch.cat(parts, axis)
    return x
