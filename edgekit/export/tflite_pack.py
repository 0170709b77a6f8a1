"""Flatbuffer packing: tensors, shared buffers (16-byte aligned) and operators -> the bytes of a TFLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from edgekit.export.tflite_ops import TYPE_CODES
from edgekit.graph import Array, Tensor
from edgekit.load.tflite_schema import schema

ALIGNMENT = 16
Signature = tuple[str, list[tuple[str, int]], list[tuple[str, int]]]


def stored_bytes(tensor: Tensor) -> bytes:
    """A constant's bytes in the file (empty for any other): int4 two a byte, the first below."""
    if tensor.data is None:
        return b""
    if tensor.dtype != "int4":
        return np.ascontiguousarray(tensor.data).tobytes()
    flat = np.append(tensor.data.reshape(-1), np.zeros(tensor.elements % 2, np.int8)).astype(np.uint8)
    return (flat[0::2] & 15 | flat[1::2] << 4).tobytes()


class Shared:
    """What the subgraphs of a model have together: buffers and operator codes."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = [b""]
        self.where: dict[bytes, int] = {b"": 0}
        self.codes: list[tuple[str, int]] = []

    def buffer(self, data: bytes) -> int:
        if data not in self.where:
            self.where[data] = len(self.buffers)
            self.buffers.append(data)
        return self.where[data]

    def code(self, code: str, version: int) -> int:
        if (code, version) not in self.codes:
            self.codes.append((code, version))
        return self.codes.index((code, version))


class Part:
    """One subgraph: its tensors and operators, and the tensors that are its inputs and outputs."""

    def __init__(self, shared: Shared, name: str = "") -> None:
        self.shared, self.name = shared, name
        self.tensors: list[tuple[Tensor, str, int, bool]] = []
        self.constants: dict[tuple[object, ...], int] = {}
        self.operators: list[tuple[int, list[int], list[int], Any, Sequence[int]]] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def tensor(self, tensor: Tensor, name: str, variable: bool = False) -> int:
        """The tensor's index; nameless constants of one content are one tensor. variable: it keeps its value between runs."""
        data = stored_bytes(tensor)
        key: tuple[object, ...] = ()
        if tensor.data is not None and not name:
            quant = tensor.quant
            scales = None if quant is None else (quant.scale.tobytes(), quant.zero_point.tobytes(), quant.axis)
            key = (tensor.dtype, tensor.shape, data, scales)
            if key in self.constants:
                return self.constants[key]
        self.tensors.append((tensor, name, self.shared.buffer(data), variable))
        if key:
            self.constants[key] = len(self.tensors) - 1
        return len(self.tensors) - 1

    def operator(
        self, code: str, version: int, inputs: list[int], outputs: list[int], options: Any, intermediates: Sequence[int] = ()
    ) -> None:
        self.operators.append((self.shared.code(code, version), inputs, outputs, options, intermediates))


