"""Weights: never negative, together 1, and what each rule promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ensemble.blending import Options, make_blend
from ensemble.blending.fit_rows import ClassRows
from ensemble.blending.scoring import Scoring
from ensemble.blending.weighting import (
    CHOICES,
    accuracy_weights,
    equal_weights,
    logloss_weights,
    logodds_weights,
    weightings,
)
from ensemble.errors import SelectionError

hits = st.tuples(st.integers(1, 6), st.integers(1, 20)).flatmap(lambda shape: arrays(bool, shape))
CHEAP = (accuracy_weights, equal_weights, logodds_weights)


def fit_rows_of(hits, n_classes=3):
    targets, true = np.zeros(hits.shape[1], int), np.where(hits, 0.8, 0.1)
    return ClassRows(targets, len(hits), n_classes, hits=hits, true=true, margins=None)


OF_CLASSES = tuple(name for name in CHOICES if name != "rmse")
METRICS = ("accuracy", "log_loss", "roc_auc", "f1_macro", "quadratic_kappa", "map@2")
CASES = [
    (name, metric, is_log)
    for name in OF_CLASSES[:-1]
    for metric in METRICS
    for is_log in (False, True)
    if (name, is_log) != ("logloss", True)
]


def weights_of(pool, name, metric, is_log):
    """The weights of a rule fitted on all rows of a pool."""
    scoring = Scoring.named(metric, [str(i) for i in range(len(pool.classes))])
    rows = replace(scoring.fit_rows(pool), pool_scores=pool.scores())
    return weightings(scoring.metric, is_log, rows)[name](rows)


@given(hits, st.integers(2, 9))
def test_weights_are_never_negative_and_sum_to_1(hits, n_classes):
    for rule in (*CHEAP, logloss_weights):
        weights = rule(fit_rows_of(hits, n_classes))
        assert weights.shape == (len(hits),)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(5, 60), c=st.integers(2, 5))
def test_every_rule_weighs_real_members_on_the_simplex(case, seed, n, c, pool_of, noisy):
    probs, targets = noisy(np.random.default_rng(seed), 4, n, c)
    weights = weights_of(pool_of(probs, targets, is_log=case[2]), *case)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)


@given(hits, st.randoms(use_true_random=False))
def test_a_weight_belongs_to_its_member_wherever_it_stands(hits, random):
    order = random.sample(range(len(hits)), len(hits))
    for rule in CHEAP:
        np.testing.assert_allclose(
            rule(fit_rows_of(hits[order])), rule(fit_rows_of(hits))[order], rtol=1e-12
        )


def test_accuracy_weights_are_in_proportion_to_accuracy():
    hits = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    assert accuracy_weights(fit_rows_of(hits)).tolist() == pytest.approx([2 / 3, 1 / 3, 0])


def test_logodds_weights_are_sammes():
    hits = np.zeros((3, 10), bool)
    hits[0, :9], hits[1, :6], hits[2, :2] = (
        True,
        True,
        True,
    )  # the last is worse than chance of three classes
    shares = (np.array([9, 6]) + 0.5) / 11
    expected = np.log(shares / (1 - shares)) + np.log(2)
    assert logodds_weights(fit_rows_of(hits)).tolist() == pytest.approx(
        [*(expected / expected.sum()), 0]
    )
    perfect = np.ones((2, 5), bool)
    assert logodds_weights(fit_rows_of(perfect)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rule", CHEAP)
def test_where_nobody_is_ever_right_all_weigh_the_same(rule):
    assert rule(fit_rows_of(np.zeros((4, 30), bool))).tolist() == [0.25] * 4


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_every_rule_by_its_name_weighs_a_blend(name, average, metric, run_on):
    runs = [
        run_on("d", f"a-{i}-s0", accuracy=accuracy) for i, accuracy in enumerate((0.5, 0.8, 0.9))
    ]
    options = Options(weights=name, average=average, metric=metric)
    if (name, average) == ("logloss", "geometric"):
        with pytest.raises(
            SelectionError, match="--weights logloss is not available here\n.*--average arithmetic"
        ):
            make_blend(runs, options)
        return
    blend = make_blend(runs, options)
    weights = [member.weight for member in blend.members]
    assert min(weights) > 0
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert blend.valid.name == name
    assert make_blend(runs[:1], options).members[0].weight == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"weights": "acuracy"},
            "--weights acuracy is not one of accuracy, equal, logodds, greedy, logloss, rmse, best",
        ),
        ({"average": "mean"}, "--average mean is not one of arithmetic, geometric"),
    ],
)
def test_an_unknown_name_is_refused_with_the_allowed_ones(arguments, message):
    with pytest.raises(SelectionError, match=message):
        Options(**arguments)


def test_greedy_by_accuracy_that_would_not_fit_is_refused_and_left_out_of_the_table(
    run_on, monkeypatch
):
    runs = [run_on("d", f"a-{i}-s0", accuracy=0.8) for i in range(3)]
    monkeypatch.setattr("ensemble.blending.pool.MEMORY", 500)
    with pytest.raises(
        SelectionError, match="--weights greedy is not available here\ngreedy by accuracy needs"
    ):
        make_blend(runs, Options(weights="greedy"))
    blend = make_blend(runs, Options(weights="best"))
    assert [rating.name for rating in blend.table] == [
        "best member",
        "equal",
        "accuracy",
        "logodds",
        "logloss",
        "best",
    ]
    assert "--metric log_loss" in blend.missing
    assert make_blend(runs, Options(weights="greedy", metric="log_loss")).missing == ""
