"""Random convolutional nets in the order a reader leaves them (NCHW, a TRANSPOSE around each spatial node), float or int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.graph import Graph, Quant
from tests.passes.net import Net


def random_graph(seed: int, steps: int = 14) -> Graph:
    """A float graph of about `steps` operators; one or two inputs, one to three outputs."""
    net = Net(seed)
    rng = net.rng
    n, c, h, w = int(rng.integers(1, 3)), int(rng.integers(1, 5)), int(rng.integers(4, 8)), int(rng.integers(4, 8))
    values = [net.input(n, c, h, w)]
    if rng.random() < 0.3:
        values.append(net.input(n, c, h, w, name="z"))
    for _ in range(steps):
        # Mostly the newest value, so that chains form.
        x = values[-1] if rng.random() < 0.7 else values[int(rng.integers(len(values)))]
        made = STEPS[int(rng.integers(len(STEPS)))](net, x, values)
        if made is not None and 0 < np.prod(net.shape(made)) < 5000:
            values.append(made)
    return finish(net, values)


def finish(net: Net, values: list[str]) -> Graph:
    made = [v for v in values if v not in net.inputs]
    read = {name for node in net.nodes for name in node.inputs}
    outputs = [v for v in made if v not in read][-3:] or made[-1:] or [net.add("TANH", values[0])]
    if made and net.rng.random() < 0.3:
        outputs = list(dict.fromkeys([*outputs, made[int(net.rng.integers(len(made)))]]))
    return net.graph(*outputs)


Step = Callable[[Net, str, list[str]], str | None]


def _unary(net: Net, x: str, _: list[str]) -> str:
    ops = ("RELU", "RELU6", "TANH", "HARD_SWISH", "HARD_SIGMOID", "RELU_N1_TO_1", "LEAKY_RELU")
    return net.add(ops[int(net.rng.integers(len(ops)))], x)


def _conv(net: Net, x: str, _: list[str]) -> str | None:
    shape, rng = net.shape(x), net.rng
    if len(shape) != 4:
        return None
    c, k = shape[1], int(rng.integers(1, 4))
    if min(shape[2:]) < k:
        return None
    groups = int(rng.choice([g for g in (1, c) if g]))
    pad = tuple(int(p) for p in rng.integers(0, k, 4))
    stride = (int(rng.integers(1, 3)),) * 2
    return net.conv(x, groups * int(rng.integers(1, 4)), k, groups, bool(rng.integers(2)), pad=pad, stride=stride)


def _norm(net: Net, x: str, _: list[str]) -> str | None:
    return net.norm(x) if len(net.shape(x)) in {2, 4} else None


def _constant(net: Net, x: str, _: list[str]) -> str:
    shape = net.shape(x)
    dims = tuple(n if net.rng.random() < 0.4 else 1 for n in shape)
    while dims and dims[0] == 1 and net.rng.random() < 0.6:
        dims = dims[1:]
    dims = tuple(1 if i + len(shape) - len(dims) == 0 else n for i, n in enumerate(dims))
    c = net.value(np.abs(net.rng.normal(1, 0.3, dims)) + 0.2)
    op = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM")[int(net.rng.integers(5))]
    return net.add(op, x, c) if op == "DIV" or net.rng.random() < 0.7 else net.add(op, c, x)


def _binary(net: Net, x: str, values: list[str]) -> str | None:
    fits = [v for v in values if net.shape(v) == net.shape(x)]
    op = ("ADD", "MUL", "SUB", "MINIMUM")[int(net.rng.integers(4))]
    return net.add(op, x, fits[int(net.rng.integers(len(fits)))])


def _gate(net: Net, x: str, _: list[str]) -> str | None:
    if len(net.shape(x)) != 4:
        return None
    pooled = net.add("MEAN", x, axes=(2, 3), keep_dims=True)
    return net.add("MUL", x, net.add("LOGISTIC", net.conv(pooled, net.shape(x)[1], 1)))


def _concatenation(net: Net, x: str, values: list[str]) -> str | None:
    shape = net.shape(x)
    if len(shape) < 2:
        return None
    fits = [
        v for v in values if len(net.shape(v)) == len(shape) and net.shape(v)[:1] + net.shape(v)[2:] == shape[:1] + shape[2:]
    ]
    return net.add("CONCATENATION", x, fits[int(net.rng.integers(len(fits)))], axis=1)


def _split(net: Net, x: str, values: list[str]) -> str | None:
    shape = net.shape(x)
    axis = int(net.rng.integers(1, max(2, len(shape))))
    if len(shape) < 2 or shape[axis] < 2:
        return None
    first = int(net.rng.integers(1, shape[axis]))
    parts = net.many("SPLIT", x, axis=axis, sizes=(first, shape[axis] - first), outputs=2)
    values.append(parts[1])
    return parts[0]


def _slice(net: Net, x: str, _: list[str]) -> str:
    shape = net.shape(x)
    begin = tuple(int(net.rng.integers(0, 2)) if i and n > 1 else 0 for i, n in enumerate(shape))
    return net.add(
        "SLICE", x, begin=begin, size=tuple(n - b for n, b in zip(shape, begin, strict=True)), stride=(1,) * len(shape)
    )


def _pad(net: Net, x: str, _: list[str]) -> str:
    pads = tuple((0, 0) if i == 0 else tuple(int(p) for p in net.rng.integers(0, 2, 2)) for i in range(len(net.shape(x))))
    return net.add("PAD", x, pads=pads, value=float(net.rng.choice([0.0, 0.0, 0.5])))


def _reduce(net: Net, x: str, _: list[str]) -> str | None:
    if len(net.shape(x)) != 4:
        return None
    axes = ((2, 3), (1,), (3,), (1, 2, 3))[int(net.rng.integers(4))]
    return net.add("MEAN" if net.rng.random() < 0.5 else "REDUCE_MAX", x, axes=axes, keep_dims=bool(net.rng.integers(2)))


def _pool(net: Net, x: str, _: list[str]) -> str | None:
    shape = net.shape(x)
    if len(shape) != 4 or min(shape[2:]) < 2:
        return None
    pad = tuple(int(p) for p in net.rng.integers(0, 2, 4))
    op = "MAX_POOL_2D" if net.rng.random() < 0.5 else "AVERAGE_POOL_2D"
    return net.pool(x, op, filter=(2, 2), stride=(int(net.rng.integers(1, 3)),) * 2, pad=pad)


def _shuffle(net: Net, x: str, _: list[str]) -> str | None:
    shape = net.shape(x)
    if len(shape) != 4 or shape[1] % 2:
        return None
    n, c, h, w = shape
    return net.reshape(net.add("TRANSPOSE", net.reshape(x, n, 2, c // 2, h, w), perm=(0, 2, 1, 3, 4)), n, c, h, w)


def _flatten(net: Net, x: str, _: list[str]) -> str | None:
    shape = net.shape(x)
    if len(shape) != 4:
        return None
    n, c, h, w = shape
    to = ((n, c * h * w), (n, c, h * w), (n, c * h, w), (n, 1, c, h * w))[int(net.rng.integers(4))]
    return net.reshape(x, *to)


def _dense(net: Net, x: str, _: list[str]) -> str | None:
    return (
        net.dense(x, int(net.rng.integers(1, 6)), bool(net.rng.integers(2)), keep_dims=True) if len(net.shape(x)) > 1 else None
    )


def _unflatten(net: Net, x: str, _: list[str]) -> str | None:
    if len(net.shape(x)) != 2:
        return None
    y = net.dense(x, 2 * 4 * 4)
    return net.reshape(y, net.shape(y)[0], 2, 4, 4)


def _transpose(net: Net, x: str, _: list[str]) -> str | None:
    rank = len(net.shape(x))
    if rank < 3:
        return None
    return net.add("TRANSPOSE", x, perm=(0, *(int(p) + 1 for p in net.rng.permutation(rank - 1))))


def _softmax(net: Net, x: str, _: list[str]) -> str:
    return net.add("SOFTMAX", x)


STEPS: tuple[Step, ...] = (
    _unary, _unary, _conv, _conv, _conv, _norm, _norm, _constant, _constant, _binary, _gate, _concatenation, _split, _slice,
    _pad, _reduce, _pool, _shuffle, _flatten, _dense, _unflatten, _transpose, _softmax,
)  # fmt: skip


MOVES: tuple[str, ...] = ("TRANSPOSE", "RESHAPE", "CONCATENATION", "SPLIT", "SLICE", "PAD", "RELU", "REQUANTIZE", "ADD", "POOL")


def random_int8_graph(seed: int, steps: int = 12) -> Graph:
    """An int8 graph of nodes that move integers, clamp them, add them and change their scale."""
    net = Net(seed)
    rng = net.rng
    scales = [Quant.per_tensor(0.05, 3), Quant.per_tensor(0.07, -10)]
    values = [net.input(2, 4, 4, 6, quant=scales[0])]
    for _ in range(steps):
        x = values[-1] if rng.random() < 0.7 else values[int(rng.integers(len(values)))]
        made = _int8_step(net, x, MOVES[int(rng.integers(len(MOVES)))], values, scales)
        if made is not None and np.prod(net.shape(made)) < 5000:
            values.append(made)
    return finish(net, values)


def _int8_step(net: Net, x: str, op: str, values: list[str], scales: list[Quant]) -> str | None:
    rng, shape, q = net.rng, net.shape(x), net.tensors[x].quant
    other = scales[int(rng.integers(2))]
    fits = [v for v in values if net.shape(v) == shape and net.tensors[v].quant is q]
    mate = fits[int(rng.integers(len(fits)))]
    if op == "TRANSPOSE":
        return net.add(op, x, perm=(0, *(int(p) + 1 for p in rng.permutation(len(shape) - 1))), quant=q)
    if op == "RESHAPE":
        flat = (shape[0], int(np.prod(shape[1:])))
        return net.reshape(x, *(flat if rng.random() < 0.3 else (shape[0], *shape[:0:-1])))
    if op == "CONCATENATION":
        return net.add(op, x, mate, axis=len(shape) - 1, quant=q)
    if op == "SPLIT":
        if shape[1] < 2:
            return None
        parts = net.many(op, x, axis=1, sizes=(1, shape[1] - 1), outputs=2, quant=q)
        values.append(parts[0])
        return parts[1]
    if op == "SLICE":
        begin = tuple(int(i > 0 and n > 1 and rng.random() < 0.5) for i, n in enumerate(shape))
        size = tuple(n - b for n, b in zip(shape, begin, strict=True))
        return net.add(op, x, begin=begin, size=size, stride=(1,) * len(shape), quant=q)
    if op == "PAD":
        pads = tuple((0, int(i > 0 and rng.random() < 0.4)) for i in range(len(shape)))
        return net.add(op, x, pads=pads, quant=q) if len(shape) <= 4 else None
    if op == "RELU":
        return net.add(("RELU", "RELU6")[int(rng.integers(2))], x, quant=q if rng.random() < 0.7 else other)
    if op == "REQUANTIZE":
        return net.add("QUANTIZE", x, quant=other)
    if op == "ADD":
        return net.add("ADD", x, mate, quant=other)
    pool = len(shape) == 4 and min(shape[1:3]) > 1
    return net.add("MAX_POOL_2D", x, filter=(2, 2), pad=(0, 1, 1, 0), quant=q) if pool else None
