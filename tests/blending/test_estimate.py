"""The honest score: nothing fitted on a row takes part in the score of that row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending import Options, make_blend
from ensemble.blending.cross_fit import cross_fit
from ensemble.blending.estimate import (
    chosen_without_fold,
    mean_outcomes,
    simplest_near_best,
    widening,
)
from ensemble.blending.folds import N_FOLDS, N_NESTED, N_REPEATS, seed_from, stratified_folds
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.blending.run_scores import run_accuracy
from ensemble.metrics import share_interval, wilson
from ensemble.predictions import Predictions


def pool_of(probs, targets, groups=None):
    """A pool of members; probs is (members, rows, classes)."""
    ids, classes = (
        np.array([f"{i:04d}" for i in range(len(targets))]),
        tuple("abcdefgh"[: probs.shape[2]]),
    )
    members = {
        f"m{i:03d}": (lambda member=member: Predictions(ids, classes, member, targets, groups))
        for i, member in enumerate(probs)
    }
    return open_pool(members)


def outcomes_of(probs, targets, fit, seed):
    """Outcomes of one rule; fit takes FitRows and returns weights (members,)."""
    pool = pool_of(probs, targets)
    anchor = np.full(len(probs), 1 / len(probs))
    return cross_fit(pool, pool.fit_rows(), lambda rows: np.stack([fit(rows), anchor]), seed)


def always(rule, n_repeats=N_REPEATS):
    return np.full((n_repeats, N_FOLDS), rule)


def fitting_rows(targets, seed):
    """The rows that a rule was fitted on, call by call; its probability identifies a row."""
    n, n_classes = len(targets), int(targets.max()) + 1
    calls = []
    true = np.linspace(0.6, 0.9, n)
    probs = np.repeat(((1 - true) / max(n_classes - 1, 1))[:, None], n_classes, axis=1)
    probs[np.arange(n), targets] = true if n_classes > 1 else 1

    def fit(rows):
        calls.append(np.searchsorted(true, rows.true[0] - 1e-6))
        return np.ones(1)

    outcomes = outcomes_of(probs[None], targets, fit, seed)
    return calls, outcomes


def folds_of(targets, seed):
    """For each repeat the folds that were held out, as lists of rows."""
    _, outcomes = fitting_rows(targets, seed)
    return [[np.flatnonzero(fold_of == k) for k in range(N_FOLDS)] for fold_of in outcomes.folds]


@given(st.integers(5, 40), st.integers(2, 4), st.integers(0, 2**63))
def test_every_row_is_held_out_once_a_repeat_in_folds_that_do_not_overlap(n, n_classes, seed):
    for folds in folds_of(np.arange(n) % n_classes, seed):
        assert sorted(np.concatenate(folds).tolist()) == list(range(n))


@given(st.integers(10, 40), st.integers(0, 2**63))
def test_a_rule_is_fitted_on_all_folds_but_one_and_in_the_nested_repeats_on_all_but_two(n, seed):
    calls, outcomes = fitting_rows(np.arange(n) % 2, seed)
    expected = set()
    for repeat, fold_of in enumerate(outcomes.folds):
        for k in range(N_FOLDS):
            for j in range(N_FOLDS) if repeat < N_NESTED else [k]:
                expected.add(tuple(np.flatnonzero((fold_of != k) & (fold_of != j)).tolist()))
    assert {tuple(rows.tolist()) for rows in calls} == expected


@given(st.lists(st.integers(0, 3), min_size=10, max_size=60), st.integers(0, 2**63))
def test_folds_are_stratified_by_class(targets, seed):
    targets = np.array([0, 1, *targets])
    for folds in folds_of(targets, seed):
        counts = np.array([np.bincount(targets[fold], minlength=4) for fold in folds])
        assert (counts.max(0) - counts.min(0) <= 1).all()
        sizes = [len(fold) for fold in folds]
        assert max(sizes) - min(sizes) <= 1


def test_the_same_seed_makes_the_same_folds_and_another_seed_different_ones():
    targets = np.arange(50) % 3
    first, again, of_seed_2 = (fitting_rows(targets, seed)[1].folds for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, of_seed_2)
    assert len({repeat.tobytes() for repeat in first}) == N_REPEATS


def test_the_seed_belongs_to_the_data():
    assert seed_from("abc") == seed_from("abc") != seed_from("abd")


def test_what_a_rule_fits_on_a_row_never_reaches_the_score_of_that_row():
    n, n_classes = 60, 3
    targets = 1 + np.arange(n) % 2
    # member i knows row i and nothing else; a rule that may see a row can trust the member that knows it
    probs = np.full((n, n, n_classes), 1 / n_classes)
    probs[np.arange(n), np.arange(n)] = np.eye(n_classes)[targets]

    def trust_those_who_know(rows):
        knows = rows.true.max(1) > 0.5
        return knows / knows.sum()

    pool = pool_of(probs, targets)
    everything = trust_those_who_know(pool.fit_rows())
    assert pool.fit_rows().margins.hits(everything[None]).all()
    honest = outcomes_of(probs, targets, trust_those_who_know, seed=0)
    hits, losses = mean_outcomes(honest, always(0))
    assert hits.tolist() == [0] * n
    np.testing.assert_allclose(losses, np.log(n_classes))


def test_a_rule_that_fits_nothing_scores_the_same_either_way_and_its_interval_is_wilsons(
    rng, made_up
):
    valid = made_up(rng, 200)
    probs = valid.probs[None].astype(float)
    outcomes = outcomes_of(probs, valid.targets, lambda rows: np.ones(1), seed=3)
    hits, losses = mean_outcomes(outcomes, always(0))
    assert hits.mean() == pytest.approx(0.9)
    truth = valid.canonical().probs[np.arange(200), valid.targets]
    np.testing.assert_allclose(losses, -np.log(truth))
    for metric in range(2):
        assert widening(outcomes, metric, always(0)) == pytest.approx(1)
    assert share_interval(hits) == wilson(float(hits.mean()), 200)


def test_the_interval_of_a_rule_whose_weights_move_is_wider():
    rng, n = np.random.default_rng(0), 150
    targets = np.arange(n) % 2
    members = np.stack([rng.dirichlet(np.ones(2), n) for _ in range(40)])
    moving = outcomes_of(
        members, targets, lambda rows: np.eye(40)[rows.hits.mean(1).argmax()], seed=0
    )
    fixed = outcomes_of(members, targets, lambda rows: np.eye(40)[0], seed=0)
    assert widening(moving, 0, always(0)) > 1.2
    assert widening(moving, 0, always(0)) <= np.sqrt(N_FOLDS)
    assert widening(fixed, 0, always(0)) == pytest.approx(1, abs=0.25)
    assert widening(moving, 0, always(1)) == pytest.approx(1)


def test_the_simplest_rule_within_one_standard_error_of_the_best_is_taken(rng):
    best = (rng.random(1000) < 0.9).astype(float)
    near, far = best.copy(), best.copy()
    near[np.flatnonzero(best)[:10]] = 0
    near[np.flatnonzero(best == 0)[:8]] = 1
    far[np.flatnonzero(best)[:60]] = 0

    def choose(*rules, sign=1):
        rows = np.stack(rules)
        return simplest_near_best(sign, rows.sum(1), rows @ rows.T, rows.shape[1])

    assert choose(far, near, best) == 1
    assert choose(far, best, near) == 1
    assert choose(far, far, best) == 2
    assert choose(best, best) == 0
    assert choose(far, near, best, sign=-1) == 0  # as losses, the smaller the better


def test_the_choice_of_a_weighting_has_not_seen_the_fold_that_scores_it():
    n = 100
    targets = np.arange(n) % 2
    right, wrong = np.eye(2)[targets], np.eye(2)[1 - targets]
    half = np.arange(n) % 4 < 2
    members = np.stack(
        [np.where(half[:, None], right, wrong), np.where(half[:, None], wrong, right)]
    )
    pool = pool_of(members, targets)
    rules = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    outcomes = cross_fit(pool, pool.fit_rows(), lambda rows: rules, seed=0)
    choice = chosen_without_fold(outcomes, 0, [0, 1])
    for repeat, k in np.ndindex(choice.shape):
        rest = outcomes.folds[repeat] != k
        shares = [pool.hits[i][rest].mean() for i in range(2)]
        if abs(shares[0] - shares[1]) > 0.3:
            assert choice[repeat, k] == int(np.argmax(shares))
    assert mean_outcomes(outcomes, choice).shape == (2, n)


@pytest.mark.parametrize(("weights", "min_acc"), [("accuracy", 0), ("equal", 1 / 15)])
def test_neither_weights_nor_selection_of_a_blend_are_fitted_on_the_rows_that_score_it(
    weights, min_acc, run_on
):
    n, classes = 15, ("a", "b", "c")
    ids, targets = np.array([f"{i:02d}" for i in range(n)]), 1 + np.arange(n) % 2
    runs = []
    for i in range(
        n
    ):  # each is right on one row alone, and by that row alone it is chosen and weighed
        probs = np.full((n, 3), 1 / 3, np.float32)
        probs[i] = np.eye(3)[targets[i]]
        runs.append(
            run_on("d", f"a-{i:02d}-s0", predictions=Predictions(ids, classes, probs, targets))
        )
    blend = make_blend(runs, Options(min_acc=min_acc, weights=weights))
    assert blend.valid.fitted_accuracy == 1
    assert blend.valid.accuracy.value == 0
    assert blend.valid.optimism == 1


def noise(seed, n):
    """Probabilities of two classes that know nothing about n rows."""
    return np.random.default_rng(seed).dirichlet(np.ones(2), n)


def test_among_pure_noise_the_best_flatters_on_fitting_rows_and_the_cross_fitted_score_does_not():
    n = 300
    targets = np.arange(n) % 2
    probs = np.stack([noise(seed, n) for seed in range(100)])
    flattering = (probs.argmax(2) == targets).mean(1).max()
    outcomes = outcomes_of(
        probs, targets, lambda rows: np.eye(100)[rows.hits.mean(1).argmax()], seed=0
    )
    hits, _ = mean_outcomes(outcomes, always(0))
    honest = share_interval(hits, None, widening(outcomes, 0, always(0)))
    assert flattering > 0.55
    assert honest.value < flattering - 0.04
    assert honest.low < 0.5 < honest.high


def test_the_best_single_run_is_scored_as_honestly_as_the_blend(run_on):
    ids, targets = np.array([f"{i:03d}" for i in range(200)]), np.arange(200) % 2
    members = [Predictions(ids, ("a", "b"), noise(seed, 200), targets) for seed in range(30)]
    runs = [run_on("d", f"a-{i:02d}-s0", predictions=member) for i, member in enumerate(members)]
    blend = make_blend(runs)
    best = max(runs, key=lambda run: run.scores.accuracy)
    assert best.scores.accuracy > 0.53
    assert blend.best.accuracy.value < best.scores.accuracy - 0.02


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_very_few_rows_still_get_a_score(n, run_on, rng, made_up):
    runs = [
        run_on("d", f"a-{i}-s0", predictions=made_up(rng, n, "ab", accuracy=1)) for i in range(2)
    ]
    blend = make_blend(runs)
    assert blend.valid.n_rows == n
    assert blend.valid.accuracy.value == 1


@given(st.integers(0, 5), st.integers(6, 60), st.integers(2, 5))
def test_cross_fitting_never_splits_groups_and_every_row_has_a_fold(seed, n_groups, n_classes):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, 3 * n_groups)])
    targets = rng.integers(0, n_classes, len(groups))
    for fold_of in stratified_folds(targets, groups, seed):
        assert all(len(set(fold_of[groups == g].tolist())) == 1 for g in range(n_groups))
        assert set(fold_of.tolist()) == set(range(N_FOLDS))
    alone = list(stratified_folds(targets, None, seed))
    assert all(
        (a == b).all()
        for a, b in zip(
            alone, stratified_folds(targets, np.arange(len(targets)), seed), strict=True
        )
    )


def test_a_runs_interval_is_of_groups_where_rows_belong_to_some(tmp_path, fake_run, made_up, rng):
    valid = made_up(rng, accuracy=0.8)
    hits = np.argmax(valid.probs, 1) == valid.targets
    groups = np.array(
        [f"patient{rank // 10}" for rank in np.argsort(np.argsort(hits))]
    )  # errors share patients
    grouped = Predictions(valid.ids, valid.classes, valid.probs, valid.targets, groups)
    plain = run_accuracy(fake_run(tmp_path, "a", predictions=valid))
    by_group = run_accuracy(fake_run(tmp_path, "b", predictions=grouped))
    assert plain == wilson(plain.value, len(valid.ids))
    assert by_group.value == pytest.approx(plain.value)
    assert by_group.high - by_group.low > 1.5 * (plain.high - plain.low)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "f1_macro", "roc_auc"])
def test_copies_of_rows_in_a_group_leave_the_table_as_it_is(metric, rng, made_up):
    targets = np.arange(300) % 3
    noise = rng.normal(size=(4, 300, 3)) + rng.normal(size=(300, 3))
    probs = np.exp(noise + np.array([1.0, 1.5, 1.8, 2.0])[:, None, None] * np.eye(3)[targets])
    probs /= probs.sum(2, keepdims=True)
    once = np.arange(300)
    for_all = np.repeat(once, 4)
    options = Options(metric=metric, weights="best")
    tables = [
        rate(pool_of(probs[:, rows], targets[rows], groups), options, [""] * 4, seed=0)
        for rows, groups in ((once, None), (for_all, np.array([f"{i:04d}" for i in for_all])))
    ]
    plain, copied = tables
    assert plain.rule_name == copied.rule_name
    for a, b in zip(plain.ratings, copied.ratings, strict=True):
        for of_a, of_b in ((a.score, b.score), (a.difference, b.difference)):
            assert of_b.value == pytest.approx(of_a.value, abs=1e-3)
            half = (of_a.high - of_a.low) / 2
            assert of_b.high - of_b.low == pytest.approx(2 * half, rel=0.12, abs=1e-9), a.name


@pytest.mark.parametrize("n_groups", [1, 2, 4])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "f1_macro", "roc_auc"])
def test_fewer_groups_than_folds_are_blended(metric, n_groups, rng):
    targets = np.arange(24) % 3
    probs = rng.dirichlet((1, 1, 1), (3, 24))
    groups = np.array([f"g{i % n_groups}" for i in range(24)])
    table = rate(pool_of(probs, targets, groups), Options(metric=metric), [""] * 3, seed=0)
    single = next(rating for rating in table.ratings if rating.name == "equal")
    assert np.isfinite(single.score.value)
