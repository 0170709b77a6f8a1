"""Constant nodes: the shape arithmetic of exported files is evaluated here, so that it never enters the Graph.

The frequent small operators are done in NumPy; any other goes to ONNX's own reference evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from edgekit.errors import BadModel
from edgekit.graph import Array
from edgekit.load.onnx.builder import Call

# Values that depend on more than the inputs.
RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
# Folding must not blow a small file up.
LARGEST = 1 << 26


def constant_value(call: Call) -> Array:
    """What a Constant node holds."""
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in call.attrs:
            kind = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}.get(
                key
            )
            return np.asarray(call.attrs[key], kind)
    raise BadModel(f"{call.source} holds no numbers", "use a constant of numbers")


def _divide(a: Array, b: Array) -> Array:
    """ONNX Div: integers truncate towards zero."""
    if a.dtype.kind != "i":
        return np.asarray(a / b)
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)


def _unsqueeze(call: Call, ins: Sequence[Array]) -> Array:
    axes = ins[1].reshape(-1).tolist() if len(ins) > 1 else call.attrs["axes"]
    return np.asarray(np.expand_dims(ins[0], tuple(int(a) for a in axes)))


def _squeeze(call: Call, ins: Sequence[Array]) -> Array:
    axes = ins[1].reshape(-1).tolist() if len(ins) > 1 else call.get("axes")
    return np.asarray(np.squeeze(ins[0], None if axes is None else tuple(int(a) for a in axes)))


def _gather_elements(call: Call, ins: Sequence[Array]) -> Array:
    """The indices may be shorter than the data along any axis but the gathered one's."""
    data, indices = ins[0], ins[1].astype(np.int64)
    axis = int(call.get("axis", 0)) % data.ndim
    part = data[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(indices.shape))]
    return np.asarray(np.take_along_axis(part, np.where(indices < 0, indices + data.shape[axis], indices), axis))


QUICK: dict[str, Callable[[Call, Sequence[Array]], Array]] = {
    "Identity": lambda c, i: i[0],
    "Add": lambda c, i: np.asarray(i[0] + i[1]),
    "Sub": lambda c, i: np.asarray(i[0] - i[1]),
    "Mul": lambda c, i: np.asarray(i[0] * i[1]),
    "Div": lambda c, i: _divide(i[0], i[1]),
    "Concat": lambda c, i: np.concatenate(i, int(c.attrs["axis"])),
    "Gather": lambda c, i: np.asarray(np.take(i[0], i[1].astype(np.int64), int(c.get("axis", 0)))),
    "GatherElements": _gather_elements,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": lambda c, i: np.transpose(i[0], c.get("perm")),
}


def evaluate(call: Call, node: onnx.NodeProto, inputs: Sequence[Array | None]) -> list[Array]:
    """The outputs of a node whose inputs are all constant."""
    if node.op_type in QUICK and all(a is not None for a in inputs):
        return [QUICK[node.op_type](call, [a for a in inputs if a is not None])]
    from onnx.reference import ReferenceEvaluator

    names = [n for n in node.input if n]
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.ValueInfoProto(name=n) for n in dict.fromkeys(names)],
        [onnx.ValueInfoProto(name=n) for n in node.output if n],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", call.opset)])
    feeds = {n: a for n, a in zip(node.input, inputs, strict=True) if a is not None}
    try:
        results = [np.asarray(r) for r in ReferenceEvaluator(model).run(None, feeds)]
    except Exception as error:  # the evaluator's kernels raise whatever NumPy does
        raise BadModel(f"{call.source}: its constant value cannot be computed: {error}", "simplify the file first") from None
    if any(r.size > LARGEST for r in results):
        raise BadModel(f"{call.source} makes a constant of {max(r.size for r in results)} elements", "compute it at run time")
    return results
