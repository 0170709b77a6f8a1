"""What a network is made of, how much memory it needs, and which engines can run it: the facts behind `edgekit inspect`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgekit import ops
from edgekit.contract import about
from edgekit.delegates import DelegateCheck, check_delegate
from edgekit.errors import EdgekitError, Unsupported
from edgekit.graph import Graph, Shape
from edgekit.ledger import Ledger, planned
from edgekit.memory import plan
from edgekit.passes.io_layout import io_layout
from edgekit.passes.legalize import legalize
from edgekit.passes.simplify import residual_transposes, simplify
from edgekit.schedule import schedule

ENGINES = ("c", "tflm", "tflite", "onnx")


@dataclass(frozen=True)
class Port:
    """An input or output. scale and zero_point are None for float; layout is the source model's axes, or "";
    about: what the contract says of a picture or sound."""

    name: str
    shape: Shape
    dtype: str
    scale: float | None
    zero_point: int | None
    kind: str
    layout: str
    labels: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineCheck:
    """Can this engine run the network? problems: (node, why, what to write instead); empty when it can."""

    engine: str
    problems: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Inspection:
    """params: elements of all constants that are weights; weight_bytes: their size as stored; macs: of one run, batch 1;
    peak_ram: planned arena of edgekit's C engine, bytes; peak_by: the step and tensors that set it; ledger: that engine's
    memory by part, as planned, None when it cannot run the network; delegates: what accelerators refuse."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    ops: tuple[tuple[str, int], ...]
    params: int
    weight_bytes: int
    macs: int
    quantized: bool
    peak_ram: int | None
    peak_by: str
    residual_transposes: int
    engines: tuple[EngineCheck, ...]
    notes: tuple[str, ...]
    ledger: Ledger | None = None
    delegates: tuple[DelegateCheck, ...] = ()


def params(graph: Graph) -> int:
    """Number of trained parameters: elements of the weight, bias and normalisation constants."""
    return sum(graph[name].elements for name in _weight_names(graph))


def weight_bytes(graph: Graph) -> int:
    """Bytes of the constants `params` counts, as stored (int4: two a byte)."""
    return sum(graph[name].nbytes for name in _weight_names(graph))


def _weight_names(graph: Graph) -> list[str]:
    """Constants that hold real values; ids and indices are not parameters. Each is counted once, however often used."""
    names: dict[str, None] = {}
    for node in graph.nodes:
        entry = ops.op_of(node)
        for i, name in enumerate(node.inputs):
            if name is not None and graph[name].is_const and i not in entry.ids:
                names[name] = None
    return list(names)


def inspect_graph(graph: Graph, engines: tuple[str, ...] = ENGINES, accelerators: tuple[str, ...] = ()) -> Inspection:
    """All the facts; accelerators: keys of `delegates.DELEGATES`. The graph is simplified and its layout moved to NHWC first,
    as an export would."""
    deployed = io_layout(simplify(graph, "deploy"), "nhwc")
    peak_ram: int | None = None
    book: Ledger | None = None
    try:
        lowered = legalize(deployed, "c")
        layout = plan(schedule(lowered))
        peak_ram, peak_by, book = layout.peak, str(layout.who), planned(lowered)
    except EdgekitError as error:
        peak_by = f"unavailable: {error.message.splitlines()[0]}"
    return Inspection(
        name=graph.name,
        inputs=tuple(_port(graph, name) for name in graph.inputs),
        outputs=tuple(_port(graph, name) for name in graph.outputs),
        ops=tuple(sorted(Counter(node.op for node in deployed.nodes).items(), key=lambda item: (-item[1], item[0]))),
        params=params(graph),
        weight_bytes=weight_bytes(graph),
        macs=ops.macs(deployed),
        quantized=graph.is_quantized,
        peak_ram=peak_ram,
        peak_by=peak_by,
        residual_transposes=len(residual_transposes(deployed)),
        engines=tuple(EngineCheck(engine, check_engine(deployed, engine)) for engine in engines),
        notes=graph.history,
        ledger=book,
        delegates=tuple(check_delegate(deployed, name) for name in accelerators),
    )


def check_engine(graph: Graph, engine: str) -> tuple[tuple[str, str, str], ...]:
    """Every node the engine cannot run after legalization, as (node, why, what to write instead)."""
    try:
        legalize(graph, engine)
    except Unsupported as error:
        return error.problems
    return ()


def _port(graph: Graph, name: str) -> Port:
    tensor, quant = graph[name], graph[name].quant
    is_input = name in graph.inputs
    spec = graph.contract.input(name)
    return Port(
        name,
        tensor.shape,
        tensor.dtype,
        None if quant is None else float(quant.scale[0]),
        None if quant is None else int(quant.zero_point[0]),
        spec.kind if is_input else "",
        spec.layout if is_input else "",
        () if is_input else graph.contract.output(name).labels,
        tuple(about(spec)) if is_input else (),
    )
