"""Einsum as transpositions, reshapes, sums and matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.load.onnx.attention import transposed
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler

ELLIPSIS = "0123456789"  # the axes of "..."; no letter of an equation


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """(labels of each operand, labels of the output). Raises ValueError for an equation that does not fit the operands."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"'{equation}' names {len(terms)} operands, there are {len(ranks)}")
    spread = max((rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True) if "..." in term), default=0)
    operands = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term) + 3 if "..." in term else 0
        operands.append(term.replace("...", ELLIPSIS[spread - own : spread]))
        if len(operands[-1]) != rank:
            raise ValueError(f"'{term}' does not fit a rank of {rank}")
    used = "".join(operands)
    if arrow:
        return operands, right.replace("...", ELLIPSIS[:spread])
    once = "".join(sorted(label for label in set(used) if used.count(label) == 1 and label not in ELLIPSIS))
    return operands, ELLIPSIS[:spread] + once


def einsum(b: Builder, c: Call) -> list[str]:
    """Operands from left to right, two at a time."""
    names = [c.needed(i) for i in range(len(c.inputs))]
    equation = c.attrs["equation"]
    operands, out = parse(equation, [len(b.shape(n)) for n in names])
    for labels in (*operands, out):
        if len(set(labels)) != len(labels):
            raise Cannot(f"'{equation}' takes a diagonal", "take the diagonal with Gather")
    values = [b.tensor(n) for n in names]
    value, labels = values[0], operands[0]
    for i, (other, more) in enumerate(zip(values[1:], operands[1:], strict=True)):
        later = {*out, *"".join(operands[i + 2 :])}
        value, labels = _pair(b, (value, labels), (other, more), later)
    value, labels = _summed(b, value, labels, set(out))
    return [transposed(b, value, [labels.index(label) for label in out])]


def _summed(b: Builder, x: str, labels: str, keep: set[str]) -> tuple[str, str]:
    """x without the axes that are in nobody else's labels."""
    axes = tuple(i for i, label in enumerate(labels) if label not in keep)
    if not axes:
        return x, labels
    return b.one("SUM", [x], axes=axes, keep_dims=False), "".join(label for label in labels if label in keep)


def _pair(b: Builder, one: tuple[str, str], two: tuple[str, str], later: set[str]) -> tuple[str, str]:
    """The product of two operands, summed over what neither `later` nor one of them alone needs."""
    x, lx = _summed(b, *one, {*two[1], *later})
    y, ly = _summed(b, *two, {*one[1], *later})
    both = [label for label in lx if label in ly]
    inner = "".join(label for label in both if label not in later)
    batch = "".join(label for label in both if label in later)
    rows = "".join(label for label in lx if label not in ly)
    columns = "".join(label for label in ly if label not in lx)
    sizes = dict(zip(ly, b.tensors[y].shape, strict=True)) | dict(zip(lx, b.tensors[x].shape, strict=True))
    if not inner:
        order = batch + rows + columns
        return b.one("MUL", [_spread(b, x, lx, order), _spread(b, y, ly, order)]), order
    if any(b.tensors[t].shape[labels.index(label)] != sizes[label] for t, labels in ((x, lx), (y, ly)) for label in both):
        raise Cannot("it broadcasts an axis that both operands have", "expand the operand first")

    def volume(labels: str) -> int:
        return math.prod(sizes[label] for label in labels)

    # At most two axes of batches: the first (where samples are) by itself, the others as one.
    lead = [sizes[label] for label in batch]
    lead = lead if len(lead) < 3 else [lead[0], math.prod(lead[1:])]
    a = b.reshape(_ordered(b, x, lx, batch + rows + inner), (*lead, volume(rows), volume(inner)))
    if not batch and b.tensors[y].data is not None:
        weights = np.transpose(b.tensors[y].data, [ly.index(label) for label in columns + inner])  # type: ignore[arg-type]
        made = b.one("FULLY_CONNECTED", [a, b.constant(weights.reshape(volume(columns), volume(inner)), "weights"), None])
    else:
        w = b.reshape(_ordered(b, y, ly, batch + inner + columns), (*lead, volume(inner), volume(columns)))
        made = b.one("BATCH_MATMUL", [a, w])
    return b.reshape(made, tuple(sizes[label] for label in batch + rows + columns)), batch + rows + columns


def _ordered(b: Builder, x: str, labels: str, order: str) -> str:
    return transposed(b, x, [labels.index(label) for label in order])


def _spread(b: Builder, x: str, labels: str, order: str) -> str:
    """x with its axes in `order`, 1 where it has none."""
    has = "".join(label for label in order if label in labels)
    moved = _ordered(b, x, labels, has)
    shape = dict(zip(has, b.tensors[moved].shape, strict=True))
    return b.reshape(moved, tuple(shape.get(label, 1) for label in order))


HANDLERS: dict[str, Handler] = {"Einsum": einsum}
