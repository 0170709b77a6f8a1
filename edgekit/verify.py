"""Prove that every engine gives the same answers: one row an engine, against the NumPy reference.

The law (integer graphs): generated C, on this machine and on the emulated core, and TFLite-Micro equal the reference bit for
bit. LiteRT and ONNX Runtime round differently: each of their operators must be within one step on the same inputs, and the
outputs are judged by SQNR, and by argmax where the data is labelled; so is every engine on a graph that computes in floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from edgekit import metrics, reference, states
from edgekit.against import aligned, source_outputs
from edgekit.boundary import from_outputs, random_samples, to_feeds
from edgekit.data import Dataset
from edgekit.engines import ENGINES
from edgekit.errors import BadConfig, BadData, DoesNotFit, EdgekitError, MissingTool, Unsupported
from edgekit.graph import Array, Graph, Node
from edgekit.passes.legalize import re_rounded
from edgekit.passes.quantize.sqnr import LayerSqnr, layer_sqnr
from edgekit.pipeline import prepare
from edgekit.report.numbers import title
from edgekit.target import Target, find_target
from edgekit.tasks import Task
from edgekit.verdict import (
    AGAINST_SQNR,
    FLOAT_SQNR,
    INT8_SQNR,
    LISTED,
    EngineRow,
    Job,
    Sample,
    VerifyReport,
    accuracy_of,
    agreement_of,
    compare,
    layer_gaps,
    real,
    rule_of,
    with_layers,
)

RANDOM_SAMPLES = 100
RANDOM_STEPS = 10  # of a random sequence
SQNR_SAMPLES = 8  # that per-layer SQNR is measured on


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
    task: Task | None = None,
) -> VerifyReport:
    """Run `graph` on every engine of `engines` (default: all) and compare with the reference.

    samples: in the source model's layout (default: `count` random ones, seeded); sequences for a graph with states, whose
    every step is compared. against: the model it was made
    from; inputs and outputs are matched by name, else by position. tolerance: the least SQNR in dB of engines that are
    judged, and of `against`. task: what labels mean, and so what is judged (default: see `tasks.task_of`). require: engines
    whose absence is an error. target: the emulated board (default: mcu). Raises BadConfig for an unknown engine, BadData for
    data that does not fit, and a required engine's own error."""
    names = list(ENGINES) if engines is None else list(dict.fromkeys([*engines, *require]))
    if unknown := [n for n in (*names, *require) if n not in ENGINES]:
        raise BadConfig(f"there is no engine {', '.join(unknown)}", f"engines: {', '.join(ENGINES)}")
    labels = samples.labels if labels is None and isinstance(samples, Dataset) else labels
    given: list[Sample] = [*(_random(graph, count) if samples is None else samples)]
    if not given:
        raise BadData("there are no samples to verify on")
    carried = (graph, given) if graph.states else None
    data = None
    if samples is not None:
        name = samples.name if isinstance(samples, Dataset) else "the samples"
        data = Dataset(name, np.arange(len(given)), lambda row: dict(given[row]), labels)
    ends: list[int] = []
    if carried is not None:
        against = None if against is None else states.alike(against, graph)
        graph, given, ends = _opened(*carried)
    job = Job(graph, given, data, integer_only(graph), tolerance, target or find_target("mcu"), task, ends)
    job.truth = [_reference(graph, sample) for sample in given]
    accuracy = accuracy_of(job, job.truth)
    first = EngineRow("reference", "edgekit's reference (NumPy)", "reference", accuracy=accuracy.value, tool="edgekit")
    rows = [first, *(_row(job, name, name in require) for name in names)]
    if carried is not None and "c" in names:
        rows = [_carrying(*carried, row) if row.engine == "c" else row for row in rows]
    layers: list[LayerSqnr] = []
    if against is not None:
        rows.append(_against(job, against, carried))
        if graph.is_quantized and not against.is_quantized:
            layers = [] if carried is not None else _float_layers(against, job)
    note = "" if accuracy.value is not None else f"no {title(accuracy.metric)}: {accuracy.note}"
    return VerifyReport(graph.name, len(given), samples is None, tuple(rows), note, accuracy.metric, tuple(layers))


