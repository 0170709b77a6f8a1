"""Which nodes are a sound front-end: they stay float, since int8 has no room for the range of a power spectrum."""

from __future__ import annotations

from edgekit.graph import Graph, Node
from edgekit.ops import op_of

WHY = "it belongs to a sound's spectrum, its logarithm or its filters"
ENDS = frozenset({"LOG", "FILTER_BANK"})
# Where a network begins: behind these nothing is a front-end any more.
_NETWORK = frozenset(
    "CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV SOFTMAX LOG_SOFTMAX LOGISTIC TANH GELU SILU HARD_SWISH RELU6 LEAKY_RELU PRELU "
    "LAYER_NORM RMS_NORM GROUP_NORM BATCH_NORM".split()
)


def front_end(graph: Graph) -> frozenset[str]:
    """First outputs of the nodes behind an STFT and before (or at) a logarithm or filter bank that it leads to, and of those
    that bring samples to it."""
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
    samples: set[str] = set()
    for node in reversed(graph.nodes):
        brings = op_of(node).quant == "same" or node.op in {"ADD", "SUB", "MUL"}
        if node.op == "STFT" or (brings and not _network(node) and not samples.isdisjoint(node.outputs)):
            samples |= {n for n in node.inputs if n}
            inside.add(node.outputs[0])
    return frozenset(inside)


def heard_only(graph: Graph) -> frozenset[str]:
    """Graph inputs that are samples of sound and nothing else: eight bits would not do for them."""
    inside = front_end(graph)
    readers = graph.consumers() if inside else {}
    return frozenset(n for n in graph.inputs if readers.get(n) and all(r.outputs[0] in inside for r in readers[n]))


def _network(node: Node) -> bool:
    return node.op in _NETWORK or op_of(node).recurrent is not None or node.attrs.get("activation", "NONE") != "NONE"
