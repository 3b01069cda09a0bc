"""The honest score of blending rules: weights are never scored on rows that fitted them.

Cross-fitting: weights fitted on four of five folds of the rows score the fifth, for each fold in
turn, ten times with other folds. The first repeats are nested: weights fitted without a fold and
without one more fold score it too. They choose a weighting that has not seen the rows it is scored
on, and they show how much wider the intervals must be: the plain interval ignores the weights' own
variance (Bates, Hastie and Tibshirani, "Cross-validation: what does it estimate and how well does
it do it?", 2021). These folds split the validation rows; a recipe's folds train networks.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.blending.margins import Margins
from ensemble.blending.pool import FitRows, Pool
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array
from ensemble.runs import Run

N_FOLDS, N_REPEATS, N_NESTED = 5, 10, 3
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
    folds = np.stack(list(_folds(pool.targets, pool.groups, seed)))
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


def _folds(targets: Array, groups: Array | None, seed: int) -> Iterator[Array]:
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


def simplest_near_best(metric: int, totals: Array, gram: Array, n_rows: float) -> int:
    """The first rule within one standard error of the best: the error of their paired difference.

    totals is (rules,) and gram (rules, rules): sums of outcomes over n_rows and of their products,
    the simplest rule first.
    """
    means = totals / n_rows * (1 if metric == 0 else -1)
    best = int(np.argmax(means))
    spread = np.diag(gram) - 2 * gram[best] + gram[best, best]
    error = np.sqrt(np.maximum(spread / n_rows - (means - means[best]) ** 2, 0) / n_rows)
    return int(np.argmax(means >= means[best] - error - TIE))


def chosen_without_fold(outcomes: Outcomes, metric: int, rules: Sequence[int]) -> Array:
    """The rule that the other folds choose, (nested repeats, folds); the simplest rule first."""
    choice = np.zeros((N_NESTED, N_FOLDS), np.int64)
    pairs = np.ix_(rules, rules)
    for repeat, k in np.ndindex(choice.shape):
        rest = [j for j in range(N_FOLDS) if j != k]
        totals = outcomes.sums[metric, repeat, rest, k].sum(0)[list(rules)]
        products = outcomes.gram[metric, repeat, rest, k].sum(0)[pairs]
        n_rows = max(1, int(outcomes.sizes[repeat, rest].sum()))
        choice[repeat, k] = rules[simplest_near_best(metric, totals, products, n_rows)]
    return choice


def mean_outcomes(outcomes: Outcomes, choice: Array) -> Array:
    """Hits and losses of each row, means over repeats, (2, rows).

    choice (repeats, folds) is the rule of each repeat and fold.
    """
    return np.asarray(_outcomes_by_repeat(outcomes, choice).mean(1))


def _outcomes_by_repeat(outcomes: Outcomes, choice: Array) -> Array:
    """Hits and losses of each row in each repeat, (2, repeats, rows)."""
    if (choice == choice[0, 0]).all():
        return np.asarray(outcomes.rows[:, : len(choice), choice[0, 0]])
    repeats = np.arange(len(choice))[:, None]
    rule = np.take_along_axis(choice, outcomes.folds[: len(choice)], axis=1)
    return np.asarray(outcomes.rows[:, repeats, rule, np.arange(rule.shape[1])])


def widening(outcomes: Outcomes, metric: int, choice: Array, against: int | None = None) -> float:
    """How many times wider an interval must be to cover the weights' own variance.

    From 1 to the root of N_FOLDS. choice (repeats, folds) is the rule of each repeat and fold; the
    outcome of rule `against` is subtracted from its outcome.

    The plain interval covers the variance of rows alone. Two estimates of the rest, and the larger
    counts: the error by nested cross-validation, with the anchor rule, whose weights are fixed and
    whose error is known, as control variate; and a third (what the simulation in bench/ needs) of
    the variance between scores by weights from different repeats on rows that neither saw.
    """
    if outcomes.sizes.min() < 2:
        return 1.0
    nested = choice[:N_NESTED]
    contrast = np.eye(outcomes.sums.shape[-1])[nested]
    if against is not None:
        contrast[..., against] -= 1
    anchor = np.zeros_like(contrast)
    anchor[..., -1] = 1
    error, variance = _nested_error(outcomes, metric, contrast)
    anchor_error, anchor_variance = _nested_error(outcomes, metric, anchor)
    n_rows = len(outcomes.folds[0])
    plain = variance / n_rows
    if plain <= 0:
        return 1.0
    if anchor_variance > 0:
        correlation = _correlation(outcomes, metric, contrast, anchor)
        shared = correlation**2 * variance / anchor_variance
        error -= shared * (anchor_error - anchor_variance / n_rows)
    with_weights = plain + _weights_variance(outcomes, metric, choice, against) / 3
    return float(np.sqrt(np.clip(max(error, with_weights) / plain, 1, N_FOLDS)))


def _nested_error(outcomes: Outcomes, metric: int, contrast: Array) -> tuple[float, float]:
    """The squared error of the score by nested cross-validation, and the variance of an outcome."""
    sizes = outcomes.sizes[:N_NESTED]
    each = np.arange(N_FOLDS)
    # [repeat, j, k]: fold j under the contrast of fold k
    sums = np.einsum("rjks,rks->rjk", outcomes.sums[metric], contrast)
    outer = sums[:, each, each] / sizes
    inner = (sums.sum(1) - sums[:, each, each]) / (sizes.sum(1, keepdims=True) - sizes)
    gram = outcomes.gram[metric][:, each, each]
    squares = np.einsum("rks,rkst,rkt->rk", contrast, gram, contrast) / sizes
    variance = np.maximum(squares - outer**2, 0)
    error = ((inner - outer) ** 2 - variance / (sizes - 1)).mean() * (N_FOLDS - 1) / N_FOLDS
    return float(error), float(variance.mean())


def _correlation(outcomes: Outcomes, metric: int, contrast_a: Array, contrast_b: Array) -> float:
    """The correlation of two contrasts' outcomes on the same row."""
    each = np.arange(N_FOLDS)
    gram = outcomes.gram[metric][:, each, each].sum((0, 1))
    sums = outcomes.sums[metric][:, each, each].sum((0, 1))
    n = outcomes.sizes[:N_NESTED].sum()
    covariance = gram / n - np.outer(sums, sums) / n**2
    a, b = contrast_a.mean((0, 1)), contrast_b.mean((0, 1))
    spread = float(a @ covariance @ a) * float(b @ covariance @ b)
    return float(a @ covariance @ b) / spread**0.5 if spread > 0 else 0.0


