"""The honest score of blending rules: weights are never scored on rows that fitted them.

`cross_fit.py` scores the rules. Its nested repeats choose a weighting that has not seen the rows it
is scored on, and they show how much wider the intervals must be: the plain interval ignores the
weights' own variance (Bates, Hastie and Tibshirani, "Cross-validation: what does it estimate and
how well does it do it?", 2021).
"""

from collections.abc import Sequence

import numpy as np

from ensemble import metrics
from ensemble.blending.cross_fit import Outcomes
from ensemble.blending.folds import N_FOLDS, N_NESTED
from ensemble.metrics import TIE
from ensemble.predictions import Array


def near_best(sign: int, totals: Array, gram: Array, n_rows: float) -> Array:
    """Which rules are within one standard error of the best, (rules,): that of their difference.

    sign is 1 if greater outcomes are better, else -1. totals is (rules,) and gram (rules, rules):
    sums of outcomes over n_rows and their `products`.
    """
    means = totals / n_rows * sign
    best = int(np.argmax(means))
    spread = np.diag(gram) - 2 * gram[best] + gram[best, best]
    error = np.sqrt(np.maximum(spread / n_rows - (means - means[best]) ** 2, 0) / n_rows)
    return np.asarray(means >= means[best] - error - TIE)


def simplest_near_best(sign: int, totals: Array, gram: Array, n_rows: float) -> int:
    """The first rule of `near_best`, the simplest one."""
    return int(np.argmax(near_best(sign, totals, gram, n_rows)))


def chosen_without_fold(outcomes: Outcomes, kind: int, rules: Sequence[int]) -> Array:
    """The rule that the other folds choose, (nested repeats, folds); the simplest rule first."""
    choice = np.zeros((N_NESTED, N_FOLDS), np.int64)
    pairs = np.ix_(rules, rules)
    for repeat, k in np.ndindex(choice.shape):
        rest = [j for j in range(N_FOLDS) if j != k]
        totals = outcomes.sums[kind, repeat, rest, k].sum(0)[list(rules)]
        products = outcomes.gram[kind, repeat, rest, k].sum(0)[pairs]
        n_rows = max(1, int(outcomes.sizes[repeat, rest].sum()))
        choice[repeat, k] = rules[
            simplest_near_best(outcomes.signs[kind], totals, products, n_rows)
        ]
    return choice


def mean_outcomes(outcomes: Outcomes, choice: Array) -> Array:
    """The outcomes of each row, means over repeats, (kinds, rows).

    choice (repeats, folds) is the rule of each repeat and fold.
    """
    return np.asarray(of_choice(outcomes.rows, choice, outcomes.folds).mean(1))


def of_choice(of_rules: Array, choice: Array, folds: Array) -> Array:
    """What is there of each rule and row, for the chosen rules: (..., repeats, rows).

    of_rules is (..., repeats, rules, rows), choice (repeats, folds), perhaps of the first repeats.
    """
    if (choice == choice[0, 0]).all():
        return np.asarray(of_rules[..., : len(choice), choice[0, 0], :])
    repeats = np.arange(len(choice))[:, None]
    rule = np.take_along_axis(choice, folds[: len(choice)], axis=1)
    return np.asarray(of_rules[..., repeats, rule, np.arange(rule.shape[1])])


def widening(outcomes: Outcomes, kind: int, choice: Array, against: int | None = None) -> float:
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
    contrast = _contrast(outcomes, choice, against)
    anchor = np.zeros_like(contrast)
    anchor[..., -1] = 1
    error, variance = _nested_error(outcomes, kind, contrast)
    anchor_error, anchor_variance = _nested_error(outcomes, kind, anchor)
    n_rows = len(outcomes.folds[0])
    plain = variance / n_rows
    if plain <= 0:
        return 1.0
    if anchor_variance > 0:
        correlation = _correlation(outcomes, kind, contrast, anchor)
        shared = correlation**2 * variance / anchor_variance
        error -= shared * (anchor_error - anchor_variance / n_rows)
    with_weights = plain + _weights_variance(outcomes, kind, choice, against) / 3
    return float(np.sqrt(np.clip(max(error, with_weights) / plain, 1, N_FOLDS)))


