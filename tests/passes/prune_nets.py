"""Networks whose axes hang together in every way that pruning knows, random weights; float32, batch 1."""

from __future__ import annotations

import numpy as np

from edgekit import ops
from edgekit.graph import Array, Graph, Node
from tests.export.c.nets import Net


def net(seed: int = 0) -> Net:
    return Net("float32", np.random.default_rng(seed), extreme=False)


def conv(n: Net, x: str, out: int, size: int = 3, groups: int = 1, norm: bool = False, stride: int = 1) -> str:
    """A convolution that keeps the size (for stride 1), batch norm if asked for, RELU."""
    pad = ((size - 1) // 2, size // 2) * 2
    w = n.values((out, size, size, n.of(x).shape[3] // groups))
    y = n.op("CONV_2D", [x, w, None if norm else n.values((out,))], None, pad=pad, stride=(stride, stride))[0]
    if norm:
        positive = n.const(np.abs(n.rng.normal(size=out)).astype(np.float32) + 0.5)
        y = n.op("BATCH_NORM", [y, n.values((out,)), n.values((out,)), n.values((out,)), positive], None)[0]
    return n.op("RELU", [y], None)[0]


def dense(n: Net, x: str, out: int, keep: bool = False) -> str:
    inside = n.of(x).shape[-1] if keep else n.of(x).elements // n.of(x).shape[0]
    return n.op("FULLY_CONNECTED", [x, n.values((out, inside)), n.values((out,))], None, keep_dims=keep)[0]


def images() -> Graph:
    """Residual sums, concatenation, split, slices, padding, channel shuffle, groups, multipliers, a gate, flattening."""
    n = net()
    x = n.input((1, 8, 8, 3))
    a = conv(n, x, 16, norm=True)
    b = n.op("ADD", [conv(n, a, 16, norm=True), a], None)[0]
    c = conv(n, b, 24, groups=4)
    both = n.op("CONCATENATION", [b, c], None, axis=3)[0]
    shuffled = n.op("GATHER", [both, n.const(np.arange(40).reshape(2, 20).T.reshape(-1).astype(np.int32))], None, axis=3)[0]
    wide = n.op("DEPTHWISE_CONV_2D", [shuffled, n.values((1, 3, 3, 80)), n.values((80,))], None, pad=(1, 1, 1, 1))[0]
    one, two = n.op("SPLIT", [wide], None, axis=3, sizes=(32, 48))
    gate = n.op("MEAN", [two], None, axes=(1, 2), keep_dims=True)[0]
    gate = n.op("LOGISTIC", [conv(n, conv(n, gate, 8, 1), 48, 1)], None)[0]
    two = n.op("MUL", [two, gate], None)[0]
    part = n.op("SLICE", [two], None, begin=(0, 0, 0, 12), size=(1, 8, 8, 32), stride=(1, 1, 1, 1))[0]
    total = n.op("MAXIMUM", [part, one], None)[0]
    small = n.op("MAX_POOL_2D", [total], None, filter=(2, 2), stride=(2, 2))[0]
    padded = n.op("PAD", [small], None, pads=((0, 0), (0, 0), (0, 0), (4, 4)))[0]
    grouped = n.op("GROUP_NORM", [padded, n.values((40,)), n.values((40,))], None, groups=10)[0]
    deep = n.op("SPACE_TO_DEPTH", [conv(n, grouped, 12)], None, block=2)[0]
    up = n.op("TRANSPOSE_CONV", [deep, n.values((10, 2, 2, 48)), n.values((10,))], None, stride=(2, 2))[0]
    flat = n.op("RESHAPE", [up], None, shape=(1, 160))[0]
    hidden = n.op("RELU", [dense(n, flat, 20)], None)[0]
    return n.graph([dense(n, hidden, 5), dense(n, up, 3)])


def attention() -> Graph:
    """One block: four heads of width 6 over 5 tokens, a gated feed-forward part."""
    n = net(1)
    x = n.input((1, 5, 24))

    def heads(keys: bool) -> str:
        y = n.op("RESHAPE", [dense(n, norm, 24, keep=True)], None, shape=(1, 5, 4, 6))[0]
        return n.op("TRANSPOSE", [y], None, perm=(0, 2, 3, 1) if keys else (0, 2, 1, 3))[0]

    norm = n.op("LAYER_NORM", [x, n.values((24,)), n.values((24,))], None, axis=2)[0]
    scores = n.op("BATCH_MATMUL", [heads(False), heads(True)], None)[0]
    scores = n.op("MUL", [scores, n.const(np.array(0.4, np.float32))], None)[0]
    mixed = n.op("BATCH_MATMUL", [n.op("SOFTMAX", [scores], None)[0], heads(False)], None)[0]
    mixed = n.op("RESHAPE", [n.op("TRANSPOSE", [mixed], None, perm=(0, 2, 1, 3))[0]], None, shape=(1, 5, 24))[0]
    y = n.op("ADD", [x, dense(n, mixed, 24, keep=True)], None)[0]
    gate = n.op("SILU", [dense(n, y, 32, keep=True)], None)[0]
    inner = n.op("MUL", [gate, dense(n, y, 32, keep=True)], None)[0]
    return n.graph([n.op("ADD", [y, dense(n, inner, 24, keep=True)], None)[0]])


def language(norm: str = "RMS_NORM", without: Array | None = None) -> Graph:
    """Embedding, two blocks of a gated layer, norms before each and at the end, a head: a residual stream of width 16.

    without: bool [16], of which nothing is written to the stream; what is has mean zero then.
    """
    n = net(4)

    def writer(*shape: int, axis: int) -> str:
        data = n.rng.normal(0, 0.4, shape)
        if without is not None:
            kept = ~without.reshape([-1 if a == axis else 1 for a in range(data.ndim)])
            data = (data - (data * kept).sum(axis, keepdims=True) / kept.sum()) * kept
        return n.const(data.astype(np.float32))

    def normed(x: str) -> str:
        beta = [n.values((16,))] if norm == "LAYER_NORM" else []
        return n.op(norm, [x, n.values((16,)), *beta], None, axis=2, epsilon=1e-3)[0]

    x = n.op("GATHER", [writer(9, 16, axis=1), n.ids((1, 7))], None, axis=0)[0]
    x = n.op("ADD", [x, writer(1, 7, 16, axis=2)], None)[0]
    for _ in range(2):
        inner = normed(x)
        gated = n.op("MUL", [n.op("SILU", [dense(n, inner, 20, keep=True)], None)[0], dense(n, inner, 20, keep=True)], None)[0]
        back = n.op("FULLY_CONNECTED", [gated, writer(16, 20, axis=0), writer(16, axis=0)], None, keep_dims=True)[0]
        x = n.op("ADD", [x, back], None)[0]
    return n.graph([dense(n, normed(x), 9, keep=True)])


def recurrent() -> Graph:
    """LSTM, GRU, RNN one after another and a dense layer on the last step."""
    n = net(2)
    x = n.input((1, 6, 5))
    for op, gates, units, outs in (("LSTM", 4, 12, 3), ("GRU", 3, 8, 2), ("RNN", 1, 10, 2)):
        inputs = [x, n.values((gates * units, n.of(x).shape[2])), n.values((gates * units, units)), n.values((gates * units,))]
        names = tuple(f"{op}{i}" for i in range(outs))
        node = Node(op, tuple(inputs), names, {}, op)
        from edgekit.graph import Tensor

        for name, (shape, dtype) in zip(names, ops.infer(node, [n.of(i) for i in inputs]), strict=True):
            n.add(Tensor(name, shape, dtype))
        n.nodes.append(node)
        x = names[0]
    last = n.op("SLICE", [x], None, begin=(0, 5, 0), size=(1, 1, 10), stride=(1, 1, 1))[0]
    return n.graph([dense(n, last, 3)])


NETS = {"images": images, "attention": attention, "recurrent": recurrent, "language": language}
