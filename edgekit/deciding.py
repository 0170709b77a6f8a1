"""Which samples train, which decide (when to stop, how far to go) and which are only reported on, once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgekit.data import Dataset
from edgekit.errors import BadConfig
from edgekit.graph import Array
from edgekit.tasks import IGNORED

SHARE = 0.2  # of the training data decides, where nothing else was given
ENDS = 0.1  # decides when training ends, where that is all there is to decide


@dataclass(frozen=True)
class Parts:
    """train: None without data. deciding: None where nothing is decided by a metric. judged: None without labelled data."""

    train: Dataset | None
    deciding: Dataset | None
    judged: Dataset | None


def parts(train: Dataset | None, given: Dataset | None, judged: Dataset | None, share: float | None) -> Parts:
    """Data to train on, to decide by and to report on, no sample in two of them.

    given: what the user wants decided by (--val). share: of the training data that decides where nothing was given (None:
    nothing is to be decided). Without labels to train on, half of the judged samples decide and the other half is reported.
    Raises BadConfig when there is nothing to decide by.
    """
    known = None if train is None else replace(train, held_out=None)
    if given is not None or share is None:
        return Parts(known, given, judged)
    if known is not None and (known.labels is not None or judged is None or judged.labels is None):
        divided = known.split(share)
        return Parts(replace(divided, held_out=None), divided.held_out, judged)
    if judged is None:
        raise BadConfig("there is nothing to decide by", "--val D3, or labelled --data")
    halves = judged.split(0.5)
    name = judged.name
    kept = None if halves.held_out is None else replace(halves.held_out, name=f"{name} (other half)")
    return Parts(known, replace(halves, held_out=None, name=f"{name} (half of it)"), kept)


def words(data: Dataset) -> str:
    """How many samples of what."""
    return f"{len(data):,} samples of {data.name}"


def joined(labelled: Dataset, unlabelled: Dataset) -> Dataset:
    """Both, the second without its labels (IGNORED): classes, one a sample. Raises BadConfig for labels of another kind."""
    labels, count = labelled.labels, len(labelled)
    if labels is None or labels.dtype.kind not in "iu" or labels.size != len(labels):
        raise BadConfig(
            "--unlabelled goes beside samples that are labelled with one class each", "--labels 0 with all as --data"
        )

    def read(place: int) -> dict[str, Array]:
        if place < count:
            return labelled[place]
        return dict(zip(labelled[0], unlabelled[place - count].values(), strict=True))

    known = np.concatenate([labels.reshape(-1).astype(np.int64), np.full(len(unlabelled), IGNORED)])
    name = f"{labelled.name}, {unlabelled.name} (unlabelled)"
    return Dataset(name, np.arange(len(known)), read, known, None, tuple(dict.fromkeys((*labelled.notes, *unlabelled.notes))))
