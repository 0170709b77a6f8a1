"""The way from a loaded Graph to what an engine gets: simplify, layout of the edge, legalize; and quantization on top."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.boundary import source_shape
from edgekit.data import Dataset, sample_shapes
from edgekit.errors import BadConfig, BadModel, OpenShape
from edgekit.graph import Graph, Shape
from edgekit.load import load
from edgekit.passes.finite import check_finite
from edgekit.passes.io_layout import io_layout
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import Choice, ObserverName, QuantReport, Rounding, Scheme, named, quantize_with_report
from edgekit.passes.quantize.apply import IO
from edgekit.passes.quantize.equalize import equalize as equalized
from edgekit.passes.quantize.features import WHY, Scaled, scaled
from edgekit.passes.quantize.scheme import find_scheme
from edgekit.passes.quantize.storage import STORAGE, stored
from edgekit.passes.simplify import simplify
from edgekit.tasks import Task

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress
    from edgekit.passes.finetune_qat import QatReport

Layout = Literal["source", "nhwc"]


@dataclass(frozen=True)
class Source:
    """A model as the user named it. sha256: of the file (and of the weights file after it, if there is one)."""

    text: str
    sha256: str
    graph: Graph


def open_model(model: str | Path | Graph, data: str | Path | Dataset | Graph | None = None, **load_options: Any) -> Source:
    """Load a model with the hash of its bytes. A Graph passes as it is. data: tells the sizes that the model leaves open; so
    does a graph of the same inputs.

    Raises BadModel for weights that are not numbers, and what loading raises.
    """
    if isinstance(model, Graph):
        return Source(model.name, "", model)
    if (Path(model) / "model.py").is_file() and not (Path(model) / "saved_model.pb").is_file():
        model = Path(model) / "model.py"  # a folder like those in models/
    try:
        graph = load(str(model), **load_options)
    except OpenShape as error:
        told = _told(data, error.inputs)
        if not told:
            raise
        graph = load(str(model), **{**load_options, "shapes": {**told, **(load_options.get("shapes") or {})}})
    check_finite(graph)
    digest = hashlib.sha256()
    path = model_file(model)
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    if load_options.get("weights"):
        digest.update(Path(load_options["weights"]).read_bytes())
    return Source(str(model), digest.hexdigest(), graph)


def _told(data: str | Path | Dataset | Graph | None, inputs: Sequence[str]) -> dict[str, Shape]:
    """{input: its shape} of those that data, or a graph with inputs of the same names or as many, tells."""
    if data is None:
        return {}
    if not isinstance(data, Graph):
        return sample_shapes(data, inputs)
    same = set(inputs) <= set(data.inputs)
    if not same and len(inputs) != len(data.inputs):
        return {}
    return {own: source_shape(data, own if same else data.inputs[i]) for i, own in enumerate(inputs)}


def model_file(model: str | Path) -> Path:
    """The file of MODEL, without the ":function" of a Python one."""
    text = str(model)
    head, colon, tail = text.rpartition(":")
    return Path(head) if colon and head.endswith(".py") and tail.isidentifier() else Path(text)


def prepare(graph: Graph, engine: str, layout: Layout | None = None, *, whole: bool = False) -> Graph:
    """What `engine` ("onnx", "tflite", "tflm", "c") gets: simplified, its edge in `layout` (default: "source" for ONNX,
    "nhwc" else), only operators the engine has. Integer outputs do not change (but see
    `legalize.re_rounded`). Raises Unsupported.

    whole: see `legalize`.
    """
    chosen: Layout = layout or ("source" if engine == "onnx" else "nhwc")
    deployed = io_layout(simplify(graph, "deploy"), chosen)
    return legalize(deployed, engine, whole=whole)


@dataclass(frozen=True)
class Quantized:
    """before: the float graph that was calibrated; after: its integer form; report: what was done; qat: how training went;
    notes: what was changed by itself that the user should know; whole: `after` before it was legalized again."""

    before: Graph
    after: Graph
    report: QuantReport
    qat: QatReport | None = None
    notes: tuple[str, ...] = ()
    whole: Graph | None = None

    @property
    def layers(self) -> Graph:
        """The integer graph with the layers of `before`: legalizing 4 bits for TFLM makes convolutions of dense ones."""
        return self.whole if self.whole is not None and self.report.choice.narrow else self.after


def needs_data(scheme: str) -> BadConfig:
    """That a scheme calibrates, and nothing was given to calibrate on."""
    return BadConfig(f"{scheme} needs data to calibrate on", f"--data D; without: --scheme {', --scheme '.join(STORAGE)}")


def usual_rounding(scheme: str, graph: Graph, trained: bool) -> Rounding:
    """How weights are rounded where nobody asked: 4 bits need the data, unless they are trained or layers cannot be refined."""
    return "adaptive" if scheme == "int4" and not trained and not graph.states else "nearest"


def quantize_graph(
    graph: Graph,
    data: Dataset | None,
    engine: str,
    *,
    scheme: str = "int8",
    observer: ObserverName = "minmax",
    io: IO = "int8",
    layout: Layout | None = None,
    equalize: bool = False,
    bias_correction: bool = False,
    rounding: Rounding | None = None,
    keep_float: Sequence[str] = (),
    keep_int8: Sequence[str] = (),
    int16: Sequence[str] = (),
    qat: int = 0,
    train: Dataset | None = None,
    task: Task | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Quantized:
    """Prepare a float graph for `engine` and quantize it on `data` (None: only for a scheme that stores weights). Raises
    BadModel when it is quantized already.

    equalize: see `passes.quantize.equalize`; `before` is then the equalized graph. qat: epochs of training with rounded values,
    on `train` (default: `data`) for `task` (default: what its labels speak of), continued from `checkpoint` if it is there;
    raises MissingTool without PyTorch. The rest: see `quantize_with_report`. Raises BadConfig for ways that a scheme which only
    stores weights has no use for.
    """
    if graph.is_quantized:
        raise BadModel(f"'{graph.name}' is quantized already", "quantize the float model it was made from")
    check_finite(graph)
    if scheme in STORAGE:
        given = {"--equalize": equalize, "--bias-correction": bias_correction, "--rounding": rounding == "adaptive"}
        given |= {"--observer": observer != "minmax", "--keep-float": bool(keep_float), "--qat": bool(qat)}
        given |= {"--keep-int8": bool(keep_int8), "--int16": bool(int16)}
        if any(given.values()):
            unused = ", ".join(name for name, there in given.items() if there)
            raise BadConfig(f"{unused}: {scheme} computes in float32 and has no use for it", "--scheme int8, or without it")
        before = prepare(graph, engine, layout)
        choice = Choice(Scheme(scheme, STORAGE[scheme], "float32", ()), "none", {}, {})
        return Quantized(before, stored(before, scheme, engine), QuantReport(choice, (), (), (), 0))
    if data is None:
        raise needs_data(scheme)
    if keep_int8 and scheme != "int4":
        raise BadConfig(f"--keep-int8: weights have 8 bits in scheme {scheme} anyway", "--scheme int4, or without it")
    before = prepare(graph, engine, layout, whole=True)
    if equalize:
        before, _ = equalized(before, data)
    even = Scaled(before)
    if io == "float":
        even = scaled(before, data, named(before, keep_float), find_scheme(scheme).activations)
        before = even.graph
    trainer = None
    if qat:
        from edgekit.passes.finetune_qat import Qat  # heavy: PyTorch

        trainer = Qat(train if train is not None else data, epochs=qat, task=task, checkpoint=checkpoint, progress=progress)
    after, report = quantize_with_report(
        before,
        data,
        scheme=scheme,
        observer=observer,
        io=io,
        bias_correction=bias_correction,
        rounding=rounding or usual_rounding(scheme, graph, bool(qat)),
        keep_float=[*keep_float, *even.kept],
        keep_int8=keep_int8,
        int16=int16,
        train=trainer,
    )
    legal = legalize(after, engine)
    learned = None if trainer is None else trainer.compare(legal, (data.held_out if data.held_out is not None else data))
    own = {node.source or node.outputs[0] for node in before.nodes if node.outputs[0] in even.kept}
    report = replace(report, islands=tuple((op, s, WHY if s in own else why) for op, s, why in report.islands))
    return Quantized(before, legal, report, learned, even.notes, after)
