"""Handwritten digits of 8 x 8 pixels (scikit-learn's) and small networks for them, trained in a second or two."""

from __future__ import annotations

from functools import cache

import numpy as np

from edgekit.data import Dataset, from_arrays
from edgekit.graph import Array, Graph
from tests.passes.prune_nets import conv, dense, net


@cache
def digits() -> tuple[Array, Array]:
    """(float32 [1797, 8, 8, 1] in 0..1, int64 [1797])."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    x = (loaded.images[order] / 16).astype(np.float32)[..., None]
    return x, loaded.target[order].astype(np.int64)


def untrained(norm: bool = True, width: int = 16) -> Graph:
    """Three convolutions, a mean and a dense layer: [1, 8, 8, 1] -> [1, 10] logits."""
    n = net(3)
    x = n.input((1, 8, 8, 1))
    y = conv(n, conv(n, conv(n, x, width, norm=norm), width, norm=norm, stride=2), width, norm=norm)
    small = {k: t for k, t in n.tensors.items() if t.data is not None and len(t.shape) > 1}
    for name, tensor in small.items():  # as layers are initialised
        fan = tensor.elements // tensor.shape[0]
        tensor.data[...] *= np.float32((2 / fan) ** 0.5)  # type: ignore[index]
        n.tensors[name] = tensor
    out = dense(n, n.op("MEAN", [y], None, axes=(1, 2))[0], 10)
    return n.graph([out])


def dataset(graph: Graph, first: int, last: int, labels: bool = True) -> Dataset:
    x, y = digits()
    return from_arrays(graph, {graph.inputs[0]: x[first:last]}, y[first:last] if labels else None, name="digits")


@cache
def trained() -> Graph:
    """`untrained`, trained on the first 1,200 digits: about 95 % of the others."""
    from edgekit.passes import finetune
    from edgekit.trainable import to_graph, to_module

    graph = untrained()
    module = to_module(graph)
    finetune.train(module, dataset(graph, 0, 1200), epochs=5, lr=2e-2, batch=32)
    return to_graph(module)
