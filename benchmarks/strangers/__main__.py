"""Models nobody here wrote, from the file to verified int8 C: what converts, how exactly, and what is refused and why.

    python -m benchmarks.strangers --cache FOLDER [--only NAME ...] [--json] [--full]
    python -m benchmarks.strangers --cache FOLDER --file MODEL --kind image [--shape input=1,3,96,96]

The list is models.csv: files inside installed packages, by hash (kind "file"; "filled": with seeded weights in place of
placeholders), and networks whose architecture and code are another
package's, made here with seeded weights (kind "torch" by PyTorch's exporter, "keras" by TensorFlow's converter) in processes of
their own; --torch-python and --keras-python name interpreters that have those packages. Inputs are made up (inputs.py), so
int8_db says how well 8 bits hold a random network on such inputs, not accuracy. Each model runs in a process of its own with
a limit on time and memory. Exit status 1 when an answer was WRONG or a process crashed, or when under 75 % convert.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.metadata
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MEMORY = 10 << 30
MAKE_S, JUDGE_S = 300, 600
SHARE = 0.75


def entries() -> list[dict[str, str]]:
    """The rows of models.csv."""
    with (HERE / "models.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def model_of(entry: dict[str, str], cache: Path, pythons: dict[str, str]) -> Path | str:
    """The entry's model file, made into the cache when it is not there; or why it cannot be had."""
    package, kind = entry["package"], entry["kind"]
    source: Path | str = entry["source"]
    if kind in ("file", "filled"):
        try:
            path = Path(str(importlib.metadata.distribution(package).locate_file(entry["source"])))
        except importlib.metadata.PackageNotFoundError:
            return f"the package {package} is not installed"
        if not path.is_file():
            return f"the installed {package} has no {entry['source']}"
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            return f"another file than the one listed: install {package}=={entry['version']}"
        if kind == "file":
            return path
        source = path
    path = cache / (entry["name"] + (".tflite" if kind == "keras" else ".onnx"))
    if path.is_file():
        return path
    words = [package] if kind == "torch" else []
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        part = Path(folder) / path.name
        line = [pythons.get(kind, sys.executable), str(HERE / f"make_{kind}.py"), *words, str(source), str(part)]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=MAKE_S, check=False)
        except subprocess.TimeoutExpired:
            return f"making it took more than {MAKE_S} s"
        if done.returncode or not part.is_file():
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            return f"making it failed: {last}"
        part.replace(path)
    return path


def judged(name: str, path: Path, kind: str, more: Sequence[str]) -> dict[str, Any]:
    """The row of one model, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        line = [
            sys.executable,
            "-m",
            "benchmarks.strangers.judge",
            str(path),
            "--name",
            name,
            "--kind",
            kind,
            "--out",
            str(out),
            *more,
        ]
        failed = {"name": name, "status": "CRASH", "stage": "", "float_db": None, "int8_db": None}
        try:
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=JUDGE_S, check=False,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {**failed, "status": "no time", "said": f"it took more than {JUDGE_S} s"}
        if not out.is_file():
            return {**failed, "said": f"the process ended with {done.returncode}: {done.stderr[-1500:]}"}
        row: dict[str, Any] = json.loads(out.read_text())
        return row


def line_of(row: dict[str, Any], full: bool) -> str:
    """A row of the table, with what was said when it did not convert."""

    def db(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    seconds = sum((row.get("seconds") or {}).values())
    stage = "" if row["status"] == "converted" else row.get("stage", "")
    exact = {True: "same", False: "close", None: ""}[row.get("exact")]
    text = (
        f"{row['name']:<24}{row['status']:<13}{stage:<16}{row.get('nodes', 0):>6}"
        f"{db(row.get('float_db')):>8}{db(row.get('int8_db')):>8}{exact:>6}{row.get('islands', 0):>4}{seconds:>7.1f}s"
    )
    said = row.get("said", "").strip().splitlines()
    if not said:
        return text
    shown = said if full else (said[-1:] if row["status"] == "CRASH" else said[:2])
    return "\n".join([text, *("    " + s for s in shown)])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.strangers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, metavar="FOLDER", help="made models are kept here")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these models of the list")
    parser.add_argument("--file", type=Path, nargs="+", metavar="MODEL", help="these files instead of the list")
    parser.add_argument("--kind", default="image", help="kind of the inputs of --file (inputs.py)")
    parser.add_argument("--shape", action="append", default=[], help="input=sizes, for --file")
    parser.add_argument(
        "--torch-python", default=sys.executable, metavar="PYTHON", help="an interpreter with the torch packages"
    )
    parser.add_argument("--keras-python", default=sys.executable, metavar="PYTHON", help="an interpreter with TensorFlow")
    parser.add_argument("--float-c", action="store_true", help="also run the float C")
    parser.add_argument("--full", action="store_true", help="print whole messages")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    more = ["--float-c"] if options.float_c else []
    work = [e for e in entries() if not options.only or e["name"] in options.only]
    if options.file:
        more += [word for shape in options.shape for word in ("--shape", shape)]
        work = [{"name": f.stem, "path": str(f), "input": options.kind} for f in options.file]
    if not options.json:
        print(f"{'model':<24}{'status':<13}{'stage':<16}{'nodes':>6}{'float':>8}{'int8':>8}{'C':>6}{'isl':>4}{'time':>8}")
    rows = []
    pythons = {"torch": options.torch_python, "keras": options.keras_python}
    for entry in work:
        found = Path(entry["path"]) if "path" in entry else model_of(entry, options.cache, pythons)
        if isinstance(found, str):
            row: dict[str, Any] = {"name": entry["name"], "status": "unavailable", "said": found}
        else:
            row = judged(entry["name"], found, entry["input"], more)
        rows.append(row)
        if not options.json:
            print(line_of(row, options.full), flush=True)
    count = {
        s: sum(r["status"] == s for r in rows) for s in ("converted", "refused", "WRONG", "CRASH", "no time", "unavailable")
    }
    if options.json:
        print(json.dumps({"count": count, "rows": rows}))
    else:
        print(", ".join(f"{n} {s}" for s, n in count.items()) + f" of {len(rows)}")
    bad = count["WRONG"] + count["CRASH"]
    return 1 if bad or count["converted"] < SHARE * (len(rows) - count["unavailable"]) else 0


if __name__ == "__main__":
    sys.exit(main())
