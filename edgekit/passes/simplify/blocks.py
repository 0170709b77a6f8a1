"""Shapes as blocks: which axes of a RESHAPE's input become which axes of its output, and what a TRANSPOSE before it does."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.graph import Shape


@dataclass(frozen=True)
class Block:
    """Neighbouring axes of the input that together become neighbouring axes of the output, the same elements in order."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def blocks_of(x: Shape, y: Shape) -> list[Block] | None:
    """The finest blocks of RESHAPE x -> y. Axes of size 1 belong to the block before them; None for empty tensors."""
    if 0 in x or 0 in y:
        return None
    blocks: list[Block] = []
    i = j = 0
    # The batch stays a block of its own even when it is 1.
    if x and y and x[0] == y[0]:
        blocks.append(Block((0,), (0,)))
        i = j = 1
    while i < len(x) or j < len(y):
        first_i, first_j = i, j
        left = right = 1
        while i < len(x) and left == 1:
            left, i = left * x[i], i + 1
        while j < len(y) and right == 1:
            right, j = right * y[j], j + 1
        while left != right:
            if left < right:
                left, i = left * x[i], i + 1
            else:
                right, j = right * y[j], j + 1
        if left == 1 and blocks:  # only axes of size 1 were left
            last = blocks.pop()
            blocks.append(Block((*last.before, *range(first_i, i)), (*last.after, *range(first_j, j))))
        else:
            blocks.append(Block(tuple(range(first_i, i)), tuple(range(first_j, j))))
    return blocks


def reshape_after_transpose(x: Shape, perm: Shape, y: Shape) -> tuple[Shape, Shape] | None:
    """RESHAPE(TRANSPOSE(a, perm), y) as TRANSPOSE(RESHAPE(a, shape), order): (shape, order); x is the TRANSPOSE's output.

    None when axes that become one do not lie side by side, in order, in a.
    """
    blocks = blocks_of(x, y)
    if blocks is None:
        return None
    a = [0] * len(x)
    for axis, place in enumerate(perm):
        a[place] = x[axis]
    # A block's place in a: its first axis that is not 1 (all of them, when all are).
    spans: list[tuple[int, Block]] = []
    for block in blocks:
        places = [perm[axis] for axis in block.before if x[axis] != 1]
        if places != sorted(places):
            return None
        if places and any(a[p] != 1 and p not in places for p in range(places[0], places[-1] + 1)):
            return None
        spans.append((places[0] if places else min((perm[axis] for axis in block.before), default=len(x)), block))
    spans.sort(key=lambda span: span[0])
    axes = [axis for _, block in spans for axis in block.after]
    return tuple(y[axis] for axis in axes), tuple(axes.index(axis) for axis in range(len(y)))


def order_before_reshape(x: Shape, perm: Shape, y: Shape) -> tuple[Shape, Shape, Shape] | None:
    """RESHAPE(TRANSPOSE(a, perm), y) as TRANSPOSE(RESHAPE(TRANSPOSE(a, first), shape), then): (first, shape, then).

    `first` leaves the blocks of axes in a's order and puts each block's own axes in the order the RESHAPE needs.
    """
    blocks = blocks_of(x, y)
    if blocks is None:
        return None
    spans = sorted(blocks, key=lambda block: min((perm[axis] for axis in block.before), default=len(x)))
    first = tuple(int(perm[axis]) for block in spans for axis in block.before)
    axes = [axis for block in spans for axis in block.after]
    return first, tuple(y[axis] for axis in axes), tuple(axes.index(axis) for axis in range(len(y)))
