"""How long the tool itself takes: --help, inspect, quantize; and that inspecting ONNX loads neither torch nor TensorFlow.

    python -m benchmarks.toolchain [--model M.onnx] [--vww vww_f32.tflite [--vww-data D.npz]] [--repeat N] [--json]

Wall seconds are the median of N fresh processes after one that warms the file cache; CPU seconds are those of one process
and its children, user and system. Exit status 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "models" / "ds_cnn" / "ds_cnn.onnx"
VWW_SAMPLES = 256  # what `quantize` uses unless told otherwise
HEAVY = ("torch", "tensorflow")
# Runs the command line as the installed script does; names the heavy libraries it loaded on its last line of stderr.
RUN = f"""
import atexit, sys
atexit.register(lambda: print("loaded:", *[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))
from edgekit.cli import main
main()
"""


@dataclass(frozen=True)
class Row:
    """One limit. value None: not measured, `note` says why. unit: s of wall or of CPU time."""

    what: str
    value: float | None
    limit: float
    unit: str
    note: str = ""
    ok: bool = True


@dataclass(frozen=True)
class Run:
    wall: float
    cpu: float
    loaded: tuple[str, ...]


def run(*arguments: str) -> Run:
    """One `edgekit` process. Raises SystemExit with what it printed when it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"edgekit {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    loaded = next(line for line in reversed(done.stderr.splitlines()) if line.startswith("loaded:"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, tuple(loaded.split()[1:]))


def timed(what: str, limit: float, repeat: int, *arguments: str) -> Row:
    """Median wall time of `repeat` processes against a limit; heavy libraries loaded are a failure too."""
    run(*arguments)
    runs = [run(*arguments) for _ in range(repeat)]
    value = statistics.median(r.wall for r in runs)
    loaded = sorted({name for r in runs for name in r.loaded})
    note = f"loads {', '.join(loaded)}" if loaded else f"loads neither {' nor '.join(HEAVY)}"
    return Row(what, value, limit, "s wall", note, value < limit and not loaded)


def quantize(model: Path | None, data: Path | None, limit: float) -> Row:
    """CPU time of quantizing the person-detection network, on given data or on random images."""
    what = "quantize VWW"
    if model is None:
        return Row(what, None, limit, "s CPU", "give its float file: --vww PATH")
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            data = Path(folder, "random.npz")
            images = np.random.default_rng(0).random((VWW_SAMPLES, 96, 96, 3), np.float32)
            np.savez(data, x=images)
        note = f"{data.name}, {len(np.load(data)['x']) if data.name == 'random.npz' else 'given'} samples"
        done = run("quantize", str(model.resolve()), "-o", str(Path(folder, "out.tflite")), "--data", str(data.resolve()))
        return Row(what, done.cpu, limit, "s CPU", note, done.cpu < limit)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="the ONNX file to inspect")
    parser.add_argument("--vww", type=Path, help="the float MobileNetV1 of MLPerf Tiny, .tflite")
    parser.add_argument("--vww-data", type=Path, help="calibration data for it; random images otherwise")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = [
        timed("--help", 0.3, options.repeat, "--help"),
        timed(f"inspect {options.model.name}", 1.5, options.repeat, "inspect", str(options.model.resolve())),
        quantize(options.vww, options.vww_data, 10.0),
    ]
    if options.json:
        print(json.dumps({"toolchain": [asdict(row) for row in rows]}, indent=2))
    else:
        for row in rows:
            value = "-" if row.value is None else f"{row.value:.2f}"
            verdict = "" if row.value is None else "ok" if row.ok else "MISSED"
            print(f"{row.what:24} {value:>6} {row.unit:7} < {row.limit:<4g} {verdict:7} {row.note}")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
