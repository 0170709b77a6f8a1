"""The one noun of edgekit: Graph, a static-shape dataflow graph with TFLite-builtin semantics and NHWC spatial ops.

Nothing here knows an operator; the op table is `edgekit.ops`. All types are frozen: a pass returns a new Graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import BadModel

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# dtype name -> the NumPy dtype its `data` is held in (int4 is held unpacked, one value a byte).
NUMPY_DTYPES: dict[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int4": np.int8,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "bool": np.bool_,
}
# Bytes of one element as NumPy holds it; `Tensor.nbytes` counts int4 as it is stored.
DTYPE_BYTES: dict[str, int] = {name: np.dtype(kind).itemsize for name, kind in NUMPY_DTYPES.items()}


@dataclass(frozen=True, eq=False)
class Quant:
    """Affine quantization: real = scale * (q - zero_point).

    scale: float32[n], zero_point: int64[n]; n = 1 (per tensor, axis None) or the size of `axis` (per channel). block: runs of
    so many elements of the last axis have a scale each, row after row; the last of a row may be shorter (constants only).
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int | None = None
    block: int | None = None
    dtype: str = "int8"

    @staticmethod
    def per_tensor(scale: float, zero_point: int = 0, dtype: str = "int8") -> Quant:
        """One scale and zero point for the whole tensor."""
        return Quant(np.array([scale], np.float32), np.array([zero_point], np.int64), None, None, dtype)

    @staticmethod
    def per_channel(scale: Array, axis: int, dtype: str = "int8") -> Quant:
        """Symmetric, one scale for each index of `axis`."""
        flat = np.asarray(scale, np.float32).reshape(-1)
        return Quant(flat, np.zeros(flat.size, np.int64), axis, None, dtype)

    def same_as(self, other: Quant | None) -> bool:
        """True when both map every integer to the same real number."""
        return (
            other is not None
            and self.dtype == other.dtype
            and (self.axis == other.axis or (self.scale.size == 1 and other.scale.size == 1))
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def broadcast(self, rank: int) -> tuple[Array, Array]:
        """(scale float32, zero_point int64), shaped to broadcast against a tensor of `rank` axes."""
        if self.axis is None or self.scale.size == 1:
            return self.scale.reshape(()), self.zero_point.reshape(())
        shape = [1] * rank
        shape[self.axis] = self.scale.size
        return self.scale.reshape(shape), self.zero_point.reshape(shape)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value. Constant when `data` is given. `shape` is static; rank 0 is ()."""

    name: str
    shape: Shape
    dtype: str
    data: Array | None = None
    quant: Quant | None = None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes as stored: int4 two values a byte."""
        return (self.elements + 1) // 2 if self.dtype == "int4" else self.elements * DTYPE_BYTES[self.dtype]

    @property
    def is_const(self) -> bool:
        return self.data is not None

    def real(self) -> Array:
        """The constant's real values as float32 (dequantized when it has a Quant)."""
        assert self.data is not None, f"{self.name} is not a constant"
        if self.quant is None:
            return self.data.astype(np.float32)
        if self.quant.block is not None:
            flat = self.quant.scale.reshape(*self.shape[:-1], -1)
            return self.data.astype(np.float32) * np.repeat(flat, self.quant.block, axis=-1)[..., : self.shape[-1]]
        scale, zero = self.quant.broadcast(len(self.shape))
        return ((self.data.astype(np.int64) - zero) * scale.astype(np.float64)).astype(np.float32)


def const(name: str, data: Array, quant: Quant | None = None, dtype: str | None = None) -> Tensor:
    """A constant tensor; dtype defaults to the array's own."""
    kind = dtype or str(np.asarray(data).dtype)
    return Tensor(name, tuple(int(n) for n in np.shape(data)), kind, np.ascontiguousarray(data).reshape(np.shape(data)), quant)


@dataclass(frozen=True)
class Node:
    """One operator. `inputs` may hold None for an absent optional input; `source` is the original node, for messages."""

    op: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, eq=False)
class State:
    """A value carried from one run to the next: `output` of run t is `input` of run t+1; `init` before the first."""

    input: str
    output: str
    init: Array


