"""Metrics by name: what is allowed, and what a refusal says."""

import pickle

import numpy as np
import pytest

from ensemble.errors import EnsembleError, MetricError
from ensemble.metrics import metric_named, metric_names

READS = {
    "accuracy": "decisions",
    "balanced_accuracy": "decisions",
    "log_loss": "probabilities",
    "roc_auc": "ranks",
    "f1": "decisions",
    "f1_macro": "decisions",
    "f1_micro": "decisions",
    "f1_weighted": "decisions",
    "f1_min": "decisions",
    "quadratic_kappa": "decisions",
    "map@k": "probabilities",
    "top_k_accuracy@k": "probabilities",
}


def test_every_metric_says_what_it_reads_and_which_way_is_better():
    assert metric_names() == tuple(READS)
    for name, reads in READS.items():
        metric = metric_named(name.replace("@k", "@5"), ["0", "1"])
        assert (metric.name, metric.reads) == (name.replace("@k", "@5"), reads)
        assert metric.is_higher_better == (name != "log_loss")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("acuracy", "accuracy"), ("auc", "roc_auc"), ("logloss", "log_loss"), ("F1", "f1")],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(name, hint):
    with pytest.raises(MetricError) as error:
        metric_named(name, ["0", "1"])
    first, second = str(error.value).splitlines()
    assert first == f"'{name}' is not a metric: did you mean {hint}?"
    assert second == f"metrics are {', '.join(metric_names())}"
    assert isinstance(error.value, EnsembleError)


@pytest.mark.parametrize("name", ["map", "map@", "map@k", "map@0", "map@-1", "map@1.5", "map@٣"])
def test_a_k_that_is_no_whole_number_from_1_is_refused(name):
    with pytest.raises(MetricError, match="map@5"):
        metric_named(name, ["a", "b"])
    with pytest.raises(MetricError, match="top_k_accuracy@5"):
        metric_named(name.replace("map", "top_k_accuracy"), ["a", "b"])


def test_a_name_without_a_near_one_is_answered_with_the_list():
    with pytest.raises(MetricError, match=r"^'xyz' is not a metric\nmetrics are accuracy"):
        metric_named("xyz", ["a", "b"])


def test_f1_needs_two_classes():
    with pytest.raises(MetricError) as error:
        metric_named("f1", ["a", "b", "c"], "a")
    assert str(error.value) == (
        "f1 needs two classes, a positive one among them; these are 'a', 'b', 'c'\n"
        "use f1_macro, f1_micro, f1_weighted or f1_min"
    )


def test_f1_needs_a_positive_class():
    with pytest.raises(MetricError) as error:
        metric_named("f1", ["cat", "dog"])
    assert str(error.value) == (
        "f1 is about the positive class, and data.positive is not set\n"
        "set it to one of the classes: 'cat', 'dog'"
    )


@pytest.mark.parametrize("name", ["f1", "roc_auc"])
def test_a_positive_class_that_is_not_there_is_refused(name):
    with pytest.raises(MetricError, match="data.positive is 'cow', which is not a class"):
        metric_named(name, ["cat", "dog"], "cow")


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (["0", "1"], None),
        (["1", "0"], None),
        (["0.0", "1.0"], None),
        (["False", "True"], None),
        (["true", "false"], None),
        (["cat", "dog"], "cat"),
        (["1", "0"], "0"),
        (["cafe\u0301", "tea"], "caf\u00e9"),
    ],
)
def test_the_positive_class_is_the_one_that_is_named_or_names_itself(classes, positive):
    expected = {"1": 1, "1.0": 1, "True": 1, "true": 1}
    column = next(
        i
        for i, name in enumerate(classes)
        if (name in expected if positive is None else name == positive or i == 0)
    )
    if positive == "0":
        column = 1
    probs, targets = np.eye(2)[[column, column, 1 - column]], np.array([column, 1 - column, column])
    assert metric_named("f1", classes, positive).values(probs, targets) == 1 / 2
    negative = metric_named("f1", ["a", "b"], ["a", "b"][1 - column])
    assert negative.values(probs, targets) == 0


@pytest.mark.parametrize("name", ["roc_auc", "quadratic_kappa"])
def test_what_compares_classes_needs_two(name):
    with pytest.raises(MetricError, match=f"^{name} needs two classes or more; these are '0'$"):
        metric_named(name, ["0"])


@pytest.mark.parametrize("classes", [["low", "high"], ["1", "one"], ["1", "1.0"], ["1", "nan"]])
def test_kappa_needs_classes_that_are_different_numbers(classes):
    with pytest.raises(MetricError, match="needs classes in an order") as error:
        metric_named("quadratic_kappa", classes)
    assert len(str(error.value).splitlines()) == 2


def test_many_classes_are_not_all_listed():
    with pytest.raises(MetricError, match="'c0', 'c1', 'c2', 'c3', 'c4' and 995 more"):
        metric_named("f1", [f"c{i}" for i in range(1000)])


def test_a_metric_travels_to_another_process(every_metric, rng, drawn):
    probs, targets = drawn(rng, 30, [0.5, 0.5])
    for metric in every_metric(2):
        again = pickle.loads(pickle.dumps(metric))
        assert again == metric
        np.testing.assert_array_equal(
            again.contributions(probs, targets), metric.contributions(probs, targets)
        )
