"""Prove that every engine gives the same answers: one row an engine, against the NumPy reference.

The law (integer graphs): generated C, on this machine and on the emulated core, and TFLite-Micro equal the reference bit for
bit. LiteRT and ONNX Runtime round differently: each of their operators must be within one step on the same inputs, and the
outputs are judged by SQNR, and by argmax where the data is labelled; so is every engine on a graph that computes in floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edgekit import fixedpoint, metrics, reference, states
from edgekit.against import aligned, source_outputs
from edgekit.boundary import from_outputs, random_samples, to_feeds
from edgekit.data import Dataset
from edgekit.engines import ENGINES, Engine
from edgekit.errors import BadConfig, BadData, DoesNotFit, EdgekitError, MissingTool, Unsupported
from edgekit.graph import Array, Graph, Node, build
from edgekit.ops import op_of
from edgekit.passes.quantize.sqnr import LayerSqnr, layer_sqnr
from edgekit.pipeline import prepare
from edgekit.target import Target, find_target

RANDOM_SAMPLES = 100
RANDOM_STEPS = 10  # of a random sequence
# dB that a judged engine, one on a float graph, and the source of a quantized model must reach. Measured: 23 (ResNet-8 on
# XNNPACK) to 55 for int8, above 120 for float; a wrong kernel gives less than 5.
INT8_SQNR, FLOAT_SQNR, AGAINST_SQNR = 15.0, 60.0, 10.0
LEAST_ARGMAX = 0.95  # share of labelled samples on which a judged engine must choose the same class
EXACT_RULE = "bit for bit"
SQNR_SAMPLES = 8  # that per-layer SQNR is measured on
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
    accuracy: top-1 of the first output on labelled data. differing: samples that are not equal;
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

    random: the inputs were made up. accuracy_note: why there is no accuracy, "" when there is. layers: float against int8,
    worst first, when `against` is float and runs the same operators once prepared alike.
    """

    model: str
    samples: int
    random: bool
    rows: tuple[EngineRow, ...]
    accuracy_note: str = ""
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
class _Job:
    """What all rows are compared on."""

    graph: Graph
    samples: list[Sample]
    labels: Array | None
    lawful: bool  # computes in integers only
    tolerance: float | None
    target: Target
    truth: list[dict[str, Array]] = field(default_factory=list)  # source layout, own dtype


def verify_model(
    graph: Graph,
    engines: Sequence[str] | None = None,
    samples: Dataset | Iterable[Sample] | None = None,
    *,
    labels: Array | None = None,
    count: int = RANDOM_SAMPLES,
    against: Graph | None = None,
    tolerance: float | None = None,
    require: Sequence[str] = (),
    target: Target | None = None,
) -> VerifyReport:
    """Run `graph` on every engine of `engines` (default: all) and compare with the reference.

    samples: in the source model's layout (default: `count` random ones, seeded); sequences for a graph with states, whose
    every step is compared. against: the model it was made
    from; inputs and outputs are matched by name, else by position. tolerance: the least SQNR in dB of engines that are
    judged, and of `against`. require: engines whose absence is an error. target: the emulated board (default: mcu).
    Raises BadConfig for an unknown engine, BadData for data that does not fit, and a required engine's own error.
    """
    names = list(ENGINES) if engines is None else list(dict.fromkeys([*engines, *require]))
    if unknown := [n for n in (*names, *require) if n not in ENGINES]:
        raise BadConfig(f"there is no engine {', '.join(unknown)}", f"engines: {', '.join(ENGINES)}")
    labels = samples.labels if labels is None and isinstance(samples, Dataset) else labels
    given: list[Sample] = [*(_random(graph, count) if samples is None else samples)]
    if not given:
        raise BadData("there are no samples to verify on")
    carried = (graph, given) if graph.states else None
    if carried is not None:
        against = None if against is None else states.alike(against, graph)
        graph, given = _opened(*carried)
        labels = None
    job = _Job(graph, given, labels, integer_only(graph), tolerance, target or find_target("mcu"))
    job.truth = [_reference(graph, sample) for sample in given]
    accuracy, note = _accuracy(job, job.truth)
    first = EngineRow("reference", "edgekit's reference (NumPy)", "reference", accuracy=accuracy, tool="edgekit")
    rows = [first, *(_row(job, name, name in require) for name in names)]
    if carried is not None and "c" in names:
        rows = [_carrying(*carried, row) if row.engine == "c" else row for row in rows]
    layers: list[LayerSqnr] = []
    if against is not None:
        rows.append(_against(job, against, carried))
        if graph.is_quantized and not against.is_quantized:
            layers = [] if carried is not None else _float_layers(against, job)
    return VerifyReport(graph.name, len(given), samples is None, tuple(rows), note, tuple(layers))


