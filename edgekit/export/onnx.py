"""A Graph as an ONNX file: opset 17, float or Q/DQ, NCHW where the Graph is NHWC. Bytes depend on graph and name only.

Layout is lazy. A rank-4 tensor may exist in the Graph's own layout, in NCHW, or both; spatial operators take and make NCHW,
elementwise ones run in the layout their inputs already have, and a TRANSPOSE between the two only renames a value. Graph
outputs and kept tensors always appear in the Graph's layout, under the Graph's names.
Quantized tensors are stored as int8; every operator stands between DequantizeLinear and QuantizeLinear.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit import contract as contracts
from edgekit import states
from edgekit.errors import BadConfig, Unsupported
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Node, Quant, Tensor, const, fresh

OPSET, IR_VERSION = 17, 8
IR_OF_INT4 = 10  # the first with tensors of 4 bits
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
# Axis of a tensor in the Graph's NHWC -> its axis in NCHW.
NCHW_AXIS = (0, 2, 3, 1)
OWN, NCHW = "own", "nchw"
LEAST = 24  # elements of a constant worth a Cast
OTHER = {OWN: NCHW, NCHW: OWN}


def export_onnx(graph: Graph, *, name: str | None = None, keep: Iterable[str] = ()) -> bytes:
    """The serialized ModelProto.

    keep: intermediate tensors to add as outputs, by graph name; in the Graph's layout and dtype (int8 when quantized).
    States are inputs and outputs behind the graph's own. What Q/DQ cannot say (input contract, history, states) goes to
    metadata_props `edgekit.*`. Raises Unsupported, listing every
    node, for what ONNX cannot spell; BadConfig for an unknown name in `keep`.
    """
    from edgekit.export.onnx_ops import WRITERS
    from edgekit.export.onnx_recurrent import cells, real_states

    carried = states.told(graph)
    graph = states.expose(graph)
    extra = [n for n in dict.fromkeys(keep) if n not in graph.outputs]
    unknown = [n for n in extra if n not in graph.tensors]
    if unknown:
        raise BadConfig(f"no tensor named {', '.join(unknown[:5])} to keep", "use names of the graph's tensors")
    told = {**cells(graph), **({states.METADATA: json.dumps(carried)} if carried else {})}
    halves = {n for n, t in graph.tensors.items() if t.is_const and t.dtype == "float16"}
    graph = _real_constants(real_states(graph))
    problems = [(n.source or n.op, f"{n.op} has no ONNX form", "") for n in graph.nodes if n.op not in WRITERS]
    problems += [
        (f"tensor '{t.name}'", f"{t.quant.dtype} cannot be written", "use int8")
        for t in graph.tensors.values()
        if t.quant is not None
        and (t.dtype not in ("int8", "int16", "int32", *(("int4",) if t.is_const else ())) or not _blocks_fit(graph, t))
    ]
    if problems:
        raise Unsupported("writing ONNX", problems)
    writer = Writer(graph, [*graph.outputs, *extra], halves=bool(halves))
    for node in graph.nodes:
        WRITERS[node.op](writer, node)
    return writer.finish(name or graph.name, told)


def written(graph: Graph) -> list[tuple[Node, tuple[str, ...]]]:
    """Each node with the types of the ONNX nodes that it is written as, without the Q/DQ and transposes around them. Raises as
    `export_onnx`."""
    from edgekit.export.onnx_ops import WRITERS
    from edgekit.export.onnx_recurrent import real_states

    graph = _real_constants(real_states(states.expose(graph)))
    if problems := [(n.source or n.op, f"{n.op} has no ONNX form", "") for n in graph.nodes if n.op not in WRITERS]:
        raise Unsupported("writing ONNX", problems)
    writer, found = Writer(graph, graph.outputs), []
    for node in graph.nodes:
        before = len(writer.nodes)
        WRITERS[node.op](writer, node)
        types = dict.fromkeys(made.op_type for made in writer.nodes[before:])
        own = tuple(t for t in types if t not in {"QuantizeLinear", "DequantizeLinear", "Transpose"})
        found.append((node, own or tuple(types)))
    return found


class Writer:
    """The growing ONNX graph. `have`: (tensor, layout) -> the ONNX value that stores it."""

    def __init__(self, graph: Graph, outputs: Sequence[str], halves: bool = False) -> None:
        """halves: constants that are exact in half precision are stored so."""
        self.halves = halves
        self.graph, self.outputs = graph, outputs
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.have: dict[tuple[str, str], str] = {(n, OWN): n for n in graph.inputs}
        self.reserved = {*graph.inputs, *outputs}
        self.used: set[str] = set(graph.inputs)
        self.functions: dict[str, onnx.FunctionProto] = {}  # of the model itself, for what the opset lacks
        self._real: dict[str, str] = {}
        self._pool: dict[tuple[Any, ...], str] = {}
        # x (as NCHW) and the output y = TRANSPOSE(x) are one value: it may as well bear the output's name at once.
        self.better_name = {
            str(n.inputs[0]): n.outputs[0]
            for n in graph.nodes
            if n.op == "TRANSPOSE" and tuple(n.attrs["perm"]) == TO_NCHW and n.outputs[0] in self.reserved
        }

    # -- names and constants -------------------------------------------------------------------------------------------
    def unused(self, base: str) -> str:
        name = (
            base
            if base not in self.used and base not in self.graph.tensors
            else fresh(self.used | set(self.graph.tensors), base)
        )
        self.used.add(name)
        return name

    def name_for(self, tensor: str, layout: str) -> str:
        """The ONNX name of a value about to be made."""
        better = self.better_name.get(tensor) if layout == NCHW else None
        if better is not None and better not in self.used:
            tensor, layout = better, OWN
        if (layout == OWN or tensor not in self.reserved) and tensor not in self.used:
            self.used.add(tensor)
            return tensor
        return self.unused(f"{tensor}_{'nchw' if layout == NCHW else 'nhwc'}")

    def initializer(self, data: Array, base: str, kind: str = "") -> str:
        """An initializer with these values; equal ones are stored once. kind: "int4" for values of 4 bits in the file."""
        data = np.ascontiguousarray(data).reshape(np.shape(data))
        key = (kind if kind == "int4" else str(data.dtype), data.shape, data.tobytes())
        if key not in self._pool:
            name = (
                base
                if base in self.graph.tensors and base not in self.used and base not in self.reserved
                else self.unused(base)
            )
            self.used.add(name)
            self.initializers[name] = four_bits(data, name) if kind == "int4" else numpy_helper.from_array(data, name)
            self._pool[key] = name
        return self._pool[key]

    def ints(self, values: Iterable[int], what: str) -> str:
        """A constant int64 vector."""
        return self.initializer(np.asarray(list(values), np.int64), what)

    def number(self, value: float, what: str) -> str:
        """A constant float32 scalar."""
        return self.initializer(np.asarray(value, np.float32), what)

    # -- values --------------------------------------------------------------------------------------------------------
    def layouts(self, tensor: str) -> list[str]:
        return [layout for layout in (OWN, NCHW) if (tensor, layout) in self.have]

    def stored(self, tensor: str, layout: str) -> str:
        """The ONNX value that holds the tensor as it is (int8 when quantized), converted between layouts if need be."""
        key = (tensor, layout)
        if key not in self.have:
            t = self.graph[tensor]
            if t.data is not None:
                data = t.data if layout == OWN else t.data.transpose(TO_NCHW)
                self.have[key] = self.initializer(data, tensor, t.dtype)
            else:
                source = self.real_of(self.have[(tensor, OTHER[layout])], t)
                shape = [t.shape[axis] for axis in TO_NCHW] if layout == NCHW else list(t.shape)
                if self.same_order(t):
                    self.put(t, layout, "Reshape", [source, self.ints(shape, f"{tensor}/{layout}_shape")])
                else:
                    self.put(t, layout, "Transpose", [source], perm=list(TO_NCHW if layout == NCHW else TO_NHWC))
        return self.have[key]

    @staticmethod
    def same_order(t: Tensor) -> bool:
        """True when NHWC and NCHW are the same bytes."""
        return len(t.shape) == 4 and (t.shape[3] == 1 or t.shape[1] * t.shape[2] == 1)

    def real(self, tensor: str, layout: str = OWN) -> str:
        """The tensor's real values, for a node's input: dequantized when it has a Quant."""
        return self.real_of(self.stored(tensor, layout), self.graph[tensor])

    def real_of(self, value: str, t: Tensor) -> str:
        if t.quant is None:
            return value
        key = f"{value}@@{t.name}"  # equal integers are stored once, but may have another scale
        if key not in self._real:
            self._real[key] = self.dequantize(value, t.quant, t.name)
        return self._real[key]

    def dequantize(self, value: str, quant: Quant, name: str, axis: int | None = None, out: str | None = None) -> str:
        """A DequantizeLinear of `value`; axis: of the scales, in the value's own layout."""
        out = out or self.unused(f"{value}/real")
        attrs = {} if axis is None or quant.scale.size == 1 else {"axis": axis}
        self.node("DequantizeLinear", [value, *self.scale(quant, name)], [out], **attrs, **domain_of(quant))
        return out

    def scale(self, quant: Quant, name: str) -> list[str]:
        """Initializers of scale and zero point (int32 takes none)."""
        single = quant.scale.size == 1
        scales = quant.scale.reshape(()) if single else quant.scale
        names = [self.initializer(scales.astype(np.float32), f"{name}/scale")]
        if quant.dtype != "int32":
            zeros = quant.zero_point.reshape(()) if single else quant.zero_point
            names.append(self.initializer(zeros.astype(NUMPY_DTYPES[quant.dtype]), f"{name}/zero_point", quant.dtype))
        return names

    def constant(self, tensor: str, data: Array, tag: str, axis: int | None = None) -> str:
        """A constant operand re-arranged to `data` (from the tensor's own integers or floats), dequantized if quantized."""
        t = self.graph[tensor]
        name = self.initializer(data, tensor if tensor not in self.used else f"{tensor}/{tag}", t.dtype)
        if t.quant is None:
            return name
        key = f"{name}@{axis}@{tensor}"
        if key not in self._real:
            self._real[key] = self.dequantize(name, t.quant, tensor, axis)
        return self._real[key]

    def operand(self, tensor: str, layout: str) -> str:
        """An elementwise operand: constants of lower rank are spread to NCHW's axes."""
        t = self.graph[tensor]
        if t.data is None or layout == OWN or t.elements == 1:
            return self.real(tensor, OWN if t.data is not None else layout)
        wide = t.data.reshape((1,) * (4 - len(t.shape)) + t.shape).transpose(TO_NCHW)
        return self.constant(tensor, wide, "nchw")

    def choose(self, node: Node, data: Sequence[str]) -> str:
        """The layout with the fewest conversions for a node that could run in either."""
        live = [n for n in data if not self.graph[n].is_const]
        ranks = {len(self.graph[n].shape) for n in (*live, node.outputs[0])}
        if ranks != {4} or not live:
            return OWN
        cost = {layout: sum(layout not in self.layouts(n) for n in live) for layout in (NCHW, OWN)}
        return OWN if cost[OWN] < cost[NCHW] else NCHW

    # -- nodes ---------------------------------------------------------------------------------------------------------
    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> None:
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), f"{outputs[0]}/{op}", **attrs))

    def step(self, op: str, inputs: Sequence[str], base: str, **attrs: Any) -> str:
        """A node inside one operator's expansion; returns its value."""
        out = self.unused(f"{base}/{op.lower()}")
        self.node(op, inputs, [out], **attrs)
        return out

    def put(
        self,
        t: Tensor,
        layout: str,
        op: str,
        inputs: Sequence[str],
        activation: str = "NONE",
        quantize: bool = True,
        **attrs: Any,
    ) -> None:
        """Make tensor t in `layout`: the node, its fused activation, and (`quantize`) QuantizeLinear when t is quantized."""
        last = self.name_for(t.name, layout)
        self.have[(t.name, layout)] = last
        chain: list[tuple[str, list[str], dict[str, Any]]] = [(op, list(inputs), attrs)]
        if activation != "NONE":
            chain.append(self.activation(activation))
        if quantize and t.quant is not None:
            chain.append(("QuantizeLinear", self.scale(t.quant, t.name), domain_of(t.quant)))
        value = ""
        for i, (kind, operands, options) in enumerate(chain):
            out = last if i == len(chain) - 1 else self.unused(f"{last}/{kind.lower()}")
            self.node(kind, [value, *operands] if i else operands, [out], **options)
            value = out

    def activation(self, name: str) -> tuple[str, list[str], dict[str, Any]]:
        """(ONNX op, operands after the first, attributes) of a fused activation."""
        if name == "RELU":
            return "Relu", [], {}
        low, high = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}[name]
        return "Clip", [self.number(low, "clip/min"), self.number(high, "clip/max")], {}

    def _store_halves(self) -> None:
        """float32 initializers that half precision holds exactly, stored so and widened by a Cast each."""
        casts = []
        for name, initializer in list(self.initializers.items()):
            data = numpy_helper.to_array(initializer)
            if data.dtype != np.float32 or data.size < LEAST or np.abs(data).max() > float(np.finfo(np.float16).max):
                continue
            narrow = data.astype(np.float16)
            if name in self.outputs or not np.array_equal(narrow.astype(np.float32), data):
                continue
            stored = self.unused(f"{name}/half")
            self.initializers[stored] = numpy_helper.from_array(narrow, stored)
            del self.initializers[name]
            casts.append(helper.make_node("Cast", [stored], [name], f"{name}/Cast", to=onnx.TensorProto.FLOAT))
        self.nodes[:0] = casts

    # -- the file ------------------------------------------------------------------------------------------------------
    def finish(self, name: str, more: Mapping[str, str]) -> bytes:
        g = self.graph
        for out in self.outputs:
            value = self.stored(out, OWN)
            if value != out:
                self.node("Identity", [value], [out])
        if self.halves:
            self._store_halves()
        proto = helper.make_graph(
            self.nodes,
            name,
            [_value_info(g[n]) for n in g.inputs],
            [_value_info(g[n]) for n in self.outputs],
            list(self.initializers.values()),
        )
        domains = {"": OPSET} | {function.domain: 1 for function in self.functions.values()}
        domains |= {node.domain: 1 for node in self.nodes if node.domain}
        model = helper.make_model(
            proto,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in domains.items()],
            ir_version=IR_OF_INT4 if any(i.data_type == onnx.TensorProto.INT4 for i in proto.initializer) else IR_VERSION,
            producer_name="edgekit",
            functions=list(self.functions.values()),
        )
        told = {
            "edgekit.contract": json.dumps(contracts.to_json(g.contract), sort_keys=True),
            "edgekit.history": json.dumps(list(g.history)),
            **more,
        }
        helper.set_model_props(model, told)
        return bytes(model.SerializeToString(deterministic=True))


