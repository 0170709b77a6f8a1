"""All benchmarks, one after the other: `python -m benchmarks` (`make bench`).

    python -m benchmarks [--mlperf FOLDER] [--quick]

Those that need data which is not shipped run when its folder is given. Exit status 1 when one of them misses its limits.
Run one alone for more options: `python -m benchmarks.<name> --help`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VWW = "mlperf_vww_mbv1_f32.tflite"


def plan(mlperf: Path | None, quick: bool) -> dict[str, list[str] | None]:
    """Benchmark -> its arguments, None where it lacks its data."""
    vww = [] if mlperf is None or not (mlperf / VWW).exists() else ["--vww", str(mlperf / VWW)]
    return {
        "toolchain": [*vww, *(["--repeat", "1"] if quick else [])],
        "onnx_nodes": [],
        "families": [],
        "pixels": [],
        "compression": ["--only", "lenet5"] if quick else [],
        "cycles": None if mlperf is None else [str(mlperf)],
        "mlperf": None if mlperf is None else [str(mlperf), *(["--quick"] if quick else [])],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mlperf", type=Path, metavar="FOLDER", help="the MLPerf Tiny models and inputs")
    parser.add_argument("--quick", action="store_true", help="fewer inputs and repetitions")
    options = parser.parse_args(arguments)
    failed, left_out = [], []
    for name, words in plan(options.mlperf, options.quick).items():
        if words is None:
            left_out.append(name)
            continue
        print(f"\n=== python -m benchmarks.{' '.join([name, *words])}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words], check=False).returncode:
            failed.append(name)
    if left_out:
        print(f"\nnot run, for lack of data: {', '.join(left_out)} (give --mlperf FOLDER)")
    print(f"\nmissed: {', '.join(failed)}" if failed else "\nall benchmarks that ran kept their limits")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
