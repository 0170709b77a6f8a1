"""The C engine beside TensorFlow Lite Micro with CMSIS-NN: instructions, flash and RAM, by network and core.

    python -m benchmarks.mcu FOLDER --baseline tflm_baseline.csv [--core M4,M55] [--samples N] [--write] [--json]

FOLDER holds mlperf_*_int8.tflite and the inputs that NETWORKS names; the baseline's columns are model, kernels, core, opt,
instructions, flash, ram_total. Each network is generated for the core, built, and run on the given inputs (N of them; 0: all)
under every toolchain that is here; outputs must equal edgekit's reference bit for bit, and by zig also those of a build in
which undefined behaviour stops the core. Instructions are the mean over the inputs without start-up; RAM has the stack, inputs
and outputs in it. Cycles are estimated (`edgekit.bench.cycles`); those of TFLM and of the best closed engine are published
results of MLPerf Tiny on the same board. Exit status 1 when an output differs, or when a limit is missed by the better
toolchain, or by more than a tenth by the other. --write puts the table into the README.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.cycles import BOARD, PUBLISHED
from edgekit import reference
from edgekit.bench import cycles
from edgekit.bench.emulate import emulate, qemu
from edgekit.bench.emulate.result import BUDGET
from edgekit.bench.emulate.unicorn import run_trapping
from edgekit.bench.gcc import GCC
from edgekit.boundary import random_feeds, to_feeds
from edgekit.budget import fitted
from edgekit.data import open_data
from edgekit.dsp import isa_of
from edgekit.export.c import compile_program
from edgekit.graph import Array, Graph
from edgekit.load.tflite import load_tflite
from edgekit.pipeline import prepare
from edgekit.report.table import markdown_table, text_table
from edgekit.target import Target, find_target

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- python -m benchmarks\.mcu .*?-->\n)(.*?)(<!-- end -->)", re.DOTALL)
# Enough memory for every network: the limits below, not the board's, are what is judged here.
ROOMY = "{core}:flash=4M,ram=1M,clock=100M"
# Core -> where it runs, the toolchains that can, and the build of the baseline that it is compared with.
CORES: dict[str, tuple[str, tuple[str, ...], tuple[str, str] | None]] = {
    "M0+": (ROOMY.format(core="cortex-m0plus"), ("zig",), None),
    "M3": (ROOMY.format(core="cortex-m3"), ("zig",), None),
    "M4": (BOARD, ("zig", "gcc"), ("m4", "O2")),
    "M7": (ROOMY.format(core="cortex-m7"), ("zig",), ("m7", "O3")),
    "M33": (ROOMY.format(core="cortex-m33"), ("zig",), None),
    "M55": (ROOMY.format(core="cortex-m55"), ("gcc",), ("m55", "O3")),
}
CMSIS = "cmsis"
METRICS = ("instructions", "flash", "ram")
CLOSED = {"mlperf_vww_mbv1": 10.7}  # million cycles of the best closed engine, where none are published for TFLM
OTHER_TOOLCHAIN = 1.1  # what the one that does worse may be above a limit


@dataclass(frozen=True)
class Network:
    """baseline: its name there; inputs: file and what its integers mean; limits: core -> largest ratio of each of METRICS
    (None: not judged); cycles: most that the estimate for BOARD may be; ram: core -> bytes; budget: bytes of RAM that a plan
    for BOARD is asked to fit, too, and what it may take in instructions (ratio to the plan without; None: not judged)."""

    name: str
    baseline: str
    inputs: tuple[str, tuple[float, int] | None]
    limits: Mapping[str, tuple[float | None, float | None, float | None]]
    cycles: float
    ram: Mapping[str, int]
    budget: tuple[int, float | None] | None = None


NETWORKS: dict[str, Network] = {
    "mlperf_kws_dscnn": Network(
        "kws (DS-CNN)",
        "kws_ref_model",
        ("kws01_mfcc_int8_1000.npz", None),
        {"M4": (0.40, 0.30, 0.36), "M55": (0.80, None, 0.50)},
        6.0e6,
        {"M0+": 10 * 1024},
    ),
    "mlperf_ic_resnet8": Network(
        "ResNet-8",
        "pretrainedResnet_quant",
        ("ic_cifar10_500.npz", (1.0, 0)),
        {"M4": (0.42, 0.60, 0.64), "M55": (0.80, None, 0.65)},
        22e6,
        {},
        (round(0.35 * 56576), 1.2),
    ),
    "mlperf_vww_mbv1": Network(
        "vww (MobileNetV1 0.25)",
        "vww_96_int8",
        ("vww_photos.npz", (1 / 255, 0)),
        {"M4": (0.30, 0.45, 0.44), "M55": (0.80, None, 0.50)},
        12e6,
        {},
        (32 * 1024, None),
    ),
    "mlperf_ad_autoencoder": Network(
        "ad (autoencoder)",
        "ad01_int8",
        ("ad_windows.npz", None),
        {"M4": (0.70, 0.92, 0.40), "M55": (0.80, None, 0.50)},
        0.75e6,
        {},
    ),
}


@dataclass(frozen=True)
class Row:
    """One network on one core by one toolchain. ratio: of METRICS to the baseline's, None without one; differing: samples whose
    output is not the reference's; limits: what is judged -> (value, most that it may be)."""

    network: str
    core: str
    toolchain: str
    samples: int
    instructions: int
    flash: int
    ram: int
    ratio: tuple[float, float, float] | None
    cycles: float | None
    differing: int
    limits: Mapping[str, tuple[float, float]]


