"""ONNX's own node tests, for the operators edgekit covers, through every engine it writes for.

A case counts when every operator in it is covered, its data and results are float, int32, int64 or bool tensors of rank
at most 5, and it is not in tests/conformance/exclusions.toml (with a reason). Weights and attribute-like inputs (axes,
shapes, pads, clip bounds, indices, statistics), and what they are computed from, are frozen to the test's values as
initializers, as files exported for inference have them.

    python -m benchmarks.onnx_nodes [--engine reference|onnx|tflite|c] [--case NAME] [--json] [--failures]
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.bench.litert import run_litert
from edgekit.bench.ort import run_onnx
from edgekit.errors import EdgekitError, Unsupported
from edgekit.export.c import export_c, interface
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.graph import NUMPY_DTYPES, Array, Graph
from edgekit.load.onnx import COVERED, load_onnx
from edgekit.passes.legalize import legalize
from edgekit.passes.simplify import simplify

EXCLUSIONS = Path(__file__).parent.parent / "tests" / "conformance" / "exclusions.toml"
ATOL = 1e-6  # the tests' own 1e-7 is below float32 resolution of values around 1, summed in another order
# Types of data and results that count; edgekit holds float64 and int64 in 32 bits.
JUDGED = (np.float32, np.float64, np.int32, np.int64, np.bool_)
# How many leading inputs are data; absent: all of them.
DATA_INPUTS = {
    **dict.fromkeys(["GRU", "LSTM", "RNN", "GroupNormalization", "InstanceNormalization", "LayerNormalization"], 1),
    **dict.fromkeys(["CenterCropPad", "Col2Im", "ConvTranspose", "Resize", "Upsample"], 1),
    **dict.fromkeys(["BatchNormalization", "Cast", "Clip", "Conv", "Dropout", "Expand", "Gather", "Gemm", "MatMul"], 1),
    **dict.fromkeys(["PRelu", "Pad", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Reshape", "Slice"], 1),
    **dict.fromkeys(["Split", "Squeeze", "Tile", "Unsqueeze", "CumSum", "GatherElements", "GatherND", "OneHot", "TopK"], 1),
    **dict.fromkeys(["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare"], 1),
    **dict.fromkeys(["RMSNormalization", "Compress", "ReverseSequence", "Trilu", "STFT", "DFT"], 1),
}
# How many outputs are for inference; the others are for training, and are not asked for.
RESULTS = {"Dropout": 1, "LayerNormalization": 1}
# Frozen inputs in between.
FROZEN = {"ConstantOfShape": (0,), "If": (0,), "Range": (0, 1, 2), "Scatter": (1,), "ScatterElements": (1,), "ScatterND": (1,)}


@dataclass(frozen=True)
class Case:
    """One node test: the model with its frozen inputs, the data and the expected results in order."""

    name: str
    model: bytes
    feeds: Mapping[str, Array]
    expected: tuple[Array, ...]
    rtol: float
    atol: float


def collect(excluded: Mapping[str, str]) -> list[Case]:
    """The cases that count, in ONNX's order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making expected values divides by zero and overflows on purpose
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    cases = [_case(test) for test in found if test.name not in excluded and test.model is not None and test.data_sets]
    return [case for case in cases if case is not None]


def _case(test: Any) -> Case | None:
    """The test as a Case; None when it is not one of tensors of rank <= 5 on covered operators."""
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    nodes, (inputs, outputs) = model.graph.node, test.data_sets[0]
    if any(node.op_type not in COVERED or node.domain not in ("", "ai.onnx") for node in nodes):
        return None
    if any(not isinstance(value, np.ndarray | np.generic) for value in (*inputs, *outputs)):
        return None
    data, frozen = _split_inputs(model)
    extra = {name for node in nodes for name in node.output[RESULTS.get(node.op_type, len(node.output)) :]}
    asked = [i for i, value in enumerate(model.graph.output) if value.name not in extra]
    results = [model.graph.output[i] for i in asked]
    del model.graph.output[:]
    model.graph.output.extend(results)
    outputs = [outputs[i] for i in asked]
    by_name = {v.name: np.asarray(a) for v, a in zip(model.graph.input, inputs, strict=True)}
    judged = [*(by_name[n] for n in data), *outputs]
    if not data or any(a.dtype not in JUDGED or a.ndim > 5 or a.size == 0 for a in judged):
        return None
    model.graph.initializer.extend(numpy_helper.from_array(by_name[n], n) for n in frozen)
    kept = [v for v in model.graph.input if v.name in data]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return Case(
        test.name, model.SerializeToString(), {n: by_name[n] for n in data}, tuple(outputs), test.rtol, max(test.atol, ATOL)
    )


