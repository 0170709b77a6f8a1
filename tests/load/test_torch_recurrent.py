"""PyTorch's LSTM and GRU arrive as sequence operators, however many layers and directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit import reference
from edgekit.load import load
from edgekit.passes.simplify import simplify

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, 2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(10, 4)
        self.out = nn.Linear(4, 3)

    def forward(self, x, h0):
        y, (h, c) = self.lstm(x)
        z, last = self.gru(y.transpose(0, 1), h0)
        return self.out(last[-1]), z[-1], torch.cat([c[-2], h[-1]], 1)

def build():
    torch.manual_seed(0)
    return Net()

def example_inputs():
    return torch.zeros(1, 7, 6), torch.zeros(1, 1, 4)
"""


def test_layers_and_directions(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    graph = simplify(load(f"{path}:build"), "deploy")
    assert [n.op for n in graph.nodes if n.op in ("LSTM", "GRU")] == ["LSTM"] * 4 + ["GRU"]
    assert len(graph.nodes) < 40
    scope: dict[str, object] = {}
    exec(compile(SOURCE, "net", "exec"), scope)
    model = scope["build"]().eval()  # type: ignore[operator]
    rng = np.random.default_rng(0)
    fed = [rng.normal(size=graph[n].shape).astype(np.float32) for n in graph.inputs]
    with torch.no_grad():
        expected = model(*(torch.from_numpy(a) for a in fed))
    found = reference.run(graph, dict(zip(graph.inputs, fed, strict=True)))
    for name, value in zip(graph.outputs, expected, strict=True):
        np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5)
