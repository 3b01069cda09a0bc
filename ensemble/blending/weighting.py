"""Weights from validation results: one function per rule, each non-negative and summing to 1."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ensemble.blending.fit_rows import ClassRows, FitRows
from ensemble.blending.greedy import (
    AccuracyObjective,
    GeometricObjective,
    LogLossObjective,
    Objective,
    greedy_weights,
)
from ensemble.blending.objectives import MetricObjective, ThresholdObjective
from ensemble.blending.shared_sums import shared_objective
from ensemble.blending.simplex import least_squares, simplex_optimum
from ensemble.metrics import AnswerMetric, Metric
from ensemble.predictions import Array

Weighting = Callable[[FitRows], Array]

CHOICES = ("accuracy", "equal", "logodds", "greedy", "logloss", "rmse", "best")
OF_CLASSES = ("accuracy", "logodds")  # weightings that need one class per row
_MOST_CELLS = 200_000  # labels of rows that the weights of the least log loss are found on


def equal_weights(rows: FitRows) -> Array:
    """The same weight for every member."""
    return np.full(rows.n_members, 1 / rows.n_members)


def accuracy_weights(rows: ClassRows) -> Array:
    """In proportion to accuracy; equal if no member is ever right."""
    return _in_proportion(rows.accuracies)


def logodds_weights(rows: ClassRows) -> Array:
    """log(a / (1 - a)) + log(C - 1), at least 0, with a = (hits + 0.5) / (n + 1).

    As in SAMME (Zhu et al., 2009).
    """
    n = rows.hits.shape[1]
    share = (rows.accuracies * n + 0.5) / (n + 1)
    logodds = np.log(share / (1 - share)) + np.log(max(rows.n_classes - 1, 1))
    return _in_proportion(np.maximum(logodds, 0))


def logloss_weights(rows: ClassRows) -> Array:
    """The arithmetic mean with the least log loss."""
    return simplex_optimum(rows.true)[0]


def label_logloss_weights(rows: FitRows) -> Array:
    """The arithmetic mean with the least log loss of labels, each label of each row a case."""
    every = -(-rows.targets.size // _MOST_CELLS)
    scores, is_true = rows.scores[:, :, ::every], rows.targets[::every].T == 1
    of_truth = np.where(is_true, scores, 1 - scores)
    return simplex_optimum(of_truth.reshape(rows.n_members, -1))[0]


def rmse_weights(rows: FitRows) -> Array:
    """The arithmetic mean with the least squared error (Breiman, "Stacked regressions", 1996)."""
    return least_squares(rows.scores[:, 0] - rows.targets)


def greedy_accuracy_weights(rows: ClassRows) -> Array:
    """Greedy selection by accuracy."""
    assert rows.margins is not None
    return greedy_weights(AccuracyObjective(rows.margins), rows.n_members)


def greedy_logloss_weights(rows: ClassRows) -> Array:
    """Greedy selection by the log loss of the arithmetic mean."""
    return greedy_weights(LogLossObjective(rows.true), rows.n_members)


def greedy_geometric_weights(rows: ClassRows) -> Array:
    """Greedy selection by the log loss of the geometric mean."""
    assert rows.margins is not None
    return greedy_weights(GeometricObjective(rows.margins), rows.n_members)


def greedy_weighting(
    metric: Metric, is_log: bool, rows: FitRows, is_decision_learned: bool = False
) -> Weighting:
    """Greedy selection by a metric other than accuracy and log loss; rows are all rows.

    is_decision_learned: labels are chosen at a learned threshold, not at 0.5.
    """
    shared = shared_objective(metric, rows, is_log)

    def weights(rows: FitRows) -> Array:
        objective: Objective
        if shared is not None:
            objective = shared(rows)
        elif is_decision_learned and isinstance(metric, AnswerMetric) and rows.targets.ndim == 2:
            objective = ThresholdObjective(metric, rows, is_log)
        else:
            objective = MetricObjective(metric, rows, is_log)
        return greedy_weights(objective, rows.n_members)

    return weights


def weightings(
    metric: Metric, is_log: bool, rows: FitRows, is_decision_learned: bool = False
) -> dict[str, Weighting]:
    """The available rules, simplest first; rows are all rows."""
    if isinstance(rows, ClassRows):
        return _of_classes(metric, is_log, rows)
    rules: dict[str, Weighting] = {"equal": equal_weights}
    if rows.pool_scores is not None:
        is_number = rows.targets.ndim == 1
        optimum = {"rmse": rmse_weights} if is_number else {"logloss": label_logloss_weights}
        greedy = greedy_weighting(metric, is_log, rows, is_decision_learned)
        rules |= {**optimum, "greedy": greedy}
    return rules


def _of_classes(metric: Metric, is_log: bool, rows: ClassRows) -> dict[str, Any]:
    """The rules for rows of one class each, which are fitted on such rows.

    logloss is the optimum of an arithmetic mean; greedy needs the margins or the scores, except for
    the log loss of arithmetic means.
    """
    rules: dict[str, Any] = {
        "equal": equal_weights,
        "accuracy": accuracy_weights,
        "logodds": logodds_weights,
    }
    if not is_log:
        rules["logloss"] = logloss_weights
    has_margins = rows.margins is not None
    if metric.name == "log_loss" and not is_log:
        rules["greedy"] = greedy_logloss_weights
    elif metric.name == "log_loss" and has_margins:
        rules["greedy"] = greedy_geometric_weights
    elif metric.name in ("accuracy", "f1_micro") and has_margins:
        rules["greedy"] = greedy_accuracy_weights
    elif rows.pool_scores is not None:
        rules["greedy"] = greedy_weighting(metric, is_log, rows)
    return rules


def _in_proportion(values: Array) -> Array:
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1 / len(values))
