"""What a TFLite file carries from run to run: resource variables (VAR_HANDLE and its kin, as streaming models have them) and
the memory of SVDF. Each is a state of the Graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Tensor, const, fresh
from edgekit.load.tflite_build import Builder, Key, Refused, Variable, const_of
from edgekit.load.tflite_file import FileModel, FileOp
from edgekit.states import carry


def key_of(op: FileOp) -> Key:
    names = (op.options.get(n) or "" for n in ("container", "sharedName"))
    first, second = (n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names)
    return first, second


def handle(b: Builder, op: FileOp) -> None:
    b.states.handles[op.outputs[0]] = b.states.variables.setdefault(key_of(op), Variable())


def of(b: Builder, op: FileOp) -> Variable:
    if op.inputs[0] not in b.states.handles:
        raise Refused("its variable is given from outside", "convert a model that makes its variables")
    return b.states.handles[op.inputs[0]]


def read(b: Builder, op: FileOp) -> None:
    """What a variable holds: at first a state's input, after an assignment in this run what was assigned."""
    variable, index = of(b, op), op.outputs[0]
    source = variable.now or variable.read
    if source is not None:
        b.add("RESHAPE", (source,), op, {"shape": b.tensors[source].shape})
        return
    tensor, name = b.file.tensors[index], b.file.names[index]
    if tensor.dtype not in NUMPY_DTYPES or (not tensor.shape and variable.init is not None and variable.init.ndim):
        raise Refused(f"it reads {tensor.dtype}{list(tensor.shape)}", "convert with static shapes")
    b.tensors[name] = Tensor(name, tuple(tensor.shape), tensor.dtype, None, b.quant(index))
    variable.read = name


def assign(b: Builder, op: FileOp) -> None:
    """The value is copied: it may be an input, or another variable's, which cannot be a state's output."""
    variable, source = of(b, op), b.name(op.inputs[1])
    held = b.tensors[source]
    if variable.read is not None:
        before = b.tensors[variable.read]
        alike = before.quant is None or before.quant.same_as(held.quant)
        if before.shape != held.shape or before.dtype != held.dtype or not alike:
            raise Refused("it assigns a value of another shape, type or scale than was read", "convert with one of each")
    made = fresh(b.taken, f"{b.file.names[op.inputs[0]]}/assigned")
    b.taken.add(made)
    b.copy(source, made, op)
    variable.now = made


def once(b: Builder, op: FileOp) -> None:
    """The first values: a subgraph that assigns constants."""
    number = int(op.options.get("initSubgraphIndex", -1))
    if not 0 <= number < len(b.file.subgraphs):
        raise BadModel(f"{b.source(op)} calls subgraph {number}, there are {len(b.file.subgraphs)}")
    body = b.file.subgraphs[number]
    handles: dict[int, Key] = {}
    for inner in body.ops:
        if inner.code == "VAR_HANDLE":
            handles[inner.outputs[0]] = key_of(inner)
        elif inner.code == "ASSIGN_VARIABLE" and inner.inputs[0] in handles:
            data = first_value(body, inner.inputs[1])
            if data is None:
                raise Refused("it computes the first value of a variable", "convert with constant first values")
            b.states.variables.setdefault(handles[inner.inputs[0]], Variable()).init = data
        elif inner.code.startswith("HASHTABLE"):
            raise Refused("it fills a table of words", "look words up outside of the network")


def first_value(body: FileModel, index: int) -> Array | None:
    """A constant, or one filled with a constant; None for others."""
    tensor = body.tensors[index]
    if tensor.data is not None:
        return tensor.data
    for op in body.ops:
        if index in op.outputs and op.code == "FILL":
            shape, value = (body.tensors[i].data for i in op.inputs[:2])
            return None if shape is None or value is None else np.full(shape.reshape(-1), value.reshape(()), value.dtype)
    return None


