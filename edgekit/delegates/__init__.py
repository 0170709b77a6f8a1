"""Which operators an accelerator's delegate refuses, why, and into how many parts that cuts a network.

Five delegates, each by what its makers publish: `DELEGATES` names the source. A driver may refuse more: nothing here ran on
an accelerator, and no latency of one is estimated. Whatever is refused runs on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgekit.delegates import core_ml, ethos, gpu, onnx_providers
from edgekit.delegates.rules import Why
from edgekit.errors import EdgekitError
from edgekit.graph import Graph, Node
from edgekit.ops import macs
from edgekit.passes.legalize import legalize


@dataclass(frozen=True)
class Delegate:
    """title: for people; engine: the file it takes models from ("tflite", "onnx"); source: where the list is from.

    takes: operator -> what else must hold, None for nothing; in the Graph's names, which are TFLite's builtins, and for engine
    "onnx" in ONNX's. every: what must hold for any node.
    """

    name: str
    title: str
    engine: str
    source: str
    takes: Mapping[str, Why | None]
    every: Why | None = None


@dataclass(frozen=True)
class DelegateCheck:
    """refused: (node, operator, why), every node; taken: nodes that run there; parts, cpu_parts: into how many pieces the
    network falls, each change between them a copy; macs: share of the multiply-accumulates that run there (0..1); problem: why
    nothing can be said, "" when it can."""

    name: str
    title: str
    source: str
    taken: int = 0
    refused: tuple[tuple[str, str, str], ...] = ()
    parts: int = 0
    cpu_parts: int = 0
    macs: float = 0.0
    problem: str = ""


_GITHUB = "https://github.com/"
DELEGATES: dict[str, Delegate] = {
    d.name: d
    for d in (
        Delegate(
            "gpu", "TensorFlow Lite's GPU delegate", "tflite",
            _GITHUB + "tensorflow/tensorflow/blob/03a5e4e19a9c/tensorflow/lite/tools/versioning/gpu_compatibility.cc",
            gpu.TAKES,
        ),
        Delegate(
            "nnapi", "ONNX Runtime's NNAPI provider", "onnx",
            _GITHUB + "microsoft/onnxruntime/blob/13f16a26c47d/docs/execution-providers/NNAPI-ExecutionProvider.md",
            onnx_providers.NNAPI,
        ),
        Delegate(
            "qnn", "ONNX Runtime's QNN provider, Hexagon's HTP", "onnx",
            _GITHUB + "microsoft/onnxruntime/blob/019bde6f7220/docs/execution-providers/QNN-ExecutionProvider.md",
            onnx_providers.QNN, onnx_providers.quantized_only,
        ),
        Delegate(
            "coreml", "TensorFlow Lite's Core ML delegate", "tflite",
            _GITHUB + "tensorflow/tensorflow/blob/021bfd4e8001/tensorflow/lite/g3doc/performance/coreml_delegate.md",
            core_ml.TAKES, core_ml.every,
        ),
        Delegate(
            "ethos-u55", "Arm Ethos-U55, by Vela 3.6", "tflite",
            _GITHUB + "nxp-imx/ethos-u-vela/blob/090f18a55fcd/SUPPORTED_OPS.md", ethos.TAKES, ethos.every,
        ),
    )
}  # fmt: skip


def check_delegate(graph: Graph, name: str) -> DelegateCheck:
    """What the delegate refuses of the graph, as it is exported for its engine."""
    delegate = DELEGATES[name]
    said = DelegateCheck(name, delegate.title, delegate.source)
    try:
        ready = legalize(graph, delegate.engine)
        whys = [_why(delegate, ready, node, written) for node, written in _written(ready, delegate.engine)]
    except EdgekitError as error:
        return replace(said, problem=error.message.splitlines()[0])
    refused = tuple((node.source or node.op, node.op, why) for node, why in zip(ready.nodes, whys, strict=True) if why)
    parts, cpu_parts = partitions(ready, [not why for why in whys])
    total = macs(ready)
    there = macs(replace(ready, nodes=tuple(n for n, why in zip(ready.nodes, whys, strict=True) if not why)))
    return replace(
        said,
        taken=whys.count(""),
        refused=refused,
        parts=parts,
        cpu_parts=cpu_parts,
        macs=there / total if total else 0.0,
    )


def _written(graph: Graph, engine: str) -> list[tuple[Node, tuple[str, ...]]]:
    """Each node with the names of the operators it becomes in the engine's file."""
    if engine == "tflite":
        return [(node, (node.op,)) for node in graph.nodes]
    from edgekit.export.onnx import written

    return written(graph)


def _why(delegate: Delegate, graph: Graph, node: Node, names: Sequence[str]) -> str:
    for name in names:
        if name not in delegate.takes:
            return "is not among its operators" if name == node.op else f"{name} is not among its operators"
    for rule in (delegate.every, *(delegate.takes[name] for name in names)):
        if rule is not None and (said := rule(graph, node)):
            return said
    return ""


def partitions(graph: Graph, there: Sequence[bool]) -> tuple[int, int]:
    """(parts on the accelerator, parts on the CPU): nodes are run in turns, each turn all that are ready and of one kind."""
    made = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    needs = [{made[n] for n in node.inputs if n in made} for node in graph.nodes]
    counts, left, done = [0, 0], list(range(len(graph.nodes))), set[int]()
    while left:
        kind = there[next(i for i in left if needs[i] <= done)]
        counts[kind] += 1
        for i in left:  # nodes are in an order that can be run
            if there[i] == kind and needs[i] <= done:
                done.add(i)
        left = [i for i in left if i not in done]
    return counts[1], counts[0]