def _random(graph: Graph, count: int) -> list[Sample]:
    """Random samples; for a graph with states sequences of up to RANDOM_STEPS of them."""
    made = random_samples(graph, count)
    if not graph.states:
        return [*made]
    parts = [made[i : i + RANDOM_STEPS] for i in range(0, len(made), RANDOM_STEPS)]
    return [{name: np.stack([frame[name] for frame in part]) for name in graph.inputs} for part in parts]


def _opened(graph: Graph, samples: Sequence[Sample]) -> tuple[Graph, list[Sample], list[int]]:
    """A graph with states as one without, every step of the samples as a sample of its own, with what the reference holds
    before it (engines that agree on each such step agree on the sequence), and which steps are the last of theirs."""
    steps: list[Sample] = []
    ends = []
    for sample in samples:
        held = states.start(graph)
        for frame in states.frames(graph, sample):
            steps.append({**frame, **held})
            held = states.step(graph, to_feeds(graph, frame), held)[1]
        ends.append(len(steps) - 1)
    return states.expose(graph), steps, ends


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


def _row(job: Job, name: str, required: bool) -> EngineRow:
    engine = ENGINES[name]
    try:
        ready = prepare(job.graph, engine.form)
        feeds = [to_feeds(ready, sample) for sample in job.samples]
        raw, tool = engine.run(ready, feeds, job.target)
        got = [from_outputs(ready, outputs, real=False) for outputs in raw]
        title = engine.title
        if re_rounded(job.graph, engine.form):  # the law holds within one graph: this engine's own
            job = replace(job, truth=[_reference(ready, sample) for sample in job.samples])
            title = f"{title}, TFLite's loops rounded its own way"
    except (MissingTool, Unsupported, DoesNotFit) as error:
        if required:
            raise
        return EngineRow(name, engine.title, "unavailable", reason=str(error))
    except BadData:
        raise
    except EdgekitError as error:
        if required:
            raise
        return EngineRow(name, engine.title, "failed", passed=False, rule=rule_of(job, engine)[0], reason=str(error))
    row = replace(compare(job, got, *rule_of(job, engine)), engine=name, title=title, tool=tool)
    if row.worst_samples and name != "emulated":  # the emulated core runs the same C
        row = with_layers(job, row, layer_gaps(job, engine, ready, feeds[row.worst_samples[0]]))
    return row


# ------------------------------------------------------------------------------------------------------------- against


def _against(job: Job, source: Graph, carried: tuple[Graph, list[Sample]] | None) -> EngineRow:
    """The row of the model this one was made from: real outputs of both references."""
    least = AGAINST_SQNR if job.graph.is_quantized != source.is_quantized else INT8_SQNR if source.is_quantized else FLOAT_SQNR
    least = job.tolerance if job.tolerance is not None else least
    graph, samples = carried or (job.graph, job.samples)
    mine = [{n: real(job.graph, n, truth[n]) for n in graph.outputs} for truth in job.truth]
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
        argmax=agreement_of(job.graph, original, mine),
        accuracy=accuracy_of(job, original).value,
    )


def _float_layers(source: Graph, job: Job) -> list[LayerSqnr]:
    """Per-layer SQNR against the float graph; empty when the two do not run the same operators."""
    pair = aligned(job.graph, source)
    return (
        []
        if pair is None
        else layer_sqnr(pair[1], pair[0], [_as_real(job.graph, s) for s in job.samples[:SQNR_SAMPLES]])[:LISTED]
    )


def _as_real(graph: Graph, sample: Sample) -> dict[str, Array]:
    return {name: real(graph, name, np.asarray(sample[name])) for name in graph.inputs}
