"""An RNN that was unrolled is one operator again; what only looks like one stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.graph import Array, Graph, Node, Tensor, build, const
from edgekit.ops import infer
from edgekit.passes.simplify import simplify

STEPS, WIDTH, UNITS = 5, 3, 4


def unrolled(kind: str, reverse: bool, bias: bool, start: bool, odd: bool = False) -> Graph:
    """Each step in operators of its own, as PyTorch's exporter writes it. odd: the third step has weights of its own."""
    rng = np.random.default_rng(1)
    tensors = {"x": Tensor("x", (STEPS, 1, WIDTH), "float32"), "h0": Tensor("h0", (1, 1, UNITS), "float32")}
    nodes: list[Node] = []

    def fixed(name: str, *shape: int) -> str:
        tensors[name] = const(name, (rng.normal(size=shape) * 0.5).astype(np.float32))
        return name

    def op(kind: str, name: str, *inputs: str, **attrs: Any) -> str:
        node = Node(kind, inputs, (name,), attrs, name)
        ((shape, dtype),) = infer(node, [tensors[n] for n in inputs])
        tensors[name] = Tensor(name, shape, dtype)
        nodes.append(node)
        return name

    biases = [(fixed(n, UNITS),) if bias else () for n in ("b", "rb")]
    forward = op("FULLY_CONNECTED", "forward", "x", fixed("w", UNITS, WIDTH), *biases[0], keep_dims=True)
    weights, other, h = fixed("r", UNITS, UNITS), fixed("r2", UNITS, UNITS), "h0"
    zero: Array = tensors["rb"].real() if bias else np.zeros(UNITS, np.float32)
    tensors["zero"] = const("zero", zero.reshape(1, 1, UNITS))
    made: dict[int, str] = {}
    for i, t in enumerate(range(STEPS - 1, -1, -1) if reverse else range(STEPS)):
        now = op("SLICE", f"part{t}", forward, begin=(t, 0, 0), size=(1, 1, UNITS), stride=(1, 1, 1))
        matrix = other if odd and i == 2 else weights
        back = "zero" if i == 0 and not start else op("FULLY_CONNECTED", f"back{t}", h, matrix, *biases[1], keep_dims=True)
        h = made[t] = op(kind, f"h{t}_", op("ADD", f"sum{t}", back, op("RESHAPE", f"row{t}", now, shape=(1, UNITS))))
    y = op("CONCATENATION", "y", *(made[t] for t in range(STEPS)), axis=0)
    used = {n for node in nodes for n in node.inputs} | {y, h}
    kept = [t for n, t in tensors.items() if n in used or (t.data is None and n in {"x"})]
    return build("net", ["x", *(["h0"] if start else [])], [y, h], nodes, [t for t in kept if t.name != "h0" or start])


@pytest.mark.parametrize("kind", ["TANH", "RELU"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("bias", "start"), [(True, False), (False, False), (True, True)])
def test_it_is_rolled_up(kind: str, reverse: bool, bias: bool, start: bool) -> None:
    graph = unrolled(kind, reverse, bias, start)
    short = simplify(graph)
    assert [n.op for n in short.nodes if n.op not in {"RESHAPE", "SLICE", "TRANSPOSE"}] == ["RNN"]
    rng = np.random.default_rng(2)
    feeds = {n: rng.normal(size=graph[n].shape).astype(np.float32) for n in graph.inputs}
    got = reference.run(short, feeds)
    for name, value in reference.run(graph, feeds).items():
        np.testing.assert_allclose(got[name], value, atol=1e-6)


def test_weights_of_a_step_s_own_are_kept() -> None:
    short = simplify(unrolled("TANH", False, True, False, odd=True))
    assert "RNN" not in {n.op for n in short.nodes}
