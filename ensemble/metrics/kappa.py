"""Quadratic kappa: how much nearer answers are to true grades than independent ones."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import DecisionMetric
from ensemble.metrics.rows import Array


@dataclass(frozen=True)
class QuadraticKappa(DecisionMetric):
    """1 - squared distances of truth and prediction / those of independent ones (Cohen, 1968).

    scikit-learn's `cohen_kappa_score(weights="quadratic", labels=...)` with all classes in the
    order of their numbers as labels: neighbours are at distance 1 whatever their numbers, and a
    class missing from the rows keeps its step. positions holds the step of each column. 0 where
    truth and prediction are one and the same class.
    """

    positions: tuple[int, ...]

    def values_of(self, answers: Array, targets: Array) -> Array:
        """The kappa, (...,)."""
        true, labels = self._steps(answers, targets)
        distances, expected = ((true - labels) ** 2).sum(-1), chance_distances(true, labels)
        return kappas_of(distances, expected).reshape(answers.shape[:-1])

    def values_of_tables(self, tables: Array) -> Array:
        """The kappa of each table, (sets,)."""
        steps = np.array(self.positions, dtype=np.float64)
        squares = (steps[:, None] - steps) ** 2
        n_true, n_predicted = tables.sum(2), tables.sum(1)
        expected = np.einsum("st,tp,sp->s", n_true, squares, n_predicted) / n_true[0].sum()
        return kappas_of((tables * squares).sum((1, 2)), expected)

    def contributions_of(self, answers: Array, targets: Array) -> Array:
        """kappa + n * ((1 - kappa) * change - (true - predicted)^2) / expected, (..., rows).

        expected is the sum of squared distances of independent ones; change is what the row adds to
        it: (its true class's mean squared distance from the predictions) + (its predicted class's
        from the truths) - expected / n.
        """
        true, labels = self._steps(answers, targets)
        n = len(targets)
        expected = chance_distances(true, labels)[:, None]
        divisor = np.where(expected > 0, expected, 1)
        distances = (true - labels) ** 2
        kappas = np.where(expected > 0, 1 - distances.sum(-1, keepdims=True) / divisor, 0.0)
        change = mean_distances(true, labels) + mean_distances(labels, true) - expected / n
        rows = kappas + n / divisor * ((1 - kappas) * change - distances) * (expected > 0)
        return np.asarray(rows.reshape(answers.shape))

    def smoothing_of(self, answers: Array, targets: Array) -> Array:
        """One more row, predicted one step off, (..., 2)."""
        expected = chance_distances(*self._steps(answers, targets))
        n = len(targets)
        change = np.where(expected > 0, -n / np.where(expected > 0, expected, 1) / (n + 1), 0.0)
        return np.stack([change, change**2], axis=-1).reshape(*answers.shape[:-1], 2)

    def too_few_rows(self, targets: Array) -> str:
        """One row alone."""
        return "" if len(targets) > 1 else "1 row, an interval needs 2"

    def _steps(self, answers: Array, targets: Array) -> tuple[Array, Array]:
        """The steps of the true classes (rows,) and of the predicted ones (sets, rows), float64."""
        positions = np.array(self.positions, dtype=np.float64)
        return positions[targets], positions[answers.reshape(-1, answers.shape[-1])]


def kappas_of(distances: Array, expected: Array) -> Array:
    """1 - distances / expected, (sets,); 0 where nothing is expected, NaN where that is NaN."""
    kappas = 1 - distances / np.where(expected > 0, expected, 1)
    return np.asarray(np.where(expected > 0, kappas, 0 * expected))  # NaN stays NaN


def chance_distances(true: Array, labels: Array) -> Array:
    """Squared distances of every truth from every prediction, over the rows, (sets,). Exact."""
    n = true.shape[-1]
    squares = (true**2).sum() + (labels**2).sum(-1)
    return np.asarray((n * squares - 2 * true.sum() * labels.sum(-1)) / n)


def mean_distances(steps: Array, others: Array) -> Array:
    """The mean squared distance of each of the steps from all the others, (sets, rows)."""
    mean = others.mean(-1, keepdims=True)
    return np.asarray(steps**2 - 2 * steps * mean + (others**2).mean(-1, keepdims=True))
