"""The honest score of blending rules: everything they learn, they learn on other rows than they are scored on.

Cross-fitting: in turn each of five parts is scored by weights that were learnt on the other four, ten times over with
other parts. In the first repeats it is nested: each part is also scored by weights learnt without it and one other.
From these comes the choice of a weighting that has not seen the rows it is scored on, and the width of the intervals:
the plain one knows nothing of the weights' own variance (Bates, Hastie and Tibshirani, "Cross-validation: what does
it estimate and how well does it do it?", 2021).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.blending.margins import Margins
from ensemble.blending.pool import Pool, Sample
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array
from ensemble.runs import Run

N_PARTS, N_REPEATS, N_NESTED = 5, 10, 3
METRICS = ("accuracy", "log_loss")

# rows to learn from -> weights (rules, members), 0 for who is not chosen; the last rule is the anchor, whose weights
# are fixed
Learn = Callable[[Sample], Array]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What rules did on rows that they had not learnt from, hits in [0] and losses in nats in [1].

    rows is (2, repeats, rules, rows). sums[metric, repeat, part, without, rule] adds up a part's rows under weights
    learnt without it and one other part (without = part: without it alone), gram likewise the products of two rules'
    outcomes, both over the nested repeats; sizes is (repeats, parts). fits[repeat, part, rule, member] are the
    weights, parts[repeat] the part of each row.
    """

    rows: Array
    sums: Array
    gram: Array
    sizes: Array
    fits: Array
    parts: Array


def cross_fit(pool: Pool, sample: Sample, learn: Learn, seed: int) -> Outcomes:
    """Score rules by repeated cross-fitting; sample is the pool's."""
    parts = np.stack(list(_parts(pool.targets, pool.groups, seed)))
    fits = [_fits(sample, part, learn, is_nested=r < N_NESTED) for r, part in enumerate(parts)]
    n_rules = len(fits[0][0][0])
    rows = np.zeros((2, N_REPEATS, n_rules, len(pool.targets)))
    sums = np.zeros((2, N_NESTED, N_PARTS, N_PARTS, n_rules))
    gram = np.zeros((*sums.shape, n_rules))
    for block, margins in pool.blocks():
        for repeat, part in enumerate(parts):
            for k in range(N_PARTS):
                inside = np.flatnonzero(part[block] == k)
                if not len(inside):
                    continue
                within = inside + block.start
                found = outcomes(
                    pool, margins.take(inside), within, np.concatenate(fits[repeat][k])
                )
                found = found.reshape(2, -1, n_rules, len(within))
                rows[:, repeat][:, :, within] = found[:, k if repeat < N_NESTED else 0]
                if repeat < N_NESTED:
                    sums[:, repeat, k] += found.sum(3)
                    gram[:, repeat, k] += found @ found.transpose(0, 1, 3, 2)
    alone = [
        [fit[k][k if r < N_NESTED else 0] for k in range(N_PARTS)] for r, fit in enumerate(fits)
    ]
    sizes = np.stack([np.bincount(part, minlength=N_PARTS) for part in parts])
    return Outcomes(rows, sums, gram, sizes, np.array(alone), parts)


def outcomes(pool: Pool, margins: Margins, rows: Array, weights: Array) -> Array:
    """Hits and losses of blends, (2, blends, rows). margins are those of the rows; weights is (blends, members)."""
    lost = (
        margins.losses(weights) if pool.is_log else -np.log(weights @ pool.true.take(rows, axis=1))
    )
    return np.stack([margins.hits(weights), lost])


def _parts(targets: Array, groups: Array | None, seed: int) -> Iterator[Array]:
    """Stratified parts of the rows, N_REPEATS times: the part of each row, (rows,) from 0 to N_PARTS - 1.

    Groups never part; they are dealt out by the class of their first row, the largest first.
    """
    rng = np.random.default_rng(seed)
    units = np.arange(len(targets)) if groups is None else groups
    _, first, sizes = np.unique(units, return_index=True, return_counts=True)
    for _ in range(N_REPEATS):
        order = rng.permutation(len(first))
        by_class = order[np.lexsort((-sizes[order], targets[first[order]]))]
        part = np.empty(len(first), np.int64)
        part[by_class] = np.arange(len(first)) % N_PARTS
        yield part[units]