def svdf(b: Builder, op: FileOp) -> None:
    """A filter over features, then one over time: memory [filters, steps] moves by one each run.

    Nakkiran et al. 2015, Compressing Deep Neural Networks Using a Rank-Constrained Topology.
    """
    from edgekit.load.tflite_ops import activation

    x = b.name(op.inputs[0])
    if b.tensors[x].dtype != "float32":
        raise Refused("it computes in integers", "start from the float model, and quantize it with edgekit")
    time, rank = const_of(b, op, 2, "the weights over time"), int(op.options.get("rank", 1))
    filters, steps = time.shape
    batch = b.tensors[x].shape[0]
    if rank < 1 or filters % rank or batch != 1:
        raise Refused(f"{filters} filters of rank {rank} at batch {batch} do not make sense", "convert with a batch of 1")
    w = b.weights(op, 1, axis=0)
    source = b.constant(op.inputs[2], op, "the weights over time")
    filtered = b.step("FULLY_CONNECTED", (x, w), op, {}, like=op.outputs[0])
    name = fresh(b.taken, f"{b.file.names[op.outputs[0]]}/memory")
    b.taken.add(name)
    b.tensors[name] = Tensor(name, (1, filters, steps), "float32", None, None)
    newest = b.reshape(filtered, (1, filters, 1), op)
    parts = [newest]
    if steps > 1:
        begin, size = (0, 0, 1), (1, filters, steps - 1)
        parts.insert(0, b.step("SLICE", (name,), op, {"begin": begin, "size": size, "stride": (1, 1, 1)}, like=op.outputs[0]))
    moved = parts[0] if steps == 1 else b.step("CONCATENATION", parts, op, {"axis": 2}, like=op.outputs[0])
    after = fresh(b.taken, f"{name}/assigned")
    b.taken.add(after)
    b.copy(moved, after, op)
    weights = fresh(b.taken, f"{source.name}/time")
    b.taken.add(weights)
    b.tensors[weights] = const(weights, source.real().reshape(1, filters, steps))
    weighted = b.step("MUL", (moved, weights), op, {}, like=op.outputs[0])
    sums = b.step("SUM", (weighted,), op, {"axes": (2,), "keep_dims": False}, like=op.outputs[0])
    if rank > 1:
        grouped = b.reshape(sums, (1, filters // rank, rank), op)
        sums = b.step("SUM", (grouped,), op, {"axes": (2,), "keep_dims": False}, like=op.outputs[0])
    bias = b.bias(op, 3, w)
    last = "RESHAPE" if bias is None else "ADD"
    inputs, attrs = ((sums,), {"shape": b.tensors[sums].shape}) if bias is None else ((sums, bias), {})
    b.add(last, inputs, op, attrs, then=activation(op))
    b.states.variables[name, ""] = Variable(np.zeros((1, filters, steps), np.float32), name, after)


def attached(graph: Graph, b: Builder) -> Graph:
    """The Graph with its states: they are its last inputs and outputs so far."""
    pairs = b.states.pairs()
    if not pairs:
        return graph
    inits: dict[str, Array] = {}
    for v in b.states.variables.values():
        if v.read is not None and v.init is not None:
            inits[v.read] = np.broadcast_to(v.init, graph[v.read].shape).astype(NUMPY_DTYPES[graph[v.read].dtype])
    return carry(graph, pairs, inits)


def settle(b: Builder) -> None:
    """Variables that are read and never assigned are constants. Raises Refused when nothing gives their value."""
    for v in b.states.variables.values():
        if v.read is not None and v.now is None:
            if v.init is None:
                raise Refused(f"'{v.read}' is read, and nothing ever gives its value", "convert with its first value")
            tensor = b.tensors[v.read]
            data = np.broadcast_to(v.init, tensor.shape).astype(NUMPY_DTYPES[tensor.dtype])
            b.tensors[v.read] = Tensor(v.read, tensor.shape, tensor.dtype, np.ascontiguousarray(data), tensor.quant)


Rule = Callable[[Builder, FileOp], None]
RULES: dict[str, Rule] = {
    "VAR_HANDLE": handle,
    "READ_VARIABLE": read,
    "ASSIGN_VARIABLE": assign,
    "CALL_ONCE": once,
    "SVDF": svdf,
}
# Operators that have no inputs, or no outputs.
ENDS = ("VAR_HANDLE", "ASSIGN_VARIABLE", "CALL_ONCE")
