"""The area under the ROC curve, from the ranks of rows within a column of probabilities."""

import math
from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import Metric, few_of_a_class
from ensemble.metrics.rows import Array

LEAST = 2.0  # rows of the other side that a pseudo-row is at least off by
FEWEST = 20  # rows of the rarer side that an interval needs
_CACHED = 1 << 17  # scores worked on at once


@dataclass(frozen=True)
class RocAuc(Metric):
    """The chance that a row of a class is scored above a row of the rest; half of it for ties.

    columns holds the positive class, or all classes or labels: then the mean of one-versus-rest
    areas over those that have both rows and other rows (scikit-learn's "macro", which refuses rows
    without one of them). No such class: NaN. Equal means equal to the last bit.
    """

    columns: tuple[int, ...]

    def values(self, probs: Array, targets: Array) -> Array:
        """The mean area, (...,)."""
        areas = [
            _areas(probs[..., column], _is_of(column, targets)) for column in self.scored(targets)
        ]
        return np.mean(areas, axis=0) if areas else np.full(probs.shape[:-2], np.nan)

    def contributions(self, probs: Array, targets: Array) -> Array:
        """area + (placement - area) * n / n_class, averaged over the columns, (..., rows).

        A placement is the share of the other side that a row is on the right side of; n_class are
        the rows on its own side. Their variance over n is that of DeLong, DeLong and Clarke-Pearson
        (1988), but for the factors (n_class - 1) / n_class of its two parts.
        """
        scored = self.scored(targets)
        total = np.full(probs.shape[:-1], 0.0 if scored else np.nan)
        for column in scored:
            total += _area_contributions(probs[..., column], _is_of(column, targets))
        return total / max(1, len(scored))

    def smoothing(self, probs: Array, targets: Array) -> Array:
        """One more row on each side of a class, as far off as the furthest there, (..., 2).

        At least as far as two rows of the other side.
        """
        scored = self.scored(targets)
        total = np.zeros((*probs.shape[:-2], 2))
        for column in scored:
            is_positive = _is_of(column, targets)
            rows = _area_contributions(probs[..., column], is_positive)
            distances = np.abs(rows - rows.mean(-1, keepdims=True)) / len(targets)
            for side in (is_positive, ~is_positive):
                n, n_others = np.count_nonzero(side), np.count_nonzero(~side)
                furthest = np.maximum(distances[..., side].max(-1) * n, LEAST / n_others) / (n + 1)
                total[..., 0] -= furthest / 2
                total[..., 1] += furthest**2
        n_areas = max(1, len(scored))
        return total / [n_areas, n_areas**2]

    def too_few_rows(self, targets: Array) -> str:
        """Fewer than 20 rows of a class: of the rarer side, for each of the areas."""
        n_rows = self._n_rows(targets)
        if targets.ndim == 2:
            n_rows = np.minimum(n_rows, len(targets) - n_rows)
        return few_of_a_class(self.classes, n_rows, FEWEST)

    def is_positive(self, targets: Array) -> Array:
        """Whether each row is of the class of each scored column, (columns, rows)."""
        sides = [_is_of(column, targets) for column in self.scored(targets)]
        return np.array(sides, bool).reshape(-1, len(targets))

    def scored(self, targets: Array) -> list[int]:
        """The columns that have both positive rows and others."""
        n_rows = self._n_rows(targets)
        return [column for column in self.columns if 0 < n_rows[column] < len(targets)]

    def _n_rows(self, targets: Array) -> Array:
        """The rows of each class or label, (classes,)."""
        if targets.ndim == 2:
            return np.asarray(targets.sum(0, dtype=np.int64))
        return np.bincount(targets, minlength=len(self.classes))


def _is_of(column: int, targets: Array) -> Array:
    """Whether each row is of this class, or has this label, (rows,)."""
    return np.asarray(targets[:, column] == 1 if targets.ndim == 2 else targets == column)


def alternations(scores: Array, is_positive: Array) -> Array:
    """Ranks that order each pair of rows of different sides as scores do; both (columns, rows).

    Rows of one side share a rank where none of the other lies between them.
    """
    order, starts = _sorted(scores)
    sides = np.take_along_axis(is_positive, order, axis=-1)
    may_be_tied = ~starts
    may_be_tied[:, :-1] |= ~starts[:, 1:]
    changes = sides[:, 1:] != sides[:, :-1]
    starts[:, 1:] &= changes | may_be_tied[:, 1:] | may_be_tied[:, :-1]
    ranks = np.empty(scores.shape, np.int64)
    np.put_along_axis(ranks, order, np.cumsum(starts, axis=-1) - 1, axis=-1)
    return ranks