def unaveraged(
    outcomes: Outcomes, kind: int, choice: Array, against: int, differences: Array
) -> float:
    """How many times the differences of a single repeat spread as much as their means, at least 1.

    differences (rows,) are means over repeats. Where the best member changes between repeats these
    vary less than those of a repeat, to which `widening` relates.
    """
    units = metrics.by_group(differences, outcomes.groups)
    spread = float(units.var()) * len(differences) / len(units)
    if outcomes.sizes.min() < 2 or spread <= 0:
        return 1.0
    _, variance = _nested_error(outcomes, kind, _contrast(outcomes, choice, against))
    return float(np.sqrt(max(1.0, variance / spread)))


def _contrast(outcomes: Outcomes, choice: Array, against: int | None) -> Array:
    """The weight of each rule in an outcome, (nested repeats, folds, rules)."""
    contrast = np.eye(outcomes.sums.shape[-1])[choice[:N_NESTED]]
    if against is not None:
        contrast[..., against] -= 1
    return np.asarray(contrast)


def _nested_error(outcomes: Outcomes, kind: int, contrast: Array) -> tuple[float, float]:
    """The squared error of the score by nested cross-validation, and the variance of an outcome."""
    sizes = outcomes.sizes[:N_NESTED]
    each = np.arange(N_FOLDS)
    # [repeat, j, k]: fold j under the contrast of fold k
    sums = np.einsum("rjks,rks->rjk", outcomes.sums[kind], contrast)
    outer = sums[:, each, each] / sizes
    inner = (sums.sum(1) - sums[:, each, each]) / (sizes.sum(1, keepdims=True) - sizes)
    gram = outcomes.gram[kind][:, each, each]
    squares = np.einsum("rks,rkst,rkt->rk", contrast, gram, contrast) / sizes
    variance = np.maximum(squares - outer**2, 0)
    error = ((inner - outer) ** 2 - variance / (sizes - 1)).mean() * (N_FOLDS - 1) / N_FOLDS
    return float(error), float(variance.mean())


def _correlation(outcomes: Outcomes, kind: int, contrast_a: Array, contrast_b: Array) -> float:
    """The correlation of two contrasts' outcomes on the same row."""
    each = np.arange(N_FOLDS)
    gram = outcomes.gram[kind][:, each, each].sum((0, 1))
    sums = outcomes.sums[kind][:, each, each].sum((0, 1))
    n = outcomes.sizes[:N_NESTED].sum()
    covariance = gram / n - np.outer(sums, sums) / n**2
    a, b = contrast_a.mean((0, 1)), contrast_b.mean((0, 1))
    spread = float(a @ covariance @ a) * float(b @ covariance @ b)
    return float(a @ covariance @ b) / spread**0.5 if spread > 0 else 0.0


def _weights_variance(outcomes: Outcomes, kind: int, choice: Array, against: int | None) -> float:
    """The variance between the true scores of weights from two repeats.

    Unbiased, from the rows that both held out; 0 where these are too few to show it.
    """
    by_repeat = of_choice(outcomes.rows[kind], choice, outcomes.folds)
    if against is not None:
        by_repeat = by_repeat - outcomes.rows[kind, : len(choice), against]
    groups = outcomes.groups
    first_rows = None if groups is None else np.unique(groups, return_index=True)[1]
    variances = []
    for a in range(len(choice)):
        b = (a + 1) % len(choice)
        cell = outcomes.folds[a] * N_FOLDS + outcomes.folds[b]
        change = by_repeat[a] - by_repeat[b]
        n_rows = np.bincount(cell)
        mean = np.bincount(cell, change) / np.maximum(1, n_rows)
        of_units, cell_of_unit = change - mean[cell], cell
        if groups is not None:  # whole groups are in a cell
            of_units, cell_of_unit = np.bincount(groups, of_units), cell[first_rows]
        n = np.bincount(cell_of_unit)
        kept = n > 1
        squares = np.bincount(cell_of_unit, of_units**2)[kept] / n_rows[kept] ** 2
        variances.append(mean[kept] ** 2 - squares * n[kept] / (n[kept] - 1))
    of_cells = np.concatenate(variances)
    return float(of_cells.mean()) if len(of_cells) else 0.0