@dataclass(frozen=True)
class InputSpec:
    """What the application feeds. Data is always given in the *source* model's layout and as real numbers (or ids).

    perm: graph input = transpose(source array, perm); None when they are the same. layout: the source's axes, e.g. "NCHW".
    mean/std: how raw pixels were normalised, per channel, for messages and generated code (None: unknown, never guessed).
    scale/zero_point: what integer source data means (real = scale * (q - zero_point)); None: integer data is refused.
    audio: the front-end between int16 PCM and the network, as `audio.parse` takes it.
    image: size and channel order of a picture, as `image.parse` takes it.
    """

    kind: str = "tensor"  # tensor, image, audio, ids, table
    layout: str = ""
    perm: tuple[int, ...] | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None
    audio: str = ""
    image: str = ""


@dataclass(frozen=True)
class OutputSpec:
    """labels: class names along the last axis. perm: source array = transpose(graph output, perm); None when the same."""

    labels: tuple[str, ...] = ()
    perm: tuple[int, ...] | None = None


@dataclass(frozen=True)
class InputContract:
    """How the application meets the graph: one InputSpec an input, one OutputSpec an output (missing name: the default)."""

    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    outputs: Mapping[str, OutputSpec] = field(default_factory=dict)

    def input(self, name: str) -> InputSpec:
        return self.inputs.get(name, InputSpec())

    def output(self, name: str) -> OutputSpec:
        return self.outputs.get(name, OutputSpec())


