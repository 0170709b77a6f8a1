"""Train the network and write its files: `python -m models.mlp.train` (seconds on one core)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.mlp.model import build, data
from models.training import accuracy, fit, save


def main() -> None:
    from torch.nn.functional import cross_entropy

    net, train, test = build(trained=False), data("train"), data("test")
    fit(net, lambda _: (train["x"], train["y"]), loss=cross_entropy, epochs=40, batch=32, rate=3e-3, decay=1e-2)
    save(net, np.zeros((1, 30), np.float32), Path(__file__).parent)
    print(f"accuracy {accuracy(net, test):.4f} on {len(test['x'])} test rows")


if __name__ == "__main__":
    main()
