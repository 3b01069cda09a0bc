"""Outcomes of blending rules on rows that did not fit their weights.

Cross-fitting: weights fitted on four of five folds of the rows score the fifth, for each fold in
turn, ten times with other folds. The first repeats are nested: weights fitted without a fold and
without one more fold score it too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ensemble.blending.answers import Answers, answer_outcomes
from ensemble.blending.contributions import (
    FoldWeights,
    member_values,
    metric_outcomes,
    products,
    products_of_groups,
    sums_of_groups,
)
from ensemble.blending.decisions import Learn, Plain
from ensemble.blending.fit_rows import FitRows
from ensemble.blending.folds import (
    N_FOLDS,
    N_NESTED,
    N_REPEATS,
    Folds,
    strata_of,
    stratified_folds,
)
from ensemble.blending.margins import Margins
from ensemble.blending.pool import ClassPool, Pool
from ensemble.metrics import AnswerMetric, Metric
from ensemble.predictions import Array

HITS, LOSSES, CONTRIBUTIONS = 0, 1, -1  # positions of kinds: contributions are always the last

# rows -> weights fitted on them, (rules, members), 0 for members not chosen; the last rule is the
# anchor, whose weights never change
Fit = Callable[[FitRows], Array]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes of rules on rows that did not fit their weights, by kind.

    The kinds are hits, losses in nats and, where rules are rated by a metric other than accuracy
    and log loss, the rows' contributions to it; of labels and numbers these alone. signs (kinds,)
    are 1 where more is better, else -1.

    rows is (kinds, repeats, rules, rows). sums[kind, repeat, fold, without, rule] adds up the rows
    of a fold under weights fitted without it and without one more fold (without = fold: without it
    alone); gram holds the `products` of two rules' outcomes; both cover the nested repeats. sizes is
    (repeats, folds). weights[repeat, fold, rule, member] were fitted without that fold;
    folds[repeat] is the fold of each row, groups (rows,) are those of the pool. answers are those
    of a metric that reads decisions: hits are then those of the answers.
    """

    rows: Array
    sums: Array
    gram: Array
    sizes: Array
    weights: Array
    folds: Array
    groups: Array | None = None
    signs: tuple[int, ...] = (1, -1)
    answers: Answers | None = None


def cross_fit(
    pool: Pool,
    fit_rows: FitRows,
    fit: Fit,
    seed: int,
    metric: Metric | None = None,
    learn: Learn | None = None,
) -> Outcomes:
    """Score rules by repeated cross-fitting; fit_rows are all rows of the pool.

    With a metric, rows also contribute to it, and the rows to fit on hold its value of each member.
    A metric of answers has decisions learned by `learn` on the rows that fit the weights, by
    default plain ones.
    """
    strata = strata_of(pool.target, pool.targets)
    folds = np.stack(list(stratified_folds(strata, pool.groups, seed)))
    fitted = _fitted(pool, fit_rows, folds, fit, metric)
    weights = [_fold_weights(fitted, repeat) for repeat in range(N_REPEATS)]
    signs = (1, -1) if isinstance(pool, ClassPool) else ()
    n_rules, n_kinds = len(weights[0][0][0]), len(signs)
    rows = np.zeros((n_kinds, N_REPEATS, n_rules, len(pool.targets)))
    sums = np.zeros((n_kinds, N_NESTED, N_FOLDS, N_FOLDS, n_rules))
    gram = np.zeros((*sums.shape, n_rules))
    if isinstance(pool, ClassPool):
        _add_hits_and_losses(pool, folds, weights, rows, sums, gram)
    by_fold = [
        [weights[repeat][k][_without_itself(repeat, k)] for k in range(N_FOLDS)]
        for repeat in range(N_REPEATS)
    ]
    sizes = np.stack([np.bincount(fold_of, minlength=N_FOLDS) for fold_of in folds])
    outcomes = Outcomes(rows, sums, gram, sizes, np.array(by_fold), folds, pool.groups, signs)
    if metric is None:
        return outcomes
    if isinstance(metric, AnswerMetric):
        return _with_answers(outcomes, pool, metric, learn or Plain(pool.target), weights)
    rows, sums, gram = metric_outcomes(pool, metric, folds, weights)
    return replace(
        outcomes,
        rows=np.concatenate([outcomes.rows, rows[None]]),
        sums=np.concatenate([outcomes.sums, sums[None]]),
        gram=np.concatenate([outcomes.gram, gram[None]]),
        signs=(*outcomes.signs, 1 if metric.is_higher_better else -1),
    )


