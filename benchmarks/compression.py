"""Half of the multiply-accumulates pruned, five families: what accuracy it costs, what it gains on an emulated Cortex-M4.

    python -m benchmarks.compression [--only NAME ...] [--ratio R] [--epochs N] [--json]

Networks: lenet5, ds_cnn and resnet8 of models/ on their own data; an LSTM and a Transformer (compression_nets.py), trained
here on scikit-learn's digits. Each is pruned once and trained again with itself as teacher (`edgekit prune`), then quantized.
Columns: accuracy of float32 before and after, on data that neither saw; accuracy of int8 after; flash and instructions of the
int8 firmware before and after; whether every engine at hand agrees with the reference on the pruned int8 network, legalized for
TFLite-Micro. Exit status 1 when more than LIMIT points are lost, nothing is gained, or an engine disagrees.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgekit import evaluate
from edgekit.data import Dataset, from_arrays, open_data
from edgekit.graph import Graph
from edgekit.passes import finetune
from edgekit.pipeline import Source, open_model, quantize_graph
from edgekit.pruning import CALIBRATION, Pruner, Settings
from edgekit.report.model import TargetResult
from edgekit.report.table import text_table
from edgekit.target import find_target
from edgekit.trainable import to_graph, to_module
from edgekit.verify import verify_model

MODELS = Path(__file__).parent.parent / "models"
NETS_FILE = Path(__file__).with_name("compression_nets.py")
SHIPPED, MADE = ("lenet5", "ds_cnn", "resnet8"), ("lstm", "transformer")
LIMIT = 1.0  # points of accuracy
VERIFIED = 16  # samples that every engine runs
TARGET = "nucleo-l4r5zi"
FIRST_EPOCHS = 40  # that the networks made here are trained for


@dataclass(frozen=True)
class Row:
    """One network. macs: share left; flash in bytes; engines: those that ran, `same`: none of them broke its rule."""

    net: str
    macs: float
    before: float
    after: float
    int8: float
    flash: tuple[float, float]
    instructions: tuple[float, float]
    engines: tuple[str, ...]
    same: bool

    @property
    def kept(self) -> bool:
        smaller = self.flash[1] < self.flash[0] and self.instructions[1] < self.instructions[0]
        return 100 * (self.before - self.after) <= LIMIT and smaller and self.same


def shipped(net: str) -> tuple[Source, Dataset, Dataset]:
    """A network of models/, its training data and its test data."""
    source = open_model(MODELS / net / f"{net}.onnx")
    data, test = (open_data(f"{MODELS / net / 'model.py'}:data", source.graph, role=role) for role in ("train", "test"))
    return source, data, test


def made(net: str) -> tuple[Source, Dataset, Dataset]:
    """A network of compression_nets.py, trained on three quarters of the digits."""
    from sklearn.datasets import load_digits

    graph = open_model(f"{NETS_FILE}:build", args={"net": net}).graph
    loaded = load_digits()
    order = np.random.RandomState(0).permutation(len(loaded.target))
    x, y = (loaded.images[order] / 16).astype(np.float32), loaded.target[order].astype(np.int64)
    cut = len(x) * 3 // 4
    data, test = (
        from_arrays(graph, {graph.inputs[0]: x[part]}, y[part], name="digits") for part in (slice(cut), slice(cut, None))
    )
    module = to_module(graph)
    finetune.train(module, data, epochs=FIRST_EPOCHS, lr=3e-3, batch=64)
    return Source(net, "", to_graph(module)), data, test


def measure(net: str, ratio: float, epochs: int) -> Row:
    source, data, test = (shipped if net in SHIPPED else made)(net)
    longer = epochs if net in SHIPPED else 2 * epochs  # digits are few
    pruner = Pruner(source, Settings(ratio=ratio, epochs=longer, lr=2e-3), find_target(TARGET), data, test)
    result = pruner.result(Path(f"{net}.onnx"))
    assert result.judged is not None
    assert result.bench is not None
    integer = quantized(result.graph, data)
    accuracy = evaluate.judged(integer, test)
    report = verify_model(integer, samples=test.subset(np.arange(VERIFIED)), target=find_target(TARGET))
    pick = partial(_values, result.bench)
    return Row(
        net,
        result.macs[1] / result.macs[0],
        result.judged.before,
        result.judged.after,
        float("nan") if accuracy.value is None else accuracy.value,
        pick("flash"),
        pick("instructions"),
        tuple(row.engine for row in report.rows if row.passed is not None),
        report.passed,
    )


def quantized(graph: Graph, data: Dataset) -> Graph:
    return quantize_graph(graph, data.subset(np.arange(min(4 * CALIBRATION, len(data)))), "tflm").after


def _values(bench: tuple[TargetResult, TargetResult], metric: str) -> tuple[float, float]:
    before, after = (result.get(metric) for result in bench)
    known = [float("nan") if m is None or m.value is None else float(m.value) for m in (before, after)]
    return known[0], known[1]


def table(rows: Sequence[Row]) -> str:
    header = ("network", "MACs", "float32", "pruned", "int8", "flash", "", "", "instructions", "", "", "engines")
    lines = []
    for r in rows:
        sizes = []
        for a, b in (r.flash, r.instructions):
            sizes += [f"{a:,.0f}", f"{b:,.0f}", f"{100 * (b / a - 1):+.0f} %"]
        agree = f"{len(r.engines)} agree" if r.same else "DISAGREE"
        lines.append((r.net, f"{r.macs:.0%}", *(f"{v:.2%}" for v in (r.before, r.after, r.int8)), *sizes, agree))
    return text_table(header, lines, range(1, 11))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=(*SHIPPED, *MADE), metavar="NAME", help="may be repeated")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for net in options.only or (*SHIPPED, *MADE):
        rows.append(measure(net, options.ratio, options.epochs))
        print(f"{net}: done", file=sys.stderr)
    if options.json:
        print(json.dumps([{**asdict(row), "kept": row.kept} for row in rows], indent=2))
    else:
        print(table(rows))
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
