"""What greedy selection maximizes for metrics other than accuracy and log loss.

All of them add up probabilities, or logarithms for geometric means, class by class. Scores are the
metric's values, negated where smaller ones are better.
"""

from collections.abc import Callable

import numpy as np

from ensemble.blending.pool import FitRows, normalized
from ensemble.metrics import TIE, DecisionMetric, Metric
from ensemble.predictions import Array

N_RESCORED = 3  # candidates of a step whose area is computed exactly
_BITS, _OCTAVES = 5, 30  # 32 bins for each doubling of the odds, from 2^-30 to 2^30
_SMALLEST = 2.0**-_OCTAVES
_N_BINS = (2 * (_OCTAVES + 1) << _BITS) + 1  # an octave more: sums of probabilities may exceed 1
_FIRST_BIN = int(np.float32(_SMALLEST / 2).view(np.int32)) >> (23 - _BITS)


class MetricObjective:
    """Any metric of the mean of members, from all probabilities."""

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        assert rows.scores is not None
        self.metric, self.is_log = metric, is_log
        self.sign = 1 if metric.is_higher_better else -1
        self.scores, self.targets = rows.scores, rows.targets
        self.total = np.zeros(rows.scores.shape[1:])

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member as the n-th pick, (members,)."""
        return np.array([self._score(self.total + scores, n_picks) for scores in self.scores])

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,); weights is (blends, members)."""
        return np.array([self._score(weighted_sum(row, self.scores), 1) for row in weights])

    def add(self, member: int) -> None:
        """Add a member to the running sum."""
        self.total = self.total + self.scores[member]

    def _score(self, total: Array, n_picks: int) -> float:
        values = self.metric.values(self._mean(total, n_picks).T, self.targets)
        return self.sign * float(values)

    def _mean(self, total: Array, n_picks: int) -> Array:
        """Probabilities (classes, rows) from a sum of members."""
        mean = total / n_picks
        return normalized(mean.T).T if self.is_log else mean


class DecisionObjective:
    """A metric of the predicted classes, from the table of true and predicted ones.

    Rows where all members predict the same class are counted once; each step counts those once
    that no single pick can change.
    """

    def __init__(self, metric: DecisionMetric, rows: FitRows) -> None:
        assert rows.scores is not None
        self.metric, self.n_classes = metric, rows.n_classes
        labels, is_sure = _decisions(rows.scores)
        is_open = ~(is_sure & (labels == labels[0]).all(0))
        self.settled = self._tables(labels[:1, ~is_open], rows.targets[~is_open])
        self.scores, self.targets = rows.scores[:, :, is_open], rows.targets[is_open]
        self.bounds = self.scores.min(0), self.scores.max(0)
        self.total = np.zeros(self.scores.shape[1:])

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member as the n-th pick, (members,)."""
        lowest, highest = (self.total + bound for bound in self.bounds)
        label, columns = lowest.argmax(0), np.arange(lowest.shape[1])
        highest[label, columns] = -np.inf
        is_fixed = lowest[label, columns] > highest.max(0) + n_picks * TIE
        fixed = self._tables(label[None, is_fixed], self.targets[is_fixed])
        rest = np.flatnonzero(~is_fixed)
        total, bar = self.total[:, rest], n_picks * TIE
        labels = [_labels(total + scores.take(rest, axis=1), bar) for scores in self.scores]
        tables = self._tables(np.array(labels), self.targets[rest])
        return self.metric.values_of_tables(self.settled + fixed + tables)

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,); weights is (blends, members)."""
        labels = [_labels(weighted_sum(row, self.scores), TIE) for row in weights]
        tables = self._tables(np.array(labels), self.targets)
        return self.metric.values_of_tables(self.settled + tables)

    def add(self, member: int) -> None:
        """Add a member to the running sum."""
        self.total = self.total + self.scores[member]

    def _tables(self, labels: Array, targets: Array) -> Array:
        """How many rows have each true and predicted class, (sets, true, predicted)."""
        n_cells = self.n_classes**2
        cells = targets * self.n_classes + labels + n_cells * np.arange(len(labels))[:, None]
        counts = np.bincount(cells.ravel(), minlength=len(labels) * n_cells)
        return counts.reshape(len(labels), self.n_classes, self.n_classes)


