"""Metrics of several labels and of numbers: scikit-learn's values, contributions, intervals."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from ensemble.errors import MetricError
from ensemble.metrics import DEFAULT_METRIC, metric_named, metric_names, ranked, score_of
from ensemble.targets import TARGETS


def f_of(average, beta):
    return lambda probs, targets: sklearn.fbeta_score(
        targets, probs > 0.5, beta=beta, average=average, zero_division=0
    )


def mean_over_labels(score):
    def reference(probs, targets):
        scored = range(targets.shape[1])
        return np.mean([score(targets[:, column], probs[:, column]) for column in scored])

    return reference


def roc_auc(probs, targets):
    both = (targets.any(0)) & ~(targets.all(0))
    if not both.any():
        return np.nan
    return sklearn.roc_auc_score(targets[:, both], probs[:, both], average="macro")


def map_at(k):
    """The mean of Kaggle's apk over rows, of the labels in order of probability."""

    def reference(probs, targets):
        total = 0.0
        for row, truth in zip(probs.tolist(), targets.tolist(), strict=True):
            order = sorted(range(len(row)), key=lambda column: (-row[column], column))[:k]
            n_right, precision = 0, 0.0
            for rank, column in enumerate(order, start=1):
                n_right += truth[column]
                precision += truth[column] * n_right / rank
            total += precision / min(sum(truth), k) if any(truth) else 0
        return total / len(targets)

    return reference


def quadratic_kappa(values, true):
    if (true != np.rint(true)).any():
        return np.nan
    grades = np.rint(values[:, 0]).astype(int)
    steps = range(min(grades.min(), int(true.min())), max(grades.max(), int(true.max())) + 1)
    kappa = sklearn.cohen_kappa_score(true.astype(int), grades, weights="quadratic", labels=steps)
    return 0.0 if np.isnan(kappa) else kappa


OF_LABELS = {
    "f1_samples": f_of("samples", 1),
    "f2_samples": f_of("samples", 2),
    "f1_macro": f_of("macro", 1),
    "f1_micro": f_of("micro", 1),
    "roc_auc": roc_auc,
    "log_loss": mean_over_labels(lambda true, p: sklearn.log_loss(true, p, labels=[0, 1])),
    "accuracy": lambda probs, targets: sklearn.accuracy_score(targets, probs > 0.5),
    **{f"map@{k}": map_at(k) for k in (1, 2, 7)},
}
OF_NUMBERS = {
    "rmse": lambda values, true: sklearn.root_mean_squared_error(true, values[:, 0]),
    "mae": lambda values, true: sklearn.mean_absolute_error(true, values[:, 0]),
    "quadratic_kappa": quadratic_kappa,
}
REFERENCES = {"labels": OF_LABELS, "number": OF_NUMBERS}
BOTH = [(target, name) for target, of_target in REFERENCES.items() for name in of_target]


@st.composite
def tied_predictions(draw, target):
    """Predictions full of ties, of 0.5 and of labels that no row or every row has; and targets."""
    n_rows = draw(st.integers(1, 30))
    if target == "number":
        shape, steps = (n_rows, 1), st.integers(-4, 4)
        values = draw(arrays(np.int64, shape, elements=steps)) / 2
        return values, draw(arrays(np.int64, n_rows, elements=steps)) / draw(
            st.sampled_from([1, 2])
        )
    shape = (n_rows, draw(st.integers(2, 5)))
    probs = draw(arrays(np.int64, shape, elements=st.integers(0, 8))) / 8
    return probs, draw(arrays(np.uint8, shape, elements=st.integers(0, 1)))


def drawn(rng, target, n_rows, skill=1.5):
    """Predictions without ties, and targets; labels of shares from 0.1 to 0.6."""
    if target == "number":
        true = rng.gamma(2, 10, n_rows).round()
        return (true + rng.standard_t(5, n_rows) * 4)[:, None], true
    targets = (rng.random((n_rows, 4)) < [0.1, 0.2, 0.3, 0.6]).astype(np.uint8)
    logits = rng.normal(0, 1, (n_rows, 4)) + skill * (2.0 * targets - 1)
    return 1 / (1 + np.exp(-logits)), targets


def metric_of(target, name, n_columns=1):
    return metric_named(name, [f"label {i}" for i in range(n_columns)], target=target)


def reference_value(reference, probs, targets):
    with warnings.catch_warnings():  # scikit-learn warns where a label is missing
        warnings.simplefilter("ignore")
        return reference(probs, targets)


def test_every_metric_of_labels_and_numbers_has_a_reference():
    for target, references in REFERENCES.items():
        assert {name.replace("@k", "@7") for name in metric_names(target)} <= set(references)


