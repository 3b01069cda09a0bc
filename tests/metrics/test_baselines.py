"""The levels of predictions that look at no image, against simulated guesses and closed forms."""

import math

import numpy as np
import pytest

from ensemble.metrics import baselines, metric_named

CLASSES = ("0", "1", "2", "3", "4")
TARGETS = np.repeat(np.arange(5), [500, 100, 250, 50, 100])


@pytest.mark.parametrize(
    "name",
    ["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "quadratic_kappa", "map@3"]
    + ["top_k_accuracy@2"],
)
def test_chance_is_the_mean_of_random_guesses(name):
    metric = metric_named(name, CLASSES)
    rng = np.random.default_rng(0)
    guesses = rng.dirichlet(np.ones(5), (300, len(TARGETS)))
    expected = metric.values(guesses, TARGETS).mean()
    assert baselines(metric, TARGETS).chance == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("name", "constant", "answer", "chance"),
    [
        ("accuracy", 0.5, "most common class", 0.2),
        ("quadratic_kappa", 0, "most common class", 0),
        ("roc_auc", 0.5, "class shares", 0.5),
        ("log_loss", 1.3035, "class shares", math.log(5)),
    ],
)
def test_the_levels_of_one_answer_for_all(name, constant, answer, chance):
    levels = baselines(metric_named(name, CLASSES), TARGETS)
    assert levels.constant == pytest.approx(constant, abs=1e-4)
    assert levels.chance == pytest.approx(chance, abs=1e-9)
    assert levels.answer == answer


def test_a_value_has_no_chance_level_and_the_mean_is_its_constant():
    values = np.array([1.0, 2.0, 6.0])
    levels = baselines(metric_named("rmse", ("price",), target="number"), values, "number")
    assert (levels.constant, levels.answer) == (pytest.approx(values.std()), "mean value")
    assert levels.chance is None
