"""Intervals of cross-fitted scores, wider than the plain ones by the weights' own variance."""

import numpy as np

from ensemble import metrics
from ensemble.blending.folds import seed_from
from ensemble.metrics import Interval, Metric
from ensemble.predictions import Array
from ensemble.runs import Run


def run_accuracy(run: Run) -> Interval:
    """The validation accuracy of a run with its interval.

    Reads valid.npz only if rows belong to groups. Raises DamagedError.
    """
    if run.scores.accuracy is not None and not run.data.is_grouped:
        return metrics.wilson(run.scores.accuracy, run.data.n_rows)
    valid = run.valid().canonical()
    assert valid.targets is not None  # Run.valid refuses predictions without targets
    assert valid.groups is not None
    groups = np.unique(valid.groups, return_inverse=True)[1]
    return metrics.share_interval(metrics.hits(valid.probs, valid.targets), groups)


def run_score(run: Run, metric: Metric) -> Interval:
    """The validation score of a run by a metric of its classes in their order, with its interval.

    The ends are NaN where the rows are too few, all is NaN where they do not define the metric.
    Raises DamagedError.
    """
    if metric.name == "accuracy" and run.data.target == "class":
        return run_accuracy(run)
    valid = run.valid().canonical()
    assert valid.targets is not None  # Run.valid refuses predictions without targets
    groups = None if valid.groups is None else np.unique(valid.groups, return_inverse=True)[1]
    seed = seed_from(run.data.valid)
    score = metrics.score_of(metric, valid.probs, valid.targets, seed, groups)
    if np.isnan(score.value) or metric.too_few_rows(valid.targets):
        return Interval(score.value, np.nan, np.nan)
    return score


def log_loss_interval(
    losses: Array, width: float, seed: int, groups: Array | None = None
) -> Interval:
    """The bootstrap interval of the mean over rows or groups, width times as wide.

    losses is (rows,).
    """
    widened = metrics.bootstrap_mean(metrics.by_group(losses, groups), seed).widened(width)
    return Interval(widened.value, max(0.0, widened.low), widened.high)
