"""Greedy selection: the rule of Caruana et al. with every tie decided, and objectives that score as whole rows do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending.fit_rows import FitRows
from ensemble.blending.greedy import (
    MAX_PICKS,
    AccuracyObjective,
    GeometricObjective,
    LogLossObjective,
    greedy_weights,
)
from ensemble.blending.objectives import ThresholdObjective
from ensemble.metrics import metric_named


def plain_greedy(score, probs, max_picks):
    """The algorithm as published, on whole rows: score (rows, classes) -> higher is better."""
    singles = [score(member) for member in probs]
    order = sorted(range(len(probs)), key=lambda i: (-singles[i], i))[:max_picks]
    starts = [score(probs[order[:n]].mean(0)) for n in range(1, len(order) + 1)]
    n_start = next(n for n, start in enumerate(starts, 1) if start >= max(starts) - 1e-13)
    counts = np.bincount(order[:n_start], minlength=len(probs)).astype(float)
    total, prefixes = (
        probs[order[:n_start]].sum(0),
        [(starts[n_start - 1], -n_start, counts.copy())],
    )
    for n_picks in range(n_start + 1, max_picks + 1):
        scores = np.array([score((total + member) / n_picks) for member in probs])
        best = np.flatnonzero(np.isclose(scores, scores.max(), rtol=0, atol=1e-13))
        used = best[counts[best] > 0]
        pick = (used if len(used) else best)[0]
        total, counts[pick] = total + probs[pick], counts[pick] + 1
        prefixes.append((scores[pick], -n_picks, counts.copy()))
    best = max(prefixes, key=lambda prefix: (round(prefix[0], 12), prefix[1]))[2]
    return best / best.sum()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(4, 60), st.integers(2, 5))
def test_the_fast_objective_for_accuracy_picks_as_the_plain_one(pool_of, noisy, seed, m, n, c):
    probs, targets = noisy(np.random.default_rng(seed), m, n, c, 1.0)
    rows = pool_of(probs, targets).fit_rows()
    expected = plain_greedy(lambda mixed: (mixed.argmax(1) == targets).mean(), probs, MAX_PICKS)
    np.testing.assert_allclose(greedy_weights(AccuracyObjective(rows.margins), m), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(4, 60), st.integers(2, 5))
def test_the_fast_objective_for_log_loss_picks_as_the_plain_one(pool_of, noisy, seed, m, n, c):
    probs, targets = noisy(np.random.default_rng(seed), m, n, c, 1.0)
    rows = pool_of(probs, targets).fit_rows()
    expected = plain_greedy(
        lambda mixed: np.log(mixed[np.arange(n), targets]).mean(), probs, MAX_PICKS
    )
    np.testing.assert_allclose(greedy_weights(LogLossObjective(rows.true), m), expected)


def test_the_objective_for_geometric_means_scores_whole_rows(rng, pool_of, noisy):
    probs, targets = noisy(rng, 3, 50, 4)
    objective = GeometricObjective(pool_of(probs, targets, is_log=True).fit_rows().margins)
    objective.add(1)
    for member, score in enumerate(objective.scores_with_each(2)):
        mixed = np.sqrt(probs[1] * probs[member])
        mixed /= mixed.sum(1, keepdims=True)
        assert score == pytest.approx(np.log(mixed[np.arange(50), targets]).mean(), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(5, 60))
def test_labels_are_picked_at_the_threshold_that_equal_weights_answer_by(seed, m, n):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 3)) < 0.3).astype(np.uint8)
    probs = 0.2 * truth + rng.uniform(0, 0.6, (m, n, 3))
    metric = metric_named("f2_samples", ("a", "b", "c"), target="labels")

    def score(mean, threshold):
        return float(metric.values((mean > threshold) + 0.0, truth))

    thresholds = np.round(1 / (1 + np.exp(-np.linspace(-5, 3, 33))), 12)
    best = thresholds[np.argmax([score(probs.mean(0), threshold) for threshold in thresholds])]
    expected = plain_greedy(lambda mean: score(mean, best), probs, MAX_PICKS)
    rows = FitRows(truth, m, 3, pool_scores=probs.swapaxes(1, 2))
    objective = ThresholdObjective(metric, rows, is_log=False)
    np.testing.assert_allclose(greedy_weights(objective, m), expected)


class FixedScores:
    """An objective with these scores, step by step; prefixes beyond the first score -inf."""

    def __init__(self, steps):
        self.steps, self.picked = steps, []

    def scores_with_each(self, n_picks):
        return np.array(self.steps[n_picks - 1], dtype=float)

    def scores_of(self, weights):
        first = self.scores_with_each(1)[int(np.argmax(weights[0]))]
        return np.array([first, *[-np.inf] * (len(weights) - 1)])

    def add(self, member):
        self.picked.append(member)


@pytest.mark.parametrize(
    ("steps", "picked"),
    [
        ([[1, 2, 3]], [2]),
        ([[3, 3, 3]], [0]),  # equal: the smaller id
        ([[1, 2, 1], [5, 5, 5]], [1, 1]),  # equal: who is in already
        ([[1, 2, 1], [5, 1, 5]], [1, 0]),
        ([[np.nan, 1, 2]], [2]),
        ([[np.nan, 1, 2], [9, np.nan, 1]], [2, 0]),
    ],
)
def test_ties_go_to_a_used_member_then_to_the_smaller_id_and_nan_never_wins(steps, picked):
    objective = FixedScores(steps)
    greedy_weights(objective, 3, max_picks=len(steps))
    assert objective.picked == picked


def test_the_shortest_of_equally_good_ensembles_is_kept():
    assert greedy_weights(
        FixedScores([[1, 2], [3, 1], [3, 3], [2, 2]]), 2, max_picks=4
    ).tolist() == [
        0.5,
        0.5,
    ]
    assert greedy_weights(FixedScores([[1, 2], [2, 2]]), 2, max_picks=2).tolist() == [0, 1]


def test_it_starts_with_the_best_prefix_of_the_sorted_members(rng, pool_of):
    targets = np.arange(400) % 2
    members = []
    for part in range(4):  # each knows three quarters of the rows; together they know all
        member = np.where(
            (np.arange(400) // 2 % 4 != part)[:, None], np.eye(2)[targets], [[0.55, 0.45]]
        )
        members.append(member)
    rows = pool_of(np.stack([*members, rng.dirichlet(np.ones(2), 400)]), targets).fit_rows()
    weights = greedy_weights(AccuracyObjective(rows.margins), 5, max_picks=4)
    assert rows.margins.hits(weights[None]).mean() == 1
    assert weights[4] == 0


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_first_pick_is_the_best_member_and_the_result_never_worse_than_it(
    metric, rng, pool_of, noisy
):
    probs, targets = noisy(rng, 6, 200, 4)
    pool = pool_of(probs, targets)
    rows = pool.fit_rows()
    objective = (
        AccuracyObjective(rows.margins) if metric == "accuracy" else LogLossObjective(rows.true)
    )
    first = int(np.argmax(objective.scores_with_each(1)))
    weights = greedy_weights(objective, 6)
    if metric == "accuracy":
        assert first == int(np.argmax(pool.hits.mean(1)))
        assert rows.margins.hits(weights[None]).mean() >= pool.hits.mean(1).max()
    else:
        assert first == int(np.argmin(rows.log_losses))
        assert -np.log(weights @ pool.true).mean() <= rows.log_losses.min()


def test_a_member_that_only_adds_noise_is_left_out(rng, pool_of):
    targets = np.arange(300) % 3
    good = 0.9 * np.eye(3)[targets] + 0.1 / 3
    noise = rng.dirichlet(np.ones(3), 300)
    rows = pool_of(np.stack([good, noise]), targets).fit_rows()
    for objective in (AccuracyObjective(rows.margins), LogLossObjective(rows.true)):
        assert greedy_weights(objective, 2).tolist() == [1, 0]
