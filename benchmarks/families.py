"""Convolutional families of torchvision and timm, from PyTorch to int8 C: what loads, how exactly, how tidily.

    python -m benchmarks.families [--only NAME ...] [--json]

Random weights, 64 x 64 images. Columns: nodes as read and simplified; TRANSPOSE nodes left inside; SQNR in dB against PyTorch
in float64 of PyTorch in float32, of the graph as read, and of the graph legalized for TFLite-Micro; int8 SQNR against float
(random weights: low, and no measure of trained ones); whether the TFLite-Micro interpreter and the generated C (compiled
here) give the reference's integers; seconds of load and of simplify. Needs the extras torch and dev.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

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
from edgekit.passes.quantize import quantize
from edgekit.passes.simplify import residual_transposes, simplify
from edgekit.pipeline import prepare

NETS_FILE = Path(__file__).with_name("families_nets.py")
TORCHVISION = """
densenet121 efficientnet_b0 googlenet mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18
shufflenet_v2_x0_5 squeezenet1_1
"""
TIMM = """
dla34 ese_vovnet19b_dw fbnetc_100 ghostnet_100 hardcorenas_a hrnet_w18_small lcnet_050 mixnet_s mobilenetv4_conv_small
mobileone_s0 regnetx_002 repvgg_a0 res2net50_14w_8s rexnet_100 semnasnet_075 spnasnet_100 tf_efficientnet_lite0 tinynet_e
"""
NETS = (*(f"torchvision/{n}" for n in TORCHVISION.split()), *(f"timm/{n}" for n in TIMM.split()))

# Another order of sums costs a few dB where a random network amplifies rounding.
MARGIN_DB = 12


@dataclass(frozen=True)
class Row:
    """One network; `failed` says why the rest is missing."""

    net: str
    nodes: int = 0
    simplified: int = 0
    residual: int = 0
    torch_db: float = 0.0
    read_db: float = 0.0
    legal_db: float = 0.0
    int8_db: float = 0.0
    tflm: bool = False
    c: bool = False
    load_s: float = 0.0
    simplify_s: float = 0.0
    failed: str = ""


def measure(net: str, folder: Path) -> Row:
    subprocess.run([sys.executable, str(NETS_FILE), net, str(folder / "y.npz")], check=True, capture_output=True)
    with np.load(folder / "y.npz") as data:
        x, y, exact = data["x"], list(data["y"]), list(data["exact"])
    try:
        return judged(net, x, y, exact)
    except EdgekitError as error:
        return Row(net, failed=error.message)


def judged(net: str, x: Array, y: list[Array], exact: list[Array]) -> Row:
    """The row of a network that answers y (in float64: exact) to the images x. Raises EdgekitError."""
    start = time.perf_counter()
    graph = load(f"{NETS_FILE}:build", args={"net": net})
    loaded = time.perf_counter()
    simple = simplify(graph)
    done = time.perf_counter()
    samples = [{graph.inputs[0]: image[None]} for image in x]
    legal = prepare(graph, "tflm")
    integer = quantize(legal, samples)
    legal_answers = answers(legal, samples)
    feeds = [to_feeds(integer, sample) for sample in samples]
    expected = [reference.run(integer, feed) for feed in feeds]
    return Row(
        net,
        nodes=len(graph.nodes),
        simplified=len(simple.nodes),
        residual=len(residual_transposes(simple)),
        torch_db=sqnr_db(exact, y),
        read_db=sqnr_db(exact, answers(graph, samples)),
        legal_db=sqnr_db(exact, legal_answers),
        int8_db=sqnr_db(legal_answers, answers(integer, samples)),
        tflm=same(expected, run_tflm(export_tflite(integer, names=True), feeds)),
        c=same(expected, run_c(export_c(integer, "net"), interface(integer, "net"), feeds)),
        load_s=loaded - start,
        simplify_s=done - loaded,
    )


def answers(graph: Graph, samples: list[dict[str, Array]]) -> list[Array]:
    """The only output for each sample, real numbers."""
    results = [from_outputs(graph, reference.run(graph, to_feeds(graph, sample))) for sample in samples]
    return [result[graph.outputs[0]][0] for result in results]


def same(expected: list[dict[str, Array]], got: list[dict[str, Array]]) -> bool:
    """True when every output of every sample is equal."""
    return all(_equal(a, b) for a, b in zip(expected, got, strict=True))


def _equal(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", default=NETS, metavar="NAME", help="torchvision/NAME or timm/NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows: list[Row] = []
    if not options.json:
        print(
            f"{'network':<34}{'nodes':>12}{'left':>6}{'torch':>8}{'read':>8}{'legal':>8}{'int8':>7}{'TFLM':>6}{'C':>4}{'load':>7}{'simplify':>10}"
        )
    with tempfile.TemporaryDirectory() as folder:
        for net in options.only:
            row = measure(net, Path(folder))
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    else:
        good = [row for row in rows if min(row.read_db, row.legal_db) > row.torch_db - MARGIN_DB and row.tflm and row.c]
        print(
            f"{len(good)} of {len(rows)} as exact as PyTorch's float32 (within {MARGIN_DB} dB), identical in TFLite-Micro and C"
        )


def line(row: Row) -> str:
    """A row of the table."""
    if row.failed:
        return f"{row.net:<34}  {row.failed}"
    nodes = f"{row.nodes} > {row.simplified}"
    marks = "".join(f"{'same' if ok else 'DIFF':>{width}}" for ok, width in ((row.tflm, 6), (row.c, 5)))
    return (
        f"{row.net:<34}{nodes:>12}{row.residual:>6}{row.torch_db:>8.1f}{row.read_db:>8.1f}{row.legal_db:>8.1f}{row.int8_db:>7.1f}{marks}"
        f"{row.load_s:>6.1f}s{row.simplify_s:>9.2f}s"
    )


if __name__ == "__main__":
    main()
