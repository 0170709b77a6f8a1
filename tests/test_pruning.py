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
from edgekit.pruning import Pruner, Settings, multiple_of
from edgekit.target import find_target
from tests.passes.digits import trained
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
    whole, cut = pruner.graph, pruner.cut(pruner.graph, pruner._budget((ops.macs(graph), 0)))
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
