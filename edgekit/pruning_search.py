"""How many multiply-accumulates and parameters may stay so that what is measured on the target keeps its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from edgekit.errors import BadConfig
from edgekit.graph import Graph
from edgekit.passes.prune import Budget, cost

PROBES = 16  # networks that are measured at most
STEP, LARGEST = 0.01, 0.5  # of what there is, that one probe takes away at least and at most
# What a metric follows: parameters are most of the flash, the rest follows the work.
Knob = Literal["macs", "params"]
KNOBS: Mapping[str, Knob] = {"flash": "params", "ram": "macs", "instructions": "macs", "latency": "macs"}


def sizes(graph: Graph) -> dict[Knob, int]:
    """MACs and parameters as a Budget counts them."""
    macs, params = cost(graph, {name: tensor.shape for name, tensor in graph.tensors.items()})
    return {"macs": macs, "params": params}


def within(
    graph: Graph,
    budget: Budget,
    limits: Mapping[str, float],
    cut: Callable[[Budget], Graph],
    measured: Callable[[Graph], Mapping[str, float]],
) -> Budget:
    """`budget`, made as much smaller as brings `cut` of it within the limits.

    It follows the line through the last two networks measured, from above, so it ends close to the limit. Raises BadConfig
    when no cut keeps them.
    """
    now = graph if budget == Budget() else cut(budget)
    before: tuple[Mapping[str, float], Mapping[Knob, int]] | None = None
    for _ in range(PROBES):
        found, size = measured(now), sizes(now)
        over = {metric: value for metric, value in found.items() if value > limits[metric]}
        if not over:
            return budget
        wanted: dict[Knob, float] = {}
        for metric, value in over.items():
            knob = KNOBS[metric]
            slope = value / max(1, size[knob])
            if before is not None and before[1][knob] > size[knob] and before[0][metric] > value:
                slope = (before[0][metric] - value) / (before[1][knob] - size[knob])
            away = min(max((value - limits[metric]) / slope, STEP * size[knob]), LARGEST * size[knob])
            wanted[knob] = min(wanted.get(knob, size[knob]), size[knob] - away)
        before = found, size
        budget = Budget(_least(budget.macs, wanted.get("macs")), _least(budget.params, wanted.get("params")))
        try:
            now = cut(budget)
        except BadConfig as error:
            raise _beyond(limits, size["macs"]) from error
    raise _beyond(limits, sizes(now)["macs"])


def _least(had: int | None, wanted: float | None) -> int | None:
    known = [v for v in (had, None if wanted is None else int(wanted)) if v is not None]
    return min(known, default=None)


def _beyond(limits: Mapping[str, float], macs: int) -> BadConfig:
    words = ", ".join(f"{name} {value:,.0f}" for name, value in limits.items())
    return BadConfig(f"even at {macs:,} MACs the network does not keep {words}", "a larger limit, or another network")
