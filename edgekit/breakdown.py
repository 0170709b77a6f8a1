"""What each figure is made of, by the nodes of the source model: what the gate explains growth by."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from edgekit import ops
from edgekit.bench.emulate.result import Emulation
from edgekit.export.c.interface import Interface
from edgekit.graph import Graph, Node
from edgekit.measure import Measurement
from edgekit.memory import plan
from edgekit.schedule import Program

# metric -> {part: share}; the shares of a metric sum to its value.
Breakdown = dict[str, dict[str, float]]


def of_firmware(iface: Interface, run: Emulation, program: Program) -> Breakdown:
    """Flash by constants of each step and by function, RAM by what lies in it at its peak, instructions by step."""
    flash: dict[str, float] = defaultdict(int)
    for symbol, size in run.flash_symbols.items():
        flash[_owner(symbol, iface)] += size
    flash |= _rest(flash, run.flash, "tables, alignment and start-up data")
    alive = plan(program).who.tensors
    arena: dict[str, float] = {f"tensor {name}": size for name, size in alive}
    arena |= _rest(arena, run.arena, "gaps between tensors")
    ram = {**arena, "static data": run.static, "stack": run.stack}
    steps = _summed((step.source, step.instructions) for step in run.by_op)
    instructions = steps | _rest(steps, round(run.mean_instructions), "other inputs than the first") if steps else {}
    found: Breakdown = {"flash": dict(flash), "ram": ram, "arena": arena, "instructions": instructions}
    return {metric: _shown(parts) for metric, parts in found.items() if parts}


def of_graph(graph: Graph) -> Breakdown:
    """MACs and parameters by node."""
    macs: list[tuple[str, float]] = []
    params: list[tuple[str, float]] = []
    for node, constants in _constants(graph):
        rule = ops.op_of(node).macs
        if rule is not None:
            macs.append((node.source, rule(node, graph.input_tensors(node), graph.output_tensors(node))))
        ids = ops.op_of(node).ids
        real = {name for i, name in enumerate(node.inputs) if name is not None and i not in ids}
        params.append((node.source, sum(graph[name].elements for name in constants if name in real)))
    return {"macs": _shown(_summed(macs)), "params": _shown(_summed(params))}


def of_file(graph: Graph, size: int) -> Breakdown:
    """The model file by the constants of each node; what is left is structure: names, shapes, scales."""
    parts = _summed((f"{node.source}: weights", sum(graph[n].nbytes for n in names)) for node, names in _constants(graph))
    return {"file": _shown(parts | _rest(parts, size, "structure, names and scales"))}


def of_accuracy(before: Measurement, after: Measurement) -> Breakdown:
    """Accuracy (or the metric of another task) as what the float model has, less what quantizing takes."""
    if before.value is None or after.value is None:
        return {}
    return {after.metric: {"the float model": before.value, "quantizing": after.value - before.value}}


def _owner(symbol: str, iface: Interface) -> str:
    """Constants carry their step's number: model_weights_3; everything else is a function or a table of one."""
    own = symbol.removeprefix(f"{iface.name}_")
    match = re.fullmatch(r"([a-z]\w*?)_(\d+)(?:\.\d+)?", own)
    if match and own != symbol and int(match[2]) < len(iface.steps):
        return f"{iface.steps[int(match[2])][1]}: {match[1]}"
    return f"code of {own.partition('.')[0]}"


def _constants(graph: Graph) -> Iterable[tuple[Node, list[str]]]:
    """Each node with the constants that are first used by it."""
    seen: set[str] = set()
    for node in graph.nodes:
        own = [name for name in dict.fromkeys(node.inputs) if name is not None and graph[name].is_const and name not in seen]
        seen.update(own)
        yield node, own


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(int)
    for name, amount in pairs:
        total[name] += amount
    return dict(total)


def _rest(parts: Mapping[str, float], total: float, name: str) -> dict[str, float]:
    return {name: total - sum(parts.values())}


def _shown(parts: Mapping[str, float]) -> dict[str, float]:
    """Parts that are not empty, by name: the same whatever order they were found in."""
    return {name: parts[name] for name in sorted(parts) if parts[name]}
