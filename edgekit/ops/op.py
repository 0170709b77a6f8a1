"""What an entry of the op table holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.graph import Array, Node, Shape, Tensor

REQUIRED: Any = object()  # an attribute without a default

# (node, input tensors) -> [(shape, dtype) of each output]; raises BadModel on inputs that do not fit the op.
InferRule = Callable[[Node, Sequence[Tensor | None]], list[tuple[Shape, str]]]
# (node, input arrays) -> output arrays: what the op means on real numbers (and on ids, for GATHER and the like).
FloatRule = Callable[[Node, Sequence[Array | None]], list[Array]]
# (node, input arrays, input tensors, output tensors) -> output arrays: the integer kernel's exact result.
IntegerRule = Callable[[Node, Sequence[Array | None], Sequence[Tensor | None], Sequence[Tensor]], list[Array]]
# (node, input tensors, output tensors) -> multiply-accumulates of one run.
MacsRule = Callable[[Node, Sequence[Tensor | None], Sequence[Tensor]], int]
# (node, input tensors, output tensors) -> groups of (tensor name, axis) that must lose the same indices together.
CoupledRule = Callable[[Node, Sequence[Tensor | None], Sequence[Tensor]], list[list[tuple[str, int]]]]


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
    ids: indices of integer index inputs, never quantized.
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
    elementwise: bool = False  # output[i] depends on the inputs' broadcast [i] only: layout passes may slide through

    def data_inputs(self, node: Node) -> list[int]:
        """Indices of the node's present inputs that are activations (constants of ADD and the like included)."""
        skip = {*self.weights, *self.ids} | ({self.bias} if self.bias is not None else set())
        return [i for i, name in enumerate(node.inputs) if name is not None and i not in skip]


def attr(node: Node, op: Op, name: str) -> Any:
    """The node's attribute, or the op's default."""
    if name in node.attrs:
        return node.attrs[name]
    default = op.attrs[name]
    if default is REQUIRED:
        raise KeyError(f"{node.op} '{node.source}' needs the attribute {name}")
    return default
