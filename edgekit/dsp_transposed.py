"""TRANSPOSE_CONV on cores with packed multiplication: each residue of its output is a convolution of stride 1 (see
`ops.spatial.residues`), made by the packed kernel a line at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgekit.dsp import PIXELS, padded, rescale
from edgekit.graph import Array, Graph, Node
from edgekit.ops.spatial import Residue, residues, spread_of


@dataclass(frozen=True)
class Part:
    """One residue: the output row and column it starts at, how many of each, its taps, their weights int64[O, ky, kx, I]."""

    start: tuple[int, int]
    size: tuple[int, int]
    rows: Residue
    columns: Residue
    weights: Array


def parts(graph: Graph, node: Node) -> Iterator[Part]:
    """The residues that have outputs. The weights are constant."""
    w, y = graph[str(node.inputs[1])], graph[node.outputs[0]]
    assert w.data is not None
    g = spread_of(node, w.shape)
    for i, rows in enumerate(residues(g, 0)):
        for j, columns in enumerate(residues(g, 1)):
            size = (-(-(y.shape[1] - i) // g.stride[0]), -(-(y.shape[2] - j) // g.stride[1]))
            if min(size) > 0:
                taps = w.data[:, list(rows.taps)][:, :, list(columns.taps)]
                yield Part((i, j), size, rows, columns, taps.astype("int64"))


def room(part: Part) -> int:
    """Bytes that the packed convolution of a residue needs: a tile of windows, and a strip to put one together."""
    _, kh, kw, depth = (int(n) for n in part.weights.shape)
    run = padded(kw * depth)
    return 2 * PIXELS * kh * run + padded((PIXELS - 1) * depth + run)


def packed_transposed(graph: Graph, node: Node) -> tuple[str, int] | None:
    """(kernel, scratch bytes): the convolution's own, then a line of outputs. None when the plain kernel takes the node."""
    if node.op != "TRANSPOSE_CONV":
        return None
    x, w, y = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1]), graph[node.outputs[0]]
    b = graph.tensor(node.inputs[2]) if len(node.inputs) > 2 else None
    if x is None or w is None or w.data is None or (b is not None and b.data is None) or w.shape[3] != x.shape[3]:
        return None
    found = list(parts(graph, node))
    if any(part.weights.size == 0 or not rescale(graph, node, part.weights).exact for part in found):
        return None
    widest = max(part.size[1] for part in found)
    return "transpose_conv_dsp_s8", max(room(part) for part in found) + widest * y.shape[3]
