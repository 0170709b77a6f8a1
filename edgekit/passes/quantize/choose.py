"""Choose: from what was observed to a scale for every tensor. The choice is plain data: print it, save it, diff it, re-use it.

Ranges come from the observer (min-max, percentile, least squared error), always hold zero, and are shared by the values
that an operator only moves (union-find over the op table's "same" rule). Values with a fixed scale (softmax and the like)
keep it; where they meet others in such a group, a requantize is put between and reported.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edgekit.errors import BadConfig, BadModel
from edgekit.fixedpoint import integer_range
from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.ops import op_of
from edgekit.ops.int16 import WIDE
from edgekit.ops.op import Op
from edgekit.passes.quantize import shares, sound
from edgekit.passes.quantize.narrow import narrow_weights, row_scales
from edgekit.passes.quantize.observe import Observations, Observed
from edgekit.passes.quantize.ranges import OBSERVERS
from edgekit.passes.quantize.recurrent import bias_floor, origin, ties, weight_scales, wide_affine, wide_values
from edgekit.passes.quantize.storage import STORAGE

SATURATED = 1e30  # padding and clamp constants beyond this mean "the lowest (highest) value there is", not a range to hold
SMALLEST_SCALE = 2.0**-40
KEPT = "it was asked to (--keep-float)"
FINEST_SCORES = 2.0**-24  # times beta: the step of a softmax's input; its multiplier has no right shift
LONGEST_LOG_SOFTMAX = 4095  # a sum of as many exponentials, each at most 1, has 12 integer bits
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
class Scheme:
    """Which integers a graph is made of. per_channel: the operators whose weights have a scale an output channel.
    weights: "int8", or "int4" (of the operators of `narrow.NARROW`; weights of others are int8 then, too).

    FULLY_CONNECTED is per tensor by default, as TensorFlow's converter has it: per channel costs 12 bytes a channel in the
    file and needs a recent interpreter. Where precision matters more (10 dB on MLPerf Tiny's autoencoder, for 7 % of file)
    pass a Scheme that lists it; TFLM and LiteRT run it.
    """

    name: str
    weights: str = "int8"
    activations: str = "int8"
    per_channel: tuple[str, ...] = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


SCHEMES: dict[str, Scheme] = {
    "int8": Scheme("int8"),
    # Weights are the larger error here, so dense layers have a scale an output, too.
    "int16x8": Scheme(
        "int16x8", activations="int16", per_channel=("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
    ),
    "int4": Scheme("int4", weights="int4", per_channel=("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")),
}

Affine = tuple[float, int]  # (scale, zero point)


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


def find_scheme(name: str | Scheme) -> Scheme:
    """The scheme of that name (a Scheme is itself). Raises BadConfig."""
    if isinstance(name, Scheme):
        return name
    if name not in SCHEMES:
        raise BadConfig(f"there is no quantization scheme {name}", f"schemes: {', '.join((*SCHEMES, *STORAGE))}")
    return SCHEMES[name]


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


def affine(low: float, high: float, dtype: str) -> Affine:
    """(scale, zero point) for low..high widened to hold zero, zero exact, scale a float32.

    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, sec. 3.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    smallest, largest = integer_range(dtype)
    if dtype == "int16":  # symmetric: kernels of 16 bits have no zero points
        return max(float(np.float32(max(-low, high) / largest)), SMALLEST_SCALE) if high > low else 1.0, 0
    scale = float(np.float32((high - low) / (largest - smallest)))
    if scale < SMALLEST_SCALE:
        return 0.5, 0  # always zero: any scale will do, but tiny ones overflow multipliers, and TFLite compares below 1 only
    zero = smallest - low / scale
    return scale, int(min(largest, max(smallest, math.floor(zero + 0.5))))


def why_float(graph: Graph, node: Node, scheme: Scheme = SCHEMES["int8"]) -> str:
    """Why a node with float values cannot be made of integers; "" when it can."""
    op = op_of(node)
    if scheme.activations == "int16" and node.op not in WIDE:
        return f"{node.op} has no int16 meaning"
    if op.integer is None or op.quant == "none":
        return f"{node.op} has no int8 meaning"
    own_bias = [] if op.recurrent is None else [op.recurrent.recurrent_bias]
    for index in (i for i in (*op.weights, op.bias, *own_bias) if i is not None):
        tensor = graph.tensor(node.inputs[index]) if index < len(node.inputs) else None
        if tensor is not None and not tensor.is_const:
            return "its weights are not constant"
    if node.op == "LOG_SOFTMAX" and graph[node.outputs[0]].shape[-1] > LONGEST_LOG_SOFTMAX:
        return f"the sum of {graph[node.outputs[0]].shape[-1]} exponentials does not fit its 12 integer bits"
    if node.op == "DIV" and not _never_zero(graph[str(node.inputs[1])]):
        return "its divisor may round to zero"  # a range always holds zero, and integer kernels do not divide by it
    if node.op == "POW" and not (graph[str(node.inputs[1])].is_const and graph[str(node.inputs[1])].elements == 1):
        return "its exponent is not one constant"
    if node.op == "SCATTER_ND" and not _each_once(graph[str(node.inputs[0])]):
        return "it may add several values at one place"
    return ""


def _each_once(indices: Tensor) -> bool:
    """True for constant indices of which no two are the same."""
    if indices.data is None:
        return False
    rows = indices.data.reshape(-1, indices.shape[-1])
    return len(np.unique(rows, axis=0)) == len(rows)


def _never_zero(divisor: Tensor) -> bool:
    """True for a constant of which no element becomes the zero point."""
    if not divisor.is_const:
        return False
    values = divisor.real()
    scale, _ = affine(float(values.min()), float(values.max()), "int8")
    return bool(np.all(np.abs(values) > 0.51 * scale))


def _too_fine(graph: Graph, groups: Groups, activations: Mapping[str, Affine]) -> dict[str, tuple[float, float]]:
    """Values whose scale is too fine for a kernel's multipliers, with a range that is not: results that cancel out, scores
    of a softmax that are all but equal."""
    widened: dict[str, tuple[float, float]] = {}
    kind = groups.scheme.activations
    finest, half = FINEST_OUTPUT[kind], -integer_range(kind)[0]
    for node in graph.nodes:
        name = node.outputs[0]
        if node.op == "SOFTMAX" and kind == "int8" and name not in groups.islands and node.inputs[0] in activations:
            least, root = FINEST_SCORES / node.attrs.get("beta", 1.0), groups._find(str(node.inputs[0]))
            if activations[str(node.inputs[0])][0] < least:
                widened |= {n: (-128 * least, 128 * least) for n in groups.sources if groups._find(n) == root}
            continue
        if node.op not in finest or name not in groups.sources or name in groups.islands:
            continue
        least = finest[node.op] * max(activations[n][0] for n in node.inputs if n is not None)
        if activations[name][0] < least:
            widened[name] = (-half * least, half * least)
    return widened


class Groups:
    """The float graph's activations, united where one scale must hold for all (see `Op.quant`)."""

    def __init__(self, graph: Graph, scheme: Scheme, keep_float: Collection[str] = ()) -> None:
        self.graph, self.scheme = graph, scheme
        self.islands: dict[str, str] = dict.fromkeys(keep_float, KEPT)
        self.pins: dict[str, Affine] = {}  # outputs of fixed scale
        self.bounds: dict[str, list[float]] = {}  # constants and padding that a group must be able to hold
        self.parent: dict[str, str] = {}
        self.moving: list[Node] = []
        self.parts: dict[str, str] = {}  # a value within a CONCATENATION -> the value
        moves = [n for n in graph.nodes if op_of(n).quant == "same"]
        self.movers = Counter(name for n in moves for name in dict.fromkeys(n.inputs))
        self.sources: dict[str, None] = dict.fromkeys(n for n in graph.inputs if self._is_real(n))
        for name in self.sources:
            self._find(name)
        self.islands |= {n.outputs[0]: why for n in graph.nodes if op_of(n).recurrent and (why := why_float(graph, n, scheme))}
        self.islands |= dict.fromkeys(sound.front_end(graph), sound.WHY)
        self.wide = wide_values(graph, self.islands)
        self.widened: dict[str, str] = {}  # an int8 value where it is joined with wide ones -> the value that it is made of
        for node in graph.nodes:
            self._add(node)
        for state in graph.states:
            if self._is_real(state.input):
                self._unite(state.input, state.output)
                self._bound(state.input, state.init)

    def _is_real(self, name: str | None) -> bool:
        return name is not None and self.graph[name].dtype == "float32"

    def _add(self, node: Node) -> None:
        op = op_of(node)
        outputs = [n for n in node.outputs if self._is_real(n)]
        if not outputs and not any(self._is_real(n) for n in node.inputs):
            return  # works on ids
        why = why_float(self.graph, node, self.scheme) or self.islands.get(node.outputs[0], "")
        for name in outputs:
            self._find(name)
        if why:
            self.islands[node.outputs[0]] = why
            self.sources |= dict.fromkeys(outputs)
        elif op.quant == "fixed":
            self.pins |= dict.fromkeys(outputs, op.fixed[self.scheme.activations])
        elif op.quant == "same":
            self._move(node, op, outputs)
        elif op.recurrent is not None:
            self._recur(node, outputs)
        else:
            self.sources |= dict.fromkeys(outputs)
        if not why:
            for index in op.data_inputs(node):
                tensor = self.graph[str(node.inputs[index])]
                if tensor.is_const and self._is_real(tensor.name):
                    self._find(tensor.name)
                    self._bound(tensor.name, tensor.real())

    def _move(self, node: Node, op: Op, outputs: list[str]) -> None:
        self.moving.append(node)
        reals = [node.inputs[i] for i in op.data_inputs(node) if self._is_real(node.inputs[i])]
        whole = all(n in self.wide for n in outputs)  # moved in 16 bits
        joined = self._joined(node)
        for name in [*(n for n in reals if n is not None), *outputs]:
            if whole and name not in self.wide:
                self.widened[f"{name} in int16"] = origin(self.graph, name, self.graph.producers())
                self._unite(f"{name} in int16", outputs[0])
            else:
                self._unite(name if whole else joined.get(name) or self._narrow(name), outputs[0])
        if node.op == "PAD":
            self._bound(outputs[0], np.array([node.attrs.get("value", 0.0)]))

    def _joined(self, node: Node) -> dict[str, str]:
        """Inputs of a CONCATENATION that come from a value of fixed scale -> a name for what they are within it.

        They are requantized there, not where they were made: other readers (the box's part of a detector's sigmoid) keep
        the fine scale.
        """
        names = [n for n in dict.fromkeys(node.inputs) if n is not None and self._is_real(n)]
        held = {n: frozenset(self.pins[m] for m in self.pins if self._find(m) == self._find(n)) for n in names}
        if node.op != "CONCATENATION" or len(set(held.values())) == 1:
            return {}
        alone = [n for n in names if held[n] and n not in self.wide and self.movers[n] == 1]
        self.parts |= {f"{n} joined": n for n in alone}
        return {n: f"{n} joined" for n in alone}

    def _recur(self, node: Node, outputs: list[str]) -> None:
        """States: those of 8 bits share y's scale. A first state of another width is requantized when it is read."""
        self.sources |= dict.fromkeys(outputs)
        for _, first, last, kind in ties(node):
            if kind == "int8":
                self._unite(last, outputs[0])
            if first is not None and self._is_real(first) and (first in self.wide) == (kind == "int16"):
                self._unite(first, last)

    def _unite(self, a: str, b: str) -> None:
        self.parent[self._find(a)] = self._find(b)

    def _narrow(self, name: str) -> str:
        """The int8 form of a wide value, as a value of its own; any other is itself."""
        return f"{name} in int8" if name in self.wide else name

    def _bound(self, name: str, values: Array) -> None:
        held = values[np.abs(values) < SATURATED]
        self.bounds.setdefault(name, []).extend([float(held.min()), float(held.max())] if held.size else [])

    def _find(self, name: str) -> str:
        root = name
        while self.parent.setdefault(root, root) != root:
            root = self.parent[root]
        while self.parent[name] != root:
            self.parent[name], name = root, self.parent[name]
        return root

    def solve(self, sources: Mapping[str, tuple[float, float]]) -> tuple[dict[str, Affine], dict[str, Affine]]:
        """({tensor: scale and zero point}, {pinned tensor: what its movers read it in}) from the sources' ranges."""
        plain = {self._narrow(n): n for n in self.wide} | self.widened
        for name in plain:
            self._find(name)
        members: dict[str, list[str]] = {}
        for name in self.parent:
            members.setdefault(self._find(name), []).append(name)
        activations: dict[str, Affine] = {}
        requantize: dict[str, Affine] = {}
        within: dict[str, Affine] = {}

        def held(root: str, above: tuple[str, ...] = ()) -> list[float]:
            """The ends of what a group holds, its own fixed scales apart; above: groups whose part it is, left out."""
            names = members[root]
            found = [v for n in names for v in (*sources.get(plain.get(n, n), ()), *self.bounds.get(n, ()))]
            others = dict.fromkeys(self._find(self.parts[n]) for n in names if n in self.parts)
            for whole in (o for o in others if o not in (*above, root)):
                found += held(whole, (*above, root))
                found += [v for m in members[whole] if m in self.pins for v in self._reach(self.pins[m])]
            return found

        for root, names in members.items():
            free = held(root)
            if not self.wide.isdisjoint(names):
                activations |= dict.fromkeys(
                    [n for n in names if n not in plain], wide_affine(min([0.0, *free]), max([0.0, *free]))
                )
                continue
            pinned = {n: self.pins[n] for n in names if n in self.pins}
            group = self._pin_that_holds(pinned, free)
            if group is None:
                reach = [v for pin in pinned.values() for v in self._reach(pin)]
                group = affine(min([0.0, *free, *reach]), max([0.0, *free, *reach]), self.scheme.activations)
                requantize |= dict.fromkeys(pinned, group)
            activations |= {n: pinned.get(n, group) for n in names if n not in plain and n not in self.parts}
            requantize |= {plain[n]: group for n in names if n in plain}
            within |= {self.parts[n]: group for n in names if n in self.parts}
        requantize |= {n: group for n, group in within.items() if activations[n] != group}
        return activations, requantize

    def _pin_that_holds(self, pinned: Mapping[str, Affine], free: list[float]) -> Affine | None:
        """The one fixed scale of a group, when it is one and holds every other value of the group to half a step."""
        if len(set(pinned.values())) != 1:
            return None
        pin = next(iter(pinned.values()))
        low, high = self._reach(pin)
        return pin if all(low - pin[0] / 2 <= v <= high + pin[0] / 2 for v in free) else None

    def _reach(self, pin: Affine) -> tuple[float, float]:
        smallest, largest = integer_range(self.scheme.activations)
        return pin[0] * (smallest - pin[1]), pin[0] * (largest - pin[1])


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
