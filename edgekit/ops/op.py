"""What an entry of the op table holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import REMAKE, Array, Node, Shape, Tensor

T = TypeVar("T")
REQUIRED: Any = object()  # an attribute without a default

# (node, input tensors) -> [(shape, dtype) of each output]; raises BadModel on inputs that do not fit the op.
InferRule = Callable[[Node, Sequence[Tensor | None]], list[tuple[Shape, str]]]
# (node, input arrays) -> output arrays: what the op means on real numbers (and on ids, for GATHER and the like).
FloatRule = Callable[[Node, Sequence[Array | None]], list[Array]]
# (node, input arrays, input tensors, output tensors) -> output arrays: the integer kernel's exact result.
IntegerRule = Callable[[Node, Sequence[Array | None], Sequence[Tensor | None], Sequence[Tensor]], list[Array]]
# (node, input tensors, output tensors) -> multiply-accumulates of one run.
MacsRule = Callable[[Node, Sequence[Tensor | None], Sequence[Tensor]], int]
# (node, input tensors, output tensors) -> groups of (tensor name, axis) that must lose the same indices together. An axis
# of one of the node's tensors that stands in no group cannot lose indices through this node.
CoupledRule = Callable[[Node, Sequence[Tensor | None], Sequence[Tensor]], list[list[tuple[str, int]]]]


@dataclass(frozen=True)
class Recurrent:
    """What quantization must know of an operator that carries a state through a sequence.

    held: (node, input arrays) -> {output index: values it must be able to hold besides those it ends with}.
    ties: (input index of a first state, output index of the last one, their dtype): one Quant for both; int8 states also share
    the first output's, int16 ones have a power of two as scale and zero point 0. gates: equal parts of the weights' rows that
    have one scale each; 0: one a row. recurrent_bias: index of the int32 bias of the recurrent product, on a row's last gate.
    """

    held: Callable[[Node, Sequence[Array | None]], dict[int, list[Array]]]
    ties: tuple[tuple[int, int, str], ...]
    gates: int = 0
    recurrent_bias: int | None = None


@dataclass(frozen=True)
class Op:
    """One operator. Its meaning, and everything a pass must know about it.

    quant: how its int8 output gets its scale:
      "observe"  from the observed range of the output;
      "same"     all data inputs and outputs share one scale (the kernel only moves or compares integers);
      "fixed"    always `fixed` = {dtype: (scale, zero_point)};
      "none"     not an activation (ids, shapes), or the op sets it itself (QUANTIZE, DEQUANTIZE).
    weights: input index -> the axis of per-channel quantization. bias: index of the int32 bias input.
    data: indices of the inputs that are activations (None: all that are not weights, bias or `ids`).
    ids: indices of inputs that are never quantized: integer indices, float32 scales and shifts of normalisations.
    """

    name: str
    infer: InferRule
    real: FloatRule
    integer: IntegerRule | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    quant: Literal["observe", "same", "fixed", "none"] = "observe"
    fixed: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    weights: Mapping[int, int] = field(default_factory=dict)
    bias: int | None = None
    ids: tuple[int, ...] = ()
    macs: MacsRule | None = None
    coupled: CoupledRule | None = None
    recurrent: Recurrent | None = None
    elementwise: bool = False  # output[i] depends on the inputs' broadcast [i] only: layout passes may slide through

    def data_inputs(self, node: Node) -> list[int]:
        """Indices of the node's present inputs that are activations (constants of ADD and the like included)."""
        skip = {*self.weights, *self.ids} | ({self.bias} if self.bias is not None else set())
        if self.recurrent is not None and self.recurrent.recurrent_bias is not None:
            skip.add(self.recurrent.recurrent_bias)
        return [i for i, name in enumerate(node.inputs) if name is not None and i not in skip]


def attr(node: Node, op: Op, name: str) -> Any:
    """The node's attribute, or the op's default."""
    if name in node.attrs:
        return node.attrs[name]
    default = op.attrs[name]
    if default is REQUIRED:
        raise KeyError(f"{node.op} '{node.source}' needs the attribute {name}")
    return default


def fail(node: Node, message: str) -> NoReturn:
    """Raise BadModel, naming the node."""
    where = f"({node.source})" if "'" in node.source else f"'{node.source}'"
    raise BadModel(f"{node.op} {where}: {message}", REMAKE)


def take(node: Node, inputs: Sequence[Tensor | None], required: int, optional: int = 0) -> list[Tensor]:
    """The required inputs. Raises BadModel when one is absent or there are too many."""
    present = [t for t in inputs[:required] if t is not None]
    if len(present) != required or len(inputs) > required + optional:
        upto = f" to {required + optional}" if optional else ""
        fail(node, f"needs {required}{upto} inputs, has {sum(t is not None for t in inputs)}")
    return present


def optional(items: Sequence[Any], index: int) -> Any:
    """items[index], or None when it is not there."""
    return items[index] if index < len(items) else None


def whole_numbers(node: Node, name: str, count: int, least: int) -> tuple[int, ...]:
    """A given attribute as `count` integers of at least `least`. Raises BadModel otherwise."""
    value = node.attrs[name]
    try:
        numbers = tuple(int(v) for v in value)
    except (TypeError, ValueError):
        fail(node, f"{name}={value!r} is not a row of whole numbers")
    if len(numbers) != count or any(n < least for n in numbers):
        fail(node, f"{name}={value!r} must be {count} whole numbers of at least {least}")
    return numbers


def axis_of(node: Node, axis: Any, rank: int) -> int:
    """The axis as an integer in 0..rank-1. Raises BadModel when it is out of range."""
    if not isinstance(axis, int | np.integer) or not 0 <= axis < rank:
        fail(node, f"axis {axis!r} is out of range for rank {rank}")
    return int(axis)


def broadcast_shapes(node: Node, *shapes: Shape) -> Shape:
    """NumPy broadcasting. Raises BadModel when the shapes do not fit."""
    try:
        return tuple(int(n) for n in np.broadcast_shapes(*shapes))
    except ValueError:
        fail(node, f"shapes {' and '.join(str(list(s)) for s in shapes)} do not broadcast")


def same_axes(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> list[list[tuple[str, int]]]:
    """Coupling of an elementwise op: each output axis with every input axis that is not broadcast along it."""
    out = outputs[0]
    groups = []
    for axis, size in enumerate(out.shape):
        group = [(out.name, axis)]
        for tensor in inputs:
            own = axis - len(out.shape) + len(tensor.shape) if tensor is not None else -1
            if tensor is not None and own >= 0 and tensor.shape[own] == size:
                group.append((tensor.name, own))
        groups.append(list(dict.fromkeys(group)))
    return groups


def given(items: Sequence[T | None], count: int = 1) -> list[T]:
    """The first `count` inputs, which infer has seen to be there."""
    return [item for item in items[:count] if item is not None]
