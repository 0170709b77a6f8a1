"""ONNX files (opset 7 and later; float, and Q/DQ within the limits of `qdq`) as a Graph.

Inputs keep the file's layout; TRANSPOSE nodes stand around spatial operators, and `simplify` cancels them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgekit import contract as contracts
from edgekit import ops, states
from edgekit.errors import BadModel, EdgekitError, Unsupported
from edgekit.graph import NUMPY_DTYPES, Graph, InputContract, InputSpec, Node, Shape, Tensor, build
from edgekit.load.onnx import (
    advice,
    attention,
    audio,
    choice,
    compute,
    contrib,
    control,
    einsum,
    flow,
    fold,
    index,
    math,
    move,
    qdq,
    qlinear,
    recurrent,
    resize,
    spatial,
    upsample,
)
from edgekit.load.onnx.builder import NARROW, Builder, Call, Cannot, Handler
from edgekit.load.onnx.file import OWN_DOMAIN, RESAVE, dense_array, modernize, opset_of, read_model, tensor_array
from edgekit.load.onnx.live import cut, live_nodes, reads
from edgekit.load.onnx.numbers import real_inputs
from edgekit.load.onnx.qdq_joined import joined
from edgekit.load.onnx.qdq_recurrent import read_cells
from edgekit.load.onnx.schema import complaint
from edgekit.load.onnx.shapes import expected_tensors, input_shapes

__all__ = ["COVERED", "load_onnx"]

HANDLERS: dict[str, Handler] = (
    recurrent.HANDLERS
    | attention.HANDLERS
    | audio.HANDLERS
    | einsum.HANDLERS
    | resize.HANDLERS
    | upsample.HANDLERS
    | spatial.HANDLERS
    | compute.HANDLERS
    | move.HANDLERS
    | qdq.HANDLERS
    | math.HANDLERS
    | choice.HANDLERS
    | index.HANDLERS
)
# Handled by folding alone: their values are known at load time.
STATIC = ("Constant", "Shape", "Size")
# Re-arrangements through which a dequantized constant keeps its integers.
ARRANGE = ("Transpose", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Flatten")
COVERED = tuple(sorted({*HANDLERS, *STATIC, *audio.FOLDED, "If"} - {*audio.OWN}))
FLOW = tuple(flow.RULES)


def load_onnx(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] | None = None,
    fixed: Mapping[str, str] | None = None,
) -> Graph:
    """Read an ONNX file (path or bytes).

    name: of the Graph; default the file's stem. outputs: values to cut the graph at, instead of its own.
    fixed: {input: its value as text}: the input becomes a constant (see `control.fix`).
    shapes: {input name: its static shape}, overriding the file's. A symbolic batch (axis 0) becomes 1; any other symbolic
    dimension must be given. Wide types narrow: int64 to int32, float64 and float16 to float32. Raises BadModel for a damaged
    file, Unsupported listing every node that cannot be handled.
    """
    model, stem, folder = read_model(source)
    if outputs is not None:
        cut(model, outputs)
    model = modernize(model)
    if fixed:
        control.fix(model, fixed, shapes or {})
    model, notes = qlinear.to_qdq(model)
    reader = _Reader(model, folder, dict(shapes or {}))
    graph = reader.read(name or stem)
    for note in notes:
        graph = graph.with_history(note)
    return graph


class _Reader:
    def __init__(self, model: onnx.ModelProto, folder: Path | None, shapes: Mapping[str, Shape]) -> None:
        self.model, self.folder, self.shapes = model, folder, shapes
        self.opset = opset_of(model)
        self.problems: list[tuple[str, str, str]] = []
        self.notes: list[str] = []
        self.broken: set[str] = set()  # values that nodes with problems would have made
        self.sequences: dict[str, list[str]] = {}
        self.real = real_inputs(model.graph)
        self.expected: dict[str, Tensor] | None = None  # what ONNX's shape inference says of values, once it was asked
        graph = model.graph
        self.live = live_nodes(graph)
        uses: dict[str, int] = {}
        for names in (*(reads(n) for n in self.live), [o.name for o in graph.output]):
            for value in names:
                uses[value] = uses.get(value, 0) + 1
        taken = (
            {n for node in graph.node for n in node.output}
            | {i.name for i in graph.input}
            | {i.name for i in graph.initializer}
        )
        self.b = Builder(uses, taken)

    def read(self, name: str) -> Graph:
        b, graph = self.b, self.model.graph
        for sparse in graph.sparse_initializer:
            b.consts[sparse.values.name] = dense_array(sparse, self.folder)
        for initializer in graph.initializer:
            b.consts[initializer.name] = tensor_array(initializer, self.folder)
        fed = [value for value in graph.input if value.name not in b.consts]
        unknown = [n for n in self.shapes if n not in {value.name for value in fed}]
        if unknown:
            names = ", ".join(value.name for value in fed)
            raise BadModel(f"--shape names no input of the model: {', '.join(unknown)}", f"use one of its inputs: {names}")
        shapes = input_shapes([value for value in fed if value.type.HasField("tensor_type")], self.shapes)
        inputs = [self.input(value, shapes.get(value.name, ())) for value in fed]
        for node in self.live:
            self.node(node)
        if self.problems:
            raise Unsupported("reading ONNX", self.problems, advice.ends(graph, self.live, self.broken, b.values))
        outputs = [self.output(value.name) for value in graph.output]
        return self.finish(name, inputs, outputs)

    # -- inputs and outputs --------------------------------------------------------------------------------------------
    def input(self, value: onnx.ValueInfoProto, shape: Shape) -> str:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            raise BadModel(f"input '{value.name}' is not a tensor", "export a model whose inputs are plain tensors")
        dtype = "float32" if value.name in self.real else _dtype(kind.elem_type, value.name)
        self.b.tensors[value.name] = Tensor(value.name, shape, "int8" if dtype == "uint8" else dtype)
        self.b.values[value.name] = value.name
        return value.name

    def output(self, name: str) -> str:
        """The graph tensor of an ONNX output, under the ONNX name."""
        b = self.b
        if name in self.sequences:
            parts = self.sequences[name]
            made = {n for node in self.model.graph.node for n in node.output}
            fix = (
                f"take them one by one: --outputs {','.join(parts)}" if made >= set(parts) else "end it with ConcatFromSequence"
            )
            raise BadModel(f"output '{name}' is a sequence of {len(parts)} values", fix)
        if name not in b.values and name not in b.consts:
            raise BadModel(f"output '{name}' is never computed", RESAVE)
        tensor = b.tensor(name)
        if tensor != name:
            b.call = Call("Identity", (), (name,), {}, f"output '{name}'", self.opset)
            copy = b.one("RESHAPE", [tensor], shape=b.tensors[tensor].shape)
            b.tensors[copy] = replace(b.tensors[copy], quant=b.tensors[tensor].quant)
            b.tensors.pop(name, None)
            b.rename(copy, name)
        return name

    # -- nodes ---------------------------------------------------------------------------------------------------------
    def node(self, node: onnx.NodeProto) -> None:
        b = self.b
        call = self.call(node)
        b.call = call
        fused = contrib.rule_of(node) is not None
        known = fused or node.op_type in (*HANDLERS, *STATIC, *FLOW) or self.foldable(node)
        if not (node.domain in ("", "ai.onnx") or node.domain.startswith(OWN_DOMAIN) or node.op_type in qdq.HANDLERS or fused):
            self.problem(call, f"it belongs to '{node.domain}'", advice.of_domain(node.domain))
            return
        if not known:
            self.problem(call, "the operator is not supported", advice.instead(node, self.b))
            return
        if wrong := complaint(node, self.opset):
            raise BadModel(f"{call.source}: {wrong}", RESAVE)
        if any(n in self.broken for n in node.input):
            self.follow(call, node)
            return
        unknown = [n for n in node.input if n and not any(n in table for table in (b.values, b.consts, self.sequences))]
        if unknown:
            later = any(unknown[0] in other.output for other in self.live)
            why = "which is made only after it: the nodes form a cycle or are out of order" if later else "which nothing makes"
            raise BadModel(f"{call.source} reads '{unknown[0]}', {why}", RESAVE)
        start = len(b.nodes)
        try:
            if node.op_type in FLOW:
                flow.RULES[node.op_type](self, call, node)
            elif fused:
                contrib.read(self, call, node)
            elif any(n in self.sequences for n in node.input) and node.op_type != "Identity":
                raise Cannot("it reads a sequence", "export plain tensors")
            elif call.input(0) in self.sequences:
                self.sequences[node.output[0]] = self.sequences[call.needed(0)]
            elif self.foldable(node):
                self.fold(call, node)
            elif node.op_type in STATIC:
                self.static(call)
            else:
                made = HANDLERS[node.op_type](b, call)
                self.bind(call, made, start)
        except Cannot as refusal:
            self.problem(call, refusal.why, refusal.fix)
        except (ValueError, IndexError, KeyError, TypeError, AssertionError, ArithmeticError) as error:
            raise BadModel(f"{call.source} is malformed: {error}", RESAVE) from error

    def call(self, node: onnx.NodeProto) -> Call:
        attrs: dict[str, Any] = {}
        for a in node.attribute:
            if a.type == onnx.AttributeProto.TENSOR:
                attrs[a.name] = tensor_array(a.t, self.folder)
            elif a.type == onnx.AttributeProto.SPARSE_TENSOR:
                attrs["value"] = dense_array(a.sparse_tensor, self.folder)
            elif a.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.UNDEFINED):
                value = onnx.helper.get_attribute_value(a)
                attrs[a.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        outputs = list(node.output)
        while (
            len(outputs) > 1 and (not outputs[-1] or not self.b.uses.get(outputs[-1])) and node.op_type not in ("Split", *FLOW)
        ):
            outputs.pop()
        label = node.name or (node.output[0] if node.output else "")
        return Call(
            node.op_type, tuple(n or None for n in node.input), tuple(outputs), attrs, f"{node.op_type} '{label}'", self.opset
        )

    def foldable(self, node: onnx.NodeProto) -> bool:
        """True when every input is constant. Q/DQ of constants keep their integers, so they have handlers instead."""
        if node.op_type in (*qdq.HANDLERS, *STATIC, *FLOW) or node.op_type in fold.RANDOM:
            return False
        return node.domain in ("", "ai.onnx") and bool(node.input) and all(not n or n in self.b.consts for n in node.input)

    def fold(self, call: Call, node: onnx.NodeProto) -> None:
        b = self.b
        ins = [b.array(n) for n in call.inputs]
        for out, value in zip([n for n in node.output if n], fold.evaluate(call, node, ins), strict=True):
            b.consts[out] = value
        first = call.input(0)
        if node.op_type in ARRANGE and first in b.const_quant:
            data, quant = b.const_quant[first]
            if quant.scale.size == 1:
                b.const_quant[node.output[0]] = (fold.evaluate(call, node, [data, *ins[1:]])[0], quant)
            elif node.op_type in ("Transpose", "Identity") and quant.axis is not None:
                perm = call.get("perm", range(data.ndim - 1, -1, -1)) if node.op_type == "Transpose" else range(data.ndim)
                moved = fold.evaluate(call, node, [data])[0]
                b.const_quant[node.output[0]] = (moved, replace(quant, axis=[int(p) for p in perm].index(quant.axis)))

    def static(self, call: Call) -> None:
        b = self.b
        if call.op == "Constant":
            b.consts[call.outputs[0]] = fold.constant_value(call)
            return
        shape = b.shape(call.needed(0))
        if call.op == "Size":
            b.consts[call.outputs[0]] = np.asarray(int(np.prod(shape)), np.int64)
            return
        b.consts[call.outputs[0]] = np.asarray(shape[slice(call.get("start", 0), call.get("end"))], np.int64)

    def bind(self, call: Call, made: Sequence[str], start: int) -> None:
        """ONNX output names for the tensors a handler made; aliases stay aliases."""
        b = self.b
        for out, tensor in zip(call.outputs, made, strict=False):
            fresh_node = b.maker.get(tensor, -1) >= start
            if out and fresh_node and out not in b.tensors and tensor not in b.values.values():
                b.rename(tensor, out)
                tensor = out
            if out:
                b.values[out] = tensor

    def follow(self, call: Call, node: onnx.NodeProto) -> None:
        """Behind a node with a problem: would this one be refused as well, whatever that one gives?"""
        b, first = self.b, call.input(0)
        alone = first in self.broken and not any(n in self.broken for n in node.input[1:])
        self.broken |= set(node.output)
        if first is None or not alone or node.op_type not in HANDLERS:
            return
        if self.expected is None:
            self.expected = expected_tensors(self.model, {n: b.tensors[n].shape for n in b.values if n in b.tensors})
        if first not in self.expected:
            return
        b.tensors.setdefault(first, self.expected[first])
        b.values[first] = first
        try:
            HANDLERS[node.op_type](b, call)
        except Cannot as refusal:
            self.problem(call, refusal.why, refusal.fix)
        except (EdgekitError, ValueError, IndexError, KeyError, TypeError, AssertionError, ArithmeticError):
            return  # only what is surely refused is told

    def problem(self, call: Call, why: str, fix: str) -> None:
        self.problems.append((call.source, why, fix))
        self.broken |= set(call.outputs)

    # -- the Graph -----------------------------------------------------------------------------------------------------
    def finish(self, name: str, inputs: list[str], outputs: list[str]) -> Graph:
        b = self.b
        nodes, tensors = _needed(b.nodes, outputs), dict(b.tensors)
        if any(node.op in ("QUANTIZE", "DEQUANTIZE") for node in nodes) or b.exact:
            cells = read_cells(next((p.value for p in self.model.metadata_props if p.key == "edgekit.cells"), None))
            fuser = qdq.Fuser(joined(nodes, tensors, b.exact, outputs), tensors, b.exact, outputs, cells)
            nodes, tensors = fuser.run()
            self.notes += fuser.notes
        nodes = _needed(nodes, outputs)
        contract, history = _metadata(self.model, inputs, outputs, tensors)
        for value in self.model.graph.input:
            if value.name in inputs and value.name in self.real:
                spec = replace(contract.input(value.name), range=self.real[value.name], scale=1.0, zero_point=0)
                contract = InputContract({**contract.inputs, value.name: spec}, contract.outputs)
            elif value.name in inputs and value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
                spec = contract.input(value.name)
                quant = tensors[value.name].quant
                if quant is None:
                    raise Unsupported(
                        "reading ONNX", [(f"input '{value.name}'", "is uint8 without a scale", "use float or int8")]
                    )
                shifted = replace(spec, scale=float(quant.scale[0]), zero_point=int(quant.zero_point[0]) + 128)
                contract = InputContract({**contract.inputs, value.name: shifted}, contract.outputs)
        graph = build(
            name,
            inputs,
            outputs,
            nodes,
            tensors,
            contract=contract,
            history=(*(history or (f"onnx opset {self.opset}",)), *self.notes),
        )
        for node in graph.nodes:
            for tensor, (shape, _) in zip(graph.output_tensors(node), ops.infer(node, graph.input_tensors(node)), strict=True):
                if tensor.shape != tuple(shape):
                    raise BadModel(f"{node.op} ({node.source}) makes {list(shape)}, not {list(tensor.shape)}", RESAVE)
        return states.restored(graph, next((p.value for p in self.model.metadata_props if p.key == states.METADATA), None))


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Nodes whose results are used."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if any(o in wanted for o in node.outputs):
            kept.append(node)
            wanted |= {n for n in node.inputs if n is not None}
    return kept[::-1]


def _dtype(code: int, where: str) -> str:
    if code == onnx.TensorProto.BFLOAT16:
        return "float32"
    try:
        kind = str(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, TypeError):
        kind = f"type {code}"
    if kind == "object":
        kind = "string"
    kind = NARROW.get(kind, kind)
    if kind not in NUMPY_DTYPES:
        raise BadModel(f"input '{where}' is {kind}", "use float32 or integer inputs")
    return kind


def _metadata(
    model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str], tensors: Mapping[str, Tensor]
) -> tuple[InputContract, tuple[str, ...]]:
    """(contract, history): what edgekit itself wrote under `edgekit.*`, else what the shapes say."""
    # protobuf gives bytes for what is no UTF-8
    stored = {p.key: p.value for p in model.metadata_props if isinstance(p.key, str) and p.key.startswith("edgekit.")}
    try:
        history = tuple(str(s) for s in json.loads(stored.get("edgekit.history", "[]")))
        told = json.loads(stored["edgekit.contract"]) if "edgekit.contract" in stored else None
    except (ValueError, TypeError) as error:
        raise BadModel(f"the metadata 'edgekit.*' is damaged: {error}", "delete it, or export again") from None
    if told is None:
        return InputContract({n: InputSpec(layout="NCHW") for n in inputs if len(tensors[n].shape) == 4}), history
    contract = contracts.from_json(told, where="the metadata 'edgekit.contract'", newer=True)
    edge = (
        {n: s for n, s in contract.inputs.items() if n in inputs},
        {n: s for n, s in contract.outputs.items() if n in outputs},
    )
    return InputContract(*edge), history
