"""Operator versions: LiteRT registers each one that is written, and none that it does not know would go unnoticed."""

from __future__ import annotations

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.bench.litert import run_litert
from edgekit.errors import EdgekitError, Unsupported
from edgekit.export.tflite_versions import BY_DTYPE, HYBRID, NARROW, RUNTIME, min_runtime, version_of
from edgekit.graph import Quant, Shape, Tensor

WRITTEN = sorted(
    {(code, version) for code, kinds in BY_DTYPE.items() for version in kinds.values()}
    | set(RUNTIME)
    | {(code, version) for table in (HYBRID, NARROW) for code, pair in table.items() for version in pair}
)


def alone(code: str, version: int) -> bytes:
    """A file of one operator that makes no sense: its version is looked up before anything else."""
    model, sub, tensor, operator = schema.ModelT(), schema.SubGraphT(), schema.TensorT(), schema.OperatorT()
    kind = schema.OperatorCodeT()
    kind.builtinCode = getattr(schema.BuiltinOperator, code)
    kind.deprecatedBuiltinCode, kind.version = min(kind.builtinCode, 127), version
    tensor.name, tensor.shape, tensor.type, tensor.buffer = "x", [1], schema.TensorType.FLOAT32, 0
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [0]
    sub.tensors, sub.operators, sub.inputs, sub.outputs, sub.name = [tensor], [operator], [0], [0], "main"
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [kind], [sub]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def registered(code: str, version: int) -> bool:
    try:
        run_litert(alone(code, version), [], "default")
    except Unsupported:
        return False
    except EdgekitError:  # found, and then not to its liking
        return True
    return True


def test_litert_registers_every_version_that_is_written() -> None:
    assert len(WRITTEN) > 100
    assert [pair for pair in WRITTEN if not registered(*pair)] == []
    assert not registered("CONV_2D", 99)


def tensor(dtype: str, shape: Shape = (1, 4)) -> Tensor:
    return Tensor("x", shape, dtype, None, Quant.per_tensor(0.1, 0, dtype) if dtype.startswith("int") else None)


@pytest.mark.parametrize(
    ("code", "dtype", "shape", "version"),
    [
        ("ABS", "int8", (1, 4), 2),
        ("ABS", "int32", (1, 4), 5),
        ("BROADCAST_TO", "float32", (1, 4), 2),
        ("BROADCAST_TO", "int8", (1, 4), 3),
        ("CAST", "int8", (1, 4), 3),
        ("CAST", "float32", (1, 4), 1),
        ("GATHER_ND", "bool", (1, 4), 5),
        ("RSQRT", "int8", (1, 4), 2),
        ("SIGN", "int32", (1, 4), 2),
        ("SPLIT_V", "int8", (1, 4), 2),
        ("TILE", "int8", (1, 4), 3),
        ("TRANSPOSE", "int8", (1, 1, 1, 1, 4), 4),
        ("TRANSPOSE", "int16", (1, 1, 1, 1, 4), 5),
        ("TRANSPOSE", "int8", (1, 1, 1, 1, 1, 4), 6),
    ],
)
def test_versions_are_those_of_tensorflow_s_tables(code: str, dtype: str, shape: Shape, version: int) -> None:
    x = tensor(dtype, shape)
    assert version_of(code, [x], [x], {}) == version


def test_the_first_release_is_that_of_the_newest_operator() -> None:
    assert min_runtime([("GELU", 2), ("ADD", 1)]) == "2.9.0"
    assert min_runtime([("SQUARED_DIFFERENCE", 2), ("SPLIT_V", 2)]) == "2.5.0"
