"""What greedy selection maximizes for metrics other than accuracy and log loss.

All of them add up probabilities, or logarithms for geometric means, class by class. Scores are the
metric's values, negated where smaller ones are better.
"""

import numpy as np

from ensemble.blending.decisions import label_threshold
from ensemble.blending.fit_rows import FitRows
from ensemble.blending.pool import normalized
from ensemble.metrics import AnswerMetric, Metric
from ensemble.predictions import Array

_CACHED = 1 << 16  # probabilities that are scored at once


class MetricObjective:
    """Any metric of the mean of members, from all probabilities."""

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        self.metric, self.is_log = metric, is_log
        self.sign = 1 if metric.is_higher_better else -1
        self.scores, self.targets = rows.scores, rows.targets
        self.total = np.zeros(rows.scores.shape[1:])

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member as the n-th pick, (members,)."""
        if self.scores.size <= _CACHED:
            return self._scores(self.total + self.scores, n_picks)
        return np.array([self._score(self.total + scores, n_picks) for scores in self.scores])

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,); weights is (blends, members)."""
        return np.array([self._score(weighted_sum(row, self.scores), 1) for row in weights])

    def add(self, member: int) -> None:
        """Add a member to the running sum."""
        self.total = self.total + self.scores[member]

    def _score(self, total: Array, n_picks: int) -> float:
        return float(self._scores(total[None], n_picks)[0])

    def _scores(self, totals: Array, n_picks: int) -> Array:
        """The scores of sums of members, (sums,); totals is (sums, classes, rows)."""
        probs = self._mean(totals, n_picks).swapaxes(1, 2)
        return self.sign * self.metric.values(probs, self.targets)

    def _mean(self, totals: Array, n_picks: int) -> Array:
        """Probabilities (sums, classes, rows) from sums of members."""
        means = totals / n_picks
        return normalized(means.swapaxes(1, 2)).swapaxes(1, 2) if self.is_log else means


class ThresholdObjective(MetricObjective):
    """A metric of the labels above a threshold.

    That of equal weights is near the one that the blend will answer by: steps chosen at 0.5 lose up
    to 0.003 of F (docs/log.md).
    """

    def __init__(self, metric: AnswerMetric, rows: FitRows, is_log: bool) -> None:
        super().__init__(metric, rows, is_log)
        self.answer_metric = metric
        self.threshold = label_threshold(metric, self.scores.mean(0).T, rows.targets)

    def _scores(self, totals: Array, n_picks: int) -> Array:
        answers = self.threshold.apply(self._mean(totals, n_picks).swapaxes(1, 2))
        return self.sign * self.answer_metric.values_of(answers, self.targets)


def weighted_sum(weights: Array, scores: Array) -> Array:
    """The sum of members, (classes, rows), added in order; weights is (members,)."""
    total = np.zeros(scores.shape[1:])
    for weight, member_scores in zip(weights, scores, strict=True):
        if weight:
            total += weight * member_scores
    return total
