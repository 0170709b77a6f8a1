"""pruning: the whole way for networks that are not made of convolutions, and limits measured on a target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from edgekit import ops, reference
from edgekit.data import Dataset, from_arrays
from edgekit.errors import BadConfig
from edgekit.graph import Graph
from edgekit.metrics import sqnr_db
from edgekit.pipeline import Source
from edgekit.pruning import Pruner, multiple_of
from edgekit.pruning_search import sizes
from edgekit.pruning_settings import WAYS, Settings, Share
from edgekit.target import find_target
from tests.passes.digits import dataset, trained
from tests.passes.prune_nets import attention, recurrent


def samples(graph: Graph, count: int = 64) -> Dataset:
    """Random inputs without labels."""
    name = graph.inputs[0]
    x = np.random.default_rng(0).normal(size=(count, *graph[name].shape[1:])).astype(np.float32)
    return from_arrays(graph, {name: x})


@pytest.mark.parametrize("make", [attention, recurrent])
def test_the_teacher_s_answers_bring_a_network_back(make: object) -> None:
    graph = make()  # type: ignore[operator]
    data = samples(graph)
    settings = Settings(ratio=0.3, multiple=1, epochs=20, lr=1e-2, batch=16)
    pruner = Pruner(Source("net", "", graph), settings, None, data, None)
    whole, cut = pruner.graph, pruner.cut(pruner.graph, pruner._budget(pruner.graph))
    result = pruner.result(Path("net.onnx"))
    assert result.macs[1] <= 0.7 * result.macs[0]
    assert result.judged is None
    assert {kind for _, kind, _, _ in result.layers} <= {"channels", "heads", "units"}
    assert any(after < before for _, _, before, after in result.layers)
    feeds = [data[i] for i in range(8)]

    def distance(other: Graph) -> float:
        name = whole.outputs[0]
        return sqnr_db([reference.run(whole, f)[name] for f in feeds], [reference.run(other, f)[name] for f in feeds])

    assert distance(result.graph) > distance(cut) + 1.0


def test_limits_on_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends at the most MACs that keep the limit (here made up: 2 B of flash a MAC)."""
    from edgekit.measure import Measurement
    from edgekit.report.model import TargetResult

    graph, board = trained(), find_target("mcu")

    def measured(self: Pruner, found: Graph) -> TargetResult:
        return TargetResult("board", "c", (Measurement("flash", 2 * ops.macs(found), "B", "emulated"),))

    monkeypatch.setattr(Pruner, "on_target", measured)
    most = ops.macs(graph)
    kept = Pruner(Source("net", "", graph), Settings(flash=most, epochs=0), board, None, None).run()[0]
    assert 0.3 * most < ops.macs(kept) <= most // 2
    for settings, why in ((Settings(flash=100), "does not keep flash 100"), (Settings(ram=10), "cannot be judged")):
        with pytest.raises(BadConfig, match=why):
            Pruner(Source("net", "", graph), settings, board, None, None).run()


def test_channels_stay_multiples_of_what_kernels_take() -> None:
    assert [multiple_of(None if t is None else find_target(t)) for t in (None, "mcu", "rpi", "cortex-m55:flash=1M,ram=1M")] == [
        *(4, 4, 8, 16)
    ]


def test_shares_of_the_whole_are_met_closely_and_parameters_pay_for_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash made up of a constant and 1 B a parameter, instructions of 3 a MAC."""
    from edgekit.measure import Measurement
    from edgekit.report.model import TargetResult

    graph, board, asked = trained(), find_target("mcu"), list[int]()

    def measured(self: Pruner, found: Graph) -> TargetResult:
        size = sizes(found)
        asked.append(size["params"])
        flash, instructions = 1000 + size["params"], 500 + 3 * size["macs"]
        values = (("flash", flash, "B"), ("instructions", instructions, ""))
        return TargetResult("board", "c", tuple(Measurement(n, float(v), u, "emulated") for n, v, u in values))

    monkeypatch.setattr(Pruner, "on_target", measured)
    whole = sizes(graph)
    settings = Settings(flash=Share(0.5), instructions=Share(0.6), multiple=1, epochs=0)
    kept = sizes(Pruner(Source("net", "", graph), settings, board, None, None).run()[0])
    assert 0.4 * (1000 + whole["params"]) < 1000 + kept["params"] <= 0.5 * (1000 + whole["params"])
    assert 500 + 3 * kept["macs"] <= 0.6 * (500 + 3 * whole["macs"])
    assert len(asked) <= 8  # each is a compilation and a run


def test_auto_takes_what_is_best_on_the_samples_that_decide() -> None:
    graph = trained()
    settings = Settings(ratio=0.7, score="auto", epochs=5, lr=5e-3, batch=32)
    pruner = Pruner(Source("net", "", graph), settings, None, dataset(graph, 0, 500), dataset(graph, 1200, 1797))
    result = pruner.result(Path("net.onnx"))
    assert [(t.score, t.scope) for t in result.tried] == list(WAYS)
    best = max(result.tried, key=lambda t: t.metric)
    assert (pruner.settings.score, pruner.settings.scope) == (best.score, best.scope)
    assert pruner.deciding is not None
    assert (len(pruner.deciding), result.trained) == (100, 400)
    assert result.decided is not None
    assert result.decided.note == "100 samples of digits (held out)"
    assert result.judged is not None
    assert result.judged.note == "597 samples of digits"


def test_max_drop_decides_on_samples_that_are_not_reported_on() -> None:
    graph = trained()
    settings = Settings(max_drop=100, steps=2, epochs=1, ratio=0.4)
    result = Pruner(Source("net", "", graph), settings, None, dataset(graph, 0, 300), dataset(graph, 1200, 1797)).result(
        Path("net.onnx"), bench=False
    )
    assert result.decided is not None
    assert result.decided.note == "60 samples of digits (held out)"
    assert result.decided.after == result.steps[-1].recovered
    assert result.judged is not None
    assert result.judged.note == "597 samples of digits"
