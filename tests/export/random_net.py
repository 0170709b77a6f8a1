"""Random networks that use every operator of the table: what the exporters' property tests draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.graph import Graph
from tests.passes.net import Net

Step = Callable[[Net, np.random.Generator, str], str]


def conv(net: Net, rng: np.random.Generator, x: str) -> str:
    _, h, w, c = net.shape(x)
    groups = int(rng.choice([g for g in (1, 2, c) if c % g == 0]))
    kernel = (int(rng.integers(1, min(h, 3) + 1)), int(rng.integers(1, min(w, 3) + 1)))
    attrs: dict[str, Any] = {
        "pad": tuple(int(p) for p in rng.integers(0, 2, 4)),
        "stride": tuple(int(s) for s in rng.integers(1, 3, 2)),
        "dilation": (1, 1) if min(h, w) < 6 else tuple(int(d) for d in rng.integers(1, 3, 2)),
        "activation": str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
    }
    if groups == c > 1:
        o = c * int(rng.integers(1, 3))
        return net.add("DEPTHWISE_CONV_2D", x, net.random(1, *kernel, o), net.random(o), **attrs)
    o = groups * int(rng.integers(1, 4))
    return net.add("CONV_2D", x, net.random(o, *kernel, c // groups), net.random(o) if rng.random() < 0.7 else None, **attrs)


def transposed(net: Net, rng: np.random.Generator, x: str) -> str:
    c = net.shape(x)[3]
    groups = int(rng.choice([g for g in (1, 2) if c % g == 0]))
    kernel, stride = (int(k) for k in rng.integers(1, 5, 2)), tuple(int(s) for s in rng.integers(1, 3, 2))
    attrs: dict[str, Any] = {"stride": stride, "output_padding": tuple(int(rng.integers(0, s)) for s in stride)}
    if min(net.shape(x)[1:3]) > 2:
        attrs |= {"pad": tuple(int(p) for p in rng.integers(0, 2, 4)), "dilation": tuple(int(d) for d in rng.integers(1, 3, 2))}
    o = groups * int(rng.integers(1, 4))
    return net.add("TRANSPOSE_CONV", x, net.random(o, *kernel, c // groups), net.random(o), **attrs)


def resized(net: Net, rng: np.random.Generator, x: str) -> str:
    _, h, w, c = net.shape(x)
    if c % 4 == 0 and rng.random() < 0.5:
        return net.add("DEPTH_TO_SPACE", x, block=2)
    if h % 2 == w % 2 == 0 and rng.random() < 0.5:
        return net.add("SPACE_TO_DEPTH", x, block=2)
    align, half = ((False, False), (True, False), (False, True))[int(rng.integers(3))]
    op = str(rng.choice(["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"]))
    return net.add(op, x, size=(2 * h, w + 1), align_corners=align, half_pixel_centers=half)


def pool(net: Net, rng: np.random.Generator, x: str) -> str:
    _, h, w, _ = net.shape(x)
    op = str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    size = (min(h, 2), min(w, 3))
    pad = (int(size[0] > 1 and rng.random() < 0.5), 0, int(size[1] > 1), 0)
    return net.add(op, x, filter=size, stride=(int(rng.integers(1, 3)), 1), pad=pad)


def unary(net: Net, rng: np.random.Generator, x: str) -> str:
    op = str(
        rng.choice(["RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH", "HARD_SIGMOID", "SOFTMAX"])
    )
    return net.add(op, x)


def prelu(net: Net, rng: np.random.Generator, x: str) -> str:
    return net.add("PRELU", x, net.random(net.shape(x)[-1]))


def binary(net: Net, rng: np.random.Generator, x: str) -> str:
    op = str(rng.choice(["ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"]))
    shape = net.shape(x)
    other = x if rng.random() < 0.3 else net.random(*(shape if rng.random() < 0.3 else shape[-1:]))
    return net.add(op, *((x, other) if rng.random() < 0.5 else (other, x)))


def residual(net: Net, rng: np.random.Generator, x: str) -> str:
    c = net.shape(x)[-1]
    y = net.add("CONV_2D", x, net.random(c, 1, 1, c), net.random(c))
    return net.add("ADD", y, unary(net, rng, x), activation="RELU")


def norm(net: Net, rng: np.random.Generator, x: str) -> str:
    c = net.shape(x)[-1]
    variance = net.value(np.abs(net.rng.normal(1, 0.2, c)) + 0.1)
    return net.add("BATCH_NORM", x, net.random(c), net.random(c), net.random(c), variance)


def pad(net: Net, rng: np.random.Generator, x: str) -> str:
    rank = len(net.shape(x))
    pads = [(0, 0)] + [tuple(int(v) for v in rng.integers(0, 2, 2)) for _ in range(rank - 1)]
    return net.add("PAD", x, pads=tuple(pads), value=float(rng.choice([0.0, 0.5])))


def concat(net: Net, rng: np.random.Generator, x: str) -> str:
    axis = int(rng.integers(1, len(net.shape(x))))
    return net.add("CONCATENATION", x, unary(net, rng, x), axis=axis)


def split(net: Net, rng: np.random.Generator, x: str) -> str:
    shape = net.shape(x)
    axes = [a for a in range(1, len(shape)) if shape[a] > 1]
    if not axes:
        return unary(net, rng, x)
    axis = int(rng.choice(axes))
    first = int(rng.integers(1, shape[axis]))
    parts = net.many("SPLIT", x, outputs=2, axis=axis, sizes=(first, shape[axis] - first))
    return net.add("CONCATENATION", parts[1], parts[0], axis=axis)


def crop(net: Net, rng: np.random.Generator, x: str) -> str:
    shape = net.shape(x)
    axis = int(rng.integers(1, len(shape)))
    begin, size, stride = [0] * len(shape), list(shape), [1] * len(shape)
    if rng.random() < 0.5:
        begin[axis], stride[axis] = shape[axis] - 1, -1
    else:
        size[axis], stride[axis] = (shape[axis] + 1) // 2, 2
    return net.add("SLICE", x, begin=tuple(begin), size=tuple(size), stride=tuple(stride))


def gather(net: Net, rng: np.random.Generator, x: str) -> str:
    axis = int(rng.integers(1, len(net.shape(x))))
    rows = rng.integers(0, net.shape(x)[axis], int(rng.integers(1, 5))).astype(np.int32)
    return net.add("GATHER", x, net.value(rows), axis=axis)


def transpose(net: Net, rng: np.random.Generator, x: str) -> str:
    rank = len(net.shape(x))
    perms = [(0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3)] if rank == 4 else [(0, *rng.permutation(np.arange(1, rank)).tolist())]
    return net.add("TRANSPOSE", x, perm=perms[int(rng.integers(len(perms)))])


def reduce(net: Net, rng: np.random.Generator, x: str) -> str:
    rank = len(net.shape(x))
    axes = (1, 2) if rank == 4 and rng.random() < 0.5 else (int(rng.integers(1, rank)),)
    op = str(rng.choice(["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"]))
    keep = rank - len(axes) < 2 or bool(rng.random() < 0.5)
    return net.add(op, x, axes=axes, keep_dims=keep)


def dense(net: Net, rng: np.random.Generator, x: str) -> str:
    shape = net.shape(x)
    activation = str(rng.choice(["NONE", "RELU"]))
    keep = bool(rng.random() < 0.5)
    if not keep and shape[0] != 1:
        keep = True
    return net.dense(x, int(rng.integers(1, 5)), bias=bool(rng.random() < 0.7), keep_dims=keep, activation=activation)


def reshape(net: Net, rng: np.random.Generator, x: str) -> str:
    shape = net.shape(x)
    rest = int(np.prod(shape[1:]))
    return net.reshape(x, *((shape[0], rest) if rng.random() < 0.5 else (shape[0], 1, 1, rest)))


SPATIAL: tuple[Step, ...] = (conv, conv, pool, residual, transposed, resized)
ANY: tuple[Step, ...] = (unary, prelu, binary, pad, concat, split, crop, gather, transpose, reduce, dense, reshape)
FLOAT_ONLY: tuple[Step, ...] = (norm,)


def random_net(rng: np.random.Generator, steps: int, quantizable: bool = False) -> Graph:
    """A chain of random operators from one NHWC input, with one or two outputs."""
    net = Net(int(rng.integers(1 << 30)))
    batch = 1 if quantizable else int(rng.integers(1, 3))
    x = net.input(batch, *(int(v) for v in rng.integers(4, 8, 2)), int(rng.integers(1, 5)))
    made = [x]
    for _ in range(steps):
        x = made[-1]
        choices = [*ANY, *(() if quantizable else FLOAT_ONLY), *(SPATIAL * 3 if len(net.shape(x)) == 4 else ())]
        made.append(choices[int(rng.integers(len(choices)))](net, rng, x))
        if net.tensors[made[-1]].elements > 20_000:
            break
    second = made[int(rng.integers(1, len(made)))]
    return net.graph(*dict.fromkeys([made[-1], second]))
