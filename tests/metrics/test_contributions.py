"""Contributions of rows: their mean is the value, their spread is its uncertainty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.metrics import metric_named

TWO = ("roc_auc", "f1")
SHARES = {2: [0.8, 0.2], 4: [0.4, 0.3, 0.2, 0.1]}


@given(data=st.data())
def test_the_mean_of_contributions_is_the_value(data, tied_predictions, every_metric):
    probs, targets = data.draw(tied_predictions())
    for metric in every_metric(probs.shape[1]):
        rows = metric.contributions(probs, targets)
        assert rows.shape == targets.shape
        assert rows.dtype == np.float64
        np.testing.assert_allclose(
            rows.mean(), metric.values(probs, targets), atol=1e-12, err_msg=metric.name
        )


@given(data=st.data())
def test_contributions_move_with_their_rows(data, tied_predictions, every_metric):
    probs, targets = data.draw(tied_predictions())
    order = np.array(data.draw(st.permutations(range(len(targets)))))
    for metric in every_metric(probs.shape[1]):
        np.testing.assert_allclose(
            metric.contributions(probs[order], targets[order]),
            metric.contributions(probs, targets)[order],
            atol=1e-12,
            err_msg=metric.name,
        )


@pytest.mark.parametrize("n_classes", [2, 4])
def test_contributions_are_what_leaving_a_row_out_changes(n_classes, rng, drawn, every_metric):
    probs, targets = drawn(rng, 500, SHARES[n_classes])
    for metric in every_metric(n_classes):
        value = metric.values(probs, targets)
        without = [
            metric.values(np.delete(probs, row, axis=0), np.delete(targets, row))
            for row in range(500)
        ]
        influence = metric.contributions(probs, targets) - value
        jackknife = 499 * (value - np.array(without))
        largest = np.abs(influence).max()
        np.testing.assert_allclose(jackknife, influence, atol=0.03 * largest, err_msg=metric.name)


def placements(scores, is_positive):
    above = scores[is_positive][:, None] - scores[~is_positive]
    wins = (above > 0) + 0.5 * (above == 0)
    return wins.mean(1), wins.mean(0)


def delong(scores_a, scores_b, is_positive):
    """The covariance of two areas on the same rows (DeLong, DeLong and Clarke-Pearson, 1988)."""
    positive_a, negative_a = placements(scores_a, is_positive)
    positive_b, negative_b = placements(scores_b, is_positive)
    return np.cov(positive_a, positive_b)[0, 1] / len(positive_a) + np.cov(negative_a, negative_b)[
        0, 1
    ] / len(negative_a)


@pytest.mark.parametrize("digits", [1, 8])
def test_contributions_to_auc_have_the_covariance_of_delong(digits, rng, drawn):
    probs, targets = drawn(rng, 400, [0.7, 0.3])
    blends = np.stack([probs, (probs + rng.dirichlet([1, 1], 400)) / 2]).round(digits)
    auc = metric_named("roc_auc", ["0", "1"])
    values = auc.values(blends, targets)
    influence = auc.contributions(blends, targets) - values[:, None]
    unbiased = np.zeros((2, 2))
    for side in (targets == 0, targets == 1):
        part, n = influence[:, side], side.sum()
        unbiased += part @ part.T / 400**2 * (n / (n - 1))
    for a, b in np.ndindex(2, 2):
        expected = delong(blends[a, :, 1], blends[b, :, 1], targets == 1)
        assert unbiased[a, b] == pytest.approx(expected, rel=1e-9)
        assert np.cov(influence)[a, b] / 400 == pytest.approx(expected, rel=0.02)


def test_a_perfect_prediction_leaves_nothing_to_contribute(every_metric):
    targets = np.arange(60) % 3
    for metric in every_metric(3):
        rows = metric.contributions(np.eye(3)[targets], targets)
        np.testing.assert_allclose(rows, metric.values(np.eye(3)[targets], targets), atol=1e-12)
