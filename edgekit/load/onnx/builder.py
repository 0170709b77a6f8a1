"""What the reader's operator handlers work with: one ONNX node (Call) and the Graph that grows (Builder)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgekit import ops
from edgekit.graph import NUMPY_DTYPES, Array, Node, Quant, Shape, Tensor, const, fresh

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
# Wide types are narrowed on load: ids fit in 32 bits, and edgekit computes in float32.
NARROW = {
    "int64": "int32",
    "float64": "float32",
    "float16": "float32",
    "bfloat16": "float32",
    "uint16": "int32",
    "uint32": "int32",
}
VIEWS = ("TRANSPOSE", "RESHAPE")
Handler = Callable[["Builder", "Call"], list[str]]


def axis_of(axis: Any, rank: int) -> int:
    """A non-negative axis. Raises ValueError when it is out of range."""
    if not -rank <= int(axis) < rank:
        raise ValueError(f"axis {int(axis)} is out of range for rank {rank}")
    return int(axis) % rank


class Cannot(Exception):
    """This node cannot be handled: why, and what to write instead. Collected into one Unsupported."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why, self.fix = why, fix


@dataclass(frozen=True)
class Call:
    """One ONNX node. `inputs` holds None for an absent one; `outputs` only the names somebody may read."""

    op: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    source: str
    opset: int

    def input(self, index: int) -> str | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def needed(self, index: int) -> str:
        name = self.input(index)
        if name is None:
            raise ValueError(f"input {index} is missing")
        return name

    def get(self, name: str, default: Any = None) -> Any:
        return self.attrs.get(name, default)


