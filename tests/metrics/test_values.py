"""Every metric against scikit-learn, or against ten lines where it has none."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from ensemble.metrics import FLOOR, DecisionMetric, metric_named, metric_names, predicted


def f1_of(average):
    return lambda probs, targets: sklearn.f1_score(
        targets, probs.argmax(1), average=average, zero_division=0
    )


def weakest_f1(probs, targets):
    return min(sklearn.f1_score(targets, probs.argmax(1), average=None, zero_division=0))


def log_loss(probs, targets):
    return sklearn.log_loss(targets, probs, labels=range(probs.shape[1]))


def positive(probs):
    """Without zeros, for which scikit-learn has another smallest probability."""
    return (probs + 1e-6) / (probs + 1e-6).sum(1, keepdims=True)


def roc_auc(probs, targets):
    if probs.shape[1] == 2:
        is_one = targets == 1
        return np.nan if is_one.all() or not is_one.any() else area(is_one, probs[:, 1])
    n_rows = np.bincount(targets, minlength=probs.shape[1])
    if n_rows.all():
        return sklearn.roc_auc_score(targets, probs, multi_class="ovr", average="macro")
    scored = [c for c, n in enumerate(n_rows) if 0 < n < len(targets)]
    return np.mean([area(targets == c, probs[:, c]) for c in scored]) if scored else np.nan


def area(is_positive, scores):
    return sklearn.roc_auc_score(is_positive, scores)


def quadratic_kappa(probs, targets):
    labels = range(probs.shape[1])
    kappa = sklearn.cohen_kappa_score(targets, probs.argmax(1), weights="quadratic", labels=labels)
    return 0.0 if np.isnan(kappa) else kappa


def top_k_accuracy(k):
    def reference(probs, targets):
        scores = probs[:, 1] if probs.shape[1] == 2 else probs
        return sklearn.top_k_accuracy_score(targets, scores, k=k, labels=range(probs.shape[1]))

    return reference


def map_at(k):
    def reference(probs, targets):
        total = 0.0
        for row, target in zip(probs.tolist(), targets.tolist(), strict=True):
            order = sorted(range(len(row)), key=lambda column: (-row[column], column))
            rank = order.index(target) + 1
            total += 1 / rank if rank <= k else 0
        return total / len(targets)

    return reference


REFERENCES = {
    "accuracy": lambda probs, targets: sklearn.accuracy_score(targets, probs.argmax(1)),
    "balanced_accuracy": lambda probs, targets: sklearn.balanced_accuracy_score(
        targets, probs.argmax(1)
    ),
    "log_loss": log_loss,
    "roc_auc": roc_auc,
    "f1_macro": f1_of("macro"),
    "f1_micro": f1_of("micro"),
    "f1_weighted": f1_of("weighted"),
    "f1_min": weakest_f1,
    "quadratic_kappa": quadratic_kappa,
    **{f"map@{k}": map_at(k) for k in (1, 3, 7)},
    **{f"top_k_accuracy@{k}": top_k_accuracy(k) for k in (1, 2, 3, 7)},
}


def reference_value(reference, probs, targets):
    with warnings.catch_warnings():  # scikit-learn warns where a class or a label is missing
        warnings.simplefilter("ignore")
        return reference(probs, targets)


def test_every_metric_has_a_reference():
    names = {name.replace("@k", "@3") for name in metric_names()}
    assert names == names & {*REFERENCES, "f1"}


@pytest.mark.parametrize("name", REFERENCES)
@given(data=st.data())
def test_a_value_is_that_of_scikit_learn_with_ties_zeros_and_missing_classes(
    name, data, tied_predictions
):
    probs, targets = data.draw(tied_predictions())
    if name == "log_loss":
        probs = positive(probs)
    metric = metric_named(name, [str(column) for column in range(probs.shape[1])])
    expected = reference_value(REFERENCES[name], probs, targets)
    np.testing.assert_allclose(metric.values(probs, targets), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("positive", [0, 1])
@given(data=st.data())
def test_f1_and_auc_of_two_classes_are_those_of_the_positive_one(positive, data, tied_predictions):
    probs, targets = data.draw(tied_predictions(2))
    f1 = metric_named("f1", ["cat", "dog"], ["cat", "dog"][positive])
    expected = sklearn.f1_score(
        targets == positive, probs.argmax(1) == positive, pos_label=True, zero_division=0
    )
    assert f1.values(probs, targets) == pytest.approx(expected, abs=1e-12)
    auc = metric_named("roc_auc", ["cat", "dog"], ["cat", "dog"][positive])
    if 0 < targets.sum() < len(targets):
        expected = area(targets == positive, probs[:, positive])
        assert auc.values(probs, targets) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_large_predictions_have_the_values_of_scikit_learn(n_classes, rng, drawn):
    probs, targets = drawn(rng, 3_000, np.full(n_classes, 1 / n_classes))
    probs = positive(probs.round(3))
    for name, reference in REFERENCES.items():
        metric = metric_named(name, [str(column) for column in range(n_classes)])
        expected = reference_value(reference, probs, targets)
        assert metric.values(probs, targets) == pytest.approx(expected, abs=1e-12), name
        single = metric.values(probs.astype(np.float32), targets)
        assert single == pytest.approx(expected, abs=1e-3), name


@given(data=st.data())
def test_many_blends_are_scored_as_each_alone(data, tied_predictions, every_metric):
    probs, targets = data.draw(tied_predictions())
    turned, mixed = np.roll(probs, 1, axis=1), (probs + 1 / probs.shape[1]) / 2
    blends = np.stack([[probs, turned, mixed], [mixed, probs, turned]])
    for metric in every_metric(probs.shape[1]):
        values, rows = metric.values(blends, targets), metric.contributions(blends, targets)
        assert values.shape == (2, 3)
        assert rows.shape == (2, 3, len(targets))
        for i, j in np.ndindex(2, 3):
            np.testing.assert_array_equal(values[i, j], metric.values(blends[i, j], targets))
            np.testing.assert_array_equal(rows[i, j], metric.contributions(blends[i, j], targets))


def test_auc_in_blocks_is_auc_at_once(rng, drawn, monkeypatch):
    drawings = [drawn(rng, 500, [0.5, 0.3, 0.2])[0].round(2) for _ in range(7)]
    blends, targets = np.stack(drawings), rng.integers(0, 3, 500)
    auc = metric_named("roc_auc", ["a", "b", "c"])
    at_once = auc.values(blends, targets), auc.contributions(blends, targets)
    monkeypatch.setattr("ensemble.metrics.ranking._CACHED", 1_100)
    np.testing.assert_array_equal(auc.values(blends, targets), at_once[0])
    np.testing.assert_array_equal(auc.contributions(blends, targets), at_once[1])


CERTAIN = np.eye(3)
SINGLE = np.full((4, 3), 0.1) + [0, 0.7, 0]
EDGES = {  # probs and targets of three classes, and the values that differ from 0
    "ties everywhere": (
        np.full((4, 3), 1 / 3),
        [0, 1, 2, 0],
        {"accuracy": 1 / 2, "balanced_accuracy": 1 / 3, "log_loss": np.log(3), "roc_auc": 1 / 2}
        | {"f1_macro": 2 / 9, "f1_micro": 1 / 2, "f1_weighted": 1 / 3, "map@2": 5 / 8}
        | {"top_k_accuracy@2": 1 / 2},  # the last two classes, as in scikit-learn
    ),
    "a single predicted class": (
        SINGLE,
        [0, 1, 2, 0],
        {"accuracy": 1 / 4, "balanced_accuracy": 1 / 3, "roc_auc": 1 / 2, "f1_micro": 1 / 4}
        | {"log_loss": -(3 * np.log(0.1) + np.log(0.8)) / 4, "f1_macro": 2 / 15}
        | {"f1_weighted": 1 / 10, "map@2": 1 / 2, "top_k_accuracy@2": 1 / 2},
    ),
    "one class, predicted on every row": (
        SINGLE,
        [1, 1, 1, 1],
        dict.fromkeys(["accuracy", "balanced_accuracy", "f1_macro", "f1_micro"], 1)
        | dict.fromkeys(["f1_weighted", "f1_min", "map@2", "top_k_accuracy@2"], 1)
        | {"log_loss": -np.log(0.8), "roc_auc": np.nan},
    ),
    "one row, wrong": (
        SINGLE[:1],
        [2],
        {"log_loss": -np.log(0.1), "roc_auc": np.nan, "top_k_accuracy@2": 1},
    ),
    "a class that is missing, but predicted": (
        CERTAIN[[0, 0, 1, 2]],
        [0, 0, 1, 1],
        {"accuracy": 3 / 4, "balanced_accuracy": 3 / 4, "log_loss": -np.log(FLOOR) / 4}
        | {"roc_auc": (1 + 3 / 4) / 2, "f1_macro": 5 / 9, "f1_micro": 3 / 4}
        | {"f1_weighted": 5 / 6, "quadratic_kappa": 3 / 4, "map@2": 3 / 4}
        | {"top_k_accuracy@2": 1},
    ),
    "a class that is missing, and not predicted": (
        CERTAIN[[0, 0, 1, 0]],
        [0, 0, 1, 1],
        {"accuracy": 3 / 4, "balanced_accuracy": 3 / 4, "log_loss": -np.log(FLOOR) / 4}
        | {"roc_auc": 3 / 4, "f1_macro": 11 / 15, "f1_micro": 3 / 4, "f1_weighted": 11 / 15}
        | {"f1_min": 2 / 3, "quadratic_kappa": 1 / 2, "map@2": 7 / 8, "top_k_accuracy@2": 3 / 4},
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_have_stated_values(edge, every_metric):
    probs, targets, expected = EDGES[edge]
    for metric in every_metric(3):
        value = metric.values(probs, np.array(targets))
        assert value == pytest.approx(expected.get(metric.name, 0), abs=1e-12, nan_ok=True), (
            metric.name
        )
        rows = metric.contributions(probs, np.array(targets))
        assert rows.mean() == pytest.approx(value, abs=1e-12, nan_ok=True), metric.name


def test_k_above_the_number_of_classes_is_every_class():
    probs, targets = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([2, 2])
    classes = ["a", "b", "c"]
    assert metric_named("map@9", classes).values(probs, targets) == (1 / 3 + 1) / 2
    assert metric_named("top_k_accuracy@9", classes).values(probs, targets) == 1


def test_small_probabilities_still_have_an_order():
    probs, targets = np.array([[1 - 3e-14, 1e-14, 2e-14]]), np.array([2])
    for name in ("map@2", "top_k_accuracy@2"):
        assert metric_named(name, ["a", "b", "c"]).values(probs, targets) > 0


def test_kappa_follows_the_numbers_of_classes_not_their_text():
    classes = ["10", "2", "1"]
    targets = np.array([0, 1, 2, 1, 0])
    probs = np.eye(3)[[0, 2, 2, 0, 1]]
    numbers = np.array([10, 2, 1])
    expected = sklearn.cohen_kappa_score(
        numbers[targets], numbers[probs.argmax(1)], weights="quadratic", labels=[1, 2, 10]
    )
    assert metric_named("quadratic_kappa", classes).values(probs, targets) == pytest.approx(
        expected, abs=1e-12
    )


@given(data=st.data())
def test_the_order_of_columns_changes_nothing(data, drawn):
    n_classes = data.draw(st.integers(2, 5))
    order = np.array(data.draw(st.permutations(range(n_classes))))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    probs, targets = drawn(rng, 60, np.full(n_classes, 1 / n_classes))
    classes = [str(column) for column in range(n_classes)]
    for name in [*REFERENCES, *(["f1"] if n_classes == 2 else [])]:
        metric = metric_named(name, classes)
        turned = metric_named(name, [classes[column] for column in order])
        turned_targets = np.argsort(order)[targets]
        np.testing.assert_allclose(
            turned.contributions(probs[:, order], turned_targets),
            metric.contributions(probs, targets),
            atol=1e-12,
            err_msg=name,
        )


@given(data=st.data())
def test_a_metric_of_decisions_is_that_of_their_table(data, tied_predictions, every_metric):
    n_classes = data.draw(st.integers(2, 5))
    probs, targets = data.draw(tied_predictions(n_classes))
    table = np.zeros((1, n_classes, n_classes), int)
    np.add.at(table[0], (targets, predicted(probs)), 1)
    for metric in every_metric(n_classes):
        if isinstance(metric, DecisionMetric):
            expected = pytest.approx(float(metric.values(probs, targets)), abs=1e-12)
            assert metric.values_of_tables(table).tolist() == [expected]
