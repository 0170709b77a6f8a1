"""All benchmarks, one after the other: `python -m benchmarks` (`make bench`).

    python -m benchmarks [--mlperf FOLDER] [--tflm FILE.csv] [--speech FSDD.npz] ... [--quick]

Those that need data which is not shipped run when it is given. Exit status 1 when one of them misses its limits.
Run one alone for more options: `python -m benchmarks.<name> --help`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

VWW = "mlperf_vww_mbv1_f32.tflite"
# What is not shipped: option -> what it names.
DATA = {
    "mlperf": "FOLDER: the MLPerf Tiny models and inputs",
    "tflm": "FILE.csv: TensorFlow Lite Micro on emulated cores (benchmarks.mcu says its columns)",
    "llama": "FOLDER: a checkpoint of llama2.c, its tokens and text",
    "speech": "FSDD.npz: spoken digits",
    "strangers": "FOLDER: where models made of other packages' code are kept",
    "keras": "PYTHON: an interpreter with edgekit[keras]",
    "latency": "FILE.csv: published latencies",
    "features": "FILE.csv: what the networks of --latency do",
}
# Benchmark -> its arguments; {option} is what that option names, without which it cannot run.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "toolchain": (),
    "onnx_nodes": (),
    "families": (),
    "pixels": (),
    "transformers": (),
    "compression": (),
    "memory": (),
    "formats": (),
    "cycles": ("{mlperf}",),
    "mlperf": ("{mlperf}",),
    "mcu": ("{mlperf}", "--baseline", "{tflm}"),
    "sources": ("{mlperf}", "--python", "{keras}"),
    "llama": ("{llama}",),
    "speech": ("{speech}",),
    "strangers": ("--cache", "{strangers}"),
    "estimates": ("--latency", "{latency}", "--features", "{features}", "--baseline", "{tflm}"),
}
# More of it where these options are given too.
MORE: dict[str, tuple[str, ...]] = {
    "toolchain": ("--vww", f"{{mlperf}}/{VWW}"),
    "strangers": ("--keras-python", "{keras}"),
    "formats": ("--mlperf", "{mlperf}"),
}
# With --quick.
QUICK: dict[str, tuple[str, ...]] = {
    "toolchain": ("--repeat", "1"),
    "compression": ("--only", "lenet5", "--seeds", "1"),
    "memory": ("ds_cnn", "mobilenet_v1 0.25 96"),
    "formats": ("lenet5",),
    "mlperf": ("--quick",),
    "mcu": ("--samples", "2"),
    "sources": ("--samples", "10"),
    "speech": ("--epochs", "10", "--on-core", "5"),
}


def lacking(words: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Options that the words name and that are not given."""
    return [name for word in words for name in re.findall(r"{(\w+)}", word) if name not in given]


def plan(given: Mapping[str, str], quick: bool) -> dict[str, list[str] | None]:
    """Benchmark -> its arguments, None where it lacks its data. given: option of DATA -> what it names."""
    runs: dict[str, list[str] | None] = {}
    for name, words in BENCHMARKS.items():
        more = MORE.get(name, ())
        line = [*words, *(() if lacking(more, given) else more), *(QUICK.get(name, ()) if quick else ())]
        runs[name] = None if lacking(words, given) else [word.format(**given) for word in line]
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, text in DATA.items():
        metavar, _, what = text.partition(": ")
        parser.add_argument(f"--{name}", metavar=metavar, help=what)
    parser.add_argument("--quick", action="store_true", help="fewer inputs and repetitions")
    options = parser.parse_args(arguments)
    given = {name: getattr(options, name) for name in DATA if getattr(options, name)}
    failed, left_out = [], []
    for name, words in plan(given, options.quick).items():
        if words is None:
            needed = " ".join(f"--{option}" for option in lacking(BENCHMARKS[name], given))
            left_out.append(f"{name} ({needed})")
            continue
        print(f"\n=== python -m benchmarks.{' '.join([name, *words])}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words], check=False).returncode:
            failed.append(name)
    if left_out:
        print(f"\nnot run, for lack of data: {', '.join(left_out)}")
    print(f"\nmissed: {', '.join(failed)}" if failed else "\nall benchmarks that ran kept their limits")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
