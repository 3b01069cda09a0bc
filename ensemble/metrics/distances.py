"""Metrics of a number per image; probs are the values, (rows, 1), targets the true ones, (rows,)."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.additive import Additive
from ensemble.metrics.metric import Metric
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


def rmse_metric(name: str, classes: tuple[str, ...]) -> Metric:
    """The root of the mean squared error."""
    return RootMeanSquare(name, classes, False, "values", (0.0, np.inf), "logarithm")


def mae_metric(name: str, classes: tuple[str, ...]) -> Metric:
    """The mean absolute error."""
    bounds = (0.0, np.inf)
    return Additive(name, classes, False, "values", bounds, "logarithm", absolute_errors)