@dataclass(frozen=True, eq=False)
class Graph:
    """A network. `nodes` are in execution order; `tensors` holds every value by name; `history` the passes applied."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    states: tuple[State, ...] = ()
    contract: InputContract = field(default_factory=InputContract)
    history: tuple[str, ...] = ()

    def tensor(self, name: str | None) -> Tensor | None:
        return None if name is None else self.tensors[name]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def input_tensors(self, node: Node) -> tuple[Tensor | None, ...]:
        return tuple(self.tensor(name) for name in node.inputs)

    def output_tensors(self, node: Node) -> tuple[Tensor, ...]:
        return tuple(self.tensors[name] for name in node.outputs)

    def producers(self) -> dict[str, Node]:
        """tensor name -> the node that makes it (graph inputs and constants are absent)."""
        return {out: node for node in self.nodes for out in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """tensor name -> the nodes that read it, in order (graph outputs are not counted)."""
        readers: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(n for n in node.inputs if n is not None):
                readers[name].append(node)
        return readers

    def with_history(self, step: str) -> Graph:
        return replace(self, history=(*self.history, step))

    @property
    def is_quantized(self) -> bool:
        """True when any activation is an integer with a Quant."""
        return any(self.tensors[o].quant is not None for node in self.nodes for o in node.outputs)


# How to fix a model that contradicts itself.
REMAKE = "look at it in Netron, correct it where it was made, and save or convert it again"


def build(
    name: str,
    inputs: Iterable[str],
    outputs: Iterable[str],
    nodes: Iterable[Node],
    tensors: Iterable[Tensor] | Mapping[str, Tensor],
    **rest: Any,
) -> Graph:
    """A checked Graph that holds only the tensors it uses."""
    table = dict(tensors) if isinstance(tensors, Mapping) else {t.name: t for t in tensors}
    nodes, inputs, outputs = tuple(nodes), tuple(inputs), tuple(outputs)
    used = [*inputs]
    for node in nodes:
        used += [n for n in (*node.inputs, *node.outputs) if n is not None]
    used += [*outputs, *(n for s in rest.get("states", ()) for n in (s.input, s.output))]
    missing = [n for n in dict.fromkeys(used) if n not in table]
    if missing:
        raise BadModel(f"graph '{name}' uses undefined values: {', '.join(missing[:8])}", REMAKE)
    graph = Graph(name, inputs, outputs, nodes, {n: table[n] for n in dict.fromkeys(used)}, **rest)
    check(graph)
    return graph


def check(graph: Graph) -> None:
    """Raise BadModel, listing every fault: order, single assignment, dtypes, constants' shapes, quantization lengths."""
    faults: list[str] = []
    known = set(graph.inputs) | {n for n, t in graph.tensors.items() if t.is_const} | {s.input for s in graph.states}
    made: set[str] = set(graph.inputs)
    for name, tensor in graph.tensors.items():
        if tensor.name != name:
            faults.append(f"tensor '{tensor.name}' is stored as '{name}'")
        if tensor.dtype not in NUMPY_DTYPES:
            faults.append(f"tensor '{name}' has unknown dtype {tensor.dtype}")
        elif tensor.data is not None and tensor.data.dtype != NUMPY_DTYPES[tensor.dtype]:
            faults.append(f"constant '{name}' is declared {tensor.dtype} but holds {tensor.data.dtype}")
        if any(d < 0 for d in tensor.shape):
            faults.append(f"tensor '{name}' has a dynamic shape {tensor.shape}")
        if tensor.data is not None and tensor.data.shape != tensor.shape:
            faults.append(f"constant '{name}' is declared {tensor.shape} but holds {tensor.data.shape}")
        quant = tensor.quant
        if quant is not None:
            size = 1 if quant.axis is None else tensor.shape[quant.axis] if quant.axis < len(tensor.shape) else -1
            if quant.block is None and quant.scale.size not in {1, size}:
                faults.append(f"tensor '{name}': {quant.scale.size} scales for axis {quant.axis} of {tensor.shape}")
            if quant.scale.size != quant.zero_point.size:
                faults.append(f"tensor '{name}': {quant.scale.size} scales but {quant.zero_point.size} zero points")
            # Dead channels of weights may have scale 0.
            least = 0.0 if tensor.is_const else np.finfo(np.float32).smallest_subnormal
            if not np.all(np.isfinite(quant.scale)) or np.any(quant.scale < least):
                faults.append(f"tensor '{name}' has a scale that is not a positive number")
    for side, specs in ((graph.inputs, graph.contract.inputs), (graph.outputs, graph.contract.outputs)):
        for name in side:
            perm = specs[name].perm if name in specs else None
            if perm is not None and name in graph.tensors and sorted(perm) != list(range(len(graph.tensors[name].shape))):
                faults.append(f"the contract's perm {perm} is no order of the axes of '{name}'")
    for node in graph.nodes:
        lost = [read for read in node.inputs if read is not None and read not in known]
        faults += [f"{node.op} '{node.source}' reads '{read}' before it is made" for read in lost]
        for name in node.outputs:
            if name in made:
                faults.append(f"'{name}' is made twice")
            if graph.tensors[name].is_const:
                faults.append(f"{node.op} '{node.source}' writes the constant '{name}'")
            made.add(name)
            known.add(name)
    faults += [f"output '{name}' is never made" for name in graph.outputs if name not in known]
    for state in graph.states:
        ends = [graph.tensors.get(n) for n in (state.input, state.output)]
        if ends[0] is None or ends[1] is None or state.output not in known or state.input in graph.inputs or ends[0].is_const:
            faults.append(f"state '{state.input}' is not fed from a value of the run before")
        elif len({(t.shape, t.dtype) for t in ends if t is not None} | {(state.init.shape, ends[0].dtype)}) > 1:
            faults.append(f"state '{state.input}' has another shape or type than '{state.output}' or its first value")
    if faults:
        raise BadModel(f"graph '{graph.name}' is not valid:\n  " + "\n  ".join(faults[:20]), REMAKE)


def short(name: str, width: int = 60) -> str:
    """A tensor or node name for messages: the first of the names that converters join by ";", cut to `width`."""
    first = name.split(";")[0]
    return first if len(first) <= width else f"{first[: width - 3]}..."


def fresh(taken: Iterable[str] | Mapping[str, Any], base: str) -> str:
    """A name not in `taken`, made from `base` by a counter."""
    names = taken if isinstance(taken, (Mapping, set, frozenset)) else set(taken)
    if base not in names:
        return base
    i = 1
    while f"{base}_{i}" in names:
        i += 1
    return f"{base}_{i}"
