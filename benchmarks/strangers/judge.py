"""One model from file to verified int8 C: what `python -m benchmarks.strangers` runs in a process of its own for each.

python -m benchmarks.strangers.judge FILE --kind image --out ROW.json [--shape input=1,3,96,96] [--float-c]
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.strangers.inputs import KINDS, samples
from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import EdgekitError
from edgekit.export.c import compile_c
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.load.tflite_file import parse
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize_with_report
from edgekit.pipeline import prepare

CALIBRATION, JUDGED = 8, 2
LEAST_FLOAT_DB = 60.0  # against the file's own engine; a wrong operator gives less than 20
LEAST_INTEGER_DB = 15.0  # where that engine computes in integers of its own rounding
# ONNX Runtime's names of input types, as NumPy's; edgekit narrows the wide ones.
CAST = {f"tensor({name})": name for name in ("int64", "int32", "uint8", "int8", "bool", "float16")} | {
    "tensor(double)": "float64"
}
Samples = Sequence[Mapping[str, Array]]


@dataclass
class Row:
    """One model. status: "converted", "refused" (an EdgekitError: `said`), "WRONG" (an answer differs: `said`), "CRASH" (a
    traceback, a signal or no memory: `said`), "no time", "unavailable" (the file or its package is not here).

    stage: the step that ended it. float_db: the reference against the file's own engine, worst output, over real outputs
    (integer outputs must be equal). int8_db: the integer graph against the float one, worst output, on made-up inputs that were
    not calibrated on. exact: the int8 C gives the reference's integers. seconds: of each step.
    """

    name: str
    status: str = ""
    stage: str = "load"
    said: str = ""
    nodes: int = 0
    quantized_file: bool = False
    float_db: float | None = None
    float_c_db: float | None = None
    int8_db: float | None = None
    exact: bool | None = None
    islands: int = 0
    weights: int = 0
    seconds: dict[str, float] | None = None


class Wrong(Exception):
    """An engine's answer is not the reference's."""


def judge(path: Path, name: str, kind: str, shapes: Mapping[str, tuple[int, ...]], float_c: bool) -> Row:
    """The row of one model file."""
    row = Row(name, seconds={})
    try:
        _steps(row, path, kind, shapes, float_c)
        row.status = "converted"
    except EdgekitError as error:
        row.status = "refused"
        row.said = f"{error.message}\n  hint: {error.hint}" if error.hint else error.message
    except Wrong as error:
        row.status, row.said = "WRONG", str(error)
    except Exception:  # what no user must ever see
        row.status, row.said = "CRASH", traceback.format_exc()
    return row


def _steps(row: Row, path: Path, kind: str, shapes: Mapping[str, tuple[int, ...]], float_c: bool) -> None:
    clock = _Clock(row)
    clock.start("load")
    graph = load(path, shapes=dict(shapes))
    row.nodes, row.quantized_file = len(graph.nodes), graph.is_quantized
    row.weights = sum(t.data.nbytes for t in graph.tensors.values() if t.data is not None)
    given = samples(graph, kind, CALIBRATION + JUDGED)
    calibration, judged = given[:CALIBRATION], given[CALIBRATION:]

    clock.start("engine")
    theirs = own_engine(path, graph, judged)
    clock.start("reference")
    ours = [from_outputs(graph, reference.run(graph, to_feeds(graph, s)), real=False) for s in judged]
    least = LEAST_INTEGER_DB if graph.is_quantized or dynamic_range(path) else LEAST_FLOAT_DB
    row.float_db = _compare(ours, theirs, least, "the reference is not what the file's own engine says")

    clock.start("prepare")
    before = prepare(graph, "c")
    if float_c and not graph.is_quantized:
        clock.start("float C")
        made = _run_c(before, judged[:1])
        plain = [reference.run(before, to_feeds(before, s)) for s in judged[:1]]
        row.float_c_db = _compare(made, plain, LEAST_FLOAT_DB, "the float C is not the reference")
    clock.start("quantize")
    if graph.is_quantized:
        after = before
    else:
        after, report = quantize_with_report(before, calibration)
        row.islands = len(report.islands)
    clock.start("int8 reference")
    expected = [reference.run(after, to_feeds(after, s)) for s in judged]
    if not graph.is_quantized:
        floats = [from_outputs(graph, o) for o in ours]
        row.int8_db = _compare([from_outputs(after, e) for e in expected], floats, None, "")
    clock.start("int8 C")
    made = _run_c(after, judged)
    row.exact = all(np.array_equal(a[n], b[n]) for a, b in zip(expected, made, strict=True) for n in a)
    if not row.exact and row.islands:  # float parts: to the last bits
        _compare(made, expected, LEAST_FLOAT_DB, "the C is not the reference")
    elif not row.exact:
        raise Wrong("the int8 C is not the integer reference")
    clock.stop()


def dynamic_range(path: Path) -> bool:
    """A TFLite file of int8 weights and float activations: LiteRT quantizes the activations as it runs, edgekit does not."""
    return path.suffix == ".tflite" and any(t.dtype == "int8" and t.data is not None for t in parse(path.read_bytes()).tensors)


class _Clock:
    def __init__(self, row: Row) -> None:
        self.row, self.since = row, time.perf_counter()

    def start(self, stage: str) -> None:
        self.stop()
        self.row.stage, self.since = stage, time.perf_counter()

    def stop(self) -> None:
        if self.row.seconds is not None:
            self.row.seconds[self.row.stage] = round(time.perf_counter() - self.since, 2)


def _run_c(graph: Graph, judged: Samples) -> list[dict[str, Array]]:
    model = compile_c(graph, "net")
    return run_c(model.files, model.interface, [to_feeds(graph, s) for s in judged])


def own_engine(path: Path, graph: Graph, judged: Samples) -> list[dict[str, Array]]:
    """What ONNX Runtime or LiteRT says, under the graph's output names. Graph inputs are in the file's order."""
    if path.suffix == ".tflite":
        from edgekit.bench.litert import run_litert

        made = run_litert(path.read_bytes(), _fed(graph, judged), "default")
        return [{n: _signed(a, graph, n) for n, a in zip(graph.outputs, r.values(), strict=True)} for r in made]
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {i.name: i.type for i in session.get_inputs()}
    answers = []
    for sample in judged:
        fed: dict[str, Array] = {n: np.ascontiguousarray(sample[n]).astype(CAST.get(kinds[n], "float32")) for n in kinds}
        given = zip(graph.outputs, session.run(None, fed), strict=True)
        answers.append({n: _signed(np.asarray(a), graph, n) for n, a in given})
    return answers


def _signed(array: Array, graph: Graph, name: str) -> Array:
    """Bytes of a file whose unsigned values are read as signed ones."""
    shifted = array.dtype == np.uint8 and graph[name].dtype == "int8"
    return (array.astype(np.int16) - 128).astype(np.int8) if shifted else array


def _fed(graph: Graph, judged: Samples) -> list[dict[str, Array]]:
    return [to_feeds(graph, s) for s in judged]


def _compare(ours: Samples, theirs: Samples, least: float | None, complaint: str) -> float | None:
    """The worst output's SQNR in dB over all samples; None when every output is of integers. Raises Wrong."""
    worst: float | None = None
    for name in ours[0]:
        mine, other = [np.asarray(s[name]) for s in ours], [np.asarray(s[name]) for s in theirs]
        if mine[0].shape != other[0].shape and mine[0].size != other[0].size:
            raise Wrong(f"{complaint}: '{name}' is {list(mine[0].shape)}, not {list(other[0].shape)}")
        other = [o.reshape(m.shape) for m, o in zip(mine, other, strict=True)]
        real = mine[0].dtype.kind == "f" or other[0].dtype.kind == "f" or mine[0].dtype == np.int8
        if not real:
            if least is not None and not all(np.array_equal(m, o) for m, o in zip(mine, other, strict=True)):
                raise Wrong(f"{complaint}: integers of '{name}' differ")
            continue
        db = min(sqnr_db(other, mine), 200.0)
        if least is not None and db < least:
            raise Wrong(f"{complaint}: '{name}' has {db:.1f} dB, {least:.0f} are asked")
        worst = db if worst is None else min(worst, db)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("--kind", choices=sorted(KINDS), default="image")
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--float-c", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    shapes = {n: tuple(int(v) for v in s.split(",")) for n, _, s in (text.rpartition("=") for text in options.shape)}
    row = judge(options.file, options.name or options.file.stem, options.kind, shapes, options.float_c)
    options.out.write_text(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
