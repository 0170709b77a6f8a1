"""The network of benchmarks/speech.py and its training: PyTorch's side, run in a process of its own.

python benchmarks/speech_net.py FEATURES.npz WEIGHTS.pth [EPOCHS]      arrays x [n, frames, coefficients], y [n]
"""

from __future__ import annotations

import sys

import torch
from torch import nn

CLASSES, WIDTH, BLOCKS = 10, 32, 3
FRAMES, COEFFICIENTS = 49, 13


class Keywords(nn.Module):
    """A depthwise-separable network (Zhang et al. 2017, Hello Edge), small: features [n, frames, coefficients] -> scores."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.BatchNorm2d(1),
            nn.Conv2d(1, WIDTH, (5, 4), (2, 2), (2, 1)),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
        ]
        for _ in range(BLOCKS):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, groups=WIDTH), nn.BatchNorm2d(WIDTH), nn.ReLU()]
            layers += [nn.Conv2d(WIDTH, WIDTH, 1), nn.BatchNorm2d(WIDTH), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.body(x[:, None]).mean((2, 3)))
        return scores


def build() -> nn.Module:
    """The network, untrained."""
    return Keywords().eval()


def example_inputs() -> torch.Tensor:
    """One clip's features."""
    return torch.zeros(1, FRAMES, COEFFICIENTS)


def train(features: str, weights: str, epochs: int) -> None:
    """Cross-entropy on clips shifted in time by up to 8 frames and in loudness; writes the weights."""
    import numpy as np

    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(features) as data:
        x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    net, batch = Keywords().train(), 32
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    steps = epochs * (len(x) // batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    silence = x.amin((0, 1))
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            chosen = order[start : start + batch]
            clips = x[chosen].clone()
            for clip in clips:
                shift = int(torch.randint(-2, 9, ()))
                clip[:] = torch.roll(clip, shift, 0)
                if shift > 0:
                    clip[:shift] = silence
            clips[:, :, 0] += torch.randn(len(clips), 1) * 3.0
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(clips), y[chosen], label_smoothing=0.05).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
    torch.save(net.eval().state_dict(), weights)


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 40)
