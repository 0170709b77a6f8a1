"""Everything that can run a graph, behind one call: export it for the engine, run the samples, name the tool.

outputs, tool = ENGINES["tflm"].run(prepare(graph, "tflm"), feeds, find_target("mcu"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edgekit.errors import Unsupported
from edgekit.graph import Array, Graph
from edgekit.target import Target

Feeds = Sequence[Mapping[str, Array]]
Outputs = list[dict[str, Array]]
NAME = "edgekit_model"  # of the generated functions


@dataclass(frozen=True)
class Engine:
    """form: what `pipeline.prepare` must make of the graph. exact: integer graphs must agree with the reference bit for bit.

    run: (prepared graph, feeds, target) -> (outputs by graph name, one dict a sample, in the graph's own dtypes and layout;
    the tool with its version). Raises MissingTool, Unsupported, or EdgekitError when the engine fails on the model.
    """

    title: str
    form: str
    exact: bool
    run: Callable[[Graph, Feeds, Target], tuple[Outputs, str]]


def _c(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
    from edgekit.bench.host_c import run_c
    from edgekit.export.c import compile_c

    model = compile_c(graph, NAME)
    return run_c(model.files, model.interface, feeds), "cc"


def _emulated(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
    from edgekit.bench.emulate import emulate
    from edgekit.budget import for_board
    from edgekit.dsp import isa_of
    from edgekit.export.c import compile_program
    from edgekit.ledger import check_flash

    check_flash(graph, target, isa=isa_of(target.core))
    model = compile_program(for_board(graph, target.ram, isa=isa_of(target.core)).program, NAME)
    result = emulate(model.files, model.interface, target, feeds)
    return result.outputs, result.tool


def _tflm(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
    from edgekit.bench.tflm import run_tflm
    from edgekit.export.tflite import export_tflite

    return run_tflm(export_tflite(graph), feeds), _tool("tflite-micro")


def _litert_reference(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
    from edgekit.bench.litert import run_litert
    from edgekit.export.tflite import export_tflite

    sums = [node for node in graph.nodes if node.op == "SUM" and graph[node.outputs[0]].dtype == "int8"]
    if sums:  # its answer changes from call to call, as if it never cleared its sum; the optimized kernel is right
        why = "LiteRT's reference kernel for int8 SUM is broken"
        raise Unsupported("LiteRT, reference kernels", [(f"SUM '{n.source}'", why, "the engine litert runs it") for n in sums])
    return run_litert(export_tflite(graph), feeds, "reference"), _tool("ai-edge-litert")


def _litert(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
    from edgekit.bench.litert import run_litert
    from edgekit.export.tflite import export_tflite

    return run_litert(export_tflite(graph), feeds, "default"), _tool("ai-edge-litert")


def _onnx(graph: Graph, feeds: Feeds, target: Target) -> tuple[Outputs, str]:
    from edgekit.bench.ort import run_onnx
    from edgekit.export.onnx import export_onnx
    from edgekit.export.onnx_recurrent import as_integers, as_reals

    made = run_onnx(export_onnx(graph), [as_reals(graph, feed) for feed in feeds])
    return [as_integers(graph, outputs) for outputs in made], _tool("onnxruntime")


ENGINES: dict[str, Engine] = {
    "c": Engine("generated C on this machine", "c", True, _c),
    "emulated": Engine("generated C on the emulated core", "c", True, _emulated),
    "tflm": Engine("TensorFlow Lite Micro", "tflm", True, _tflm),
    "litert-reference": Engine("LiteRT, reference kernels", "tflite", False, _litert_reference),
    "litert": Engine("LiteRT, optimized kernels (XNNPACK)", "tflite", False, _litert),
    "onnx": Engine("ONNX Runtime", "onnx", False, _onnx),
}


def _tool(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
