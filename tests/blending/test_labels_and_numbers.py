"""Blends of several labels and of numbers: weights, folds, decisions, scores, what is refused."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import cohen_kappa_score, f1_score, mean_absolute_error, roc_auc_score

from ensemble.blending import Options, make_blend
from ensemble.blending.compare import compare, recipe_sides
from ensemble.blending.folds import N_FOLDS, N_REPEATS, strata_of, stratified_folds
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.blending.simplex import least_squares
from ensemble.errors import MetricError, SelectionError
from ensemble.metrics import metric_named
from ensemble.metrics.decision import GradeCuts, LabelThreshold, Unchanged
from ensemble.predictions import Predictions
from ensemble.runs import RunStore, imported
from ensemble.submission import write_submission
from ensemble.submission.shape import Meaning, shape_of
from ensemble.submission.verify import verified
from ensemble.submission.write import csv_text

NAMES = {"labels": ("a", "b", "c"), "number": ("grade",)}


def made_up(target, n, seed=0, n_members=3):
    """Targets, and the predictions of members whose errors differ."""
    rng = np.random.default_rng(seed)
    noise = np.linspace(0.6, 1.2, n_members)[:, None, None]
    if target == "number":
        truth = rng.integers(0, 5, n).astype(np.float64)
        values = 2 + 0.6 * (truth[:, None] - 2) + noise * rng.normal(0, 0.6, (n_members, n, 1))
        return truth, values.astype(np.float32)
    logits = rng.normal([-2, -1, 0], 1.5, (n, 3))
    truth = (rng.random((n, 3)) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    probs = 1 / (1 + np.exp(-(logits + noise * rng.normal(0, 1, (n_members, n, 3)))))
    return truth, probs.astype(np.float32)


def members_of(target, truth, predictions, rows=None, columns=None):
    ids = np.array([f"{i:04d}" for i in range(len(truth))])
    rows = np.arange(len(ids)) if rows is None else rows
    columns = np.arange(len(NAMES[target])) if columns is None else columns
    classes = tuple(np.array(NAMES[target])[columns].tolist())
    true = truth[rows][:, columns] if target == "labels" else truth[rows]
    return {
        f"m{i}": partial(
            Predictions, ids[rows], classes, probs[rows][:, columns], true, None, target
        )
        for i, probs in enumerate(predictions)
    }


def rated(target, metric, n=120, weights="best", decision="learned", **members):
    pool = open_pool(members_of(target, *made_up(target, n), **members))
    options = Options(weights=weights, metric=metric, decision=decision)
    return pool, rate(pool, options, [""] * 3, 1)


@pytest.fixture(params=["labels", "number"])
def target(request):
    return request.param


@pytest.fixture
def runs(target, tmp_path):
    """Imported runs with validation and test rows."""
    store = RunStore(tmp_path / "runs")
    for seed, part in enumerate(("valid", "test")):
        for name, member in members_of(target, *made_up(target, 90, seed)).items():
            member().save(tmp_path / f"{name}-{part}.npz")
    return [
        imported.import_run(
            f"m{i}", f"a{i}", tmp_path / f"m{i}-valid.npz", tmp_path / f"m{i}-test.npz", store, "d"
        )
        for i in range(3)
    ]


METRICS = [
    *(("labels", name) for name in ("f1_samples", "f1_macro", "roc_auc", "log_loss", "map@2")),
    *(("number", name) for name in ("rmse", "mae", "quadratic_kappa")),
]


@pytest.mark.parametrize(("target", "metric"), METRICS)
def test_the_order_of_rows_and_of_labels_changes_nothing(target, metric):
    rng = np.random.default_rng(3)
    _, table = rated(target, metric)
    columns = rng.permutation(len(NAMES[target]))
    _, shuffled = rated(target, metric, rows=rng.permutation(120), columns=columns)
    np.testing.assert_array_equal(table.weights, shuffled.weights)
    assert [rating.as_dict() for rating in table.ratings] == [
        rating.as_dict() for rating in shuffled.ratings
    ]
    assert table.decisions == shuffled.decisions


@pytest.mark.parametrize(("target", "metric"), METRICS)
def test_weights_are_on_the_simplex_and_in_sample_is_the_metric_of_the_answers(target, metric):
    pool, table = rated(target, metric, n=180)
    assert (table.weights >= 0).all()
    np.testing.assert_allclose(table.weights.sum(1), 1)
    own = metric_named(metric, pool.classes, target=target)
    rating = table.ratings[-1]
    mixed = pool.mixed(table.blend_weights[None])[0]
    answers = table.decision.apply(mixed) if own.reads == "decisions" else mixed
    assert rating.fitted_score == pytest.approx(float(own.values(answers, pool.targets)))
    assert rating.score.low < rating.score.value < rating.score.high
    assert (rating.accuracy, rating.log_loss, rating.fitted_accuracy) == (None, None, None)


def test_in_sample_scores_are_scikit_learns(runs, target):
    blend = make_blend(runs)
    by_id = {member.run.id: member.run for member in blend.members}
    valid = blend.mixture.of({run_id: run.valid for run_id, run in by_id.items()}, {})
    true, answers = valid.predictions.targets, valid.answers
    if target == "labels":
        expected = {
            "f1_samples": f1_score(true, answers, average="samples", zero_division=0),
            "f1_macro": f1_score(true, answers, average="macro", zero_division=0),
            "roc_auc": roc_auc_score(true, valid.predictions.probs),
        }
    else:
        grades = np.rint(answers[:, 0]).astype(int)
        kappa = cohen_kappa_score(true.astype(int), grades, weights="quadratic")
        expected = {
            "mae": mean_absolute_error(true, answers[:, 0]),
            "quadratic_kappa": kappa,
        }
    assert expected.items() <= {k: pytest.approx(v) for k, v in blend.in_sample.items()}.items()


@given(seed=st.integers(0, 2**32 - 1), n_members=st.integers(1, 6), n=st.integers(2, 30))
@settings(max_examples=30)
def test_least_squares_is_the_optimum_on_the_simplex(seed, n_members, n):
    errors = np.random.default_rng(seed).normal(0.3, 1, (n_members, n))
    weights = least_squares(errors)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)

    def squares(w):
        return float(((w @ errors) ** 2).mean())

    found = minimize(
        squares,
        np.full(n_members, 1 / n_members),
        method="SLSQP",
        bounds=[(0, 1)] * n_members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert squares(weights) <= found.fun + 1e-6


def test_least_squares_of_perfect_and_of_equal_members():
    assert least_squares(np.zeros((3, 5))).tolist() == [1 / 3] * 3
    np.testing.assert_allclose(least_squares(np.ones((4, 5))), 0.25)


def test_folds_hold_their_share_of_rare_labels_and_of_high_values():
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 4)) < [0.05, 0.1, 0.3, 0.6]).astype(np.uint8)
    n_rare = labels[:, 0].sum()
    values = np.exp(rng.normal(0, 2, 200))
    largest = np.argsort(values)[-10:]
    for folds in stratified_folds(strata_of("labels", labels), None, 1):
        counts = np.bincount(folds[labels[:, 0] == 1], minlength=N_FOLDS)
        assert counts.max() - counts.min() <= 1
        assert counts.sum() == n_rare
    repeats = list(stratified_folds(strata_of("number", values), None, 1))
    for folds in repeats:
        assert np.bincount(folds[largest], minlength=N_FOLDS).tolist() == [2] * N_FOLDS
    assert len({folds.tobytes() for folds in repeats}) == N_REPEATS


def test_rows_of_a_group_are_never_apart(target):
    truth, predictions = made_up(target, 60)
    groups = np.array([f"g{i // 3}" for i in range(60)])
    members = members_of(target, truth, predictions)
    grouped = {name: lambda m=m: replace(m(), groups=groups) for name, m in members.items()}
    table = rate(open_pool(grouped), Options(weights="equal"), [""] * 3, 1)
    for folds in table.outcomes.folds:
        assert all(len(set(folds[groups == group])) == 1 for group in set(groups))


def test_grades_are_rounded_where_cut_points_gain_too_little():
    truth = np.arange(60) % 4 + 1.0
    noise = np.random.default_rng(0).normal(0, 0.2, (3, 60, 1))
    values = (truth[:, None] + noise).clip(0.6, 4.4).astype(np.float32)
    pool = open_pool(members_of("number", truth, values))
    table = rate(pool, Options(weights="equal", metric="quadratic_kappa"), [""] * 3, 1)
    assert table.decision == GradeCuts(1, (1.5, 2.5, 3.5))
    assert table.decision.words == "rounded to whole numbers from 1 to 4"
    assert table.decision.apply(np.array([[-3.0], [1.49], [2.5], [9.0]]))[:, 0].tolist() == [
        1,
        1,
        3,
        4,
    ]


def test_an_unknown_metric_is_refused_with_a_near_one_of_the_runs_own(runs, target):
    near = {"labels": ("f1_sampels", "f1_samples"), "number": ("rsme", "rmse")}
    typo, metric = near[target]
    with pytest.raises(MetricError) as refused:
        make_blend(runs, Options(metric=typo))
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"--metric: '{typo}' is not a metric of ")
    assert first.endswith(f"did you mean {metric}?")
    assert "balanced_accuracy" not in second


def test_greedy_chooses_labels_at_a_learned_threshold_if_the_blend_answers_by_one():
    learned, plain = (
        rated("labels", "f2_samples", weights="greedy", decision=decision)[1]
        for decision in ("learned", "plain")
    )
    assert learned.blend_weights.tolist() != plain.blend_weights.tolist()


def test_the_csv_answers_by_the_learned_decision_and_verifies(runs, target, tmp_path):
    metric = "f2_samples" if target == "labels" else "quadratic_kappa"
    learned = make_blend(runs, Options(metric=metric, weights="best"))
    assert isinstance(learned.mixture.decision, LabelThreshold | GradeCuts)
    submission = write_submission(learned, tmp_path / "submissions")
    assert len(verified(submission.path, RunStore(tmp_path / "runs")).runs) == len(learned.members)
    rows = [line.split(",") for line in submission.path.read_text().splitlines()[1:]]
    probs = learned.predictions.probs
    for (_, cell), row in zip(rows, probs, strict=True):
        if target == "labels":
            threshold = learned.mixture.decision.threshold
            assert threshold < 0.5
            assert cell.split() == [n for n, p in zip("abc", row, strict=True) if p > threshold]
        else:
            reached = [cut for cut in learned.mixture.decision.cuts if row[0] >= cut]
            assert float(cell) == len(reached)

    plain = make_blend(runs, Options(metric=metric, weights="best", decision="plain"))
    assert plain.mixture.decision == (LabelThreshold(0.5) if target == "labels" else Unchanged())
    written = csv_text(shape_of(None, plain.predictions, Meaning()), plain.answered)
    if target == "number":
        cells = [float(line.split(",")[1]) for line in written.splitlines()[1:]]
        assert cells == pytest.approx(plain.predictions.probs[:, 0].tolist())


def test_runs_are_compared_by_their_metric(runs, target):
    differences = compare(recipe_sides(runs))
    assert len(differences) == 3
    name = "f1_samples" if target == "labels" else "rmse"
    assert {difference.metric for difference in differences} == {name}
    metric = metric_named(name, NAMES[target], target=target)
    first, second = (
        float(metric.values(run.valid().probs, run.valid().targets)) for run in runs[:2]
    )
    lead = first - second if target == "labels" else second - first
    assert differences[0].value.value == pytest.approx(lead, abs=1e-6)


def test_the_default_weights_become_the_best_ones(runs):
    blend = make_blend(runs)
    assert blend.options.weights == "best"
    assert "accuracy and logodds weights: of classes, best replaces them" in blend.missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "logodds"}, "--weights logodds: is about classes"),
        ({"min_acc": 0.5}, "--min-acc: is about classes"),
        ({"average": "geometric"}, "--average geometric: these runs predict"),
        ({"calibrate": True}, "--calibrate: is about classes"),
    ],
)
def test_what_is_about_classes_is_refused_by_name(options, message, runs):
    with pytest.raises(SelectionError, match=message):
        make_blend(runs, Options(**options))


def test_what_is_about_the_other_target_is_refused_by_name(runs, target):
    other = "rmse" if target == "labels" else "logloss"
    with pytest.raises(SelectionError, match=f"--weights {other}: these runs predict"):
        make_blend(runs, Options(weights=other))
    if target == "number":
        with pytest.raises(SelectionError, match="--average rank: these runs predict a number"):
            make_blend(runs, Options(average="rank"))


def test_a_bound_is_in_the_direction_of_the_metric(runs, target):
    metric = "log_loss" if target == "labels" else "rmse"
    scores = make_blend(runs, Options(metric=metric)).run_scores
    bound = sorted(scores.values())[1]
    blend = make_blend(runs, Options(metric=metric, min_score=bound, weights="equal"))
    assert {member.run.id for member in blend.members} == {
        name for name, score in scores.items() if score <= bound
    }
    with pytest.raises(SelectionError, match="no run reaches --min-score 0.001; the best is m0"):
        make_blend(runs, Options(metric=metric, min_score=0.001))


def test_ranks_of_labels_are_averaged_for_auc(runs, target):
    if target == "number":
        return
    options = Options(metric="roc_auc", average="rank", weights="equal")
    blend = make_blend(runs, options)
    shares = []
    for run in runs:
        valid, test = run.valid().canonical().probs, run.test().canonical().probs
        below = (valid[None] < test[:, None]).mean(1)
        through = (valid[None] <= test[:, None]).mean(1)
        shares.append((below + through) / 2)
    np.testing.assert_allclose(blend.predictions.probs, np.mean(shares, axis=0), atol=1e-9)
