"""Metrics of the classes' rows in the confusion table: F1 kinds and balanced accuracy.

The contribution of a row is the value plus n times the derivative of the value by its cell of the
table (the delta method; Agresti, "Categorical data analysis", 2013, section 16.1). The derivatives
weighted by the table add up to 0, for each of these values depends on shares alone.

A class that is predicted for no row but has rows scores 0. One row is scored as many are.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import DecisionMetric, few_of_a_class, single_row
from ensemble.metrics.rows import Array

FEWEST = 5  # rows of a class that an interval of a mean over classes needs


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Rows of each class by prediction, truth and both, float64.

    predicted and right are (sets, classes), true is (classes,); with pseudo-rows (sets, classes).
    """

    predicted: Array
    right: Array
    true: Array

    @classmethod
    def of(cls, labels: Array, targets: Array, n_classes: int) -> "ClassCounts":
        """The counts of labels (sets, rows) against targets (rows,)."""
        cells = labels + n_classes * np.arange(len(labels))[:, None]
        n_cells = len(labels) * n_classes
        of_labels = np.bincount(cells.ravel(), minlength=n_cells)
        right = np.bincount(cells[labels == targets], minlength=n_cells)
        shape = len(labels), n_classes
        true = np.bincount(targets, minlength=n_classes)
        return cls(
            of_labels.reshape(shape).astype(np.float64),
            right.reshape(shape).astype(np.float64),
            true.astype(np.float64),
        )

    def with_pseudo_rows(self) -> "ClassCounts":
        """2 more right rows and as many wrong ones in each class that has rows or predictions."""
        takes_part = self.predicted + self.true > 0
        return ClassCounts(
            self.predicted + 3 * takes_part, self.right + 2 * takes_part, self.true + 3 * takes_part
        )

    @classmethod
    def of_tables(cls, tables: Array) -> "ClassCounts":
        """The counts of tables (sets, true, predicted) of the same rows."""
        right = np.diagonal(tables, axis1=1, axis2=2)
        counts = tables.sum(1), right, tables[0].sum(1)
        return cls(*(of_classes.astype(np.float64) for of_classes in counts))

    @property
    def f1(self) -> Array:
        """The F1 of each class, (sets, classes); 0 for a class without rows and predictions."""
        return np.asarray(2 * self.right / np.maximum(self.predicted + self.true, 1))

    @property
    def recall(self) -> Array:
        """The recall of each class, (sets, classes); 0 for a class without rows."""
        return np.asarray(self.right / np.maximum(self.true, 1))


Transform = Callable[[Array], tuple[Array, Array]]  # shares -> scores, and their derivatives
# counts -> the weight of each class in the mean F1, (sets, classes); each set's add up to 1, or to 0
ClassWeights = Callable[[ClassCounts], Array]


@dataclass(frozen=True)
class GainMetric(DecisionMetric):
    """A metric that rises by about weight * (probability - offset) for a row that is called a class."""

    @abstractmethod
    def gains(self, counts: ClassCounts) -> tuple[Array, Array]:
        """The weights and the offsets of each class at these counts of one set, (classes,) each."""


@dataclass(frozen=True)
class WeightedF1(GainMetric):
    """A weighted mean of the classes' F1, the harmonic mean of precision and recall.

    class_weights are those of one class, of all, by rows, or of the weakest. A class without rows
    that is predicted has an F1 of 0; a class with neither rows nor predictions takes no part in a
    mean or in the weakest class.
    """

    class_weights: ClassWeights

    def values_of(self, answers: Array, targets: Array) -> Array:
        """The mean F1, (...,)."""
        counts = ClassCounts.of(_rows(answers), targets, len(self.classes))
        return self._means(counts).reshape(answers.shape[:-1])

    def values_of_tables(self, tables: Array) -> Array:
        """The mean F1 of each table, (sets,)."""
        return self._means(ClassCounts.of_tables(tables))

    def _means(self, counts: ClassCounts) -> Array:
        return np.asarray((self.class_weights(counts) * counts.f1).sum(-1))

    def contributions_of(self, answers: Array, targets: Array) -> Array:
        """value + n * the sum over classes of weight * (2 [hit] - F1 [true] - F1 [predicted]) / size.

        [true] is 1 in the row's true class and 0 in the others, and so on; size is the rows plus
        the predictions of the class. Weights by rows add F1 of the true class - value. (..., rows)
        The weakest class is taken as known.
        """
        labels = _rows(answers)
        counts = ClassCounts.of(labels, targets, len(self.classes))
        weights, f1 = self.class_weights(counts), counts.f1
        values = (weights * f1).sum(-1, keepdims=True)
        slopes = weights / np.maximum(counts.predicted + counts.true, 1) * len(targets)
        fall = slopes * f1
        rows = values - fall[:, targets] - np.take_along_axis(fall, labels, axis=1)
        rows += 2 * slopes[:, targets] * (labels == targets)
        if self.class_weights is by_rows:
            rows += f1[:, targets] - values
        return np.asarray(rows.reshape(answers.shape))

    def smoothing_of(self, answers: Array, targets: Array) -> Array:
        """Pseudo-rows for each class's share of right rows among those that are or are called it.

        F1 is 2 share / (1 + share). The weakest class is the weakest with pseudo-rows: few rows that
        are all right may be it. (..., 2)
        """
        counts = ClassCounts.of(_rows(answers), targets, len(self.classes))
        n_rows = counts.predicted + counts.true - counts.right
        weights = smoothed_weights = self.class_weights(counts)
        if self.class_weights is of_weakest:
            smoothed_weights = of_weakest(counts.with_pseudo_rows())
        changes = _pseudo_rows(counts.right, n_rows, weights, smoothed_weights, _f1_of_share)
        return np.asarray(changes.reshape(*answers.shape[:-1], 2))

    def gains(self, counts: ClassCounts) -> tuple[Array, Array]:
        """2 * weight / size, and F1 / 2; where the weakest class counts, as for the mean of all."""
        class_weights = by_class if self.class_weights is of_weakest else self.class_weights
        size = counts.predicted + counts.true + 1  # one more row: a class may have hardly any
        return (2 * class_weights(counts) / size)[0], counts.f1[0] / 2

    def too_few_rows(self, targets: Array) -> str:
        """Fewer than 5 rows of a class, unless classes weigh as much as they have rows."""
        if self.class_weights is by_rows:
            return single_row(targets)
        n_rows = np.bincount(targets, minlength=len(self.classes))
        return few_of_a_class(self.classes, n_rows, FEWEST)


