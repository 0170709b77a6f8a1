"""Post-training quantization: observe -> choose -> apply, with plain data between.

wanted tensors -> Observations (ranges, histograms) -> Choice (scales) -> integer Graph
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgekit.errors import BadConfig, BadModel
from edgekit.graph import Array, Graph
from edgekit.passes.quantize import masks, shares
from edgekit.passes.quantize.apply import IO, apply
from edgekit.passes.quantize.choose import Choice, choose, refitted, wanted
from edgekit.passes.quantize.mixed import mixed
from edgekit.passes.quantize.observe import Observations, observe
from edgekit.passes.quantize.recurrent import narrowed
from edgekit.passes.quantize.refine import Refined, refine, with_biases
from edgekit.passes.quantize.scheme import SCHEMES, Scheme, find_scheme
from edgekit.passes.quantize.sqnr import LayerSqnr, layer_sqnr

__all__ = [
    "SCHEMES",
    "Choice",
    "LayerSqnr",
    "Observations",
    "QuantReport",
    "Scheme",
    "apply",
    "choose",
    "find_scheme",
    "layer_sqnr",
    "observe",
    "quantize",
    "quantize_with_report",
    "refitted",
    "wanted",
]

ObserverName = Literal["minmax", "percentile", "mse", "entropy"]
Rounding = Literal["nearest", "adaptive"]


@dataclass(frozen=True)
class QuantReport:
    """What quantizing did that a reader should know.

    islands: (operator, source node, why) of every node that stayed float. requantizes: (tensor, its fixed scale, the scale
    it is moved in). flushed: (weight tensor, channels set to zero, channels). samples: how many were observed.
    masks: (masked scores, the finite value that now masks them). refined: rounding and bias correction, by layer.
    trained: the float graph as training left it (None: it was not trained). compared: the float graph that the integers were
    made of, with its masks as low as they are there.
    """

    choice: Choice
    islands: tuple[tuple[str, str, str], ...]
    requantizes: tuple[tuple[str, float, float], ...]
    flushed: tuple[tuple[str, int, int], ...]
    samples: int
    masks: tuple[tuple[str, float], ...] = ()
    refined: tuple[Refined, ...] = ()
    trained: Graph | None = None
    compared: Graph | None = None


def quantize(
    graph: Graph,
    data: Iterable[Mapping[str, Array]],
    *,
    scheme: str | Scheme = "int8",
    observer: ObserverName = "minmax",
    io: IO = "int8",
) -> Graph:
    """The integer graph of a float graph that was simplified ("deploy") and legalized; see `quantize_with_report`."""
    return quantize_with_report(graph, data, scheme=scheme, observer=observer, io=io)[0]


def quantize_with_report(
    graph: Graph,
    data: Iterable[Mapping[str, Array]],
    *,
    scheme: str | Scheme = "int8",
    observer: ObserverName = "minmax",
    io: IO = "int8",
    bias_correction: bool = False,
    rounding: Rounding = "nearest",
    keep_float: Sequence[str] = (),
    keep_int8: Sequence[str] = (),
    int16: Sequence[str] = (),
    train: Callable[[Graph, Choice], Graph] | None = None,
) -> tuple[Graph, QuantReport]:
    """Quantize on `data` (samples in the source model's layout, read once, or twice to refine) and say what was done.

    bias_correction, rounding="adaptive": see `refine`. keep_float: names of nodes (their source, or a value they make) that
    stay float; keep_int8: of those whose weights keep 8 bits in scheme int4; int16: that have
    16-bit activations (see `mixed`). train: makes of the float graph and its choice one
    with better constants. Raises BadModel for a graph that is quantized already, BadConfig for an unknown scheme, observer,
    io or node, BadData for data that does not fit.
    """
    if graph.is_quantized:
        raise BadModel(f"'{graph.name}' is quantized already", "quantize the float model it was made from")
    if rounding not in ("nearest", "adaptive"):
        raise BadConfig(f"rounding is nearest or adaptive, not {rounding}")
    kind = find_scheme(scheme)
    graph = masks.tame(with_biases(graph) if bias_correction else graph)
    kept, eight, sixteen = named(graph, keep_float), named(graph, keep_int8), named(graph, int16)
    wide = SCHEMES["int16x8"]
    if sixteen and (kind.activations == "int16" or train is not None):
        raise BadConfig("--int16 mixes 16 bits into int8 or int4, untrained", "without --qat, and --scheme int8 or int4")
    steps = dict.fromkeys(shares.find(graph) if kind.activations == "int8" else [], shares.STEP)
    asked = [*wanted(graph, kind, kept), *(wanted(graph, wide, kept) if sixteen else [])]
    names = list(dict.fromkeys([*asked, *masks.watched(graph), *steps]))
    seen = observe(graph, data, names, histograms=observer != "minmax", steps=steps)
    graph, seen, masked = masks.settle(graph, seen)
    choice = choose(graph, seen, scheme=kind, observer=observer, keep_float=kept, keep_int8=eight)
    trained = None
    if train is not None:
        graph = trained = train(graph, choice)
        choice = refitted(graph, choice)  # what training rounded by, not ranges of constants that have moved
    made, refined = apply(graph, choice, io=io), list[Refined]()
    if bias_correction or rounding == "adaptive":
        made, refined = refine(graph, made, data, rounding=rounding == "adaptive", bias=bias_correction)
    if sixteen:
        other = apply(graph, choose(graph, seen, scheme=wide, observer=observer, keep_float=kept), io=io)
        if bias_correction or rounding == "adaptive":
            other, _ = refine(graph, other, data, rounding=rounding == "adaptive", bias=bias_correction)
        made = mixed(graph, made, other, sixteen)
    report = describe(graph, choice, seen.samples)
    return made, replace(report, masks=tuple(masked), refined=tuple(refined), trained=trained, compared=graph)


def named(graph: Graph, names: Sequence[str]) -> list[str]:
    """First outputs of the nodes of these names: their operator (all such nodes), their source ("Gemm '/a/Gemm'", or /a/Gemm
    alone), or a value they make.

    Raises BadConfig for one unknown.
    """
    found = {
        name: [n.outputs[0] for n in graph.nodes if name in (n.op, n.source, *n.outputs) or n.source.endswith(f" '{name}'")]
        for name in names
    }
    unknown = [name for name, outputs in found.items() if not outputs]
    if unknown:
        known = list(dict.fromkeys(n.source or n.outputs[0] for n in graph.nodes))
        near = [m for name in unknown for m in difflib.get_close_matches(name, known, 2)] or known[:6]
        raise BadConfig(f"the model has no node {', '.join(unknown)}", f"nodes are named as in `inspect`: {', '.join(near)}")
    return list(dict.fromkeys(o for outputs in found.values() for o in outputs))


def describe(graph: Graph, choice: Choice, samples: int) -> QuantReport:
    """The report of a choice made for `graph`."""
    islands = tuple(
        (n.op, n.source or n.outputs[0], choice.islands[n.outputs[0]]) for n in graph.nodes if n.outputs[0] in choice.islands
    )
    idle = set(choice.wide) - narrowed(graph, choice.wide)
    moved = {name: group for name, group in choice.requantize.items() if name not in idle}
    requantizes = tuple((name, choice.activations[name][0], group[0]) for name, group in moved.items())
    flushed = tuple((name, len(channels), _channels(graph, name)) for name, channels in choice.flushed.items())
    return QuantReport(choice, islands, requantizes, flushed, samples)


def _channels(graph: Graph, weight: str) -> int:
    from edgekit.ops import op_of

    return next(
        graph[weight].shape[axis]
        for node in graph.nodes
        for index, axis in op_of(node).weights.items()
        if index < len(node.inputs) and node.inputs[index] == weight
    )
