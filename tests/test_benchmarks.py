"""The bounds of benchmarks.mlperf are held, and one int8 file goes the whole way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import mlperf, quantization
from benchmarks.__main__ import plan
from edgekit.boundary import random_feeds
from edgekit.export.tflite import export_tflite
from edgekit.load import load
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare

MLP = Path(__file__).parent.parent / "models" / "mlp" / "mlp.onnx"
ROW = quantization.Row("kws", 8, 8, 0.90, 0.895, 0.89, 30.0, 30.5, 1.0, 1.0, 1000, 990, 0.1)
LABELLED, SIGNAL, PHOTOS = quantization.CASES


def violated(bounds: list[mlperf.Bound]) -> list[str]:
    return [bound.what.split(":")[0] for bound in bounds if not bound.kept]


def test_bounds_of_quantization() -> None:
    assert violated(mlperf.quantization_bounds(LABELLED, ROW)) == []
    assert violated(mlperf.quantization_bounds(LABELLED, replace(ROW, accuracy_ours=0.889))) == ["accuracy lost"]
    unlabelled = replace(ROW, accuracy_float=None, accuracy_ours=None)
    assert violated(mlperf.quantization_bounds(SIGNAL, unlabelled)) == []
    assert violated(mlperf.quantization_bounds(SIGNAL, replace(unlabelled, sqnr_ours=29.4))) == ["SQNR"]
    assert violated(mlperf.quantization_bounds(PHOTOS, replace(unlabelled, argmax_ours=0.75))) == ["argmax"]
    assert violated(mlperf.quantization_bounds(PHOTOS, replace(unlabelled, bytes_ours=1020))) == ["file size"]


def test_bounds_of_exactness() -> None:
    row = mlperf.Exactness(mlperf.KEYWORDS, "x.npz", 1000, {"c": 0, "tflm": 0}, {"c": 0.902, "litert": 0.91}, 0, 0.902, 1.0)
    assert violated(mlperf.exactness_bounds(row, False)) == []
    assert violated(mlperf.exactness_bounds(replace(row, differing={"c": 1, "tflm": 0}), True)) == [
        "C = emulated C = TFLM = reference"
    ]
    assert violated(mlperf.exactness_bounds(replace(row, differing={"c": "failed", "tflm": 0}), True)) != []
    assert violated(mlperf.exactness_bounds(replace(row, with_ties=0.901), False)) == ["accuracy"]
    assert violated(mlperf.exactness_bounds(replace(row, accuracy={"c": 0.901, "tflm": 0.902}), False)) == ["accuracy"]


def test_one_file_goes_the_whole_way(tmp_path: Path) -> None:
    graph = prepare(load(MLP), "tflm")
    file = tmp_path / "mlp_int8.tflite"
    file.write_bytes(export_tflite(quantize(graph, random_feeds(graph, 32))))
    (row,) = mlperf.exactness(file, quick=True)
    assert row.differing == dict.fromkeys(("c", "emulated", "tflm", "file"), 0)
    assert mlperf.size(file).growth == 0
    measured = mlperf.firmware(file)
    assert not measured.reason
    assert all(np.isfinite(value or np.nan) for value in measured.values.values())
    built = mlperf.project(file)
    assert (built.fault, built.vectors) == ("", 4)


def test_what_lacks_its_data_is_left_out(tmp_path: Path) -> None:
    alone = plan({}, False)
    assert alone["mlperf"] is None
    assert alone["strangers"] is None
    assert alone["toolchain"] == []
    given = plan({"mlperf": str(tmp_path), "strangers": "made", "keras": "python3"}, True)
    assert given["mlperf"] == [str(tmp_path), "--quick"]
    assert given["strangers"] == ["--cache", "made", "--keras-python", "python3"]
    assert given["mcu"] is None  # the baseline is not given


def test_every_benchmark_is_in_the_plan() -> None:
    """What can be run by itself, but for the demo, the pages' writers and what is part of another benchmark."""
    folder = Path(mlperf.__file__).parent
    files = [f for f in (*folder.glob("*.py"), *folder.glob("*/__main__.py")) if '__name__ == "__main__"' in f.read_text()]
    names = {f.stem if f.parent == folder else f.parent.name for f in files if not f.stem.endswith(("_net", "_nets"))}
    assert names - set(plan({}, False)) == {"__main__", "demo", "docs", "quantization", "session"}
