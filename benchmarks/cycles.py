"""Is the model of cycles sane? Its cycles an instruction for plain C beside those published for TFLM on a real board.

    python -m benchmarks.cycles FOLDER [--json]

FOLDER holds mlperf_*_int8.tflite. Each network is built as plain C (for a Cortex-M3, which has no DSP instructions) and for
the Cortex-M4, by every toolchain that is here, and both are timed as a Cortex-M4 with the flash of NUCLEO-L4R5ZI at 120 MHz.
Nothing here was measured on edgekit's code: the gap is between its model and the same networks in TFLM with CMSIS-NN. Exit
status 1 when a gap of plain C is larger than the error that `bench` states.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgekit.bench import cycles
from edgekit.bench.emulate import TOOLCHAINS, emulate, qemu
from edgekit.bench.gcc import GCC
from edgekit.boundary import random_feeds
from edgekit.export.c import export_c, interface
from edgekit.load.tflite import load_tflite
from edgekit.pipeline import prepare
from edgekit.report.table import text_table
from edgekit.target import find_target

BOARD = "nucleo-l4r5zi"
# Million cycles on that board (MLPerf Tiny results): TFLM with CMSIS-NN, the best closed engine; TFLM's million instructions.
PUBLISHED: dict[str, tuple[float, float, float]] = {
    "mlperf_kws_dscnn": (13.3, 5.18, 7.70),
    "mlperf_ic_resnet8": (48.9, 19.8, 29.9),
    "mlperf_ad_autoencoder": (1.07, 0.486, 0.583),
}


@dataclass(frozen=True)
class Row:
    """cycles, low, high: the model's, of one run; gap: published cycles an instruction over the model's, less one."""

    model: str
    build: str
    toolchain: str
    instructions: int
    low: float
    cycles: float
    high: float
    gap: float
    error: float
    tflm: float
    closed: float


def rows(folder: Path) -> list[Row]:
    made = []
    here = [name for name in TOOLCHAINS if name == "zig" or (shutil.which(GCC) and shutil.which(qemu.QEMU))]
    board = find_target(BOARD)
    for model, (tflm, closed, published) in PUBLISHED.items():
        graph = prepare(load_tflite(folder / f"{model}_int8.tflite"), "c")
        files, face, feeds = export_c(graph, "model"), interface(graph, "model"), random_feeds(graph, 1)
        for build, core in (("plain C", "cortex-m3"), ("Cortex-M4", "cortex-m4")):
            for toolchain in here:
                target = replace(board, core=core)
                run = emulate(files, face, target, feeds, toolchain=toolchain, flash_cache=cycles.FLASH_CACHE)
                assert run.profile is not None
                found = cycles.estimate(run.profile, board)
                gap = tflm / published / (found.likely / found.instructions) - 1
                sizes = (found.low, found.likely, found.high, gap, found.error, tflm * 1e6, closed * 1e6)
                made.append(Row(model, build, toolchain, found.instructions, *sizes))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cycles", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    made = rows(options.folder)
    if options.json:
        print(json.dumps([asdict(row) for row in made], indent=1))
    else:
        head = ["model", "build", "by", "instructions", "cycles", "from", "to", "each", "TFLM each", "gap", "TFLM", "closed"]
        table = []
        for row in made:
            each, theirs = row.cycles / row.instructions, (1 + row.gap) * row.cycles / row.instructions
            counts = [f"{value:,.0f}" for value in (row.instructions, row.cycles, row.low, row.high)]
            shown = [*counts, f"{each:.2f}", f"{theirs:.2f}", f"{row.gap:+.0%}", f"{row.tflm:,.0f}", f"{row.closed:,.0f}"]
            table.append([row.model.removeprefix("mlperf_"), row.build, row.toolchain, *shown])
        print(text_table(head, table))
    worst = max(row.gap for row in made if row.build == "plain C")
    kept = worst <= made[0].error + 0.01
    print(f"largest gap of plain C {worst:.0%}, error that bench states {made[0].error:.0%}", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
