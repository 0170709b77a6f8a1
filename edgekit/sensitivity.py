"""Which values of an integer network gain most by 16 bits: measured, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit import evaluate, metrics
from edgekit.data import Dataset
from edgekit.errors import EdgekitError
from edgekit.graph import Array, Graph
from edgekit.passes.quantize import ObserverName, layer_sqnr, quantize_with_report
from edgekit.passes.quantize.apply import IO
from edgekit.passes.quantize.mixed import is_wide, mixed

CANDIDATES = 12  # values that are tried: those with the most noise of their own
LEAST_GAIN = 0.1  # dB


def in_16_bits(
    graph: Graph,
    data: Dataset,
    samples: Sequence[Mapping[str, Array]],
    *,
    scheme: str,
    observer: ObserverName,
    keep_float: Sequence[str] = (),
    keep_int8: Sequence[str] = (),
    io: IO = "int8",
) -> list[tuple[str, tuple[str, ...], float]]:
    """(value, first outputs of the nodes that make and read it, dB that the network's outputs gain when these run in 16 bits),
    most first; those that gain nothing are left out. graph: the prepared float graph. samples: what the gain is measured on.
    """
    ways = {"observer": observer, "keep_float": keep_float, "io": io}
    plain, report = quantize_with_report(graph, data, scheme=scheme, keep_int8=keep_int8, **ways)  # type: ignore[arg-type]
    wide, _ = quantize_with_report(graph, data, scheme="int16x8", **ways)  # type: ignore[arg-type]
    real = report.compared or graph
    truth, readers = list(evaluate.outputs(real, samples)), real.consumers()
    makers = real.producers()
    layers = layer_sqnr(real, plain, samples)
    noisy = sorted(layers, key=lambda layer: layer.cumulative if layer.isolated is None else layer.isolated)
    start, found = _decibels(plain, samples, truth), list[tuple[str, tuple[str, ...], float]]()
    for name in [layer.tensor for layer in noisy if is_wide(wide, makers[layer.tensor])][:CANDIDATES]:
        nodes = (makers[name].outputs[0], *(n.outputs[0] for n in readers[name] if is_wide(wide, n)))
        try:
            gain = _decibels(mixed(real, plain, wide, nodes), samples, truth) - start
        except EdgekitError:
            continue
        if gain > LEAST_GAIN:
            found.append((name, nodes, gain))
    return sorted(found, key=lambda row: -row[2])


def _decibels(graph: Graph, samples: Sequence[Mapping[str, Array]], truth: Sequence[Mapping[str, Array]]) -> float:
    """SQNR over all outputs that hold real numbers."""
    signal = noise = 0.0
    for made, real in zip(evaluate.outputs(graph, samples), truth, strict=True):
        for name, expected in real.items():
            if expected.dtype.kind == "f":
                signal += float(np.sum(expected.astype(np.float64) ** 2))
                noise += float(np.sum((np.asarray(made[name], np.float64) - expected) ** 2))
    return metrics.decibels(signal, noise)