def _weights_variance(outcomes: Outcomes, metric: int, choice: Array, against: int | None) -> float:
    """The variance between the true scores of weights from two repeats.

    Unbiased, from the rows that both held out.
    """
    by_repeat = _outcomes_by_repeat(outcomes, choice)[metric]
    if against is not None:
        by_repeat = by_repeat - outcomes.rows[metric, : len(choice), against]
    variances = []
    for a in range(len(choice)):
        b = (a + 1) % len(choice)
        cell = outcomes.folds[a] * N_FOLDS + outcomes.folds[b]
        change = by_repeat[a] - by_repeat[b]
        n = np.bincount(cell)
        kept = n > 1
        mean = np.bincount(cell, change)[kept] / n[kept]
        square = np.bincount(cell, change**2)[kept] / n[kept]
        variances.append(mean**2 - (square - mean**2) / (n[kept] - 1))
    return float(np.concatenate(variances).mean())


def accuracy_interval(
    hits: Array, width: float, seed: int, groups: Array | None = None
) -> Interval:
    """The interval of the mean of hits, width times as wide as the plain one.

    Wilson's, with as many rows as that width is worth; with groups their bootstrap. hits and groups
    are (rows,).
    """
    if groups is None:
        return metrics.wilson(float(hits.mean()), len(hits) / width**2)
    widened = metrics.bootstrap_mean(metrics.by_group(hits, groups), seed).widened(width)
    return Interval(widened.value, max(0.0, widened.low), min(1.0, widened.high))


def run_accuracy(run: Run) -> Interval:
    """The validation accuracy of a run with its interval.

    Reads valid.npz only if rows belong to groups. Raises DamagedError.
    """
    if not run.data.is_grouped:
        return metrics.wilson(run.scores.accuracy, run.data.n_rows)
    valid = run.valid().canonical()
    assert valid.targets is not None  # Run.valid refuses predictions without targets
    assert valid.groups is not None
    groups = np.unique(valid.groups, return_inverse=True)[1]
    hits = metrics.hits(valid.probs, valid.targets)
    return accuracy_interval(hits, 1.0, seed_from(run.data.valid), groups)


def log_loss_interval(
    losses: Array, width: float, seed: int, groups: Array | None = None
) -> Interval:
    """The bootstrap interval of the mean over rows or groups, width times as wide.

    losses is (rows,).
    """
    widened = metrics.bootstrap_mean(metrics.by_group(losses, groups), seed).widened(width)
    return Interval(widened.value, max(0.0, widened.low), widened.high)


def seed_from(fingerprint: str) -> int:
    """A seed of a data set: the same rows are split into the same folds every time."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")
