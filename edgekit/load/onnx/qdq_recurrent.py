"""Q/DQ around LSTM, GRU and RNN that edgekit wrote: the scales which Q/DQ cannot spell are in the metadata `edgekit.cells`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import Node, Quant, fresh
from edgekit.ops import op_of

if TYPE_CHECKING:
    from edgekit.load.onnx.qdq import Fuser


@dataclass(frozen=True)
class Cell:
    """Quants of y and of the 16-bit state, if the operator has one."""

    y: Quant
    wide: Quant | None


def read_cells(stored: str | None) -> dict[str, Cell]:
    """{node's name in the file: its Cell}. Raises BadModel for damaged metadata."""
    try:
        return {
            str(name): Cell(
                Quant.per_tensor(float(told["y"][0]), int(told["y"][1])),
                None if told["power"] is None else Quant.per_tensor(2.0 ** int(told["power"]), 0, "int16"),
            )
            for name, told in json.loads(stored or "{}").items()
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise BadModel(f"the metadata 'edgekit.cells' is damaged: {error}", "delete it, or export again") from None


def fuse_cell(f: Fuser, node: Node, cells: Mapping[str, Cell]) -> bool:
    """Make the node an integer one; False (a float island) when the file does not say its scales."""
    entry, cell = op_of(node), cells.get(node.source.partition("'")[2].rstrip("'"))
    x = f.integer_of.get(str(node.inputs[0]))
    if entry.recurrent is None or cell is None or x is None:
        return False
    kinds = {"int8": cell.y, "int16": cell.wide}
    ties = {i: kinds[kind] for i, _, kind in entry.recurrent.ties}
    inputs: list[str | None] = []
    for i, name in enumerate(node.inputs):
        if name is None or i == 0:
            inputs.append(x if i == 0 else None)
        elif i in ties:
            inputs.append(_first(f, name, ties[i], node.source))
        elif i == entry.recurrent.recurrent_bias:
            inputs.append(_recurrent_bias(f, name, str(inputs[2]), cell.y))
        else:
            inputs.append(f.constant(node, i, name, inputs))
            if inputs[-1] is None:
                return False
    of_output = {o: kinds[kind] for _, o, kind in entry.recurrent.ties} | {0: cell.y}
    outputs = tuple(_output(f, name, of_output[o], node.source) for o, name in enumerate(node.outputs))
    f.made.append(Node(node.op, tuple(inputs), tuple(name for name, _ in outputs), node.attrs, node.source))
    for made, (name, real) in zip(node.outputs, outputs, strict=True):
        if real:
            f.made.append(Node("DEQUANTIZE", (name,), (made,), {}, node.source))
            f.integer_of[made] = name
    return True


def _output(f: Fuser, name: str, quant: Quant | None, where: str) -> tuple[str, bool]:
    """(integer tensor of an output, True when its real values are wanted besides)."""
    assert quant is not None
    reader = f.only_reader(name)
    if reader is not None and reader.op == "QUANTIZE" and quant.same_as(f.tensors[reader.outputs[0]].quant):
        f.done.add(id(reader))
        return reader.outputs[0], False
    made = fresh(f.tensors, f"{name}/int")
    f.tensors[made] = replace(f.tensors[name], name=made, dtype=quant.dtype, quant=quant)
    return made, bool(f.readers.get(name)) or name in f.outputs


def _first(f: Fuser, name: str, quant: Quant | None, where: str) -> str:
    """A first state in its integer form."""
    assert quant is not None
    if name in f.integer_of:
        return f.at_scale(f.integer_of[name], quant, where)
    made = fresh(f.tensors, f"{name}/int")
    tensor = f.tensors[name]
    if tensor.data is not None:
        f.tensors[made] = replace(tensor, name=made, quant=None)
        return f.at_scale(made, quant, where)
    f.tensors[made] = replace(tensor, name=made, dtype=quant.dtype, quant=quant)
    attrs = {} if quant.dtype == "int8" else {"dtype": quant.dtype}
    f.made.append(Node("QUANTIZE", (name,), (made,), attrs, where))
    return made


def _recurrent_bias(f: Fuser, name: str, weights: str, y: Quant) -> str:
    """GRU's bias behind the reset gate: int32 of y's scale times that of the weights' last rows."""
    bias, back = f.tensors[name], f.tensors[weights].quant
    assert back is not None
    scale = np.broadcast_to(back.scale, (f.tensors[weights].shape[0],))[-bias.elements :] * y.scale[0]
    steps = np.rint(bias.real().astype(np.float64) / scale)
    data = np.clip(steps, -(1 << 31), (1 << 31) - 1).astype(np.int32)
    made = fresh(f.tensors, f"{name}/int")
    f.tensors[made] = replace(bias, name=made, dtype="int32", data=data, quant=Quant.per_channel(scale, 0, "int32"))
    return made