def _fits(sample: Sample, part: Array, learn: Learn, is_nested: bool) -> list[list[Array]]:
    """[part][without]: weights (rules, members) learnt without both; not nested, [part][0] without the part alone."""
    found: dict[tuple[int, int], Array] = {}
    for k in range(N_PARTS):
        for j in range(k, N_PARTS) if is_nested else [k]:
            found[k, j] = found[j, k] = learn(
                sample.take(np.flatnonzero((part != k) & (part != j)))
            )
    return [[found[k, j] for j in (range(N_PARTS) if is_nested else [k])] for k in range(N_PARTS)]


def simplest_near_best(metric: int, totals: Array, gram: Array, n_rows: float) -> int:
    """The first rule within one standard error of the best; the error is that of their paired difference.

    totals is (rules,) and gram (rules, rules): sums of outcomes over n_rows and of their products; rules stand
    simplest first.
    """
    means = totals / n_rows * (1 if metric == 0 else -1)
    best = int(np.argmax(means))
    spread = np.diag(gram) - 2 * gram[best] + gram[best, best]
    error = np.sqrt(np.maximum(spread / n_rows - (means - means[best]) ** 2, 0) / n_rows)
    return int(np.argmax(means >= means[best] - error - TIE))


def chosen_inside(found: Outcomes, metric: int, rules: Sequence[int]) -> Array:
    """The rule that the other parts would choose, (nested repeats, parts); rules stand simplest first."""
    choice = np.zeros((N_NESTED, N_PARTS), np.int64)
    sub = np.ix_(rules, rules)
    for repeat, k in np.ndindex(choice.shape):
        others = [j for j in range(N_PARTS) if j != k]
        totals = found.sums[metric, repeat, others, k].sum(0)[list(rules)]
        products = found.gram[metric, repeat, others, k].sum(0)[sub]
        n_rows = max(1, int(found.sizes[repeat, others].sum()))
        choice[repeat, k] = rules[simplest_near_best(metric, totals, products, n_rows)]
    return choice


def rows_of(found: Outcomes, choice: Array) -> Array:
    """Each row's outcome, a mean over repeats, (2, rows); choice (repeats, parts) is the rule by repeat and part."""
    return np.asarray(_each_repeat(found, choice).mean(1))


def _each_repeat(found: Outcomes, choice: Array) -> Array:
    """(2, repeats, rows)."""
    if (choice == choice[0, 0]).all():
        return np.asarray(found.rows[:, : len(choice), choice[0, 0]])
    repeats = np.arange(len(choice))[:, None]
    rule = np.take_along_axis(choice, found.parts[: len(choice)], axis=1)
    return np.asarray(found.rows[:, repeats, rule, np.arange(rule.shape[1])])


def widening(found: Outcomes, metric: int, choice: Array, against: int | None = None) -> float:
    """How many times wider than the plain interval one must be that allows for the weights' own variance, from 1 to the
    root of N_PARTS.

    The plain interval is about rows alone. Two estimates of the rest, of which the larger counts: nested cross-
    validation's error, made steady by the anchor rule, whose weights are fixed and whose error is known; and a third
    (what the simulation in bench/ asks for) of the variance between scores by weights from different repeats on rows
    that neither saw. choice (repeats, parts) is the rule by repeat and part; against a rule whose outcome is taken
    from it.
    """
    if found.sizes.min() < 2:
        return 1.0
    nested = choice[:N_NESTED]
    contrast = np.eye(found.sums.shape[-1])[nested]
    if against is not None:
        contrast[..., against] -= 1
    anchor = np.zeros_like(contrast)
    anchor[..., -1] = 1
    excess, variance = _nested_error(found, metric, contrast)
    known, anchor_variance = _nested_error(found, metric, anchor)
    n_rows = len(found.parts[0])
    plain = variance / n_rows
    if plain <= 0:
        return 1.0
    shared = (
        _correlation(found, metric, contrast, anchor) ** 2 * variance / anchor_variance
        if anchor_variance > 0
        else 0
    )
    error = excess - shared * (known - anchor_variance / n_rows)
    moving = plain + _moving(found, metric, choice, against) / 3
    return float(np.sqrt(np.clip(max(error, moving) / plain, 1, N_PARTS)))


