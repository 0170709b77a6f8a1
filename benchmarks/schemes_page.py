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

STORED = ("dynamic", "float16", "int4-blocks")
YES, NO, FLOAT, EIGHT = "yes", "–", "in float", "8 bits"
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


def narrow(op: str, engine: str, check: Check) -> str:
    """How an engine has an operator's weights in an int4 network."""
    try:
        graph = quantize(legalize(specimen(op), engine, whole=True), samples(specimen(op), op), scheme="int4")
        before = {n.op for n in graph.nodes if any(t is not None and t.dtype == "int4" for t in graph.input_tensors(n))}
        graph = legalize(graph, engine)
        check(graph)
    except Unsupported:
        return NO
    if not before:
        return EIGHT
    after = {n.op for n in graph.nodes if any(t is not None and t.dtype == "int4" for t in graph.input_tensors(n))}
    return YES if after == before else f"as {', '.join(f'`{op}`' for op in sorted(after))}"


def kept(op: str, scheme: str, engine: str) -> str:
    """What a scheme that only stores makes of an operator's weights."""
    try:
        graph = stored(prepare(specimen(op), engine), scheme, engine)
    except BadConfig:
        return NO
    dtypes = {graph[str(n.inputs[1])].dtype for n in graph.nodes if n.op == op and len(n.inputs) > 1}
    return YES if STORAGE[scheme] in dtypes else FLOAT


INT4 = """\
## int4

Each cell says what an int4 network has of an operator that has weights; "8 bits": its weights stay int8, on every engine. All
other operators are those of int8. LSTM, GRU, RNN and transposed convolutions keep 8 bits because no engine has kernels of 4 for
them; embedding tables do, too.

* TFLM's dense layers take one scale for all; a dense layer becomes a 1x1 convolution for it, which has one a channel and gives
  the same bits. TFLM widens a layer's weights into its arena before it runs: the planned arena counts them.
* LiteRT's reference kernels have no depthwise version 7; its optimized ones do.
* In ONNX the weights are INT4 with a `DequantizeLinear` of ONNX Runtime's own domain (ONNX's takes 4 bits from opset 21 on).
* C reads two channels by four inputs a word on cores with the DSP extension (those with Helium, too, for convolutions and
  dense layers), two channels a byte elsewhere. Depthwise weights are widened into scratch: few bytes are saved, and a
  layer that needs a left shift then runs the plain kernel, so `--keep-int8 DEPTHWISE_CONV_2D` is mostly smaller, faster and
  better. Layers run in cascades except depthwise ones.
* Scales are those of the least squared error of the weights, and weights are rounded so that layers give what they gave
  (`--rounding adaptive`) unless `--rounding nearest` is asked for.
"""
# Figures of `python -m benchmarks.formats --mlperf FOLDER`, and of a prototype of the last paragraph that was not kept.
COST = """\
What it costs and keeps, as generated C on the emulated Cortex-M4, against int8 (`python -m benchmarks.formats`; accuracy of at
most 256 held-out samples, in brackets int8's; the MLPerf Tiny networks on their real inputs, their autoencoder by its error):

| network | flash | instructions | RAM | accuracy | SQNR | rounded to the nearest |
| :--- | ---: | ---: | ---: | ---: | ---: | ---: |
| `models/lenet5` | 38,368 B (-43 %) | 1.131x | +40 B | 1.000 (1.000) | 30 dB (38) | 20 dB |
| `models/ds_cnn` | 24,292 B (-24 %) | 1.292x | +624 B | 0.996 (1.000) | 26 dB (36) | 0.992, 16 dB |
| the same, depthwise layers in 8 bits | 22,388 B (-30 %) | 1.105x | +32 B | 0.996 (1.000) | 27 dB (36) | – |
| `models/resnet8` | 48,524 B (-44 %) | 1.145x | +40 B | 0.992 (0.992) | 29 dB (37) | 18 dB |
| `models/autoencoder` | 9,756 B (-31 %) | 1.155x | +8 B | error 0.0114 (0.0103) | 23 dB (34) | 0.0166, 15 dB |
| MLPerf ResNet-8 | 48,856 B (-44 %) | 1.146x | +40 B | 0.758 (0.770) | 15 dB (21) | 0.529, 3 dB |
| MLPerf autoencoder | 149,108 B (-45 %) | 1.238x | +8 B | error 9.95 (10.36) | 34 dB (32) | 14.3, 22 dB |

MobileNetV1 of visual wake words has four photos, too few to calibrate and judge on; its flash falls by 25 % at 1.114x the
instructions with depthwise layers in 8 bits. On cores without packed products lenet5 takes 1.114x (Cortex-M0+) and 1.101x
(RISC-V) the instructions at 43 and 44 % less flash. Where 4 bits lose too much, `--max-drop` keeps the worst layers in 8, or
`--qat` trains.

Weights of 16 clusters a layer, found in a table two channels at a time, were tried as kernels of the same form. On lenet5,
ds_cnn and resnet8 flash fell by 41, 20 and 38 % at 1.229x, 1.212x and 1.275x the instructions and 512 B more RAM, at 14, 18 and
12 dB (16 clusters a channel: 18, 22 and 17 dB). int4, with depthwise layers in 8 bits, is smaller, faster and finer on each of
them, and TFLite can hold it, so clustering is not there.
"""


def schemes_page(generated: str) -> str:
    """int16x8 by operator and engine, then the schemes of storage."""
    rows = [(f"`{op}`", *(wide(op, *column) for column in ENGINES.values())) for op in sorted(WIDE & ops.TABLE.keys())]
    storage = [
        (
            f"`{op}`",
            *(kept(op, scheme, engine) for scheme in STORED for engine in ("tflite", "onnx", "tflm", "c")),
        )
        for op in sorted(HYBRID)
    ]
    weighted = sorted(op for op, entry in ops.TABLE.items() if entry.weights)
    four = [(f"`{op}`", *(narrow(op, *column) for column in ENGINES.values())) for op in weighted]
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
            "* `int4`: an int8 network whose convolutions and dense layers have weights of 4 bits (-7..7) with a scale an",
            "  output channel; see below.",
            "* `int4-blocks`: weights of dense layers in 4 bits with a scale for 32 inputs each, activations float32: ONNX",
            "  Runtime's `MatMulNBits`. Other engines refuse it.",
            "* `float32`: as it is.\n",
            "Some layers may have another width than the rest: `--keep-float NODE,...` leaves them in float, `--int16`",
            "gives them 16-bit activations within an int8 (or int4) network, `--keep-int8` 8-bit weights within an int4",
            "one. A NODE is a name as `inspect` has it, or an operator's for all of them. `--max-drop` finds them by itself:",
            "of the values with most noise of their own it measures what each gains at the output from 16 bits, and takes",
            "the best 1, 2, 4 and 8; what it chose stands in the recipe.\n",
            INT4,
            markdown_table(("operator", *ENGINES), four),
            "",
            COST,
            "## int16x8\n",
            markdown_table(("operator", *ENGINES), rows),
            "",
            "## Weights in fewer bits\n",
            markdown_table(("operator", *heads), storage),
            "",
        ]
    )
