"""What a competition scores by, as one small object.

Names and definitions are scikit-learn's; divisions by zero count as 0.
"""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from ensemble.metrics.rows import Array, predicted

Reads = Literal["probabilities", "ranks", "decisions", "values"]
Rule = Literal["share", "effective rows", "bootstrap", "logarithm"]


@dataclass(frozen=True)
class Metric(ABC):
    """A metric of predictions of these classes, labels, or of one value.

    classes are in the order of the columns of probs. reads is what the value depends on: the
    probabilities of a row, the ranks of rows within a column, the decisions (the most probable
    class, ties to the first one; labels above 0.5; rounded values), or the values. bounds are the
    lowest and the highest value there is. interval_rule is how `interval_of` finds the interval.
    """

    name: str
    classes: tuple[str, ...]
    _: KW_ONLY
    is_higher_better: bool = True
    reads: Reads = "decisions"
    bounds: tuple[float, float] = (0.0, 1.0)
    interval_rule: Rule = "effective rows"

    @abstractmethod
    def values(self, probs: Array, targets: Array) -> Array:
        """The value of predictions, (...,), float64.

        probs is (..., rows, classes), finite, targets are as `Predictions` has them: positions of
        the true classes (rows,), 0 and 1 (rows, classes), or values (rows,); at least one row. NaN
        where the rows do not define it: roc_auc where no class has both rows of its own and other
        rows, and quadratic_kappa where a true value is no whole number.
        """

    @abstractmethod
    def contributions(self, probs: Array, targets: Array) -> Array:
        """Each row's contribution, (..., rows), float64: their mean is the value.

        A contribution is the value plus the row's influence on it (Hampel, 1974; the infinitesimal
        jackknife of Efron and Stein, 1981), so that the variance of contributions over the number
        of rows estimates the variance of the value. NaN where the value is.
        """

    @abstractmethod
    def smoothing(self, probs: Array, targets: Array) -> Array:
        """What a few pseudo-rows would change, for the interval, (..., 2): the value, its variance.

        Few rows of a class can all be right, or all be wrong, and then show no variance; pseudo-rows
        stand for the outcomes that were not drawn (Agresti and Coull, 1998).
        """

    @abstractmethod
    def too_few_rows(self, targets: Array) -> str:
        """Why rows with these targets are too few for an interval; "" where they suffice."""


@dataclass(frozen=True)
class AnswerMetric(Metric):
    """A metric of answers: what a decision (ensemble/metrics/decision.py) makes of predictions.

    answers are positions of classes (..., rows); labels of 0 and 1, or values, (..., rows,
    classes).
    """

    @abstractmethod
    def values_of(self, answers: Array, targets: Array) -> Array:
        """The value of answers, (...,), float64."""

    @abstractmethod
    def contributions_of(self, answers: Array, targets: Array) -> Array:
        """Each row's contribution under these answers, (..., rows), float64."""

    @abstractmethod
    def smoothing_of(self, answers: Array, targets: Array) -> Array:
        """What a few pseudo-rows would change under these answers, (..., 2)."""


@dataclass(frozen=True)
class ColumnMetric(AnswerMetric):
    """A metric of labels or of a value, whose answers stand for predictions."""

    def values_of(self, answers: Array, targets: Array) -> Array:
        """The value of answers (..., rows, classes), (...,)."""
        return self.values(answers, targets)

    def contributions_of(self, answers: Array, targets: Array) -> Array:
        """Each row's contribution under these answers, (..., rows)."""
        return self.contributions(answers, targets)

    def smoothing_of(self, answers: Array, targets: Array) -> Array:
        """What a few pseudo-rows would change under these answers, (..., 2)."""
        return self.smoothing(answers, targets)


@dataclass(frozen=True)
class DecisionMetric(AnswerMetric):
    """A metric of the table of true and answered classes.

    Of probabilities it is the metric of the most probable classes.
    """

    @abstractmethod
    def values_of_tables(self, tables: Array) -> Array:
        """The value of each table, (sets,), float64.

        tables counts the rows of each true and answered class, (sets, true, answered); all sets
        are about the same rows, at least one.
        """

    def values(self, probs: Array, targets: Array) -> Array:
        """The value of the most probable classes, (...,)."""
        return self.values_of(predicted(probs), targets)

    def contributions(self, probs: Array, targets: Array) -> Array:
        """Each row's contribution under the most probable classes, (..., rows)."""
        return self.contributions_of(predicted(probs), targets)

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """What a few pseudo-rows would change under the most probable classes, (..., 2)."""
        return self.smoothing_of(predicted(probs), targets)


def single_row(targets: Array) -> str:
    """What to say of one row alone; "" where there are more."""
    return "" if len(targets) > 1 else "1 row, an interval needs 2"


def few_of_a_class(classes: tuple[str, ...], n_rows: Array, at_least: int) -> str:
    """The first class of fewer rows than that, in words; "" where all have enough.

    n_rows is (classes,).
    """
    for name, n in zip(classes, n_rows.tolist(), strict=True):
        if n < at_least:
            rows = "1 row" if n == 1 else f"{n} rows"
            return f"{rows} of class {name[:40]!r}, an interval needs {at_least}"
    return ""
