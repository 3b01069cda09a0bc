"""How runs score on their validation rows, in which order, and what looking at no image scores."""

import math
from collections.abc import Sequence

import numpy as np

from ensemble import metrics
from ensemble.blending.folds import seed_from
from ensemble.metrics import Interval, Metric, baselines
from ensemble.runs import Run


def run_accuracy(run: Run) -> Interval:
    """The validation accuracy of a run with its interval.

    Reads valid.npz only if rows belong to groups. Raises DamagedError.
    """
    if run.scores.accuracy is not None and not run.data.is_grouped:
        return metrics.wilson(run.scores.accuracy, run.data.n_rows)
    valid = run.valid().canonical()
    hits = metrics.hits(valid.probs, valid.known_targets)
    return metrics.share_interval(hits, valid.group_numbers)


def run_score(run: Run, metric: Metric) -> Interval:
    """The validation score of a run by a metric of its classes in their order, with its interval.

    The ends are NaN where the rows are too few, all is NaN where they do not define the metric.
    Raises DamagedError.
    """
    if metric.name == "accuracy" and run.data.target == "class":
        return run_accuracy(run)
    return mean_score([run], metric)


def mean_score(runs: Sequence[Run], metric: Metric) -> Interval:
    """The mean score of runs on the same rows; the interval, over rows or groups, as in run_score.

    Raises DamagedError.
    """
    valids = [run.valid().canonical() for run in runs]
    targets, seed = valids[0].known_targets, seed_from(runs[0].data.valid)
    probs = np.stack([valid.probs for valid in valids])
    score = metrics.score_of(metric, probs, targets, seed, valids[0].group_numbers)
    is_known = not (np.isnan(score.value) or metric.too_few_rows(targets))
    return score if is_known else score.without_ends()


def rank(score: float, metric: Metric) -> tuple[bool, float]:
    """A key that sorts scores, the best first, undefined ones last."""
    is_undefined = math.isnan(score)
    return is_undefined, 0.0 if is_undefined else -score if metric.is_higher_better else score


def baselines_of(run: Run, metric: Metric) -> dict[str, float]:
    """By name, the scores without an image on a run's rows; metric is of its classes in their order.

    The most common class is that of the training images for accuracy, else that of the validation
    images. Undefined levels are left out, equal ones have one line. Raises DamagedError.
    """
    if metric.name == "accuracy" and run.data.majority is not None:
        return {"most common class": run.data.majority, "chance": 1 / len(run.classes)}
    valid = run.valid().canonical()
    levels = baselines(metric, valid.known_targets, valid.target)
    by_name = {levels.answer: levels.constant, "chance": levels.chance}
    if levels.chance is not None and math.isclose(levels.chance, levels.constant, abs_tol=1e-9):
        by_name = {f"chance, {levels.answer}": levels.chance}
    return {name: level for name, level in by_name.items() if level is not None and level == level}
