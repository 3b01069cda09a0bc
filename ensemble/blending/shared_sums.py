"""Greedy selection by metrics that have tallies, on many sets of the same rows.

Weights are fitted on some eighty sets of rows, whole folds each, and selection reaches the same
picks on many of them: predictions of the sum of picks are then computed once for all rows, and
added up once for the folds of a repeat.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ensemble.blending.fit_rows import FitRows
from ensemble.blending.folds import Folds, in_one_fold
from ensemble.blending.greedy import Objective
from ensemble.blending.objectives import weighted_sum
from ensemble.blending.pool import normalized
from ensemble.blending.tallies import AreaTallies, CountTallies, tallies_of
from ensemble.metrics import Metric
from ensemble.predictions import Array

Picks = tuple[int, ...]  # how often each of all members was picked
Members = tuple[int, ...]  # positions among all members

N_RESCORED = 2  # candidates of a step whose area is computed exactly
_KEPT = 1 << 26  # bytes that are kept of each kind
_CACHED = 1 << 16  # probabilities of rows that are not binned
_BITS, _OCTAVES = 4, 30  # 16 bins for each doubling of the odds, from 2^-30 to 2^30
_SMALLEST = 2.0**-_OCTAVES


class _Sums:
    """Sums of members; scores is (members, classes, rows), of all members and rows."""

    def __init__(self, scores: Array) -> None:
        self.scores = scores
        self.all_rows = in_one_fold(scores.shape[2])
        self.total = lru_cache(2)(self._total)

    def _total(self, picks: Picks) -> Array:
        """The sum of the picked members, (classes, rows)."""
        total = np.zeros(self.scores.shape[1:])
        for n_times, member_scores in zip(picks, self.scores, strict=True):
            if n_times:
                total += n_times * member_scores
        return total


class CountSums(_Sums):
    """Counts of codes of sums of members."""

    def __init__(self, scores: Array, tallies: CountTallies) -> None:
        super().__init__(scores)
        self.tallies = tallies
        n_members, n_codes = len(scores), tallies.n_codes
        self.bounds = lru_cache(2)(self._bounds)
        self.codes_with_each = _kept(self._codes_with_each, n_members * scores.shape[2])
        self.with_each = _kept(self._with_each, 40 * n_members * n_codes)
        self.codes_of = _kept(self._codes_of, scores.shape[2])
        self.of = _kept(self._of, 40 * n_codes)

    def _with_each(self, members: Members, picks: Picks, folds: Folds) -> Array:
        """The counts after adding each member, (members, folds, codes)."""
        fixed, fixed_codes, rest, codes = self.codes_with_each(members, picks)
        counts = self.tallies.tally_of(codes, folds, rest)
        return np.asarray(counts + self.tallies.tally_of(fixed_codes, folds, fixed))

    def _codes_with_each(self, members: Members, picks: Picks) -> tuple[Array, ...]:
        """Rows that no member can change and their codes; the rest, with codes by member."""
        total, n_picks = self.total(picks), sum(picks) + 1
        lowest, highest = (total + bound for bound in self.bounds(members))
        fixed_codes, is_fixed = self.tallies.fixed_codes(lowest, highest, n_picks)
        fixed, rest = np.flatnonzero(is_fixed), np.flatnonzero(~is_fixed)
        total = total[:, rest]
        codes = np.empty((len(members), len(rest)), _dtype(self.tallies.n_codes))
        sums = np.empty(total.shape)
        for member_codes, member in zip(codes, members, strict=True):
            np.take(self.scores[member], rest, axis=1, out=sums, mode="clip")  # "raise" copies
            sums += total
            member_codes[:] = self.tallies.codes_of_sums(sums, n_picks, rest)
        return fixed, fixed_codes[fixed].astype(codes.dtype), rest, codes

    def _bounds(self, members: Members) -> tuple[Array, Array]:
        """The lowest and the highest score of members, (classes, rows) each."""
        scores = self.scores if len(members) == len(self.scores) else self.scores[list(members)]
        return scores.min(0), scores.max(0)

    def _of(self, picks: Picks, folds: Folds) -> Array:
        """The counts of a sum of members, (folds, codes)."""
        return self.tallies.tally(self.codes_of(picks), folds)

    def _codes_of(self, picks: Picks) -> Array:
        """The codes of a sum of members, (rows,)."""
        rows = np.arange(self.scores.shape[2])
        codes = self.tallies.codes_of_sums(self.total(picks), sum(picks), rows)
        return codes.astype(_dtype(self.tallies.n_codes))


class AreaSums(_Sums):
    """Ordered pairs of rows in means of members: exactly, or where odds in one bin count as equal."""

    def __init__(self, scores: Array, tallies: AreaTallies, is_log: bool) -> None:
        super().__init__(scores)
        self.tallies, self.is_log = tallies, is_log
        n_columns = len(tallies.columns)
        self.bins = _kept(self._bins, 2 * n_columns * scores.shape[2])
        self.ranks = _kept(self._ranks, 4 * n_columns * scores.shape[2])
        self.binned_pairs = _kept(self._binned_pairs, 400 * n_columns)
        self.pairs = _kept(self._pairs, 400 * n_columns)

    def _pairs(self, picks: Picks, folds: Folds) -> Array:
        """The tally of a mean of members, (2, columns, folds, folds)."""
        return self.tallies.tally(self.ranks(picks), folds)

    def _binned_pairs(self, picks: Picks, member: int | None, folds: Folds) -> Array:
        """The tally of a mean of members and one more, by bins of the odds."""
        return self.tallies.tally(self.bins(picks, member), folds)

    def _ranks(self, picks: Picks) -> Array:
        """The ranks of the mean as a blend has it, to the last bit."""
        mean = weighted_sum(np.array(picks) / sum(picks), self.scores)
        probs = normalized(mean.T).T if self.is_log else mean
        return self.tallies.codes(probs).astype(np.int32)

    def _bins(self, picks: Picks, member: int | None) -> Array:
        """The bins of the odds, (columns, rows)."""
        sums, n_picks = self.total(picks), sum(picks)
        if member is not None:
            sums, n_picks = sums + self.scores[member], n_picks + 1
        if self.is_log:
            sums, n_picks = normalized(sums.T / n_picks).T, 1
        smallest = np.float32(n_picks * _SMALLEST)
        odds = sums.astype(np.float32)[self.tallies.columns]
        rest = np.float32(n_picks) - odds
        np.maximum(rest, smallest, out=rest)
        np.maximum(odds, smallest, out=odds)
        odds /= rest
        bins = odds.view(np.int32)
        bins >>= 23 - _BITS
        return np.asarray(bins - bins.min(), dtype=np.int16)


class _Picked:
    """What both objectives keep: the picks so far, of all members."""

    def __init__(self, sums: _Sums, rows: FitRows) -> None:
        self.folds, self.kept = rows.folds or sums.all_rows, rows.kept
        self.members = rows.members or tuple(range(len(sums.scores)))
        self.picks = [0] * len(sums.scores)

    def add(self, member: int) -> None:
        """Pick a member."""
        self.picks[self.members[member]] += 1

    def _picks_of(self, weights: Array) -> Picks:
        """One pick of each member that has a weight; weights are equal, (members,)."""
        picks = [0] * len(self.picks)
        for member in np.flatnonzero(weights).tolist():
            picks[self.members[member]] = 1
        return tuple(picks)


class CountObjective(_Picked):
    """A metric of counts of codes."""

    def __init__(self, sums: CountSums, rows: FitRows) -> None:
        super().__init__(sums, rows)
        self.sums = sums

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member as the n-th pick, (members,)."""
        counts = self.sums.with_each(self.members, tuple(self.picks), self.folds)
        return self.sums.tallies.values(counts, self.kept)

    def scores_of(self, weights: Array) -> Array:
        """The score of means of some members, (blends,); weights is (blends, members)."""
        counts = [self.sums.of(self._picks_of(row), self.folds) for row in weights]
        return self.sums.tallies.values(np.array(counts), self.kept)


