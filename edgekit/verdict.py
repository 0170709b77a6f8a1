"""What verification says of one engine: its row, what it is held to, and how far its outputs are from the reference's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edgekit import evaluate, fixedpoint, metrics, reference
from edgekit.data import Dataset
from edgekit.engines import Engine
from edgekit.errors import BadData, EdgekitError
from edgekit.graph import Array, Graph, build
from edgekit.measure import Measurement, unavailable
from edgekit.ops import op_of
from edgekit.passes.quantize.sqnr import LayerSqnr
from edgekit.target import Target
from edgekit.tasks import Task, task_of

# dB that a judged engine, one on a float graph, and the source of a quantized model must reach. Measured: 23 (ResNet-8 on
# XNNPACK) to 55 for int8, above 120 for float; a wrong kernel gives less than 5.
INT8_SQNR, FLOAT_SQNR, AGAINST_SQNR = 15.0, 60.0, 10.0
LEAST_ARGMAX = 0.95  # share of labelled samples on which a judged engine must choose the same class
EXACT_RULE = "bit for bit"
LISTED = 10  # differing samples and layers that a row names
Sample = Mapping[str, Array]


@dataclass(frozen=True)
class LayerGap:
    """How far one value of the network is from the reference's, on the sample where the outputs differ most.

    max_lsb and sqnr: with all that went before. op_lsb: of this operator alone, both fed what the engine fed it.
    """

    tensor: str
    op: str
    source: str
    max_lsb: int | None
    sqnr: float
    op_lsb: int | None


@dataclass(frozen=True)
class EngineRow:
    """What one engine did.

    status: "reference" (the definition), "exact", "close" (judged and good enough), "different", "failed" (it could not run
    the model, or crashed), "unavailable" (a tool or operator is missing; `reason` says which and how to get it).
    passed: None where there was nothing to judge. rule: what it was held to. max_lsb: largest difference of an integer
    output. sqnr: dB against the reference over all samples, the worst output's. argmax: share of samples with the same
    largest value. op_lsb: the largest difference of any single operator fed the same integers, where that was looked at.
    accuracy: on data, the metric that the report names. differing: samples that are not equal;
    worst_samples: their indices, worst first. layers: where they part, first difference first.
    """

    engine: str
    title: str
    status: str
    passed: bool | None = None
    rule: str = ""
    reason: str = ""
    tool: str = ""
    max_lsb: int | None = None
    sqnr: float | None = None
    argmax: float | None = None
    op_lsb: int | None = None
    accuracy: float | None = None
    differing: int = 0
    worst_samples: tuple[int, ...] = ()
    layers: tuple[LayerGap, ...] = ()


@dataclass(frozen=True)
class VerifyReport:
    """rows: the reference first, then every engine, then the source model (engine "against") if one was given.

    random: the inputs were made up. metric: what `accuracy` of the rows is, see `tasks.METRICS`; accuracy_note: why there is
    none, "" when there is. layers: float against int8,
    worst first, when `against` is float and runs the same operators once prepared alike.
    """

    model: str
    samples: int
    random: bool
    rows: tuple[EngineRow, ...]
    accuracy_note: str = ""
    metric: str = "accuracy"
    layers: tuple[LayerSqnr, ...] = ()

    @property
    def passed(self) -> bool:
        """No engine that ran broke its rule."""
        return all(row.passed is not False for row in self.rows)

    @property
    def judged(self) -> bool:
        """Whether anything was compared at all: with no engine at hand nothing is proven."""
        return any(row.passed is not None for row in self.rows)

    def row(self, engine: str) -> EngineRow:
        return next(row for row in self.rows if row.engine == engine)

    def to_json(self) -> dict[str, Any]:
        """Plain data; an infinite SQNR (nothing differs) is null."""
        return {"passed": self.passed, "judged": self.judged, **_finite(asdict(self))}


@dataclass
class Job:
    """What all rows are compared on."""

    graph: Graph
    samples: list[Sample]
    data: Dataset | None  # what the task's metric is judged on: samples with their labels, None where they were made up
    lawful: bool  # computes in integers only
    tolerance: float | None
    target: Target
    task: Task | None = None
    ends: Sequence[int] = ()  # samples whose outputs are judged: the last steps of sequences; all where empty
    truth: list[dict[str, Array]] = field(default_factory=list)  # source layout, own dtype

    @property
    def labelled(self) -> bool:
        """Whether the data has the classes that the outputs decide between."""
        if self.data is None or self.data.labels is None:
            return False
        try:
            return (self.task or task_of(self.graph, self.data)) == "classification"
        except BadData:
            return False


def with_layers(job: Job, row: EngineRow, gaps: Sequence[LayerGap]) -> EngineRow:
    """The row with where it differs, and a judged int8 engine's verdict by operator.

    One operator off by more than a step is wrong even where the outputs hardly show it; and where each is right to a step,
    what is left is rounding, which a deep or untrained network may blow up.
    """
    own = [gap.op_lsb for gap in gaps if gap.op_lsb is not None]
    layers = tuple([*gaps[:1], *sorted(gaps[1:], key=lambda gap: gap.sqnr)][:LISTED])
    row = replace(row, layers=layers, op_lsb=max(own, default=None))
    if row.op_lsb is None or row.rule == EXACT_RULE or not job.lawful or job.tolerance is not None:
        return row
    if row.op_lsb > 1:
        worst = max(gaps, key=lambda gap: gap.op_lsb or 0)
        reason = f"{worst.op} '{worst.source}' is off by {worst.op_lsb} steps on the same inputs"
        return replace(row, passed=False, status="different", reason=reason)
    chosen = row.argmax is None or not job.labelled or row.argmax >= LEAST_ARGMAX
    if not row.passed and chosen:
        return replace(row, passed=True, status="close", reason="every operator is right to a step; the network amplifies it")
    return row


def rule_of(job: Job, engine: Engine) -> tuple[str, float]:
    """(the rule in words, least SQNR in dB): infinite where the outputs must be equal."""
    if engine.exact and job.lawful:
        return EXACT_RULE, math.inf
    least = job.tolerance if job.tolerance is not None else INT8_SQNR if job.graph.is_quantized else FLOAT_SQNR
    rule = f"SQNR at least {least:g} dB" + (f", argmax {LEAST_ARGMAX:.0%}" if job.labelled else "")
    return rule + (", every operator within 1 LSB" if job.lawful and job.tolerance is None else ""), least


def compare(job: Job, got: Sequence[Mapping[str, Array]], rule: str, least: float) -> EngineRow:
    """A row (engine and title to be filled in) of outputs in the source's layout."""
    gaps = [_gap(job.graph, truth, other) for truth, other in zip(job.truth, got, strict=True)]
    order = sorted((i for i, gap in enumerate(gaps) if gap > 0), key=lambda i: -gaps[i])
    integers = [name for name in job.graph.outputs if job.graph[name].dtype.startswith(("int", "uint"))]
    lsb = max((metrics.max_lsb(t[n], g[n]) for t, g in zip(job.truth, got, strict=True) for n in integers), default=None)
    sqnr = min(sqnr_of(job.graph, name, job.truth, got) for name in job.graph.outputs)
    agreement = agreement_of(job.graph, job.truth, got)
    chosen = agreement is None or not job.labelled or agreement >= LEAST_ARGMAX
    passed = not order or (sqnr >= least and chosen)
    status = "exact" if not order else "close" if passed else "different"
    reason = "" if passed else f"{len(order)} of {len(gaps)} samples differ"
    return EngineRow(
        engine="",
        title="",
        status=status,
        passed=passed,
        rule=rule,
        reason=reason,
        max_lsb=lsb,
        sqnr=sqnr,
        argmax=agreement,
        accuracy=accuracy_of(job, got).value,
        differing=len(order),
        worst_samples=tuple(order[:LISTED]),
    )