class Packer(Part):
    """Collects a model and writes it. It is the main subgraph; `part` begins another, which control operators name by index.

    Equal constants share a buffer; equal strings and vectors one copy.
    """

    def __init__(self) -> None:
        super().__init__(Shared())
        self.schema = schema()
        self.parts: list[Part] = [self]
        self.extras: list[tuple[str, int]] = []

    def part(self, name: str) -> tuple[Part, int]:
        """A new subgraph and its index."""
        self.parts.append(Part(self.shared, name))
        return self.parts[-1], len(self.parts) - 1

    def metadata(self, name: str, data: bytes) -> None:
        self.extras.append((name, self.shared.buffer(data)))

    def finish(self, name: str, inputs: list[int], outputs: list[int], signature: Signature) -> bytes:
        """The file's bytes."""
        s, b = self.schema, flatbuffers.Builder(1 << 16)
        writer = _Writer(b)
        self.name, self.inputs, self.outputs = name, inputs, outputs
        buffers = writer.tables([self.write_buffer(b, data) for data in self.shared.buffers])
        codes = writer.tables([self.write_code(b, *entry) for entry in self.shared.codes])
        graphs = writer.tables([self.write_part(b, writer, part) for part in self.parts])
        extras = writer.tables([self.write_metadata(b, writer, *entry) for entry in self.extras])
        signatures = writer.tables([self.write_signature(b, writer, signature)])
        description = writer.text("edgekit")
        s.ModelStart(b)
        s.ModelAddVersion(b, 3)
        s.ModelAddOperatorCodes(b, codes)
        s.ModelAddSubgraphs(b, graphs)
        s.ModelAddDescription(b, description)
        s.ModelAddBuffers(b, buffers)
        s.ModelAddMetadata(b, extras)
        s.ModelAddSignatureDefs(b, signatures)
        b.Finish(s.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    def write_part(self, b: Any, writer: _Writer, part: Part) -> int:
        s = self.schema
        tensors = writer.tables([self.write_tensor(b, writer, *entry) for entry in part.tensors])
        operators = writer.tables([self.write_operator(b, writer, *entry) for entry in part.operators])
        title, ins, outs = writer.text(part.name), writer.int32(part.inputs), writer.int32(part.outputs)
        s.SubGraphStart(b)
        s.SubGraphAddTensors(b, tensors)
        s.SubGraphAddInputs(b, ins)
        s.SubGraphAddOutputs(b, outs)
        s.SubGraphAddOperators(b, operators)
        s.SubGraphAddName(b, title)
        offset: int = s.SubGraphEnd(b)
        return offset

    def write_buffer(self, b: Any, data: bytes) -> int:
        vector = 0
        if data:
            b.StartVector(1, len(data), ALIGNMENT)
            b.head -= len(data)
            b.Bytes[b.head : b.head + len(data)] = data
            vector = b.EndVector()
        self.schema.BufferStart(b)
        if data:
            self.schema.BufferAddData(b, vector)
        offset: int = self.schema.BufferEnd(b)
        return offset

    def write_tensor(self, b: Any, writer: _Writer, tensor: Tensor, name: str, buffer: int, variable: bool) -> int:
        s = self.schema
        shape, title, quant = writer.int32(tensor.shape), writer.text(name) if name else 0, 0
        if tensor.quant is not None:
            scale, zero = writer.numbers(tensor.quant.scale, 4), writer.numbers(tensor.quant.zero_point, 8)
            s.QuantizationParametersStart(b)
            s.QuantizationParametersAddScale(b, scale)
            s.QuantizationParametersAddZeroPoint(b, zero)
            s.QuantizationParametersAddQuantizedDimension(b, tensor.quant.axis or 0)
            quant = s.QuantizationParametersEnd(b)
        s.TensorStart(b)
        s.TensorAddShape(b, shape)
        s.TensorAddType(b, getattr(s.TensorType, TYPE_CODES[tensor.dtype]))
        s.TensorAddBuffer(b, buffer)
        if name:
            s.TensorAddName(b, title)
        if quant:
            s.TensorAddQuantization(b, quant)
        if variable:
            s.TensorAddIsVariable(b, True)
        offset: int = s.TensorEnd(b)
        return offset

    def write_operator(
        self,
        b: Any,
        writer: _Writer,
        code: int,
        inputs: list[int],
        outputs: list[int],
        options: Any,
        intermediates: Sequence[int],
    ) -> int:
        s = self.schema
        ins, outs = writer.int32(inputs), writer.int32(outputs)
        inner = writer.int32(intermediates) if intermediates else 0
        packed = options.Pack(b) if options is not None else 0
        s.OperatorStart(b)
        s.OperatorAddOpcodeIndex(b, code)
        s.OperatorAddInputs(b, ins)
        s.OperatorAddOutputs(b, outs)
        if inner:
            s.OperatorAddIntermediates(b, inner)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            s.OperatorAddBuiltinOptionsType(b, getattr(s.BuiltinOptions, kind))
            s.OperatorAddBuiltinOptions(b, packed)
        offset: int = s.OperatorEnd(b)
        return offset

    def write_code(self, b: Any, code: str, version: int) -> int:
        s = self.schema
        number = getattr(s.BuiltinOperator, code)
        s.OperatorCodeStart(b)
        # Runtimes before schema 3a read only the 8-bit field.
        s.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
        s.OperatorCodeAddBuiltinCode(b, number)
        s.OperatorCodeAddVersion(b, version)
        offset: int = s.OperatorCodeEnd(b)
        return offset

    def write_metadata(self, b: Any, writer: _Writer, name: str, buffer: int) -> int:
        title = writer.text(name)
        self.schema.MetadataStart(b)
        self.schema.MetadataAddName(b, title)
        self.schema.MetadataAddBuffer(b, buffer)
        offset: int = self.schema.MetadataEnd(b)
        return offset

    def write_signature(self, b: Any, writer: _Writer, signature: Signature) -> int:
        s, (key, inputs, outputs) = self.schema, signature
        maps = []
        for entries in (inputs, outputs):
            offsets = []
            for name, index in entries:
                title = writer.text(name)
                s.TensorMapStart(b)
                s.TensorMapAddName(b, title)
                s.TensorMapAddTensorIndex(b, index)
                offsets.append(s.TensorMapEnd(b))
            maps.append(writer.tables(offsets))
        title = writer.text(key)
        s.SignatureDefStart(b)
        s.SignatureDefAddInputs(b, maps[0])
        s.SignatureDefAddOutputs(b, maps[1])
        s.SignatureDefAddSignatureKey(b, title)
        offset: int = s.SignatureDefEnd(b)
        return offset


class _Writer:
    """Vectors and strings, one copy of each content."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.known: dict[tuple[str, bytes], int] = {}

    def numbers(self, values: Array, size: int) -> int:
        data = np.ascontiguousarray(values).tobytes()
        key = (f"v{size}", data)
        if key not in self.known:
            self.builder.StartVector(size, len(data) // size, size)
            self.builder.head -= len(data)
            self.builder.Bytes[self.builder.head : self.builder.head + len(data)] = data
            self.known[key] = self.builder.EndVector()
        return self.known[key]

    def int32(self, values: Sequence[int]) -> int:
        return self.numbers(np.asarray(values, "<i4"), 4)

    def text(self, value: str) -> int:
        key = ("s", value.encode())
        if key not in self.known:
            self.known[key] = self.builder.CreateString(value)
        return self.known[key]

    def tables(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        vector: int = self.builder.EndVector()
        return vector
