"""Greedy ensemble selection with replacement (Caruana et al., 2004): add whichever member helps the running mean most.

It starts with the best of the prefixes of the members sorted by score: on fresh rows never worse than starting with the
best member alone, with many members better (docs/log.md). Equal scores go to a member that is already in, then to the
smaller id; the shortest of equally good ensembles is kept.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from ensemble.blending.margins import Margins
from ensemble.metrics import FLOOR
from ensemble.predictions import Array

MAX_PICKS = 15  # 20 to 60 blend no better on fresh rows, 5 worse (docs/log.md)
_FACTORS = 16  # probabilities multiplied before one logarithm: 16 × log10(1e-15) stays above the smallest float
_CACHED = 1 << 16  # numbers worked on at once


class Search(Protocol):
    """A running sum of members and what it would score with each member added. Scores are means, higher is better."""

    def scores(self, n_picks: int) -> Array:
        """With each member added as the n-th, (members,)."""

    def of(self, weights: Array) -> Array:
        """Of blends, (blends,), whatever was added; weights is (blends, members)."""

    def add(self, member: int) -> None:
        """Take a member in."""


def greedy_weights(search: Search, n_members: int, max_picks: int = MAX_PICKS) -> Array:
    """The share of each member among the picks of the best ensemble, (members,). A NaN score never wins."""
    order = np.argsort(-_without_nan(search.scores(1)), kind="stable")[:max_picks]
    prefixes = np.zeros((len(order), n_members))
    for n, row in enumerate(prefixes, start=1):
        row[order[:n]] = 1 / n
    starts = _without_nan(search.of(prefixes))
    n_start = int(np.argmax(starts)) + 1
    for member in order[:n_start].tolist():
        search.add(member)
    counts, best_score = prefixes[n_start - 1] * n_start, starts[n_start - 1]
    best = counts.copy()
    for n_picks in range(n_start + 1, max_picks + 1):
        scores = _without_nan(search.scores(n_picks))
        winners = np.flatnonzero(scores == scores.max())
        used = winners[counts[winners] > 0]
        pick = int((used if len(used) else winners)[0])
        search.add(pick)
        counts[pick] += 1
        if scores[pick] > best_score:
            best, best_score = counts.copy(), scores[pick]
    return np.asarray(best / best.sum())


def _without_nan(scores: Array) -> Array:
    return np.where(np.isnan(scores), -np.inf, scores)


class AccuracySearch:
    """Scores are shares of rows that are right. Rows that no single pick can turn are not looked at in that step."""

    def __init__(self, margins: Margins) -> None:
        self.margins = margins
        self.bounds = np.stack([margins.values.min(0), margins.values.max(0)])
        self.lengths = [level.stop - level.start for level in margins.levels]
        self.room = margins.bar.copy()  # what the next member's margin must exceed
        self.n_settled = int(margins.settled.sum()) - int(margins.settled[margins.open_rows].sum())

    def scores(self, n_picks: int) -> Array:
        """Shares of rows, (members,)."""
        margins, room = self.margins, self.room
        sure, possible = margins.every(self.bounds > room)
        open_ = np.flatnonzero(possible & ~sure)
        counts = np.searchsorted(
            open_, self.lengths
        ).tolist()  # open rows that have a pair of this rank
        kept = np.concatenate(
            [open_[:n] + level.start for n, level in zip(counts, margins.levels, strict=True)]
        )
        above = margins.values.take(kept, axis=1) > room[kept]
        right, start = above[:, : len(open_)], len(open_)
        for n in counts[1:]:
            right[:, :n] &= above[:, start : start + n]
            start += n
        n_right = np.count_nonzero(right, axis=1) + np.count_nonzero(sure) + self.n_settled
        return np.asarray(n_right / len(margins.settled))

    def of(self, weights: Array) -> Array:
        """Shares of rows, (blends,)."""
        return np.asarray(self.margins.hits(weights).mean(1))

    def add(self, member: int) -> None:
        """Take a member in."""
        self.room = self.room - self.margins.values[member]


class LogLossSearch:
    """Scores are mean log probabilities of the truth, from the true class's column alone (arithmetic means)."""

    def __init__(self, true: Array) -> None:
        n_members, self.n_rows = true.shape
        width = -(-self.n_rows // _FACTORS)
        self.true = np.zeros((n_members, _FACTORS * width))
        self.true[:, : self.n_rows] = np.maximum(true, FLOOR)
        self.true = self.true.reshape(n_members, _FACTORS, width)
        self.total = np.zeros(_FACTORS * width)
        self.total[self.n_rows :] = 1  # what was filled up multiplies by 1
        self.total = self.total.reshape(_FACTORS, width)
        self.at_once = max(1, _CACHED // self.total.size)

    def scores(self, n_picks: int) -> Array:
        """Mean log probabilities, (members,)."""
        sums = [
            np.log(np.multiply.reduce(self.true[i : i + self.at_once] + self.total, axis=1)).sum(1)
            for i in range(0, len(self.true), self.at_once)
        ]
        return np.asarray(np.concatenate(sums) / self.n_rows - np.log(n_picks))

    def of(self, weights: Array) -> Array:
        """Mean log probabilities, (blends,)."""
        columns = self.true.reshape(len(self.true), -1)[:, : self.n_rows]
        return np.asarray(np.log(weights @ columns).mean(1))

    def add(self, member: int) -> None:
        """Take a member in."""
        self.total = self.total + self.true[member]


class GeometricSearch:
    """Scores are mean log probabilities of the truth under geometric means, from whole rows."""

    def __init__(self, margins: Margins) -> None:
        self.margins = margins
        self.total = np.zeros(len(margins.row))

    def scores(self, n_picks: int) -> Array:
        """Mean log probabilities, (members,)."""
        one = np.full((1, 1), 1 / n_picks)
        return np.array(
            [-self._with(self.total + own).losses(one).mean() for own in self.margins.values]
        )

    def of(self, weights: Array) -> Array:
        """Mean log probabilities, (blends,)."""
        return np.asarray(-self.margins.losses(weights).mean(1))

    def _with(self, total: Array) -> Margins:
        return replace(self.margins, values=total[None])

    def add(self, member: int) -> None:
        """Take a member in."""
        self.total = self.total + self.margins.values[member]
