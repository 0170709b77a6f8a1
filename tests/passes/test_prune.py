"""prune: what hangs together goes together, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from edgekit import ops, reference
from edgekit.boundary import random_feeds
from edgekit.errors import BadConfig
from edgekit.graph import Graph, build
from edgekit.passes.prune import SCORES, Budget, Coupling, Unit, choose, masked, masks_of, scores_of, without
from edgekit.passes.simplify import simplify
from tests.passes.prune_nets import NETS, conv, dense, language, net
from tests.passes.random_net import random_graph


def zeroed(graph: Graph, units: Sequence[Unit]) -> Graph:
    """The graph with zeros in every constant where the units have a place."""
    tensors = dict(graph.tensors)
    for unit in units:
        for (name, axis), indices in unit.places.items():
            tensor = tensors[name]
            if tensor.data is not None and tensor.dtype == "float32":
                data = tensor.data.copy()
                np.moveaxis(data, axis, 0)[list(indices)] = 0
                tensors[name] = replace(tensor, data=data)
    return replace(graph, tensors=tensors)


def drawn(graph: Graph, seed: int) -> list[Unit]:
    """Up to a third of every group's units."""
    rng = np.random.default_rng(seed)
    return [
        g.units[i] for g in Coupling(graph).groups() for i in rng.permutation(g.size)[: int(rng.integers(0, g.size // 3 + 1))]
    ]


def same_function(graph: Graph, units: Sequence[Unit]) -> None:
    cut, feeds = without(graph, units), random_feeds(graph, 1)[0]
    before, after = reference.run(zeroed(graph, units), feeds), reference.run(cut, feeds)
    for name in graph.outputs:
        scale = float(np.abs(before[name]).max(initial=1e-6))
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("seed", range(4))
def test_leaving_out_zeros_changes_nothing(name: str, seed: int) -> None:
    graph = NETS[name]()
    same_function(graph, drawn(graph, seed))


@pytest.mark.parametrize("seed", range(20))
def test_leaving_out_zeros_changes_nothing_in_random_networks(seed: int) -> None:
    graph = simplify(random_graph(seed), "train")
    same_function(graph, drawn(graph, seed))


def test_every_unit_by_itself() -> None:
    graph = NETS["images"]()
    for group in Coupling(graph).groups():
        same_function(graph, [group.units[-1]])


def test_groups_of_a_network() -> None:
    kinds = {(g.kind, g.size) for g in Coupling(NETS["attention"]()).groups()}
    assert ("heads", 4) in kinds  # whole heads, of queries, keys and values
    assert ("channels", 32) in kinds  # the gated inner width
    assert kinds <= {("heads", 4), ("channels", 32), ("channels", 6), ("units", 6)}
    cells = {g.name: (g.kind, g.size) for g in Coupling(NETS["recurrent"]()).groups()}
    assert cells == {"LSTM": ("channels", 12), "GRU": ("channels", 8), "RNN": ("channels", 10)}


def test_the_width_of_a_residual_stream_goes_through_its_norms() -> None:
    for graph in (language(), bare(language())):
        groups = {g.size: g for g in Coupling(graph).groups()}
        assert set(groups) == {16, 20}
        same_function(graph, [groups[16].units[i] for i in (0, 5, 6, 11)])
        cut = without(graph, groups[16].units[:4])
        assert {cut[n.outputs[0]].shape[-1] for n in cut.nodes if n.op == "RMS_NORM"} == {12}


def test_layer_norms_are_exact_where_what_stays_has_mean_zero() -> None:
    gone = np.isin(np.arange(16), (0, 5, 6, 11))
    graph = language("LAYER_NORM", without=gone)
    stream = next(g for g in Coupling(graph).groups() if g.size == 16)
    units = [stream.units[i] for i in np.flatnonzero(gone)]
    same_function(graph, units)
    off = language("LAYER_NORM")
    with pytest.raises(AssertionError):  # in general it is only near
        same_function(off, units)


def bare(graph: Graph) -> Graph:
    """RMS_NORM without gamma."""
    nodes = [replace(n, inputs=n.inputs[:1]) if n.op == "RMS_NORM" else n for n in graph.nodes]
    return build(graph.name, graph.inputs, graph.outputs, nodes, graph.tensors)


def test_edges_stay() -> None:
    n = net()
    graph = n.graph([conv(n, n.input((1, 5, 5, 8)), 16)])
    assert Coupling(graph).groups() == []
    with pytest.raises(BadConfig, match="no channels"):
        choose(graph, [], [], Budget(macs=0))


def test_residual_sums_lose_the_same_channels() -> None:
    n = net()
    a = conv(n, n.input((1, 6, 6, 3)), 8)
    y = n.op("ADD", [conv(n, a, 8), a], None)[0]
    graph = n.graph([dense(n, y, 2)])
    (group,) = Coupling(graph).groups()
    assert group.size == 8
    cut = without(graph, group.units[:3])
    assert cut[y].shape == (1, 6, 6, 5)
    assert cut[cut.nodes[-1].inputs[1] or ""].shape == (2, 180)


def plain() -> Graph:
    n = net(4)
    y = conv(n, conv(n, conv(n, n.input((1, 8, 8, 3)), 16, norm=True), 32, norm=True), 32, norm=True)
    return n.graph([dense(n, n.op("MEAN", [y], None, axes=(1, 2))[0], 4)])


@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("score", SCORES)
def test_budgets_are_met_in_multiples(scope: str, score: str) -> None:
    graph = plain()
    groups, half = Coupling(graph).groups(), ops.macs(graph) // 2
    made_up = {n: {a: np.arange(s) + 1.0 for a, s in enumerate(t.shape)} for n, t in graph.tensors.items() if t.is_const}
    scores = scores_of(graph, groups, score, made_up)  # type: ignore[arg-type]
    units = choose(graph, groups, scores, Budget(macs=half), scope=scope, multiple=4)  # type: ignore[arg-type]
    cut = without(graph, units)
    assert 0.25 * half < ops.macs(cut) <= half
    sizes = [g.size for g in Coupling(cut).groups()]
    assert all(n % 4 == 0 for n in sizes)
    if scope == "uniform":
        shares = [a / b.size for a, b in zip(sizes, groups, strict=True)]
        assert max(shares) - min(shares) < 0.2


@pytest.mark.parametrize("score", ["l1", "l2", "bn"])
def test_the_weakest_go_first(score: str) -> None:
    graph = plain()
    groups = Coupling(graph).groups()
    weak = [g.units[i] for g in groups for i in (1, 5)]
    tensors = dict(graph.tensors)
    for name, tensor in zeroed(graph, weak).tensors.items():
        if tensor.data is not None and tensor.dtype == "float32":
            tensors[name] = replace(tensor, data=(1e-3 * graph[name].real() + 0.999 * tensor.data).astype(np.float32))
    faint = replace(graph, tensors=tensors)
    scores = scores_of(faint, groups, score)  # type: ignore[arg-type]
    assert [sorted(np.argsort(s)[:2].tolist()) for s in scores] == [[1, 5]] * 3


def test_what_would_empty_a_layer_is_refused() -> None:
    graph = plain()
    groups = Coupling(graph).groups()
    with pytest.raises(BadConfig, match="empty layers"):
        choose(graph, groups, scores_of(graph, groups, "l2"), Budget(macs=ops.macs(graph) // 200))
    with pytest.raises(BadConfig, match="nothing would be left"):
        without(graph, groups[0].units)
    n = net()
    folded = n.graph([dense(n, conv(n, n.input((1, 4, 4, 2)), 4), 3)])
    with pytest.raises(BadConfig, match="no batch norm"):
        scores_of(folded, Coupling(folded).groups(), "bn")


def test_zeros_one_by_one_and_n_of_m() -> None:
    graph = plain()
    masks = masks_of(graph, 0.6)
    kept = sum(int(m.sum()) for m in masks.values()) / sum(m.size for m in masks.values())
    assert kept == pytest.approx(0.4, abs=0.01)
    cut = masked(graph, masks)
    assert all(np.array_equal(cut[n].real() != 0, m & (graph[n].real() != 0)) for n, m in masks.items())
    for name, mask in masks_of(graph, 0, (2, 4)).items():
        rows = mask.reshape(-1, mask.shape[-1])
        whole = rows[:, : rows.shape[1] // 4 * 4].reshape(-1, 4)
        assert np.all(whole.sum(1) == 2)
        assert np.all(rows[:, rows.shape[1] // 4 * 4 :])
        sizes = np.abs(graph[name].real()).reshape(-1, mask.shape[-1])[:, : rows.shape[1] // 4 * 4].reshape(-1, 4)
        assert np.all(np.where(whole, np.inf, sizes).min(1) <= np.where(whole, sizes, np.inf).min(1))
    for wrong in ((0.0, None), (1.0, None), (0.5, (4, 4)), (0.5, (0, 4))):
        with pytest.raises(BadConfig):
            masks_of(graph, *wrong)
