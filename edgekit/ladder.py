"""--max-drop: try ways to quantize, cheapest first, until one loses no more accuracy than allowed on held-out data.

plain -> other observers -> equalized -> biases corrected -> weights rounded adaptively -> of int4, the worst layers in 8
bits -> the worst values in 16 bits -> the worst layers in float, or all in 16 bits (where the engine has them) -> training with
rounded values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import evaluate
from edgekit.coarse import coarse_inputs
from edgekit.data import Dataset
from edgekit.errors import BadData, EdgekitError
from edgekit.graph import Graph
from edgekit.measure import Measurement
from edgekit.passes.quantize import ObserverName, Rounding, layer_sqnr
from edgekit.passes.quantize.apply import IO
from edgekit.passes.quantize.refine import LAYERS
from edgekit.pipeline import Layout, Quantized, prepare, quantize_graph
from edgekit.sensitivity import in_16_bits
from edgekit.target import Target
from edgekit.tasks import Task

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress

OBSERVERS: tuple[ObserverName, ...] = ("percentile", "mse", "entropy")
WORST = (1, 2, 4, 8)  # layers that stay float
SAMPLES = 8  # that layers are ranked on
EPOCHS = 8  # of training, the last rung


@dataclass(frozen=True)
class Way:
    """How to quantize: the keyword arguments of `pipeline.quantize_graph` that a recipe keeps."""

    scheme: str = "int8"
    observer: ObserverName = "minmax"
    equalize: bool = False
    bias_correction: bool = False
    rounding: Rounding = "nearest"
    keep_float: tuple[str, ...] = ()
    keep_int8: tuple[str, ...] = ()
    int16: tuple[str, ...] = ()
    qat: int = 0

    def options(self) -> dict[str, Any]:
        """What differs from the plain way, as command-line options are named."""
        plain = asdict(Way())
        usual = {"rounding": self.rounding} if self.scheme == "int4" else {}  # what is usual there is another
        return {name: value for name, value in asdict(self).items() if value != plain[name]} | usual


@dataclass(frozen=True)
class Rung:
    """One try. accuracy: the task's metric; drop: points of it lost, or percent that an error grew (negative: won); None where
    it could not be tried, and `why` says it."""

    name: str
    way: Way
    accuracy: float | None
    drop: float | None
    why: str = ""


@dataclass
class Climb:
    """rungs: all tries, in order. done, way: of the first that kept the budget, or of the best; before: the float accuracy."""

    before: Measurement
    limit: float
    rungs: list[Rung] = field(default_factory=list)
    done: Quantized | None = None
    way: Way = Way()
    drop: float = float("inf")
    task: Task | None = None
    coarse: tuple[str, ...] = ()  # what the plain way said of the inputs' features

    @property
    def kept(self) -> bool:
        return self.drop <= self.limit


def climb(
    graph: Graph,
    data: Dataset,
    judged: Dataset,
    engine: str,
    limit: float,
    *,
    start: Way,
    io: IO = "int8",
    layout: Layout | None = None,
    train: Dataset | None = None,
    target: Target | None = None,
    task: Task | None = None,
    say: Callable[[Rung], None] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Climb:
    """Climb until at most `limit` points of the metric (percent of an error, see `evaluate.drop`) are lost on `judged`. `start`
    is kept on every rung. train: what the last rung learns from (default: `data`). say: told of each rung. Raises BadData when
    accuracy cannot be judged, and what plain quantizing does."""
    before = evaluate.judged(prepare(graph, engine, layout, whole=True), judged, task=task)
    if before.value is None:
        raise BadData(f"--max-drop cannot be judged: {before.note}", "give labelled data: --eval D2, or --split 20%")
    found = Climb(before, limit, task=task)
    fixed = {"io": io, "layout": layout, "train": train, "task": task, "checkpoint": checkpoint, "progress": progress}
    for name, way in _ways(found, data, start, target, io):
        rung = _attempt(found, name, way, graph, judged, data=data, engine=engine, **fixed)
        found.rungs.append(rung)
        if say is not None:
            say(rung)
        if found.kept:
            break
    return found


def _attempt(found: Climb, name: str, way: Way, graph: Graph, judged: Dataset, **fixed: Any) -> Rung:
    try:
        done = quantize_graph(graph, **fixed, **asdict(way))
        after = evaluate.judged(done.after, judged, task=found.task)
    except EdgekitError as error:
        if not found.rungs:
            raise  # what is wrong with the plain way is wrong with all
        return Rung(name, way, None, None, error.message.splitlines()[0])
    if not found.rungs:
        found.coarse = coarse_inputs(done.after, fixed["data"])
    drop = evaluate.drop(found.before, after).value
    if drop is None:
        return Rung(name, way, None, None, after.note)
    if drop < found.drop:
        found.done, found.way, found.drop = done, way, drop
    return Rung(name, way, after.value, drop)


def _ways(found: Climb, data: Dataset, start: Way, target: Target | None, io: IO) -> Iterator[tuple[str, Way]]:
    """Names and ways, each made of the best before it: asked for one by one."""
    yield _name(start), start
    for observer in OBSERVERS:
        if observer != start.observer:
            yield f"observer {observer}", replace(start, observer=observer)
    best = found.way
    if not start.equalize:
        yield "equalized", replace(start, equalize=True)
        if best.observer != start.observer:
            yield f"equalized, observer {best.observer}", replace(best, equalize=True)
    if not start.bias_correction:
        yield f"{_name(found.way)}, biases corrected", replace(found.way, bias_correction=True)
    if start.rounding == "nearest":
        yield f"{_name(found.way)}, rounded adaptively", replace(found.way, rounding="adaptive")
        if not found.way.bias_correction:
            both = replace(found.way, rounding="adaptive", bias_correction=True)
            yield f"{_name(both)}, both", both
    if start.scheme == "int4":
        worst = _worst(found.done, data)
        for count in (n for n in WORST if n < len(worst)):
            kept = (*start.keep_int8, *worst[:count])
            yield f"{count} worst layer{'s' if count > 1 else ''} in 8 bits", replace(found.way, keep_int8=kept)
        yield "int8", replace(found.way, scheme="int8", keep_int8=())
    integers = found.way
    if start.scheme in {"int8", "int4"}:
        gains = _in_16_bits(found, data, io)
        for count in (n for n in WORST if n <= len(gains)):
            nodes = tuple(dict.fromkeys([*start.int16, *(name for nodes in gains[:count] for name in nodes)]))
            yield f"{count} worst value{'s' if count > 1 else ''} in 16 bits", replace(integers, int16=nodes)
        if target is None or "float32" in target.schemes:
            worst = _worst(found.done, data)
            for count in (n for n in WORST if n <= len(worst) / 2):
                kept = (*start.keep_float, *worst[:count])
                yield f"{count} worst layer{'s' if count > 1 else ''} in float", replace(integers, keep_float=kept)
        yield "int16x8", replace(start, scheme="int16x8", equalize=integers.equalize, keep_int8=(), int16=())
    if not start.qat:
        trained = replace(integers, rounding="nearest", bias_correction=False, qat=EPOCHS)
        yield _name(trained), trained


def _name(way: Way) -> str:
    words = [
        way.scheme if way.scheme != "int8" else "",
        f"observer {way.observer}" if way.observer != "minmax" else "",
        "equalized" if way.equalize else "",
        "biases corrected" if way.bias_correction else "",
        "rounded adaptively" if way.rounding == "adaptive" else "",
        f"{len(way.keep_float)} layers in float" if way.keep_float else "",
        f"{len(way.keep_int8)} layers of 8 bits" if way.keep_int8 else "",
        f"{len(way.int16)} nodes in 16 bits" if way.int16 else "",
        f"trained {way.qat} epochs" if way.qat else "",
    ]
    return ", ".join(w for w in words if w) or "plain"


def _in_16_bits(found: Climb, data: Dataset, io: IO) -> list[tuple[str, ...]]:
    """By values that gain most from 16 bits: the nodes that make and read them."""
    if found.done is None or found.done.after.states:
        return []
    way, few = found.way, list(islice(data, SAMPLES))
    settings = {"scheme": way.scheme, "observer": way.observer, "keep_float": way.keep_float, "keep_int8": way.keep_int8}
    try:
        return [nodes for _, nodes, _ in in_16_bits(found.done.before, data, few, io=io, **settings)]  # type: ignore[arg-type]
    except EdgekitError:
        return []  # the rungs below say what cannot be done


def _worst(done: Quantized | None, data: Dataset) -> list[str]:
    """Layers with weights by the noise they add of their own, worst first."""
    if done is None:
        return []
    ops = {name: node.op for name, node in done.before.producers().items()}
    layers = layer_sqnr(done.before, done.layers, islice(data, SAMPLES))
    alone = [
        (layer.cumulative if layer.isolated is None else layer.isolated, layer.tensor)
        for layer in layers
        if ops[layer.tensor] in LAYERS
    ]
    return [name for _, name in sorted(alone)]
