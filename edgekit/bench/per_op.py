"""Where the time of a network goes on a device that is reached, operator by operator, and how that was found out.

ONNX Runtime times its own nodes (after it fused them). LiteRT's Python has no profiler: the network is cut after each operator
and what each cut takes longer than the one before is the operator's. Generated C reads the clock between its kernel calls.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.graph import Graph

RUNS = 30  # timed runs of each cut, and of ONNX Runtime's profile
LIMIT_S = 60.0  # they stop then, with at least three
MOST_BYTES = 256 << 20  # that the cuts of a network may take up, on the way there and on the device
NO_PROFILER = "no times by operator: LiteRT's Python has no profiler"
HOW = {
    "onnx": "ONNX Runtime's own profile, median of {runs} runs; its nodes, as it fused them",
    "tflite": "the network cut after each operator ({runs} runs of each cut, in turns): what a cut takes longer than the one"
    " before; copying its outputs out counts too, so operators of a few microseconds drown",
    "c": "the clock read between kernel calls, the fastest of {runs} runs of a second build",
}


@dataclass(frozen=True)
class OpTime:
    """ms: of one run; below 0 where noise outweighs it. share: of the sum of those above 0."""

    op: str
    source: str
    ms: float
    share: float = 0.0


@dataclass(frozen=True)
class PerOp:
    """how: in words, how the times were obtained; whole: the network with nothing in between, ms, None where it was not timed
    with them; why: why there are none ("" when there are)."""

    how: str
    steps: tuple[OpTime, ...] = ()
    whole: float | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}


def shared(steps: Sequence[OpTime]) -> tuple[OpTime, ...]:
    """The same with their shares."""
    total = sum(step.ms for step in steps if step.ms > 0)
    return tuple(replace(step, share=max(step.ms, 0.0) / total if total else 0.0) for step in steps)


def of_onnx(text: bytes) -> PerOp:
    """From what timer.py's `profile onnx` prints."""
    said = read(text)
    steps = [OpTime(str(op), str(name), float(us) / 1e3) for op, name, us in said["steps"]]
    return PerOp(HOW["onnx"].format(runs=said["runs"]), shared(steps), float(said["whole_us"]) / 1e3)


def of_cuts(graph: Graph, text: bytes) -> PerOp:
    """From the medians that timer.py's `profile tflite` prints for `cuts`."""
    said = read(text)
    medians = [float(ns) / 1e6 for ns in said["medians_ns"]]
    before = [0.0, *medians[:-1]]
    steps = [OpTime(n.op, n.source or n.op, m - b) for n, m, b in zip(graph.nodes, medians, before, strict=True)]
    return PerOp(HOW["tflite"].format(runs=said["runs"]), shared(steps), medians[-1])


def of_steps(named: Sequence[tuple[str, str]], text: bytes, whole: float) -> PerOp:
    """From what runner.c prints when it was built to read the clock; named: (operator, source) of each call."""
    said = read(text)
    steps = [OpTime(op, source, float(ns) / 1e6) for (op, source), ns in zip(named, said["steps_ns"], strict=True)]
    return PerOp(HOW["c"].format(runs=len(said["times_ns"])), shared(steps), whole)


def read(text: bytes) -> Any:
    """The last line that is a JSON object. Raises EdgekitError without one."""
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.startswith("{")]
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise EdgekitError("the profile was cut off", "run it again") from error


def cuts(graph: Graph) -> list[Graph]:
    """The graph after its first node, its first two, and so on; each gives out what later nodes or the user read of it."""
    made, found = set(graph.inputs), []
    for count, node in enumerate(graph.nodes, 1):
        made |= set(node.outputs)
        later = {name for other in graph.nodes[count:] for name in other.inputs} | set(graph.outputs)
        nodes = graph.nodes[:count]
        used = {name for n in nodes for name in (*n.inputs, *n.outputs) if name is not None}
        outputs = [name for n in nodes for name in n.outputs if name in later] or list(node.outputs)
        inputs = tuple(name for name in graph.inputs if name in used)
        tensors = {name: tensor for name, tensor in graph.tensors.items() if name in used}
        found.append(replace(graph, nodes=nodes, inputs=inputs, outputs=tuple(outputs), tensors=tensors))
    return found
