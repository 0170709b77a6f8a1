"""The Graph under construction while a TFLite file is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import NUMPY_DTYPES, Array, Node, Quant, Shape, Tensor, const, fresh, short
from edgekit.load.tflite_file import FileModel, FileOp
from edgekit.ops import TABLE, infer

# Integer types that are quantized activations when they carry a scale; edgekit runs int8 ones.
ACTIVATION_DTYPES = {"int8", "uint8", "int16", "int4"}


class Refused(Exception):
    """One operator that cannot be read: why, and what to write instead. The reader collects them."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why, self.fix = why, fix


Key = tuple[str, str]  # container and name of a resource variable


@dataclass
class Variable:
    """read: the Graph's input for what it held before this run, once it was read. now: the tensor that it holds by now."""

    init: Array | None = None
    read: str | None = None
    now: str | None = None


@dataclass
class States:
    """handles: {tensor index of a VAR_HANDLE: its variable}."""

    variables: dict[Key, Variable] = field(default_factory=dict)
    handles: dict[int, Variable] = field(default_factory=dict)

    def pairs(self) -> dict[str, str]:
        """{input: output} of what changes."""
        return {v.read: v.now for v in self.variables.values() if v.read is not None and v.now is not None}


class Builder:
    """Tensors and nodes read so far. `notes` is what the history says about values that were changed on the way.

    done: operators that were read with one before them. complex: {tensor index: its real and imaginary part}. before: what
    refused operators read, to cut the network at. resized: the input shapes are not the file's, so that the file's inner shapes
    are not to be believed.
    """

    def __init__(self, file: FileModel, resized: bool) -> None:
        self.file, self.resized = file, resized
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.notes: list[str] = []
        self.done: set[int] = set()
        self.before: list[str] = []
        self.states = States()
        self.complex: dict[int, tuple[str, str]] = {}
        self.taken = set(file.names)
        self.refused = False

    # --- what the file holds

    def name(self, index: int) -> str:
        """The tensor's Graph name; its constant is defined on first use."""
        name, tensor = self.file.names[index], self.file.tensors[index]
        if name in self.tensors:
            return name
        if tensor.sparse:
            raise Refused(f"'{name}' is sparse", "convert without sparsity")
        if tensor.variable:
            raise Refused(f"'{name}' is a variable (state)", "convert a stateless model")
        data = tensor.data
        if data is None and 0 in tensor.shape and tensor.dtype in NUMPY_DTYPES:
            data = np.zeros(tensor.shape, NUMPY_DTYPES[tensor.dtype])
        if data is None:
            if tensor.dtype not in NUMPY_DTYPES:
                raise Refused(f"'{name}' has type {tensor.dtype}")
            raise BadModel(f"tensor '{name}' is read before it is made", "the file is damaged: convert it again")
        self.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, data, self.quant(index))
        return name

    def named(self, op: FileOp) -> tuple[str | None, ...]:
        """The names of all inputs; None for absent ones."""
        return tuple(None if i < 0 else self.name(i) for i in op.inputs)

    def shape(self, index: int) -> Shape:
        return self.tensors[self.name(index)].shape

    def quant(self, index: int) -> Quant | None:
        """The tensor's Quant, on the axis the file names; None for real numbers and plain integers."""
        tensor = self.file.tensors[index]
        if tensor.scale is None or tensor.zero_point is None:
            return None
        if tensor.dtype not in ACTIVATION_DTYPES and not (tensor.dtype in {"int32", "int64"} and tensor.data is not None):
            return None
        return Quant(tensor.scale, tensor.zero_point, None if tensor.scale.size == 1 else tensor.axis, None, tensor.dtype)

    def constant(self, index: int, op: FileOp, what: str) -> Tensor:
        tensor = self.tensors[self.name(index)] if index >= 0 else None
        if tensor is None or not tensor.is_const:
            raise Refused(f"{what} must be a constant", "freeze it before converting")
        return tensor

    # --- operands

    def weights(self, op: FileOp, position: int, axis: int, data: Array | None = None, new_axis: int | None = None) -> str:
        """Weights on their canonical quantization axis; hybrid ones (int8 beside a float input) as float32.

        axis: where the channels are in the file; data, new_axis: the weights rearranged, and their channels there.
        """
        source = self.constant(op.inputs[position], op, "weights")
        final = axis if new_axis is None else new_axis
        values = source.data if data is None else data
        assert values is not None
        quant = self.channel_quant(source, axis, final)
        name = source.name
        tensor = Tensor(name, values.shape, source.dtype, np.ascontiguousarray(values), quant)
        if quant is not None and self.tensors[self.name(op.inputs[0])].dtype == "float32":
            tensor = const(name, tensor.real())
            self.note(f"{source.dtype} weights read as float32")
        elif quant is None and source.dtype == "float16":
            tensor = const(name, tensor.real())
            self.note("float16 weights read as float32")
        return self.keep(tensor, source)

    def channel_quant(self, source: Tensor, axis: int, final: int) -> Quant | None:
        """The weights' Quant with the op's own axis: a file may name another one when its meaning is clear."""
        quant = source.quant
        if quant is None or quant.scale.size == 1:
            return quant
        if quant.scale.size != source.shape[axis]:
            raise BadModel(f"weights '{source.name}' {list(source.shape)} have {quant.scale.size} scales")
        if quant.axis != axis:
            self.note(f"quantized dimension of '{source.name}' corrected from {quant.axis} to {axis}")
        return Quant(quant.scale, quant.zero_point, final, None, quant.dtype)

    def keep(self, tensor: Tensor, source: Tensor) -> str:
        """Store a changed constant; under a new name when another operator has the original."""
        index = self.file.names.index(source.name)
        shared = sum(op.inputs.count(index) for op in self.file.ops) > 1
        same = tensor.dtype == source.dtype and tensor.shape == source.shape
        name = fresh(self.taken, f"{source.name}_w") if shared and not same else source.name
        self.taken.add(name)
        self.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, tensor.data, tensor.quant)
        return name

    def bias(self, op: FileOp, position: int, weights: str) -> str | None:
        """The bias' name; an integer one gets the scale input * weights where the file has none."""
        if len(op.inputs) <= position or op.inputs[position] < 0:
            return None
        tensor = self.constant(op.inputs[position], op, "the bias")
        x, w = self.tensors[self.name(op.inputs[0])], self.tensors[weights]
        if x.dtype == "int16" and tensor.dtype != "int64":
            raise Refused(f"its bias is {tensor.dtype} beside int16 values", "convert with biases of int64")
        if tensor.dtype == "float16":
            self.tensors[tensor.name] = const(tensor.name, tensor.real())
        elif x.quant is not None and w.quant is not None and tensor.dtype in {"int32", "int64"}:
            scale = x.quant.scale[0] * w.quant.scale
            quant = tensor.quant if tensor.quant is not None and tensor.quant.scale.size == scale.size else None
            axis = 0 if scale.size > 1 else None
            zeros = np.zeros(scale.size, np.int64)
            final = Quant(scale if quant is None else quant.scale, zeros, axis, None, tensor.dtype)
            self.tensors[tensor.name] = Tensor(tensor.name, tensor.shape, tensor.dtype, tensor.data, final)
        return tensor.name

    def int32(self, op: FileOp, tag: str, values: Sequence[int]) -> str:
        """A new int32 vector constant."""
        name = fresh(self.taken, f"{self.file.names[op.outputs[0]]}/{tag}")
        self.taken.add(name)
        self.tensors[name] = const(name, np.array(values, np.int32))
        return name

    # --- results

    def source(self, op: FileOp) -> str:
        """op#12 CONV_2D 'first output', for every message."""
        label = short(self.file.names[op.outputs[0]]) if op.outputs else ""
        return f"op#{op.index} {op.code} '{label}'"

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def set_const(self, index: int, data: Array) -> None:
        """The file's tensor is a constant after all."""
        self.tensors[self.file.names[index]] = const(self.file.names[index], data)

    def add(self, kind: str, inputs: Sequence[str | None], op: FileOp, attrs: Mapping[str, Any], then: str = "NONE") -> None:
        """The node that makes the operator's outputs; then: an activation that `kind` cannot fuse."""
        if then == "NONE":
            self.emit(kind, inputs, op.outputs, op, attrs)
        else:
            self.emit(then, (self.step(kind, inputs, op, attrs, like=op.outputs[0]),), op.outputs, op, {})

    def emit(
        self, kind: str, inputs: Sequence[str | None], outputs: Sequence[int], op: FileOp, attrs: Mapping[str, Any]
    ) -> None:
        """A node whose outputs are the file's tensors. Raises BadModel when the file declares other shapes."""
        inputs = self.narrowed(kind, inputs)
        node = Node(kind, tuple(inputs), tuple(self.file.names[i] for i in outputs), dict(attrs), self.source(op))
        results = self.inferred(node)
        if len(results) != len(outputs):
            raise BadModel(f"{node.source} has {len(outputs)} outputs, expected {len(results)}")
        made: list[Tensor] = []
        for index, (shape, dtype) in zip(outputs, results, strict=True):
            declared = self.file.tensors[index]
            if not self.resized and declared.shape and -1 not in declared.signature and declared.shape != shape:
                raise BadModel(f"{node.source} makes {list(shape)}, but the file says {list(declared.shape)}")
            final = declared.dtype if declared.dtype in NUMPY_DTYPES else dtype
            made.append(Tensor(self.file.names[index], shape, final, None, self.quant(index)))
        self.place(node, made)

    def place(self, node: Node, made: Sequence[Tensor]) -> None:
        """Store the node, or its results at once when all of its inputs are constants."""
        if any(0 in tensor.shape for tensor in made):
            raise BadModel(f"{node.source} makes an empty tensor {[list(t.shape) for t in made]}")
        ins = [None if n is None else self.tensors[n] for n in node.inputs]
        if all(t is None or (t.data is not None and (t.quant is None or t.quant.scale.size == 1)) for t in ins):
            made = [replace(t, data=a) for t, a in zip(made, folded(node, ins, made), strict=True)]
        else:
            self.nodes.append(node)
        self.tensors |= {tensor.name: tensor for tensor in made}

    def narrowed(self, kind: str, inputs: Sequence[str | None]) -> list[str | None]:
        """Constant int64 indices as int32."""
        for position in TABLE[kind].ids if kind in TABLE else ():
            name = inputs[position]
            tensor = self.tensors[name] if name is not None else None
            if tensor is not None and tensor.data is not None and tensor.dtype == "int64":
                self.tensors[tensor.name] = const(tensor.name, tensor.data.astype(np.int32))
        return list(inputs)

    def inferred(self, node: Node) -> list[tuple[Shape, str]]:
        if node.op not in TABLE:
            raise Refused(f"{node.op} is not an operator of edgekit")
        return infer(node, [None if n is None else self.tensors[n] for n in node.inputs])

    def step(self, kind: str, inputs: Sequence[str | None], op: FileOp, attrs: Mapping[str, Any], like: int) -> str:
        """A node between; its one output has the dtype and Quant of the file's tensor `like`."""
        return self.between(kind, inputs, op, attrs, self.file.tensors[like].dtype, self.quant(like), 1)[0]

    def steps(self, kind: str, inputs: Sequence[str | None], op: FileOp, attrs: Mapping[str, Any], count: int) -> list[str]:
        """A node between that only moves its first input's values to `count` outputs."""
        first = self.tensors[str(inputs[0])]
        return self.between(kind, inputs, op, attrs, first.dtype, first.quant, count)

    def copy(self, x: str, name: str, op: FileOp) -> None:
        """x under a name of its own."""
        tensor = self.tensors[x]
        node = Node("RESHAPE", (x,), (name,), {"shape": tensor.shape}, self.source(op))
        self.place(node, [replace(tensor, name=name, data=None)])

    def reshape(self, x: str, shape: Shape, op: FileOp) -> str:
        """x in another shape."""
        return self.steps("RESHAPE", (x,), op, {"shape": shape}, 1)[0]

    def between(
        self,
        kind: str,
        inputs: Sequence[str | None],
        op: FileOp,
        attrs: Mapping[str, Any],
        dtype: str,
        quant: Quant | None,
        count: int,
    ) -> list[str]:
        outputs: list[str] = []
        for _ in range(count):
            outputs.append(fresh(self.taken, f"{self.file.names[op.outputs[0]]}/{kind.lower()}"))
            self.taken.add(outputs[-1])
        node = Node(kind, tuple(inputs), tuple(outputs), dict(attrs), self.source(op))
        results = self.inferred(node)
        self.place(node, [Tensor(name, shape, dtype, None, quant) for name, (shape, _) in zip(outputs, results, strict=True)])
        return outputs


