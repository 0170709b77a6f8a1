"""Where precision is lost: signal to quantization noise of every layer, between a float graph and its integer graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit import fixedpoint, metrics, reference, states
from edgekit.boundary import to_feeds
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, Tensor


@dataclass(frozen=True)
class LayerSqnr:
    """One value of the network. dB: `cumulative` with all errors before it, `isolated` those of its own node only.

    isolated is None where the node reads a value that the float graph does not have.
    """

    tensor: str
    op: str
    source: str
    cumulative: float
    isolated: float | None


def layer_sqnr(float_graph: Graph, int8_graph: Graph, samples: Iterable[Mapping[str, Array]]) -> list[LayerSqnr]:
    """Every value both graphs hold, worst cumulative SQNR first (ties: in execution order).

    int8_graph: what `apply` made of float_graph (values are matched by name). samples: source layout, real numbers.
    isolated: the node's integer meaning on inputs quantized from the float run, against the float run. Raises BadData
    when there are no samples.
    """
    pairs = _pairs(float_graph, int8_graph)
    makers, sources = int8_graph.producers(), float_graph.producers()
    origins = _origins(float_graph, int8_graph)
    alone_too = {own for own in pairs.values() if all(n in origins or int8_graph[n].is_const for n in makers[own].inputs if n)}
    inner = [name for name in dict.fromkeys(origins.values()) if name in sources]
    power = dict.fromkeys(pairs, 0.0)
    noise = {kind: dict.fromkeys(pairs, 0.0) for kind in ("cumulative", "isolated")}
    count = 0
    for sample in samples:
        count += 1
        for floats, integers in _runs(float_graph, int8_graph, sample, inner, list(pairs.values())):
            exact = {own: _stored(floats[name], int8_graph[own]) for own, name in origins.items()}
            for name, own in pairs.items():
                truth = floats[name].astype(np.float64)
                power[name] += float(np.sum(truth**2))
                noise["cumulative"][name] += _error(truth, integers[own], int8_graph[own])
                if own in alone_too:
                    result = reference.run_node(int8_graph, makers[own], exact)[makers[own].outputs.index(own)]
                    noise["isolated"][name] += _error(truth, result, int8_graph[own])
    if not count:
        raise BadData("there are no samples to compare on")
    layers = []
    for name, own in pairs.items():
        node = makers[own]
        together = metrics.decibels(power[name], noise["cumulative"][name])
        alone = metrics.decibels(power[name], noise["isolated"][name]) if own in alone_too else None
        layers.append(LayerSqnr(name, node.op, sources[name].source or name, together, alone))
    return sorted(layers, key=lambda layer: layer.cumulative)


def _runs(
    float_graph: Graph, int8_graph: Graph, sample: Mapping[str, Array], inner: Sequence[str], own: Sequence[str]
) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """(values of the float graph, of the integer graph) after every step of a sample, inputs and states included."""
    before, after = states.start(float_graph), states.start(int8_graph)
    for frame in states.frames(float_graph, sample):
        fed = to_feeds(float_graph, frame) | before
        floats, before = states.step(float_graph, to_feeds(float_graph, frame), before, inner)
        integers, after = states.step(int8_graph, to_feeds(int8_graph, frame), after, own)
        yield {**fed, **floats}, integers


def _pairs(float_graph: Graph, int8_graph: Graph) -> dict[str, str]:
    """float graph's tensor -> its int8 form, for everything a node computes (moved and copied values included)."""
    pairs = {}
    made = int8_graph.producers()
    for node in float_graph.nodes:
        for name in node.outputs:
            for own in (name, f"{name}_int8", f"{name}_int16"):
                tensor = int8_graph.tensors.get(own)
                if tensor is not None and tensor.quant is not None and own in made and tensor.shape == float_graph[name].shape:
                    pairs[name] = own
                    break
    return pairs


def _origins(float_graph: Graph, int8_graph: Graph) -> dict[str, str]:
    """The integer graph's activations -> the float graph's (`apply` adds suffixes to second forms)."""
    origins = {}
    for own, tensor in int8_graph.tensors.items():
        plain = next((own[: own.rindex(end)] for end in ("_int8", "_int16", "_float", "_requantized") if end in own), own)
        name = own if own in float_graph.tensors else plain
        if not tensor.is_const and name in float_graph.tensors and float_graph[name].shape == tensor.shape:
            origins[own] = name
    return origins


def _stored(real: Array, tensor: Tensor) -> Array:
    """Real values as the integer graph's tensor holds them."""
    if tensor.quant is None:
        return real
    scale, zero = tensor.quant.broadcast(real.ndim)
    return fixedpoint.quantize(real, scale, zero, tensor.quant.dtype)


def _error(truth: Array, integers: Array, tensor: Tensor) -> float:
    assert tensor.quant is not None
    scale, zero = tensor.quant.broadcast(truth.ndim)
    return float(np.sum((fixedpoint.dequantize(integers, scale, zero).astype(np.float64) - truth) ** 2))
