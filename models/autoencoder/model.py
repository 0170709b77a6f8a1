"""A dense autoencoder that finds anomalies: it restores what it was trained on (digits 0-4) and fails on the rest (5-9)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.graph import InputContract, InputSpec

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]


def build(trained: bool = True) -> torch.nn.Module:
    """float32 [N, 64] in 0..1 -> its restoration, float32 [N, 64]; the code between has 8 numbers."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    torch.manual_seed(0)
    sizes = (64, 48, 48, 8, 48, 48, 64)
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes[:-1]):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
    if trained:
        net.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    return net.eval()


def example_inputs() -> tuple[torch.Tensor, ...]:
    """One input of the shape the network is exported with."""
    import torch

    return (torch.zeros(1, 64),)


def digits(split: str) -> tuple[Array, Array]:
    """(x float32 [n, 64] in 0..1, digit int64 [n]): the 8 x 8 scans that come with scikit-learn; every fourth is in "test"."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    test = np.arange(len(x)) % 4 == 0
    keep = test if split == "test" else ~test
    return (x[keep] / 16).astype(np.float32), y[keep].astype(np.int64)


def data(split: str = "train") -> dict[str, Array]:
    """{"x": float32 [n, 64]} of normal samples, without labels; split is "train" or "test"."""
    x, y = digits(split)
    return {"x": x[y < 5]}


def anomalies() -> dict[str, Array]:
    """{"x": float32 [n, 64]} of digits the network never saw."""
    x, y = digits("test")
    return {"x": x[y >= 5]}


def contract() -> InputContract:
    """Ink 0..1, row by row."""
    return InputContract({"input": InputSpec(kind="table", range=(0.0, 1.0))})