def folded(node: Node, ins: Sequence[Tensor | None], outs: Sequence[Tensor]) -> list[Array]:
    """The values that a node makes of constants. Raises Refused when its integer meaning is not defined."""
    entry, arrays = TABLE[node.op], [None if t is None else t.data for t in ins]
    if all(t is None or t.quant is None for t in (*ins, *outs)):
        results = entry.real(node, arrays)
    elif entry.integer is not None:
        results = entry.integer(node, arrays, ins, outs)
    else:
        raise Refused("has no integer meaning", "keep it float")
    return [np.asarray(r).astype(NUMPY_DTYPES[t.dtype]).reshape(t.shape) for r, t in zip(results, outs, strict=True)]


def real_values(tensor: Tensor) -> Array:
    """A constant's real numbers. Raises BadModel when its scales do not fit its shape."""
    quant = tensor.quant
    if quant is not None and quant.scale.size > 1:
        axis = -1 if quant.axis is None else quant.axis
        if not 0 <= axis < len(tensor.shape) or tensor.shape[axis] != quant.scale.size:
            raise BadModel(f"constant '{tensor.name}' {list(tensor.shape)} has {quant.scale.size} scales for axis {axis}")
    return tensor.real()


def const_of(b: Builder, op: FileOp, position: int, what: str) -> Array:
    """The values of a constant operand. Raises Refused when it is absent or computed."""
    if position >= len(op.inputs):
        raise Refused(f"{what} is missing")
    data = b.constant(op.inputs[position], op, what).data
    assert data is not None
    return data


def ints_of(b: Builder, op: FileOp, position: int, what: str) -> list[int]:
    """A constant operand of whole numbers, flat. Raises Refused as `const_of`, BadModel for real numbers."""
    data = const_of(b, op, position, what)
    if data.dtype.kind not in "iu":
        raise BadModel(f"{b.source(op)}: {what} is {data.dtype}, not whole numbers")
    return [int(n) for n in data.reshape(-1)]