def domain_of(quant: Quant) -> dict[str, Any]:
    """ONNX's own QuantizeLinear and DequantizeLinear take int16 and int4 from opset 21 on; ONNX Runtime's of the same meaning
    always."""
    return {"domain": "com.microsoft"} if quant.dtype in {"int16", "int4"} else {}


def four_bits(data: Array, name: str) -> onnx.TensorProto:
    """Values of -8..7, two a byte, the first below."""
    flat = np.append(data.reshape(-1), np.zeros(data.size % 2, np.int8)).astype(np.uint8)
    packed = (flat[0::2] & 15 | flat[1::2] << 4).tobytes()
    return helper.make_tensor(name, onnx.TensorProto.INT4, data.shape, packed, raw=True)


def _blocks_fit(graph: Graph, t: Tensor) -> bool:
    """True for a tensor without blocks, and for weights of dense layers alone."""
    readers = [node.op for node in graph.nodes if t.name in node.inputs]
    return t.quant is None or t.quant.block is None or set(readers) == {"FULLY_CONNECTED"}


def _real_constants(graph: Graph) -> Graph:
    """The graph with constants that no DequantizeLinear takes (half precision, biases of 64 bits) as float32."""
    held = {n: t for n, t in graph.tensors.items() if t.is_const}
    odd = [t for t in held.values() if t.dtype == "float16" or (t.dtype == "int64" and t.quant is not None)]
    return replace(graph, tensors={**graph.tensors, **{t.name: const(t.name, t.real()) for t in odd}})


def _value_info(t: Tensor) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(t.dtype))
    return helper.make_tensor_value_info(t.name, kind, t.shape)
