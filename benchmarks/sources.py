"""Models of other makers' formats to the core: the MLPerf Tiny keyword SavedModel, and recurrent networks made by Keras.

    python -m benchmarks.sources FOLDER [--python PATH] [--samples N] [--json]

FOLDER holds mlperf_kws (a SavedModel), mlperf_kws_dscnn_int8.tflite and kws01_mfcc_int8_1000.npz. --python is an interpreter
with the extra edgekit[keras] (default: this one). The SavedModel is quantized on 256 of the inputs and judged on the others:
accuracy of the float network, and of the generated C on the emulated Cortex-M4 (N inputs; 0: all). Its TFLite file is set
beside the benchmark's own. Then Keras saves small LSTM, GRU and SimpleRNN networks (both directions too) with its answers:
the largest difference of edgekit's float network, SQNR of the int8 one, and how many of the outputs of generated C and of
TensorFlow Lite Micro differ from the reference (0, or why not). Exit status 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.cycles import BOARD
from edgekit import metrics, reference
from edgekit.bench.emulate import emulate
from edgekit.boundary import from_outputs, to_feeds
from edgekit.data import Dataset, open_data
from edgekit.errors import EdgekitError
from edgekit.export.c import compile_program
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare
from edgekit.report.table import text_table
from edgekit.schedule import schedule
from edgekit.target import find_target
from edgekit.verify import verify_model

CALIBRATE = 256
DROP, GROWTH = 1.0, 0.03  # points of accuracy, share of the reference file
FLOAT_ERROR = 1e-5
RECURRENT = ("lstm", "lstm_seq", "gru", "gru_before", "rnn", "bi_lstm", "bi_gru")
# Run by the interpreter that has Keras: OUT gets NAME.keras and NAME.npz (x and what Keras answers).
MAKE = """
import sys
import keras
import numpy as np
L, out = keras.layers, sys.argv[1]
nets = {
    "lstm": [L.LSTM(16)],
    "lstm_seq": [L.LSTM(16, return_sequences=True), L.LSTM(12)],
    "gru": [L.GRU(16)],
    "gru_before": [L.GRU(16, reset_after=False)],
    "rnn": [L.SimpleRNN(16, return_sequences=True), L.GlobalAveragePooling1D()],
    "bi_lstm": [L.Bidirectional(L.LSTM(16))],
    "bi_gru": [L.Bidirectional(L.GRU(8, return_sequences=True)), L.LSTM(8, go_backwards=True)],
}
for name, layers in nets.items():
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((20, 10)), *layers, L.Dense(5, activation="softmax")])
    rng = np.random.default_rng(0)
    for w in net.weights:
        if len(w.shape) == 1 or "bias" in w.name:
            w.assign(w + 0.1 * rng.standard_normal(w.shape).astype("float32"))
    x = rng.standard_normal((64, 20, 10)).astype("float32")
    net.save(f"{out}/{name}.keras")
    np.savez(f"{out}/{name}.npz", x=x, y=net.predict(x, verbose=0))