class AreaObjective(_Picked):
    """The area under the ROC curve.

    Where members are large, rows are binned by their odds first; the areas of the few best
    candidates are then computed exactly, and the others never win.
    """

    def __init__(self, sums: AreaSums, rows: FitRows) -> None:
        super().__init__(sums, rows)
        self.sums, self.singles = sums, rows.values
        n_scores = len(self.members) * rows.n_classes * len(rows.targets)
        self.n_exact = N_RESCORED if n_scores > _CACHED else len(self.members)

    def scores_with_each(self, n_picks: int) -> Array:
        """The score after adding each member, (members,); -inf unless it is among the best."""
        if n_picks == 1 and self.singles is not None:
            return self.singles
        picks = tuple(self.picks)
        return self._best([(picks, member) for member in self.members], ())

    def scores_of(self, weights: Array) -> Array:
        """The score of means of some members, (blends,); -inf unless the first or among the best."""
        return self._best([(self._picks_of(row), None) for row in weights], (0,))

    def _best(self, sums: Sequence[tuple[Picks, int | None]], always: tuple[int, ...]) -> Array:
        """The areas of those always scored and of the best by bins, (sums,); -inf for the others."""
        chosen = list(range(len(sums)))
        if len(sums) > self.n_exact:
            binned = self._areas([self.sums.binned_pairs(*picked, self.folds) for picked in sums])
            best = np.argsort(-binned, kind="stable")[: self.n_exact]
            chosen = sorted({*always, *best.tolist()})
        areas = np.full(len(sums), -np.inf)
        with_member = [_with(*sums[i]) for i in chosen]
        areas[chosen] = self._areas([self.sums.pairs(picks, self.folds) for picks in with_member])
        return areas

    def _areas(self, tallies: list[Array]) -> Array:
        return self.sums.tallies.values(np.array(tallies), self.kept)


def _with(picks: Picks, member: int | None) -> Picks:
    """The picks and one more."""
    return tuple(n_times + (i == member) for i, n_times in enumerate(picks))


def shared_objective(
    metric: Metric, rows: FitRows, is_log: bool
) -> Callable[[FitRows], Objective] | None:
    """What makes the objective for any folds of these rows, None if the metric has no tallies."""
    assert rows.pool_scores is not None
    tallies = tallies_of(metric, rows.targets, is_log)
    if isinstance(tallies, CountTallies):
        return partial(CountObjective, CountSums(rows.pool_scores, tallies))
    if isinstance(tallies, AreaTallies):
        return partial(AreaObjective, AreaSums(rows.pool_scores, tallies, is_log))
    return None


def _kept(function: Callable[..., Any], n_bytes: int) -> Callable[..., Any]:
    """The function with its latest results kept, each of so many bytes."""
    return lru_cache(max(1, _KEPT // max(1, n_bytes)))(function)


def _dtype(n_codes: int) -> type[np.integer[Any]]:
    return np.uint8 if n_codes <= 256 else np.int32
