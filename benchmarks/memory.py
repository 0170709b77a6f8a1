"""Memory of phones and Raspberry Pis: what a process takes, measured on this host, and what `bench` estimates for it.

    python -m benchmarks.memory [--json] [NETWORK...]

Builds standard networks with random weights, in float32 and int8, runs each in LiteRT and ONNX Runtime in a process of its own,
one thread, and prints: the runtime with nothing loaded, the weights, the activations that live at the fullest moment, the
largest resident size (VmHWM), what `edgekit.bench.estimate.memory` says, and the error of a fit without that network.
The coefficients at the end are those of `edgekit/bench/estimate.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from benchmarks.estimates import dense, mobile
from edgekit.bench.estimate import live_bytes, memory
from edgekit.bench.on_device import Settings, measure_at
from edgekit.bench.remote import address
from edgekit.bench.timing import Policy
from edgekit.boundary import random_feeds
from edgekit.graph import Graph, Tensor
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare
from edgekit.report.table import text_table

NETWORKS: Mapping[str, Callable[[], Graph]] = {
    "ds_cnn": mobile.ds_cnn,
    "mobilenet_v1 0.25 96": lambda: mobile.mobilenet_v1(0.25, 96),
    "mobilenet_v1 0.5 160": lambda: mobile.mobilenet_v1(0.5, 160),
    "mobilenet_v1 1.0 224": lambda: mobile.mobilenet_v1(1.0, 224),
    "mobilenet_v2 1.0 224": lambda: mobile.mobilenet_v2(1.0, 224),
    "mnasnet 1.0 224": lambda: mobile.mnasnet(1.0, 224),
    "efficientnet_lite 0": lambda: mobile.efficientnet_lite(0),
    "efficientnet_lite 2": lambda: mobile.efficientnet_lite(2),
    "squeezenet": lambda: dense.squeezenet("1.1", 224),
    "inception_v1": dense.inception_v1,
}
ENGINES = ("tflite", "onnx")
ONCE = Policy(runs=3, seconds=0.1, warm_s=0.01, launches=1)


@dataclass(frozen=True)
class Row:
    """Bytes. estimated: None where `bench` gives none; left_out: by a fit to the other networks, set once all are there."""

    network: str
    engine: str
    precision: str
    base: int
    weights: int
    activations: int
    measured: int
    estimated: int | None
    left_out: float | None = None


def with_weights(graph: Graph, seed: int = 0) -> Graph:
    """The same with random weights of a size that keeps values finite."""
    rng = np.random.default_rng(seed)

    def filled(tensor: Tensor) -> Tensor:
        if not tensor.is_const or tensor.dtype != "float32" or len(tensor.shape) < 2:
            return tensor
        reach = np.prod(tensor.shape[1:]) if tensor.shape[0] != 1 else np.prod(tensor.shape[:3])
        return replace(tensor, data=(rng.standard_normal(tensor.shape) * np.sqrt(2 / reach)).astype(np.float32))

    return replace(graph, tensors={name: filled(tensor) for name, tensor in graph.tensors.items()})


def rows_of(network: str) -> list[Row]:
    """One row an engine and precision."""
    real = with_weights(NETWORKS[network]())
    found = []
    for precision, graph in (("float32", real), ("int8", quantize(real, random_feeds(real, 2)))):
        for engine in ENGINES:
            ready = prepare(graph, engine)
            (timed,) = measure_at(address("host"), graph, None, None, Settings(policy=ONCE, engines=(engine,)))
            assert timed.stats.peak is not None
            assert timed.stats.base is not None
            said = memory(graph, engine)
            weights = sum(t.nbytes for t in ready.tensors.values() if t.is_const)
            value = None if said is None or said.value is None else round(said.value)
            found.append(Row(network, engine, precision, timed.stats.base, weights, live_bytes(ready), timed.stats.peak, value))
    return found


def fitted(rows: Sequence[Row]) -> tuple[float, float, float]:
    """(bytes without a network, a byte of weights, a byte of activations), least squares of relative errors, none below 0."""
    names = [True, True, True]
    while True:
        columns = np.array([[1.0 if names[0] else 0.0, r.weights * names[1], r.activations * names[2]] for r in rows])
        scale = np.array([r.measured for r in rows], float)
        found = np.linalg.lstsq(columns / scale[:, None], np.ones(len(rows)), rcond=None)[0]
        below = [i for i, value in enumerate(found) if value < 0]
        if not below:
            return float(found[0]), float(found[1]), float(found[2])
        for i in below:
            names[i] = False


def judged(rows: Sequence[Row]) -> list[Row]:
    """Each with the error of a fit to the other networks of its engine and precision."""
    found = []
    for row in rows:
        others = [r for r in rows if (r.engine, r.precision) == (row.engine, row.precision) and r.network != row.network]
        if len(others) < 4:
            found.append(row)
            continue
        base, by_weights, by_activations = fitted(others)
        value = base + by_weights * row.weights + by_activations * row.activations
        found.append(replace(row, left_out=value / row.measured - 1))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)} [all]")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.networks if name not in NETWORKS]:
        parser.error(f"no network '{unknown[0]}'; there are {', '.join(NETWORKS)}")
    rows = judged([row for name in options.networks or NETWORKS for row in rows_of(name)])
    fits = {}
    for engine in ENGINES:
        for precision in ("float32", "int8"):
            own = [r for r in rows if (r.engine, r.precision) == (engine, precision)]
            errors = [abs(r.left_out) for r in own if r.left_out is not None]
            fits[f"{engine} {precision}"] = (*fitted(own), sum(errors) / len(errors) if errors else None)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "fits": fits}, indent=2))
        return 0
    print(text_table(
        ("network", "engine", "", "runtime", "weights", "activations", "measured", "estimated", "error", "left out"),
        [
            (
                r.network, r.engine, r.precision, *(f"{n / 1e6:.1f}" for n in (r.base, r.weights, r.activations, r.measured)),
                "-" if r.estimated is None else f"{r.estimated / 1e6:.1f}",
                "-" if r.estimated is None else f"{r.estimated / r.measured - 1:+.1%}",
                "-" if r.left_out is None else f"{r.left_out:+.1%}",
            )
            for r in rows
        ],
        (3, 4, 5, 6, 7, 8, 9),
    ))  # fmt: skip
    print("\nMB of 1,000,000 bytes; runtime: the process before the network was loaded")
    for name, (base, by_weights, by_activations, error) in fits.items():
        shown = "-" if error is None else f"{error:.1%}"
        print(
            f"{name}: {base / 1e6:.1f} MB + {by_weights:.2f} x weights + {by_activations:.2f} x activations; left out {shown}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
