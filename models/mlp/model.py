"""A small dense network on a table: 30 measurements of a cell nucleus -> malignant or benign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.graph import InputContract, InputSpec, OutputSpec

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
LABELS = ("malignant", "benign")


def build(trained: bool = True) -> torch.nn.Module:
    """float32 [N, 30] standardized columns -> [N, 2] logits."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, len(LABELS)))
    if trained:
        net.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    return net.eval()


def example_inputs() -> tuple[torch.Tensor, ...]:
    """One input of the shape the network is exported with."""
    import torch

    return (torch.zeros(1, 30),)


def raw(split: str) -> tuple[Array, Array]:
    """(x float64 [n, 30], y int64 [n]) as published; every fourth row is in "test"."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    test = np.arange(len(x)) % 4 == 0
    keep = test if split == "test" else ~test
    return x[keep], y[keep].astype(np.int64)


def scaling() -> tuple[Array, Array]:
    """(mean, standard deviation) of each column over the training rows."""
    x, _ = raw("train")
    return x.mean(0), x.std(0)


def data(split: str = "train") -> dict[str, Array]:
    """{"x": float32 [n, 30] standardized, "y": int64 [n]}; split is "train" (426 rows) or "test" (143 rows)."""
    x, y = raw(split)
    mean, std = scaling()
    return {"x": ((x - mean) / std).astype(np.float32), "y": y}


def contract() -> InputContract:
    """What the application feeds: the raw columns, less their mean, over their standard deviation."""
    mean, std = scaling()
    return InputContract(
        {"input": InputSpec(kind="table", mean=tuple(mean.tolist()), std=tuple(std.tolist()))}, {"output": OutputSpec(LABELS)}
    )
