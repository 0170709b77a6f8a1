"""TFLite files as other converters write them, by the plain flatbuffers object API: nothing of edgekit's own writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

from edgekit.graph import Array
from edgekit.load.tflite_schema import schema

KINDS = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "int8": "INT8",
    "uint8": "UINT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
    "resource": "RESOURCE",
    "complex64": "COMPLEX64",
}


@dataclass
class T:
    """A tensor: constant when `data` is given; signature: the shape with -1 for dynamic axes."""

    name: str
    shape: Sequence[int] = ()
    dtype: str = "float32"
    data: Array | None = None
    scale: Sequence[float] | None = None
    zero: Sequence[int] = (0,)
    axis: int = 0
    signature: Sequence[int] | None = None
    variable: bool = False
    sparsity: Any = None


@dataclass
class O:  # noqa: E742 - an operator, beside T
    """An operator: tensor names (None: absent) and the fields of its options; custom: options of a "CUSTOM name"."""

    code: str
    inputs: Sequence[str | None]
    outputs: Sequence[str]
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    custom: bytes = b""
    version: int = 1


def constant(name: str, data: Any, **rest: Any) -> T:
    array = np.asarray(data)
    return T(name, array.shape, str(array.dtype), array, **rest)


def make(
    tensors: Sequence[T],
    ops: Sequence[O],
    inputs: Sequence[str],
    outputs: Sequence[str],
    signature: dict[str, str] | None = None,
    others: Sequence[tuple[Sequence[T], Sequence[O], Sequence[str], Sequence[str]]] = (),
    place: int = 0,
) -> bytes:
    """The file. signature: {tensor name: signature name} for inputs and outputs. others: (tensors, operators, inputs,
    outputs) of the subgraphs after the first. place: the signature's subgraph."""
    s = schema()
    index = {t.name: i for i, t in enumerate(tensors)}
    model = s.ModelT()
    model.version, model.description = 3, "made by hand"
    empty = s.BufferT()
    model.buffers, model.operatorCodes, model.subgraphs = [empty], [], []
    codes: dict[str, int] = {}
    for part in ((tensors, ops, inputs, outputs), *others):
        model.subgraphs.append(_subgraph(model, codes, *part))
    if signature:
        definition = s.SignatureDefT()
        definition.signatureKey, definition.subgraphIndex = "serving_default", place
        definition.inputs = [entry_of(index[n], signature[n]) for n in inputs if n in signature]
        definition.outputs = [entry_of(index[n], signature[n]) for n in outputs if n in signature]
        model.signatureDefs = [definition]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _subgraph(
    model: Any, codes: dict[str, int], tensors: Sequence[T], ops: Sequence[O], inputs: Sequence[str], outputs: Sequence[str]
) -> Any:
    """A subgraph; its constants and operator codes go into the model."""
    s = schema()
    index = {t.name: i for i, t in enumerate(tensors)}
    graph = s.SubGraphT()
    graph.tensors, graph.operators = [], []
    for t in tensors:
        made = s.TensorT()
        made.name, made.shape, made.type = t.name, list(t.shape), getattr(s.TensorType, KINDS[t.dtype])
        made.isVariable, made.sparsity = t.variable, t.sparsity
        if t.signature is not None:
            made.shapeSignature = list(t.signature)
        if t.data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(t.data).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        if t.scale is not None:
            q = s.QuantizationParametersT()
            q.scale, q.zeroPoint, q.quantizedDimension = list(t.scale), list(t.zero), t.axis
            made.quantization = q
        graph.tensors.append(made)
    for op in ops:
        if op.code not in codes:
            code = s.OperatorCodeT()
            number = getattr(s.BuiltinOperator, op.code.partition(" ")[0])
            code.customCode = op.code.partition(" ")[2] or None
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), op.version
            codes[op.code] = len(model.operatorCodes)
            model.operatorCodes.append(code)
        entry = s.OperatorT()
        entry.opcodeIndex = codes[op.code]
        entry.inputs = [-1 if n is None else index[n] for n in op.inputs]
        entry.outputs = [index[n] for n in op.outputs]
        if op.custom:
            entry.customOptions = list(op.custom)
        if op.kind:
            made_options = getattr(s, f"{op.kind}T")()
            for key, value in op.options.items():
                setattr(made_options, key, value)
            entry.builtinOptionsType, entry.builtinOptions = getattr(s.BuiltinOptions, op.kind), made_options
        graph.operators.append(entry)
    graph.inputs, graph.outputs, graph.name = [index[n] for n in inputs], [index[n] for n in outputs], "main"
    return graph


def entry_of(index: int, name: str) -> Any:
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
