"""Stratified folds of the validation rows, always the same for the same rows.

They fit and score weights; a recipe's folds train networks.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ensemble.predictions import Array
from ensemble.targets import Target

N_FOLDS, N_REPEATS, N_NESTED = 5, 10, 3
MOST_RANGES = 20  # of numbers, each with as many rows


@dataclass(frozen=True, eq=False)
class Folds:
    """All rows in folds: fold_of is (rows,), the fold of each."""

    fold_of: Array
    n_folds: int = N_FOLDS

    def positions(self, kept: tuple[int, ...]) -> Array:
        """Where the rows of some folds are, in rising order."""
        return np.flatnonzero(np.isin(self.fold_of, kept))


def in_one_fold(n_rows: int) -> Folds:
    """All rows in fold 0."""
    return Folds(np.zeros(n_rows, np.int64), n_folds=1)


def strata_of(target: Target, targets: Array) -> Array:
    """The stratum of each row, (rows,): its class, its two rarest labels, or a range of values.

    The rarest labels first, as in iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011).
    """
    if target == "class":
        return targets
    if target == "number":
        n_ranges = max(1, min(MOST_RANGES, len(targets) // (2 * N_FOLDS)))
        inner = np.quantile(targets, np.arange(1, n_ranges) / n_ranges)
        return np.searchsorted(inner, targets, side="right")
    n_labels = targets.shape[1]
    rarest_first = np.argsort(targets.sum(0, dtype=np.int64), kind="stable")
    strata = np.zeros(len(targets), np.int64)
    remaining = targets[:, rarest_first] == 1
    for _ in range(2):
        rarest = np.where(remaining.any(1), remaining.argmax(1), n_labels)
        strata = strata * (n_labels + 1) + rarest
        has_label = np.flatnonzero(rarest < n_labels)
        remaining[has_label, rarest[has_label]] = False
    return strata


def stratified_folds(strata: Array, groups: Array | None, seed: int) -> Iterator[Array]:
    """Stratified folds, N_REPEATS times: the fold of each row, (rows,) from 0 to N_FOLDS - 1.

    strata is (rows,). Rows of a group share a fold; groups are dealt by the stratum of their first
    row, the largest first.
    """
    rng = np.random.default_rng(seed)
    units = np.arange(len(strata)) if groups is None else groups
    _, first, sizes = np.unique(units, return_index=True, return_counts=True)
    for _ in range(N_REPEATS):
        order = rng.permutation(len(first))
        by_stratum = order[np.lexsort((-sizes[order], strata[first[order]]))]
        fold_of = np.empty(len(first), np.int64)
        fold_of[by_stratum] = np.arange(len(first)) % N_FOLDS
        yield fold_of[units]


def seed_from(fingerprint: str) -> int:
    """A seed of a data set: the same rows are split into the same folds every time."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")
