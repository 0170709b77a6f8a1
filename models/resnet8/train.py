"""Train the network and write its files: `python -m models.resnet8.train` (minutes on one core)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.resnet8.model import build, data, digits, paint
from models.training import accuracy, fit, save


def main() -> None:
    from torch.nn.functional import cross_entropy

    net, (ink, labels), test = build(trained=False), digits("train"), data("test")
    rng = np.random.default_rng(1)
    # New colours, backgrounds and places every epoch.
    fit(net, lambda _: (paint(ink, rng), labels), loss=cross_entropy, epochs=20, rate=4e-3)
    save(net, np.zeros((1, 3, 32, 32), np.float32), Path(__file__).parent)
    print(f"accuracy {accuracy(net, test):.4f} on {len(test['x'])} test images")


if __name__ == "__main__":
    main()