@dataclass(frozen=True)
class OneClass:
    """All the weight on one class."""

    column: int

    def __call__(self, counts: ClassCounts) -> Array:
        """The weights, (sets, classes)."""
        weights = np.zeros(counts.predicted.shape)
        weights[:, self.column] = 1
        return weights


def by_class(counts: ClassCounts) -> Array:
    """Equal weights of the classes that have rows or predictions, (sets, classes)."""
    takes_part = counts.predicted + counts.true > 0
    return np.asarray(takes_part / takes_part.sum(-1, keepdims=True))


def by_rows(counts: ClassCounts) -> Array:
    """Each class's share of the rows, (sets, classes)."""
    return np.broadcast_to(counts.true / counts.true.sum(), counts.predicted.shape)


def of_weakest(counts: ClassCounts) -> Array:
    """All the weight on the class of the lowest F1, shared by equal ones, (sets, classes)."""
    f1 = np.where(counts.predicted + counts.true > 0, counts.f1, np.inf)
    is_weakest = f1 == f1.min(-1, keepdims=True)
    return np.asarray(is_weakest / is_weakest.sum(-1, keepdims=True))


@dataclass(frozen=True)
class BalancedAccuracy(GainMetric):
    """The mean recall of the classes that have rows."""

    def values_of(self, answers: Array, targets: Array) -> Array:
        """The mean recall, (...,)."""
        counts = ClassCounts.of(_rows(answers), targets, len(self.classes))
        return _mean_recall(counts).reshape(answers.shape[:-1])

    def values_of_tables(self, tables: Array) -> Array:
        """The mean recall of each table, (sets,)."""
        return _mean_recall(ClassCounts.of_tables(tables))

    def contributions_of(self, answers: Array, targets: Array) -> Array:
        """value + (hit - recall of the true class) * n / (its rows * classes with rows), (..., rows)."""
        labels = _rows(answers)
        counts = ClassCounts.of(labels, targets, len(self.classes))
        n_classes = np.count_nonzero(counts.true)
        values = counts.recall.sum(-1, keepdims=True) / n_classes
        surprise = (labels == targets) - counts.recall[:, targets]
        rows = values + surprise * (len(targets) / (counts.true[targets] * n_classes))
        return np.asarray(rows.reshape(answers.shape))

    def smoothing_of(self, answers: Array, targets: Array) -> Array:
        """Pseudo-rows for the recall of each class, (..., 2)."""
        counts = ClassCounts.of(_rows(answers), targets, len(self.classes))
        weights = (counts.true > 0) / np.count_nonzero(counts.true) * np.ones_like(counts.right)
        changes = _pseudo_rows(counts.right, counts.true, weights, weights, _unchanged)
        return np.asarray(changes.reshape(*answers.shape[:-1], 2))

    def gains(self, counts: ClassCounts) -> tuple[Array, Array]:
        """1 / rows of the class, and 0."""
        return 1 / np.maximum(counts.true, 1), np.zeros(len(self.classes))

    def too_few_rows(self, targets: Array) -> str:
        """Fewer than 5 rows of a class."""
        n_rows = np.bincount(targets, minlength=len(self.classes))
        return few_of_a_class(self.classes, n_rows, FEWEST)


def _mean_recall(counts: ClassCounts) -> Array:
    return np.asarray(counts.recall.sum(-1) / np.count_nonzero(counts.true))


def _pseudo_rows(
    right: Array, n_rows: Array, weights: Array, smoothed_weights: Array, transform: Transform
) -> Array:
    """What pseudo-rows change in a weighted mean of transformed shares, (sets, 2).

    right / n_rows are the shares of classes, (sets, classes). With k classes of equal weight every
    one is given 2 / k more right rows and as many wrong ones (Price and Bonett, 2004).
    """
    n_more = 2 * (smoothed_weights**2).sum(-1, keepdims=True)
    plain = _mean_and_variance(right, n_rows, weights, transform)
    smoothed = _mean_and_variance(right + n_more, n_rows + 2 * n_more, smoothed_weights, transform)
    return np.asarray((smoothed - plain).clip([-np.inf, 0], np.inf))


def _mean_and_variance(right: Array, n_rows: Array, weights: Array, transform: Transform) -> Array:
    """A weighted mean of transformed shares and its variance for independent shares, (sets, 2)."""
    shares = right / np.maximum(n_rows, 1)
    scores, slopes = transform(shares)
    variances = slopes**2 * shares * (1 - shares) / np.maximum(n_rows, 1)
    return np.stack([(weights * scores).sum(-1), (weights**2 * variances).sum(-1)], axis=-1)


def _f1_of_share(shares: Array) -> tuple[Array, Array]:
    return 2 * shares / (1 + shares), 2 / (1 + shares) ** 2


def _unchanged(shares: Array) -> tuple[Array, Array]:
    return shares, np.ones_like(shares)


def _rows(answers: Array) -> Array:
    """Answers (..., rows) as (sets, rows)."""
    return answers.reshape(-1, answers.shape[-1])