@pytest.mark.parametrize(("target", "name"), BOTH)
@given(data=st.data())
def test_a_value_is_that_of_scikit_learn_with_ties_and_labels_of_one_kind(target, name, data):
    probs, targets = data.draw(tied_predictions(target))
    if name == "log_loss":
        probs = probs.clip(1e-6, 1 - 1e-6)  # scikit-learn has another smallest probability
    value = metric_of(target, name, probs.shape[1]).values(probs, targets)
    expected = reference_value(REFERENCES[target][name], probs, targets)
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("target", "name"), BOTH)
def test_large_predictions_have_the_values_of_scikit_learn(target, name, rng):
    probs, targets = drawn(rng, target, 3_000)
    metric = metric_of(target, name, probs.shape[1])
    expected = reference_value(REFERENCES[target][name], probs, targets)
    assert metric.values(probs, targets) == pytest.approx(expected, abs=1e-12)
    assert metric.values(probs.astype(np.float32), targets) == pytest.approx(expected, abs=1e-3)


def test_map_of_all_labels_is_the_label_ranking_average_precision(rng):
    probs, targets = drawn(rng, "labels", 500)
    targets[~targets.any(1), 0] = 1  # scikit-learn scores a row without labels 1
    expected = sklearn.label_ranking_average_precision_score(targets, probs)
    value = metric_of("labels", "map@4", 4).values(probs, targets)
    assert value == pytest.approx(expected, abs=1e-12)


@given(data=st.data())
def test_map_of_one_label_per_row_is_that_of_classes(data):
    probs, _ = data.draw(tied_predictions("labels"))
    n_rows, n_columns = probs.shape
    classes = data.draw(arrays(np.int64, n_rows, elements=st.integers(0, n_columns - 1)))
    names = [str(column) for column in range(n_columns)]
    for k in (1, 3):
        of_classes = metric_named(f"map@{k}", names).contributions(probs, classes)
        one_label = np.eye(n_columns, dtype=np.uint8)[classes]
        of_labels = metric_named(f"map@{k}", names, target="labels")
        np.testing.assert_array_equal(of_labels.contributions(probs, one_label), of_classes)


@given(data=st.data())
def test_answers_of_0_and_1_score_as_the_probabilities_that_they_were_decided_from(data):
    probs, targets = data.draw(tied_predictions("labels"))
    for name in ("f1_samples", "f2_samples", "f1_macro", "f1_micro", "accuracy"):
        metric = metric_of("labels", name, probs.shape[1])
        answers = (probs > 0.5).astype(np.uint8)
        np.testing.assert_array_equal(
            metric.contributions(answers, targets), metric.contributions(probs, targets)
        )


def test_probabilities_that_differ_by_rounding_rank_in_the_order_of_classes():
    third = 0.1 + 0.2
    assert ranked(np.array([0.1, 0.3, third, 0.3, 0.0])).tolist() == [1, 2, 3, 0, 4]
    assert third > 0.3


@pytest.mark.parametrize(("target", "name"), BOTH)
@given(data=st.data())
def test_the_mean_of_contributions_is_the_value(target, name, data):
    probs, targets = data.draw(tied_predictions(target))
    metric = metric_of(target, name, probs.shape[1])
    rows = metric.contributions(probs, targets)
    assert rows.shape == (len(targets),)
    assert rows.dtype == np.float64
    np.testing.assert_allclose(rows.mean(), metric.values(probs, targets), atol=1e-12)


@pytest.mark.parametrize(("target", "name"), BOTH)
def test_contributions_are_what_leaving_a_row_out_changes(target, name, rng):
    probs, targets = drawn(rng, target, 500)
    metric = metric_of(target, name, probs.shape[1])
    value = metric.values(probs, targets)
    without = [
        metric.values(np.delete(probs, row, axis=0), np.delete(targets, row, axis=0))
        for row in range(500)
    ]
    influence = metric.contributions(probs, targets) - value
    jackknife = 499 * (value - np.array(without))
    np.testing.assert_allclose(jackknife, influence, atol=0.06 * np.abs(influence).max())


