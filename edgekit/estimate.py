"""What a network asks of a processor (`work`), and the time it takes one (`Calibration`): the estimate behind `latency`.

Time = sum over the kinds of work: amount x nanoseconds each. The nanoseconds of an engine on a device are fitted to
published latencies by `benchmarks.estimates`, or to one's own by `edgekit targets calibrate`, and lie in the device's profile
with the error that cross-validation found. Nothing here knows a model by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from edgekit.graph import Graph, Node
from edgekit.latency import KINDS, OWN, Calibration
from edgekit.measure import UNITS, Measurement, unavailable
from edgekit.ops import op_of
from edgekit.report.numbers import percent
from edgekit.target import Target

__all__ = ["KINDS", "MACS", "Work", "choose", "latency", "macs_of", "nanoseconds", "precision_of", "unseen", "work"]

MACS = ("first", "conv", "pointwise", "depthwise", "dense")
LANES = 16
SHORT = 48  # values that one output of the image layer is a sum of: 3x3 of three colours, 10x4 of one
VIEWS = {"RESHAPE"}  # no work: the same bytes under another shape
# What the networks of the published tables consist of, and what works as these do. Others are counted alike, but nobody has
# compared that with a device.
PUBLISHED = frozenset(
    {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "CONCATENATION", "PAD", "RESHAPE", "SOFTMAX"),
        *("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "SUM", "REDUCE_MAX", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH"),
        *("HARD_SIGMOID", "LOGISTIC", "QUANTIZE", "DEQUANTIZE"),
    }
)
UNSEEN = 0.1  # share of an estimate that others may have
# How far outside the calibrated range of multiply-accumulates an estimate is still given (and says so).
STRETCH = 32.0

Work = dict[str, float]


def kind_of(node: Node, graph: Graph) -> str:
    """The key of KINDS that the node's multiply-accumulates count under."""
    if node.op in {"CONV_2D", "TRANSPOSE_CONV"}:
        weights = graph.input_tensors(node)[1]
        assert weights is not None
        _, height, width, channels = weights.shape
        if height * width == 1:
            return "pointwise"
        return "first" if height * width * channels <= SHORT else "conv"
    return "depthwise" if node.op == "DEPTHWISE_CONV_2D" else "dense"


def windows(node: Node, graph: Graph) -> float:
    """Values of the kernel's plane over all places where it is laid; 0 for 1x1, which reads its input as it lies."""
    read, weights = graph.input_tensors(node)[:2]
    (made,) = graph.output_tensors(node)
    assert read is not None
    assert weights is not None
    _, height, width, _ = weights.shape
    placed = read if node.op == "TRANSPOSE_CONV" else made
    return 0.0 if height * width == 1 else float(height * width * placed.elements / placed.shape[-1])


