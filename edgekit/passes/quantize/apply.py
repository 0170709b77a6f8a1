"""Apply: a float graph and a Choice give the integer graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from edgekit import fixedpoint
from edgekit.errors import BadConfig
from edgekit.graph import NUMPY_DTYPES, Graph, Node, Quant, State, Tensor, build, const, fresh
from edgekit.ops import op_of
from edgekit.passes.quantize import shares, sound
from edgekit.passes.quantize.choose import Choice
from edgekit.passes.quantize.recurrent import ties
from edgekit.passes.quantize.scheme import Affine

IO = Literal["int8", "float"]
_T = TypeVar("_T")
_REMAKE = "the choice was made for another graph; choose again"


def apply(graph: Graph, choice: Choice, *, io: IO = "int8") -> Graph:
    """The graph with integer activations, weights and biases, as `choice` says.

    io: "int8" gives graph inputs and outputs in the scheme's integers, "float" keeps them float32 with QUANTIZE / DEQUANTIZE
    at the edge. Tensors keep their names; where a value exists in both forms, the other one is NAME_int8 (NAME_int16) or
    NAME_float. Raises BadConfig when the choice was made for another graph.
    """
    if io not in ("int8", "float"):
        raise BadConfig(f"io is int8 or float, not {io}")
    return _Writer(graph, choice, io).run()


class _Writer:
    def __init__(self, graph: Graph, choice: Choice, io: IO) -> None:
        self.graph, self.choice, self.scheme, self.io = graph, choice, choice.scheme, io
        self.made: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.integer: dict[str, str] = {}  # float graph's tensor -> its int8 form here
        self.real: dict[str, str] = {}  # and its float form
        self.shared: dict[tuple[str, str], str] = {}  # weights already written, by (tensor, axis and flushing)
        self.edge = {*graph.inputs, *graph.outputs}
        self.heard = sound.heard_only(graph)
        self.maker = {out: node.source or node.op for node in graph.nodes for out in node.outputs}

    def run(self) -> Graph:
        for name in self.graph.inputs:
            self._declare(name, island=True)
        for state in self.graph.states:
            self._held(state.input)
        for name in self.graph.outputs:
            if self.graph[name].is_const:
                self._as_it_is(name)
        for node in self.graph.nodes:
            real = [n for n in (*node.inputs, *node.outputs) if n is not None and self.graph[n].dtype == "float32"]
            if not real:
                self._copy(node)
            elif node.outputs[0] in self.choice.islands:
                self._island(node)
            else:
                self._quantized(node)
        for name in self.graph.outputs:
            if name in self.choice.activations and not self.graph[name].is_const:
                _ = self._as_integer(name) if self.io == "int8" else self._as_real(name)
        graph = self.graph
        rest = {"states": [self._state(s) for s in graph.states], "contract": graph.contract, "history": graph.history}
        result = build(graph.name, graph.inputs, graph.outputs, self.nodes, self.made, **rest)
        result = shares.widen(result, self.choice.shares)
        return result.with_history(f"quantize {self.scheme.name} {self.choice.observer} io={self.io}")

    # -- states ---------------------------------------------------------------------------------------------------------

    def _held(self, name: str) -> None:
        """A value carried from the run before, in integers under its own name."""
        tensor = self.graph[name]
        if tensor.dtype == "float32":
            self.integer[name] = name
            tensor = self._int8(name, tensor, self._affine(name), self._kind(name))
        self.made[name] = tensor

    def _state(self, state: State) -> State:
        held = self.made[state.input]
        if held.quant is None:
            return state
        scale, zero = held.quant.broadcast(state.init.ndim)
        return State(state.input, self._as_integer(state.output), fixedpoint.quantize(state.init, scale, zero, held.dtype))

    # -- activations ----------------------------------------------------------------------------------------------------

    def _declare(self, name: str, *, island: bool) -> str:
        """Register a float graph's value in the form its maker gives it in; the name of that form.

        At the graph's edge `io` decides which form keeps the name; inside, the form it is made in.
        """
        tensor = self.graph[name]
        if tensor.dtype != "float32":
            self.made[name] = tensor
            return name
        given_as_real = island and not (name in self.graph.inputs and self.io == "int8" and name not in self.heard)
        keeps = (self.io == "float" or name in self.heard) if name in self.edge else island
        own = name if keeps == given_as_real else self._fresh(name, "float" if given_as_real else self.scheme.activations)
        if given_as_real:
            self.real[name] = own
            self.made[own] = replace(tensor, name=own)
        else:
            self.integer[name] = own
            self.made[own] = self._int8(own, tensor, self._affine(name), self._kind(name))
        return own

    def _as_integer(self, name: str) -> str:
        """The int8 form of a value, quantized here if only the float form exists."""
        if name not in self.integer:
            keeps = self.io == "int8" and name in self.graph.outputs
            own = name if keeps else self._fresh(name, self.scheme.activations)
            self.made[own] = self._int8(own, self.graph[name], self._affine(name), self._kind(name))
            self._emit("QUANTIZE", self.real[name], own, name)
            self.integer[name] = own
        return self.integer[name]

    def _as_real(self, name: str) -> str:
        if name not in self.real:
            keeps = self.io == "float" and name in self.graph.outputs
            own = name if keeps else self._fresh(name, "float")
            self.made[own] = replace(self.graph[name], name=own)
            self._emit("DEQUANTIZE", self.integer[name], own, name)
            self.real[name] = own
        return self.real[name]

    def _moved(self, name: str) -> str:
        """A value of fixed scale in the scale of the group that moves it: a requantize, reported in the choice."""
        key = ("requantized", name)
        if key not in self.shared:
            own = self._fresh(name, "requantized")
            self.made[own] = self._int8(own, self.graph[name], self.choice.requantize[name])
            self._emit("QUANTIZE", self._as_integer(name), own, name)
            self.shared[key] = own
        return self.shared[key]

    def _emit(self, op: str, source: str, target: str, name: str) -> None:
        kind = self.made[target].dtype
        attrs = {"dtype": kind} if op == "QUANTIZE" and kind != "int8" else {}
        self.nodes.append(Node(op, (source,), (target,), attrs, self.maker.get(name, name)))

    # -- nodes ----------------------------------------------------------------------------------------------------------

    def _copy(self, node: Node) -> None:
        inputs = (self._as_it_is(n) if n is not None and self.graph[n].is_const else n for n in node.inputs)
        self.made |= {name: self.graph[name] for name in node.outputs}
        self.nodes.append(replace(node, inputs=tuple(inputs)))

    def _island(self, node: Node) -> None:
        inputs: list[str | None] = []
        for name in node.inputs:
            if name is None:
                inputs.append(None)
            elif self.graph[name].is_const:
                inputs.append(self._as_it_is(name))
            elif self.graph[name].dtype != "float32":
                inputs.append(name)
            else:
                inputs.append(self._as_real(name))
        outputs = tuple(self._declare(name, island=True) for name in node.outputs)
        self.nodes.append(replace(node, inputs=tuple(inputs), outputs=outputs))

    def _quantized(self, node: Node) -> None:
        op = op_of(node)
        inputs: list[str | None] = []
        lasts = {index: last for index, _, last, _ in ties(node)}
        whole = op.quant == "same" and node.outputs[0] in self.choice.wide
        for index, name in enumerate(node.inputs):
            if name is None:
                inputs.append(None)
            elif self.graph[name].dtype != "float32":
                inputs.append(self._as_it_is(name) if self.graph[name].is_const else name)
            elif index in op.ids:
                inputs.append(self._as_it_is(name))
            elif index in lasts:
                inputs.append(self._first(name, lasts[index]))
            elif op.recurrent is not None and index == op.recurrent.recurrent_bias:
                inputs.append(self._bias(self.graph[name], str(node.inputs[2]), node.outputs[0]))
            elif index in op.weights:
                inputs.append(self._weight(self.graph[name], op.weights[index]))
            elif index == op.bias:
                inputs.append(self._bias(self.graph[name], str(node.inputs[next(iter(op.weights))]), str(node.inputs[0])))
            elif self.graph[name].is_const:
                inputs.append(self._constant(name))
            elif name in self.choice.wide:
                inputs.append(self._as_integer(name) if whole else self._moved(name))
            elif whole:
                inputs.append(self._first(name, node.outputs[0]))
            elif op.quant == "same" and name in self.choice.requantize:
                inputs.append(self._moved(name))
            else:
                inputs.append(self._as_integer(name))
        outputs = tuple(self._declare(name, island=False) for name in node.outputs)
        self.nodes.append(replace(node, inputs=tuple(inputs), outputs=outputs))

    def _first(self, name: str, last: str) -> str:
        """A first state in the last one's form: as it is, or requantized."""
        affine, kind = self._affine(last), self._kind(last)
        if not self.graph[name].is_const and (self._affine(name), self._kind(name)) == (affine, kind):
            return self._as_integer(name)
        key = (f"first {affine} {kind}", name)
        if key not in self.shared:
            own = self._fresh(name, "state")
            self.made[own] = self._int8(own, self.graph[name], affine, kind)
            if self.graph[name].is_const:
                data = fixedpoint.quantize(self.graph[name].real(), *affine, kind)
                self.made[own] = const(own, data, self.made[own].quant, kind)
            else:
                self._emit("QUANTIZE", self._as_integer(name), own, name)
            self.shared[key] = own
        return self.shared[key]

    # -- constants ------------------------------------------------------------------------------------------------------

    def _as_it_is(self, name: str) -> str:
        """A constant that stays as it is: ids, shapes, and what islands read."""
        key = ("as it is", name)
        if key not in self.shared:
            own = self._fresh(name, "")
            self.made[own] = replace(self.graph[name], name=own)
            self.shared[key] = own
        return self.shared[key]

    def _weight(self, weight: Tensor, axis: int) -> str:
        key = ("weight", weight.name)
        if key not in self.shared:
            scales = np.array(_look(self.choice.weights, weight.name), np.float32)
            kind = self.choice.weight_kind(weight.name)
            quant = Quant.per_channel(scales, axis, kind)
            if scales.size == 1:
                quant = Quant.per_tensor(float(scales[0]), 0, kind)
            elif scales.size != weight.shape[axis]:
                raise BadConfig(f"the choice has {scales.size} scales for '{weight.name}' {list(weight.shape)}", _REMAKE)
            data = weight.real().copy()
            for channel in self.choice.flushed.get(weight.name, ()):
                data[(slice(None),) * axis + (channel,)] = 0.0
            own = self._fresh(weight.name, "")
            limit = fixedpoint.integer_range(kind)[1]
            integers = fixedpoint.quantize(data, quant.broadcast(data.ndim)[0], 0, kind)
            self.made[own] = const(own, np.maximum(integers, -limit), quant, kind)
            self.shared[key] = own
        return self.shared[key]

    def _bias(self, bias: Tensor, weight: str, source: str) -> str:
        """round(bias / (scale of source * weight scale)), int32 (int64 beside int16 values): one for every node that reads it.

        One shorter than the weights belongs to their last rows.
        """
        scales = np.array(_look(self.choice.weights, weight), np.float64)
        scales = scales[-bias.elements :] if scales.size > 1 else scales
        product = scales * _look(self.choice.requantize if source in self.choice.wide else self.choice.activations, source)[0]
        steps = fixedpoint.round_half_away(bias.real().astype(np.float64).reshape(-1) / product)
        kind = "int64" if self.scheme.activations == "int16" else "int32"
        wide = np.clip(steps, *((-(2.0**46), 2.0**46) if kind == "int64" else fixedpoint.integer_range(kind)))
        integers = wide.astype(NUMPY_DTYPES[kind]).reshape(bias.shape)
        own = self._fresh(bias.name, "")
        axis = 0 if scales.size > 1 else None
        self.made[own] = const(
            own, integers, Quant(product.astype(np.float32), np.zeros(product.size, np.int64), axis, None, kind)
        )
        return own

    def _constant(self, name: str) -> str:
        """A constant operand, with the scale of its own values or of the group it is moved with."""
        key = ("constant", name)
        if key not in self.shared:
            own, (scale, zero) = self._fresh(name, ""), self._affine(name)
            data = fixedpoint.quantize(self.graph[name].real(), scale, zero, self.scheme.activations)
            self.made[own] = const(own, data, Quant.per_tensor(scale, zero, self.scheme.activations))
            self.shared[key] = own
        return self.shared[key]

    # -- small ----------------------------------------------------------------------------------------------------------

    def _kind(self, name: str) -> str:
        return "int16" if name in self.choice.wide else self.scheme.activations

    def _int8(self, name: str, tensor: Tensor, affine: Affine, kind: str | None = None) -> Tensor:
        kind = kind or self.scheme.activations
        return Tensor(name, tensor.shape, kind, None, Quant.per_tensor(affine[0], affine[1], kind))

    def _affine(self, name: str) -> Affine:
        return _look(self.choice.activations, name)

    def _fresh(self, name: str, suffix: str) -> str:
        """A name no value of either graph has; a constant keeps its own as long as nothing here has taken it."""
        if not suffix and name not in self.made:
            return name
        return fresh({**self.graph.tensors, **self.made}, f"{name}_{suffix}" if suffix else name)


def _look(table: Mapping[str, _T], name: str) -> _T:
    if name not in table:
        raise BadConfig(f"the choice says nothing about '{name}'", _REMAKE)
    return table[name]
