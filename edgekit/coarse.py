"""Inputs that one scale cannot hold: tables and sensor windows whose features have very different ranges.

An int8 input has one step for all of its values. A feature that moves less than a few steps on the data is constant to
the network, however well the weights are rounded; normalising inside of the network comes too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from edgekit.graph import Array, Graph

LEAST_STEPS = 2  # a 0/1 feature beside one that reaches 100 still moves by 2.5 steps of int8


def coarse_inputs(graph: Graph, samples: Iterable[Mapping[str, Array]]) -> tuple[str, ...]:
    """A sentence for each input of the integer `graph` with features that move less than LEAST_STEPS steps over `samples`.

    samples: source layout, real numbers, batch 1. Features lie along an axis of inputs of rank 2 and 3 (tables, sequences of
    frames, channels of sensors); pixels have one range. Features that never change are not counted.
    """
    steps = {name: step for name in graph.inputs if (step := _step(graph, name)) and len(graph[name].shape) in (2, 3)}
    axes = [(name, axis) for name in steps for axis in range(1 - len(graph[name].shape), 0)]
    low: dict[tuple[str, int], Array] = {}
    high: dict[tuple[str, int], Array] = {}
    for sample in samples if axes else ():
        for name, axis in axes:
            rows = np.moveaxis(np.asarray(sample[name], np.float64), axis, -1)
            rows = rows.reshape(-1, rows.shape[-1])
            if (name, axis) in low:
                rows = np.concatenate([rows, [low[name, axis], high[name, axis]]])
            low[name, axis], high[name, axis] = rows.min(axis=0), rows.max(axis=0)
    notes = []
    for name, step in steps.items():
        spans = [high[name, axis] - low[name, axis] for axis in range(1 - len(graph[name].shape), 0) if (name, axis) in low]
        found = max(spans, key=lambda span: len(_still(span, step)), default=np.zeros(0))
        still = _still(found, step)
        if len(still) and len(still) < found.size:
            worst = int(still[np.argmin(found[still])])
            notes.append(
                f"input '{name}': {len(still)} of {found.size} features move less than {LEAST_STEPS} of its steps of {step:.4g}"
                f" (feature {worst} by {found[worst]:.3g} in all) and are all but lost: quantize --io float scales each before "
                "it is quantized; for integers, bring them to one range before the network is trained (int16x8 helps less)"
            )
    return tuple(notes)


def _still(span: Array, step: float) -> Array:
    return np.flatnonzero((span > 0) & (span < LEAST_STEPS * step))


def _step(graph: Graph, name: str) -> float | None:
    """The step of an input's integers, or of the integers that it is quantized to at once."""
    for tensor in (graph[name], *(graph[n.outputs[0]] for n in graph.nodes if n.op == "QUANTIZE" and n.inputs[0] == name)):
        if tensor.quant is not None and tensor.quant.dtype in ("int8", "uint8"):
            return float(np.max(tensor.quant.scale))
    return None
