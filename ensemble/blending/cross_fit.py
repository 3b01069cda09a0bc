"""Outcomes of blending rules on rows that did not fit their weights.

Cross-fitting: weights fitted on four of five folds of the rows score the fifth, for each fold in
turn, ten times with other folds. The first repeats are nested: weights fitted without a fold and
without one more fold score it too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ensemble.blending.folds import N_FOLDS, N_NESTED, N_REPEATS, stratified_folds
from ensemble.blending.margins import Margins
from ensemble.blending.pool import FitRows, Pool
from ensemble.predictions import Array

METRICS = ("accuracy", "log_loss")

# rows -> weights fitted on them, (rules, members), 0 for members not chosen; the last rule is the
# anchor, whose weights never change
Fit = Callable[[FitRows], Array]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Hits [0] and losses in nats [1] of rules, on rows that did not fit their weights.

    rows is (2, repeats, rules, rows). sums[metric, repeat, fold, without, rule] adds up the rows of
    a fold under weights fitted without it and without one more fold (without = fold: without it
    alone); gram holds the sums of products of two rules' outcomes; both cover the nested repeats.
    sizes is (repeats, folds). weights[repeat, fold, rule, member] were fitted without that fold;
    folds[repeat] is the fold of each row.
    """

    rows: Array
    sums: Array
    gram: Array
    sizes: Array
    weights: Array
    folds: Array


def cross_fit(pool: Pool, fit_rows: FitRows, fit: Fit, seed: int) -> Outcomes:
    """Score rules by repeated cross-fitting; fit_rows are all rows of the pool."""
    folds = np.stack(list(stratified_folds(pool.targets, pool.groups, seed)))
    weights = [
        _fold_weights(fit_rows, fold_of, fit, is_nested=repeat < N_NESTED)
        for repeat, fold_of in enumerate(folds)
    ]
    n_rules = len(weights[0][0][0])
    rows = np.zeros((2, N_REPEATS, n_rules, len(pool.targets)))
    sums = np.zeros((2, N_NESTED, N_FOLDS, N_FOLDS, n_rules))
    gram = np.zeros((*sums.shape, n_rules))
    for block, margins in pool.blocks():
        for repeat, fold_of in enumerate(folds):
            for k in range(N_FOLDS):
                inside = np.flatnonzero(fold_of[block] == k)
                if not len(inside):
                    continue
                positions = inside + block.start
                blends = np.concatenate(weights[repeat][k])
                scored = hits_and_losses(pool, margins.take(inside), positions, blends)
                scored = scored.reshape(2, -1, n_rules, len(positions))
                rows[:, repeat][:, :, positions] = scored[:, _without_itself(repeat, k)]
                if repeat < N_NESTED:
                    sums[:, repeat, k] += scored.sum(3)
                    gram[:, repeat, k] += scored @ scored.transpose(0, 1, 3, 2)
    by_fold = [
        [weights[repeat][k][_without_itself(repeat, k)] for k in range(N_FOLDS)]
        for repeat in range(N_REPEATS)
    ]
    sizes = np.stack([np.bincount(fold_of, minlength=N_FOLDS) for fold_of in folds])
    return Outcomes(rows, sums, gram, sizes, np.array(by_fold), folds)


def hits_and_losses(pool: Pool, margins: Margins, positions: Array, weights: Array) -> Array:
    """Hits and losses of blends, (2, blends, rows).

    margins are those of the rows at these positions; weights is (blends, members).
    """
    hits = margins.hits(weights)
    if pool.is_log:
        return np.stack([hits, margins.losses(weights)])
    true = weights @ pool.true.take(positions, axis=1)
    return np.stack([hits, -np.log(true)])


def _without_itself(repeat: int, k: int) -> int:
    """Where `_fold_weights` lists the weights fitted without fold k alone."""
    return k if repeat < N_NESTED else 0


def _fold_weights(
    fit_rows: FitRows, fold_of: Array, fit: Fit, is_nested: bool
) -> list[list[Array]]:
    """[fold][without]: weights (rules, members) fitted without both.

    Not nested: [fold][0], fitted without the fold alone.
    """
    weights: dict[tuple[int, int], Array] = {}
    for k in range(N_FOLDS):
        for j in range(k, N_FOLDS) if is_nested else [k]:
            kept = np.flatnonzero((fold_of != k) & (fold_of != j))
            weights[k, j] = weights[j, k] = fit(fit_rows.take(kept))
    return [[weights[k, j] for j in (range(N_FOLDS) if is_nested else [k])] for k in range(N_FOLDS)]
