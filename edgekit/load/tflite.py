"""Read a TFLite file (float, float16 or dynamic-range weights, int8) as a Graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit import contract as contracts
from edgekit import states
from edgekit.errors import BadModel, OpenShape, Unsupported
from edgekit.graph import NUMPY_DTYPES, Graph, InputContract, InputSpec, Shape, Tensor, build
from edgekit.load import tflite_spectrum, tflite_states
from edgekit.load.cut import chosen, needed
from edgekit.load.tflite_build import Builder, Refused
from edgekit.load.tflite_file import HINT, FileModel, FileOp, FileTensor, parse, read_bytes
from edgekit.load.tflite_ops import RULES
from edgekit.load.tflite_schema import METADATA
from edgekit.load.tflite_uint8 import as_int8
from edgekit.load.tflite_while import without_turning_twice
from edgekit.ops.int16 import WIDE as WIDE_OPS

# Builtins that take int16 activations.
WIDE = WIDE_OPS | frozenset("EXPAND_DIMS GATHER PADV2 PACK UNPACK SPLIT_V SQUEEZE STRIDED_SLICE WHILE".split())

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
MOST_ENDS = 8  # values to cut a network at, in a hint


def load_tflite(
    path_or_bytes: str | Path | bytes,
    *,
    name: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """The file's main subgraph as a Graph; inputs are NHWC when of rank 4, tensor names are the file's.

    name: the Graph's (default: the one edgekit wrote, else the file's stem). outputs: values to cut the graph at,
    instead of its own. shapes: {input: shape} for dynamic axes; a
    dynamic batch is 1 by default. Raises BadModel for a damaged file, Unsupported for all operators that cannot be read.
    """
    where = "model" if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    file = parse(read_bytes(path_or_bytes), where)
    if outputs is not None:
        file = cut(file, outputs)
    legacy = {file.names[i]: file.tensors[i] for i in file.inputs if file.tensors[i].dtype == "uint8"}
    file, changes = as_int8(file)
    file = narrowed(file)
    extra = own_metadata(file)
    wanted = input_shapes(file, shapes or {})
    resized = any(file.tensors[i].shape != shape for i, shape in wanted.items())
    b, real = Builder(file, resized), {} if extra else real_inputs(file)  # what edgekit wrote stays what it was
    b.notes += changes
    for index, shape in wanted.items():
        tensor = file.tensors[index]
        if tensor.dtype not in NUMPY_DTYPES:
            why = "text is prepared outside of the network: take what comes behind, or another model"
            fix = why if tensor.dtype == "STRING" else "convert with float32 or integer inputs"
            raise Unsupported(where, [(f"input '{file.names[index]}'", f"has type {tensor.dtype}", fix)])
        dtype = "float32" if index in real else tensor.dtype
        b.tensors[file.names[index]] = Tensor(file.names[index], shape, dtype, None, b.quant(index))
    problems = convert(b)
    if problems:
        raise Unsupported(where, problems, rest(b))
    without_turning_twice(b)
    pairs = b.states.pairs()
    if file.others:
        b.note(f"the main subgraph alone is read, not that of {', '.join(file.others)}")
    inputs = tuple(file.names[i] for i in file.inputs)
    outputs = tuple(b.name(i) for i in dict.fromkeys(file.outputs))
    stem = "model" if isinstance(path_or_bytes, bytes) else Path(path_or_bytes).stem
    graph_name = name or str(extra.get("name") or stem)
    history = ("load_tflite", *(f"load_tflite: {note}" for note in b.notes))
    graph = build(
        graph_name,
        (*inputs, *pairs),
        (*outputs, *pairs.values()),
        b.nodes,
        b.tensors,
        contract=contract_of(b, inputs, extra, legacy, {file.names[i]: held for i, held in real.items()}),
        history=history,
    )
    graph = tflite_states.attached(graph, b)
    carried = extra.get("states")
    return states.restored(graph, carried if isinstance(carried, list) else None)


def narrowed(file: FileModel) -> FileModel:
    """Counts and ids of 64 bits as int32, as every reader has them; biases of 16-bit layers stay."""
    biases = {op.inputs[2] for op in file.ops if op.code in WEIGHTED and len(op.inputs) > 2}
    tensors = list(file.tensors)
    for i, t in enumerate(tensors):
        if t.dtype == "int64" and t.scale is None and i not in biases:
            ends = np.iinfo(np.int32)
            data = None if t.data is None else np.clip(t.data, ends.min, ends.max).astype(np.int32)
            tensors[i] = replace(t, dtype="int32", data=data)
    return replace(file, tensors=tuple(tensors))


def cut(file: FileModel, outputs: Sequence[str]) -> FileModel:
    """The file with other outputs, without the operators and inputs that these do not need."""
    index = {name: i for i, name in enumerate(file.names)}
    made = [file.names[i] for op in file.ops for i in op.outputs]
    ends = tuple(index[name] for name in chosen(outputs, made))
    tied = [op for op in file.ops if op.code in ("ASSIGN_VARIABLE", "CALL_ONCE")]  # what a state needs to be one
    after = tuple(i for op in tied for i in op.inputs)
    kept = set(needed(len(file.ops), lambda i: file.ops[i].inputs, lambda i: file.ops[i].outputs, (*ends, *after)))
    ops = [op for i, op in enumerate(file.ops) if i in kept or op in tied]
    read = {i for op in ops for i in op.inputs}
    return replace(file, ops=tuple(ops), inputs=tuple(i for i in file.inputs if i in read), outputs=ends)


def convert(b: Builder) -> list[tuple[str, str, str]]:
    """All operators; what cannot be read is listed, and its outputs taken from the file so that the rest can be."""
    problems: list[tuple[str, str, str]] = []
    missing: set[int] = set()  # values that refused operators would have made, and what is made of these
    made = {i for op in b.file.ops for i in op.outputs}
    shapeless: set[int] = set()  # made after one of them, of a shape that it would have told
    for op in b.file.ops:
        follows = any(i in shapeless for i in op.inputs) or any(i in missing for i in op.inputs[1:])
        if any(i in missing for i in op.inputs):
            missing.update(op.outputs)
        try:
            if op.index in b.done:
                continue
            check_types(b, op)
            if op.code in tflite_spectrum.MOVES and op.inputs and op.inputs[0] in b.complex:
                tflite_spectrum.move(b, op)
                continue
            if op.code not in RULES:
                raise Refused("is not supported", cut_before(b, op))
            if (not op.inputs or not op.outputs) and op.code not in tflite_states.ENDS:
                raise BadModel(f"{b.source(op)} has no {'outputs' if op.inputs else 'inputs'}", HINT)
            RULES[op.code](b, op)
        except Refused as refusal:
            b.before += [b.file.names[i] for i in op.inputs if i in made and i not in missing]
            missing.update(op.outputs)
            if not follows or op.code not in RULES:  # else it may only miss what is missing: do not blame it
                problems.append((b.source(op), refusal.why, refusal.fix))
            if follows:
                shapeless.update(op.outputs)
        except BadModel as error:
            # After a refused operator the shapes are the file's guess: do not blame what follows from it.
            if not problems:
                raise BadModel(f"{error.message}", error.hint or HINT) from error
            shapeless.update(op.outputs)
        except (KeyError, IndexError) as error:
            raise BadModel(f"{b.source(op)} lacks an option or input: {error}", HINT) from error
        if problems:
            for index in op.outputs:
                tensor, name = b.file.tensors[index], b.file.names[index]
                dtype = tensor.dtype if tensor.dtype in NUMPY_DTYPES else "float32"
                shape = tuple(max(n, 1) for n in tensor.shape)
                b.tensors.setdefault(name, Tensor(name, shape, dtype, None, b.quant(index)))
    if not problems:
        try:
            tflite_states.settle(b)
        except Refused as refusal:
            problems.append(("a variable", refusal.why, refusal.fix))
    return problems


def rest(b: Builder) -> str:
    """How to take what can be read, where that is a few values."""
    ends = list(dict.fromkeys(b.before))
    return f"to take what comes before them: --outputs {','.join(ends)}" if 0 < len(ends) <= MOST_ENDS else ""


def cut_before(b: Builder, op: FileOp) -> str:
    """What to do about an operator that is not read: leave out what follows the values it reads."""
    made = {i for other in b.file.ops for i in other.outputs}
    computed = [b.file.names[i] for i in op.inputs if i in made]
    if not op.code.startswith(("CUSTOM", "NON_MAX")) or not computed:
        return "rewrite the model without it"
    return f"cut the graph before it and run it after the network: --outputs {','.join(computed)}"


def check_types(b: Builder, op: FileOp) -> None:
    """Refuse activations that are neither real, int8, int16 where the operator has it, nor plain integers."""
    for index in (*op.inputs, *op.outputs):
        if index < 0:
            continue
        tensor = b.file.tensors[index]
        if tensor.data is not None or tensor.scale is None or tensor.variable or op.code in {"QUANTIZE", "DEQUANTIZE"}:
            continue
        if tensor.dtype == "uint8" or (tensor.dtype == "int16" and op.code not in WIDE):
            raise Refused(
                f"'{b.file.names[index]}' is a quantized {tensor.dtype} activation",
                "quantize the float model with edgekit (int8, int16x8)",
            )
        if tensor.dtype == "int16" and tensor.zero_point is not None and np.any(tensor.zero_point != 0):
            raise Refused(f"'{b.file.names[index]}' is int16 with a zero point", "convert with symmetric 16-bit activations")


def input_shapes(file: FileModel, shapes: Mapping[str, tuple[int, ...]]) -> dict[int, Shape]:
    """{input index: static shape}. Raises BadModel for unknown names and for dynamic axes that nobody fixed."""
    names = {file.names[i]: i for i in file.inputs}
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise BadModel(f"no input is named {', '.join(unknown)}", f"inputs are: {', '.join(names)}")
    result: dict[int, Shape] = {}
    dynamic: dict[str, str] = {}
    for name, index in names.items():
        tensor = file.tensors[index]
        if name in shapes:
            given = tuple(int(n) for n in shapes[name])
            if len(given) != len(tensor.shape) or any(s not in {-1, n} for s, n in zip(tensor.signature, given, strict=False)):
                raise BadModel(f"input '{name}' is {list(tensor.signature)}, cannot be {list(given)}")
            result[index] = given
            continue
        if any(n == -1 for n in tensor.signature[1:]):
            example = ",".join(str(n) if n > 0 else "?" for n in (1, *tensor.signature[1:]))
            dynamic[name] = f"--shape {name}={example}"
            continue
        result[index] = tuple(max(n, 1) if s == -1 else n for n, s in zip(tensor.shape, tensor.signature, strict=True))
    empty = [file.names[i] for i, shape in result.items() if 0 in shape]
    if empty:
        raise BadModel(f"input {', '.join(empty)} has no elements", HINT)
    if dynamic:
        raise OpenShape("the model has dynamic input axes", f"fix them: {' '.join(dynamic.values())}", dynamic)
    return result


def own_metadata(file: FileModel) -> dict[str, object]:
    """What edgekit wrote beside the model; {} for a file of another maker or a note that cannot be read."""
    try:
        found = json.loads(file.metadata.get(METADATA, b"{}").rstrip(b"\0"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# What the smaller types of integers hold: (least, greatest).
HELD = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0), "int16": (-32768.0, 32767.0)}


def real_inputs(file: FileModel) -> dict[int, tuple[float, float] | None]:
    """{input of plain integers that is only ever cast to float32: what its type holds}: pictures and sounds, which are read as
    real inputs that take the same numbers."""
    found: dict[int, tuple[float, float] | None] = {}
    for index in file.inputs:
        readers = [op for op in file.ops if index in op.inputs]
        plain = file.tensors[index].scale is None and file.tensors[index].dtype in (*HELD, "int32", "int64")
        cast = readers and all(op.code == "CAST" and file.tensors[op.outputs[0]].dtype == "float32" for op in readers)
        if plain and cast and index not in file.outputs:
            found[index] = HELD.get(file.tensors[index].dtype)
    return found


def contract_of(
    b: Builder,
    inputs: tuple[str, ...],
    extra: Mapping[str, object],
    legacy: Mapping[str, FileTensor],
    real: Mapping[str, tuple[float, float] | None],
) -> InputContract:
    """The contract edgekit wrote, or the format's own: rank 4 is NHWC; bytes given for a uint8 input mean what it says.
    real: {input of integers that stand for themselves: what its type holds}."""
    kept = extra.get("contract")
    contract = contracts.from_json(kept, where="the TFLite metadata", newer=True) if isinstance(kept, dict) else InputContract()
    layouts = {n: contract.input(n) for n in inputs}
    layouts = {
        n: replace(s, layout="NHWC") if s == InputSpec() and len(b.tensors[n].shape) == 4 else s for n, s in layouts.items()
    }
    for n, tensor in legacy.items():
        if b.tensors[n].dtype == "int8" and tensor.scale is not None and tensor.zero_point is not None:
            layouts[n] = replace(layouts[n], scale=float(tensor.scale[0]), zero_point=int(tensor.zero_point[0]))
    for n, held in real.items():
        layouts[n] = replace(layouts[n], range=held, scale=1.0, zero_point=0)
    return replace(contract, inputs={n: s for n, s in layouts.items() if s != InputSpec()})
