"""Train the network and write its files: `python -m models.lenet5.train` (under a minute on one core)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.lenet5.model import Array, build, data
from models.training import accuracy, fit, save


def shifted(x: Array, rng: np.random.Generator, reach: int = 2) -> Array:
    """Each image moved by up to `reach` pixels, edges filled with zeros."""
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    moves = rng.integers(0, 2 * reach + 1, (len(x), 2))
    size = x.shape[-1]
    return np.stack([image[:, i : i + size, j : j + size] for image, (i, j) in zip(padded, moves, strict=True)])


def main() -> None:
    from torch.nn.functional import cross_entropy

    net, train, test = build(trained=False), data("train"), data("test")
    rng = np.random.default_rng(1)
    fit(net, lambda _: (shifted(train["x"], rng), train["y"]), loss=cross_entropy, epochs=60)
    save(net, np.zeros((1, 1, 28, 28), np.float32), Path(__file__).parent)
    print(f"accuracy {accuracy(net, test):.4f} on {len(test['x'])} test digits")


if __name__ == "__main__":
    main()