"""


@dataclass(frozen=True)
class Keywords:
    """Accuracies 0..1 on `judged` inputs; on the core, `emulated` of them ran. Bytes of the TFLite files."""

    judged: int
    accuracy_float: float
    accuracy_int8: float
    emulated: int
    accuracy_core: float
    differ: int
    bytes_ours: int
    bytes_theirs: int

    @property
    def kept(self) -> bool:
        smaller = self.bytes_ours <= self.bytes_theirs * (1 + GROWTH)
        return smaller and self.differ == 0 and (self.accuracy_float - self.accuracy_int8) * 100 <= DROP


@dataclass(frozen=True)
class Recurrent:
    """error: largest difference of the float network from Keras. sqnr: of int8 against float, dB. c, tflm: outputs that
    differ from the reference, or why that engine did not run."""

    name: str
    nodes: str
    error: float
    sqnr: float
    c: str
    tflm: str

    @property
    def kept(self) -> bool:
        return self.error <= FLOAT_ERROR and self.c == "0" and (self.tflm == "0" or not self.tflm.isdigit())


def keywords(folder: Path, python: str, samples: int) -> Keywords:
    theirs = folder / "mlperf_kws_dscnn_int8.tflite"
    meaning = load(theirs)
    quant = meaning.tensors[meaning.inputs[0]].quant
    assert quant is not None
    graph = prepare(load(folder / "mlperf_kws", python=python), "tflm")
    scale = (float(quant.scale[0]), int(quant.zero_point[0]))
    data = open_data(folder / "kws01_mfcc_int8_1000.npz", graph, scale=scale)
    order = np.random.RandomState(0).permutation(len(data))
    calibrate, judge = (data.subset(np.sort(part)) for part in (order[:CALIBRATE], order[CALIBRATE:]))
    ours = quantize(graph, calibrate)
    assert judge.labels is not None
    truth = answers(ours, judge)
    some = judge.subset(np.arange(samples or len(judge)))
    made = compile_program(schedule(ours), "kws")
    run = emulate(made.files, made.interface, find_target(BOARD), [to_feeds(ours, s) for s in some])
    core = [from_outputs(ours, outputs)[ours.outputs[0]] for outputs in run.outputs]
    assert some.labels is not None
    return Keywords(
        len(judge),
        metrics.accuracy(answers(graph, judge), judge.labels),
        metrics.accuracy(truth, judge.labels),
        len(some),
        metrics.accuracy(core, some.labels),
        sum(not np.array_equal(a, b) for a, b in zip(core, truth, strict=False)),
        len(export_tflite(ours)),
        theirs.stat().st_size,
    )


def answers(graph: Graph, data: Dataset) -> list[Array]:
    """The first output for every sample, real numbers."""
    return [from_outputs(graph, reference.run(graph, to_feeds(graph, s)))[graph.outputs[0]] for s in data]


def recurrent(name: str, folder: Path, python: str) -> Recurrent:
    graph = load(folder / f"{name}.keras", python=python)
    stored = np.load(folder / f"{name}.npz")
    data = open_data(folder / f"{name}.npz", graph)
    real = answers(graph, data)
    error = max(float(np.abs(a - y).max()) for a, y in zip(real, stored["y"], strict=True))
    sqnr, results = 0.0, {}
    for engine, judge in (("c", "c"), ("tflm", "tflm")):
        try:
            ready = prepare(graph, engine)
            ours = quantize(ready, data)
            sqnr = sqnr or metrics.sqnr_db(real, answers(ours, data))
            row = next(r for r in verify_model(ours, (judge,), data).rows if r.engine == judge)
            results[engine] = row.reason.splitlines()[0] if row.reason and row.passed is None else str(row.differing)
        except EdgekitError as refusal:
            results[engine] = refusal.message.splitlines()[-1].strip()
    nodes = ",".join(n.op + ("<" if n.attrs.get("reverse") else "") for n in graph.nodes if n.op in ("LSTM", "GRU", "RNN"))
    return Recurrent(name, nodes, error, sqnr, results["c"], results["tflm"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="the MLPerf Tiny models and inputs")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with edgekit[keras]")
    parser.add_argument("--samples", type=int, default=0, help="inputs to run on the emulated core; 0: all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    kws = keywords(options.folder, options.python, options.samples)
    with tempfile.TemporaryDirectory() as made:
        subprocess.run([options.python, "-c", MAKE, made], check=True, capture_output=True)
        rows = [recurrent(name, Path(made), options.python) for name in RECURRENT]
    kept = kws.kept and all(row.kept for row in rows)
    if options.json:
        print(json.dumps({"keywords": asdict(kws), "recurrent": [asdict(row) for row in rows], "kept": kept}))
    else:
        print(
            f"keyword SavedModel, {kws.judged} inputs: float {kws.accuracy_float:.4f}, int8 {kws.accuracy_int8:.4f}, "
            f"on the emulated core {kws.accuracy_core:.4f} of {kws.emulated} ({kws.differ} differ from the reference)\n"
            f"TFLite: {kws.bytes_ours:,} B, the benchmark's own {kws.bytes_theirs:,} B "
            f"({kws.bytes_ours / kws.bytes_theirs - 1:+.1%})\n"
        )
        heads = ("Keras network", "read as", "float error", "int8 SQNR", "C differs", "TFLM differs")
        cells = [(r.name, r.nodes, f"{r.error:.1e}", f"{r.sqnr:.1f} dB", r.c, r.tflm[:60]) for r in rows]
        print(text_table(heads, cells))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
