"""Metrics that a few sums over folds of rows decide, for values on any of the folds together.

A row's code is all that its predictions say to the metric; the codes of a fold's rows add up to its
tally.
"""

import math
from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np

from ensemble.blending.folds import Folds
from ensemble.blending.pool import normalized
from ensemble.metrics import TIE, DecisionMetric, Metric, predicted
from ensemble.metrics.additive import Additive, RankScore
from ensemble.metrics.ranking import RocAuc, alternations, wins_of_folds
from ensemble.predictions import Array


class Tallies(ABC):
    """How a metric's values come from tallies; targets are those of all rows."""

    @abstractmethod
    def codes(self, scores: Array) -> Array:
        """The codes of all rows from their predictions, (classes, rows)."""

    @abstractmethod
    def tally(self, codes: Array, folds: Folds) -> Array:
        """The tally of all rows."""

    @abstractmethod
    def values(self, tallies: Array, kept: tuple[int, ...]) -> Array:
        """The metric of the rows of some folds, at least one, (sets,); tallies is (sets, …)."""


class CountTallies(Tallies):
    """Counts of codes, (folds, codes). The codes of some rows count for their positions."""

    def __init__(self, targets: Array, n_codes: int) -> None:
        self.targets, self.n_codes = targets, n_codes
        self.first_code = np.zeros(len(targets), np.int64)

    def codes(self, scores: Array) -> Array:
        """The codes of all rows from their predictions, (classes, rows)."""
        return self.codes_of_sums(scores, 1, np.arange(len(self.targets)))

    @abstractmethod
    def codes_of_sums(self, sums: Array, n_picks: int, rows: Array) -> Array:
        """The codes of rows from sums of so many members' predictions, (classes, rows)."""

    @abstractmethod
    def fixed_codes(self, lowest: Array, highest: Array, n_picks: int) -> tuple[Array, Array]:
        """The codes of all rows if sums are anywhere between, and where they are sure."""

    def tally(self, codes: Array, folds: Folds) -> Array:
        """The counts of all rows."""
        return self.tally_of(codes, folds, np.arange(len(self.targets)))

    def tally_of(self, codes: Array, folds: Folds, rows: Array) -> Array:
        """The counts of some rows, (..., folds, codes); codes is (..., rows)."""
        cells = folds.fold_of[rows] * self.n_codes + self.first_code[rows]
        shape = folds.n_folds, self.n_codes
        sets = codes.reshape(math.prod(codes.shape[:-1]), len(rows))
        counts = [np.bincount(cells + row, minlength=shape[0] * shape[1]) for row in sets]
        return np.array(counts).reshape(*codes.shape[:-1], *shape)


class LabelTallies(CountTallies):
    """The table of true and predicted classes."""

    def __init__(self, metric: DecisionMetric, targets: Array) -> None:
        self.metric, self.n_classes = metric, len(metric.classes)
        super().__init__(targets, self.n_classes**2)
        self.first_code = targets * self.n_classes

    def codes_of_sums(self, sums: Array, n_picks: int, rows: Array) -> Array:
        """The classes of the highest sums, the first of those within a tie."""
        return predicted(sums.T, n_picks * TIE)

    def fixed_codes(self, lowest: Array, highest: Array, n_picks: int) -> tuple[Array, Array]:
        """The class that is above all others wherever sums are; highest is changed."""
        labels, columns = lowest.argmax(0), np.arange(lowest.shape[1])
        highest[labels, columns] = -np.inf
        return labels, lowest[labels, columns] > highest.max(0) + n_picks * TIE

    def values(self, tallies: Array, kept: tuple[int, ...]) -> Array:
        """The metric of the tables of some folds together, (sets,)."""
        tables = tallies[:, list(kept)].sum(1)
        return self.metric.values_of_tables(tables.reshape(-1, self.n_classes, self.n_classes))


class RankTallies(CountTallies):
    """How many classes rank before the true one."""

    def __init__(self, score: RankScore, targets: Array, n_classes: int, is_log: bool) -> None:
        super().__init__(targets, n_classes)
        self.score, self.is_log = score, is_log

    def codes_of_sums(self, sums: Array, n_picks: int, rows: Array) -> Array:
        """How many classes' sums rank before that of the true one."""
        probs = normalized(sums.T / n_picks) if self.is_log else sums.T
        return self.score.n_ahead(probs, self.targets[rows])

    def fixed_codes(self, lowest: Array, highest: Array, n_picks: int) -> tuple[Array, Array]:
        """How many classes are before the true one where each is clearly before or behind it."""
        rows = np.arange(len(self.targets))
        if self.is_log:
            return rows, np.zeros(len(rows), bool)
        is_before = lowest > highest[self.targets, rows] * (1 + 2 * TIE)
        is_clear = is_before | (highest < lowest[self.targets, rows] * (1 - 2 * TIE))
        is_clear[self.targets, rows] = True
        return is_before.sum(0), np.asarray(is_clear.all(0))

    def values(self, tallies: Array, kept: tuple[int, ...]) -> Array:
        """The mean score of the ranks of some folds together, (sets,)."""
        counts = tallies[:, list(kept)].sum(1)
        return np.asarray(counts @ self.score.of_ranks(np.arange(self.n_codes)) / counts[0].sum())


class AreaTallies(Tallies):
    """Twice the pairs of a positive row and another that are ordered right; twice all such pairs.

    A tally is (2, columns, folds of positives, folds of others).
    """

    def __init__(self, metric: RocAuc, targets: Array) -> None:
        self.columns = metric.scored(targets)
        self.is_positive = metric.is_positive(targets)
        self.groups = lru_cache(2)(self._groups)

    def codes(self, scores: Array) -> Array:
        """Ranks of all rows in each column that has positive rows and others, (columns, rows)."""
        return alternations(scores[self.columns], self.is_positive)

    def tally(self, codes: Array, folds: Folds) -> Array:
        """The pairs of rows of each two folds, by whole numbers that rank rows."""
        groups, pairs = self.groups(folds)
        return np.stack([wins_of_folds(codes, groups, folds.n_folds), pairs])

    def _groups(self, folds: Folds) -> tuple[Array, Array]:
        """The column, side and fold of each cell as one number; twice the pairs of two folds."""
        sides = np.arange(len(self.columns))[:, None] * 2 + self.is_positive
        groups = sides * folds.n_folds + folds.fold_of
        sizes = len(self.columns), 2, folds.n_folds
        n_rows = np.bincount(groups.ravel(), minlength=math.prod(sizes)).reshape(sizes)
        return groups, 2.0 * n_rows[:, 1, :, None] * n_rows[:, 0, None]

    def values(self, tallies: Array, kept: tuple[int, ...]) -> Array:
        """The mean of the areas that rows of some folds together define, (sets,); else NaN."""
        rows = list(kept)
        wins, pairs = tallies[..., rows, :][..., rows].sum((-1, -2)).swapaxes(0, 1)
        is_defined = pairs[0] > 0
        areas = wins[:, is_defined] / pairs[:, is_defined]
        return areas.mean(1) if is_defined.any() else np.full(len(tallies), np.nan)


def tallies_of(metric: Metric, targets: Array, is_log: bool = False) -> Tallies | None:
    """The tallies of metrics that have them; is_log for logarithms in place of probabilities."""
    if isinstance(metric, DecisionMetric):
        return LabelTallies(metric, targets)
    if isinstance(metric, Additive) and isinstance(metric.row_scores, RankScore):
        return RankTallies(metric.row_scores, targets, len(metric.classes), is_log)
    return AreaTallies(metric, targets) if isinstance(metric, RocAuc) else None
