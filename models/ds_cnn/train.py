"""Train the network and write its files: `python -m models.ds_cnn.train --recordings fsdd.npz` (minutes on one core)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from models.ds_cnn.model import COEFFICIENTS, Array, build, data, features, place, recordings, synthetic
from models.training import accuracy, fit, save


def main() -> None:
    from torch.nn.functional import cross_entropy

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", required=True, metavar="FILE", help="the Free Spoken Digit Dataset (see card.md)")
    path = parser.parse_args().recordings

    people, people_labels = recordings(path, "train")
    voices, voice_labels = synthetic("train")
    # Each recording twice an epoch, so that people and voices weigh about the same; a new place, loudness and noise each time.
    waves = [*people, *people, *voices]
    labels = np.concatenate([people_labels, people_labels, voice_labels])
    rng = np.random.default_rng(1)

    def epoch_data(_: int) -> tuple[Array, Array]:
        return features(place(waves, rng)), labels

    net = build(trained=False)
    fit(net, epoch_data, loss=cross_entropy, epochs=25, rate=4e-3, decay=1e-3)
    save(net, np.zeros((1, 1, 49, COEFFICIENTS), np.float32), Path(__file__).parent)
    test, test_labels = recordings(path, "test")
    placed = {"x": features(place(list(test), np.random.default_rng(5))), "y": test_labels}
    print(f"accuracy {accuracy(net, placed):.4f} on {len(test)} recordings of people")
    print(f"accuracy {accuracy(net, data('test')):.4f} on {len(data('test')['x'])} clips of unheard synthetic voices")


if __name__ == "__main__":
    main()
