"""What greedy selection maximizes for metrics other than accuracy and log loss.

All of them add up probabilities, or logarithms for geometric means, class by class. Scores are the
metric's values, negated where smaller ones are better.
"""

import numpy as np

from ensemble.blending.pool import FitRows, normalized
from ensemble.metrics import TIE, DecisionMetric, Metric
from ensemble.predictions import Array

N_RESCORED = 3  # candidates of a step whose area is computed exactly
_BITS, _OCTAVES = 6, 40  # 64 bins for each doubling of the odds, from 2^-40 to 2^40
_N_BINS = (2 * _OCTAVES << _BITS) + 1
_FIRST_BIN = int(np.float32(2.0**-_OCTAVES).view(np.int32)) >> (23 - _BITS)


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

    Each step bins the rows by their odds, and computes the areas of the few best candidates
    exactly; the others never win.
    """

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        super().__init__(metric, rows, is_log)
        n_rows, n = np.bincount(self.targets, minlength=rows.n_classes), len(self.targets)
        all_columns = range(rows.n_classes) if rows.n_classes > 2 else [1]
        self.columns = [column for column in all_columns if 0 < n_rows[column] < n]
        is_positive = self.targets == np.array(self.columns)[:, None]
        self.offsets = _N_BINS * (2 * np.arange(len(self.columns))[:, None] + is_positive)
        self.n_pairs = n_rows[self.columns] * (n - n_rows[self.columns])
        self.values = rows.values

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member, (members,); -inf unless it is among the best."""
        if not self.columns or n_picks == 1:
            return super().scores_with_each(n_picks)
        areas = np.array([self._binned(self.total + scores, n_picks) for scores in self.scores])
        exact = np.full(len(areas), -np.inf)
        for member in np.argsort(-areas, kind="stable")[:N_RESCORED]:
            exact[member] = self._score(self.total + self.scores[member], n_picks)
        return exact

    def _binned(self, total: Array, n_picks: int) -> float:
        """The area where rows of a bin count as equal."""
        probs = self._mean(total, n_picks)[self.columns].astype(np.float32)
        odds = np.clip(probs / np.maximum(1 - probs, 2.0**-_OCTAVES), 2.0**-_OCTAVES, 2.0**_OCTAVES)
        bins = (odds.view(np.int32) >> (23 - _BITS)) - _FIRST_BIN
        n_bins = 2 * len(self.columns) * _N_BINS
        counts = np.bincount((bins + self.offsets).ravel(), minlength=n_bins)
        negatives, positives = counts.reshape(-1, 2, _N_BINS).transpose(1, 0, 2)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        return float(((positives * below).sum(1) / self.n_pairs).mean())


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
