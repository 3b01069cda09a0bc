"""The honest score: nothing that is learnt from a row takes part in that row's score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending import make_blend
from ensemble.blending.estimate import N_PARTS, N_REPEATS, cross_fitted, mix, seed_from
from ensemble.predictions import Predictions


def fitting_rows(targets, seed):
    """The rows that a rule was given, call by call."""
    given_rows = []

    def rule(rows):
        given_rows.append(rows.copy())
        return np.ones(1)

    cross_fitted(np.full((1, len(targets), targets.max() + 1), 0.5), targets, rule, seed)
    return given_rows


def parts_of(targets, seed):
    """For each repeat the parts that were held out, as lists of rows."""
    everything = np.arange(len(targets))
    held_out = [np.setdiff1d(everything, rows) for rows in fitting_rows(targets, seed)]
    assert len(held_out) == N_PARTS * N_REPEATS
    return [held_out[i : i + N_PARTS] for i in range(0, len(held_out), N_PARTS)]


def pick_the_best(hits):
    return lambda rows: np.eye(len(hits))[hits[:, rows].mean(1).argmax()]


@given(st.integers(5, 40), st.integers(2, 4), st.integers(0, 2**63))
def test_every_row_is_held_out_once_a_repeat_in_parts_that_do_not_overlap(n, n_classes, seed):
    for parts in parts_of(np.arange(n) % n_classes, seed):
        assert sorted(np.concatenate(parts).tolist()) == list(range(n))


@given(st.lists(st.integers(0, 3), min_size=10, max_size=60), st.integers(0, 2**63))
def test_parts_hold_every_class_in_its_share(targets, seed):
    targets = np.array(targets)
    for parts in parts_of(targets, seed):
        counts = np.array([np.bincount(targets[part], minlength=4) for part in parts])
        assert (counts.max(0) - counts.min(0) <= 1).all()
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_the_same_seed_cuts_the_same_parts_and_another_seed_others():
    targets = np.arange(50) % 3
    first, again, other = (np.array(parts_of(targets, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({repeat.tobytes() for repeat in first}) == N_REPEATS


def test_the_seed_belongs_to_the_data():
    assert seed_from("abc") == seed_from("abc") != seed_from("abd")


def test_what_a_rule_learns_from_a_row_never_reaches_the_score_of_that_row():
    n, n_classes = 60, 3
    targets = 1 + np.arange(n) % 2
    # member i knows row i and nothing else; a rule that may see a row can trust the member that knows it
    probs = np.full((n, n, n_classes), 1 / n_classes)
    probs[np.arange(n), np.arange(n)] = np.eye(n_classes)[targets]

    def trust_those_who_know(rows):
        weights = np.zeros(n)
        weights[rows] = 1 / len(rows)
        return weights

    fitted = mix(probs, trust_those_who_know(np.arange(n)))
    assert (fitted.argmax(1) == targets).all()
    honest = cross_fitted(probs, targets, trust_those_who_know, seed=0)
    assert honest.hits.tolist() == [0] * n
    np.testing.assert_allclose(honest.losses, np.log(n_classes))


def test_a_rule_that_learns_nothing_scores_the_same_either_way(rng, made_up):
    made = made_up(rng, 100)
    scores = cross_fitted(made.probs[None].astype(float), made.targets, lambda rows: np.ones(1), seed=3)
    assert scores.accuracy.value == pytest.approx(0.9)
    truth = made.probs[np.arange(100), made.targets].astype(float)
    np.testing.assert_allclose(scores.losses, -np.log(truth))


@pytest.mark.parametrize(("weights", "min_acc"), [("accuracy", 0), ("equal", 1 / 15)])
def test_neither_weights_nor_selection_of_a_blend_are_learnt_on_the_rows_it_is_scored_on(weights, min_acc, run_on):
    n, classes = 15, ("a", "b", "c")
    ids, targets = np.array([f"{i:02d}" for i in range(n)]), 1 + np.arange(n) % 2
    runs = []
    for i in range(n):  # each is right on one row alone, and by that row alone it is chosen and weighed
        probs = np.full((n, 3), 1 / 3, np.float32)
        probs[i] = np.eye(3)[targets[i]]
        runs.append(run_on("d", f"a-{i:02d}-s0", predictions=Predictions(ids, classes, probs, targets)))
    made = make_blend(runs, min_acc=min_acc, weights=weights)
    assert made.fitted.value == 1
    assert made.valid.blend.value == 0
    assert made.optimism == 1


def noise(seed, n):
    """Probabilities of two classes that know nothing about n rows."""
    return np.random.default_rng(seed).dirichlet(np.ones(2), n)


def test_among_pure_noise_the_best_flatters_on_fitting_rows_and_the_cross_fitted_score_does_not():
    n = 300
    targets = np.arange(n) % 2
    probs = np.stack([noise(seed, n) for seed in range(100)])
    hits = (probs.argmax(2) == targets).astype(float)
    flattering = hits.mean(1).max()
    honest = cross_fitted(probs, targets, pick_the_best(hits), seed=0).accuracy
    assert flattering > 0.55
    assert honest.value < flattering - 0.04
    assert honest.low < 0.5 < honest.high


def test_the_best_single_run_is_scored_as_honestly_as_the_blend(run_on):
    ids, targets = np.array([f"{i:03d}" for i in range(200)]), np.arange(200) % 2
    members = [Predictions(ids, ("a", "b"), noise(seed, 200), targets) for seed in range(30)]
    runs = [run_on("d", f"a-{i:02d}-s0", predictions=member) for i, member in enumerate(members)]
    made = make_blend(runs)
    best = max(runs, key=lambda run: run.scores.accuracy)
    assert made.valid.best == best.id
    assert best.scores.accuracy > 0.53
    assert made.valid.best_accuracy < best.scores.accuracy - 0.02


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_very_few_rows_still_get_a_score(n, run_on, rng, made_up):
    runs = [run_on("d", f"a-{i}-s0", predictions=made_up(rng, n, "ab", accuracy=1)) for i in range(2)]
    made = make_blend(runs)
    assert made.valid.n_rows == n
    assert made.valid.blend.value == 1
