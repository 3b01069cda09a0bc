"""Metrics of a number per image; probs are the values, (rows, 1), targets the true ones, (rows,)."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.kappa import contributions_of_steps, kappas_of_steps, smoothing_of_steps
from ensemble.metrics.metric import ColumnMetric, Metric, single_row
from ensemble.metrics.rows import Array


def absolute_errors(probs: Array, targets: Array) -> Array:
    """How far each value is off, (..., rows)."""
    return np.abs(_errors(probs, targets))


def _errors(probs: Array, targets: Array) -> Array:
    return np.asarray(probs[..., 0].astype(np.float64) - targets)


@dataclass(frozen=True)
class RootMeanSquare(Metric):
    """The root of the mean squared error."""

    def values(self, probs: Array, targets: Array) -> Array:
        """The root, (...,)."""
        return np.asarray(np.sqrt((_errors(probs, targets) ** 2).mean(-1)))

    def contributions(self, probs: Array, targets: Array) -> Array:
        """rmse + (error^2 - rmse^2) / (2 rmse), (..., rows)."""
        squares = _errors(probs, targets) ** 2
        roots = np.sqrt(squares.mean(-1, keepdims=True))
        return np.asarray(roots + (squares - roots**2) / np.where(roots > 0, 2 * roots, 1))

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """None, (..., 2)."""
        return np.zeros((*probs.shape[:-2], 2))

    def too_few_rows(self, targets: Array) -> str:
        """One row alone."""
        return single_row(targets)


@dataclass(frozen=True)
class GradeKappa(ColumnMetric):
    """The quadratic kappa of grades that are whole numbers; values are rounded, halves to even.

    scikit-learn's `cohen_kappa_score(weights="quadratic")` with every whole number from the lowest
    to the highest as labels. 0 where all are the same, NaN where a true grade is no whole number.
    """

    def values(self, probs: Array, targets: Array) -> Array:
        """The kappa, (...,)."""
        return kappas_of_steps(*_grades(probs, targets)).reshape(probs.shape[:-2])

    def contributions(self, probs: Array, targets: Array) -> Array:
        """Those of the kappa of classes, (..., rows)."""
        return contributions_of_steps(*_grades(probs, targets)).reshape(probs.shape[:-1])

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """One more row, rounded to a grade one step off, (..., 2)."""
        smoothing = smoothing_of_steps(*_grades(probs, targets))
        return smoothing.reshape(*probs.shape[:-2], 2)

    def too_few_rows(self, targets: Array) -> str:
        """One row alone."""
        return single_row(targets)


def _grades(probs: Array, targets: Array) -> tuple[Array, Array]:
    """The true grades (rows,) and the rounded values (sets, rows), float64."""
    values = np.rint(probs.reshape(-1, *probs.shape[-2:])[..., 0].astype(np.float64))
    is_whole = (targets == np.rint(targets)).all()
    return (targets if is_whole else np.full(targets.shape, np.nan)), values
