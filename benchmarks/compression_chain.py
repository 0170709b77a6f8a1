"""Pruned, taught by the whole network and quantized, beside the whole network in plain int8: part of benchmarks/compression.py.

What a user would type, for each network (WAY_OF has --augment and --epochs; they were chosen on validation data):

    edgekit prune models/NET/NET.onnx -o small.onnx --data models/NET/model.py:data --eval models/NET/model.py:data \\
        --flash 49% --instructions 49% --score auto --lr 4e-3 --augment shift=...,mix=0.5 --epochs N
    edgekit quantize small.onnx -o small.tflite --data models/NET/model.py:data

The first seed tries the ways of `--score auto` and the validation part decides; the other seeds go the same way. Held against
whole network in int8: at most half the flash, half the instructions, and a point of accuracy on the test part, on average.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.compression_data import accuracy, figure, opened, quantized, spread
from edgekit import deciding
from edgekit.augment import parse_augment
from edgekit.bench.measuring import measure
from edgekit.pruning import Pruner
from edgekit.pruning_settings import Settings, Share
from edgekit.report.table import text_table
from edgekit.target import find_target

NETS = ("ds_cnn", "resnet8")
WAY_OF = {"ds_cnn": ("shift=0x5x0,mix=0.5", 100), "resnet8": ("shift=2,mix=0.5", 40)}
OTHER = ("mix=0.5", 60)  # networks that were not looked at
HALF, GOAL, LOST = 0.5, 0.49, 1.0  # what is allowed, what is asked for, points
METRICS = ("flash", "ram", "instructions")


@dataclass(frozen=True)
class Chain:
    """One network. way: score and scope that validation chose. Accuracies 0..1, one a seed; figures (plain int8, small int8),
    flash and RAM in bytes, of the seed that is largest."""

    net: str
    way: tuple[str, str]
    plain: float
    validation: tuple[float, ...]
    test: tuple[float, ...]
    figures: dict[str, tuple[float, float]]

    @property
    def lost(self) -> float:
        return 100 * (self.plain - statistics.mean(self.test))

    @property
    def kept(self) -> bool:
        smaller = all(b <= HALF * a for a, b in (self.figures["flash"], self.figures["instructions"]))
        return smaller and self.lost <= LOST


def chain(net: str, seeds: int, epochs: int | None, target: str, checkpoints: Path | None = None) -> Chain:
    source, data, test = opened(net)
    augment, usual = WAY_OF.get(net, OTHER)
    divided = deciding.parts(data, None, test, deciding.SHARE)
    assert divided.train is not None
    assert divided.deciding is not None
    board = find_target(target)
    settings = Settings(
        flash=Share(GOAL),
        instructions=Share(GOAL),
        score="auto",
        epochs=epochs or usual,
        lr=4e-3,
        augment=parse_augment(augment),
    )
    plain = quantized(source.graph, divided.train, "tflite")
    before = measure(plain, [board])[0]
    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    validation, answers = [], []
    for seed in range(seeds):
        folder = None if checkpoints is None else checkpoints / f"{net}-{seed}"
        own = replace(settings, seed=seed)
        pruner = Pruner(source, own, board, divided.train, None, folder, val=divided.deciding)
        small = quantized(pruner.result(Path("small.onnx"), bench=False).graph, divided.train, "tflite")
        settings = replace(settings, score=pruner.settings.score, scope=pruner.settings.scope)
        validation.append(accuracy(small, divided.deciding))
        answers.append(accuracy(small, test))
        after = measure(small, [board])[0]
        for metric in METRICS:
            found[metric].append(figure(after, metric))
    figures = {metric: (figure(before, metric), max(values)) for metric, values in found.items()}
    way = (str(settings.score), settings.scope)
    return Chain(net, way, accuracy(plain, test), tuple(validation), tuple(answers), figures)


def table(rows: list[Chain]) -> str:
    header = ("network, int8", "chosen", "plain, test %", "validation %", "test %", "lost pt", *(f"{m} B" for m in METRICS[:2]))
    lines = []
    for r in rows:
        sizes = [f"{a:,.0f} -> {b:,.0f} ({b / a:.1%})" for a, b in (r.figures[m] for m in METRICS)]
        accuracies = (f"{100 * r.plain:.2f}", spread(r.validation), spread(r.test), f"{r.lost:.2f}")
        lines.append((r.net, ", ".join(r.way), *accuracies, *sizes))
    return text_table((*header, "instructions"), lines, range(2, 6))
