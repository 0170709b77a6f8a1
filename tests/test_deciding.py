"""deciding: no sample trains and decides, or decides and is reported on."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.data import Dataset
from edgekit.deciding import SHARE, parts
from edgekit.errors import BadConfig


def data(name: str, count: int, labels: bool = True) -> Dataset:
    return Dataset(name, np.arange(count), lambda row: {"x": np.full(1, row)}, np.arange(count) if labels else None)


def rows(found: Dataset | None) -> set[int]:
    assert found is not None
    return set(found.rows.tolist())


def test_a_part_of_the_training_data_decides() -> None:
    found = parts(data("train", 100), None, data("test", 50), SHARE)
    assert not rows(found.train) & rows(found.deciding)
    assert rows(found.train) | rows(found.deciding) == set(range(100))
    assert len(rows(found.deciding)) == round(100 * SHARE)
    assert rows(found.judged) == set(range(50))


def test_what_the_user_names_decides() -> None:
    given = data("val", 7)
    found = parts(data("train", 100), given, data("test", 50), SHARE)
    assert found.deciding is given
    assert rows(found.train) == set(range(100))


def test_nothing_is_set_aside_where_nothing_is_decided() -> None:
    found = parts(data("train", 100), None, data("test", 50), None)
    assert (len(rows(found.train)), found.deciding) == (100, None)


@pytest.mark.parametrize("train", [None, data("train", 20, labels=False)])
def test_without_labels_to_train_on_half_of_the_judged_decide(train: Dataset | None) -> None:
    found = parts(train, None, data("test", 50), SHARE)
    assert not rows(found.deciding) & rows(found.judged)
    assert len(rows(found.deciding)) == len(rows(found.judged)) == 25


def test_without_data_nothing_is_decided() -> None:
    with pytest.raises(BadConfig, match="nothing to decide by"):
        parts(None, None, None, SHARE)