def unfilled(node: Node, graph: Graph, macs: float) -> float:
    """Multiply-accumulates that vectors of LANES would do besides the `macs`: along the sum that makes one value, for a
    depthwise convolution along its channels."""
    inputs = graph.input_tensors(node)
    if len(inputs) < 2 or inputs[1] is None or not inputs[1].is_const or not macs:
        return 0.0
    shape = inputs[1].shape
    length = shape[-1] if node.op == "DEPTHWISE_CONV_2D" else math.prod(shape[1:])
    return macs * (-(-length // LANES) * LANES / length - 1)


def work_of(node: Node, graph: Graph) -> Work:
    """Amount of each of KINDS in one run of the node, its weights apart."""
    found = dict.fromkeys(KINDS, 0.0)
    if node.op in VIEWS:
        return found
    outputs = graph.output_tensors(node)
    rule = op_of(node).macs
    written = sum(t.elements for t in outputs)
    found["ops"] = 1
    if rule is None:
        found["moved"] = written
        return found
    macs = rule(node, graph.input_tensors(node), outputs)
    found[kind_of(node, graph)] = macs
    found["outputs"] = written
    found["idle"] = unfilled(node, graph, macs)
    if node.op in {"CONV_2D", "TRANSPOSE_CONV"}:
        found["taps"] = windows(node, graph)
    return found


def work(graph: Graph) -> Work:
    """Amount of each of KINDS in one run of the graph; `kinds` of a quantized graph and its float form are the same."""
    parts = [work_of(node, graph) for node in graph.nodes]
    found = {kind: sum(part[kind] for part in parts) for kind in KINDS}
    used = [t for node in graph.nodes for t in graph.input_tensors(node) if t is not None and t.is_const]
    found["weights"] = float(sum({tensor.name: tensor.elements for tensor in used}.values()))
    return found


def unseen(graph: Graph, found: Calibration, whole: float) -> dict[str, float]:
    """Share of the estimated time, `whole` nanoseconds, of each operator that no published network has, largest first."""
    shares = dict[str, float]()
    for node in graph.nodes:
        if node.op not in PUBLISHED:
            shares[node.op] = shares.get(node.op, 0.0) + nanoseconds(work_of(node, graph), found) / (whole or 1.0)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def macs_of(amounts: Mapping[str, float]) -> float:
    """Multiply-accumulates in all."""
    return sum(amounts.get(kind, 0.0) for kind in MACS)


def precision_of(graph: Graph) -> str:
    return "int8" if graph.is_quantized else "float32"


def nanoseconds(amounts: Mapping[str, float], found: Calibration) -> float:
    """Estimated time of one run."""
    return sum(amounts[kind] * found.ns[kind] for kind in KINDS)


def choose(target: Target, engine: str, precision: str, threads: int | None = None) -> Calibration | None:
    """The profile's calibration of the engine and precision, of `threads` or else the most threads; None without one."""
    fits = [c for c in target.latency if (c.engine, c.precision) == (engine, precision) and threads in (None, c.threads)]
    return max(fits, key=lambda c: c.threads, default=None)


def latency(graph: Graph, target: Target, engine: str, threads: int | None = None) -> Measurement:
    """The metric "latency" of a graph, as it would be exported for `engine`, on `target`. Unavailable, with the reason, when
    the profile has no calibration for it or the network is more than STRETCH times outside its range. Without an error
    where more than UNSEEN of it are operators outside PUBLISHED, unless the calibration is the user's own."""
    precision = precision_of(graph)
    found = choose(target, engine, precision, threads)
    if found is None:
        known = ", ".join(sorted({f"{c.engine} {c.precision} {c.threads} threads" for c in target.latency})) or "nothing"
        asked = f"{engine} {precision}" + (f" {threads} threads" if threads else "")
        return unavailable(
            "latency", f"the profile is not calibrated for {asked} (it is for: {known}); `edgekit targets calibrate` does it"
        )
    amounts = work(graph)
    macs, (least, most) = macs_of(amounts), found.macs
    if macs < least / STRETCH or macs > most * STRETCH:
        return unavailable(
            "latency",
            f"{macs / 1e6:,.3g} million multiply-accumulates are far outside the {least / 1e6:,.3g} to {most / 1e6:,.3g} that "
            f"{found.title} is calibrated for",
        )
    inside = least <= macs <= most
    error: float | None = found.error if inside else max(found.error, found.outside)
    measured = f"{found.here} of them on this device" if found.here else "none of them on this device"
    threaded = f"CPU, {found.threads} thread{'s' * (found.threads > 1)}"
    note = (
        f"{found.title} {found.version}, {threaded}: fitted to {found.rows} latencies of {found.networks} networks, "
        f"{measured}; error: {found.checked}, {percent(found.error)} on average"
    )
    if not inside:
        note += (
            f"; this network's {macs / 1e6:,.3g} million multiply-accumulates are outside the {least / 1e6:,.3g} to "
            f"{most / 1e6:,.3g} it is calibrated for: {percent(error or 0)}, the error of networks so far outside a fit"
        )
    whole = nanoseconds(amounts, found)
    strange = {} if found.source == OWN else unseen(graph, found, whole)
    if sum(strange.values()) > UNSEEN:
        error = None
        named = ", ".join(f"{op} {percent(share)}" for op, share in list(strange.items())[:3])
        note += (
            f"; but {percent(sum(strange.values()))} of the estimate are operators that none of those networks has "
            f"({named}): how far off it is is not known"
        )
    return Measurement("latency", whole / 1e6, UNITS["latency"], "estimated", error, note, "edgekit estimate")