def _gap(graph: Graph, truth: Mapping[str, Array], got: Mapping[str, Array]) -> float:
    """Largest difference of one sample's outputs, in steps of the output (real numbers where it is not an integer)."""
    worst = 0.0
    for name in graph.outputs:
        if truth[name].shape != got[name].shape:
            return math.inf
        gaps = metrics.difference(truth[name], got[name])
        largest = float(gaps.max()) if gaps.size else 0.0
        worst = max(worst, math.inf if math.isnan(largest) else largest)
    return worst


def sqnr_of(graph: Graph, name: str, truth: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float:
    return metrics.sqnr_db([real(graph, name, t[name]) for t in truth], [real(graph, name, g[name]) for g in got])


def real(graph: Graph, name: str, array: Array) -> Array:
    """An output as real numbers."""
    quant = graph[name].quant
    return (
        array if quant is None or array.dtype.kind == "f" else fixedpoint.dequantize(array, quant.scale[0], quant.zero_point[0])
    )


def agreement_of(graph: Graph, truth: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float | None:
    """Argmax agreement of the first output, None where it is not one row of scores."""
    name = graph.outputs[0]
    shape = graph[name].shape
    if not shape or shape[-1] < 2 or shape[-1] != graph[name].elements:
        return None
    return metrics.argmax_agreement([t[name] for t in truth], [g[name] for g in got])


def accuracy_of(job: Job, outputs: Sequence[Mapping[str, Array]]) -> Measurement:
    """The metric of the task, or why there is none."""
    if job.data is None:
        return unavailable("accuracy", "the inputs are random (--data gives real ones, with labels)")
    judged = [outputs[i] for i in job.ends] if job.ends else outputs
    results = [{name: real(job.graph, name, array) for name, array in o.items()} for o in judged]
    return evaluate.judged(job.graph, job.data, results, job.task)


def layer_gaps(job: Job, engine: Engine, graph: Graph, feeds: Sample) -> list[LayerGap]:
    """Values that differ from the reference, in order: both run again with every value as an output. Empty where the engine
    cannot show them."""
    inner = [name for node in graph.nodes for name in node.outputs]
    outputs = dict.fromkeys([*graph.outputs, *inner])
    shown = build(graph.name, graph.inputs, outputs, graph.nodes, graph.tensors, contract=graph.contract)
    try:
        got = engine.run(shown, [feeds], job.target)[0][0]
    except EdgekitError:
        return []
    truth = reference.run(shown, feeds)
    gaps = []
    for node in graph.nodes:
        alone = reference.run_node(graph, node, {**feeds, **got})
        for name, own in zip(node.outputs, alone, strict=True):
            if not np.array_equal(truth[name], got[name]):
                integer = own.dtype.kind in "iu"
                lsb = metrics.max_lsb(truth[name], got[name]) if integer else None
                # A cell on real numbers drifts from the integer one over its steps: it is judged by the outputs' SQNR.
                op_lsb = metrics.max_lsb(own, got[name]) if integer and op_of(node).recurrent is None else None
                gaps.append(LayerGap(name, node.op, node.source, lsb, sqnr_of(graph, name, [truth], [got]), op_lsb))
    return gaps


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
