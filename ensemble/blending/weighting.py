"""Weights from validation results: one function per rule, each non-negative and summing to 1."""

from collections.abc import Callable

import numpy as np

from ensemble.blending.greedy import (
    AccuracyObjective,
    GeometricObjective,
    LogLossObjective,
    Objective,
    greedy_weights,
)
from ensemble.blending.objectives import AreaObjective, DecisionObjective, RankObjective
from ensemble.blending.pool import FitRows
from ensemble.blending.simplex import simplex_optimum
from ensemble.metrics import DecisionMetric, Metric
from ensemble.predictions import Array

Weighting = Callable[[FitRows], Array]

CHOICES = ("accuracy", "equal", "logodds", "greedy", "logloss", "best")


def equal_weights(rows: FitRows) -> Array:
    """The same weight for every member."""
    return np.full(rows.n_members, 1 / rows.n_members)


def accuracy_weights(rows: FitRows) -> Array:
    """In proportion to accuracy; equal if no member is ever right."""
    return _in_proportion(rows.accuracies)


def logodds_weights(rows: FitRows) -> Array:
    """log(a / (1 - a)) + log(C - 1), at least 0, with a = (hits + 0.5) / (n + 1).

    As in SAMME (Zhu et al., 2009).
    """
    n = rows.hits.shape[1]
    share = (rows.accuracies * n + 0.5) / (n + 1)
    logodds = np.log(share / (1 - share)) + np.log(max(rows.n_classes - 1, 1))
    return _in_proportion(np.maximum(logodds, 0))


def logloss_weights(rows: FitRows) -> Array:
    """The arithmetic mean with the least log loss."""
    return simplex_optimum(rows.true)[0]


def greedy_accuracy_weights(rows: FitRows) -> Array:
    """Greedy selection by accuracy."""
    assert rows.margins is not None
    return greedy_weights(AccuracyObjective(rows.margins), rows.n_members)


def greedy_logloss_weights(rows: FitRows) -> Array:
    """Greedy selection by the log loss of the arithmetic mean."""
    return greedy_weights(LogLossObjective(rows.true), rows.n_members)


def greedy_geometric_weights(rows: FitRows) -> Array:
    """Greedy selection by the log loss of the geometric mean."""
    assert rows.margins is not None
    return greedy_weights(GeometricObjective(rows.margins), rows.n_members)


def greedy_weighting(metric: Metric, is_log: bool) -> Weighting:
    """Greedy selection by a metric other than accuracy and log loss."""

    def weights(rows: FitRows) -> Array:
        objective: Objective
        if isinstance(metric, DecisionMetric):
            objective = DecisionObjective(metric, rows)
        elif metric.reads == "ranks":
            objective = AreaObjective(metric, rows, is_log)
        else:
            objective = RankObjective(metric, rows, is_log)
        return greedy_weights(objective, rows.n_members)

    return weights


def weightings(metric: Metric, is_log: bool, rows: FitRows) -> dict[str, Weighting]:
    """The available rules, simplest first; rows are all rows.

    logloss is the optimum of an arithmetic mean; greedy needs the margins or the scores, except for
    the log loss of arithmetic means.
    """
    rules: dict[str, Weighting] = {
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
    elif rows.scores is not None:
        rules["greedy"] = greedy_weighting(metric, is_log)
    return rules


def _in_proportion(values: Array) -> Array:
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1 / len(values))
