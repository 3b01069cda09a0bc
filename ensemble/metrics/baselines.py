"""What predictions that look at no image would score."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import DecisionMetric, Metric
from ensemble.targets import Array, Target, sums_of


@dataclass(frozen=True)
class Baselines:
    """The value of one answer for every row, what that answer is, and the value of guessing.

    The answer is the shares of classes or labels among the rows, whose decision is the most common
    class, or the mean value. chance is None where no guess suggests itself. NaN where undefined.
    """

    constant: float
    answer: str
    chance: float | None


def baselines(metric: Metric, targets: Array, target: Target = "class") -> Baselines:
    """Those of rows with these targets, as `Predictions` has them."""
    shares = sums_of(target, targets, len(metric.classes)) / len(targets)
    constant = metric.values(np.broadcast_to(shares, (len(targets), len(shares))), targets)
    answer = {"class": "class shares", "labels": "label shares", "number": "mean value"}[target]
    if target == "class" and metric.reads == "decisions":
        answer = "most common class"
    return Baselines(
        float(constant), answer, _chance(metric, targets) if target == "class" else None
    )


def _chance(metric: Metric, targets: Array) -> float:
    """The value of guessed classes: of their expected table, of equal probabilities, or of ranks.

    A metric of the true class's rank in its row is scored on a row for each rank.
    """
    n_classes = len(metric.classes)
    if isinstance(metric, DecisionMetric):
        true = np.bincount(targets, minlength=n_classes)
        table = np.repeat(true[:, None] / n_classes, n_classes, axis=1)
        return float(metric.values_of_tables(table[None])[0])
    if metric.reads == "ranks" or np.isinf(metric.bounds).any():
        equal = np.full((len(targets), n_classes), 1 / n_classes)
        return float(metric.values(equal, targets))
    falling = np.arange(n_classes, 0, -1) / (n_classes * (n_classes + 1) / 2)
    by_rank = np.broadcast_to(falling, (n_classes, n_classes))
    return float(metric.values(by_rank, np.arange(n_classes)))
