"""A network that learns with its weights and values rounded as its integer form rounds them.

Forward, every operator with integers gives what its kernel gives: in evaluation mode the kernels themselves run, so that
the module is the integer reference bit for bit; in training mode convolutions and dense layers sum in float32 (exact while sums
stay below 2**24) and the other kernels run as they are. Backward, an operator is what it is on real numbers, within the range
that its integers hold (Bengio et al. 2013, Estimating or Propagating Gradients, straight-through; Jacob et al. 2018,
Quantization and Training of Neural Networks, sec. 3). Scales of values are calibration's; those of weights follow the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from edgekit import fixedpoint
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, Node, Tensor, const
from edgekit.ops import op_of
from edgekit.ops.conv import finish
from edgekit.ops.requant import conv_requant, dense_requant, zero_of
from edgekit.passes.quantize.apply import apply
from edgekit.passes.quantize.choose import Choice, refitted
from edgekit.passes.quantize.mixed import BETWEEN
from edgekit.trainable import GraphModule
from edgekit.trainable_ops import RULES, clamp

# Operators that sum products: how their sums are rescaled. Training mode sums in float32.
SUMS: dict[str, Callable[[Node, Tensor, Tensor, Tensor], tuple[Array, Array]]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"), conv_requant),
    "FULLY_CONNECTED": dense_requant,
}


class _Through(torch.autograd.Function):
    """Forward `hard`; backward as if it had been `soft`."""

    @staticmethod
    def forward(ctx: Any, soft: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
        return hard.view_as(hard)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


def through(soft: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
    value: torch.Tensor = _Through.apply(soft, hard)  # type: ignore[no-untyped-call]
    return value


class RoundedModule(GraphModule):
    """A float graph (simplified, legalized) that runs as `choice` makes it an integer one.

    exact: every kernel as it is (True), sums of products in float32 (False), or the first in evaluation mode only (None).
    """

    def __init__(self, graph: Graph, choice: Choice) -> None:
        """Raises BadModel, Unsupported as GraphModule does."""
        super().__init__(graph, scales=False)
        self.choice = choice
        self.exact: bool | None = None
        self._given = {*graph.inputs, *(s.input for s in graph.states)}
        self._nodes = {node.outputs[0]: node for node in graph.nodes}
        self._versions: tuple[int, ...] = ()
        self._made: Graph | None = None
        self._makers: Mapping[str, Node] = {}
        self._forms: Mapping[str, Node] = {}  # the integer graph's node of each of the float graph's, by its first output
        # Of the forward run at hand: integers by the integer graph's names, and the names that nodes gave out.
        self._held: dict[str, Array] = {}
        self._made_here: set[str] = set()

    def integer(self) -> Graph:
        """The integer graph of the constants as they stand. Raises BadData when some are not finite any more."""
        versions = tuple(p._version for p in self.parameters())
        if self._made is None or versions != self._versions:
            tensors = dict(self.graph.tensors)
            for name in self.learned:
                data = self.constant(name).detach().cpu().numpy()
                if not np.isfinite(data).all():
                    raise BadData(f"training made '{name}' something that is not finite", "lower the learning rate (--lr)")
                tensors[name] = const(name, data)
            now = replace(self.graph, tensors=tensors)
            self._made = apply(now, refitted(now, self.choice))
            self._makers, self._versions = self._made.producers(), versions
            forms = [n for n in self._made.nodes if n.op not in BETWEEN]
            plain = [n for n in self.graph.nodes if n.op not in BETWEEN]
            self._forms = {n.outputs[0]: form for n, form in zip(plain, forms, strict=True)}
        return self._made

    def _now(self) -> Graph:
        """`integer`, as it was when the run at hand began."""
        assert self._made is not None
        return self._made

    def once(self, graph: Graph, given: Mapping[str, torch.Tensor], keep: Iterable[str] = ()) -> dict[str, torch.Tensor]:
        """As GraphModule's; values are real numbers that the integers stand for."""
        made = self.integer()
        self._held, self._made_here = {}, set()
        found = super().once(graph, given, keep)
        for name in self.graph.outputs:  # those that are made of real numbers, and given as integers
            maker = self._makers.get(name)
            if maker is not None and maker.op == "QUANTIZE" and made[name].quant is not None:
                found[name] = self._read(name, found[name])[0]
        self._held = {}
        return found

    # -- one node -------------------------------------------------------------------------------------------------------

    def _run(self, graph: Graph, node: Node, inputs: list[torch.Tensor | None]) -> list[torch.Tensor]:
        made, names = self._now(), self._nodes[node.outputs[0]].inputs
        target, exact = self._forms.get(node.outputs[0]), not self.training if self.exact is None else self.exact
        if node.outputs[0] in self.choice.islands or target is None or not _counts(made, target):
            for i, name in enumerate(names):  # real numbers: only what comes in as integers is rounded
                value = inputs[i]
                if name in self._given and name is not None and value is not None and made[name].quant is not None:
                    inputs[i] = self._read(name, value)[0]
            soft_outputs = super()._run(graph, node, inputs)
            if not exact:
                return soft_outputs
            # PyTorch's real numbers and NumPy's differ in their last bit, which may be a step further on.
            arrays = [None if v is None else v.detach().cpu().numpy() for v in inputs]
            return [
                _valued(y, np.asarray(r, y.detach().cpu().numpy().dtype).reshape(y.shape), plain)
                for y, r, plain in zip(soft_outputs, op_of(node).real(node, arrays), graph.output_tensors(node), strict=True)
            ]
        soft, steps, ins = list[torch.Tensor | None](), list[Array | None](), list[Tensor | None]()
        for name, value in zip(target.inputs, inputs, strict=True):
            real, array = (None, None) if name is None or value is None else self._read(name, value)
            soft.append(real)
            steps.append(array)
            ins.append(None if name is None or array is None else replace(made[name], shape=array.shape))
        outs = [replace(made[form], shape=graph[name].shape) for name, form in zip(node.outputs, target.outputs, strict=True)]
        kernel = replace(target, attrs=node.attrs)
        self._made_here |= {t.name for t in outs if t.quant is not None}
        if node.op in SUMS and not exact:
            return [self._summed(kernel, soft, steps, ins, outs[0])]
        entry = op_of(node)
        assert entry.integer is not None
        results = [np.asarray(r).reshape(t.shape) for r, t in zip(entry.integer(kernel, steps, ins, outs), outs, strict=True)]
        self._held |= {t.name: r for t, r in zip(outs, results, strict=True) if t.quant is not None}
        return [_valued(y, r, t) for y, r, t in zip(super()._run(graph, node, soft), results, outs, strict=True)]

    def _read(self, name: str, value: torch.Tensor) -> tuple[torch.Tensor, Array]:
        """(the real numbers an integer node reads, its integers) of the integer graph's tensor `name`; value: the real numbers
        that the float graph has there."""
        tensor = self._now()[name]
        if tensor.is_const:
            data = tensor.data
            assert data is not None
            shape = tuple(value.shape)
            if data.shape != shape:  # a row a sample
                data = np.tile(data, [want // have for want, have in zip(shape, data.shape, strict=True)])
            if tensor.quant is None:
                return value, data
            real = replace(tensor, shape=shape, data=data).real()
            return through(value, torch.from_numpy(real).to(value.device)), data
        if tensor.quant is None:
            return value, value.detach().cpu().numpy()
        if name in self._made_here:  # rounded when it was made
            return value, self._held[name]
        steps = self._held[name] = self._steps(name, value.detach().cpu().numpy())
        return _valued(value, steps, tensor), steps

    def _steps(self, name: str, real: Array) -> Array:
        """Integers of a value, through the requantize that stands before this form of it, if any."""
        if name in self._held:
            return self._held[name]
        made = self._now()
        tensor, maker = made[name], self._makers.get(name)
        if maker is not None and maker.op == "QUANTIZE":
            source = made[str(maker.inputs[0])]
            if source.quant is not None:
                entry = op_of(maker)
                assert entry.integer is not None
                before, ends = self._steps(source.name, real), [replace(t, shape=real.shape) for t in (source, tensor)]
                return entry.integer(maker, [before], ends[:1], ends[1:])[0]
        assert tensor.quant is not None
        scale, zero = tensor.quant.broadcast(real.ndim)
        return fixedpoint.quantize(real, scale, zero, tensor.dtype)

    def _summed(
        self,
        node: Node,
        soft: Sequence[torch.Tensor | None],
        steps: Sequence[Array | None],
        ins: Sequence[Tensor | None],
        out: Tensor,
    ) -> torch.Tensor:
        """A layer: whole numbers are multiplied and summed in float32, then rescaled as the kernel does."""
        x, w = soft[0], soft[1]
        tx, tw = ins[0], ins[1]
        assert x is not None
        assert w is not None
        assert tx is not None
        assert tw is not None
        assert tx.quant is not None
        assert tw.quant is not None
        assert steps[0] is not None
        assert steps[1] is not None
        step_x, step_w = float(tx.quant.scale[0]), torch.from_numpy(np.array(tw.quant.broadcast(w.dim())[0])).to(w.device)
        whole_x = steps[0].astype(np.float32) - np.float32(zero_of(tx.quant))
        xi = through(x / step_x, torch.from_numpy(whole_x).to(x.device))
        wi = through(w / step_w, torch.from_numpy(steps[1].astype(np.float32)).to(w.device))
        bare = replace(node, attrs={k: v for k, v in node.attrs.items() if k != "activation"})
        sums = RULES[node.op](bare, [xi, wi], [out.shape])[0]
        bias = steps[2] if len(steps) > 2 else None
        requant = SUMS[node.op](node, tx, tw, out)
        found = self._held[out.name] = finish(node, np.rint(sums.detach().cpu().numpy()), bias, requant, out)
        y = sums * (step_x * step_w.reshape(-1)) if step_w.dim() else sums * (step_x * step_w)
        b = soft[2] if len(soft) > 2 else None
        return _valued(clamp(node, y if b is None else y + b), found, out)


def _counts(made: Graph, node: Node) -> bool:
    """True for a node that works on integers that stand for real numbers."""
    return any(made[n].quant is not None for n in (*node.inputs, *node.outputs) if n is not None)


def _valued(soft: torch.Tensor, steps: Array, tensor: Tensor) -> torch.Tensor:
    """The real numbers of these integers; gradients go to `soft` where it lies within what they can hold."""
    if tensor.quant is None:
        real = torch.from_numpy(np.ascontiguousarray(steps)).to(soft.device)
        return through(soft, real) if soft.is_floating_point() else real
    scale, zero = tensor.quant.broadcast(steps.ndim)
    low, high = (float(fixedpoint.dequantize(np.array(v), scale, zero)) for v in fixedpoint.integer_range(tensor.dtype))
    real = torch.from_numpy(fixedpoint.dequantize(steps, scale, zero)).to(soft.device)
    return through(soft.clamp(low, high), real)
