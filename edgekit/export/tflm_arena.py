"""Plan the tensor arena that TFLite-Micro needs on a 32-bit core, without running it there.

The rules are those of TFLM at commit 90b983c2 with CMSIS-NN 4ab83cc3: activations and scratch buffers placed by the greedy
memory planner (largest first, 16-byte alignment) at the bottom of the arena; persistent structs (12-byte TfLiteEvalTensor,
32-byte node, options, kernel data, per-channel multipliers and shifts) at its top; planning itself needs room in between.
Struct sizes are ILP32 with -fshort-enums, as arm-none-eabi compiles, checked against arenas measured on emulated cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from edgekit.export.tflite import export_tflite
from edgekit.graph import DTYPE_BYTES, Graph
from edgekit.load.tflite_file import FileModel, FileOp, parse

ALIGN = 16
MVE_CORES = ("m52", "m55", "m85")
# Persistent bytes that every interpreter has: allocators, planner, subgraph table.
BASE = 136
EVAL_TENSOR, NODE = 12, 32
# A further subgraph, as those of a loop: its tables' entry, the list of its inputs and of its outputs.
SUBGRAPH = 48
# An input or output: TfLiteTensor; and, when quantized, its TfLiteAffineQuantization and zero point array.
IO_TENSOR, IO_QUANT = 32, 20
# During planning: one AllocationInfo a tensor or scratch buffer, the planner's tables a placed buffer, request lists.
ALLOCATION_INFO, PLANNED_BUFFER, PLANNING = 28, 40, 124
# Builtin -> (kernel data, builtin options) in bytes, reference kernels.
PERSISTENT: dict[str, tuple[int, int]] = {
    "ABS": (32, 0),
    "ADD": (64, 2),
    "ARG_MAX": (0, 4),
    "ARG_MIN": (0, 4),
    "AVERAGE_POOL_2D": (32, 40),
    "BATCH_MATMUL": (16, 3),
    "BROADCAST_TO": (0, 0),
    "CAST": (0, 2),
    "CEIL": (0, 0),
    "CONCATENATION": (80, 8),
    "CONV_2D": (64, 28),
    "COS": (0, 0),
    "CUMSUM": (48, 2),
    "DEPTHWISE_CONV_2D": (64, 28),
    "DEPTH_TO_SPACE": (0, 4),
    "DEQUANTIZE": (32, 0),
    "DIV": (32, 1),
    "DYNAMIC_UPDATE_SLICE": (0, 0),
    "ELU": (256, 0),
    "EQUAL": (32, 0),
    "EXP": (0, 0),
    "FLOOR": (0, 0),
    "FLOOR_DIV": (0, 0),
    "FLOOR_MOD": (0, 0),
    "FULLY_CONNECTED": (48, 5),
    "GATHER": (32, 8),
    "GATHER_ND": (16, 0),
    "GREATER": (32, 0),
    "GREATER_EQUAL": (32, 0),
    "HARD_SWISH": (32, 0),
    "L2_NORMALIZATION": (16, 1),
    "LEAKY_RELU": (32, 4),
    "LESS": (32, 0),
    "LESS_EQUAL": (32, 0),
    "LOG": (0, 0),
    "LOGICAL_AND": (0, 0),
    "LOGICAL_NOT": (0, 0),
    "LOGICAL_OR": (0, 0),
    "LOGISTIC": (16, 0),
    "LOG_SOFTMAX": (32, 0),
    "MAXIMUM": (0, 0),
    "MAX_POOL_2D": (32, 40),
    "MEAN": (48, 1),
    "MINIMUM": (0, 0),
    "MUL": (48, 1),
    "NOT_EQUAL": (32, 0),
    "PAD": (64, 0),
    "PADV2": (64, 0),
    "PRELU": (32, 0),
    "QUANTIZE": (32, 0),
    "REDUCE_ALL": (48, 1),
    "REDUCE_MAX": (48, 1),
    "REDUCE_MIN": (48, 1),
    "RELU": (32, 0),
    "RELU6": (16, 0),
    "RESHAPE": (0, 36),
    "RESIZE_BILINEAR": (0, 2),
    "RESIZE_NEAREST_NEIGHBOR": (0, 2),
    "ROUND": (0, 0),
    "RSQRT": (32, 0),
    "SELECT_V2": (16, 0),
    "SIN": (0, 0),
    "SLICE": (0, 0),
    "SOFTMAX": (64, 4),
    "SPACE_TO_DEPTH": (0, 4),
    "SPLIT": (0, 4),
    "SPLIT_V": (0, 4),
    "SQRT": (0, 0),
    "SQUARED_DIFFERENCE": (64, 0),
    "STRIDED_SLICE": (112, 24),
    "SUB": (64, 2),
    "SUM": (48, 1),
    "TANH": (16, 0),
    "TRANSPOSE": (0, 0),
    "TRANSPOSE_CONV": (80, 16),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (1024, 24),  # OpDataLSTM: four gates' and three products' parameters, an upper bound
    "WHILE": (16, 8),
}
UNKNOWN = (256, 64)
CMSIS_EXTRA = {"AVERAGE_POOL_2D": 16, "BATCH_MATMUL": 32, "FULLY_CONNECTED": 32, "MAX_POOL_2D": 16}
PER_CHANNEL = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
SHARE, LEAST = 1 / 64, 128  # the margin on top: a 64th, at least 128 bytes


@dataclass(frozen=True)
class ArenaPlan:
    """Bytes. head: activations and scratch; tail: persistent structs; needed: the least arena that works, as planned."""

    head: int
    tail: int
    needed: int
    margin: int
    unknown: tuple[str, ...]

    @property
    def total(self) -> int:
        return self.needed + self.margin


def up(size: int, step: int = ALIGN) -> int:
    return -(-size // step) * step


def planned_arena(model: Graph | bytes, core: str = "m4", kernels: Literal["cmsis", "ref"] = "cmsis") -> tuple[int, str]:
    """(arena bytes with margin, a note that says how they came about) for TFLM on a 32-bit Cortex-M core."""
    plan = plan_arena(model, core, kernels)
    library = "CMSIS-NN 4ab83cc3" if kernels == "cmsis" else "reference kernels"
    note = (
        f"planned for TFLite-Micro 90b983c2 with {library} on cortex-{core}: "
        f"{plan.head} B activations and scratch, {plan.tail} B persistent, {plan.margin} B margin"
    )
    if plan.unknown:
        note += f"; kernel data guessed for {', '.join(plan.unknown)}"
    return plan.total, note


def plan_arena(model: Graph | bytes, core: str = "m4", kernels: Literal["cmsis", "ref"] = "cmsis") -> ArenaPlan:
    """The plan behind `planned_arena`. A Graph is exported first. Raises what `export_tflite` raises."""
    file = parse(export_tflite(model) if isinstance(model, Graph) else model)
    mve = core.removeprefix("cortex-") in MVE_CORES
    parts = file.subgraphs
    requests = [
        (number, op.index, size)
        for number, part in enumerate(parts)
        for op in part.ops
        for size in scratch(part, op, kernels, mve)
        if size > 0
    ]
    buffers = live_ranges(parts, requests)
    head = greedy(buffers)
    inner = BASE + (len(parts) - 1) * SUBGRAPH + sum(persistent(part, kernels, mve) for part in parts) + 4 * len(requests)
    edge = sum(IO_TENSOR + (IO_QUANT if file.tensors[i].scale is not None else 0) for i in (*file.inputs, *file.outputs))
    tail = inner + edge + up(4 * len(file.inputs)) + up(4 * len(file.outputs))
    every = [(part, op) for part in parts for op in part.ops]
    planning = (
        ALLOCATION_INFO * (sum(len(part.tensors) for part in parts) + len(requests)) + PLANNED_BUFFER * len(buffers) + PLANNING
    )
    prepare = PLANNING + max((temporaries(part, op) for part, op in every), default=0) + 8 * len(requests)
    needed = up(max(tail + head, inner + planning, inner + prepare)) + ALIGN
    unknown = tuple(sorted({op.code for _, op in every if op.code not in PERSISTENT}))
    return ArenaPlan(head, tail, needed, max(LEAST, up(int(needed * SHARE))), unknown)


def persistent(file: FileModel, kernels: str, mve: bool) -> int:
    """Bytes at the top of the arena for one subgraph, without inputs and outputs."""
    total = EVAL_TENSOR * len(file.tensors) + NODE * len(file.ops)
    total += sum(up(prod(t.shape) * DTYPE_BYTES[t.dtype]) for t in file.tensors if t.variable)
    for op in file.ops:
        data, params = PERSISTENT.get(op.code, UNKNOWN)
        total += up(data + (CMSIS_EXTRA.get(op.code, 0) if kernels == "cmsis" else 0)) + params
        if op.code == "SOFTMAX" and file.tensors[op.inputs[0]].dtype == "int16":
            total += 2 * up(2 * 513)  # tables
        if op.code == "BATCH_MATMUL":
            total += matmul_copies(file, op)
        if op.code not in PER_CHANNEL:
            continue
        weights = file.tensors[op.inputs[1]]
        if weights.scale is not None and (weights.scale.size > 1 or op.code != "FULLY_CONNECTED"):
            channels = weights.shape[3 if op.code == "DEPTHWISE_CONV_2D" else 0]
            total += 2 * up(4 * channels)
        if op.code == "FULLY_CONNECTED" and kernels == "cmsis" and mve and weights.scale is not None:
            total += up(4 * weights.shape[0])  # kernel sums
    return total


def matmul_copies(file: FileModel, op: FileOp) -> int:
    """What BATCH_MATMUL keeps: its quantization, and every operand that it turns, with its tensor and shape."""
    a, b = (file.tensors[i] for i in op.inputs)
    turned = ([a] if op.options.get("adjX") else []) + ([] if op.options.get("adjY") else [b])
    kept = up(28) if a.scale is not None else 0
    return kept + sum(up(EVAL_TENSOR) + up(4 + 4 * len(t.shape)) + up(prod(t.shape) * DTYPE_BYTES[t.dtype]) for t in turned)


def scratch(file: FileModel, op: FileOp, kernels: str, mve: bool) -> list[int]:
    """Scratch buffers of one operator, bytes: CMSIS-NN's own size functions for int8, the most its int16 kernels ask for."""
    tensors = file.tensors
    x = tensors[op.inputs[0]] if op.inputs and op.inputs[0] >= 0 else None
    if op.code == "TRANSPOSE_CONV":  # 32-bit sums of the whole output, 64-bit ones of int16
        y = tensors[op.outputs[0]]
        return [{"int8": 4, "int16": 8}[y.dtype] * prod(y.shape)] if y.dtype in ("int8", "int16") else []
    if op.code in {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"} and x is not None:
        # Index and axis lists; MEAN and SUM of integers also keep 32-bit sums.
        sums = [4 * prod(tensors[op.outputs[0]].shape)] if op.code in {"MEAN", "SUM"} and x.dtype != "float32" else []
        return [4 * len(x.shape), 4 * prod(tensors[op.inputs[1]].shape), *sums]
    if op.code == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        cell = tensors[op.inputs[19]]
        return [prod(cell.shape) * DTYPE_BYTES[cell.dtype]] * 4
    if op.code in PER_CHANNEL and len(op.inputs) > 1 and tensors[op.inputs[1]].dtype == "int4":
        return [prod(tensors[op.inputs[1]].shape)]  # widened before they are used; CMSIS-NN's own kernels ask for less
    if kernels != "cmsis" or x is None or x.dtype not in {"int8", "int16"}:
        return []
    if op.code == "AVERAGE_POOL_2D":
        return [] if mve else [4 * x.shape[3]]
    if op.code == "BATCH_MATMUL":  # sums of the second operand's rows
        return [4 * tensors[op.outputs[0]].shape[-1]] if mve and x.dtype == "int8" else []
    if op.code not in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
        return []
    o, kernel, channels = op.options, tensors[op.inputs[1]].shape, x.shape[3]
    dense = o["dilationHFactor"] == o["dilationWFactor"] == 1
    if x.dtype == "int16":  # 16-bit kernels keep windows as they are
        if op.code == "DEPTHWISE_CONV_2D":
            return [2 * channels * kernel[1] * kernel[2]]
        return [4 * up(kernel[1] * kernel[2] * kernel[3], 4)]
    if op.code == "DEPTHWISE_CONV_2D":
        same = channels == kernel[3] and x.shape[0] == 1 and dense
        if not same or (kernel[1:3] == (3, 3) and not mve and x.shape[1] > 1 and x.shape[2] > 1):
            return []
        return [4 * 124 * kernel[1] * kernel[2] + 4 if mve else 2 * channels * kernel[1] * kernel[2]]
    if kernel[1:3] == (1, 1):
        return []
    columns = kernel[1] * kernel[2] * kernel[3]
    return [4 * up(columns, 8) if mve else 4 * up(columns, 4)]


def temporaries(file: FileModel, op: FileOp) -> int:
    """Bytes of the temporary TfLiteTensors of an operator's Prepare."""
    sizes = [
        0 if (scale := file.tensors[i].scale) is None else 16 + 4 * scale.size for i in (*op.inputs, *op.outputs) if i >= 0
    ]
    return sum(IO_TENSOR + size for size in sizes)


def live_ranges(parts: Sequence[FileModel], requests: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(bytes, first step, last step) of every buffer that the planner places, in its order: tensors, then scratch.

    requests: (subgraph, operator, bytes). The steps of a loop's subgraphs follow that of their WHILE, whose operands and
    results live through them all.
    """
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    scratch_spans: dict[tuple[int, int], tuple[int, int]] = {}
    step = 0

    def touch(number: int, indices: Sequence[int]) -> None:
        for index in indices:
            spans[number, index] = (spans.get((number, index), (step, step))[0], step)

    def walk(number: int) -> None:
        nonlocal step
        part = parts[number]
        touch(number, part.inputs)
        for op in part.ops:
            step += 1
            begin = step
            touch(number, op.outputs)
            if op.code == "WHILE":
                walk(op.options["condSubgraphIndex"])
                walk(op.options["bodySubgraphIndex"])
            touch(number, (*(i for i in op.inputs if (number, i) in spans), *op.outputs))
            scratch_spans[number, op.index] = (begin, step)
        touch(number, part.outputs)

    walk(0)
    buffers: list[tuple[int, int, int]] = []
    for number, part in enumerate(parts):
        for index, tensor in enumerate(part.tensors):
            if tensor.data is None and (number, index) in spans and tensor.dtype in DTYPE_BYTES:
                size = prod(max(n, 1) for n in tensor.shape) * DTYPE_BYTES[tensor.dtype]
                buffers.append((up(size), *spans[number, index]))
    return buffers + [(up(size), *scratch_spans[number, index]) for number, index, size in requests]


def greedy(buffers: Sequence[tuple[int, int, int]]) -> int:
    """Bytes that TFLM's greedy planner uses: largest first (of equals the later one), each in the first gap that fits."""
    order = sorted(range(len(buffers)), key=lambda i: (-buffers[i][0], -i))
    placed: list[tuple[int, int, int, int]] = []  # offset, size, first, last
    for i in order:
        size, start, end = buffers[i]
        offset = 0
        for at, taken in sorted(p[:2] for p in placed if p[2] <= end and start <= p[3]):
            if at - offset >= size:
                break
            offset = max(offset, at + taken)
        placed.append((offset, size, start, end))
    return max((offset + size for offset, size, _, _ in placed), default=0)
