"""`quantize`: calibrate a float model on data, quantize, judge before and after, and say what makes the file again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import deciding, evaluate
from edgekit.coarse import coarse_inputs
from edgekit.data import DEFAULT_SAMPLES, Dataset, Scale, open_data
from edgekit.errors import BadConfig
from edgekit.graph import Graph
from edgekit.ladder import Climb, Rung, Way, climb
from edgekit.measure import Measurement
from edgekit.passes.quantize import LayerSqnr, ObserverName, QuantReport, Rounding, layer_sqnr
from edgekit.passes.quantize.apply import IO
from edgekit.passes.quantize.scheme import find_scheme
from edgekit.passes.quantize.storage import STORAGE
from edgekit.pipeline import Layout, Source, needs_data, open_model, quantize_graph, usual_rounding
from edgekit.recipe import Recipe, data_hash, versions
from edgekit.target import Target, find_target
from edgekit.tasks import Task

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress
    from edgekit.passes.finetune_qat import QatReport

# Samples that per-layer SQNR is measured on: it runs the network in NumPy, layer by layer.
SQNR_SAMPLES = 8


@dataclass(frozen=True)
class QuantizeResult:
    """files: {file name: bytes}, one file. graph: the integer Graph. float_accuracy, accuracy, accuracy_drop: on the
    evaluation data, or unavailable with the reason. layers: per-layer SQNR on the first `layer_samples` calibration samples,
    worst first. way: how it was quantized; climb: all that was tried for `max_drop`; recipe: what makes it again (None where
    the model or data was no file); qat: how training went; decided: the samples that `max_drop` was decided by,
    none of those reported on."""

    source: Source
    files: Mapping[str, bytes]
    graph: Graph
    report: QuantReport
    float_accuracy: Measurement
    accuracy: Measurement
    accuracy_drop: Measurement
    layers: tuple[LayerSqnr, ...]
    layer_samples: int
    notes: tuple[str, ...]
    way: Way = field(default_factory=Way)
    climb: Climb | None = None
    recipe: Recipe | None = None
    qat: QatReport | None = None
    decided: str = ""


def quantize(
    model: str | Path | Graph,
    out: str | Path,
    data: str | Path | Dataset | None = None,
    *,
    val: str | Path | Dataset | None = None,
    eval: str | Path | Dataset | None = None,
    split: float | str | None = None,
    task: Task | None = None,
    scheme: str = "int8",
    observer: ObserverName = "minmax",
    samples: int = DEFAULT_SAMPLES,
    io: IO = "int8",
    io_layout: Layout | None = None,
    target: str | Target | None = None,
    data_scale: Scale | None = None,
    equalize: bool = False,
    bias_correction: bool = False,
    rounding: Rounding | None = None,
    keep_float: Sequence[str] = (),
    keep_int8: Sequence[str] = (),
    int16: Sequence[str] = (),
    qat: int = 0,
    max_drop: float | None = None,
    say: Callable[[Rung], None] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    **load_options: Any,
) -> QuantizeResult:
    """Calibrate on `data` (not needed where only weights are stored: float16, dynamic) and quantize. `out`'s suffix picks the
    engine (.tflite, .onnx); a microcontroller `target` holds a .tflite to what TFLite-Micro has. The metric of `task` (default:
    the one the labels speak of) is judged on `eval`, or on the share `split` keeps from `data`.

    equalize, bias_correction, rounding, keep_float, keep_int8, int16, qat (epochs): see `pipeline.quantize_graph`. max_drop:
    points that may be lost; ways are then tried until one loses no more on `val` (see `ladder`), and the best is taken if none
    does. Without `val` half of what would be judged on decides, and the other half is what is reported on.
    checkpoint: a file from which interrupted training goes on. Raises BadConfig, BadData, BadModel, Unsupported."""
    if data is None and scheme not in STORAGE:
        raise needs_data(find_scheme(scheme).name)
    if data is None and split is not None:
        raise BadConfig("split keeps a share of data to judge on, and there is no data", "give data, or eval")
    source = open_model(model, data or eval, **load_options)
    path = Path(out)
    board = None if target is None else find_target(target)
    engine = _file_engine(path, board)
    opened = partial(open_data, graph=source.graph, scale=data_scale, task=task)
    calibration = None if data is None else opened(data, samples=samples, split=split, role="train")
    held = None if calibration is None else calibration.held_out
    judged = held if eval is None else opened(eval, role="test")
    # A climb starts with the cheapest.
    usual = usual_rounding(scheme, source.graph, bool(qat)) if max_drop is None else "nearest"
    way = Way(
        scheme, observer, equalize, bias_correction, rounding or usual, tuple(keep_float), tuple(keep_int8), tuple(int16), qat
    )
    learn = None if data is None or not (qat or max_drop is not None) else opened(data, split=split, role="train")
    show = None if progress is None else partial(progress, "qat")
    climbed, chosen = None, None
    if max_drop is None:
        done = quantize_graph(
            source.graph,
            calibration,
            engine,
            io=io,
            layout=io_layout,
            train=learn,
            task=task,
            checkpoint=checkpoint,
            progress=show,
            **asdict(way),
        )
    else:
        if judged is None and val is None:
            raise BadConfig("max_drop needs data to judge on", "give val, eval or split")
        divided = deciding.parts(None, None if val is None else opened(val, role="val"), judged, deciding.SHARE)
        chosen, judged = divided.deciding, divided.judged
        assert chosen is not None
        if calibration is None:
            raise BadConfig("max_drop tries ways to calibrate, and there is no data to calibrate on", "--data D")
        climbed = climb(
            source.graph,
            calibration,
            chosen,
            engine,
            max_drop,
            start=way,
            io=io,
            layout=io_layout,
            train=learn,
            target=board,
            task=task,
            say=say,
            checkpoint=checkpoint,
            progress=show,
        )
        assert climbed.done is not None
        done, way = climbed.done, climbed.way
    before = evaluate.judged(done.before, judged, task=task)
    after = evaluate.judged(done.after, judged, task=task)
    files = {path.name: write_model(done.after, engine)}
    named = all(d is None or not isinstance(d, Dataset) for d in (data, val, eval)) and not isinstance(model, Graph)
    recipe = None
    if named:
        options: dict[str, Any] = {
            "model": str(model),
            "out": str(out),
            "data": None if data is None else str(data),
            "val": None if val is None else str(val),
            "eval": None if eval is None else str(eval),
        }
        options |= {
            "split": split,
            "task": task,
            "samples": samples,
            "io": io,
            "io_layout": io_layout,
            "data_scale": data_scale,
        }
        options |= {"target": target if target is None or isinstance(target, str) else target.name, **way.options()}
        lock = {
            "model": source.sha256,
            "data": data_hash(calibration),
            "training_data": data_hash(learn) if way.qat else "",
            "out": hashlib.sha256(files[path.name]).hexdigest(),
        }
        recipe = Recipe("quantize", {**options, "load": load_options}, lock, versions())
    first = list(islice(calibration or (), SQNR_SAMPLES))
    notes = done.notes
    if calibration is not None:
        notes = (*calibration.notes, *done.notes, *(climbed.coarse if climbed else coarse_inputs(done.after, calibration)))
    return QuantizeResult(
        source,
        files,
        done.after,
        done.report,
        before,
        after,
        evaluate.drop(before, after),
        tuple(layer_sqnr(done.report.compared or done.before, done.layers, first)) if first else (),
        len(first),
        (*notes, *_loops(done.after)),
        way,
        climbed,
        recipe,
        done.qat,
        "" if chosen is None else deciding.words(chosen),
    )


def _loops(graph: Graph) -> tuple[str, ...]:
    """What to know of recurrent layers that TFLite runs as loops."""
    ops = sorted({node.op for node in graph.nodes if node.attrs.get("loop") and graph[node.outputs[0]].quant is not None})
    words = "a loop of TFLite operators; C and ONNX made from this file round it their own way"
    return (f"{', '.join(ops)}: {words}",) if ops else ()


def write_model(graph: Graph, engine: str) -> bytes:
    """The graph as one file of the engine's format."""
    if engine == "onnx":
        from edgekit.export.onnx import export_onnx

        return export_onnx(graph)
    from edgekit.export.tflite import export_tflite

    return export_tflite(graph)


def _file_engine(out: Path, target: Target | None) -> str:
    if out.suffix == ".onnx":
        return "onnx"
    if out.suffix == ".tflite":
        return "tflm" if target is not None and target.kind == "mcu" else "tflite"
    raise BadConfig(f"cannot tell the format of '{out}' from its suffix", "name the output .tflite or .onnx")
