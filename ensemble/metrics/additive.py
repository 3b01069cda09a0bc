"""Metrics that are means over rows: a row's contribution is its own score, exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import Metric, single_row
from ensemble.metrics.rows import TIE, Array, true_probs

RowScores = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Additive(Metric):
    """The mean of a score of each row; row_scores maps probs and targets to (..., rows).

    A class missing from the rows, a single predicted class or a single row change nothing.
    """

    row_scores: RowScores

    def values(self, probs: Array, targets: Array) -> Array:
        """The mean score, (...,)."""
        return np.asarray(self.contributions(probs, targets).mean(-1), dtype=np.float64)

    def contributions(self, probs: Array, targets: Array) -> Array:
        """The score of each row, (..., rows)."""
        return np.ascontiguousarray(self.row_scores(probs, targets))

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """One more row of the lowest score, where there is one; (..., 2)."""
        if self.interval_rule != "effective rows":
            return np.zeros((*probs.shape[:-2], 2))
        change = -self.values(probs, targets) / (len(targets) + 1)
        return np.stack([change, change**2], axis=-1)

    def too_few_rows(self, targets: Array) -> str:
        """Only one row alone is too few, and not for a share of rows."""
        is_share = self.interval_rule == "share"
        return "" if is_share else single_row(targets)


@dataclass(frozen=True)
class ReciprocalRank:
    """1 / rank of the true class where the rank is at most k, else 0.

    The mean is MAP@k where each row has one true class. Equally probable classes, within rounding,
    rank in the order of classes, as the predicted class does. k may exceed the number of classes.
    """

    k: int

    def __call__(self, probs: Array, targets: Array) -> Array:
        """(..., rows) from probs (..., rows, classes) and targets (rows,)."""
        return self.of_ranks(self.n_ahead(probs, targets))

    def n_ahead(self, probs: Array, targets: Array) -> Array:
        """How many classes rank before the true one, (..., rows)."""
        return _n_ahead(probs, targets, is_first_ahead=True)

    def of_ranks(self, n_ahead: Array) -> Array:
        """The score where so many classes rank before the true one."""
        return np.where(n_ahead < self.k, 1 / (n_ahead + 1), 0.0)


@dataclass(frozen=True)
class TopK:
    """1 where the true class is among the k most probable ones, else 0.

    Ties are broken as in scikit-learn's `top_k_accuracy_score`: the later class ranks first, but
    with two classes the earlier one. From k = number of classes on every row scores 1.
    """

    k: int

    def __call__(self, probs: Array, targets: Array) -> Array:
        """(..., rows) from probs (..., rows, classes) and targets (rows,)."""
        return self.of_ranks(self.n_ahead(probs, targets))

    def n_ahead(self, probs: Array, targets: Array) -> Array:
        """How many classes rank before the true one, (..., rows)."""
        return _n_ahead(probs, targets, is_first_ahead=probs.shape[-1] == 2)

    def of_ranks(self, n_ahead: Array) -> Array:
        """The score where so many classes rank before the true one."""
        return np.asarray(n_ahead < self.k, dtype=np.float64)


RankScore = ReciprocalRank | TopK


def _n_ahead(probs: Array, targets: Array, is_first_ahead: bool) -> Array:
    """How many classes rank before the true one, (..., rows).

    Equal ones, within rounding, rank in the order of classes, or in the opposite order. The
    rounding of a sum is relative: 1e-15 and 1e-14 are no tie.
    """
    true = true_probs(probs, targets).astype(np.float64)
    low, high = true * (1 - TIE), true * (1 + TIE)
    n_ahead = np.zeros(true.shape, np.int64)
    for column in range(probs.shape[-1]):
        wins_ties = column < targets if is_first_ahead else column > targets
        column_probs = probs[..., column]
        n_ahead += np.where(wins_ties, column_probs >= low, column_probs > high)
    return n_ahead
