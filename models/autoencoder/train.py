"""Train the network and write its files: `python -m models.autoencoder.train` (seconds on one core)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.autoencoder.model import anomalies, build, data
from models.training import fit, predict, save


def main() -> None:
    from sklearn.metrics import roc_auc_score
    from torch.nn.functional import mse_loss

    net, x = build(trained=False), data("train")["x"]
    fit(net, lambda _: (x, x), loss=mse_loss, epochs=200, batch=32)
    save(net, np.zeros((1, 64), np.float32), Path(__file__).parent)
    errors = [np.mean((predict(net, part) - part) ** 2, axis=1) for part in (data("test")["x"], anomalies()["x"])]
    truth = np.repeat([0, 1], [len(part) for part in errors])
    print(f"area under the ROC curve {roc_auc_score(truth, np.concatenate(errors)):.4f} on {len(truth)} test digits")


if __name__ == "__main__":
    main()
