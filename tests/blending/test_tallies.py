"""Tallies say of any folds together what the metric says of their rows; sums are shared, not mixed up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending.fit_rows import FitRows
from ensemble.blending.folds import Folds
from ensemble.blending.objectives import MetricObjective
from ensemble.blending.shared_sums import shared_objective
from ensemble.blending.tallies import tallies_of
from ensemble.blending.weighting import greedy_weighting
from ensemble.metrics import metric_named

METRICS = ("f1_macro", "f1_min", "balanced_accuracy", "quadratic_kappa", "roc_auc")
METRICS += ("map@2", "top_k_accuracy@2")
SEEDS = st.integers(0, 2**32 - 1)


def predictions(seed, n_members, n_rows, n_classes):
    """Probabilities with many equal ones, (members, rows, classes), and targets, some of none."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, max(1, n_classes - rng.integers(0, 2)), n_rows)
    counts = rng.integers(1, 4, (n_members, n_rows, n_classes))
    counts[:, np.arange(n_rows), targets] += rng.integers(0, 3, (n_members, n_rows))
    return counts / counts.sum(2, keepdims=True), targets


@pytest.mark.parametrize("name", METRICS)
@given(SEEDS, st.integers(1, 40), st.integers(2, 4))
def test_tallies_of_folds_have_the_metric_of_their_rows(name, seed, n_rows, n_classes):
    (probs,), targets = predictions(seed, 1, n_rows, n_classes)
    rng = np.random.default_rng(seed)
    folds, metric = Folds(rng.integers(0, 5, n_rows)), metric_named(name, "01234"[:n_classes])
    kept = tuple(np.flatnonzero(rng.random(5) < 0.6).tolist())
    rows = folds.positions(kept)
    if len(rows):
        tallies = tallies_of(metric, targets)
        values = tallies.values(tallies.tally(tallies.codes(probs.T), folds)[None], kept)
        expected = float(metric.values(probs[rows], targets[rows]))
        np.testing.assert_allclose(values, [expected], rtol=1e-12)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("name", METRICS)
@given(SEEDS, st.integers(1, 4), st.integers(5, 40))
def test_shared_sums_score_as_the_rows_of_each_set_do(name, is_log, seed, n_members, n_rows):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, n_rows)
    probs = rng.dirichlet(np.ones(3), (n_members, n_rows))  # no ties that rounding decides
    scores = (np.log(probs) if is_log else probs).swapaxes(1, 2)
    folds, metric = Folds(np.arange(n_rows) % 5), metric_named(name, "012")
    all_rows = FitRows(targets, n_members, 3, pool_scores=scores)
    shared = shared_objective(metric, all_rows, is_log)
    prefixes = np.tril(np.ones((n_members, n_members))) / np.arange(1, n_members + 1)[:, None]
    for kept in ((1, 2, 3, 4), (0, 2, 4), (1, 2, 3, 4)):
        rows = all_rows.of_folds(folds, kept)
        objectives = shared(rows), MetricObjective(metric, rows, is_log)
        for n_picks in range(1, 5):
            actual, expected = (each.scores_with_each(n_picks) for each in objectives)
            np.testing.assert_allclose(actual, expected, rtol=1e-9)
            pick = int(rng.integers(n_members))
            for each in objectives:
                each.add(pick)
        actual, expected = (each.scores_of(prefixes) for each in objectives)
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_weights_do_not_depend_on_the_sets_that_were_fitted_before(name, rng):
    probs, targets = predictions(0, 6, 2_500, 4)
    probs = 0.7 * probs + 0.3 * rng.dirichlet(np.ones(4), (6, 2_500))
    scores = probs.astype(np.float32).astype(np.float64).swapaxes(1, 2)
    folds, metric = Folds(np.arange(2_500) % 5), metric_named(name, "0123")
    all_rows = FitRows(targets, 6, 4, pool_scores=scores)
    together = greedy_weighting(metric, False, all_rows)
    for without in range(5):
        kept = tuple(fold for fold in range(5) if fold != without)
        rows = all_rows.of_folds(folds, kept)
        alone = FitRows(rows.targets, 6, 4, pool_scores=rows.scores)
        expected = greedy_weighting(metric, False, alone)(alone)
        np.testing.assert_array_equal(together(rows), expected)
        few = rows.of(np.array([4, 1, 3]))
        alone = replace(alone, n_members=3, pool_scores=rows.scores[[4, 1, 3]])
        expected = greedy_weighting(metric, False, alone)(alone)
        np.testing.assert_array_equal(together(few), expected)
