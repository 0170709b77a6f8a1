"""QuantizeLinear / DequantizeLinear: read as QUANTIZE and DEQUANTIZE around float nodes, then fused into integer nodes.

What fits: int8 or uint8 activations per tensor (uint8 becomes int8, shifted by 128), int8 weights per tensor or per channel
with zero point 0, every operator that multiplies weights between a DequantizeLinear on each input and a QuantizeLinear on
its output. Other float islands stay float between DEQUANTIZE and QUANTIZE, as the file says. What does not fit is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgekit import fixedpoint
from edgekit.errors import Unsupported
from edgekit.graph import Array, Node, Quant, Tensor, fresh
from edgekit.load.onnx.builder import VIEWS, Builder, Call, Cannot, Handler
from edgekit.load.onnx.qdq_recurrent import Cell, fuse_cell
from edgekit.load.symmetric import symmetric, told
from edgekit.ops import TABLE
from edgekit.ops.int16 import WIDE

KINDS = {"int8": "int8", "uint8": "int8", "int16": "int16", "int32": "int32"}
NARROW = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}  # with weights of 4 bits
ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")
# Operators that only move or pick values: an integer input keeps its scale through them.
MOVES = (*VIEWS, "SLICE", "SPLIT", "GATHER", "PAD", "MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN")


def parameters(b: Builder, c: Call, integer: str | None) -> tuple[Quant, str]:
    """(Quant as edgekit holds it, the file's integer dtype) of a QuantizeLinear or DequantizeLinear."""
    scale, zero = b.array(c.needed(1)), b.array(c.input(2))
    if scale is None or (c.input(2) is not None and zero is None):
        raise Cannot("its scale is computed at run time", "quantize statically")
    kind = str(zero.dtype) if zero is not None else integer or "uint8"
    if kind not in KINDS:
        raise Cannot(f"it quantizes to {kind}", "use int8 or uint8")
    if int(c.get("block_size", 0)):
        raise Cannot("it quantizes in blocks", "quantize per tensor or per channel")
    flat = scale.astype(np.float32).reshape(-1)
    points = np.zeros(flat.size, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
    if points.size != flat.size or not np.all(np.isfinite(flat)) or np.any(flat <= 0):
        raise ValueError("its scale or zero point is not valid")
    if kind == "uint8":
        points = points - 128
    axis = int(c.get("axis", 1)) if flat.size > 1 else None
    return Quant(flat, points, axis, None, KINDS[kind]), kind


def shifted(data: Array) -> Array:
    """uint8 as int8 with the same meaning: both the values and the zero point lose 128."""
    return (data.astype(np.int16) - 128).astype(np.int8) if data.dtype == np.uint8 else data


def quantize_linear(b: Builder, c: Call) -> list[str]:
    x = c.needed(0)
    code = {2: "uint8", 3: "int8", 5: "int16"}.get(int(c.get("output_dtype", 0)))
    quant, kind = parameters(b, c, code)
    if (constant := b.array(x)) is not None:
        axis = None if quant.axis is None else quant.axis % constant.ndim
        scales, zeros = replace(quant, axis=axis).broadcast(constant.ndim)
        low, high = fixedpoint.integer_range(quant.dtype)
        steps = np.rint(constant.astype(np.float32) / scales) + zeros
        data = np.clip(steps, low, high)
        b.consts[c.outputs[0]] = (data + 128 if kind == "uint8" else data).astype(kind)
        return []
    if quant.axis is not None:
        raise Cannot("it quantizes an activation per channel", "quantize activations per tensor")
    if quant.dtype == "int32":
        raise Cannot("it quantizes an activation to int32", "use int8 or uint8")

    def emit(source: str) -> str:
        y = b.one("QUANTIZE", [source], **({} if quant.dtype == "int8" else {"dtype": quant.dtype}))
        b.tensors[y] = replace(b.tensors[y], dtype=quant.dtype, quant=quant)
        return y

    return [b.under_views(b.values[x], emit)]


def plain_values(b: Builder, c: Call, stored: Array) -> Array:
    """The real numbers of a constant of 4 bits, of float8, or with a scale a block: weights that edgekit quantizes anew."""
    scale, zero = b.array(c.needed(1)), b.array(c.input(2))
    if scale is None or (c.input(2) is not None and zero is None):
        raise Cannot("its scale is computed at run time", "quantize statically")
    points = np.zeros((), np.float32) if zero is None else zero.astype(np.float32)
    scales, block, rank = scale.astype(np.float32), int(c.get("block_size", 0)), stored.ndim
    axis = int(c.get("axis", 1)) % max(rank, 1)
    if block:
        rows = np.arange(stored.shape[axis]) // block
        scales = np.take(scales, rows, axis)
        points = np.take(points, rows, axis) if points.ndim else points
    elif scales.size > 1:
        wide = [-1 if i == axis else 1 for i in range(rank)]
        scales, points = scales.reshape(wide), points.reshape(wide) if points.size > 1 else points
    return np.asarray((stored.astype(np.float32) - points.reshape(points.shape or ())) * scales, np.float32)


def four_bits(b: Builder, c: Call, stored: Array) -> Quant | None:
    """How edgekit holds a constant of 4 bits, when zero is 0 and there are no blocks."""
    scale, zero = b.array(c.needed(1)), b.array(c.input(2))
    if scale is None or int(c.get("block_size", 0)) or (zero is not None and np.any(zero.astype(np.int64) != 0)):
        return None
    flat, axis = scale.astype(np.float32).reshape(-1), int(c.get("axis", 1)) % max(stored.ndim, 1)
    if not np.all(np.isfinite(flat)) or np.any(flat <= 0):
        raise ValueError("its scale is not valid")
    return Quant.per_channel(flat, axis, "int4") if flat.size > 1 else Quant.per_tensor(float(flat[0]), 0, "int4")


def dequantize_linear(b: Builder, c: Call) -> list[str]:
    x = c.needed(0)
    stored = b.array(x)
    if stored is not None and str(stored.dtype) == "int4" and (quant := four_bits(b, c, stored)) is not None:
        data = stored.astype(np.int8)
        b.consts[c.outputs[0]], b.const_quant[c.outputs[0]] = data * quant.broadcast(data.ndim)[0], (data, quant)
        return []
    if stored is not None and (str(stored.dtype) not in KINDS or int(c.get("block_size", 0))):
        b.consts[c.outputs[0]] = plain_values(b, c, stored)
        return []
    if stored is not None:
        quant, kind = parameters(b, c, str(stored.dtype))
        if str(stored.dtype) != kind:
            raise ValueError(f"a {stored.dtype} constant with a {kind} zero point")
        axis = None if quant.axis is None else quant.axis % max(stored.ndim, 1)
        quant, data = replace(quant, axis=axis), shifted(stored)
        scales, zeros = quant.broadcast(data.ndim)
        real = (data.astype(np.int64) - zeros).astype(np.float32) * scales
        b.consts[c.outputs[0]], b.const_quant[c.outputs[0]] = real, (data, quant)
        return []
    tensor = b.tensors[b.values[x]]
    quant, _ = parameters(b, c, tensor.dtype)
    if quant.axis is not None:
        raise Cannot("it dequantizes an activation per channel", "quantize activations per tensor")
    if tensor.quant is None:
        if (table := looked_up(b, tensor.name)) is not None:
            return [table_values(b, c, *table)]
        if b.made_by(tensor.name) is not None:
            raise Cannot(
                "its integer input has no scale of its own", "put QuantizeLinear / DequantizeLinear around every operator"
            )
        b.tensors[tensor.name] = replace(tensor, dtype=quant.dtype, quant=quant)
    elif not quant.same_as(tensor.quant):
        raise Cannot("its scale differs from the QuantizeLinear before it", "use the same scale and zero point on both")
    y = b.one("DEQUANTIZE", [tensor.name])
    b.tensors[y] = replace(b.tensors[y], dtype="float32", quant=None)
    return [y]


def looked_up(b: Builder, name: str) -> tuple[Node, list[Node]] | None:
    """(the GATHER from a constant, the views of its rows) of an integer tensor: an embedding whose table is quantized."""
    views: list[Node] = []
    while (maker := b.made_by(name)) is not None and maker.op in VIEWS:
        views.append(maker)
        name = str(maker.inputs[0])
    found = maker is not None and maker.op == "GATHER" and b.tensors[str(maker.inputs[0])].is_const
    return (maker, views[::-1]) if found and maker is not None else None


def table_values(b: Builder, c: Call, gather: Node, views: Sequence[Node]) -> str:
    """The rows of a quantized table as real numbers: those of the dequantized table, which keeps its integers."""
    stored = b.tensors[str(gather.inputs[0])].data
    assert stored is not None
    quant, kind = parameters(b, c, str(stored.dtype))
    if quant.scale.size > 1 or str(stored.dtype) != kind:
        raise Cannot("its table has a scale a row", "quantize embeddings per tensor")
    name = f"{gather.inputs[0]}/real"
    if name not in b.consts:
        data = shifted(stored)
        b.consts[name] = (data.astype(np.float32) - np.float32(quant.zero_point[0])) * quant.scale[0]
        b.const_quant[name] = (data, quant)
    y = b.one("GATHER", [b.weight(name, "", lambda a: a), gather.inputs[1]], **gather.attrs)
    for view in views:
        y = b.transpose(y, view.attrs["perm"]) if view.op == "TRANSPOSE" else b.reshape(y, view.attrs["shape"])
    return y


HANDLERS: dict[str, Handler] = {"QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear}


class Fuser:
    """Turns DEQUANTIZE -> float node [-> activation] -> QUANTIZE into one integer node."""

    def __init__(
        self,
        nodes: Sequence[Node],
        tensors: Mapping[str, Tensor],
        exact: Mapping[str, Tensor],
        outputs: Iterable[str],
        cells: Mapping[str, Cell],
    ):
        self.tensors, self.exact, self.outputs = dict(tensors), exact, set(outputs)
        self.cells = cells
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in dict.fromkeys(n for n in node.inputs if n is not None):
                self.readers.setdefault(name, []).append(node)
        self.nodes = nodes
        self.made: list[Node] = []
        self.integer_of: dict[str, str] = {}  # float tensor -> the integer tensor it is the dequantized form of
        self.done: set[int] = set()
        self.problems: list[tuple[str, str, str]] = []
        self.notes: list[str] = []  # what the history says
        self.quantized = any(node.op == "QUANTIZE" for node in nodes)

    def run(self) -> tuple[list[Node], dict[str, Tensor]]:
        """(nodes, tensors). Raises Unsupported listing every multiply that is only half quantized."""
        for node in self.nodes:
            if id(node) in self.done:
                continue
            if node.op == "DEQUANTIZE":
                self.integer_of[node.outputs[0]] = str(node.inputs[0])
                self.made.append(node)
            elif node.op == "QUANTIZE":
                self.quantize(node)
            elif not self.fuse(node):
                self.made.append(node)
        if self.problems:
            raise Unsupported("reading Q/DQ", self.problems)
        return self.made, self.tensors

    def quantize(self, node: Node) -> None:
        source = self.integer_of.get(str(node.inputs[0]))
        if source is None:
            self.made.append(node)
        else:
            self.rescale(source, node.outputs[0], node.source)

    def rescale(self, source: str, target: str, where: str) -> None:
        """target = source in target's Quant; a plain copy (RESHAPE) where they are the same."""
        tensor = self.tensors[target]
        if tensor.quant is not None and tensor.quant.same_as(self.tensors[source].quant):
            self.made.append(Node("RESHAPE", (source,), (target,), {"shape": tensor.shape}, where))
        else:
            attrs = {} if tensor.dtype == "int8" else {"dtype": tensor.dtype}
            self.made.append(Node("QUANTIZE", (source,), (target,), attrs, where))

    def only_reader(self, name: str) -> Node | None:
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def fuse(self, node: Node) -> bool:
        entry = TABLE[node.op]
        if entry.recurrent is not None:
            return fuse_cell(self, node, self.cells)
        data = entry.data_inputs(node)
        live = [i for i in data if not self.tensors[str(node.inputs[i])].is_const]
        if not data or any(node.inputs[i] not in self.integer_of for i in live):
            held = [self.exact.get(str(node.inputs[i])) for i in entry.weights if i < len(node.inputs)]
            if any(w is not None and w.dtype != "int4" for w in held):  # 4 bits are also used to store weights alone
                self.refuse(node, "its weights are quantized and its input is not")
            return False
        fixed = [i for i in (*data, *entry.weights) if i not in live and i < len(node.inputs) and node.inputs[i] is not None]
        if entry.integer is None or any(str(node.inputs[i]) not in self.exact for i in fixed):
            return False  # a float island, as the file says: no integer meaning, or a constant that was never quantized
        if node.op not in WIDE and any(self.tensors[self.integer_of[str(node.inputs[i])]].dtype == "int16" for i in live):
            return False  # no meaning for 16 bits
        chain = self.tail(node)
        if chain is None:
            return self.keep_scale(node, live)
        target, fused, passed = chain
        return self.integer(node, target, fused, passed)

    def tail(self, node: Node) -> tuple[list[Node], str, list[Node]] | None:
        """(the QUANTIZE of each output, activation to fuse, nodes passed over), or None when the output stays float."""
        targets = [self.only_reader(name) for name in node.outputs]
        if all(t is not None and t.op == "QUANTIZE" for t in targets):
            return [t for t in targets if t is not None], "NONE", []
        step = targets[0]
        if len(targets) != 1 or step is None or step.op not in ACTIVATIONS:
            return None
        last = self.only_reader(step.outputs[0])
        if last is None or last.op != "QUANTIZE":
            return None
        if node.attrs.get("activation", "NONE") != "NONE":
            return None
        if "activation" in TABLE[node.op].attrs:
            return [last], step.op, [step]
        quant = self.tensors[last.outputs[0]].quant
        return ([last], "NONE", [step]) if quant is not None and _clips(quant, step.op) else None

    def integer(self, node: Node, targets: list[Node], activation: str, passed: list[Node]) -> bool:
        entry = TABLE[node.op]
        outputs = [t.outputs[0] for t in targets]
        inputs: list[str | None] = []
        for i, name in enumerate(node.inputs):
            if name is None or i in entry.ids:
                inputs.append(name)
            elif i in entry.weights or i == entry.bias:
                inputs.append(self.constant(node, i, name, inputs))
            elif name in self.integer_of:
                inputs.append(self.integer_of[name])
            else:
                inputs.append(self.constant(node, i, name, inputs))
        if any(given is not None and name is None for given, name in zip(node.inputs, inputs, strict=True)):
            return False
        attrs = dict(node.attrs) | ({"activation": activation} if activation != "NONE" else {})
        want = self.tensors[outputs[0]].quant
        assert want is not None
        if entry.quant == "same":
            # One scale for all: several inputs meet at the output's, a single one is rescaled after.
            live = entry.data_inputs(node)
            if len(live) > 1:
                for i in live:
                    inputs[i] = self.at_scale(str(inputs[i]), want, node.source)
            common = self.tensors[str(inputs[live[0]])].quant
        elif entry.quant == "fixed":
            scale, zero = entry.fixed[want.dtype]
            common = Quant.per_tensor(scale, zero, want.dtype)
        else:
            common = None
        made: list[str] = []
        for name in outputs:
            tensor = self.tensors[name]
            if common is None or common.same_as(tensor.quant):
                made.append(name)
            else:
                made.append(fresh(self.tensors, f"{name}/unscaled"))
                self.tensors[made[-1]] = replace(tensor, name=made[-1], quant=common)
        self.made.append(Node(node.op, tuple(inputs), tuple(made), attrs, node.source))
        for source, name in zip(made, outputs, strict=True):
            if source != name:
                self.rescale(source, name, node.source)
        self.done |= {id(n) for n in (*targets, *passed)}
        return True

    def at_scale(self, name: str, want: Quant, where: str) -> str:
        tensor = self.tensors[name]
        if want.same_as(tensor.quant):
            return name
        new = fresh(self.tensors, f"{name}/rescaled")
        if tensor.data is not None:
            scales, zeros = want.broadcast(len(tensor.shape))
            self.tensors[new] = replace(
                tensor,
                name=new,
                dtype=want.dtype,
                data=fixedpoint.quantize(tensor.real(), scales, zeros, want.dtype),
                quant=want,
            )
            return new
        self.tensors[new] = replace(tensor, name=new, dtype=want.dtype, quant=want)
        self.rescale(name, new, where)
        return new

    def constant(self, node: Node, index: int, name: str, inputs: Sequence[str | None]) -> str | None:
        """The integer form of a constant operand; None (with a problem noted) when it has none."""
        entry, stored = TABLE[node.op], self.exact.get(name)
        if index == entry.bias:
            x, w = self.tensors[str(inputs[0])], self.tensors[str(inputs[1])] if inputs[1] is not None else None
            if x.quant is None or w is None or w.quant is None:
                return None
            scale = (x.quant.scale.astype(np.float32) * w.quant.scale).astype(np.float32)
            real = self.tensors[name]
            kind: type[np.generic] = np.int64 if x.dtype == "int16" else np.int32
            if stored is not None and stored.quant is not None and np.allclose(stored.quant.scale, scale, rtol=1e-5):
                assert stored.data is not None
                own = replace(stored.quant, dtype=np.dtype(kind).name)
                return self.store(replace(stored, data=stored.data.astype(kind), dtype=own.dtype, quant=own), name)
            size = real.shape[0]
            quant = Quant.per_channel(np.broadcast_to(scale, (size,)), 0, np.dtype(kind).name)
            ends = (-(2.0**46), 2.0**46) if kind is np.int64 else fixedpoint.integer_range("int32")
            steps = np.clip(fixedpoint.round_half_away(real.real().astype(np.float64) / quant.scale), *ends)
            return self.store(Tensor(name, real.shape, quant.dtype, steps.astype(kind), quant), name)
        if stored is None or stored.quant is None:
            self.refuse(node, f"its constant operand '{name}' has no DequantizeLinear")
            return None
        if index in entry.weights:
            if stored.dtype == "int4" and (node.op not in NARROW or self.tensors[str(inputs[0])].dtype != "int8"):
                stored = replace(stored, dtype="int8", quant=replace(stored.quant, dtype="int8"))
            if stored.dtype not in {"int8", "int4"}:
                self.refuse(node, f"its weights '{name}' are {stored.dtype}, not int8 or uint8")
                return None
            if stored.quant is not None and np.any(stored.quant.zero_point != 0):
                stored, exact = symmetric(stored)
                self.notes.append(told(name, exact))
            axis = entry.weights[index]
            if stored.quant is not None and stored.quant.axis not in (None, axis):
                self.refuse(node, f"its weights '{name}' have scales along the wrong axis")
                return None
        return self.store(stored, name)

    def store(self, tensor: Tensor, base: str) -> str:
        """Add an integer constant under the float one's name (suffixed: others may still read the float values)."""
        name = f"{base}/int"
        known = self.tensors.get(name)
        if known is not None and not (known.quant is not None and known.quant.same_as(tensor.quant)):
            name = fresh(self.tensors, name)
        self.tensors[name] = replace(tensor, name=name)
        return name

    def keep_scale(self, node: Node, live: list[int]) -> bool:
        """A move whose output stays float still runs on the integers; its output is dequantized instead."""
        entry = TABLE[node.op]
        if entry.weights:
            self.refuse(node, "its output is not quantized")
            return False
        if node.op not in MOVES or len(entry.data_inputs(node)) != 1:
            return False
        (place,) = entry.data_inputs(node)
        if not live and (node.op != "GATHER" or not self.quantized):
            return False
        if not live:  # rows of a quantized table
            source = self.store(self.exact[str(node.inputs[place])], str(node.inputs[place]))
        else:
            source = self.integer_of[str(node.inputs[place])]
        quant = self.tensors[source].quant
        names = []
        for out in node.outputs:
            name = fresh(self.tensors, f"{out}/int")
            self.tensors[name] = replace(self.tensors[out], name=name, dtype=self.tensors[source].dtype, quant=quant)
            names.append(name)
        inputs = tuple(source if i == place else n for i, n in enumerate(node.inputs))
        self.made.append(Node(node.op, inputs, tuple(names), node.attrs, node.source))
        for out, name in zip(node.outputs, names, strict=True):
            self.made.append(Node("DEQUANTIZE", (name,), (out,), {}, node.source))
            self.integer_of[out] = name
        return True

    def refuse(self, node: Node, why: str) -> None:
        fix = "int8 Q/DQ on every input and output, symmetric weights; or quantize the float model with edgekit"
        self.problems.append((node.source, why, fix))


def _clips(quant: Quant, activation: str) -> bool:
    """True when the integer range itself does what the activation would."""
    low, high = fixedpoint.integer_range(quant.dtype)
    scale, zero = float(quant.scale[0]), int(quant.zero_point[0])
    floor, ceiling = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}[activation]
    return (low - zero) * scale >= floor - scale / 2 and (high - zero) * scale <= ceiling + scale / 2