def baseline(file: Path) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """(model, core, optimization) -> METRICS of TFLM with CMSIS-NN; of two rows for one build, the first."""
    found: dict[tuple[str, str, str], tuple[float, float, float]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["kernels"] == CMSIS:
                values = (float(row["instructions"]), float(row["flash"]), float(row["ram_total"]))
                found.setdefault((row["model"], row["core"], row["opt"]), values)
    return found


def inputs_of(folder: Path, graph: Graph, network: Network, samples: int) -> list[dict[str, Array]]:
    """The real inputs as the graph takes them; random ones where the file is absent."""
    name, scale = network.inputs
    if not (folder / name).exists():
        return random_feeds(graph, samples or 1)
    return [to_feeds(graph, sample) for sample in open_data(folder / name, graph, samples=samples or None, scale=scale)]


def measure(
    model: str,
    graph: Graph,
    core: str,
    toolchain: str,
    feeds: list[dict[str, Array]],
    truth: list[dict[str, Array]],
    theirs: tuple[float, float, float] | None,
    whole: Row | None = None,
) -> Row:
    """whole: the row without a RAM budget, when this one is to keep to the network's."""
    network = NETWORKS[model]
    target: Target = find_target(CORES[core][0])
    isa = isa_of(target.core)
    budget = network.budget if whole else None
    made = compile_program(fitted(graph, ram_budget=budget and budget[0], isa=isa), "model")
    cache = cycles.FLASH_CACHE if core == "M4" else None
    run = emulate(made.files, made.interface, target, feeds, toolchain=toolchain, flash_cache=cache)
    values = (run.mean_instructions, float(run.flash), float(run.ram))
    ratio = None if theirs is None else (values[0] / theirs[0], values[1] / theirs[1], values[2] / theirs[2])
    found = None if run.profile is None else cycles.estimate(run.profile, target).likely
    outputs = list(run.outputs)
    if toolchain == "zig":  # once more where undefined behaviour stops the core
        outputs[:1] = run_trapping(made.files, made.interface, target, feeds[:1], BUDGET)
    differing = sum(
        not all(np.array_equal(want[name], got[name]) for name in graph.outputs)
        for want, got in zip(truth, outputs, strict=True)
    )
    bounds = zip(METRICS, ratio or (), network.limits.get(core, (None, None, None)), strict=False)
    limits = {metric: (value, bound) for metric, value, bound in bounds if bound is not None}
    if budget and whole:
        limits = {"RAM in bytes": (run.ram, budget[0])}
        if budget[1]:
            limits["instructions to the plan without a budget"] = (values[0] / whole.instructions, budget[1])
    elif found is not None:
        limits["cycles"] = (found, network.cycles)
    if core in network.ram and not whole:
        limits["RAM in bytes"] = (run.ram, network.ram[core])
    sizes = (round(values[0]), run.flash, run.ram)
    name = network.name + (f", --ram-budget {budget[0]:,}" if budget else "")
    return Row(name, core, toolchain, len(feeds), *sizes, ratio, found, differing, limits)


def rows(
    folder: Path, theirs: Mapping[tuple[str, str, str], tuple[float, float, float]], cores: Sequence[str], samples: int
) -> list[Row]:
    made = []
    for model, network in NETWORKS.items():
        graph = prepare(load_tflite(folder / f"{model}_int8.tflite"), "c")
        feeds = inputs_of(folder, graph, network, samples)
        truth = [reference.run(graph, feed) for feed in feeds]
        for core in cores:
            _, toolchains, build = CORES[core]
            other = None if build is None else theirs[network.baseline, *build]
            for toolchain in toolchains:
                if toolchain == "gcc" and not (shutil.which(GCC) and shutil.which(qemu.QEMU)):
                    print(f"{core}: left out, {GCC} and {qemu.QEMU} are not here", file=sys.stderr)
                    continue
                made.append(measure(model, graph, core, toolchain, feeds, truth, other))
                if core == "M4" and network.budget:
                    made.append(measure(model, graph, core, toolchain, feeds, truth, other, made[-1]))
    return made


def missed(made: Sequence[Row]) -> list[str]:
    """What does not hold, in words."""
    found = [f"{r.network}, {r.core}, {r.toolchain}: {r.differing} of {r.samples} outputs differ" for r in made if r.differing]
    for network, core in dict.fromkeys((row.network, row.core) for row in made):
        group = [row for row in made if (row.network, row.core) == (network, core)]
        for what in group[0].limits:
            by_value = sorted((row.limits[what], row.toolchain) for row in group)
            for place, ((value, bound), toolchain) in enumerate(by_value):
                most = bound if place == 0 else bound * OTHER_TOOLCHAIN
                if value > most:
                    found.append(f"{network}, {core}, {toolchain}: {what} {value:,.4g} > {most:,.4g}")
    return found


HEAD = (
    "network",
    "core",
    "built by",
    "instructions",
    "× TFLM",
    "flash B",
    "× TFLM",
    "RAM B",
    "× TFLM",
    "M cycles",
    "TFLM",
    "closed",
)
RIGHT = tuple(range(3, len(HEAD)))


def cells(row: Row) -> list[str]:
    ratios = ["", "", ""] if row.ratio is None else [f"{value:.3f}" for value in row.ratio]
    sizes = (row.instructions, row.flash, row.ram)
    model = next(name for name, network in NETWORKS.items() if row.network.startswith(network.name))
    theirs = PUBLISHED.get(model) if row.cycles is not None else None
    pairs = [text for size, ratio in zip(sizes, ratios, strict=True) for text in (f"{size:,}", ratio)]
    own = "" if row.cycles is None else f"{row.cycles / 1e6:.2f}"
    known = [f"{v:g}" for v in theirs[:2]] if theirs else ["", f"{CLOSED[model]:g}" if own and model in CLOSED else ""]
    return [row.network, row.core, row.toolchain, *pairs, own, *known]


def write(made: Sequence[Row]) -> None:
    """The table into the README, between its two comments."""
    text = README.read_text(encoding="utf-8")
    if not BLOCK.search(text):
        raise SystemExit(f"{README.name} has no place for the table: <!-- python -m benchmarks.mcu … --> … <!-- end -->")
    table = markdown_table(HEAD, [cells(row) for row in made], RIGHT)
    README.write_text(BLOCK.sub(lambda found: f"{found[1]}{table}\n{found[3]}", text, count=1), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mcu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--baseline", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--core", default=",".join(CORES), help="which cores, by commas")
    parser.add_argument("--samples", type=int, default=16, help="inputs of each network (16); 0: all that are given")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    cores = options.core.split(",")
    if unknown := [core for core in cores if core not in CORES]:
        parser.error(f"no core {', '.join(unknown)}: one of {', '.join(CORES)}")
    made = rows(options.folder, baseline(options.baseline), cores, options.samples)
    if options.json:
        print(json.dumps([asdict(row) for row in made], indent=1))
    else:
        print(text_table(HEAD, [cells(row) for row in made], RIGHT))
    if options.write:
        write(made)
    problems = missed(made)
    print("\n".join(["missed:", *problems]) if problems else "every limit holds", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
