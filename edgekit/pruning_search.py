"""How many multiply-accumulates and parameters may stay so that what is measured on the target keeps its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from edgekit.errors import BadConfig
from edgekit.graph import Graph
from edgekit.passes.prune import Budget, cost

PROBES = 12  # cuts that are tried at most for each of the two
STEP, LARGEST = 0.02, 0.5  # of what there is, that one probe takes away at least and at most
CLOSE = 0.96  # of a limit: near enough
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
    """`budget`, made as much smaller as brings `cut` of it within the limits: parameters for flash, then MACs for the others.

    Raises BadConfig when no cut keeps the limits, and where `cut` of `budget` itself raises it.
    """
    known: dict[tuple[int, int], Mapping[str, float]] = {}

    def look(at: Graph) -> Mapping[str, float]:
        size = sizes(at)
        key = size["macs"], size["params"]
        if key not in known:
            known[key] = measured(at)
        return known[key]

    now = graph if budget == Budget() else cut(budget)
    for knob in ("params", "macs"):
        own = {metric: limit for metric, limit in limits.items() if KNOBS[metric] == knob}
        if all(look(now)[metric] <= limit for metric, limit in own.items()):
            continue
        found = _smaller(now, budget, knob, own, cut, look)
        if found is None:
            least = min(macs for macs, _ in known)
            words = ", ".join(f"{name} {value:,.0f}" for name, value in limits.items())
            raise BadConfig(
                f"even at {least:,} MACs the network does not keep {words}",
                "a larger limit, a smaller --multiple or --least, or another network",
            )
        budget, now = found
    return budget


def _smaller(
    graph: Graph,
    budget: Budget,
    knob: Knob,
    limits: Mapping[str, float],
    cut: Callable[[Budget], Graph],
    look: Callable[[Graph], Mapping[str, float]],
) -> tuple[Budget, Graph] | None:
    """The largest bound of one knob whose cut keeps the limits, near enough. None where none does.

    From too large it follows the line through the last two networks; once a bound is small enough, or no such cut can be made,
    it halves what lies between.
    """
    high, low, best = sizes(graph)[knob], 0, None
    value = max(look(graph)[metric] / limit for metric, limit in limits.items())
    slope = value / max(1, high)
    for _ in range(PROBES):
        away = min(max((value - 1) / slope, STEP * high), LARGEST * high)
        bound = (low + high) // 2 if low else int(high - away)
        try:
            made = cut(replace(budget, **{knob: bound}))
        except BadConfig:
            low = bound
        else:
            size, share = sizes(made)[knob], max(look(made)[metric] / limit for metric, limit in limits.items())
            if share > 1:
                slope = (value - share) / (high - size) if size < high and share < value else slope
                high, value = min(high, size), share
            else:
                low, best = bound, (replace(budget, **{knob: bound}), made)
                if share >= CLOSE:
                    break
        if high - low <= STEP * high:
            break
    return best
