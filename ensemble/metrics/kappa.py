"""Quadratic kappa: how much nearer answers are to true grades than independent ones."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import DecisionMetric, single_row
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
        return kappas_of_steps(*self._steps(answers, targets)).reshape(answers.shape[:-1])

    def values_of_tables(self, tables: Array) -> Array:
        """The kappa of each table, (sets,)."""
        steps = np.array(self.positions, dtype=np.float64)
        squares = (steps[:, None] - steps) ** 2
        n_true, n_predicted = tables.sum(2), tables.sum(1)
        expected = np.einsum("st,tp,sp->s", n_true, squares, n_predicted) / n_true[0].sum()
        return _kappas((tables * squares).sum((1, 2)), expected)

    def contributions_of(self, answers: Array, targets: Array) -> Array:
        """Those of `contributions_of_steps`, (..., rows)."""
        return contributions_of_steps(*self._steps(answers, targets)).reshape(answers.shape)

    def smoothing_of(self, answers: Array, targets: Array) -> Array:
        """One more row, predicted one step off, (..., 2)."""
        smoothing = smoothing_of_steps(*self._steps(answers, targets))
        return smoothing.reshape(*answers.shape[:-1], 2)

    def too_few_rows(self, targets: Array) -> str:
        """One row alone."""
        return single_row(targets)

    def _steps(self, answers: Array, targets: Array) -> tuple[Array, Array]:
        """The steps of the true classes (rows,) and of the predicted ones (sets, rows), float64."""
        positions = np.array(self.positions, dtype=np.float64)
        return positions[targets], positions[answers.reshape(-1, answers.shape[-1])]


def kappas_of_steps(true: Array, answered: Array) -> Array:
    """The kappa of true (rows,) and answered steps (sets, rows), (sets,)."""
    return _kappas(((true - answered) ** 2).sum(-1), _chance_distances(true, answered))


def contributions_of_steps(true: Array, answered: Array) -> Array:
    """kappa + n * ((1 - kappa) * change - (true - answered)^2) / expected, (sets, rows).

    expected is the sum of squared distances of independent ones; change is what the row adds to it:
    (its true step's mean squared distance from the answers) + (its answered step's from the truths)
    - expected / n.
    """
    n = len(true)
    expected = _chance_distances(true, answered)[:, None]
    divisor = np.where(expected > 0, expected, 1)
    distances = (true - answered) ** 2
    kappas = _kappas(distances.sum(-1, keepdims=True), expected)
    change = _mean_distances(true, answered) + _mean_distances(answered, true) - expected / n
    rows = kappas + n / divisor * ((1 - kappas) * change - distances) * (expected > 0)
    return np.asarray(rows)


def smoothing_of_steps(true: Array, answered: Array) -> Array:
    """What one more row, answered one step off, changes, (sets, 2): the kappa, its variance."""
    expected, n = _chance_distances(true, answered), len(true)
    change = np.where(expected > 0, -n / np.where(expected > 0, expected, 1) / (n + 1), 0.0)
    return np.stack([change, change**2], axis=-1)


def _kappas(distances: Array, expected: Array) -> Array:
    """1 - distances / expected, (sets,); 0 where nothing is expected, NaN where that is NaN."""
    kappas = 1 - distances / np.where(expected > 0, expected, 1)
    return np.asarray(np.where(expected > 0, kappas, 0 * expected))  # NaN stays NaN


def _chance_distances(true: Array, answered: Array) -> Array:
    """Squared distances of every truth from every answer, over the rows, (sets,). Exact."""
    n = true.shape[-1]
    squares = (true**2).sum() + (answered**2).sum(-1)
    return np.asarray((n * squares - 2 * true.sum() * answered.sum(-1)) / n)


def _mean_distances(steps: Array, others: Array) -> Array:
    """The mean squared distance of each of the steps from all the others, (sets, rows)."""
    mean = others.mean(-1, keepdims=True)
    return np.asarray(steps**2 - 2 * steps * mean + (others**2).mean(-1, keepdims=True))
