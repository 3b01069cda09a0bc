"""Which rows a weighted mean gets right, from only those pairs of classes on which its members can differ.

A blend is right about a row when the weighted margin of the true class over every other class is positive. A class
that no member puts level with the true one never decides; a class that every member puts above it always does. What
is left is a small part of members × rows × classes, and exact.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.metrics import FLOOR
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class Margins:
    """Open pairs of a true class and a rival: the first pair of every open row, then the second where there is one, …

    Rows with more pairs stand before those with fewer, so that a row's place among the second pairs is its place
    among the first. values is (members, pairs): the true class's value less the rival's; row, rank and bar are
    (pairs,): the row of a pair, its number within the row, and what a weighted margin must exceed; settled (rows,) is
    the answer for rows without a pair. is_log: values are log ratios, every row has all its rivals, and losses can be
    had.
    """

    values: Array
    row: Array
    rank: Array
    bar: Array
    settled: Array
    is_log: bool = False

    @cached_property
    def levels(self) -> list[slice]:
        """The pairs of each rank; all are as long as the number of rows that have so many."""
        ends = np.cumsum(np.bincount(self.rank, minlength=1)).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    @property
    def open_rows(self) -> Array:
        """The rows that have a pair."""
        return np.asarray(self.row[self.levels[0]])

    def every(self, pairs: Array) -> Array:
        """Whether something holds for all pairs of each open row. pairs is (..., pairs) of bool."""
        first, *others = self.levels
        whole = pairs[..., first].copy()
        for level in others:
            whole[..., : level.stop - level.start] &= pairs[..., level]
        return whole

    def take(self, rows: Array) -> "Margins":
        """Those of some rows; rows are positions in rising order."""
        new = np.full(len(self.settled), -1)
        new[rows] = np.arange(len(rows))
        row = new[self.row]
        kept = np.flatnonzero(row >= 0)
        values = self.values.take(kept, axis=1)
        return Margins(
            values, row[kept], self.rank[kept], self.bar[kept], self.settled[rows], self.is_log
        )

    def of(self, members: Array) -> "Margins":
        """Those of some members."""
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
    """Which pairs are open: row, rank and rival are (pairs,) in the order of Margins, settled is (rows,)."""

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
        """Those of a range of rows."""
        kept = np.flatnonzero((self.row >= start) & (self.row < end))
        return Pairs(
            self.row[kept] - start, self.rank[kept], self.rival[kept], self.settled[start:end]
        )
