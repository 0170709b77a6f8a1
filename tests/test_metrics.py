"""metrics: hand-computed values and the cases that have no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit import metrics
from edgekit.errors import BadData


def test_sqnr_of_a_known_ratio() -> None:
    assert metrics.sqnr_db(np.array([10.0, 0.0]), np.array([9.0, 0.0])) == pytest.approx(20.0)
    # Signal and noise are summed over all samples before dividing: 200 / 2.
    assert metrics.sqnr_db([np.array([10.0]), np.array([10.0])], [np.array([9.0]), np.array([11.0])]) == pytest.approx(20.0)


def test_sqnr_limits() -> None:
    x = np.ones(3)
    assert metrics.sqnr_db(x, x) == math.inf
    assert metrics.sqnr_db(np.zeros(3), x) == -math.inf
    assert metrics.sqnr_db(x, np.array([1.0, np.nan, 1.0])) == -math.inf
    with pytest.raises(BadData):
        metrics.sqnr_db(x, np.ones(4))


def test_equal_infinities_and_nan_are_no_difference() -> None:
    x = np.array([1.0, np.inf, -np.inf, np.nan])
    assert metrics.difference(x, x).tolist() == [0.0] * 4
    assert metrics.sqnr_db(x, x) == math.inf
    assert metrics.difference(x, -x)[:3].tolist() == [2.0, math.inf, math.inf]
    assert metrics.sqnr_db(x, np.array([0.9, *x[1:]])) == pytest.approx(20.0)
    for wrong in (np.array([1.0, 1.0, -np.inf, np.nan]), np.array([1.0, np.inf, -np.inf, 0.0])):
        assert metrics.sqnr_db(x, wrong) == metrics.sqnr_db(wrong, x) == -math.inf


def test_max_lsb_does_not_wrap() -> None:
    assert metrics.max_lsb(np.array([-128], np.int8), np.array([127], np.int8)) == 255


def test_argmax_agreement_allows_ties() -> None:
    ref = [np.array([[0.1, 0.9]]), np.array([[0.9, 0.1]])]
    assert metrics.argmax_agreement(ref, [np.array([[1, 1]]), np.array([[0, 1]])]) == 0.5


def test_accuracy() -> None:
    outputs = [np.array([[0.0, 1.0, 0.5]]), np.array([[2.0, 1.0, 0.5]])]
    assert metrics.accuracy(outputs, np.array([1, 1])) == 0.5
    assert metrics.accuracy(outputs, np.array([[0, 1, 0], [1, 0, 0]])) == 1.0
    assert metrics.accuracy([np.array([[0.7]]), np.array([[0.2]])], np.array([1, 1])) == 0.5


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.array([0.5, 1.5]), "regression"),
        (np.array([[1, 1, 0], [1, 0, 0]]), "several"),
        (np.array([1]), "1 labels for 2"),
        (np.array(["a", "b"]), "numbers"),
    ],
)
def test_accuracy_says_why_not(labels: np.ndarray, why: str) -> None:
    with pytest.raises(BadData, match=why):
        metrics.accuracy([np.array([[0.0, 1.0, 0.5]])] * 2, labels)


def test_accuracy_refuses_maps_and_odd_single_labels() -> None:
    with pytest.raises(BadData, match="one answer"):
        metrics.accuracy([np.zeros((1, 4, 4, 2))], np.array([1]))
    with pytest.raises(BadData, match="0 and 1"):
        metrics.accuracy([np.zeros((1, 1))], np.array([3]))
