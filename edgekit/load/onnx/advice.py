"""What to do about ONNX nodes that are not read: write them otherwise, or cut the network before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import onnx

from edgekit.load.onnx import fold, qlinear
from edgekit.load.onnx.builder import Builder
from edgekit.load.onnx.live import reads

# What ends a detector, or starts its second stage: places or counts depend on the data.
CUT = ("NonMaxSuppression", "NonZero", "Unique", "Compress", "RoiAlign", "MaxRoiPool", "GridSample")
# What to do about operators of other domains.
FOREIGN = {
    "com.microsoft": "save the file before ONNX Runtime optimizes it, or export with standard ONNX operators only",
    "com.microsoft.nchwc": "it is made for one processor: save the file before ONNX Runtime optimizes it",
    "ai.onnx.ml": "trees, scalers and labels are no network: take the network before them, or do their arithmetic in it",
    "ai.onnx.contrib": "texts, pictures and sounds are prepared outside: take the network alone",
    "aten": "export with operator_export_type=ONNX",
    "org.pytorch.aten": "export with operator_export_type=ONNX",
}
# Of values to cut a network at, in a hint.
MOST_ENDS = 8
INSTEAD = {
    **dict.fromkeys(sorted(fold.RANDOM), "export after model.eval(), or make the random numbers an input"),
    "MaxUnpool": "use a transposed convolution, or Resize, to enlarge",
    **dict.fromkeys(qlinear.READ, "save in QDQ format (quant_format=QuantFormat.QDQ), its channels first"),
    "ConvInteger": "quantize statically, or start from the float model",
    "MatMulInteger": "quantize statically, or start from the float model",
}


def of_domain(domain: str) -> str:
    """Instead of operators of another domain than ONNX's own."""
    return FOREIGN.get(domain, "export with standard ONNX operators only")


def instead(node: onnx.NodeProto, b: Builder) -> str:
    """Instead of an operator that is not supported; one that ends a detector can be left out."""
    computed = [n for n in node.input if b.values.get(n) in b.maker]
    if node.op_type in CUT and computed:
        return f"cut the graph before it and run it after the network: --outputs {','.join(computed)}"
    return INSTEAD.get(node.op_type, "rewrite it with convolutions, dense layers, pools and elementwise arithmetic")


def ends(graph: onnx.GraphProto, live: Sequence[onnx.NodeProto], broken: Collection[str], values: Mapping[str, str]) -> str:
    """How to take what can be read: the values that refused nodes read, and the outputs that need none of them. "" for none.

    live: nodes that the outputs need. broken: values that refused nodes would have made. values: those that were read.
    """
    made = {n for node in live for n in node.output if n and n not in broken} & set(values)
    found = [n for node in live if any(o in broken for o in node.output) for n in reads(node)]
    found = _gathered([n for n in dict.fromkeys([*found, *(o.name for o in graph.output)]) if n in made], live, made)
    if not found or len(found) > MOST_ENDS:
        return ""
    return f"to take what comes before them: --outputs {','.join(found)}"


def _gathered(names: list[str], live: Sequence[onnx.NodeProto], made: Collection[str]) -> list[str]:
    """Where there are too many ends (a detector's scores, class by class): what the largest group of a kind is made of."""
    makers = {name: node for node in live for name in node.output}
    while len(names) > MOST_ENDS:
        kind, count = Counter(makers[n].op_type for n in names).most_common(1)[0]
        if count <= 2:
            break
        above = [m for n in names for m in (reads(makers[n]) if makers[n].op_type == kind else [n])]
        names = [n for n in dict.fromkeys(above) if n in made]
    return names