def _nested_error(found: Outcomes, metric: int, contrast: Array) -> tuple[float, float]:
    """The squared error of the score by nested cross-validation, and the variance of one row's outcome."""
    sizes, own = found.sizes[:N_NESTED], np.arange(N_PARTS)
    sums = np.einsum(
        "rjks,rks->rjk", found.sums[metric], contrast
    )  # of part j under the contrast of part k
    outer = sums[:, own, own] / sizes
    inner = (sums.sum(1) - sums[:, own, own]) / (sizes.sum(1, keepdims=True) - sizes)
    squares = (
        np.einsum("rks,rkst,rkt->rk", contrast, found.gram[metric][:, own, own], contrast) / sizes
    )
    variance = np.maximum(squares - outer**2, 0)
    error = ((inner - outer) ** 2 - variance / (sizes - 1)).mean() * (N_PARTS - 1) / N_PARTS
    return float(error), float(variance.mean())


def _correlation(found: Outcomes, metric: int, one: Array, other: Array) -> float:
    """Between two contrasts' outcomes on the same row."""
    own = np.arange(N_PARTS)
    gram = found.gram[metric][:, own, own].sum((0, 1))
    sums = found.sums[metric][:, own, own].sum((0, 1))
    n = found.sizes[:N_NESTED].sum()
    covariance = gram / n - np.outer(sums, sums) / n**2
    a, b = one.mean((0, 1)), other.mean((0, 1))
    spread = float(a @ covariance @ a) * float(b @ covariance @ b)
    return float(a @ covariance @ b) / spread**0.5 if spread > 0 else 0.0


def _moving(found: Outcomes, metric: int, choice: Array, against: int | None) -> float:
    """The variance between true scores of weights from two repeats, unbiased, on the rows that both held out."""
    outcome = _each_repeat(found, choice)[metric]
    if against is not None:
        outcome = outcome - found.rows[metric, : len(choice), against]
    cells = []
    for one, other in [(r, (r + 1) % len(choice)) for r in range(len(choice))]:
        cell = found.parts[one] * N_PARTS + found.parts[other]
        change = outcome[one] - outcome[other]
        n = np.bincount(cell)
        mean, square = (
            np.bincount(cell, values)[n > 1] / n[n > 1] for values in (change, change**2)
        )
        cells.append(mean**2 - (square - mean**2) / (n[n > 1] - 1))
    return float(np.concatenate(cells).mean())


def accuracy_interval(
    hits: Array, width: float, seed: int, groups: Array | None = None
) -> Interval:
    """Wilson's interval of the mean hit, for as many rows as it is worth; of groups, their bootstrap made wider."""
    if groups is None:
        return metrics.wilson(float(hits.mean()), len(hits) / width**2)
    plain = metrics.bootstrap_mean(metrics.by_group(hits, groups), seed).widened(width)
    return Interval(plain.value, max(0.0, plain.low), min(1.0, plain.high))


def run_accuracy(run: Run) -> Interval:
    """A run's validation accuracy with its interval; only where rows belong to groups is its valid.npz read."""
    if not run.data.is_grouped:
        return metrics.wilson(
            run.scores.accuracy, run.data.n_valid - len(run.data.unreadable.get("valid", ()))
        )
    valid = run.valid().canonical()
    assert valid.targets is not None  # as all predictions about validation rows
    assert valid.groups is not None
    groups = np.unique(valid.groups, return_inverse=True)[1]
    return accuracy_interval(
        metrics.hits(valid.probs, valid.targets), 1.0, seed_from(run.data.valid), groups
    )


def log_loss_interval(
    losses: Array, width: float, seed: int, groups: Array | None = None
) -> Interval:
    """The bootstrap interval over rows or groups, made wider."""
    plain = metrics.bootstrap_mean(metrics.by_group(losses, groups), seed).widened(width)
    return Interval(plain.value, max(0.0, plain.low), plain.high)


def seed_from(fingerprint: str) -> int:
    """A seed that belongs to a data set: the same rows are cut into the same parts every time."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")
