"""A recurrent network and a Transformer for scikit-learn's digits, as PyTorch modules: for benchmarks/compression.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS = 32, 4


class Lstm(nn.Module):
    """A digit's eight rows one after another: LSTM of 64 units, the last one's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.lstm(x)[0][:, -1])
        return y


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(x.shape[0], x.shape[1], HEADS, -1).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class Transformer(nn.Module):
    """A digit's eight rows as tokens: two pre-norm blocks of four heads, the mean's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.place = nn.Linear(8, WIDTH), nn.Parameter(0.1 * torch.randn(1, 8, WIDTH))
        self.attention = nn.ModuleList([Attention() for _ in range(2)])
        self.inner = nn.ModuleList([nn.Sequential(nn.Linear(WIDTH, 128), nn.ReLU(), nn.Linear(128, WIDTH)) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(4)])
        self.out = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inside(x) + self.place
        for i, (attention, inner) in enumerate(zip(self.attention, self.inner, strict=True)):
            x = x + attention(self.norms[2 * i](x))
            x = x + inner(self.norms[2 * i + 1](x))
        y: Tensor = self.out(x.mean(1))
        return y


def build(net: str = "lstm") -> nn.Module:
    """Untrained, weights of seed 0: [N, 8, 8] -> [N, 10]."""
    torch.manual_seed(0)
    return {"lstm": Lstm, "transformer": Transformer}[net]().eval()


def example_inputs() -> tuple[Tensor, ...]:
    return (torch.zeros(1, 8, 8),)
