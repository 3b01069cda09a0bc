"""Temperature, floor and what they change, against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from ensemble.blending.calibration import (
    FLOORS,
    Calibration,
    calibrate,
    ece,
    ece_noise,
    fit_calibration,
    quality,
)


def softened(rng, temperature, n=2000, c=4):
    """Probabilities from which the truth is drawn, and the same made too sure (below 1) or not sure enough."""
    honest = rng.dirichlet(np.ones(c), n)
    targets = np.array([rng.choice(c, p=p) for p in honest])
    return Calibration(temperature, 0.0).apply(honest), targets


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_undoes_what_made_probabilities_too_sure(temperature, rng):
    probs, targets = softened(rng, temperature)
    assert fit_calibration(probs, targets).temperature == pytest.approx(1 / temperature, rel=0.1)


def test_the_temperature_is_scipys_optimum(rng):
    probs, targets = softened(rng, 0.5)
    optimum = minimize_scalar(
        lambda t: log_loss(targets, Calibration(t, 0.0).apply(probs), labels=range(4)),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert fit_calibration(probs, targets).temperature == pytest.approx(optimum.x, rel=1e-3)


def test_a_floor_is_taken_where_sure_mistakes_cost_most(rng):
    targets = np.arange(200) % 2
    probs = np.eye(2)[targets].copy()
    probs[:4] = probs[:4, ::-1]  # quite sure, and wrong
    calibration = fit_calibration(0.999998 * probs + 0.000001, targets)
    assert calibration.floor in FLOORS
    after = calibration.apply(probs)
    assert after.min() >= calibration.floor / (1 + 2 * calibration.floor)
    np.testing.assert_allclose(after.sum(1), 1)
    assert log_loss(targets, after) < log_loss(targets, probs) / 2


def test_calibration_never_changes_which_class_is_first(rng):
    probs, _ = softened(rng, 0.3)
    assert np.array_equal(Calibration(3.0, 1e-2).apply(probs).argmax(1), probs.argmax(1))


def test_quality_is_what_scikit_learn_says(rng):
    probs, targets = softened(rng, 0.6)
    scores = quality(probs, targets)
    assert scores.log_loss == pytest.approx(log_loss(targets, probs))
    assert scores.brier == pytest.approx(brier_score_loss(targets, probs, scale_by_half=False))


def test_the_calibration_error_is_the_gap_in_bins_of_confidence():
    probs = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    targets = np.array([0] * 10 + [0] * 3 + [1] * 7)
    assert ece(probs, targets) == pytest.approx(0.5 * 0.1 + 0.5 * 0.3)
    assert ece(np.eye(2)[[0, 1]], np.array([0, 1])) == 0


def test_before_and_after_are_of_rows_that_the_calibration_has_not_seen(rng):
    probs, targets = softened(rng, 0.4)
    fold_of = np.arange(len(targets)) % 5
    calibrated = calibrate(probs, [probs] * 5, fold_of, targets)
    assert calibrated.before == quality(probs, targets)
    assert calibrated.after.log_loss < calibrated.before.log_loss
    assert calibrated.after.ece < calibrated.before.ece / 2
    noise = [rng.dirichlet(np.ones(4), len(targets)) for _ in range(5)]
    with_noise = calibrate(probs, noise, fold_of, targets)
    assert with_noise.calibration == calibrated.calibration
    assert with_noise.before.log_loss > calibrated.before.log_loss


@pytest.mark.parametrize("n", [20, 150, 3000])
def test_the_noise_of_the_calibration_error_is_its_mean_where_confidences_are_true(n, rng):
    probs = rng.dirichlet(np.full(4, 0.3), n)
    shown = []
    for _ in range(400):
        targets = (probs.cumsum(1) < rng.random((n, 1))).sum(1)
        shown.append(ece(probs, targets))
    assert ece_noise(probs) == pytest.approx(np.mean(shown), rel=0.06)


def test_certain_predictions_have_no_noise():
    assert ece_noise(np.eye(3)[[0, 1, 2, 2]]) == 0
    assert ece_noise(np.array([[0.5, 0.5]])) == pytest.approx(0.5)


def test_a_calibration_helps_only_where_it_lowers_the_cross_fitted_log_loss(rng):
    probs, targets = softened(rng, 0.4)
    fold_of = np.arange(len(targets)) % 5
    assert calibrate(probs, [probs] * 5, fold_of, targets).helps
    few, few_targets = softened(np.random.default_rng(3), 1.0, n=60)
    few_folds = np.arange(60) % 5
    calibrated = calibrate(few, [few] * 5, few_folds, few_targets)
    assert calibrated.after.log_loss >= calibrated.before.log_loss
    assert not calibrated.helps
