"""Scores by any metric: computed on pooled out-of-fold predictions, as a slow recomputation does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from ensemble.blending.cross_fit import CONTRIBUTIONS
from ensemble.blending.estimate import chosen_without_fold, unaveraged, widening
from ensemble.blending.folds import N_FOLDS, N_NESTED, N_REPEATS
from ensemble.blending.options import Options
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.errors import SelectionError
from ensemble.files import finite
from ensemble.metrics import metric_named, predicted
from ensemble.predictions import Predictions

OF_DECISIONS = {
    "balanced_accuracy": lambda true, named, classes: sklearn.balanced_accuracy_score(true, named),
    "f1_macro": lambda true, named, classes: f1(true, named, "macro"),
    "f1_micro": lambda true, named, classes: f1(true, named, "micro"),
    "f1_weighted": lambda true, named, classes: f1(true, named, "weighted"),
    "f1_min": lambda true, named, classes: min(f1(true, named, None)),
    "quadratic_kappa": lambda true, named, classes: sklearn.cohen_kappa_score(
        true, named, weights="quadratic", labels=classes
    ),
}
METRICS = (*OF_DECISIONS, "roc_auc", "map@2", "top_k_accuracy@2")


def f1(true, named, average):
    return sklearn.f1_score(true, named, average=average, zero_division=0)


def plain_score(metric, probs, targets):
    """A metric by scikit-learn, or in a line; probs is (rows, classes)."""
    n_classes = probs.shape[1]
    if metric in OF_DECISIONS:
        return OF_DECISIONS[metric](targets, predicted(probs), list(range(n_classes)))
    if metric == "roc_auc":
        present = range(n_classes) if n_classes > 2 else [1]
        areas = [
            sklearn.roc_auc_score(targets == c, probs[:, c])
            for c in present
            if 0 < (targets == c).sum() < len(targets)
        ]
        return np.mean(areas)
    n_ahead = (probs > probs[np.arange(len(targets)), targets][:, None]).sum(1)
    return np.where(n_ahead < 2, 1 / (n_ahead + 1) if metric == "map@2" else 1, 0).mean()


def opened(probs, targets, is_log=False, names=None):
    """A pool of members (members, rows, classes) whose classes are numbers."""
    ids = np.array([f"{i:04d}" for i in range(len(targets))])
    classes = tuple(str(c) for c in range(probs.shape[2]))
    names = names or [f"m{i}" for i in range(len(probs))]
    members = {
        name: (lambda member=member: Predictions(ids, classes, member, targets))
        for name, member in zip(names, probs, strict=True)
    }
    return open_pool(members, is_log)


def rated(probs, targets, metric, seed=0, average="arithmetic", **options):
    """The table by plain decisions, unless options say otherwise."""
    pool = opened(probs, targets, average == "geometric")
    options = Options(
        metric=metric, weights="best", average=average, **({"decision": "plain"} | options)
    )
    return pool, rate(pool, options, [""] * len(probs), seed)


def pooled(pool, fold_of, weights, is_log):
    """Every row by the weights of its fold, (rows, classes); weights is (folds, members)."""
    members = np.stack([member.probs for member in pool.read()])
    if is_log:
        logs = np.log(np.maximum(members, 1e-15))
        mixed = np.exp(np.einsum("rm,mrc->rc", weights[fold_of], logs))
        return mixed / mixed.sum(1, keepdims=True)
    return np.einsum("rm,mrc->rc", weights[fold_of], members)


def cross_fitted(metric, pool, fold_of, weights, is_log, targets):
    """The score of rows by the weights of their folds, (folds, members).

    Pooled; by AUC, where each fold has one member but not always the same one, the mean of what
    the rows contribute to the area of their own fold's member.
    """
    member = weights.argmax(1)
    is_alone = (np.count_nonzero(weights, axis=1) == 1).all() and len(set(member.tolist())) > 1
    if metric != "roc_auc" or not is_alone:
        return plain_score(metric, pooled(pool, fold_of, weights, is_log), targets)
    area = metric_named(metric, pool.classes)
    by_member = {
        m: area.contributions(
            pooled(pool, fold_of * 0, np.eye(len(weights[0]))[[m]], is_log), targets
        )
        for m in set(member.tolist())
    }
    return np.mean([by_member[member[fold]][row] for row, fold in enumerate(fold_of)])


def test_the_best_member_by_area_is_not_pooled_over_scales_of_several_members():
    rng = np.random.default_rng(0)
    targets = np.arange(400) % 2
    signals = [2 * targets + rng.normal(size=400) for _ in range(2)]
    shares = [1 / (1 + np.exp(-signals[0])), 0.98 + 0.02 / (1 + np.exp(-signals[1]))]
    probs = np.array([np.stack([1 - share, share], axis=1) for share in shares])
    singles = [plain_score("roc_auc", member, targets) for member in probs]
    _, table = rated(probs, targets, "roc_auc")
    chosen = {int(k) for k in table.outcomes.weights[:, :, 0].argmax(-1).ravel()}
    assert chosen == {0, 1}  # both are chosen in some folds
    assert min(singles) - 0.01 < table.rating_of("best member").score.value < max(singles)


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(30, 60), n_classes=st.integers(2, 4))
def test_a_cross_fitted_score_is_that_of_pooled_predictions_by_weights_without_their_fold(
    metric, average, seed, n, n_classes, noisy
):
    probs, targets = noisy(np.random.default_rng(seed), 3, n, n_classes)
    pool, table = rated(probs, targets, metric, average=average)
    outcomes, is_log = table.outcomes, average == "geometric"
    for rule, name in enumerate(table.names):
        by_repeat = [
            cross_fitted(metric, pool, fold_of, weights[:, rule], is_log, targets)
            for fold_of, weights in zip(outcomes.folds, outcomes.weights, strict=True)
        ]
        assert table.rating_of(name).score.value == pytest.approx(np.mean(by_repeat), abs=1e-12)
    choice = chosen_without_fold(outcomes, CONTRIBUTIONS, range(1, len(table.names)))
    by_repeat = [
        cross_fitted(
            metric,
            pool,
            outcomes.folds[repeat],
            outcomes.weights[repeat, np.arange(N_FOLDS), choice[repeat]],
            is_log,
            targets,
        )
        for repeat in range(N_NESTED)
    ]
    assert table.rating_of("best").score.value == pytest.approx(np.mean(by_repeat), abs=1e-12)
    for name, weights in zip(table.names, table.weights, strict=False):
        in_sample = pooled(pool, np.zeros(n, int), weights[None], is_log)
        expected = plain_score(metric, in_sample, targets)
        assert table.rating_of(name).fitted_score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_best_member_is_chosen_by_the_metric_without_the_fold_that_scores_it(metric, noisy):
    probs, targets = noisy(np.random.default_rng(3), 4, 80, 3)
    _, table = rated(probs, targets, metric)
    for repeat in (0, N_NESTED, N_REPEATS - 1):
        for k in range(N_FOLDS):
            rest = table.outcomes.folds[repeat] != k
            scores = [plain_score(metric, member[rest], targets[rest]) for member in probs]
            best = int(table.outcomes.weights[repeat, k, 0].argmax())
            assert scores[best] == pytest.approx(max(scores), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_what_chooses_a_weighting_for_a_fold_is_computed_without_its_rows(metric, noisy):
    probs, targets = noisy(np.random.default_rng(4), 3, 60, 3)
    _, table = rated(probs, targets, metric)
    outcomes, equal = table.outcomes, 1  # equal weights: fitted without anything, easy to recompute
    for repeat in range(N_NESTED):
        for k in range(N_FOLDS):
            rest = outcomes.folds[repeat] != k
            others = [j for j in range(N_FOLDS) if j != k]
            mean = outcomes.sums[CONTRIBUTIONS, repeat, others, k, equal].sum() / rest.sum()
            expected = plain_score(metric, probs.mean(0)[rest], targets[rest])
            assert mean == pytest.approx(expected, abs=1e-12)


def interval_of(rating):
    return rating.score, rating.difference, rating.fitted_score


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_rows_classes_and_members_changes_nothing(metric, noisy):
    rng = np.random.default_rng(5)
    probs, targets = noisy(rng, 4, 90, 3)
    ids, classes = np.array([f"{i:03d}" for i in range(90)]), ("0", "1", "2")

    def table(rows, columns, order):
        turned = np.argsort(columns)
        members = {
            f"m{m}": (
                lambda m=m: Predictions(
                    ids[rows],
                    tuple(classes[c] for c in columns),
                    probs[m][rows][:, columns],
                    turned[targets[rows]],
                )
            )
            for m in order
        }
        options = Options(metric=metric, weights="best")
        return rate(open_pool(members), options, [""] * 4, 7)

    plain = table(np.arange(90), [0, 1, 2], range(4))
    shuffled = table(rng.permutation(90), [2, 0, 1], [3, 1, 0, 2])
    for a, b in zip(plain.ratings, shuffled.ratings, strict=True):
        assert np.array_equal(repr(interval_of(a)), repr(interval_of(b)))
    assert plain.weights.tobytes() == shuffled.weights.tobytes()


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_greedy_is_never_worse_in_sample_than_the_best_member(metric, average, seed, noisy):
    probs, targets = noisy(np.random.default_rng(seed), 5, 40, 3, strength=1.0)
    _, table = rated(probs, targets, metric, average=average)
    greedy, best = table.rating_of("greedy"), table.rating_of("best member")
    assert greedy.fitted_score >= best.fitted_score - 1e-12


@pytest.mark.parametrize("metric", METRICS)
def test_a_class_without_validation_rows_leaves_a_finite_score(metric, noisy):
    probs, targets = noisy(np.random.default_rng(6), 3, 60, 3)
    targets = np.minimum(targets, 1)
    _, table = rated(probs, targets, metric)
    for rating in table.ratings:
        assert np.isfinite(rating.score.value)
    if metric in ("balanced_accuracy", "f1_macro", "f1_min", "roc_auc"):
        assert table.ratings[1].too_few.startswith("0 rows of class '2'")
        assert table.ratings[1].verdict == "too few rows to tell at n=60"
        fields = finite(table.ratings[1].as_dict())
        assert (fields["score"]["low"], fields["difference"]["high"]) == (None, None)


@pytest.mark.parametrize("metric", METRICS)
def test_one_row_has_a_score_or_a_reason(metric, noisy):
    probs, targets = noisy(np.random.default_rng(7), 2, 1, 3)
    if metric == "roc_auc":
        with pytest.raises(
            SelectionError, match="rows do not define roc_auc, all are of class '0'"
        ):
            rated(probs, targets, metric)
        return
    _, table = rated(probs, targets, metric)
    for rating in table.ratings:
        assert 0 <= rating.score.value <= 1


@pytest.mark.parametrize("metric", METRICS)
def test_ties_everywhere_and_probabilities_of_zero_are_scored(metric):
    targets = np.arange(30) % 3
    same, certain = np.full((30, 3), 1 / 3), np.eye(3)[(targets + (np.arange(30) % 2)) % 3]
    _, table = rated(np.stack([same, same, certain]), targets, metric)
    for rating in table.ratings:
        assert -1 <= rating.score.value <= 1
        assert np.isfinite(rating.fitted_score)


def test_a_difference_is_as_wide_as_that_of_single_repeats(noisy):
    probs, targets = noisy(np.random.default_rng(9), 6, 90, 3, strength=0.5)
    _, table = rated(probs, targets, "f1_macro")
    outcomes = table.outcomes
    for rule in range(1, len(table.names)):
        choice = np.full((N_REPEATS, N_FOLDS), rule)
        rows = outcomes.rows[CONTRIBUTIONS]
        mean = (rows[:, rule] - rows[:, 0]).mean(0)
        times = unaveraged(outcomes, CONTRIBUTIONS, choice, 0, mean)
        single = (rows[:N_NESTED, rule] - rows[:N_NESTED, 0]).var(1).mean()
        assert times == pytest.approx(max(1, np.sqrt(single / mean.var())), rel=0.05)
    best = np.zeros((N_REPEATS, N_FOLDS), int)
    assert unaveraged(outcomes, CONTRIBUTIONS, best, 0, np.zeros(90)) == 1


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
def test_the_interval_of_a_lead_is_that_of_one_repeat_widened(metric):
    rng, targets = np.random.default_rng(1), np.arange(120) % 3
    logits = rng.normal(0, 1, (8, 120, 3)) + np.eye(3)[targets]  # equally good members
    _, table = rated(np.exp(logits) / np.exp(logits).sum(2, keepdims=True), targets, metric)
    rows, kind, ratios = table.outcomes.rows[-1], len(table.outcomes.rows) - 1, []
    for rule, rating in enumerate(table.ratings[1:-1], start=1):
        choice = np.full((N_REPEATS, N_FOLDS), rule)
        single = np.sqrt((rows[:N_NESTED, rule] - rows[:N_NESTED, 0]).var(1).mean())
        plain = 1.96 * single / np.sqrt(len(targets))
        half = (rating.difference.high - rating.difference.low) / 2
        assert half >= 0.95 * plain * widening(table.outcomes, kind, choice, against=0)
        ratios.append(single / (rows[:, rule] - rows[:, 0]).mean(0).std())
    assert max(ratios) > 1.1  # the best member changes between repeats


def test_greedy_by_a_metric_that_would_not_fit_is_left_out_of_the_table(noisy, monkeypatch):
    probs, targets = noisy(np.random.default_rng(8), 3, 60, 3)
    _, whole = rated(probs, targets, "roc_auc")
    monkeypatch.setattr("ensemble.blending.pool.MEMORY", 2000)
    monkeypatch.setattr("ensemble.blending.contributions.MEMORY", 2000)
    monkeypatch.setattr("ensemble.blending.rules.MEMORY", 2000)
    _, table = rated(probs, targets, "roc_auc")
    assert "greedy" not in table.names
    assert "greedy by roc_auc needs" in table.missing
    for name in table.names:  # members are read again and again, blends are mixed in small chunks
        assert table.rating_of(name).score == whole.rating_of(name).score


@pytest.mark.parametrize("metric", ["roc_auc", "f1_macro"])
def test_the_score_is_near_the_truth_and_its_interval_mostly_contains_it(metric):
    n, n_members, n_fresh = 1000, 3, 20_000
    inside, gaps, halves = [], [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        strengths = rng.uniform(0.5, 2, n_members)

        def drawn(n, rng=rng, strengths=strengths):
            targets, common = np.arange(n) % 3, rng.normal(0, 1, (n, 3))
            logits = common + rng.normal(0, 1, (n_members, n, 3))
            logits[:, np.arange(n), targets] += strengths[:, None]
            probs = np.exp(logits)
            return probs / probs.sum(2, keepdims=True), targets

        _, table = rated(*drawn(n), metric, seed)
        fresh, fresh_targets = drawn(n_fresh)
        for rule, name in enumerate(table.names):
            mixed = np.einsum("m,mrc->rc", table.weights[rule], fresh)
            truth, score = plain_score(metric, mixed, fresh_targets), table.rating_of(name).score
            inside.append(score.low <= truth <= score.high)
            gaps.append(score.value - truth)
            halves.append((score.high - score.low) / 2)
    assert np.mean(inside) >= 0.9
    assert abs(np.mean(gaps)) <= np.mean(halves) / 4
