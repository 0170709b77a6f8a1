"""Inputs of integers that stand for real numbers: bytes of a picture, samples of a sound, which the network casts first.

They are read as float32 inputs that take the same numbers, so that they are quantized like any other; ids, counts and flags
stay integers.
"""

from __future__ import annotations

import onnx

from edgekit.load.onnx.live import reads

# Operators that pass values on as they are, by their first input.
PASSING = ("Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Slice", "Split", "Gather", "Expand", "Tile")
ASKING = ("Shape", "Size")
REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
# What the smaller types hold: (least, greatest).
HELD = {
    onnx.TensorProto.UINT8: (0.0, 255.0),
    onnx.TensorProto.INT8: (-128.0, 127.0),
    onnx.TensorProto.INT16: (-32768.0, 32767.0),
    onnx.TensorProto.UINT16: (0.0, 65535.0),
}
WIDE = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UINT32)


def real_inputs(graph: onnx.GraphProto) -> dict[str, tuple[float, float] | None]:
    """{integer input that is only ever cast to real numbers: what its type holds, None for 32 bits and more}."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(reads(node)):
            readers.setdefault(name, []).append(node)
    ends = {value.name for value in graph.output}
    found: dict[str, tuple[float, float] | None] = {}
    for value in graph.input:
        kind = value.type.tensor_type.elem_type
        if kind in (*HELD, *WIDE) and _only_cast(value.name, readers, ends):
            found[value.name] = HELD.get(kind)
    return found


def _only_cast(name: str, readers: dict[str, list[onnx.NodeProto]], ends: set[str]) -> bool:
    cast, open_ones = False, [name]
    while open_ones:
        current = open_ones.pop()
        if current in ends:
            return False
        for node in readers.get(current, []):
            if node.op_type in ASKING:
                continue
            if node.op_type == "Cast" and any(a.name == "to" and a.i in REAL for a in node.attribute):
                cast = True
            elif node.op_type in PASSING and node.input[0] == current and current not in node.input[1:]:
                open_ones += [n for n in node.output if n]
            else:
                return False
    return cast
