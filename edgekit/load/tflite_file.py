"""TFLite bytes -> plain data. Every offset, index and size is checked here, so that the reader can trust what it sees."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import NUMPY_DTYPES, Array, Shape, fresh
from edgekit.load.tflite_schema import DTYPES, names, schema
from edgekit.load.tflite_sparse import dense

MAX_RANK = 8
HINT = "the file is damaged or incomplete: convert or download it again"


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor as the file has it. dtype: the Graph's name, or the schema's (capitals) for one that edgekit has not.

    signature: the shape with -1 for dynamic axes. scale float32[n] and zero_point int64[n] are None when not quantized.
    """

    name: str
    shape: Shape
    signature: Shape
    dtype: str
    data: Array | None
    scale: Array | None
    zero_point: Array | None
    axis: int
    variable: bool
    sparse: bool


@dataclass(frozen=True)
class FileOp:
    """An operator: code (builtin name, or "CUSTOM name"), tensor indices (-1: absent), options by schema name."""

    index: int
    code: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class FileModel:
    """A subgraph. `names` are unique, one a tensor; inputs and outputs carry the signature's names if it has any.

    subgraphs: all of the file's, this one first, where a control operator may name them; () in these themselves.
    others: names of the signatures of other subgraphs.
    """

    tensors: tuple[FileTensor, ...]
    names: tuple[str, ...]
    ops: tuple[FileOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, bytes] = field(default_factory=dict)
    subgraphs: tuple[FileModel, ...] = ()
    others: tuple[str, ...] = ()


def read_bytes(source: str | Path | bytes) -> bytes:
    """The file's bytes. Raises BadModel when it cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise BadModel(f"cannot read '{source}': {error.strerror or error}", "check the path") from error


def parse(data: bytes, where: str = "model") -> FileModel:
    """The file's main subgraph. Raises BadModel for anything that is not a whole, consistent TFLite file."""
    if len(data) < 16:
        raise BadModel(f"{where}: {len(data)} bytes are not a TFLite file", HINT)
    if data[4:8] != b"TFL3":
        raise BadModel(
            f"{where} is not a TFLite file (no TFL3 identifier)", "give a .tflite file; other formats have their own suffix"
        )
    try:
        return _Parser(data, where).model()
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, MemoryError) as error:
        # What the flatbuffers accessors raise on offsets that lead nowhere.
        raise BadModel(f"{where} is not a readable TFLite file: {type(error).__name__}: {error}", HINT) from error


