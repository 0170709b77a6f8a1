"""Random LSTM, GRU and RNN nodes, float and integer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgekit import ops
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def node_of(op: str, inputs: list[Tensor | None], quants: dict[int, Quant], **attrs: Any) -> Graph:
    """A graph of one node; quants: output index -> Quant."""
    names = ("y", "h", "c")[: 3 if op == "LSTM" else 2]
    while inputs[-1] is None:
        inputs.pop()
    node = Node(op, tuple(None if t is None else t.name for t in inputs), names, attrs, "the node")
    made = [
        Tensor(n, s, quants[i].dtype if i in quants else d, None, quants.get(i))
        for i, (n, (s, d)) in enumerate(zip(names, ops.infer(node, inputs), strict=True))
    ]
    given = [t for t in inputs if t is not None]
    return build("net", [t.name for t in given if not t.is_const], names, [node], [*given, *made])


def float_net(op: str, rng: np.random.Generator, state: bool = False, **attrs: Any) -> Graph:
    batch, steps, width, units = (int(rng.integers(1, n)) for n in (4, 6, 9, 9))
    rows = GATES[op] * units

    def some(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    inputs: list[Tensor | None] = [Tensor("x", (batch, steps, width), "float32"), const("w", some(rows, width))]
    inputs += [const("r", some(rows, units)), const("b", some(rows)) if rng.random() < 0.8 else None]
    inputs += [Tensor("h0", (batch, units), "float32") if state else None]
    if op == "LSTM":
        inputs += [Tensor("c0", (batch, units), "float32") if state else None]
    elif op == "GRU":
        inputs += [const("rb", some(units)) if attrs.get("reset_after", True) else None]
    return node_of(op, inputs, {}, **attrs)


def int8_net(op: str, rng: np.random.Generator, state: bool = False, most: int = 3000, **attrs: Any) -> Graph:
    """most: size of biases, in steps."""
    batch, steps, width, units = (int(rng.integers(1, n)) for n in (4, 6, 19, 14))
    gates = GATES[op]
    rows = gates * units
    x = Tensor(
        "x",
        (batch, steps, width),
        "int8",
        None,
        Quant.per_tensor(float(10 ** rng.uniform(-2, -1)), int(rng.integers(-128, 128))),
    )
    y = Quant.per_tensor(float(10 ** rng.uniform(-2.6, -2)), int(rng.integers(-128, 128)))
    state16 = Quant.per_tensor(2.0 ** int(rng.integers(-15, -9)), 0, "int16")

    def weights(name: str, depth: int) -> Tensor:
        scale = (10 ** rng.uniform(-2.5, -1.3, gates if op == "LSTM" else rows)).astype(np.float32)
        scale = np.repeat(scale, units) if op == "LSTM" else scale
        return const(name, rng.integers(-127, 128, (rows, depth)).astype(np.int8), Quant.per_channel(scale, 0))

    def bias(name: str, data: Array, scale: Array) -> Tensor:
        return const(name, data.astype(np.int32), Quant.per_channel(scale, 0, "int32"))

    w, r = weights("w", width), weights("r", units)
    assert x.quant is not None
    assert w.quant is not None
    assert r.quant is not None
    b = bias("b", rng.integers(-most, most + 1, rows), x.quant.scale * w.quant.scale)
    inputs: list[Tensor | None] = [x, w, r, b]
    shape = (batch, units)
    wide = Tensor("h0" if op == "GRU" else "c0", shape, "int16", None, state16)
    if op == "GRU":
        rb = bias("rb", rng.integers(-3000, 3001, units), y.scale * r.quant.scale[2 * units :])
        inputs += [wide if state else None, rb if attrs.get("reset_after", True) else None]
    else:
        inputs += [Tensor("h0", shape, "int8", None, y) if state else None]
        inputs += [wide if state else None] if op == "LSTM" else []
    return node_of(op, inputs, {0: y, 1: state16 if op == "GRU" else y, 2: state16}, **attrs)


def feeds(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for name in graph.inputs:
        t = graph[name]
        if t.dtype == "float32":
            made[name] = rng.normal(size=t.shape).astype(np.float32)
        else:
            whole = np.iinfo(t.dtype)
            made[name] = rng.integers(whole.min, whole.max + 1, t.shape).astype(t.dtype)
    return made


def together(graphs: list[Graph]) -> Graph:
    """Several graphs side by side as one."""
    inputs: list[str] = []
    outputs: list[str] = []
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    for i, graph in enumerate(graphs):
        names = {n: f"{n}{i}" for n in graph.tensors}
        inputs += [names[n] for n in graph.inputs]
        outputs += [names[n] for n in graph.outputs]
        tensors |= {names[n]: replace(t, name=names[n]) for n, t in graph.tensors.items()}
        for node in graph.nodes:
            ins = tuple(None if n is None else names[n] for n in node.inputs)
            nodes.append(replace(node, inputs=ins, outputs=tuple(names[n] for n in node.outputs)))
    return build("nets", inputs, outputs, nodes, tensors)
