"""An ONNX file whose weights are placeholders (ConstantOfShape, as in ONNX's own light models), with seeded ones.

python benchmarks/strangers/make_filled.py IN.onnx OUT.onnx
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import numpy_helper

POSITIVE = {"BatchNormalization": (1, 4), "Mul": (1,)}  # inputs that are scales or variances
VIEWS = {"Unsqueeze", "Reshape"}


def main(source: str, out: str) -> None:
    model = onnx.load(source)
    graph, rng = model.graph, np.random.default_rng(0)
    held = {t.name: t for t in graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        shape = held.get(node.input[0]) if node.op_type == "ConstantOfShape" else None
        if shape is None:
            kept.append(node)
            continue
        values = _values(graph, node.output[0], [int(n) for n in numpy_helper.to_array(shape)], rng)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
        graph.input.append(onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, values.shape))
    del graph.node[:]
    graph.node.extend(kept)
    onnx.save(model, out)


def _values(graph: onnx.GraphProto, name: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """Weights by their fan-in; scales and variances around 1; the rest around 0."""
    if len(shape) > 1:
        fan_in = np.prod(shape[1:]) if shape[0] > 1 else shape[-1]
        spread = 8 if 1000 in shape else 1  # the classifier: scores that differ
        return rng.normal(0, spread * fan_in**-0.5, shape)
    user = next(n for n in graph.node if name in n.input)
    while user.op_type in VIEWS:
        name = user.output[0]
        user = next(n for n in graph.node if name in n.input)
    if list(user.input).index(name) in POSITIVE.get(user.op_type, ()):
        return rng.uniform(0.6, 1.4, shape)
    return rng.normal(0, 0.1, shape)


if __name__ == "__main__":
    main(*sys.argv[1:3])