class _Parser:
    """The walk through one file's tables."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.schema = data, where, schema()

    def model(self) -> FileModel:
        root = self.schema.Model.GetRootAs(self.data, 0)
        if root.Version() != 3:
            raise self.bad(f"schema version {root.Version()}, expected 3")
        if self.count(root.SubgraphsLength()) < 1:
            raise self.bad("it holds no subgraph")
        buffers = [self.buffer(root.Buffers(i), i) for i in range(self.count(root.BuffersLength()))]
        codes = [self.code(root.OperatorCodes(i)) for i in range(self.count(root.OperatorCodesLength()))]
        metadata: dict[str, bytes] = {}
        for i in range(self.count(root.MetadataLength())):
            entry = root.Metadata(i)
            if entry.Buffer() < len(buffers):
                content = buffers[entry.Buffer()]
                metadata[self.text(entry.Name())] = b"" if content is None else content.tobytes()
        parts = [self.subgraph(root, i, buffers, codes) for i in range(self.count(root.SubgraphsLength()))]
        if not parts[0].outputs:
            raise self.bad("it has no outputs")
        signatures = [root.SignatureDefs(i) for i in range(self.count(root.SignatureDefsLength()))]
        others = tuple(self.text(d.SignatureKey()) for d in signatures if d.SubgraphIndex() != 0)
        return replace(parts[0], metadata=metadata, subgraphs=tuple(parts), others=others)

    def subgraph(self, root: Any, number: int, buffers: list[Array | None], codes: list[tuple[str, int]]) -> FileModel:
        graph = root.Subgraphs(number)
        tensors = tuple(self.tensor(graph.Tensors(i), buffers) for i in range(self.count(graph.TensorsLength())))
        inputs = self.indices(graph.InputsLength, graph.Inputs, len(tensors), "graph inputs")
        outputs = self.indices(graph.OutputsLength, graph.Outputs, len(tensors), "graph outputs")
        if -1 in inputs + outputs:
            raise self.bad("a graph input or output is absent")
        ops = tuple(self.op(graph.Operators(i), i, codes, len(tensors)) for i in range(self.count(graph.OperatorsLength())))
        named = self.unique_names(root if number == 0 else None, tensors, inputs, outputs)
        return FileModel(tensors, named, ops, inputs, outputs)

    def bad(self, why: str) -> BadModel:
        return BadModel(f"{self.where} is not a valid TFLite file: {why}", HINT)

    def count(self, length: int) -> int:
        """A vector's length; every element takes at least four bytes of the file."""
        if length * 4 > len(self.data):
            raise self.bad(f"a list of {length} entries does not fit into {len(self.data)} bytes")
        return length

    def text(self, raw: bytes | None) -> str:
        return (raw or b"").decode("utf-8", "replace")

    def numbers(self, length: Callable[[], int], array: Callable[[], Array], kind: type[np.generic]) -> Array:
        """A numeric vector, copied; empty when absent."""
        if length() == 0:
            return np.zeros(0, kind)
        self.count(length())
        return np.array(array(), kind)

    def indices(self, length: Callable[[], int], item: Callable[[int], int], limit: int, what: str) -> tuple[int, ...]:
        found = tuple(int(item(i)) for i in range(self.count(length())))
        if any(not -1 <= i < limit for i in found):
            raise self.bad(f"{what} name tensors {list(found)[:8]}, but there are {limit}")
        return found

    def buffer(self, table: Any, index: int) -> Array | None:
        """A buffer's bytes, without a copy; None when it is empty. Large files keep them behind the flatbuffer."""
        if table.Offset() > 1:
            if table.Offset() + table.Size() > len(self.data):
                raise self.bad(f"buffer {index} ends behind the end of the file")
            outside: Array = np.frombuffer(self.data, np.uint8, table.Size(), table.Offset())
            return outside
        length = table.DataLength()
        if length == 0:
            return None
        if length > len(self.data):
            raise self.bad(f"buffer {index} of {length} bytes is larger than the file")
        content: Array = table.DataAsNumpy()
        return content

    def tensor(self, table: Any, buffers: list[Array | None]) -> FileTensor:
        name = self.text(table.Name())
        if max(table.ShapeLength(), table.ShapeSignatureLength()) > MAX_RANK:
            raise self.bad(f"tensor '{name}' has rank {max(table.ShapeLength(), table.ShapeSignatureLength())}")
        shape = tuple(int(table.Shape(i)) for i in range(table.ShapeLength()))
        signature = tuple(int(table.ShapeSignature(i)) for i in range(table.ShapeSignatureLength())) or shape
        if len(signature) != len(shape) or min(signature, default=0) < -1 or min(shape, default=0) < -1:
            raise self.bad(f"tensor '{name}' has shape {list(shape)} and signature {list(signature)}")
        kinds = names("TensorType")
        kind = kinds.get(table.Type(), f"type {table.Type()}")
        dtype = DTYPES.get(kind, kind)
        if table.Buffer() >= len(buffers):
            raise self.bad(f"tensor '{name}' uses buffer {table.Buffer()}, but there are {len(buffers)}")
        raw, sparse = buffers[table.Buffer()], table.Sparsity() is not None
        if raw is not None and sparse and dtype in NUMPY_DTYPES and dtype != "int4":
            values = np.frombuffer(raw.tobytes(), NUMPY_DTYPES[dtype])
            data: Array | None = dense(values, shape, table.Sparsity())
            sparse = False
        else:
            data = self.content(name, shape, dtype, raw) if raw is not None and not sparse else None
        scale, zero, axis = self.quant(table.Quantization(), name)
        return FileTensor(name, shape, signature, dtype, data, scale, zero, axis, bool(table.IsVariable()), sparse)

    def content(self, name: str, shape: Shape, dtype: str, raw: Array) -> Array | None:
        """A constant's values; None for a dtype that edgekit has not. int4 is packed, two a byte, low half first."""
        if dtype not in NUMPY_DTYPES:
            return None
        elements = int(np.prod([max(n, 0) for n in shape], dtype=object)) if shape else 1
        kind = np.dtype(NUMPY_DTYPES[dtype])
        needed = (elements + 1) // 2 if dtype == "int4" else elements * kind.itemsize
        if needed != raw.size or min(shape, default=0) < 0:
            raise self.bad(f"constant '{name}' {dtype}{list(shape)} needs {needed} bytes, its buffer has {raw.size}")
        if dtype == "int4":
            signed = raw.view(np.int8)
            halves = np.stack([(signed << 4) >> 4, signed >> 4], axis=1)
            return np.ascontiguousarray(halves.reshape(-1)[:elements].reshape(shape))
        if dtype == "bool":
            truth: Array = (raw != 0).reshape(shape)
            return truth
        return np.frombuffer(raw.tobytes(), kind).reshape(shape)

    def quant(self, table: Any, name: str) -> tuple[Array | None, Array | None, int]:
        if table is None or table.ScaleLength() == 0:
            return None, None, 0
        scale = self.numbers(table.ScaleLength, table.ScaleAsNumpy, np.float32)
        zero = self.numbers(table.ZeroPointLength, table.ZeroPointAsNumpy, np.int64)
        if zero.size == 0:
            zero = np.zeros(scale.size, np.int64)
        if zero.size == 1 and scale.size > 1:
            zero = np.repeat(zero, scale.size)
        if zero.size != scale.size or not np.all(np.isfinite(scale)) or np.any(scale < 0):
            raise self.bad(f"tensor '{name}' has broken quantization: {scale.size} scales, {zero.size} zero points")
        return scale, zero, int(table.QuantizedDimension())

    def code(self, table: Any) -> tuple[str, int]:
        number = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        name = names("BuiltinOperator").get(number, f"operator {number}")
        if name == "CUSTOM":
            name = f"CUSTOM {self.text(table.CustomCode())}"
        return name, int(table.Version())

    def op(self, table: Any, index: int, codes: list[tuple[str, int]], tensors: int) -> FileOp:
        if table.OpcodeIndex() >= len(codes):
            raise self.bad(f"op#{index} uses operator code {table.OpcodeIndex()}, but there are {len(codes)}")
        code, version = codes[table.OpcodeIndex()]
        inputs = self.indices(table.InputsLength, table.Inputs, tensors, f"op#{index} {code}'s inputs")
        outputs = self.indices(table.OutputsLength, table.Outputs, tensors, f"op#{index} {code}'s outputs")
        if -1 in outputs:
            raise self.bad(f"op#{index} {code} has an absent output")
        parsed = self.schema.BuiltinOptionsCreator(table.BuiltinOptionsType(), table.BuiltinOptions())
        options = dict(vars(parsed)) if parsed is not None else {}
        if code.startswith("CUSTOM"):
            options["custom"] = self.numbers(table.CustomOptionsLength, table.CustomOptionsAsNumpy, np.uint8).tobytes()
        return FileOp(index, code, version, inputs, outputs, options)

    def unique_names(
        self, root: Any, tensors: tuple[FileTensor, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> tuple[str, ...]:
        """Signature names first (for inputs and outputs), then the tensors' own; repeats and blanks get a counter."""
        given: dict[int, str] = {}
        count = 0 if root is None else self.count(root.SignatureDefsLength())
        own = [d for d in (root.SignatureDefs(i) for i in range(count)) if d.SubgraphIndex() == 0]
        if own:
            signature = own[0]
            for length, item, edge in (
                (signature.OutputsLength(), signature.Outputs, outputs),
                (signature.InputsLength(), signature.Inputs, inputs),
            ):
                for entry in (item(i) for i in range(self.count(length))):
                    if entry.TensorIndex() in edge and entry.Name():
                        given[entry.TensorIndex()] = self.text(entry.Name())
        taken: set[str] = set()
        result = [""] * len(tensors)
        for index in sorted(range(len(tensors)), key=lambda i: (i not in given, i not in inputs, i not in outputs, i)):
            result[index] = fresh(taken, given.get(index) or tensors[index].name or f"t{index}")
            taken.add(result[index])
        return tuple(result)
