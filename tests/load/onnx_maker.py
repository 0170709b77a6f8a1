"""ONNX files as other exporters write them, judged by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.boundary import from_outputs, random_samples, to_feeds
from edgekit.graph import Array, Graph
from edgekit.load import inferred
from edgekit.load.onnx import load_onnx
from edgekit.metrics import sqnr_db

MICROSOFT = "com.microsoft"


def op(kind: str, inputs: Sequence[str], outputs: str | Sequence[str], domain: str = "", **attrs: Any) -> onnx.NodeProto:
    made = [outputs] if isinstance(outputs, str) else list(outputs)
    return helper.make_node(kind, list(inputs), made, domain=domain, **attrs)


def value(name: str, shape: Sequence[int | str | None] | None = None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def body(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    held: Mapping[str, Any] | None = None,
) -> onnx.GraphProto:
    """A graph, or the body of a control operator; held: {initializer: values}."""
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in (held or {}).items()]
    return helper.make_graph(list(nodes), "g", list(inputs), list(outputs), initializers)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str | onnx.ValueInfoProto],
    held: Mapping[str, Any] | None = None,
    opset: int = 17,
    domains: Sequence[str] = (),
    ir: int = 8,
) -> bytes:
    """The file. outputs: names of float values, or what they are."""
    ends = [value(o) if isinstance(o, str) else o for o in outputs]
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(body(nodes, inputs, ends, held), opset_imports=imports, ir_version=ir)
    data: bytes = made.SerializeToString()
    return data


def session(data: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # as the file says
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def agrees(
    data: bytes,
    least: float = 100.0,
    fed: Mapping[str, Array] | None = None,
    samples: Sequence[Mapping[str, Array]] | None = None,
    **options: Any,
) -> Graph:
    """The graph, whose reference answers as ONNX Runtime does: at least `least` dB, integers equal.

    fed: the inputs that `options` fix, for ONNX Runtime. samples: made up when None.
    """
    graph = inferred(load_onnx(data, **options))
    own = session(data)
    kinds = {i.name: i.type for i in own.get_inputs()}
    types = {"tensor(float)": "float32", "tensor(double)": "float64"}
    for sample in random_samples(graph, 2, 1) if samples is None else samples:
        given = {n: np.asarray({**sample, **(fed or {})}[n]) for n in kinds}
        given = {n: a.astype(types.get(kinds[n], kinds[n][7:-1])) for n, a in given.items()}
        theirs = dict(zip([o.name for o in own.get_outputs()], own.run(None, given), strict=True))
        ours = from_outputs(graph, reference.run(graph, to_feeds(graph, sample)))
        for name, mine in ours.items():
            other = np.asarray(theirs[name])
            assert mine.shape == other.shape, name
            if other.dtype.kind == "f":
                assert sqnr_db(other, mine) >= least, name
            else:
                np.testing.assert_array_equal(mine, other)
    return graph