def _split_inputs(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """(data, frozen) input names: a value is frozen when some node reads it as weight or attribute."""
    frozen = {name for node in model.graph.node for name in node.input[DATA_INPUTS.get(node.op_type, len(node.input)) :]}
    frozen |= {node.input[i] for node in model.graph.node for i in FROZEN.get(node.op_type, ()) if i < len(node.input)}
    for node in reversed(model.graph.node):  # what a frozen value is computed from
        if not frozen.isdisjoint(node.output) and node.op_type not in ("Shape", "Size"):
            frozen |= set(node.input[:1] if node.op_type == "CastLike" else node.input)
    names = [v.name for v in model.graph.input]
    return [n for n in names if n not in frozen], [n for n in names if n in frozen]


def exclusions(path: Path = EXCLUSIONS) -> dict[str, str]:
    """case name -> why it does not count."""
    with path.open("rb") as file:
        table = tomllib.load(file)
    return {name: entry["reason"] for entry in table["exclusion"] for name in entry["cases"]}


# -- engines -----------------------------------------------------------------------------------------------------------
def on_reference(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    return reference.run(graph, feeds)


def on_onnx(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    return run_onnx(export_onnx(legalize(simplify(graph), "onnx")), [feeds])[0]


def on_tflite(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    model = export_tflite(legalize(simplify(graph), "tflite"))
    try:
        return run_litert(model, [feeds])[0]
    except Unsupported:  # the reference resolver lacks some operators that the default one has
        return run_litert(model, [feeds], "default")[0]


def on_c(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    legal = legalize(simplify(graph), "c")
    return run_c(export_c(legal, "node"), interface(legal, "node"), [feeds])[0]


ENGINES: dict[str, Callable[[Graph, Mapping[str, Array]], dict[str, Array]]] = {
    "reference": on_reference,
    "onnx": on_onnx,
    "tflite": on_tflite,
    "c": on_c,
}


def judge(case: Case, engine: str) -> str:
    """ "" when the engine gives the expected results, else what went wrong."""
    try:
        graph = load_onnx(case.model, name=case.name)
        feeds = {n: a.astype(NUMPY_DTYPES[graph[n].dtype]) for n, a in case.feeds.items()}
        results = ENGINES[engine](graph, feeds)
    except EdgekitError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # a crash of any engine is one failed case, not the end of the run
        return f"crashed: {type(error).__name__}: {error}"
    for name, want in zip(graph.outputs, case.expected, strict=False):
        got = np.asarray(results[name])
        if got.shape != want.shape:
            return f"'{name}' has shape {list(got.shape)}, expected {list(want.shape)}"
        if (got.dtype.kind == "b") != (want.dtype.kind == "b"):
            return f"'{name}' is {got.dtype}, expected {want.dtype}"
        if not np.allclose(got, want, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return f"'{name}' differs by {float(np.max(np.abs(got.astype(np.float64) - want))):.3g}"
    return ""


def run(cases: Sequence[Case], engines: Sequence[str]) -> dict[str, dict[str, str]]:
    """engine -> {case: what went wrong} of the failed cases."""
    failed: dict[str, dict[str, str]] = {}
    for engine in engines:
        verdicts = {case.name: judge(case, engine) for case in cases}
        failed[engine] = {name: why for name, why in verdicts.items() if why}
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx_nodes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=list(ENGINES), action="append", help="only this engine (may be repeated)")
    parser.add_argument("--case", action="append", help="only cases whose name contains this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--failures", action="store_true", help="list every failed case")
    options = parser.parse_args(arguments)
    excluded = exclusions()
    cases = [c for c in collect(excluded) if not options.case or any(part in c.name for part in options.case)]
    engines = options.engine or list(ENGINES)
    failed = run(cases, engines)
    if options.json:
        print(json.dumps({"cases": len(cases), "excluded": len(excluded), "failed": failed}, indent=2))
    else:
        print(f"ONNX node tests: {len(cases)} cases count, {len(excluded)} are excluded (tests/conformance/exclusions.toml)")
        for engine in engines:
            passed = len(cases) - len(failed[engine])
            print(f"  {engine:<10} {passed}/{len(cases)}  {100 * passed / max(len(cases), 1):.1f} %")
            if options.failures:
                for name, why in failed[engine].items():
                    print(f"    {name}: {why}")
    return 0 if all(len(f) <= 0.05 * len(cases) for f in failed.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
