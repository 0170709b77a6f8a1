"""Number formats side by side: what each costs and keeps, as generated C on the emulated Cortex-M4.

    python -m benchmarks.formats [MODEL ...] [--mlperf FOLDER] [--json]

MODEL: folders of models/ (default: all with convolutions or dense layers). FOLDER: the MLPerf Tiny float models and their
inputs, as benchmarks.quantization takes them. Columns: the metric on held-out samples, SQNR of the first output against the
float network, bytes of the .tflite, flash, RAM and instructions of the firmware.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quantization import CASES, answers
from edgekit import evaluate, metrics
from edgekit.bench.emulate import emulate
from edgekit.boundary import random_feeds
from edgekit.budget import for_board
from edgekit.data import Dataset, open_data
from edgekit.dsp import isa_of
from edgekit.export.c import compile_program
from edgekit.export.tflite import export_tflite
from edgekit.graph import Graph
from edgekit.ladder import Way
from edgekit.load.tflite import load_tflite
from edgekit.pipeline import open_model, prepare, quantize_graph
from edgekit.target import find_target

BOARD = "cortex-m4:flash=2M,ram=640K"
MODELS = ("lenet5", "ds_cnn", "resnet8", "autoencoder")
JUDGED = 256  # samples at most
WAYS: dict[str, Way] = {
    "int8": Way(),
    "int4, to the nearest": Way("int4"),
    "int4": Way("int4", rounding="adaptive"),
    "int4, depthwise in 8 bits": Way("int4", rounding="adaptive", keep_int8=("DEPTHWISE_CONV_2D",)),
    "int16x8": Way("int16x8"),
}


@dataclass(frozen=True)
class Row:
    """metric: accuracy 0..1, or what the samples' labels ask for; None without labels. sqnr: dB; sizes in bytes."""

    model: str
    way: str
    metric: float | None
    sqnr: float
    file: int
    flash: int
    ram: int
    instructions: int


def shipped(name: str) -> tuple[Graph, Dataset, Dataset]:
    """(float network, calibration, judged) of a folder of models/."""
    path = Path(__file__).parent.parent / "models" / name
    graph = open_model(path).graph
    data = open_data(f"{path}/model.py:data", graph, samples=256, split="20%", role="train")
    assert data.held_out is not None
    return graph, data, data.held_out


def mlperf(folder: Path) -> Iterator[tuple[str, Graph, Dataset, Dataset]]:
    for case in CASES:
        graph = load_tflite(folder / f"{case.model}_f32.tflite")
        data = open_data(folder / case.data, graph, scale=case.scale)
        chosen = np.random.RandomState(0).permutation(len(data))
        rest = data.subset(np.sort(chosen[case.calibrate :]))
        yield case.model, graph, data.subset(np.sort(chosen[: case.calibrate or None])), rest


def measure(name: str, graph: Graph, data: Dataset, judged: Dataset) -> Iterator[Row]:
    board = find_target(BOARD)
    few = judged.subset(np.arange(min(len(judged), JUDGED)))
    truth = answers(prepare(graph, "c"), few)
    depthwise = any(node.op == "DEPTHWISE_CONV_2D" for node in graph.nodes)
    for way, options in WAYS.items():
        if options.keep_int8 and not depthwise:
            continue
        fields = asdict(options) | {"keep_int8": options.keep_int8}
        made = quantize_graph(graph, data, "c", **fields).after
        program = for_board(made, board.ram, isa=isa_of(board.core)).program
        model = compile_program(program, "net")
        run = emulate(model.files, model.interface, board, random_feeds(made, 2))
        row: dict[str, Any] = {"file": len(export_tflite(prepare(made, "tflite"))), "flash": run.flash, "ram": run.ram}
        row |= {"metric": evaluate.judged(made, few).value, "sqnr": metrics.sqnr_db(truth, answers(made, few))}
        yield Row(model=name, way=way, instructions=int(np.mean(run.instructions)), **row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", default=MODELS, help="folders of models/")
    parser.add_argument("--mlperf", type=Path, help="the MLPerf Tiny models and inputs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cases = [(name, *shipped(name)) for name in options.models]
    cases += list(mlperf(options.mlperf)) if options.mlperf else []
    rows: list[Row] = []
    if not options.json:
        print(f"{'model':<24}{'format':<32}{'metric':>9}{'SQNR':>7}{'file':>10}{'flash':>10}{'RAM':>9}{'instructions':>14}")
    for case in cases:
        base: Row | None = None
        for row in measure(*case):
            base = base or row
            rows.append(row)
            metric = "-" if row.metric is None else f"{row.metric:.4f}"
            if not options.json:
                print(
                    f"{row.model:<24}{row.way:<32}{metric:>9}{row.sqnr:>7.1f}{row.file:>10,}{row.flash:>10,}{row.ram:>9,}"
                    f"{row.instructions:>14,} ({row.flash / base.flash - 1:+.1%}, {row.instructions / base.instructions:.3f}x)",
                    flush=True,
                )
    if options.json:
        print(json.dumps({"board": BOARD, "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
