"""Which C kernel runs a layer with weights of 4 bits, and the scratch it needs."""

from __future__ import annotations

from edgekit import dsp, mve
from edgekit.graph import Graph, Node, Tensor

LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def is_narrow(graph: Graph, node: Node) -> bool:
    """True when an operand is a constant of 4 bits."""
    return any(t is not None and t.dtype == "int4" for t in graph.input_tensors(node))


def narrow_kernel(graph: Graph, node: Node, kernel: tuple[str, int] | None, isa: str) -> tuple[str, int] | None:
    """(kernel, scratch bytes), or None where there is none. kernel: what would run the node with int8 weights on any core.

    A depthwise layer's weights, which are few, are widened into scratch behind what the int8 kernel needs; others are read as
    they are stored.
    """
    w = graph.tensor(node.inputs[1]) if len(node.inputs) > 1 else None
    if kernel is None or node.op not in LAYERS or w is None or w.data is None or not kernel[0].endswith("_s8"):
        return None
    if node.op == "DEPTHWISE_CONV_2D":
        base = {"dsp": dsp.packed, "mve": mve.laned}[isa](graph, node) if isa != "plain" else None
        name, scratch = base or kernel
        return four(name), dsp.padded(scratch) + widened(name, w)
    return (dsp.packed_s4(graph, node) if isa != "plain" else None) or (four(kernel[0]), kernel[1])


def widened(kernel: str, w: Tensor) -> int:
    """Bytes of a depthwise layer's weights as its int8 kernel wants them."""
    if kernel != "depthwise_mve_s8":
        return w.elements
    taps = w.elements // w.shape[3]
    return mve.rounded(w.shape[3], mve.LANES) * mve.rounded(taps, 2)


def four(kernel: str) -> str:
    """The kernel's name with weights of 4 bits."""
    return kernel.removesuffix("_s8") + "_s4"
