"""Generators, U-Nets, segmenters and detectors of plain torch modules, from PyTorch to int8 C.

    python -m benchmarks.pixels [--only NAME ...] [--json]

Random weights. Columns: nodes as read and simplified; TRANSPOSE nodes left inside; SQNR in dB against PyTorch of the graph as
read, of the ONNX file that edgekit writes (ONNX Runtime) and of the float C (compiled here); int8 SQNR against float, an output
each; whether the generated C (with sanitizers) and the TFLite-Micro interpreter give the integers of the reference; planned
arena. Needs the extras torch and dev. Exit status 1 when something differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.ort import run_onnx
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import EdgekitError
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.metrics import sqnr_db
from edgekit.passes.quantize import quantize
from edgekit.passes.simplify import residual_transposes, simplify
from edgekit.pipeline import prepare

NETS_FILE = Path(__file__).with_name("pixels_nets.py")
NETS = (
    "autoencoder vae_decoder dcgan unet unet_bilinear unet_nearest denoiser ssd yolo deeplab fcn super_resolution keypoints"
).split()
SAMPLES = 4  # for calibration, the first with PyTorch's answer
LEAST_DB = 100.0  # float results nearer than this to PyTorch's are the same up to the order of sums


@dataclass(frozen=True)
class Row:
    """One network; "" where an engine gave the reference's results, else what went wrong."""

    net: str
    nodes: int
    simplified: int
    residual: int
    read_db: float
    onnx_db: float
    c_db: float
    int8_db: tuple[float, ...]
    c: str
    tflm: str
    arena: int

    @property
    def good(self) -> bool:
        return min(self.read_db, self.onnx_db, self.c_db) > LEAST_DB and not self.c and not self.tflm


def exported(nets: Sequence[str], folder: Path) -> None:
    """NET.onnx and NET.npz in the folder, by a process that has torch."""
    subprocess.run([sys.executable, str(NETS_FILE), str(folder), *nets], check=True, capture_output=True)


def measure(net: str, folder: Path) -> Row:
    """Raises EdgekitError when the network cannot be read or is not for C."""
    graph = load(folder / f"{net}.onnx")
    with np.load(folder / f"{net}.npz") as data:
        first = {name: data[f"x{i}"] for i, name in enumerate(graph.inputs)}
        wanted = {name: data[f"y{i}"] for i, name in enumerate(graph.outputs)}
    rng = np.random.default_rng(0)
    drawn = [{n: rng.normal(size=a.shape).astype(np.float32) for n, a in first.items()} for _ in range(SAMPLES - 1)]
    samples = [first, *drawn]
    simple, legal = simplify(graph), prepare(graph, "c")
    integer = quantize(legal, samples)
    model, real = compile_c(integer, "net"), compile_c(legal, "net")
    feeds, expected = results(integer, samples)
    in_c = run_c(real.files, real.interface, [to_feeds(legal, first)])[0]
    return Row(
        net,
        nodes=len(graph.nodes),
        simplified=len(simple.nodes),
        residual=len(residual_transposes(simple)),
        read_db=worst(wanted, answers(graph, [first])[0]),
        onnx_db=worst(wanted, run_onnx(export_onnx(prepare(graph, "onnx")), [first])[0]),
        c_db=worst(wanted, from_outputs(legal, in_c)),
        int8_db=nearness(answers(legal, samples), answers(integer, samples)),
        c=compared(expected, lambda: run_c(model.files, model.interface, feeds, sanitize=True)),
        tflm=in_tflm(graph, samples),
        arena=model.plan.peak,
    )


def in_tflm(graph: Graph, samples: Sequence[Mapping[str, Array]]) -> str:
    """What the TFLite-Micro interpreter says to the graph legalized for it: as `Row.tflm`."""
    try:
        integer = quantize(prepare(graph, "tflm"), samples)
        feeds, expected = results(integer, samples)
        file = export_tflite(integer, names=True)
    except EdgekitError as error:
        return error.message
    return compared(expected, lambda: run_tflm(file, feeds))


def results(graph: Graph, samples: Sequence[Mapping[str, Array]]) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """(the graph's own inputs, the reference's outputs) of each sample."""
    feeds = [to_feeds(graph, sample) for sample in samples]
    return feeds, [reference.run(graph, feed) for feed in feeds]


def answers(graph: Graph, samples: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """Real numbers in the source's layout."""
    return [dict(from_outputs(graph, out)) for out in results(graph, samples)[1]]


def worst(wanted: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    return min(sqnr_db([value], [found[name]]) for name, value in wanted.items())


def nearness(real: Sequence[Mapping[str, Array]], integer: Sequence[Mapping[str, Array]]) -> tuple[float, ...]:
    """SQNR over all samples, an output each."""
    return tuple(sqnr_db([r[name] for r in real], [i[name] for i in integer]) for name in real[0])


def compared(expected: Sequence[Mapping[str, Array]], run: Callable[[], Sequence[Mapping[str, Array]]]) -> str:
    try:
        found = run()
    except EdgekitError as error:
        return error.message
    equal = all(np.array_equal(a[name], b[name]) for a, b in zip(expected, found, strict=True) for name in a)
    return "" if equal else "other integers"


def line(row: Row) -> str:
    """A row of the table."""
    marks = [f"{'same' if not why else why.splitlines()[0]:<6}" for why in (row.c, row.tflm)]
    int8 = " ".join(f"{db:.1f}" for db in row.int8_db)
    return (
        f"{row.net:<18}{f'{row.nodes} > {row.simplified}':>9}{row.residual:>5}{row.read_db:>8.1f}{row.onnx_db:>8.1f}"
        f"{row.c_db:>8.1f}{int8:>12}  {row.arena:>7}  {' '.join(marks)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", default=NETS, choices=NETS, metavar="NAME", help=", ".join(NETS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not options.json:
        titles = f"{'nodes':>9}{'left':>5}{'read':>8}{'onnx':>8}{'c f32':>8}{'int8':>12}  {'arena':>7}"
        print(f"{'network':<18}{titles}  C      TFLM")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        exported(options.only, Path(folder))
        for net in options.only:
            rows.append(measure(net, Path(folder)))
            if not options.json:
                print(line(rows[-1]), flush=True)
    good = sum(row.good for row in rows)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    else:
        near = f"{good} of {len(rows)} within {LEAST_DB:.0f} dB of PyTorch in float"
        print(f"{near}, the reference's integers in C and TFLite-Micro")
    return int(good < len(rows))


if __name__ == "__main__":
    sys.exit(main())
