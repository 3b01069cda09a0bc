"""What each row contributes to a metric under cross-fitted weights.

Metrics such as F1 or AUC are no means over rows: they are computed on the pooled predictions of
all rows, each by weights that were fitted without its fold (where that is a single member, not
always the same one, by that member's predictions of all rows), and the rows' contributions
(`ensemble/metrics/`) then stand where hits and losses stand for accuracy and log loss.
Probabilities are added up member by member, for the blends of one repeat at a time.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import numpy as np

from ensemble.blending.folds import N_FOLDS, N_NESTED, Folds
from ensemble.blending.pool import MEMORY, Pool, finished, scale
from ensemble.blending.tallies import tallies_of
from ensemble.metrics import Metric
from ensemble.predictions import Array

# [fold][without]: weights (rules, members) fitted without both; not nested: [fold][0]
FoldWeights = Sequence[Sequence[Array]]


def mixed(pool: Pool, weights: Array, rows: Array | None = None) -> Iterator[Array]:
    """The probabilities of each blend, (classes, rows), of these rows or of all.

    weights is (blends, members), rows are positions.
    """
    n_rows = len(pool.targets if rows is None else rows)
    return out_of_fold(pool, np.zeros(n_rows, np.int64), weights[:, None], rows)


def out_of_fold(
    pool: Pool, fold_of: Array, weights: Array, rows: Array | None = None
) -> Iterator[Array]:
    """The probabilities of each blend, (classes, rows): every row by the weights of its fold.

    fold_of is (rows,), weights (blends, folds, members); rows are positions, None: all rows. Equal
    rows get equal probabilities to the last bit. As many blends as fit in memory are mixed at a
    time.
    """
    shape = len(pool.classes), len(fold_of)
    n_at_once = max(1, MEMORY // (8 * shape[0] * max(1, shape[1])))
    product = np.empty(shape)
    for start in range(0, len(weights), n_at_once):
        chunk = weights[start : start + n_at_once]
        total = np.zeros((len(chunk), *shape))
        for m, member in enumerate(pool.averaged()):
            if not chunk[:, :, m].any():
                continue
            probs = member.probs if rows is None else member.probs.take(rows, axis=0)
            scores = np.ascontiguousarray(scale(probs, pool.is_log).T)
            for blend, by_fold in zip(total, chunk[:, :, m], strict=True):
                if by_fold.any():
                    row_weights = by_fold if len(by_fold) == 1 else by_fold[fold_of]
                    blend += np.multiply(scores, row_weights, out=product)
        for blend in total:
            yield finished(blend.T, pool.is_log, pool.is_rank).T


def contributions(pool: Pool, metric: Metric, fold_of: Array, weights: Array) -> Array:
    """What each row contributes to the metric of each blend, (blends, rows).

    fold_of is (rows,), weights (blends, folds, members).
    """
    blends = out_of_fold(pool, fold_of, weights)
    scored = np.stack([metric.contributions(probs.T, pool.targets) for probs in blends])
    _put_members_alone(pool, metric, fold_of, weights[None], scored[None])
    return scored


def metric_outcomes(
    pool: Pool, metric: Metric, folds: Array, weights: Sequence[FoldWeights]
) -> tuple[Array, Array, Array]:
    """The contributions of rules as `Outcomes` holds them: rows, sums and gram.

    folds is (repeats, rows), weights are those of each repeat.
    """
    n_rules = len(weights[0][0][0])
    rows = np.zeros((len(folds), n_rules, folds.shape[1]))
    sums = np.zeros((N_NESTED, N_FOLDS, N_FOLDS, n_rules))
    gram = np.zeros((*sums.shape, n_rules))
    for repeat, fold_of in enumerate(folds):
        alone, *nested = _by_rows_that_fitted(pool, metric, fold_of, weights[repeat])
        rows[repeat] = alone
        if nested:
            sums[repeat], gram[repeat] = blend_outcomes(
                fold_of, np.array([alone, *nested]), pool.groups
            )
    return rows, sums, gram


def blend_outcomes(fold_of: Array, outcomes: Array, groups: Array | None) -> tuple[Array, Array]:
    """Sums (folds, without, rules) and `products` (folds, without, rules, rules).

    outcomes (1 + folds, rules, rows) are those without the row's fold, then without one more;
    fold_of and groups are (rows,).
    """
    alone, *nested = outcomes
    sums = np.zeros((N_FOLDS, N_FOLDS, len(alone)))
    gram = np.zeros((*sums.shape, len(alone)))
    for k in range(N_FOLDS):
        inside = fold_of == k
        for without in range(N_FOLDS):
            scored = (alone if without == k else nested[without])[:, inside]
            sums[k, without] = scored.sum(1)
            gram[k, without] = products(scored, None if groups is None else groups[inside])
    return sums, gram


def products(outcomes: Array, groups: Array | None = None) -> Array:
    """Sums over rows of the products of two rules' outcomes, (..., rules, rules).

    Rows of a group are no independent evidence: with groups (rows,) what groups differ from the mean
    by stands in for what their rows differ by, so that sums / rows - means² is still the variance
    of a row as far as the error of the mean goes. outcomes is (..., rules, rows); of few groups a
    fold may have no rows.
    """
    if groups is None or not len(groups):
        return np.asarray(outcomes @ outcomes.swapaxes(-1, -2))
    means = outcomes.mean(-1, keepdims=True)
    return products_of_groups(sums_of_groups(outcomes - means, groups), means, len(groups))


def sums_of_groups(values: Array, groups: Array, n_groups: int = 0) -> Array:
    """The sum of each group's rows, (..., groups). values is (..., rows), groups (rows,)."""
    sums = [np.bincount(groups, row, n_groups) for row in values.reshape(-1, values.shape[-1])]
    return np.reshape(sums, (*values.shape[:-1], -1))