class AreaObjective(MetricObjective):
    """The area under the ROC curve.

    Rows are binned by their odds first; the areas of the few best candidates are then computed
    exactly, and the others never win.
    """

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        super().__init__(metric, rows, is_log)
        n_rows, n = np.bincount(self.targets, minlength=rows.n_classes), len(self.targets)
        all_columns = range(rows.n_classes) if rows.n_classes > 2 else [1]
        self.columns = [column for column in all_columns if 0 < n_rows[column] < n]
        is_positive = self.targets == np.array(self.columns, int)[:, None]
        offsets = _N_BINS * (2 * np.arange(len(self.columns))[:, None] + is_positive) - _FIRST_BIN
        self.offsets = offsets.astype(np.int32)
        self.n_pairs = n_rows[self.columns] * (n - n_rows[self.columns])
        self.singles = self.sign * rows.values if rows.values is not None else None

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member, (members,); -inf unless it is among the best."""
        if n_picks == 1 and self.singles is not None:
            return self.singles
        return self._best(
            lambda member: self.total + self.scores[member], n_picks, len(self.scores)
        )

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,); -inf unless it is among the best."""
        return self._best(lambda i: weighted_sum(weights[i], self.scores), 1, len(weights))

    def _best(self, total_of: Callable[[int], Array], n_picks: int, n_candidates: int) -> Array:
        """The scores of the best of several sums, (candidates,), -inf for the rest."""
        exact = np.full(n_candidates, -np.inf)
        areas = [self._binned_area(total_of(i), n_picks) for i in range(n_candidates)]
        for i in np.argsort(-np.array(areas), kind="stable")[:N_RESCORED].tolist():
            exact[i] = self._score(total_of(i), n_picks)
        return exact

    def _binned_area(self, total: Array, n_picks: int) -> float:
        """The area where rows of a bin count as equal; 0 where no class defines it."""
        if self.is_log:
            total, n_picks = self._mean(total, n_picks), 1
        sums = total if len(self.columns) == len(total) else total[self.columns]
        odds = sums.astype(np.float32)
        rest = np.maximum(np.float32(n_picks) - odds, np.float32(n_picks * _SMALLEST))
        np.maximum(odds, np.float32(n_picks * _SMALLEST), out=odds)
        odds /= rest
        cells = odds.view(np.int32) >> (23 - _BITS)
        cells += self.offsets
        counts = np.bincount(cells.ravel(), minlength=2 * len(self.columns) * _N_BINS)
        negatives, positives = counts.reshape(-1, 2, _N_BINS).transpose(1, 0, 2)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        areas = (positives * below).sum(1) / self.n_pairs
        return float(areas.mean()) if self.columns else 0.0


class RankObjective(MetricObjective):
    """A mean over rows of what only the rank of the true class decides.

    Rows where all members agree which classes rank before the true one are scored once.
    """

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        super().__init__(metric, rows, is_log)
        is_open = ~_has_one_order(self.scores, self.targets)
        self.n_rows = len(self.targets)
        settled = self._mean(self.scores[0][:, ~is_open], 1)
        self.settled = self._sum(settled, self.targets[~is_open])
        self.scores, self.targets = self.scores[:, :, is_open], self.targets[is_open]
        self.total = np.zeros(self.scores.shape[1:])

    def _score(self, total: Array, n_picks: int) -> float:
        gain = self.settled + self._sum(self._mean(total, n_picks), self.targets)
        return self.sign * gain / self.n_rows

    def _sum(self, probs: Array, targets: Array) -> float:
        return float(self.metric.contributions(probs.T, targets).sum())


def weighted_sum(weights: Array, scores: Array) -> Array:
    """The sum of members, (classes, rows), added in order; weights is (members,)."""
    total = np.zeros(scores.shape[1:])
    for weight, member_scores in zip(weights, scores, strict=True):
        if weight:
            total += weight * member_scores
    return total


def _labels(scores: Array, tie: float) -> Array:
    """The class of the highest score of each row, the first of those within a tie, (rows,)."""
    return np.asarray(np.argmax(scores >= scores.max(0) - tie, axis=0))


def _decisions(scores: Array) -> tuple[Array, Array]:
    """The predicted class of each member, (members, rows), and the rows without a tie, (rows,)."""
    labels, is_sure = [], np.ones(scores.shape[2], bool)
    for member_scores in scores:
        is_highest = member_scores >= member_scores.max(0) - TIE
        is_sure &= np.count_nonzero(is_highest, axis=0) == 1
        labels.append(np.argmax(is_highest, axis=0))
    return np.array(labels), is_sure


def _has_one_order(scores: Array, targets: Array) -> Array:
    """Rows where every class is clearly before or clearly behind the true one for all members."""
    is_before, is_behind = np.ones((2, *scores.shape[1:]), bool)
    for member_scores in scores:
        true = member_scores[targets, np.arange(len(targets))]
        is_before &= member_scores > true + TIE
        is_behind &= member_scores < true - TIE
    is_true = np.arange(scores.shape[1])[:, None] == targets
    return np.asarray((is_before | is_behind | is_true).all(0))
