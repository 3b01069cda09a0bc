"""What greedy selection maximizes for metrics other than accuracy and log loss.

All of them add up probabilities, or logarithms for geometric means, class by class. Scores are the
metric's values, negated where smaller ones are better.
"""

import numpy as np

from ensemble.blending.decisions import label_threshold
from ensemble.blending.fit_rows import FitRows
from ensemble.blending.pool import normalized
from ensemble.metrics import TIE, AnswerMetric, DecisionMetric, Metric
from ensemble.predictions import Array

N_RESCORED = 2  # candidates of a step whose area is computed exactly
_CACHED = 1 << 16  # probabilities that are scored at once
_BITS, _OCTAVES = 4, 30  # 16 bins for each doubling of the odds, from 2^-30 to 2^30
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
        self.alone = self._tables(labels[:, is_open], self.targets)
        self.bounds = self.scores.min(0), self.scores.max(0)
        self.total = np.zeros(self.scores.shape[1:])

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member as the n-th pick, (members,)."""
        if n_picks == 1:
            return self.metric.values_of_tables(self.settled + self.alone)
        lowest, highest = (self.total + bound for bound in self.bounds)
        label, columns = lowest.argmax(0), np.arange(lowest.shape[1])
        highest[label, columns] = -np.inf
        is_fixed = lowest[label, columns] > highest.max(0) + n_picks * TIE
        fixed = self._tables(label[None, is_fixed], self.targets[is_fixed])
        rest = np.flatnonzero(~is_fixed)
        total, bar = self.total[:, rest], n_picks * TIE
        labels = np.empty((len(self.scores), len(rest)), np.int64)
        summed = np.empty(total.shape)
        for member_labels, scores in zip(labels, self.scores, strict=True):
            np.take(scores, rest, axis=1, out=summed, mode="clip")  # "raise" would copy once more
            summed += total
            member_labels[:] = _labels(summed, bar)
        tables = self._tables(labels, self.targets[rest])
        return self.metric.values_of_tables(self.settled + fixed + tables)

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,); weights is (blends, members)."""
        means = np.stack([weights @ self.scores[:, c] for c in range(self.n_classes)], axis=1)
        labels = [_labels(mean, TIE) for mean in means]
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

    Where members are large, rows are binned by their odds first; the areas of the few best
    candidates are then computed exactly, and the others never win.
    """

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        super().__init__(metric, rows, is_log)
        self.singles = self.sign * rows.values if rows.values is not None else None
        self.binned = _BinnedArea(self.targets, rows.n_classes)
        is_binned = self.scores.size > _CACHED and not is_log
        scores = self.scores if is_binned else self.scores[:0]
        self.cell_scores = [self.binned.cells_of(probs) for probs in scores]

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member, (members,); -inf unless it is among the best."""
        if n_picks == 1 and self.singles is not None:
            return self.singles
        if self.scores.size <= _CACHED:
            return super().scores_with_each(n_picks)
        best = np.argsort(-self._binned_with_each(n_picks), kind="stable")[:N_RESCORED]
        exact = np.full(len(self.scores), -np.inf)
        for member in best.tolist():
            exact[member] = self._score(self.total + self.scores[member], n_picks)
        return exact

    def _binned_with_each(self, n_picks: int) -> Array:
        """The binned areas after adding each member, (members,)."""
        if self.is_log:
            sums = (self._mean((self.total + scores)[None], n_picks)[0] for scores in self.scores)
            return np.array([self.binned.of(self.binned.cells_of(probs), 1) for probs in sums])
        total = self.binned.cells_of(self.total)
        return np.array([self.binned.of(total, n_picks, scores) for scores in self.cell_scores])

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,); -inf unless it is the first or among the best."""
        if self.scores.size <= _CACHED:
            return super().scores_of(weights)
        means = (self._mean(weighted_sum(row, self.scores)[None], 1)[0] for row in weights)
        areas = [self.binned.of(self.binned.cells_of(probs), 1) for probs in means]
        best = np.argsort(-np.array(areas), kind="stable")[:N_RESCORED]
        exact = np.full(len(weights), -np.inf)
        for blend in {0, *best.tolist()}:
            exact[blend] = self._score(weighted_sum(weights[blend], self.scores), 1)
        return exact


class _BinnedArea:
    """The mean area where rows whose odds are in one bin count as equal.

    Works in place on the cells of all scored columns, side by side.
    """

    def __init__(self, targets: Array, n_classes: int) -> None:
        cells: list[Array] = []
        offsets: list[Array] = []
        n_pairs = []
        of_labels = targets.ndim == 2
        for column in range(n_classes) if n_classes > 2 or of_labels else [1]:
            is_true = targets[:, column] == 1 if of_labels else targets == column
            sides = np.flatnonzero(~is_true), np.flatnonzero(is_true)
            if not (len(sides[0]) and len(sides[1])):
                continue
            for side in sides:
                cells.append(column * len(targets) + side)
                offsets.append(np.full(len(side), _N_BINS * len(offsets) - _FIRST_BIN, np.int32))
            n_pairs.append(len(sides[0]) * len(sides[1]))
        self.n_pairs, self.n_bins = np.array(n_pairs), _N_BINS * len(offsets)
        self.cells = np.concatenate(cells) if cells else np.zeros(0, int)
        self.offsets = np.concatenate(offsets) if offsets else np.zeros(0, np.int32)
        self.odds, self.rest = np.empty((2, len(self.cells)), np.float32)

    def cells_of(self, total: Array) -> Array:
        """The cells of a sum of probabilities (classes, rows), float32."""
        return total.take(self.cells).astype(np.float32)

    def of(self, total: Array, n_picks: int, added: Array | float = 0) -> float:
        """The area of a sum of cells and others; 0 where no class defines it."""
        if not len(self.n_pairs):
            return 0.0
        odds, rest, smallest = self.odds, self.rest, np.float32(n_picks * _SMALLEST)
        np.add(total, added, out=odds)
        np.subtract(np.float32(n_picks), odds, out=rest)
        np.maximum(rest, smallest, out=rest)
        np.maximum(odds, smallest, out=odds)
        odds /= rest
        bins = odds.view(np.int32)
        bins >>= 23 - _BITS
        bins += self.offsets
        counts = np.bincount(bins, minlength=self.n_bins)
        negatives, positives = counts.reshape(-1, 2, _N_BINS).transpose(1, 0, 2)
        twice_below = 2 * np.cumsum(negatives, axis=1) - negatives
        areas = np.einsum("cb,cb->c", positives, twice_below) / (2 * self.n_pairs)
        return float(areas.mean())


class RankObjective(MetricObjective):
    """A mean over rows of what only the rank of the true class decides.

    Rows where all members agree which classes rank before the true one are scored once.
    """

    def __init__(self, metric: Metric, rows: FitRows, is_log: bool) -> None:
        super().__init__(metric, rows, is_log)
        is_open = ~_has_one_order(self.scores, self.targets)
        self.n_rows = len(self.targets)
        self.settled = self._sums(self.scores[:1, :, ~is_open], 1, self.targets[~is_open])
        self.scores, self.targets = self.scores[:, :, is_open], self.targets[is_open]
        self.total = np.zeros(self.scores.shape[1:])

    def _scores(self, totals: Array, n_picks: int) -> Array:
        gains = self.settled + self._sums(totals, n_picks, self.targets)
        return np.asarray(self.sign * gains / self.n_rows)

    def _sums(self, totals: Array, n_picks: int, targets: Array) -> Array:
        probs = self._mean(totals, n_picks).swapaxes(1, 2)
        return np.asarray(self.metric.contributions(probs, targets).sum(-1))


def weighted_sum(weights: Array, scores: Array) -> Array:
    """The sum of members, (classes, rows), added in order; weights is (members,)."""
    total = np.zeros(scores.shape[1:])
    for weight, member_scores in zip(weights, scores, strict=True):
        if weight:
            total += weight * member_scores
    return total


def _labels(scores: Array, tie: float) -> Array:
    """The class of the highest score of each row, the first of those within a tie, (rows,)."""
    bar, integer = scores.max(0) - tie, np.int8 if len(scores) < 128 else np.int64
    is_lower, n_lower = np.ones(bar.shape, bool), np.zeros(bar.shape, integer)
    for class_scores in scores[:-1]:
        is_lower &= class_scores < bar
        n_lower += is_lower.view(np.int8)
    return n_lower.astype(np.int64)


def _decisions(scores: Array) -> tuple[Array, Array]:
    """The predicted class of each member, (members, rows), and the rows without a tie, (rows,)."""
    labels, is_sure = [], np.ones(scores.shape[2], bool)
    for member_scores in scores:
        label = _labels(member_scores, TIE)
        highest = member_scores[label, np.arange(len(label))]
        is_sure &= np.count_nonzero(member_scores >= highest - TIE, axis=0) == 1
        labels.append(label)
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
