"""What a teacher is worth: the same student taught and alone; and pruned + taught + quantized networks beside plain int8 ones.

    python -m benchmarks.distillation [--models lenet5 resnet8] [--samples 1000] [--epochs 15] [--seeds 3] [--json]
    python -m benchmarks.distillation --chain [--models ds_cnn resnet8] [--width 0.5] [--json]

Students: the teacher's own structure with every layer as much narrower as brings it to a quarter of the MACs, new weights, the
same data, order, rate and epochs; alone it learns from the labels, taught from labels and teacher. Accuracy on the model's test
data, mean and standard deviation over seeds. Exit status 1 when a taught student is not better.

Chain: the teacher narrowed (its most important channels stay), taught by it, quantized to int8, against the whole network in
int8: flash, RAM and instructions of the firmware on an emulated Cortex-M4. Exit status 1 above half the flash or half the
instructions, or when more than a point of accuracy is lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgekit import api, distilling, evaluate, ops
from edgekit.data import Dataset, open_data
from edgekit.graph import Graph
from edgekit.load import load
from edgekit.passes.simplify import simplify
from edgekit.pipeline import prepare
from edgekit.report.table import text_table

MODELS = Path(__file__).parents[1] / "models"
SHARE = 0.25  # of the teacher's MACs
CALIBRATION = 256


@dataclass(frozen=True)
class Row:
    """Accuracies 0..1; macs as a share of the teacher's."""

    model: str
    teacher: float
    width: float
    macs: float
    alone: tuple[float, ...]
    taught: tuple[float, ...]


@dataclass(frozen=True)
class ChainRow:
    """Figures (plain int8, narrowed int8); accuracy 0..1, flash and RAM in bytes."""

    model: str
    width: float
    accuracy: tuple[float, float]
    flash: tuple[float, float]
    ram: tuple[float, float]
    instructions: tuple[float, float]


def quarter(graph: Graph) -> float:
    """The largest width whose network has at most SHARE of the MACs."""
    whole = ops.macs(graph)
    return next(w / 100 for w in range(99, 0, -1) if ops.macs(distilling.narrowed(graph, w / 100)) <= SHARE * whole)


def students(name: str, samples: int | None, epochs: int, seeds: int, loss: str, lr: float) -> Row:
    """One model's comparison."""
    graph, train, test = _open(name, samples)
    width = quarter(simplify(graph, "train"))
    found: dict[str, list[float]] = {"alone": [], "taught": []}
    share = 0.0
    for seed in range(seeds):
        small = distilling.reinitialised(distilling.narrowed(simplify(graph, "train"), width), seed)
        share = ops.macs(small) / ops.macs(simplify(graph, "train"))
        found["alone"].append(_accuracy(_alone(small, train, epochs, seed, lr), test))
        done = api.distill(graph, small, "student.onnx", train, loss=loss, epochs=epochs, seed=seed, lr=lr)
        found["taught"].append(_accuracy(done.graph, test))
    return Row(name, _accuracy(graph, test), width, share, tuple(found["alone"]), tuple(found["taught"]))


def chain(name: str, width: float, epochs: int, lr: float) -> ChainRow:
    """One model, narrowed, taught and quantized."""
    graph, train, test = _open(name, None)
    small = api.distill(graph, None, "student.onnx", train, width=width, epochs=epochs, lr=lr).graph
    figures = []
    for net in (graph, small):
        calibration = open_data(f"{_folder(name)}/model.py:data", graph, samples=CALIBRATION)
        made = api.quantize(net, "net.tflite", calibration, eval=test).graph
        result = api.bench(made, "mcu").results[0]
        accuracy = evaluate.judged(made, test).value
        values = [m.value if (m := result.get(metric)) is not None else None for metric in ("flash", "ram", "instructions")]
        if accuracy is None or None in values:
            raise SystemExit(f"{name}: no figures from the emulated core ({values}, accuracy {accuracy})")
        figures.append((accuracy, *(float(v or 0) for v in values)))
    accuracy_, flash, ram, instructions = ((a, b) for a, b in zip(*figures, strict=True))
    return ChainRow(name, width, accuracy_, flash, ram, instructions)


def _alone(graph: Graph, train: Dataset, epochs: int, seed: int, lr: float) -> Graph:
    from edgekit.passes import finetune
    from edgekit.trainable import to_graph, to_module

    module = to_module(graph)
    finetune.train(module, train, epochs=epochs, seed=seed, lr=lr)
    return to_graph(module)


def _open(name: str, samples: int | None) -> tuple[Graph, Dataset, Dataset]:
    graph = load(str(_folder(name) / f"{name}.onnx"))
    spec = f"{_folder(name)}/model.py:data"
    return graph, open_data(spec, graph, samples=samples), open_data(spec, graph, role="test")


def _folder(name: str) -> Path:
    return MODELS / name


def _accuracy(graph: Graph, test: Dataset) -> float:
    found = evaluate.judged(prepare(graph, "tflite"), test).value
    assert found is not None
    return found


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What a teacher is worth.")
    parser.add_argument("--models", nargs="+", default=None)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--loss", default="logit")
    parser.add_argument("--chain", action="store_true")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    own = parser.parse_args(args)
    if own.chain:
        chains = [chain(name, own.width, own.epochs, own.lr) for name in own.models or ("ds_cnn", "resnet8")]
        good = all(
            r.flash[1] <= r.flash[0] / 2
            and r.instructions[1] <= r.instructions[0] / 2
            and r.accuracy[0] - r.accuracy[1] <= 0.01
            for r in chains
        )
        table = text_table(
            ("model, int8", "width", "accuracy", "flash B", "RAM B", "instructions"),
            [
                (
                    r.model,
                    f"{r.width:g}",
                    *(f"{a:.4f} -> {b:.4f}" for a, b in (r.accuracy,)),
                    *_changes(r.flash, r.ram, r.instructions),
                )
                for r in chains
            ],
            (),
        )
        print(json.dumps([asdict(r) for r in chains], indent=2) if own.json else table)
        return 0 if good else 1
    rows = [students(n, own.samples, own.epochs, own.seeds, own.loss, own.lr) for n in own.models or ("lenet5", "resnet8")]
    table = text_table(
        ("teacher", "accuracy", "student's MACs", "student alone", "student taught"),
        [(r.model, f"{r.teacher:.4f}", f"{r.macs:.1%}", _spread(r.alone), _spread(r.taught)) for r in rows],
        (1, 2),
    )
    print(json.dumps([asdict(r) for r in rows], indent=2) if own.json else table)
    return 0 if all(statistics.mean(r.taught) > statistics.mean(r.alone) for r in rows) else 1


def _changes(*pairs: tuple[float, float]) -> list[str]:
    return [f"{a:,.0f} -> {b:,.0f} ({b / a:.0%})" for a, b in pairs]


if __name__ == "__main__":
    sys.exit(main())