@pytest.mark.parametrize(("target", "name"), BOTH)
@given(data=st.data())
def test_many_blends_are_scored_as_each_alone(target, name, data):
    probs, targets = data.draw(tied_predictions(target))
    blends = np.stack([[probs, np.roll(probs, 1, axis=0), 1 - probs]] * 2)
    metric = metric_of(target, name, probs.shape[1])
    values, rows = metric.values(blends, targets), metric.contributions(blends, targets)
    smoothing = metric.smoothing(blends, targets)
    assert (values.shape, rows.shape) == ((2, 3), (2, 3, len(targets)))
    assert smoothing.shape == (2, 3, 2)
    assert (smoothing[..., 1] >= 0).all()
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(values[i, j], metric.values(blends[i, j], targets))
        np.testing.assert_array_equal(rows[i, j], metric.contributions(blends[i, j], targets))
        np.testing.assert_array_equal(smoothing[i, j], metric.smoothing(blends[i, j], targets))


@pytest.mark.parametrize(("target", "name"), BOTH)
@given(data=st.data())
def test_an_interval_holds_its_value_and_stays_within_bounds(target, name, data):
    probs, targets = data.draw(tied_predictions(target))
    groups = np.arange(len(targets)) // 2 if data.draw(st.booleans()) else None
    metric = metric_of(target, name, probs.shape[1])
    interval = score_of(metric, probs, targets, 0, groups)
    low, high = metric.bounds
    if np.isnan(interval.value):
        assert name in ("roc_auc", "quadratic_kappa")
        assert (interval.low, interval.high) == metric.bounds
    else:
        assert low <= interval.low <= interval.value + 1e-12
        assert interval.value - 1e-12 <= interval.high <= high


CELLS = [  # measured over 300 draws each in docs/log.md
    ("labels", "f1_samples", 100),
    ("labels", "f1_macro", 100),
    ("labels", "f1_micro", 100),
    ("labels", "map@2", 100),
    ("number", "rmse", 100),
    ("number", "mae", 100),
    ("number", "quadratic_kappa", 100),
]


@pytest.mark.parametrize(("target", "name", "n_rows"), CELLS)
def test_intervals_cover_the_truth(target, name, n_rows):
    rng = np.random.default_rng(3)
    metric = metric_of(target, name, 1 if target == "number" else 4)
    truth = metric.values(*drawn(rng, target, 200_000))
    n_covered = n_scored = 0
    for _ in range(200):
        probs, targets = drawn(rng, target, n_rows)
        if not metric.too_few_rows(targets):
            interval = score_of(metric, probs, targets, 0)
            n_scored += 1
            n_covered += interval.low <= truth <= interval.high
    assert n_scored > 150
    assert n_covered / n_scored > 0.9


FEW = np.repeat([[1, 0, 1], [0, 1, 0]], [4, 30], axis=0).astype(np.uint8)
TOO_FEW = {
    "f1_macro": "4 rows of class 'x', an interval needs 5",
    "roc_auc": "4 rows of class 'x', an interval needs 20",
}


@pytest.mark.parametrize("name", OF_LABELS)
def test_too_few_rows_with_a_label_are_named(name):
    metric = metric_named(name, ["x", "y", "z"], target="labels")
    assert metric.too_few_rows(FEW) == TOO_FEW.get(name, "")
    assert metric.too_few_rows(np.tile(FEW, (6, 1))) == ""


def test_micro_needs_rows_with_labels_and_auc_rows_without():
    micro = metric_named("f1_micro", ["x"], target="labels")
    assert micro.too_few_rows(np.eye(9, 1, dtype=np.uint8)) == (
        "1 rows with a label, an interval needs 5"
    )
    auc = metric_named("roc_auc", ["x"], target="labels")
    assert auc.too_few_rows(1 - np.eye(99, 1, dtype=np.uint8)) == (
        "1 row of class 'x', an interval needs 20"
    )


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_has_a_default_metric_and_metrics_travel_between_processes(target):
    assert DEFAULT_METRIC[target] in metric_names(target)
    for name in metric_names(target):
        if (target, name) != ("class", "f1"):
            metric = metric_named(name.replace("@k", "@2"), ["0", "1"], target=target)
            assert pickle.loads(pickle.dumps(metric)) == metric


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        (
            "rmse",
            "labels",
            "'rmse' is not a metric of several labels per image\n"
            "metrics of several labels per image are f1_samples, f2_samples, f1_macro, f1_micro, "
            "roc_auc, log_loss, accuracy, map@k",
        ),
        (
            "rsme",
            "number",
            "'rsme' is not a metric of a number per image: did you mean rmse?\n"
            "metrics of a number per image are rmse, mae, quadratic_kappa",
        ),
        ("map@0", "labels", "the metric 'map@0' has no k from 1 up to 999999: write map@5"),
    ],
)
def test_a_metric_of_another_target_is_refused_with_those_of_this_one(name, target, message):
    with pytest.raises(MetricError) as error:
        metric_named(name, ["a"], target=target)
    assert str(error.value).startswith(message)
