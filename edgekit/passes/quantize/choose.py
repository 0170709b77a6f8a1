"""Choose: from what was observed to a scale for every tensor. The choice is plain data: print it, save it, diff it, re-use it.

Ranges come from the observer (min-max, percentile, least squared error), always hold zero, and are shared as `groups` says.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edgekit.errors import BadConfig, BadModel
from edgekit.fixedpoint import integer_range
from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.ops import op_of
from edgekit.ops.op import Op
from edgekit.passes.quantize import shares
from edgekit.passes.quantize.groups import Groups
from edgekit.passes.quantize.narrow import narrow_weights, row_scales
from edgekit.passes.quantize.observe import Observations, Observed
from edgekit.passes.quantize.ranges import OBSERVERS
from edgekit.passes.quantize.recurrent import bias_floor, weight_scales
from edgekit.passes.quantize.scheme import SCHEMES, SMALLEST_SCALE, Affine, Scheme

FINEST_SCORES = 2.0**-24  # times beta: the step of a softmax's input; its multiplier has no right shift
# By activations: leaves the accumulator (32 bits; 48 in 16x8 kernels) as much again for the products.
LARGEST_BIAS = {"int8": 1 << 30, "int16": 1 << 46}

# Least output scale / largest input scale: TFLM refuses larger multipliers (add.cc, sub.cc: twice the input scale over
# 2**20 output scales, 2**15 in 16 bits; hard_swish.cc: the input scale over 128 output scales, both below 1). A little is
# added for rounding.
FINEST_OUTPUT: dict[str, dict[str, float]] = {
    "int8": {"ADD": 1.001 * 2.0**-19, "SUB": 1.001 * 2.0**-19, "HARD_SWISH": 1.001 / 128},
    "int16": {"ADD": 1.001 * 2.0**-14, "SUB": 1.001 * 2.0**-14},
}


@dataclass(frozen=True)
class Choice:
    """How a float graph becomes integers.

    activations: tensor -> (scale, zero point). weights: weight tensor -> one scale, or one a channel.
    requantize: a tensor of fixed scale -> the (scale, zero point) that the operators which move it read it in.
    flushed: weight tensor -> channels set to zero because they cannot move the output by half a step.
    islands: first output of each node that stays float -> why.
    wide: values that are int16 with zero point 0 (see `recurrent`); operators other than moves read them as `requantize` says.
    narrow: weights of 4 bits (-7..7); others are int8.
    shares: softmax outputs that are made in int16 -> the dB that int8 would have held them with (see `shares`).
    """

    scheme: Scheme
    observer: str
    activations: Mapping[str, Affine]
    weights: Mapping[str, tuple[float, ...]]
    requantize: Mapping[str, Affine] = field(default_factory=dict)
    flushed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    islands: Mapping[str, str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    narrow: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)

    def weight_kind(self, name: str) -> str:
        """The integers that a weight is made of."""
        return "int4" if name in self.narrow else "int8"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Choice:
        """The choice that `to_json` gave, after a round trip through JSON. Raises BadConfig."""
        try:
            return Choice(
                scheme=Scheme(**{**data["scheme"], "per_channel": tuple(data["scheme"]["per_channel"])}),
                observer=str(data["observer"]),
                activations={n: (float(v[0]), int(v[1])) for n, v in data["activations"].items()},
                weights={n: tuple(float(s) for s in v) for n, v in data["weights"].items()},
                requantize={n: (float(v[0]), int(v[1])) for n, v in data["requantize"].items()},
                flushed={n: tuple(int(c) for c in v) for n, v in data["flushed"].items()},
                islands=dict(data["islands"]),
                wide=tuple(str(n) for n in data.get("wide", ())),
                narrow=tuple(str(n) for n in data.get("narrow", ())),
                shares={str(n): float(v) for n, v in data.get("shares", {}).items()},
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadConfig(f"not a saved choice of quantization: {error!r}") from error


def choose(
    graph: Graph,
    seen: Observations,
    *,
    scheme: Scheme = SCHEMES["int8"],
    observer: str = "minmax",
    keep_float: Collection[str] = (),
    keep_int8: Collection[str] = (),
) -> Choice:
    """A Choice for a float graph from what its tensors (`wanted`) were seen to hold. keep_float: first outputs of nodes that
    stay float; keep_int8: of those whose weights have 8 bits in any scheme. Raises BadConfig, BadModel."""
    if observer not in OBSERVERS:
        raise BadConfig(f"there is no observer {observer}", f"observers: {', '.join(OBSERVERS)}")
    groups = Groups(graph, scheme, keep_float)
    sources = {name: OBSERVERS[observer](_observed(seen, name), scheme.activations) for name in groups.sources}
    activations, requantize = groups.solve(sources)
    while widened := _too_fine(graph, groups, activations):
        sources |= widened
        activations, requantize = groups.solve(sources)
    read = {**activations, **{n: requantize[n] for n in groups.wide}}
    narrow = narrow_weights(graph, {*groups.islands, *keep_int8}) if scheme.weights == "int4" else ()
    weights, flushed = _weights(graph, groups.islands, read, scheme, narrow)
    wide = tuple(sorted(groups.wide))
    made = Choice(scheme, observer, activations, weights, requantize, flushed, groups.islands, wide, narrow)
    coarse = shares.coarse(graph, seen) if scheme.activations == "int8" else {}
    return replace(made, shares={name: db for name, db in coarse.items() if name not in groups.islands})


def refitted(graph: Graph, choice: Choice) -> Choice:
    """The choice for the same graph with other constants: weights get scales of their own, values keep theirs."""
    read = {**choice.activations, **{n: choice.requantize[n] for n in choice.wide}}
    weights, flushed = _weights(graph, choice.islands, read, choice.scheme, choice.narrow)
    return replace(choice, weights=weights, flushed=flushed)


def wanted(graph: Graph, scheme: Scheme = SCHEMES["int8"], keep_float: Collection[str] = ()) -> list[str]:
    """The tensors whose ranges `choose` needs: graph inputs and whatever is not a moved or fixed-scale value."""
    return list(Groups(graph, scheme, keep_float).sources)


def _observed(seen: Observations, name: str) -> Observed:
    if name not in seen.tensors or not math.isfinite(seen.tensors[name].low):
        raise BadModel(f"'{name}' was not observed", "observe every tensor that choose.wanted lists")
    return seen.tensors[name]


def _too_fine(graph: Graph, groups: Groups, activations: Mapping[str, Affine]) -> dict[str, tuple[float, float]]:
    """Values whose scale is too fine for a kernel's multipliers, with a range that is not: results that cancel out, scores
    of a softmax that are all but equal."""
    widened: dict[str, tuple[float, float]] = {}
    kind = groups.scheme.activations
    finest, half = FINEST_OUTPUT[kind], -integer_range(kind)[0]
    for node in graph.nodes:
        name = node.outputs[0]
        if node.op == "SOFTMAX" and kind == "int8" and name not in groups.islands and node.inputs[0] in activations:
            least, root = FINEST_SCORES / node.attrs.get("beta", 1.0), groups.find(str(node.inputs[0]))
            if activations[str(node.inputs[0])][0] < least:
                widened |= {n: (-128 * least, 128 * least) for n in groups.sources if groups.find(n) == root}
            continue
        if node.op not in finest or name not in groups.sources or name in groups.islands:
            continue
        least = finest[node.op] * max(activations[n][0] for n in node.inputs if n is not None)
        if activations[name][0] < least:
            widened[name] = (-half * least, half * least)
    return widened


def _weights(
    graph: Graph, islands: Collection[str], activations: Mapping[str, Affine], scheme: Scheme, narrow: Collection[str]
) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[int, ...]]]:
    """Scales of every weight, and the channels to flush. A weight that two nodes share gets what suits both."""
    scales: dict[str, Array] = {}
    dead: dict[str, set[int]] = {}
    for node in graph.nodes:
        op = op_of(node)
        if not op.weights or node.outputs[0] in islands:
            continue
        for index, axis in op.weights.items():
            weight = graph[str(node.inputs[index])]
            if op.recurrent is not None:
                multiplied = activations[str(node.inputs[0]) if index == next(iter(op.weights)) else node.outputs[0]][0]
                floor = bias_floor(graph, node, index, multiplied, LARGEST_BIAS[scheme.activations])
                rows = np.maximum(weight_scales(node, weight, floor), SMALLEST_SCALE).astype(np.float32)
                scales[weight.name] = np.maximum(scales[weight.name], rows) if weight.name in scales else rows
                continue
            limit = integer_range("int4" if weight.name in narrow else "int8")[1]
            found, flushed = _weight_scales(graph, node, op, weight, axis, activations, scheme, limit)
            scales[weight.name] = np.maximum(scales[weight.name], found) if weight.name in scales else found
            dead[weight.name] = dead[weight.name] & flushed if weight.name in dead else flushed
    plain = {name: tuple(float(s) for s in array) for name, array in scales.items()}
    return plain, {name: tuple(sorted(channels)) for name, channels in dead.items() if channels}


def _weight_scales(
    graph: Graph,
    node: Node,
    op: Op,
    weight: Tensor,
    axis: int,
    activations: Mapping[str, Affine],
    scheme: Scheme,
    limit: int,
) -> tuple[Array, set[int]]:
    """(float32 scales: one, or one a channel; channels that can be zero) of a node's weights.

    A channel's scale is its largest |weight| / limit (where the limit is 7, that of least error), and at least what keeps its
    bias within LARGEST_BIAS steps of input scale * weight scale. A channel is dead when no input of the calibrated range moves
    its output by half a step.
    """
    data = weight.real().astype(np.float64)
    rows = np.moveaxis(data, axis, 0).reshape(weight.shape[axis], -1)
    (in_scale, in_zero), (out_scale, _) = activations[str(node.inputs[0])], activations[node.outputs[0]]
    smallest, largest = integer_range(scheme.activations)
    reach = in_scale * max(in_zero - smallest, largest - in_zero)
    dead = np.abs(rows).sum(axis=1) * reach < out_scale / 2
    bias = graph.tensor(node.inputs[op.bias]) if op.bias is not None and op.bias < len(node.inputs) else None
    floor = (
        np.zeros(rows.shape[0])
        if bias is None
        else np.abs(bias.real().astype(np.float64)) / (in_scale * LARGEST_BIAS[scheme.activations])
    )
    # A dead channel is its bias alone: 1/256 of an output step is precise enough.
    wanted_scale = np.where(
        dead, out_scale / in_scale / 256, row_scales(rows, limit) if limit < 127 else np.abs(rows).max(axis=1) / limit
    )
    found = np.maximum(wanted_scale, floor)
    if node.op not in scheme.per_channel:
        live = found[~dead] if not dead.all() else found
        found = np.array([max(live.max(), floor.max())])
    return np.maximum(found, SMALLEST_SCALE).astype(np.float32), {int(i) for i in np.flatnonzero(dead)}
