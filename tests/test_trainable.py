"""trainable: a Graph as a torch module and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from edgekit import reference
from edgekit.boundary import random_feeds
from edgekit.errors import BadModel, Unsupported
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const
from edgekit.ops import TABLE
from edgekit.passes.rebatch import rebatch
from edgekit.trainable import batch_axis, logits_of, to_graph, to_module, to_tensors
from edgekit.trainable_ops import RULES
from tests.export.c.nets import families, feeds, many, tangle


def same(graph: Graph, given: dict[str, Array], tolerance: float = 1e-4) -> None:
    """The module's outputs are the reference's, near enough for another order of sums."""
    expected = reference.run(graph, given)
    found = to_module(graph)(to_tensors(graph, given))
    for name in graph.outputs:
        y = found[name].detach().numpy()
        assert y.shape == expected[name].shape
        assert y.dtype == expected[name].dtype
        both = np.isfinite(expected[name]) if y.dtype.kind == "f" else np.ones(y.shape, bool)
        size = max(1.0, float(np.abs(expected[name][both]).max(initial=0)) if y.dtype.kind == "f" else 1.0)
        np.testing.assert_allclose(y[both], expected[name][both], rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("family", list(families("float32")))
def test_every_family_means_the_same(family: str) -> None:
    graph = many("float32", family, 12, seed=5)
    same(graph, feeds(graph, np.random.default_rng(1)))


@pytest.mark.parametrize("seed", range(3))
def test_networks_mean_the_same_and_come_back_exactly(seed: int) -> None:
    graph = tangle("float32", 10, seed)
    same(graph, feeds(graph, np.random.default_rng(1)), 1e-3)
    back = to_graph(to_module(graph))
    assert back.nodes == graph.nodes
    for name, tensor in graph.tensors.items():
        assert tensor.data is None or back[name].real().tobytes() == tensor.real().tobytes()


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("extra", [{}, {"reverse": True}, {"reset_after": False}, {"activation": "RELU"}])
def test_recurrent_cells(op: str, extra: dict[str, object]) -> None:
    if any(name not in TABLE[op].attrs for name in extra):
        pytest.skip(f"{op} has no such attribute")
    rng = np.random.default_rng(3)
    gates: int = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    last: dict[str, list[tuple[int, ...]]] = {"LSTM": [(2, 4)], "GRU": [(4,)], "RNN": []}
    shapes = [(2, 5, 3), (gates * 4, 3), (gates * 4, 4), (gates * 4,), (2, 4), *last[op]]
    arrays = [rng.normal(0, 0.5, s).astype(np.float32) for s in shapes]
    names = [f"v{i}" for i in range(len(arrays))]
    data = (0, 4, 5) if op == "LSTM" else (0, 4)
    tensors = [
        Tensor(n, a.shape, "float32") if i in data else const(n, a) for i, (n, a) in enumerate(zip(names, arrays, strict=True))
    ]
    outs = [Tensor("y", (2, 5, 4), "float32"), *(Tensor(n, (2, 4), "float32") for n in ("h", "c")[: 2 if op == "LSTM" else 1])]
    node = Node(op, tuple(names), tuple(t.name for t in outs), extra)
    graph = build("cell", [names[i] for i in data], [t.name for t in outs], [node], [*tensors, *outs])
    same(graph, {names[i]: arrays[i] for i in data})


def test_every_operator_with_parameters_upstream_has_a_rule() -> None:
    assert set(TABLE) - set(RULES) - {"BATCH_NORM"} <= {"STFT", "FILTER_BANK"}
    assert set(RULES) <= set(TABLE)


def normed(training_data: bool = False) -> Graph:
    """conv, batch norm, relu, mean, dense, softmax; 4 classes."""
    rng = np.random.default_rng(0)
    values = {
        "w": rng.normal(0, 0.4, (6, 3, 3, 2)),
        "gamma": rng.uniform(0.5, 1.5, 6),
        "beta": rng.normal(size=6),
        "mean": rng.normal(size=6),
        "var": rng.uniform(0.5, 2, 6),
        "d": rng.normal(0, 0.4, (4, 6)),
        "b": np.zeros(4),
    }
    constants = [const(n, v.astype(np.float32)) for n, v in values.items()]
    shapes = {"x": (1, 8, 8, 2), "c": (1, 6, 6, 6), "n": (1, 6, 6, 6), "r": (1, 6, 6, 6), "m": (1, 6), "l": (1, 4), "y": (1, 4)}
    nodes = [
        Node("CONV_2D", ("x", "w"), ("c",)),
        Node("BATCH_NORM", ("c", "gamma", "beta", "mean", "var"), ("n",)),
        Node("RELU", ("n",), ("r",)),
        Node("MEAN", ("r",), ("m",), {"axes": (1, 2)}),
        Node("FULLY_CONNECTED", ("m", "d", "b"), ("l",)),
        Node("SOFTMAX", ("l",), ("y",)),
    ]
    return build("normed", ["x"], ["y"], nodes, [*constants, *(Tensor(n, s, "float32") for n, s in shapes.items())])


def test_any_batch_size_and_statistics_that_follow_the_data() -> None:
    graph = normed()
    module = to_module(graph)
    wide = rebatch(graph, 7)
    given = {"x": random_feeds(wide, 1)[0]["x"]}
    expected = reference.run(wide, given)["y"]
    np.testing.assert_allclose(module(to_tensors(graph, given))["y"].detach().numpy(), expected, atol=1e-5)
    before = to_graph(module)
    module.train()
    module(to_tensors(graph, given))
    after = to_graph(module)
    assert not np.array_equal(after["mean"].real(), before["mean"].real())
    assert np.array_equal(after["w"].real(), before["w"].real())
    assert len(module._scales) == 0


def test_folded_networks_get_scales_and_masks_hold() -> None:
    graph = normed()
    module = to_module(graph, scales=True)
    with torch.no_grad():
        getattr(module, module._scales["d"][0]).mul_(2.0)
    module.set_masks({"w": np.zeros(graph["w"].shape, bool)})
    made = to_graph(module, "train")
    assert np.array_equal(made["d"].real(), 2 * graph["d"].real())
    assert not np.any(made["w"].real())
    assert made.history[-1] == "train"


def test_gradients_reach_every_constant_that_is_learned() -> None:
    graph = normed()
    module = to_module(graph, scales=True).train()
    x = torch.randn(5, 8, 8, 2, generator=torch.Generator().manual_seed(0))
    module(x, keep=("l",))["l"].square().sum().backward()
    assert set(module.learned) == {"w", "gamma", "beta", "d", "b"}
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())
    assert logits_of(graph) == ("l", "softmax")
    assert batch_axis(graph, "x") == 0


def test_what_cannot_be_trained_is_refused() -> None:
    graph = normed()
    quantized = replace(graph, tensors={**graph.tensors, "y": replace(graph["y"], quant=Quant.per_tensor(0.1))})
    with pytest.raises(BadModel, match="quantized already"):
        to_module(quantized)
    nodes = [*graph.nodes[:-1], Node("STFT", ("l",), ("y",), {}, "late")]
    with pytest.raises(Unsupported, match="STFT 'late'"):
        to_module(replace(graph, nodes=tuple(nodes)))
