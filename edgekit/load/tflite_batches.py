"""SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: around a convolution they are its dilation, else they are re-arrangements."""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Shape
from edgekit.load.tflite_build import Builder, Refused, ints_of
from edgekit.load.tflite_file import FileOp

VALID = 1
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def blocks(b: Builder, op: FileOp) -> tuple[list[int], list[tuple[int, int]]]:
    """(block of rows and columns, paddings or crops); an input of three axes has rows alone."""
    rank = len(b.shape(op.inputs[0]))
    block, flat = ints_of(b, op, 1, "the block"), ints_of(b, op, 2, "the paddings")
    if rank - len(block) not in (1, 2) or rank not in (3, 4) or len(flat) != 2 * len(block) or min(block) < 1 or min(flat) < 0:
        raise Refused(f"block {block} and paddings {flat} of {rank} axes do not make sense", "use a dilated convolution")
    return block, list(zip(flat[::2], flat[1::2], strict=True))


def convolution(b: Builder, op: FileOp) -> tuple[FileOp, FileOp] | None:
    """(the convolution, the BATCH_TO_SPACE_ND) that alone follow this operator, with its block; None when others do."""
    found: list[FileOp] = []
    for wanted in (CONVOLUTIONS, ("BATCH_TO_SPACE_ND",)):
        end = (found or [op])[-1].outputs[0]
        readers = [o for o in b.file.ops if end in o.inputs]
        if len(readers) != 1 or readers[0].code not in wanted or readers[0].inputs[0] != end or end in b.file.outputs:
            return None
        found.append(readers[0])
    conv, back = found
    o = conv.options
    plain = o["padding"] == VALID and (o["strideH"], o["strideW"]) == (1, 1)
    plain = plain and (o["dilationHFactor"], o["dilationWFactor"]) == (1, 1)
    same = b.file.tensors[back.inputs[1]].data is not None and ints_of(b, back, 1, "the block") == ints_of(
        b, op, 1, "the block"
    )
    return (conv, back) if plain and same and len(b.shape(op.inputs[0])) == 4 else None


def space_to_batch(b: Builder, op: FileOp) -> None:
    block, pads = blocks(b, op)
    if len(block) == 2 and (found := convolution(b, op)) is not None:
        dilated(b, op, *found, block, pads)
        return
    shape = b.shape(op.inputs[0])
    rest = shape[1 + len(block) :]
    x = b.name(op.inputs[0])
    if any(sum(p) for p in pads):
        x = b.steps("PAD", (x,), op, {"pads": ((0, 0), *pads, *((0, 0) for _ in rest)), "value": 0.0}, 1)[0]
    rows, columns, *channels = (*b.tensors[x].shape[1:], *(1 for _ in range(3 - len(b.tensors[x].shape[1:]))))
    if len(block) == 1:
        block, rows, columns, channels = [block[0], 1], rows, 1, [columns * channels[0]]
    if rows % block[0] or columns % block[1]:
        raise Refused(f"{rows} rows and {columns} columns are no multiples of {block}")
    wide = b.reshape(x, (shape[0], rows, columns, channels[0]), op)
    size = (shape[0], rows // block[0], columns // block[1], channels[0])
    parts = [
        b.steps("SLICE", (wide,), op, {"begin": (0, i, j, 0), "size": size, "stride": (1, *block, 1)}, 1)[0]
        for i in range(block[0])
        for j in range(block[1])
    ]
    made = parts[0] if len(parts) == 1 else b.steps("CONCATENATION", parts, op, {"axis": 0}, 1)[0]
    final = (shape[0] * len(parts), size[1], *((size[2], *rest) if len(pads) == 2 else rest))
    b.add("RESHAPE", (made,), op, {"shape": final})


def batch_to_space(b: Builder, op: FileOp) -> None:
    if op.index in b.done:
        return
    block, crops = blocks(b, op)
    shape = b.shape(op.inputs[0])
    parts = 1
    for n in block:
        parts *= n
    if shape[0] % parts:
        raise Refused(f"a batch of {shape[0]} is no multiple of {block}")
    batch, rows = shape[0] // parts, shape[1]
    columns, rest = (shape[2], shape[3:]) if len(block) == 2 else (1, shape[2:])
    channels = 1
    for n in rest:
        channels *= n
    down, across = (block[0], block[1] if len(block) == 2 else 1)
    x = b.reshape(b.name(op.inputs[0]), (parts, batch * rows, columns, channels), op)
    pieces = [x] if parts == 1 else b.steps("SPLIT", (x,), op, {"axis": 0, "sizes": (1,) * parts}, parts)
    lines = []
    for i in range(down):
        side = [b.reshape(p, (batch * rows, columns, 1, channels), op) for p in pieces[i * across : (i + 1) * across]]
        line = side[0] if across == 1 else b.steps("CONCATENATION", side, op, {"axis": 2}, 1)[0]
        lines.append(b.reshape(line, (batch, rows, 1, columns * across * channels), op))
    whole = lines[0] if down == 1 else b.steps("CONCATENATION", lines, op, {"axis": 2}, 1)[0]
    sizes = [rows * down, columns * across][: len(block)]
    full: Shape = (batch, *sizes, *rest)
    if any(sum(c) for c in crops):
        begin = (0, *(c[0] for c in crops), *(0 for _ in rest))
        size = (batch, *(n - sum(c) for n, c in zip(sizes, crops, strict=True)), *rest)
        cut = b.reshape(whole, full, op)
        b.add("SLICE", (cut,), op, {"begin": begin, "size": size, "stride": (1,) * len(full)})
    else:
        b.add("RESHAPE", (whole,), op, {"shape": full})


def dilated(b: Builder, op: FileOp, conv: FileOp, back: FileOp, block: list[int], pads: list[tuple[int, int]]) -> None:
    """The three as one convolution over the padded input, dilated by the block, whose edges are cropped.

    A window of phase i of the rows sees rows i, i + block, …: the dilated window's. What is cropped at an edge was made of
    that much padding there, or is cut off.
    """
    from edgekit.load.tflite_ops import activation

    crops = blocks(b, replace(back, inputs=(op.inputs[0], *back.inputs[1:])))[1]
    around = [n for pair, crop in zip(pads, crops, strict=True) for n in (pair[0] - crop[0], pair[1] - crop[1])]
    begin, lost = (0, *(max(-n, 0) for n in around[::2]), 0), [max(-n, 0) for n in around]
    x = b.name(op.inputs[0])
    if any(lost):
        shape = b.shape(op.inputs[0])
        size = (shape[0], shape[1] - lost[0] - lost[1], shape[2] - lost[2] - lost[3], shape[3])
        x = b.steps("SLICE", (x,), op, {"begin": begin, "size": size, "stride": (1, 1, 1, 1)}, 1)[0]
    place = 3 if conv.code == "DEPTHWISE_CONV_2D" else 0
    usual = replace(conv, inputs=(op.inputs[0], *conv.inputs[1:]))
    named = b.weights(usual, 1, axis=place)
    attrs = {
        "stride": (1, 1),
        "pad": tuple(max(n, 0) for n in around),
        "dilation": tuple(block),
        "activation": activation(conv),
    }
    b.add(conv.code, (x, named, b.bias(usual, 2, named)), back, attrs)
    b.done |= {conv.index, back.index}


RULES = {"SPACE_TO_BATCH_ND": space_to_batch, "BATCH_TO_SPACE_ND": batch_to_space}