def wins_of_folds(ranks: Array, groups: Array, n_folds: int) -> Array:
    """Twice the pairs that are ordered right, ties half, (columns, folds of positives, of others).

    ranks (columns, rows) are whole numbers from 0; groups number the cells' column, side (others
    first) and fold.
    """
    n_ranks = int(ranks.max(initial=0)) + 1
    shape = len(ranks), 2, n_folds, n_ranks
    counts = np.bincount((groups * n_ranks + ranks).ravel(), minlength=math.prod(shape))
    others, positives = counts.reshape(shape).astype(np.float64).swapaxes(0, 1)
    below = np.cumsum(others, axis=-1)
    return np.asarray(2 * positives @ below.swapaxes(1, 2) - positives @ others.swapaxes(1, 2))


def _areas(scores: Array, is_positive: Array) -> Array:
    """The area of each set of scores, (...,); scores is (..., rows), is_positive (rows,)."""
    flat = scores.reshape(-1, scores.shape[-1])
    areas = [_block_areas(block, is_positive) for block in _blocks(flat)]
    return np.concatenate(areas).reshape(scores.shape[:-1])


def _block_areas(scores: Array, is_positive: Array) -> Array:
    n_rows, n_positive = len(is_positive), int(is_positive.sum())
    order, starts = _sorted(scores)
    ranks = np.arange(n_rows, dtype=np.float64)
    positive = is_positive.astype(np.float64)[order]
    if starts.all():
        rank_sums = positive @ ranks
    else:
        first, lengths = _runs(starts)
        middle = np.repeat(first % n_rows + (lengths - 1) / 2, lengths).reshape(scores.shape)
        rank_sums = (middle * positive).sum(-1)
    n_below = rank_sums - n_positive * (n_positive - 1) / 2
    return np.asarray(n_below / (n_positive * (n_rows - n_positive)))


def _area_contributions(scores: Array, is_positive: Array) -> Array:
    """What each row contributes to the area, (..., rows)."""
    flat = scores.reshape(-1, scores.shape[-1])
    n_positive = int(is_positive.sum())
    n_own = np.where(is_positive, n_positive, len(is_positive) - n_positive)
    contributions = np.empty(flat.shape)
    start = 0
    for block in _blocks(flat):
        placements = _block_placements(block, is_positive)
        areas = np.ascontiguousarray(placements[:, is_positive]).mean(-1, keepdims=True)
        rows = slice(start, start + len(block))
        contributions[rows] = areas + (placements - areas) * (len(is_positive) / n_own)
        start += len(block)
    return contributions.reshape(scores.shape)


def _block_placements(scores: Array, is_positive: Array) -> Array:
    """The share of the other side that each row is on the right side of, ties half, (sets, rows).

    scores is (sets, rows).
    """
    n_rows, n_positive = len(is_positive), int(is_positive.sum())
    order, starts = _sorted(scores)
    is_positive = is_positive[order]
    through = np.cumsum(is_positive, axis=-1)
    positive_below = through - is_positive / 2
    below = np.arange(n_rows) + 0.5
    if not starts.all():
        first, lengths = _runs(starts)
        before = through.ravel()[first] - is_positive.ravel()[first]
        positives = (before + through.ravel()[first + lengths - 1]) / 2
        positive_below = np.repeat(positives, lengths).reshape(scores.shape)
        below = np.repeat(first % n_rows + lengths / 2, lengths).reshape(scores.shape)
    sorted_placements = np.where(
        is_positive,
        (below - positive_below) / (n_rows - n_positive),
        1 - positive_below / n_positive,
    )
    placements = np.empty(scores.shape)
    np.put_along_axis(placements, order, sorted_placements, axis=-1)
    return placements


def _sorted(scores: Array) -> tuple[Array, Array]:
    """The order of each set of scores, (sets, rows), and where a sorted score is a new one."""
    order = np.argsort(scores, axis=-1)
    ordered = np.take_along_axis(scores, order, axis=-1)
    starts = np.ones(scores.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=starts[:, 1:])
    return order, starts


def _runs(starts: Array) -> tuple[Array, Array]:
    """The first position of each run of equal scores, counted through all sets, and its length."""
    first = np.flatnonzero(starts)
    return first, np.diff(first, append=starts.size)


def _blocks(flat: Array) -> list[Array]:
    """Sets of scores, (sets, rows), cut so that a block stays in the cache."""
    at_once = max(1, _CACHED // flat.shape[1])
    return [
        np.ascontiguousarray(flat[start : start + at_once])
        for start in range(0, len(flat), at_once)
    ]
