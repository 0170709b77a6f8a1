"""An RNN that arrives step by step (PyTorch's exporter unrolls nn.RNN) becomes one operator again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgekit.graph import Node
from edgekit.passes.draft import Draft

ACTIVATIONS = ("TANH", "RELU")
LEAST_STEPS = 3


@dataclass
class Chain:
    """made: time -> the activation of its step; back: time -> the product with the state before it, None for a constant."""

    made: dict[int, Node] = field(default_factory=dict)
    back: dict[int, Node | None] = field(default_factory=dict)
    start: dict[int, str] = field(default_factory=dict)
    others: list[Node] = field(default_factory=list)


def find_rnn(draft: Draft, node: Node) -> bool:
    """h[t] = activation(W x[t] + R h[t-1] + b) over a whole sequence [T,N,I], for one product of all x[t]."""
    if node.op != "FULLY_CONNECTED" or not draft.is_float(node) or len(draft[node.inputs[0]].shape) != 3:
        return False
    if node.attrs.get("activation", "NONE") != "NONE" or not all(draft.is_const(n) for n in node.inputs[1:] if n):
        return False
    if not node.attrs.get("keep_dims", False) or node.outputs[0] in draft.sinks:
        return False
    steps = draft[node.outputs[0]].shape[0]
    chain = _chain(draft, node, steps)
    if chain is None or len({n.op for n in chain.made.values()}) != 1:
        return False
    for order in (range(steps), range(steps - 1, -1, -1)):
        if _linked(draft, chain, list(order)):
            _replace(draft, node, chain, list(order))
            return True
    return False


def _chain(draft: Draft, node: Node, steps: int) -> Chain | None:
    """What reads each step's part of the product."""
    _, batch, units = draft[node.outputs[0]].shape
    chain, product = Chain(), node.outputs[0]
    users = draft.users(product)
    turned = len(users) == 1 and _turns(draft, users[0])
    if turned:
        chain.others.append(users[0])
        product = users[0].outputs[0]
    for part in draft.users(product):
        if part.op != "SLICE" or tuple(part.attrs["size"]) != (1, batch, units) or not draft.private(part.outputs[0]):
            return None
        chain.others.append(part)
        (reader,) = draft.users(part.outputs[0])
        source = part.outputs[0]
        if reader.op == "RESHAPE" and draft.private(reader.outputs[0]):
            chain.others.append(reader)
            source = reader.outputs[0]
            (reader,) = draft.users(source)
        if reader.op != "ADD" or reader.attrs.get("activation", "NONE") != "NONE" or not draft.private(reader.outputs[0]):
            return None
        chain.others.append(reader)
        (made,) = draft.users(reader.outputs[0])
        begin = int(part.attrs["begin"][0])
        time = steps - 1 - begin if turned else begin
        if made.op not in ACTIVATIONS or draft[made.outputs[0]].shape[-2:] != (batch, units) or time in chain.made:
            return None
        other = str(reader.inputs[1 - reader.inputs.index(source)])
        back = draft.private_maker(other)
        if back is None and not draft.is_const(other):
            return None
        chain.made[time], chain.back[time], chain.start[time] = made, back, other
    full = steps >= LEAST_STEPS and sorted(chain.made) == list(range(steps))
    return chain if full and all(draft[n.outputs[0]].elements == batch * units for n in chain.made.values()) else None


def _turns(draft: Draft, node: Node) -> bool:
    """Whether a node does nothing but to reverse axis 0."""
    if node.op != "SLICE" or node.outputs[0] in draft.sinks:
        return False
    same = draft[node.outputs[0]].shape == draft[node.inputs[0]].shape
    return same and node.attrs["stride"][0] == -1 and all(s == 1 for s in node.attrs["stride"][1:])


def _linked(draft: Draft, chain: Chain, order: list[int]) -> bool:
    """Whether every step reads the state of the one before it, by the same weights."""
    products = [chain.back[t] for t in order]
    if any(p is None or p.op != "FULLY_CONNECTED" for p in products[1:]):
        return False
    later = [p for p in products[1:] if p is not None]
    first = products[0]
    weights = {tuple(p.inputs[1:]) for p in (*later, *([] if first is None else [first]))}
    plain = all(p.attrs.get("activation", "NONE") == "NONE" for p in later)
    if len(weights) != 1 or not plain or not all(draft.is_const(n) for n in later[0].inputs[1:] if n):
        return False
    if any(p.inputs[0] != chain.made[t].outputs[0] for p, t in zip(later, order, strict=False)):
        return False
    if first is None:  # from zero: the product is its bias
        bias = [draft.data(n) for n in later[0].inputs[2:] if n]
        own = bias[0] if bias else np.float32(0)
        value = draft.data(chain.start[order[0]])
        return bool(np.all(value == np.broadcast_to(own, value.shape)))
    return first.op == "FULLY_CONNECTED" and draft[first.inputs[0]].elements == draft[first.outputs[0]].elements


def _replace(draft: Draft, node: Node, chain: Chain, order: list[int]) -> None:
    steps, batch, units = draft[node.outputs[0]].shape
    base, first = chain.made[order[0]].outputs[0], chain.back[order[0]]
    one = chain.back[order[1]]
    assert one is not None
    biases = [draft.data(n.inputs[2]) for n in (node, one) if len(n.inputs) > 2 and n.inputs[2] is not None]
    in_time = [chain.made[t].outputs[0] for t in range(steps)]
    whole = [
        n
        for n in draft.users(chain.made[0].outputs[0])
        if n.op == "CONCATENATION"
        and n.attrs["axis"] == 0
        and list(n.inputs) in (in_time, in_time[::-1])
        and draft[n.outputs[0]].shape == (steps, batch, units)
    ]
    products = [p for p in chain.back.values() if p is not None]
    for old in (*whole, *products, *chain.made.values(), *chain.others, node):
        draft.drop(old)
    x = draft.fresh(f"{base}_sequence")
    draft.emit("TRANSPOSE", (node.inputs[0],), {"perm": (1, 0, 2)}, node, (x,))
    inputs: list[str | None] = [x, node.inputs[1], one.inputs[1]]
    inputs.append(draft.const(f"{base}_bias", np.asarray(sum(biases), np.float32)) if biases else None)
    if first is not None:
        start = draft.fresh(f"{base}_start")
        draft.emit("RESHAPE", (first.inputs[0],), {"shape": (batch, units)}, node, (start,))
        inputs.append(start)
    while inputs[-1] is None:
        inputs.pop()
    y, h = draft.fresh(f"{base}_y"), draft.fresh(f"{base}_h")
    attrs = {"reverse": order[0] > order[-1], "activation": chain.made[0].op}
    draft.emit("RNN", inputs, attrs, node, (y, h))
    for old in whole:
        rows = y
        if old.inputs[0] != chain.made[0].outputs[0]:
            rows = draft.fresh(f"{y}_turned")
            back = {"begin": (0, steps - 1, 0), "size": (batch, steps, units), "stride": (1, -1, 1)}
            draft.emit("SLICE", (y,), back, old, (rows,))
        draft.emit("TRANSPOSE", (rows,), {"perm": (1, 0, 2)}, old, old.outputs)
    for time, made in chain.made.items():
        name = made.outputs[0]
        if not draft.users(name) and name not in draft.sinks:
            continue
        step = draft.fresh(f"{name}_step")
        where = {"begin": (0, time, 0), "size": (batch, 1, units), "stride": (1, 1, 1)}
        shape = draft[name].shape
        draft.emit("SLICE", (y,), where, made, (step,))
        draft.emit("RESHAPE", (step,), {"shape": shape}, made, (name,))
