"""Greedy ensemble selection with replacement (Caruana et al., 2004).

Each step adds the member that improves the mean most. The start is the best prefix of the members
sorted by score: on fresh rows never worse than the best member alone, with many members better
(docs/log.md). Equal scores go to a member already picked, then to the smaller id; the shortest of
equally good ensembles is kept.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from ensemble.blending.margins import Margins
from ensemble.metrics import FLOOR
from ensemble.predictions import Array

MAX_PICKS = 15  # 20 to 60 blend no better on fresh rows, 5 worse (docs/log.md)
_FACTORS = 16  # probabilities per logarithm: 16 factors of 1e-15 stay above the smallest float
_CACHED = 1 << 16  # numbers worked on at once


class Objective(Protocol):
    """The score of a running sum of members. Scores are means over rows, higher is better."""

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member as the n-th pick, (members,)."""

    def scores_of(self, weights: Array) -> Array:
        """The score of blends, (blends,), whatever was added; weights is (blends, members)."""

    def add(self, member: int) -> None:
        """Add a member to the running sum."""


def greedy_weights(objective: Objective, n_members: int, max_picks: int = MAX_PICKS) -> Array:
    """Each member's share of the picks of the best ensemble, (members,). A NaN score never wins."""
    singles = _without_nan(objective.scores_with_each(1))
    order = np.argsort(-singles, kind="stable")[:max_picks]
    prefixes = np.zeros((len(order), n_members))
    for n, row in enumerate(prefixes, start=1):
        row[order[:n]] = 1 / n
    prefix_scores = _without_nan(objective.scores_of(prefixes))
    n_start = int(np.argmax(prefix_scores)) + 1
    for member in order[:n_start].tolist():
        objective.add(member)
    counts, best_score = prefixes[n_start - 1] * n_start, prefix_scores[n_start - 1]
    best = counts.copy()
    for n_picks in range(n_start + 1, max_picks + 1):
        scores = _without_nan(objective.scores_with_each(n_picks))
        winners = np.flatnonzero(scores == scores.max())
        used = winners[counts[winners] > 0]
        pick = int((used if len(used) else winners)[0])
        objective.add(pick)
        counts[pick] += 1
        if scores[pick] > best_score:
            best, best_score = counts.copy(), scores[pick]
    return np.asarray(best / best.sum())


def _without_nan(scores: Array) -> Array:
    return np.where(np.isnan(scores), -np.inf, scores)


class AccuracyObjective:
    """Shares of rows that are right. A step skips rows that no single pick can change."""

    def __init__(self, margins: Margins) -> None:
        self.margins = margins
        self.bounds = np.stack([margins.values.min(0), margins.values.max(0)])
        self.lengths = [level.stop - level.start for level in margins.levels]
        self.threshold = margins.bar.copy()  # what the next member's margin must exceed
        self.n_settled = int(margins.settled.sum()) - int(margins.settled[margins.open_rows].sum())

    def scores_with_each(self, n_picks: int) -> Array:
        """Shares of rows, (members,)."""
        margins, threshold = self.margins, self.threshold
        sure, possible = margins.every(self.bounds > threshold)
        undecided = np.flatnonzero(possible & ~sure)
        counts = np.searchsorted(
            undecided, self.lengths
        ).tolist()  # open rows with a pair of each rank
        kept = np.concatenate(
            [undecided[:n] + level.start for n, level in zip(counts, margins.levels, strict=True)]
        )
        above = margins.values.take(kept, axis=1) > threshold[kept]
        right, start = above[:, : len(undecided)], len(undecided)
        for n in counts[1:]:
            right[:, :n] &= above[:, start : start + n]
            start += n
        n_right = np.count_nonzero(right, axis=1) + np.count_nonzero(sure) + self.n_settled
        return np.asarray(n_right / len(margins.settled))

    def scores_of(self, weights: Array) -> Array:
        """Shares of rows, (blends,)."""
        return np.asarray(self.margins.hits(weights).mean(1))

    def add(self, member: int) -> None:
        """Add a member to the running sum."""
        self.threshold = self.threshold - self.margins.values[member]


class LogLossObjective:
    """Mean log probabilities of the true class, from its column alone (arithmetic means)."""

    def __init__(self, true: Array) -> None:
        n_members, self.n_rows = true.shape
        width = -(-self.n_rows // _FACTORS)
        self.true = np.zeros((n_members, _FACTORS * width))
        self.true[:, : self.n_rows] = np.maximum(true, FLOOR)
        self.true = self.true.reshape(n_members, _FACTORS, width)
        self.total = np.zeros(_FACTORS * width)
        self.total[self.n_rows :] = 1  # padding multiplies by 1
        self.total = self.total.reshape(_FACTORS, width)
        self.at_once = max(1, _CACHED // self.total.size)

    def scores_with_each(self, n_picks: int) -> Array:
        """Mean log probabilities, (members,)."""
        sums = [
            np.log(np.multiply.reduce(self.true[i : i + self.at_once] + self.total, axis=1)).sum(1)
            for i in range(0, len(self.true), self.at_once)
        ]
        return np.asarray(np.concatenate(sums) / self.n_rows - np.log(n_picks))

    def scores_of(self, weights: Array) -> Array:
        """Mean log probabilities, (blends,)."""
        columns = self.true.reshape(len(self.true), -1)[:, : self.n_rows]
        return np.asarray(np.log(weights @ columns).mean(1))

    def add(self, member: int) -> None:
        """Add a member to the running sum."""
        self.total = self.total + self.true[member]


class GeometricObjective:
    """Mean log probabilities of the true class under geometric means, from whole rows."""

    def __init__(self, margins: Margins) -> None:
        self.margins = margins
        self.total = np.zeros(len(margins.row))

    def scores_with_each(self, n_picks: int) -> Array:
        """Mean log probabilities, (members,)."""
        weights = np.full((1, 1), 1 / n_picks)
        sums = (self.total + member_values for member_values in self.margins.values)
        margins = (replace(self.margins, values=total[None]) for total in sums)
        return np.array([-of_sum.losses(weights).mean() for of_sum in margins])

    def scores_of(self, weights: Array) -> Array:
        """Mean log probabilities, (blends,)."""
        return np.asarray(-self.margins.losses(weights).mean(1))

    def add(self, member: int) -> None:
        """Add a member to the running sum."""
        self.total = self.total + self.margins.values[member]
