"""Which nodes are a sound front-end: they stay float, since int8 has no room for the range of a power spectrum."""

from __future__ import annotations

from edgekit.graph import Graph, Node
from edgekit.ops import op_of

WHY = "it is between the spectrum of a sound and its logarithm or its filters"
ENDS = frozenset({"LOG", "FILTER_BANK"})
# Where a network begins: behind these nothing is a front-end any more.
_NETWORK = frozenset(
    "CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV SOFTMAX LOG_SOFTMAX LOGISTIC TANH GELU SILU HARD_SWISH RELU6 LEAKY_RELU PRELU "
    "LAYER_NORM RMS_NORM GROUP_NORM BATCH_NORM".split()
)


def front_end(graph: Graph) -> frozenset[str]:
    """First outputs of the nodes behind an STFT and before (or at) a logarithm or filter bank that it leads to."""
    heard: set[str] = set()
    for node in graph.nodes:
        if node.op == "STFT" or (not heard.isdisjoint(n for n in node.inputs if n) and not _network(node)):
            heard |= set(node.outputs)
    if not heard:
        return frozenset()
    led: set[str] = set()
    inside: set[str] = set()
    for node in reversed(graph.nodes):
        if heard.isdisjoint(node.outputs):
            continue
        if node.op in ENDS or not led.isdisjoint(node.outputs):
            inside.add(node.outputs[0])
            led |= {n for n in node.inputs if n in heard}
    return frozenset(inside)


def _network(node: Node) -> bool:
    return node.op in _NETWORK or op_of(node).recurrent is not None or node.attrs.get("activation", "NONE") != "NONE"
