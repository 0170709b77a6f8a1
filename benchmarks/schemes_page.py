"""The generated page of number formats: scheme by operator by engine, found by trying."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.specimens import EDGES, samples, specimen
from edgekit import ops, reference
from edgekit.boundary import random_feeds
from edgekit.errors import BadConfig, Unsupported
from edgekit.export.c import export_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.export.tflm import tflm_problems
from edgekit.graph import Graph
from edgekit.ops.int16 import WIDE
from edgekit.passes.legalize import legalize
from edgekit.passes.quantize import quantize
from edgekit.passes.quantize.storage import HYBRID, STORAGE, stored
from edgekit.pipeline import prepare
from edgekit.report.table import markdown_table

STORED = ("dynamic", "float16")
YES, NO, FLOAT = "yes", "–", "in float"
Check = Callable[[Graph], object]


def _tflm(graph: Graph) -> None:
    if problems := tflm_problems(graph):
        raise Unsupported("TFLite-Micro", problems)


ENGINES: dict[str, tuple[str, Check]] = {
    "reference": ("c", lambda graph: reference.run(graph, random_feeds(graph, 1)[0])),
    "C": ("c", lambda graph: export_c(graph, "specimen")),
    "TFLM": ("tflm", _tflm),
    "TFLite": ("tflite", export_tflite),
    "ONNX (ONNX Runtime)": ("onnx", export_onnx),
}


def wide(op: str, engine: str, check: Check) -> str:
    """How an engine has an operator in an int16x8 network."""
    try:
        graph = legalize(specimen(op), engine, whole=True)
        graph = legalize(quantize(graph, samples(graph, op), scheme="int16x8"), engine)
        check(graph)
    except Unsupported:
        return NO
    return YES if all(graph[o].dtype == "int16" for n in graph.nodes for o in n.outputs if n.op not in EDGES) else FLOAT


def kept(op: str, scheme: str, engine: str) -> str:
    """What a scheme that only stores makes of an operator's weights."""
    try:
        graph = stored(prepare(specimen(op), engine), scheme, engine)
    except BadConfig:
        return NO
    dtypes = {graph[str(n.inputs[1])].dtype for n in graph.nodes if n.op == op and len(n.inputs) > 1}
    return YES if STORAGE[scheme] in dtypes else FLOAT


def schemes_page(generated: str) -> str:
    """int16x8 by operator and engine, then the schemes of storage."""
    rows = [(f"`{op}`", *(wide(op, *column) for column in ENGINES.values())) for op in sorted(WIDE & ops.TABLE.keys())]
    storage = [
        (
            f"`{op}`",
            *(kept(op, scheme, engine) for scheme in ("dynamic", "float16") for engine in ("tflite", "onnx", "tflm", "c")),
        )
        for op in sorted(HYBRID)
    ]
    heads = tuple(f"{scheme} {engine}" for scheme in STORED for engine in ("TFLite", "ONNX", "TFLM", "C"))
    return "\n".join(
        [
            "# Number formats\n",
            generated,
            "`quantize --scheme S`. Each cell is the result of exporting a network of that one operator.\n",
            "* `int8`: activations and weights of 8 bits, biases of 32; see [operators](operators.md).",
            "* `int16x8`: activations of 16 bits without zero points, weights of 8 with a scale an output channel,",
            "  biases of 64. For networks that lose too much in int8; activations take twice the RAM. Reference, C and",
            "  TFLM (TensorFlow Lite Micro) give the same bits; LiteRT's dense layers differ by a step of 65,536. Operators",
            "  that are not listed stay in float32 between DEQUANTIZE and QUANTIZE. C runs layers over their inputs, but",
            "  not in cascades of rows. ONNX files have the QuantizeLinear of ONNX Runtime's own domain (ONNX's takes 16",
            "  bits from opset 21 on).",
            "* `dynamic`: weights of 8 bits, activations float32. LiteRT quantizes these layers' inputs as they come (hybrid",
            "  kernels); ONNX Runtime widens the weights. Not for microcontrollers.",
            "* `float16`: constants of 24 elements and more in half precision, widened when the model is loaded. Not for",
            "  microcontrollers.",
            "* `float32`: as it is.\n",
            "## int16x8\n",
            markdown_table(("operator", *ENGINES), rows),
            "",
            "## Weights in fewer bits\n",
            markdown_table(("operator", *heads), storage),
            "",
        ]
    )
