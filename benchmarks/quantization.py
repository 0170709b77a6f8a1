"""int8 quantization of the MLPerf Tiny float models against the benchmark's own int8 files, on the real inputs.

    python -m benchmarks.quantization FOLDER [--observer minmax] [--json]

FOLDER holds mlperf_*_f32.tflite, mlperf_*_int8.tflite and their inputs (ic_cifar10_500.npz, ad_windows.npz, vww_photos.npz).
Each model is calibrated on one part of the inputs and judged on the rest (the four photos serve for both). Columns:
accuracy of the float model, ours and theirs; SQNR and argmax agreement with the float model, ours and theirs; file bytes,
ours and theirs; CPU seconds of load, simplify, calibrate, quantize and write.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgekit import metrics, reference
from edgekit.boundary import from_outputs, to_feeds
from edgekit.data import Dataset, open_data
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph
from edgekit.load.tflite import load_tflite
from edgekit.passes.quantize import ObserverName, quantize
from edgekit.pipeline import prepare


@dataclass(frozen=True)
class Case:
    """calibrate: how many of the inputs (seeded draw); the rest judge. 0: all of them do both. scale: what integers mean."""

    name: str
    model: str
    data: str
    calibrate: int
    scale: tuple[float, int] | None = None


CASES = (
    Case("image classification, ResNet-8", "mlperf_ic_resnet8", "ic_cifar10_500.npz", 256, (1.0, 0)),
    Case("anomaly detection, autoencoder", "mlperf_ad_autoencoder", "ad_windows.npz", 32),
    Case("visual wake words, MobileNetV1", "mlperf_vww_mbv1", "vww_photos.npz", 0),
)


@dataclass(frozen=True)
class Row:
    """SQNR in dB, accuracies and agreements 0..1 (accuracy None without labels), sizes in bytes, CPU time in seconds."""

    case: str
    calibrated: int
    judged: int
    accuracy_float: float | None
    accuracy_ours: float | None
    accuracy_theirs: float | None
    sqnr_ours: float
    sqnr_theirs: float
    argmax_ours: float
    argmax_theirs: float
    bytes_ours: int
    bytes_theirs: int
    cpu_s: float


def measure(case: Case, folder: Path, observer: ObserverName) -> Row:
    start = time.process_time()
    graph = prepare(load_tflite(folder / f"{case.model}_f32.tflite"), "tflm")
    data = open_data(folder / case.data, graph, scale=case.scale)
    chosen = np.random.RandomState(0).permutation(len(data))
    calibrate = data.subset(np.sort(chosen[: case.calibrate or None]))
    judge = data.subset(np.sort(chosen[case.calibrate :]))
    ours = quantize(graph, calibrate, observer=observer)
    written = export_tflite(ours)
    spent = time.process_time() - start
    their_file = folder / f"{case.model}_int8.tflite"
    theirs = load_tflite(their_file)
    truth, mine, other = (answers(g, judge) for g in (graph, ours, theirs))
    accuracy = [None if judge.labels is None else metrics.accuracy(a, judge.labels) for a in (truth, mine, other)]
    return Row(
        case=case.name,
        calibrated=len(calibrate),
        judged=len(judge),
        accuracy_float=accuracy[0],
        accuracy_ours=accuracy[1],
        accuracy_theirs=accuracy[2],
        sqnr_ours=metrics.sqnr_db(truth, mine),
        sqnr_theirs=metrics.sqnr_db(truth, other),
        argmax_ours=metrics.argmax_agreement(truth, mine),
        argmax_theirs=metrics.argmax_agreement(truth, other),
        bytes_ours=len(written),
        bytes_theirs=their_file.stat().st_size,
        cpu_s=spent,
    )


def answers(graph: Graph, data: Dataset) -> list[Array]:
    """The first output for every sample, real numbers; inputs are matched by position (the files name them differently)."""
    results = []
    for sample in data:
        named = dict(zip(graph.inputs, sample.values(), strict=True))
        results.append(from_outputs(graph, reference.run(graph, to_feeds(graph, named)))[graph.outputs[0]])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="the MLPerf Tiny models and inputs")
    parser.add_argument("--observer", choices=("minmax", "percentile", "mse"), default="minmax")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = [measure(case, options.folder, options.observer) for case in CASES]
    if options.json:
        print(json.dumps({"observer": options.observer, "rows": [asdict(row) for row in rows]}))
        return
    heads = ("case", "cal/judge", "accuracy f32/ours/theirs", "SQNR", "argmax", "file", "size", "CPU s")
    widths = (32, 10, 26, 14, 16, 19, 8, 7)
    print("".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for row in rows:
        accuracies = (row.accuracy_float, row.accuracy_ours, row.accuracy_theirs)
        cells = (
            row.case,
            f"{row.calibrated}/{row.judged}",
            " / ".join("-" if a is None else f"{a:.3f}" for a in accuracies),
            f"{row.sqnr_ours:.1f} / {row.sqnr_theirs:.1f}",
            f"{row.argmax_ours:.3f} / {row.argmax_theirs:.3f}",
            f"{row.bytes_ours:,} / {row.bytes_theirs:,}",
            f"{row.bytes_ours / row.bytes_theirs - 1:+.1%}",
            f"{row.cpu_s:.2f}",
        )
        print("".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


if __name__ == "__main__":
    main()