def _random(graph: Graph, count: int) -> list[Sample]:
    """Random samples; for a graph with states sequences of up to RANDOM_STEPS of them."""
    made = random_samples(graph, count)
    if not graph.states:
        return [*made]
    parts = [made[i : i + RANDOM_STEPS] for i in range(0, len(made), RANDOM_STEPS)]
    return [{name: np.stack([frame[name] for frame in part]) for name in graph.inputs} for part in parts]


def _opened(graph: Graph, samples: Sequence[Sample]) -> tuple[Graph, list[Sample]]:
    """A graph with states as one without, and every step of the samples as a sample of its own, with what the reference holds
    before it: engines that agree on each such step agree on the sequence."""
    steps: list[Sample] = []
    for sample in samples:
        held = states.start(graph)
        for frame in states.frames(graph, sample):
            steps.append({**frame, **held})
            held = states.step(graph, to_feeds(graph, frame), held)[1]
    return states.expose(graph), steps


def _carrying(graph: Graph, samples: Sequence[Sample], row: EngineRow) -> EngineRow:
    """The C engine's row, held to whole sequences besides: the generated code carries the states itself, and resets them."""
    from edgekit.bench.host_c import run_c
    from edgekit.export.c import compile_c

    if not row.passed:
        return row
    ready = prepare(graph, "c")
    model = compile_c(ready, "edgekit_model")
    for number, sample in enumerate(samples):
        frames = [to_feeds(ready, frame) for frame in states.frames(ready, sample)]
        found = run_c(model.files, model.interface, frames, period=len(frames))
        for mine, made in zip(states.run(ready, sample), found, strict=True):
            if any(not _same(mine[n], made[n]) for n in mine):
                reason = f"the states it carries part from the reference's in sequence {number}"
                return replace(row, passed=False, status="different", reason=reason)
    return row


def _same(mine: Array, made: Array) -> bool:
    return np.allclose(mine, made, rtol=1e-3, atol=1e-4) if mine.dtype.kind == "f" else np.array_equal(mine, made)


def integer_only(graph: Graph) -> bool:
    """True when no operator computes in floating point (QUANTIZE and DEQUANTIZE at the edges do not; a constant real number,
    as POW's exponent, is part of an exact integer meaning)."""

    def floating(node: Node) -> bool:
        values = [graph[n] for n in (*node.inputs, *node.outputs) if n is not None]
        return any(t.dtype.startswith("float") and not t.is_const for t in values)

    return graph.is_quantized and not any(floating(n) for n in graph.nodes if n.op not in {"QUANTIZE", "DEQUANTIZE"})


def _reference(graph: Graph, sample: Sample) -> dict[str, Array]:
    return from_outputs(graph, reference.run(graph, to_feeds(graph, sample)), real=False)


# ------------------------------------------------------------------------------------------------------------- engines


def _row(job: _Job, name: str, required: bool) -> EngineRow:
    engine = ENGINES[name]
    try:
        ready = prepare(job.graph, engine.form)
        feeds = [to_feeds(ready, sample) for sample in job.samples]
        raw, tool = engine.run(ready, feeds, job.target)
        got = [from_outputs(ready, outputs, real=False) for outputs in raw]
    except (MissingTool, Unsupported, DoesNotFit) as error:
        if required:
            raise
        return EngineRow(name, engine.title, "unavailable", reason=str(error))
    except BadData:
        raise
    except EdgekitError as error:
        if required:
            raise
        return EngineRow(name, engine.title, "failed", passed=False, rule=_rule(job, engine)[0], reason=str(error))
    row = replace(_compare(job, got, *_rule(job, engine)), engine=name, title=engine.title, tool=tool)
    if row.worst_samples and name != "emulated":  # the emulated core runs the same C
        row = _with_layers(job, row, _layers(job, engine, ready, feeds[row.worst_samples[0]]))
    return row


def _with_layers(job: _Job, row: EngineRow, gaps: Sequence[LayerGap]) -> EngineRow:
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
    chosen = row.argmax is None or job.labels is None or row.argmax >= LEAST_ARGMAX
    if not row.passed and chosen:
        return replace(row, passed=True, status="close", reason="every operator is right to a step; the network amplifies it")
    return row


def _rule(job: _Job, engine: Engine) -> tuple[str, float]:
    """(the rule in words, least SQNR in dB): infinite where the outputs must be equal."""
    if engine.exact and job.lawful:
        return EXACT_RULE, math.inf
    least = job.tolerance if job.tolerance is not None else INT8_SQNR if job.graph.is_quantized else FLOAT_SQNR
    rule = f"SQNR at least {least:g} dB" + (f", argmax {LEAST_ARGMAX:.0%}" if job.labels is not None else "")
    return rule + (", every operator within 1 LSB" if job.lawful and job.tolerance is None else ""), least