def _add_hits_and_losses(
    pool: ClassPool,
    folds: Array,
    weights: Sequence[FoldWeights],
    rows: Array,
    sums: Array,
    gram: Array,
) -> None:
    """Fill in rows, sums and gram as `Outcomes` holds them."""
    n_rules, groups = rows.shape[2], pool.groups
    n_groups = 0 if groups is None else int(groups.max()) + 1
    of_groups = np.zeros((2, N_NESTED, N_FOLDS, n_rules, n_groups))
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
                    if groups is None:
                        gram[:, repeat, k] += products(scored)
                    else:  # of which other blocks of rows may have more
                        of_groups[:, repeat] += sums_of_groups(scored, groups[positions], n_groups)
    if groups is not None:
        gram[:] = _grams_of_groups(groups, folds, sums, of_groups)


def _grams_of_groups(groups: Array, folds: Array, sums: Array, of_groups: Array) -> Array:
    """gram as `Outcomes` holds it, by the sums of groups (kinds, repeats, without, rules, groups)."""
    sizes = np.bincount(groups)
    gram = np.zeros((*sums.shape, sums.shape[-1]))
    for repeat, k in np.ndindex(N_NESTED, N_FOLDS):
        of_fold = np.bincount(groups, folds[repeat] == k) > 0
        n_rows = int(sizes[of_fold].sum())
        means = sums[:, repeat, k, ..., None] / max(1, n_rows)
        centered = of_groups[:, repeat][..., of_fold] - means * sizes[of_fold]
        gram[:, repeat, k] = products_of_groups(centered, means, n_rows)
    return gram


def _with_answers(
    outcomes: Outcomes,
    pool: Pool,
    metric: AnswerMetric,
    learn: Learn,
    weights: Sequence[FoldWeights],
) -> Outcomes:
    rows, sums, gram, answers = answer_outcomes(pool, metric, learn, outcomes.folds, weights)
    losses, n_hits = slice(LOSSES, LOSSES + 1), len(rows) - 1  # only rows of one class have hits
    return replace(
        outcomes,
        rows=np.concatenate([rows[:n_hits], outcomes.rows[losses], rows[n_hits:]]),
        sums=np.concatenate([sums[:n_hits], outcomes.sums[losses], sums[n_hits:]]),
        gram=np.concatenate([gram[:n_hits], outcomes.gram[losses], gram[n_hits:]]),
        signs=(*outcomes.signs, 1),
        answers=answers,
    )


def hits_and_losses(pool: ClassPool, margins: Margins, positions: Array, weights: Array) -> Array:
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


def _fitted(
    pool: Pool, fit_rows: FitRows, folds: Array, fit: Fit, metric: Metric | None
) -> dict[tuple[int, int, int], Array]:
    """Weights (rules, members) fitted without two folds of a repeat, the first not the later one.

    Both are the same fold where only one is left out, as in all repeats that are not nested.
    """
    subsets = {
        (repeat, k, j): (of_repeat, tuple(f for f in range(N_FOLDS) if f not in (k, j)))
        for repeat, of_repeat in enumerate(Folds(fold_of) for fold_of in folds)
        for k in range(N_FOLDS)
        for j in (range(k, N_FOLDS) if repeat < N_NESTED else [k])
    }
    if metric is None:
        return {key: fit(fit_rows.of_folds(*subset)) for key, subset in subsets.items()}
    values = member_values(pool, metric, list(subsets.values()))
    return {
        key: fit(replace(fit_rows.of_folds(*subset), values=subset_values))
        for (key, subset), subset_values in zip(subsets.items(), values, strict=True)
    }


def _fold_weights(fitted: Mapping[tuple[int, int, int], Array], repeat: int) -> list[list[Array]]:
    """[fold][without]: weights (rules, members) fitted without both.

    Not nested: [fold][0], fitted without the fold alone.
    """
    each = range(N_FOLDS)
    return [
        [fitted[repeat, min(k, j), max(k, j)] for j in (each if repeat < N_NESTED else [k])]
        for k in each
    ]