def products_of_groups(sums: Array, means: Array, n_rows: int) -> Array:
    """`products` of groups by their sums less the mean of each row, (..., rules, groups)."""
    return np.asarray(sums @ sums.swapaxes(-1, -2) + n_rows * means @ means.swapaxes(-1, -2))


def _by_rows_that_fitted(pool: Pool, metric: Metric, fold_of: Array, weights: FoldWeights) -> Array:
    """Contributions (1, rules, rows) under weights fitted without the row's fold.

    Nested, (1 + folds, rules, rows): then those under weights fitted without one more fold, pooled
    over the rows of the other folds alone, so that they know nothing of it. In that fold itself,
    and where the other folds do not define the metric, the contributions of all rows stand in.
    """
    is_nested = len(weights[0]) > 1
    sets: list[list[Array]] = [[weights[k][k if is_nested else 0] for k in range(N_FOLDS)]]
    if is_nested:
        sets += [[weights[k][without] for k in range(N_FOLDS)] for without in range(N_FOLDS)]
    blends: Array = np.array(sets).transpose(0, 2, 1, 3)  # (sets, rules, folds, members)
    scored = np.empty((*blends.shape[:2], len(fold_of)))
    mixed = out_of_fold(pool, fold_of, blends.reshape(-1, *blends.shape[2:]))
    for (position, rule), probs in zip(np.ndindex(blends.shape[:2]), mixed, strict=True):
        if position == 0:
            scored[0, rule] = metric.contributions(probs.T, pool.targets)
            continue
        kept = np.flatnonzero(fold_of != position - 1)
        scored[position, rule] = scored[0, rule]
        if len(kept):
            of_kept = metric.contributions(probs.take(kept, axis=1).T, pool.targets[kept])
            if np.isfinite(of_kept).all():
                scored[position, rule, kept] = of_kept
    _put_members_alone(pool, metric, fold_of, blends, scored)
    return scored


def _put_members_alone(
    pool: Pool, metric: Metric, fold_of: Array, blends: Array, scored: Array
) -> None:
    """Score rules of one member per fold, not always the same one, by members over all rows.

    Members rank rows on scales of their own: pooled, rows of two members cannot be compared. A
    contribution is the value plus the row's influence, so those of a fold's rows under its member
    estimate that member's value on the fold. blends and scored are as `_by_rows_that_fitted` has
    them; scored is changed.
    """
    member = blends.argmax(-1)
    is_alone = (np.count_nonzero(blends, axis=-1) == 1).all(-1) & (member != member[..., :1]).any(
        -1
    )
    rules = np.flatnonzero(is_alone.any(0))
    needed = np.unique(member[:, rules])
    weights = np.zeros((len(needed), N_FOLDS, blends.shape[-1]))
    weights[np.arange(len(needed)), :, needed] = 1
    for m, probs in zip(needed.tolist(), out_of_fold(pool, fold_of, weights), strict=True):
        is_used = is_alone[..., None] & (member == m)  # (sets, rules, folds)
        for position in np.flatnonzero(is_used.any((1, 2))).tolist():
            kept = np.flatnonzero(fold_of != position - 1)
            values = metric.contributions(probs.take(kept, axis=1).T, pool.targets[kept])
            if not np.isfinite(values).all():
                continue
            for rule in np.flatnonzero(is_used[position].any(1)).tolist():
                of_member = is_used[position, rule, fold_of[kept]]
                scored[position, rule, kept[of_member]] = values[of_member]
    for position in range(1, len(scored)):
        inside = fold_of == position - 1
        scored[position][:, inside] = scored[0][:, inside]


def member_values(
    pool: Pool, metric: Metric, subsets: Sequence[tuple[Folds, tuple[int, ...]]]
) -> Array:
    """The metric of each member on some folds, (subsets, members); NaN where it is undefined."""
    values = np.full((len(subsets), pool.n_members), np.nan)
    positions = [folds.positions(kept) for folds, kept in subsets]
    tallies = tallies_of(metric, pool.targets)
    for m, member in enumerate(pool.read()):
        probs = np.ascontiguousarray(member.probs.T)
        tally = lru_cache(1)(partial(tallies.tally, tallies.codes(probs))) if tallies else None
        for subset_values, rows, (folds, kept) in zip(values, positions, subsets, strict=True):
            if len(rows) and tallies and tally:
                subset_values[m] = tallies.values(tally(folds)[None], kept)[0]
            elif len(rows):
                subset_values[m] = metric.values(probs.take(rows, axis=1).T, pool.targets[rows])
    return values