def _compare(job: _Job, got: Sequence[Mapping[str, Array]], rule: str, least: float) -> EngineRow:
    """A row (engine and title to be filled in) of outputs in the source's layout."""
    gaps = [_gap(job.graph, truth, other) for truth, other in zip(job.truth, got, strict=True)]
    order = sorted((i for i, gap in enumerate(gaps) if gap > 0), key=lambda i: -gaps[i])
    integers = [name for name in job.graph.outputs if job.graph[name].dtype.startswith(("int", "uint"))]
    lsb = max((metrics.max_lsb(t[n], g[n]) for t, g in zip(job.truth, got, strict=True) for n in integers), default=None)
    sqnr = min(_sqnr(job.graph, name, job.truth, got) for name in job.graph.outputs)
    agreement = _agreement(job.graph, job.truth, got)
    chosen = agreement is None or job.labels is None or agreement >= LEAST_ARGMAX
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
        accuracy=_accuracy(job, got)[0],
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


def _sqnr(graph: Graph, name: str, truth: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float:
    return metrics.sqnr_db([_real(graph, name, t[name]) for t in truth], [_real(graph, name, g[name]) for g in got])


def _real(graph: Graph, name: str, array: Array) -> Array:
    """An output as real numbers."""
    quant = graph[name].quant
    return (
        array if quant is None or array.dtype.kind == "f" else fixedpoint.dequantize(array, quant.scale[0], quant.zero_point[0])
    )


def _agreement(graph: Graph, truth: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float | None:
    """Argmax agreement of the first output, None where it is not one row of scores."""
    name = graph.outputs[0]
    shape = graph[name].shape
    if not shape or shape[-1] < 2 or shape[-1] != graph[name].elements:
        return None
    return metrics.argmax_agreement([t[name] for t in truth], [g[name] for g in got])


def _accuracy(job: _Job, outputs: Sequence[Mapping[str, Array]]) -> tuple[float | None, str]:
    if job.labels is None:
        return None, "no accuracy: the data has no labels"
    name = job.graph.outputs[0]
    try:
        return metrics.accuracy([_real(job.graph, name, o[name]) for o in outputs], job.labels), ""
    except BadData as error:
        return None, error.message


def _layers(job: _Job, engine: Engine, graph: Graph, feeds: Sample) -> list[LayerGap]:
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
                gaps.append(LayerGap(name, node.op, node.source, lsb, _sqnr(graph, name, [truth], [got]), op_lsb))
    return gaps


# ------------------------------------------------------------------------------------------------------------- against


def _against(job: _Job, source: Graph, carried: tuple[Graph, list[Sample]] | None) -> EngineRow:
    """The row of the model this one was made from: real outputs of both references."""
    least = AGAINST_SQNR if job.graph.is_quantized != source.is_quantized else INT8_SQNR if source.is_quantized else FLOAT_SQNR
    least = job.tolerance if job.tolerance is not None else least
    graph, samples = carried or (job.graph, job.samples)
    mine = [{n: _real(job.graph, n, truth[n]) for n in graph.outputs} for truth in job.truth]
    original = source_outputs(graph, source, samples, {n: a.shape for n, a in mine[0].items()})
    sqnr = min(metrics.sqnr_db([o[n] for o in original], [m[n] for m in mine]) for n in graph.outputs)
    passed = sqnr >= least
    return EngineRow(
        engine="against",
        title=f"source model {source.name}",
        status="exact" if sqnr == math.inf else "close" if passed else "different",
        passed=passed,
        rule=f"SQNR at least {least:g} dB",
        reason="" if passed else "the two models do not compute the same",
        tool="edgekit",
        sqnr=sqnr,
        argmax=_agreement(job.graph, original, mine),
        accuracy=_accuracy(job, original)[0],
    )


def _float_layers(source: Graph, job: _Job) -> list[LayerSqnr]:
    """Per-layer SQNR against the float graph; empty when the two do not run the same operators."""
    pair = aligned(job.graph, source)
    return (
        []
        if pair is None
        else layer_sqnr(pair[1], pair[0], [_as_real(job.graph, s) for s in job.samples[:SQNR_SAMPLES]])[:LISTED]
    )


def _as_real(graph: Graph, sample: Sample) -> dict[str, Array]:
    return {name: _real(graph, name, np.asarray(sample[name])) for name in graph.inputs}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
