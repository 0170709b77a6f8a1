"""The op table: one entry an operator, one file a family. Adding an operator starts here (see CONTRIBUTING.md)."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import BadModel
from edgekit.graph import Graph, Node, Shape, Tensor
from edgekit.ops import (
    activation,
    arithmetic,
    attention,
    audio,
    compare,
    conv,
    dense,
    elementwise,
    index,
    log_softmax,
    math,
    move,
    norm,
    norm_layer,
    pool,
    quant,
    recurrent,
    reduce,
    resize,
    spatial,
)
from edgekit.ops.int16 import wide
from edgekit.ops.op import REQUIRED, Op, attr
from edgekit.ops.tables import unary_table

__all__ = ["REQUIRED", "TABLE", "Op", "attr", "infer", "macs", "op_of", "unary_table"]

FAMILIES = (
    activation,
    arithmetic,
    attention,
    audio,
    compare,
    conv,
    dense,
    elementwise,
    index,
    log_softmax,
    math,
    move,
    norm,
    norm_layer,
    pool,
    quant,
    recurrent,
    reduce,
    resize,
    spatial,
)
TABLE: dict[str, Op] = {op.name: wide(op) for family in FAMILIES for op in family.OPS}


def op_of(node: Node) -> Op:
    """The node's entry. Raises BadModel for an operator that is not in the table."""
    if node.op not in TABLE:
        raise BadModel(f"'{node.source}': {node.op} is not an operator of edgekit")
    return TABLE[node.op]


def infer(node: Node, inputs: Sequence[Tensor | None]) -> list[tuple[Shape, str]]:
    """(shape, dtype) of each output. Raises BadModel, naming the node, when the inputs do not fit."""
    entry = op_of(node)
    unknown = [name for name in node.attrs if name not in entry.attrs]
    missing = [name for name, default in entry.attrs.items() if default is REQUIRED and name not in node.attrs]
    if unknown or missing:
        raise BadModel(f"{node.op} '{node.source}': unknown attributes {unknown}, missing attributes {missing}")
    return entry.infer(node, inputs)


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one run of the whole graph (convolutions, dense layers, matrix products)."""
    total = 0
    for node in graph.nodes:
        rule = op_of(node).macs
        if rule is not None:
            total += rule(node, graph.input_tensors(node), graph.output_tensors(node))
    return total