@dataclass
class Builder:
    """`values`: ONNX name -> graph tensor, `consts`: ONNX name -> array. `exact`: float constant tensor -> the integer
    tensor it was dequantized from, which `qdq.fuse` puts back."""

    uses: dict[str, int]
    taken: set[str]
    values: dict[str, str] = field(default_factory=dict)
    consts: dict[str, Array] = field(default_factory=dict)
    const_quant: dict[str, tuple[Array, Quant]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    maker: dict[str, int] = field(default_factory=dict)
    exact: dict[str, Tensor] = field(default_factory=dict)
    call: Call = field(default_factory=lambda: Call("", (), ("value",), {}, "", 0))
    _cache: dict[tuple[Any, ...], str] = field(default_factory=dict)

    # -- what a handler asks -------------------------------------------------------------------------------------------
    def tensor(self, name: str) -> str:
        """The graph tensor of an ONNX value; a constant becomes one when first asked for."""
        return self.values[name] if name in self.values else self.weight(name, "", lambda a: a)

    def array(self, name: str | None) -> Array | None:
        """The constant value, or None when absent or not constant."""
        return None if name is None else self.consts.get(name)

    def ints(self, name: str | None, what: str) -> list[int] | None:
        """A constant integer list; None when absent. Cannot when it is computed at run time."""
        if name is None:
            return None
        value = self.consts.get(name)
        if value is None:
            raise Cannot(f"its {what} is computed at run time", "export with static shapes and constant arguments")
        return [int(v) for v in np.asarray(value).reshape(-1)]

    def shape(self, name: str) -> Shape:
        """The static shape of an ONNX value."""
        return tuple(self.consts[name].shape) if name in self.consts else self.tensors[self.values[name]].shape

    def dtype(self, name: str) -> str:
        kind = str(self.consts[name].dtype) if name in self.consts else self.tensors[self.values[name]].dtype
        return NARROW.get(kind, kind)

    # -- what a handler makes ------------------------------------------------------------------------------------------
    def new_name(self, base: str) -> str:
        name = fresh(self.taken, base)
        self.taken.add(name)
        return name

    def constant(self, data: Array, what: str) -> str:
        """A new constant tensor, narrowed; `what` says what it is for, and becomes part of the name."""
        return self._add_const(data, f"{self.call.outputs[0]}/{what}")

    def weight(self, name: str, tag: str, change: Callable[[Array], Array], scale: float = 1.0, axis: int = 0) -> str:
        """An ONNX constant as a graph tensor after `change` (a re-arrangement; `scale` multiplies real values).

        axis: the op's canonical quantization axis, preferred where scales a channel are all the same.

        A dequantized constant keeps its integers in `exact`, re-arranged the same way.
        """
        key = (name, tag, scale)
        if key not in self._cache:
            data = change(self.consts[name])
            made = self._add_const(data * np.asarray(scale, data.dtype) if scale != 1.0 else data, name, reuse=not tag)
            self._cache[key] = made
            if name in self.const_quant:
                integers, quant = self.const_quant[name]
                scales, zeros = quant.broadcast(integers.ndim)
                full = change(np.broadcast_to(scales, integers.shape)).astype(np.float32) * np.float32(scale)
                moved = change(integers)
                self.exact[made] = Tensor(made, tuple(moved.shape), quant.dtype, moved, _per_axis(full, quant, zeros, axis))
        return self._cache[key]

    def _add_const(self, data: Array, base: str, reuse: bool = False) -> str:
        kind = NARROW.get(str(data.dtype), str(data.dtype))
        if kind not in NUMPY_DTYPES:
            raise Cannot(f"'{base}' is a constant of type {data.dtype}", "use float32 or integer constants")
        if data.dtype.kind in "iu" and kind == "int32":
            data = np.clip(data, -(1 << 31), (1 << 31) - 1)
        name = base if reuse and base not in self.tensors else self.new_name(base)
        self.taken.add(name)
        self.tensors[name] = const(name, np.asarray(data).astype(NUMPY_DTYPES[kind]))
        return name

    def emit(self, op: str, inputs: Sequence[str | None], outputs: int = 1, **attrs: Any) -> list[str]:
        """Append a node; its output tensors get their shapes from the op table. Returns their names."""
        node = Node(op, tuple(inputs), (), attrs, self.call.source)
        ins = [None if n is None else self.tensors[n] for n in inputs]
        names = [self.new_name(f"{self.call.outputs[0]}/{op.lower()}") for _ in range(outputs)]
        first = ins[0]
        quant = first.quant if first is not None and first.quant is not None and ops.TABLE[op].quant == "same" else None
        for name, (shape, dtype) in zip(names, ops.infer(replace(node, outputs=tuple(names)), ins), strict=True):
            self.tensors[name] = Tensor(name, tuple(shape), dtype, quant=quant)
            self.maker[name] = len(self.nodes)
        self.nodes.append(replace(node, outputs=tuple(names)))
        return names

    def one(self, op: str, inputs: Sequence[str | None], **attrs: Any) -> str:
        """`emit` for the usual single output."""
        return self.emit(op, inputs, **attrs)[0]

    def made_by(self, name: str) -> Node | None:
        """The node that makes this graph tensor."""
        index = self.maker.get(name)
        return None if index is None else self.nodes[index]

    def decided_by(self, tensor: str) -> list[str]:
        """The graph's inputs that a tensor depends on, sorted."""
        found: list[str] = []
        open_ones, seen = [tensor], {tensor}
        while open_ones:
            name = open_ones.pop()
            maker = self.made_by(name)
            if maker is None and not self.tensors[name].is_const:
                found.append(name)
            fresh_ones = {n for n in maker.inputs if n is not None} - seen if maker is not None else set()
            seen |= fresh_ones
            open_ones += fresh_ones
        return sorted(found)

    def transpose(self, x: str, perm: Sequence[int]) -> str:
        """x with its axes permuted; undoes a transposition that made x, and moves above a DEQUANTIZE."""
        maker = self.made_by(x)
        if maker is not None and maker.op == "TRANSPOSE":
            before = maker.attrs["perm"]
            x, perm = str(maker.inputs[0]), [before[p] for p in perm]
            maker = self.made_by(x)
        if tuple(perm) == tuple(range(len(perm))):
            return x
        return self._view("TRANSPOSE", x, maker, perm=tuple(perm))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """x with another shape; looks through a RESHAPE that made x, and moves above a DEQUANTIZE."""
        maker = self.made_by(x)
        if maker is not None and maker.op == "RESHAPE":
            x = str(maker.inputs[0])
            maker = self.made_by(x)
        if self.tensors[x].shape == tuple(shape):
            return x
        return self._view("RESHAPE", x, maker, shape=tuple(shape))

    def _view(self, op: str, x: str, maker: Node | None, **attrs: Any) -> str:
        key = (op, x, tuple(attrs.values()))
        if key not in self._cache:
            if maker is not None and maker.op == "DEQUANTIZE":
                self._cache[key] = self.one("DEQUANTIZE", [self.one(op, [maker.inputs[0]], **attrs)])
            else:
                self._cache[key] = self.one(op, [x], **attrs)
        return self._cache[key]

    def under_views(self, x: str, emit: Callable[[str], str]) -> str:
        """An elementwise node put before the TRANSPOSE / RESHAPE nodes that made x, so that it stays beside its producer."""
        views: list[Node] = []
        while (maker := self.made_by(x)) is not None and maker.op in VIEWS:
            views.append(maker)
            x = str(maker.inputs[0])
        y = emit(x)
        for view in reversed(views):
            y = self.transpose(y, view.attrs["perm"]) if view.op == "TRANSPOSE" else self.reshape(y, view.attrs["shape"])
        return y

    def to_spatial(self, x: str) -> str:
        """[N,C,H,W] or [N,C,L] as [N,H,W,C] (H = 1 for the latter). Cannot for other ranks."""
        shape = self.tensors[x].shape
        if len(shape) == 3:
            x = self.reshape(x, (*shape[:2], 1, shape[2]))
        elif len(shape) != 4:
            raise Cannot(f"it works on rank {len(shape)}", "only 1-D and 2-D spatial operators run on these engines")
        return self.transpose(x, TO_NHWC)

    def from_spatial(self, y: str, rank: int) -> str:
        """[N,H,W,C] back to [N,C,H,W], or to [N,C,L] for rank 3."""
        y = self.transpose(y, TO_NCHW)
        n, c, h, w = self.tensors[y].shape
        return self.reshape(y, (n, c, h * w)) if rank == 3 else y

    def rename(self, old: str, new: str) -> None:
        """Give the tensor that a node made the name of the ONNX value it is."""
        index = self.maker.pop(old)
        self.tensors[new] = replace(self.tensors.pop(old), name=new)
        self.maker[new] = index
        for i in range(index, len(self.nodes)):
            node = self.nodes[i]
            if old in node.outputs or old in node.inputs:
                self.nodes[i] = replace(
                    node,
                    inputs=tuple(new if n == old else n for n in node.inputs),
                    outputs=tuple(new if n == old else n for n in node.outputs),
                )
        for key, value in list(self._cache.items()):
            if value == old or old in key:
                del self._cache[key]
                self._cache[tuple(new if part == old else part for part in key)] = new if value == old else value


def _per_axis(full: Array, quant: Quant, zeros: Array, prefer: int) -> Quant:
    """The Quant of a re-arranged constant, from its scales at full size: which axis do they vary along?"""
    if quant.scale.size == 1:
        return Quant(full.reshape(-1)[:1].copy(), quant.zero_point, None, None, quant.dtype)
    if np.any(zeros != zeros.reshape(-1)[0]):
        raise Cannot("its constant has a zero point a channel", "quantize weights symmetrically (zero point 0)")
    for axis in sorted(range(full.ndim), key=lambda a: a != prefer):
        line = np.moveaxis(full, axis, 0).reshape(full.shape[axis], -1)
        if np.all(line == line[:, :1]) and full.shape[axis] == quant.scale.size:
            return Quant(line[:, 0].copy(), np.repeat(quant.zero_point[:1], line.shape[0]), axis, None, quant.dtype)
    raise Cannot("its constant has scales along no one axis", "quantize weights per tensor or per output channel")
