"""Metrics of several labels per image; probs and targets are (rows, labels), targets of 0 and 1.

A label is given where its probability is above 0.5, as fastai and scikit-learn give it. Answers of
0 and 1 may stand for probs: above 0.5 they are themselves.
"""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.additive import Additive
from ensemble.metrics.confusion import FEWEST, _f1_of_share, _pseudo_rows
from ensemble.metrics.metric import ColumnMetric, Rule, few_of_a_class
from ensemble.metrics.rows import FLOOR, Array, given_labels, ranked

_RULE: Rule = "effective rows"


def exact_matches(probs: Array, targets: Array) -> Array:
    """1.0 where a row is given all of its labels and no other, (..., rows)."""
    is_right = given_labels(probs) == (targets == 1)
    return np.asarray(is_right.all(-1), dtype=np.float64)


def binary_losses(probs: Array, targets: Array) -> Array:
    """Each row's mean over labels of the log loss of the two sides, in nats, (..., rows)."""
    exact = probs.astype(np.float64)
    of_truth = np.where(targets == 1, exact, 1 - exact)
    return np.asarray(-np.log(np.maximum(of_truth, FLOOR)).mean(-1))


@dataclass(frozen=True)
class SampleF:
    """The F score of each row's labels; 0 for a row that has none and is given none.

    beta is how many times recall counts as much as precision.
    """

    beta: float

    def __call__(self, probs: Array, targets: Array) -> Array:
        """(..., rows)."""
        is_given, weight = given_labels(probs), self.beta**2
        n_right = (is_given & (targets == 1)).sum(-1)
        size = weight * targets.sum(-1) + is_given.sum(-1)
        return np.asarray((1 + weight) * n_right / np.maximum(size, 1))


@dataclass(frozen=True)
class AveragePrecision:
    """The precision at each true label among the k most probable, added up over min(true ones, k).

    0 for a row without a label. Equally probable labels rank in their order.
    """

    k: int

    def __call__(self, probs: Array, targets: Array) -> Array:
        """(..., rows)."""
        order = ranked(probs)[..., : self.k]
        n_best = order.shape[-1]
        is_true = np.broadcast_to(targets == 1, probs.shape)
        is_right = np.take_along_axis(is_true, order, axis=-1)
        precision = np.cumsum(is_right, axis=-1) / np.arange(1, n_best + 1)
        n_true = np.minimum(targets.sum(-1, dtype=np.int64), self.k)
        return np.asarray((precision * is_right).sum(-1) / np.maximum(n_true, 1))


@dataclass(frozen=True)
class MeanOfAnswers(Additive, ColumnMetric):
    """The mean of a score of each row's labels."""


@dataclass(frozen=True)
class LabelF1(ColumnMetric):
    """The mean F1 of all labels, or with is_micro the F1 of all their cells together.

    A label that no row has and none is given has an F1 of 0, as in scikit-learn.
    """

    is_micro: bool

    def values(self, probs: Array, targets: Array) -> Array:
        """The F1, (...,)."""
        sets = probs.reshape(-1, *probs.shape[-2:])
        values = [self._cells(one_set, targets).f1.mean() for one_set in sets]
        return np.array(values).reshape(probs.shape[:-2])

    def contributions(self, probs: Array, targets: Array) -> Array:
        """value + n * the mean over labels of (2 [right] - F1 ([true] + [given])) / size, (..., rows).

        size is the rows plus the answers of the label; micro is one label of all cells.
        """
        sets = probs.reshape(-1, *probs.shape[-2:])
        rows = [self._cells(one_set, targets).contributions() for one_set in sets]
        return np.array(rows).reshape(probs.shape[:-1])

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """Pseudo-rows for each label's share of right rows among those that have or are given it.

        (..., 2)
        """
        sets = probs.reshape(-1, *probs.shape[-2:])
        counts = [self._cells(one_set, targets) for one_set in sets]
        right = np.array([cells.right.sum(0) for cells in counts])
        size = np.array([cells.size.sum(0) for cells in counts])
        weights = np.full(right.shape, 1 / right.shape[1])
        changes = _pseudo_rows(right, size - right, weights, weights, _f1_of_share)
        return np.asarray(changes.reshape(*probs.shape[:-2], 2))

    def too_few_rows(self, targets: Array) -> str:
        """Fewer than 5 rows with a label; micro: fewer than 5 with any label."""
        if self.is_micro:
            n_rows = np.count_nonzero(targets.any(-1))
            return "" if n_rows >= FEWEST else f"{n_rows} rows with a label, an interval needs 5"
        return few_of_a_class(self.classes, targets.sum(0, dtype=np.int64), FEWEST)

    def _cells(self, probs: Array, targets: Array) -> "_Cells":
        is_given, is_true = given_labels(probs), targets == 1
        right = (is_given & is_true).astype(np.float64)
        size = is_given.astype(np.float64) + is_true
        if self.is_micro:
            right, size = right.sum(-1, keepdims=True), size.sum(-1, keepdims=True)
        return _Cells(right, size)


@dataclass(frozen=True, eq=False)
class _Cells:
    """right: given and true; size: how often given plus how often true; both (rows, labels)."""

    right: Array
    size: Array

    @property
    def f1(self) -> Array:
        """The F1 of each label, (labels,)."""
        return np.asarray(2 * self.right.sum(0) / np.maximum(self.size.sum(0), 1))

    def contributions(self) -> Array:
        """Each row's, (rows,)."""
        f1 = self.f1
        slopes = len(self.right) / (np.maximum(self.size.sum(0), 1) * len(f1))
        return np.asarray(f1.mean() + 2 * (self.right @ slopes) - self.size @ (slopes * f1))
