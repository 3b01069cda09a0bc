"""How often members differ, and how the blend scores without a member or with one more."""

from dataclasses import dataclass

import numpy as np

from ensemble.blending.answers import answers_of_folds
from ensemble.blending.contributions import out_of_fold
from ensemble.blending.cross_fit import Outcomes, hits_and_losses
from ensemble.blending.folds import N_FOLDS, N_NESTED
from ensemble.blending.pool import ClassPool, Pool
from ensemble.blending.scoring import Scoring
from ensemble.metrics import AnswerMetric, Metric, given_labels
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class Diversity:
    """How runs differ, and what each is worth to the blend.

    disagreement and double_fault are (members, members): the share of rows (of several labels: of
    all labels of all rows) where two predict differently, and where both are wrong; of numbers the
    root of the mean squared difference, and None. gain is (members,): by how much the cross-fitted
    metric is better with a member than without it, its weight redistributed to the other members;
    for a run not in the blend, what it adds at the weight of an average member. NaN for the only
    member.
    """

    disagreement: Array
    double_fault: Array | None
    gain: Array


def diversity(
    pool: Pool, outcomes: Outcomes, rule: int, scoring: Scoring, is_member: Array
) -> Diversity:
    """The diversity of all runs in the pool; is_member (members,) marks those in the blend."""
    differing: tuple[Array, Array | None]
    if isinstance(pool, ClassPool):
        wrong = (~pool.hits).astype(np.float32)
        differing = (
            np.array([(pool.labels != labels).mean(1) for labels in pool.labels]),
            (wrong @ wrong.T) / wrong.shape[1],
        )
    else:
        differing = _of_labels(pool) if pool.target == "labels" else (_of_values(pool), None)
    return Diversity(*differing, gain=_gain(pool, outcomes, rule, scoring, is_member))


def _of_labels(pool: Pool) -> tuple[Array, Array]:
    """The shares of labels that two members give differently, and that both get wrong."""
    given = [given_labels(member.probs) for member in pool.read()]
    bits = np.array([np.packbits(labels) for labels in given])
    true, n_cells = np.packbits(pool.targets == 1), pool.targets.size
    pairs = [[(_n_ones(a ^ b), _n_ones((a ^ true) & (b ^ true))) for b in bits] for a in bits]
    differing, both_wrong = np.moveaxis(np.array(pairs) / n_cells, -1, 0)
    return differing, both_wrong


def _n_ones(packed: Array) -> int:
    return int(np.unpackbits(packed).sum(dtype=np.int64))


def _of_values(pool: Pool) -> Array:
    """The root of the mean squared difference of two members' values."""
    values = np.array([member.probs[:, 0] for member in pool.read()])
    return np.array([np.sqrt(((values - own) ** 2).mean(1)) for own in values])


def _gain(pool: Pool, outcomes: Outcomes, rule: int, scoring: Scoring, is_member: Array) -> Array:
    if scoring.contributed is None:
        assert isinstance(pool, ClassPool)
        totals = _row_sums(pool, outcomes, rule, scoring.kind, is_member)
        n_outcomes = N_NESTED * len(pool.targets)
    else:
        totals = _value_sums(pool, outcomes, rule, scoring.contributed, is_member)
        n_outcomes = N_NESTED
    change = (totals[:-1] - totals[-1]) / n_outcomes * scoring.sign
    gain = np.where(is_member, -change, change)
    return np.where(is_member & (is_member.sum() == 1), np.nan, gain)


def _value_sums(
    pool: Pool, outcomes: Outcomes, rule: int, metric: Metric, is_member: Array
) -> Array:
    """The metric of the blends of `_changed_weights`, summed over nested repeats.

    Decisions stay those that were learned with the unchanged weights.
    """
    by_repeat = []
    for repeat in range(N_NESTED):
        by_fold = outcomes.weights[repeat, :, rule]
        weights = np.stack([_changed_weights(row, is_member) for row in by_fold], axis=1)
        fold_of = outcomes.folds[repeat]
        mixed = out_of_fold(pool, fold_of, weights)
        if isinstance(metric, AnswerMetric) and outcomes.answers:
            decisions = [of_rules[rule] for of_rules in outcomes.answers.decisions[repeat]]
            answered = (answers_of_folds(decisions, fold_of, probs) for probs in mixed)
            values = [metric.values_of(answers, pool.targets) for answers in answered]
            by_repeat.append(np.array(values))
        else:
            by_repeat.append(np.array([metric.values(probs.T, pool.targets) for probs in mixed]))
    return np.asarray(np.sum(by_repeat, axis=0))


def _row_sums(pool: ClassPool, outcomes: Outcomes, rule: int, kind: int, is_member: Array) -> Array:
    """Hits or losses of the blends of `_changed_weights`, summed over rows and nested repeats."""
    totals = np.zeros(len(is_member) + 1)
    for block, margins in pool.blocks():
        for repeat in range(N_NESTED):
            for k in range(N_FOLDS):
                inside = np.flatnonzero(outcomes.folds[repeat][block] == k)
                if len(inside):
                    weights = _changed_weights(outcomes.weights[repeat, k, rule], is_member)
                    positions = inside + block.start
                    scored = hits_and_losses(pool, margins.take(inside), positions, weights)
                    totals += scored[kind].sum(1)
    return totals


def _changed_weights(weights: Array, is_member: Array) -> Array:
    """Weights with each member removed, or each other run added; the last row is unchanged.

    (members + 1, members).
    """
    n_in = np.count_nonzero(weights)
    rows = []
    for i, is_in in enumerate(is_member):
        changed = weights.copy()
        if is_in:
            changed[i] = 0
            if not changed.sum():
                changed = (is_member & (np.arange(len(is_member)) != i)).astype(float)
        else:
            changed = changed * n_in / (n_in + 1)
            changed[i] += 1 / (n_in + 1)
        rows.append(changed / changed.sum() if changed.sum() else weights)
    return np.array([*rows, weights])
