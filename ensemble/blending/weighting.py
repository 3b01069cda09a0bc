"""Weights from validation results: one function per rule, each non-negative and summing to 1."""

from collections.abc import Callable

import numpy as np

from ensemble.blending.greedy import AccuracySearch, GeometricSearch, LogLossSearch, greedy_weights
from ensemble.blending.pool import Sample
from ensemble.blending.simplex import simplex_optimum
from ensemble.predictions import Array

Weighting = Callable[[Sample], Array]

CHOICES = ("accuracy", "equal", "logodds", "greedy", "logloss", "best")


def equal_weights(sample: Sample) -> Array:
    """The same weight for everyone."""
    return np.full(len(sample.hits), 1 / len(sample.hits))


def accuracy_weights(sample: Sample) -> Array:
    """In proportion to accuracy; equal where nobody is ever right."""
    return _in_proportion(sample.accuracies)


def logodds_weights(sample: Sample) -> Array:
    """log(a / (1 - a)) + log(C - 1), none below 0, with a = (hits + 0.5) / (n + 1), as in SAMME (Zhu et al., 2009)."""
    n = sample.hits.shape[1]
    share = (sample.accuracies * n + 0.5) / (n + 1)
    return _in_proportion(
        np.maximum(np.log(share / (1 - share)) + np.log(max(sample.n_classes - 1, 1)), 0)
    )


def logloss_weights(sample: Sample) -> Array:
    """The arithmetic mean with the least log loss."""
    return simplex_optimum(sample.true)[0]


def greedy_accuracy_weights(sample: Sample) -> Array:
    """Greedy selection by accuracy."""
    assert sample.margins is not None
    return greedy_weights(AccuracySearch(sample.margins), len(sample.hits))


def greedy_logloss_weights(sample: Sample) -> Array:
    """Greedy selection by the log loss of the arithmetic mean."""
    return greedy_weights(LogLossSearch(sample.true), len(sample.hits))


def greedy_geometric_weights(sample: Sample) -> Array:
    """Greedy selection by the log loss of the geometric mean."""
    assert sample.margins is not None
    return greedy_weights(GeometricSearch(sample.margins), len(sample.hits))


def weightings(metric: str, is_log: bool, has_margins: bool) -> dict[str, Weighting]:
    """The rules that can be had, simplest first.

    logloss is the optimum of an arithmetic mean; greedy needs the margins, except for the log loss of arithmetic means.
    """
    found: dict[str, Weighting] = {
        "equal": equal_weights,
        "accuracy": accuracy_weights,
        "logodds": logodds_weights,
    }
    if not is_log:
        found["logloss"] = logloss_weights
    if metric == "log_loss" and not is_log:
        found["greedy"] = greedy_logloss_weights
    elif has_margins:
        found["greedy"] = (
            greedy_geometric_weights if metric == "log_loss" else greedy_accuracy_weights
        )
    return found


def _in_proportion(values: Array) -> Array:
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1 / len(values))
