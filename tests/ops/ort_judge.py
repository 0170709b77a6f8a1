"""One ONNX operator on ONNX Runtime, to judge float meanings by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from edgekit import ops, reference
from edgekit.graph import Array, Node, Tensor, build, const


def run_ort(op: str, inputs: Sequence[Array], outputs: int = 1, **attrs: Any) -> list[Array]:
    """Outputs of the ONNX operator (opset 17)."""
    names = [f"x{i}" for i in range(len(inputs))]
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs, strict=True)
    ]
    outs = [f"y{i}" for i in range(outputs)]
    results = [onnx.ValueInfoProto(name=n) for n in outs]
    graph = helper.make_graph([helper.make_node(op, names, outs, **attrs)], "judged", values, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def run_real(op: str, inputs: Sequence[Array], consts: Sequence[Array] = (), outputs: int = 1, **attrs: Any) -> list[Array]:
    """Outputs of edgekit's operator on real numbers, through infer and the reference."""
    given = [Tensor(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(inputs)]
    fixed = [const(f"c{i}", a) for i, a in enumerate(consts)]
    names = tuple(f"y{i}" for i in range(outputs))
    node = Node(op, tuple(t.name for t in (*given, *fixed)), names, attrs, "the node")
    made = [Tensor(n, s, d) for n, (s, d) in zip(names, ops.infer(node, [*given, *fixed]), strict=True)]
    graph = build("judged", [t.name for t in given], names, [node], [*given, *fixed, *made])
    result = reference.run(graph, {t.name: a for t, a in zip(given, inputs, strict=True)})
    return [result[n] for n in names]


def nchw(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def nhwc(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
