"""Which rows a weighted mean gets right, from the pairs of classes that can decide it.

A blend is right about a row when the weighted margin of the true class over every other class is
positive. A class that no member puts level with the true one never decides; a class that every
member puts above it always does. The remaining pairs are a small part of members × rows × classes,
and the answer is exact.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.metrics import FLOOR
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class Margins:
    """Open pairs of a true class and a rival.

    First the first pair of every open row, then the second of rows with at least two, … Rows with
    more pairs come first, so that a row has the same position among the second pairs as among the
    first. values is (members, pairs): the true class's value minus the rival's; row, rank and bar
    are (pairs,): the row of a pair, its number within the row, and what a weighted margin must
    exceed; settled (rows,) is the answer for rows without a pair. With is_log values are log
    ratios, every row has all its rivals, and losses are available.
    """

    values: Array
    row: Array
    rank: Array
    bar: Array
    settled: Array
    is_log: bool = False

    @cached_property
    def levels(self) -> list[slice]:
        """The pairs of each rank; a level is as long as the number of rows with that many pairs."""
        ends = np.cumsum(np.bincount(self.rank, minlength=1)).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    @property
    def open_rows(self) -> Array:
        """The rows with at least one pair."""
        return np.asarray(self.row[self.levels[0]])

    def every(self, pairs: Array) -> Array:
        """Whether a condition holds for all pairs of each open row.

        pairs is (..., pairs) of bool.
        """
        first, *higher = self.levels
        holds = pairs[..., first].copy()
        for level in higher:
            holds[..., : level.stop - level.start] &= pairs[..., level]
        return holds

    def take(self, rows: Array) -> "Margins":
        """The margins of some rows, by positions in rising order."""
        position = np.full(len(self.settled), -1)
        position[rows] = np.arange(len(rows))
        row = position[self.row]
        kept = np.flatnonzero(row >= 0)
        return Margins(
            values=self.values.take(kept, axis=1),
            row=row[kept],
            rank=self.rank[kept],
            bar=self.bar[kept],
            settled=self.settled[rows],
            is_log=self.is_log,
        )

    def of(self, members: Array) -> "Margins":
        """The margins of some members, by position."""
        return Margins(
            self.values[members], self.row, self.rank, self.bar, self.settled, self.is_log
        )

    def hits(self, weights: Array) -> Array:
        """Which rows are right. weights is (blends, members); returns (blends, rows) of bool."""
        right = np.repeat(self.settled[None], len(weights), axis=0)
        right[:, self.open_rows] = self.every(weights @ self.values > self.bar)
        return np.asarray(right)

    def losses(self, weights: Array) -> Array:
        """Each row's log loss under geometric means, (blends, rows) in nats; needs is_log."""
        assert self.is_log
        odds = np.exp(-(weights @ self.values))
        total = np.zeros((len(weights), len(self.settled)))
        for level in self.levels:
            total[:, self.row[level]] += odds[:, level]
        return np.asarray(np.minimum(np.log1p(total), -np.log(FLOOR)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """The open pairs: row, rank and rival are (pairs,) in the order of Margins, settled (rows,)."""

    row: Array
    rank: Array
    rival: Array
    settled: Array

    @classmethod
    def of(cls, is_open: Array, settled: Array) -> "Pairs":
        """From is_open (rows, classes) of bool."""
        row, rival = np.nonzero(is_open)
        counts = is_open.sum(1)
        rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = np.lexsort((row, -counts[row], rank))
        return cls(row[order], rank[order], rival[order], settled)

    def of_rows(self, start: int, end: int) -> "Pairs":
        """The pairs of a range of rows."""
        kept = np.flatnonzero((self.row >= start) & (self.row < end))
        return Pairs(
            self.row[kept] - start, self.rank[kept], self.rival[kept], self.settled[start:end]
        )
