"""Stratified folds of the validation rows, always the same for the same rows.

They fit and score weights; a recipe's folds train networks.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from ensemble.predictions import Array

N_FOLDS, N_REPEATS, N_NESTED = 5, 10, 3


def stratified_folds(targets: Array, groups: Array | None, seed: int) -> Iterator[Array]:
    """Stratified folds, N_REPEATS times: the fold of each row, (rows,) from 0 to N_FOLDS - 1.

    Rows of a group share a fold; groups are dealt by the class of their first row, the largest
    first.
    """
    rng = np.random.default_rng(seed)
    units = np.arange(len(targets)) if groups is None else groups
    _, first, sizes = np.unique(units, return_index=True, return_counts=True)
    for _ in range(N_REPEATS):
        order = rng.permutation(len(first))
        by_class = order[np.lexsort((-sizes[order], targets[first[order]]))]
        fold_of = np.empty(len(first), np.int64)
        fold_of[by_class] = np.arange(len(first)) % N_FOLDS
        yield fold_of[units]


def seed_from(fingerprint: str) -> int:
    """A seed of a data set: the same rows are split into the same folds every time."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")
