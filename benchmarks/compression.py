"""What pruning, teaching and quantizing give, on validation data that decides and test data that is only reported on.

    python -m benchmarks.compression [--part families|students|chain] [--only NAME ...] [--seeds N] [--epochs N] [--json]

families: half of the multiply-accumulates pruned, five families. Networks: lenet5, ds_cnn and resnet8 of models/ on their own
data; an LSTM and a Transformer (compression_nets.py), trained here on scikit-learn's digits. Each is pruned once and trained
again with itself as teacher (`edgekit prune --ratio 0.5 --score auto --early-stop N`; a fifth of the training data decides what
is cut and which epoch is taken; the seeds after the first cut the same way), then quantized. Columns: accuracy on the test part
of float32 and int8 before and after, mean and standard deviation over seeds; flash and instructions of the int8 firmware before
and after on an emulated Cortex-M4 (first seed); what every engine at hand says of the pruned int8 network, legalized for
TFLite-Micro.
students, chain: compression_students.py, compression_chain.py.

Exit status 1 when more than LIMIT points are lost on average, nothing is gained, or an engine disagrees; when a taught student
is not better; when a chain is above its limits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import compression_chain, compression_students
from benchmarks.compression_data import MADE, SHIPPED, accuracy, figure, opened, quantized, spread
from edgekit import deciding
from edgekit.augment import parse_augment
from edgekit.passes.simplify import simplify
from edgekit.pruning import Pruner
from edgekit.pruning_settings import Settings
from edgekit.report.table import text_table
from edgekit.target import find_target
from edgekit.verify import verify_model

PARTS = ("families", "students", "chain")
LIMIT = 1.0  # points of accuracy
VERIFIED = 16  # samples that every engine runs
TARGET = "nucleo-l4r5zi"
EPOCHS = {"lstm": 60, "transformer": 40, "ds_cnn": 40}  # digits are few and quick
USUAL = 14
CHANGED = ("ds_cnn",)  # learns from changed samples, as in the chain: without, 14 epochs lost 1.02 points on average


@dataclass(frozen=True)
class Row:
    """One network. macs: share left; accuracies 0..1, those after one a seed; flash in bytes; engines: (name, what it said),
    `same`: none of them broke its rule."""

    net: str
    macs: float
    before: float
    after: tuple[float, ...]
    int8_before: float
    int8: tuple[float, ...]
    flash: tuple[float, float]
    instructions: tuple[float, float]
    engines: tuple[tuple[str, str], ...]
    same: bool

    @property
    def lost(self) -> float:
        return 100 * (self.before - statistics.mean(self.after))

    @property
    def kept(self) -> bool:
        smaller = self.flash[1] < self.flash[0] and self.instructions[1] < self.instructions[0]
        return self.lost <= LIMIT and smaller and self.same


def family(net: str, ratio: float, epochs: int | None, seeds: int) -> Row:
    source, data, test = opened(net)
    count, board = epochs or EPOCHS.get(net, USUAL), find_target(TARGET)
    divided, results = deciding.parts(data, None, test, deciding.SHARE), []
    settings = Settings(ratio=ratio, epochs=count, lr=2e-3, score="auto", early_stop=count)
    if net in CHANGED:
        settings = replace(settings, augment=parse_augment(compression_chain.WAY_OF[net][0]))
    for seed in range(seeds):
        pruner = Pruner(source, replace(settings, seed=seed), board, divided.train, test, val=divided.deciding)
        results.append(pruner.result(Path(f"{net}.onnx"), bench=seed == 0))
        settings = replace(settings, score=pruner.settings.score, scope=pruner.settings.scope)
    integers = [quantized(result.graph, data, "tflm") for result in results]
    first = results[0]
    assert first.bench is not None
    assert first.judged is not None
    report = verify_model(integers[0], samples=test.subset(np.arange(VERIFIED)), target=find_target(TARGET))
    flash, instructions = ((figure(first.bench[0], m), figure(first.bench[1], m)) for m in ("flash", "instructions"))
    return Row(
        net,
        first.macs[1] / first.macs[0],
        first.judged.before,
        tuple(result.judged.after for result in results if result.judged is not None),
        accuracy(quantized(simplify(source.graph, "train"), data, "tflm"), test),
        tuple(accuracy(integer, test) for integer in integers),
        flash,
        instructions,
        tuple((row.engine, row.status) for row in report.rows),
        report.passed,
    )


def family_table(rows: Sequence[Row]) -> str:
    header = ("network", "MACs", "float32 %", "pruned %", "int8 %", "pruned %", "flash B", "instructions")
    lines = []
    for r in rows:
        sizes = [f"{a:,.0f} -> {b:,.0f} ({100 * (b / a - 1):+.0f} %)" for a, b in (r.flash, r.instructions)]
        before, after = (f"{100 * v:.2f}" for v in (r.before, r.int8_before))
        lines.append((r.net, f"{r.macs:.0%}", before, spread(r.after), after, spread(r.int8), *sizes))
    engines = list(dict.fromkeys(name for r in rows for name, _ in r.engines))
    said = [(r.net, *(dict(r.engines).get(name, "") for name in engines)) for r in rows]
    return text_table(header, lines, range(1, 8)) + "\n\n" + text_table(("pruned, int8", *engines), said, ())


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated (default: all)")
    parser.add_argument("--only", action="append", choices=(*SHIPPED, *MADE), metavar="NAME", help="may be repeated")
    parser.add_argument("--ratio", type=float, default=0.5, help="of the families")
    parser.add_argument("--epochs", type=int, help="default: each network's own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="that students learn from")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="an interrupted chain goes on from here")
    parser.add_argument("--json", action="store_true")
    own = parser.parse_args(args)
    found: dict[str, list[Any]] = {}
    for part in own.part or PARTS:
        nets = {"families": (*SHIPPED, *MADE), "students": compression_students.NETS, "chain": compression_chain.NETS}[part]
        for net in [n for n in nets if own.only is None or n in own.only]:
            found.setdefault(part, []).append(_row(part, net, own))
            print(f"{part}, {net}: done", file=sys.stderr)
    good: dict[str, Callable[[Any], bool]] = {
        "families": lambda r: r.kept,
        "students": lambda r: r.better,
        "chain": lambda r: r.kept,
    }
    verdicts = {part: [bool(good[part](row)) for row in rows] for part, rows in found.items()}
    if own.json:
        plain = {
            part: [{**asdict(r), "good": v} for r, v in zip(rows, verdicts[part], strict=True)] for part, rows in found.items()
        }
        print(json.dumps(plain, indent=2))
    else:
        tables: dict[str, Callable[[Any], str]] = {
            "families": family_table,
            "students": compression_students.table,
            "chain": compression_chain.table,
        }
        print("\n\n".join(f"{part}\n{tables[part](rows)}" for part, rows in found.items()))
    return 0 if all(v for values in verdicts.values() for v in values) else 1


def _row(part: str, net: str, own: argparse.Namespace) -> Any:
    if part == "families":
        return family(net, own.ratio, own.epochs, own.seeds)
    if part == "students":
        return compression_students.students(net, own.seeds, own.epochs, own.samples)
    return compression_chain.chain(net, own.seeds, own.epochs, TARGET, own.checkpoints)


if __name__ == "__main__":
    sys.exit(main())
