"""Metrics of a number per image; probs are the values, (rows, 1), targets the true ones, (rows,)."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.additive import Additive
from ensemble.metrics.kappa import chance_distances, kappas_of, mean_distances
from ensemble.metrics.metric import ColumnMetric, Metric
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
        return "" if len(targets) > 1 else "1 row, an interval needs 2"


@dataclass(frozen=True)
class GradeKappa(ColumnMetric):
    """The quadratic kappa of grades that are whole numbers; values are rounded, halves to even.

    scikit-learn's `cohen_kappa_score(weights="quadratic")` with every whole number from the lowest
    to the highest as labels. 0 where all are the same, NaN where a true grade is no whole number.
    """

    def values(self, probs: Array, targets: Array) -> Array:
        """The kappa, (...,)."""
        true, grades = _grades(probs, targets)
        distances = ((true - grades) ** 2).sum(-1)
        return kappas_of(distances, chance_distances(true, grades)).reshape(probs.shape[:-2])

    def contributions(self, probs: Array, targets: Array) -> Array:
        """Those of the kappa of classes, (..., rows)."""
        true, grades = _grades(probs, targets)
        n = len(targets)
        expected = chance_distances(true, grades)[:, None]
        divisor = np.where(expected > 0, expected, 1)
        distances = (true - grades) ** 2
        kappas = kappas_of(distances.sum(-1, keepdims=True), expected)
        change = mean_distances(true, grades) + mean_distances(grades, true) - expected / n
        rows = kappas + n / divisor * ((1 - kappas) * change - distances) * (expected > 0)
        return np.asarray(rows.reshape(probs.shape[:-1]))

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """One more row, rounded to a grade one step off, (..., 2)."""
        expected, n = chance_distances(*_grades(probs, targets)), len(targets)
        change = np.where(expected > 0, -n / np.where(expected > 0, expected, 1) / (n + 1), 0.0)
        return np.stack([change, change**2], axis=-1).reshape(*probs.shape[:-2], 2)

    def too_few_rows(self, targets: Array) -> str:
        """One row alone."""
        return "" if len(targets) > 1 else "1 row, an interval needs 2"


def _grades(probs: Array, targets: Array) -> tuple[Array, Array]:
    """The true grades (rows,) and the rounded values (sets, rows), float64."""
    values = np.rint(probs.reshape(-1, *probs.shape[-2:])[..., 0].astype(np.float64))
    is_whole = (targets == np.rint(targets)).all()
    return (targets if is_whole else np.full(targets.shape, np.nan)), values


def rmse_metric(name: str, classes: tuple[str, ...]) -> Metric:
    """The root of the mean squared error."""
    return RootMeanSquare(name, classes, False, "values", (0.0, np.inf), "logarithm")


def mae_metric(name: str, classes: tuple[str, ...]) -> Metric:
    """The mean absolute error."""
    bounds = (0.0, np.inf)
    return Additive(name, classes, False, "values", bounds, "logarithm", absolute_errors)


def grade_kappa_metric(name: str, classes: tuple[str, ...]) -> Metric:
    """The quadratic kappa of rounded values."""
    return GradeKappa(name, classes, True, "decisions", (-1.0, 1.0), "effective rows")
