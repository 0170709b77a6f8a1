"""Ten families of Transformers from PyTorch to int8 C and TFLite-Micro: what loads, how exactly, with what SQNR.

    python -m benchmarks.transformers [--only NAME ...] [--json]

Small networks with random weights (benchmarks/transformers_nets.py). Columns, for C and for TFLite-Micro: nodes of the
legalized graph; SQNR in dB of that graph in float against PyTorch, and of int8 against it; nodes that stayed float; whether
generated C (compiled here) and the TFLite-Micro interpreter give the reference's integers. TFLite-Micro has no GELU
(its form with tanh stands for it, in float) and no layer normalisation. Needs the extras torch and dev.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.families import same
from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import EdgekitError
from edgekit.export.c import export_c, interface
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize_with_report
from edgekit.pipeline import prepare

NETS_FILE = Path(__file__).with_name("transformers_nets.py")
NETS = ("bert", "gpt", "llama", "vit", "mixer", "clip", "conformer", "whisper", "seq2seq", "decision")
SAMPLES, JUDGED = 32, 4
Sample = dict[str, Array]


@dataclass(frozen=True)
class Row:
    """One network on one engine; `failed` says why the rest is missing."""

    net: str
    engine: str
    nodes: int = 0
    read_db: float = 0.0
    int8_db: float = 0.0
    islands: int = 0
    same: bool = False
    failed: str = ""


def measure(net: str, folder: Path) -> list[Row]:
    path = folder / f"{net}.npz"
    subprocess.run([sys.executable, str(NETS_FILE), net, str(path), str(SAMPLES)], check=True, capture_output=True)
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    graph = load(f"{NETS_FILE}:build", args={"net": net})
    samples = [{n: arrays[f"x{i}"][k] for i, n in enumerate(graph.inputs)} for k in range(SAMPLES)]
    exact = [{n: arrays[f"y{i}"][k] for i, n in enumerate(graph.outputs)} for k in range(JUDGED)]
    return [judged(net, graph, engine, samples, exact) for engine in ("c", "tflm")]


def judged(net: str, graph: Graph, engine: str, samples: list[Sample], exact: list[Sample]) -> Row:
    """The row of a network that answers `exact` to the first samples."""
    try:
        legal = prepare(graph, engine)
        integer, report = quantize_with_report(legal, samples)
        real, rounded = answers(legal, samples[:JUDGED]), answers(integer, samples[:JUDGED])
        feeds = [to_feeds(integer, sample) for sample in samples[:JUDGED]]
        expected = [reference.run(integer, feed) for feed in feeds]
        if engine == "c":
            got = run_c(export_c(integer, "net"), interface(integer, "net"), feeds)
        else:
            got = run_tflm(export_tflite(integer, names=True), feeds)
    except EdgekitError as error:
        return Row(net, engine, failed=error.message)
    worst = [
        min(sqnr_db([a[n] for a in x], [b[n] for b in y]) for n in graph.outputs) for x, y in ((exact, real), (real, rounded))
    ]
    return Row(net, engine, len(legal.nodes), worst[0], worst[1], len(report.islands), same(expected, got))


def answers(graph: Graph, samples: list[Sample]) -> list[Sample]:
    """The outputs for each sample, real numbers."""
    return [dict(from_outputs(graph, reference.run(graph, to_feeds(graph, sample)))) for sample in samples]


def line(row: Row) -> str:
    """A row of the table."""
    if row.failed:
        return f"{row.net:<12}{row.engine:<6}  {row.failed}"
    numbers = f"{row.nodes:>6}{row.read_db:>9.1f}{row.int8_db:>8.1f}{row.islands:>9}"
    return f"{row.net:<12}{row.engine:<6}{numbers}{'same' if row.same else 'DIFF':>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", default=NETS, choices=NETS, metavar="NAME", help=", ".join(NETS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows: list[Row] = []
    if not options.json:
        print(f"{'network':<12}{'engine':<6}{'nodes':>6}{'float':>9}{'int8':>8}{'islands':>9}{'integers':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for net in options.only:
            found = measure(net, Path(folder))
            rows += found
            if not options.json:
                print(*map(line, found), sep="\n", flush=True)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
