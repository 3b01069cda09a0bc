"""What blends answer under decisions that were learned with their weights.

For metrics that read decisions: each blend of rows that fitted its weights also teaches its
decision, which then answers the rows that neither has seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.blending.contributions import FoldWeights, blend_outcomes, mixed
from ensemble.blending.decisions import Learn, Plain
from ensemble.blending.folds import N_FOLDS, N_NESTED
from ensemble.blending.pool import Pool
from ensemble.metrics import AnswerMetric
from ensemble.metrics.decision import PLAIN, Decision
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class Answers:
    """Cross-fitted answers, and the decisions that gave them.

    labels (repeats, rules, rows) are positions of classes, None where answers are labels or values;
    decisions[repeat][fold][rule] were learned without that fold.
    """

    labels: Array | None
    decisions: Sequence[Sequence[Sequence[Decision]]]


def answer_all(pool: Pool, learn: Learn, weights: Array) -> tuple[tuple[Decision, ...], Array]:
    """The decisions of blends, learned from all rows, and their answers (blends, rows, …).

    weights is (blends, members); the last one, the anchor, answers by the plain decision.
    """
    decisions: list[Decision] = []
    labels = []
    for blend, probs in enumerate(mixed(pool, weights)):
        is_anchor = blend == len(weights) - 1
        plain = PLAIN[pool.target]
        decisions.append(plain if is_anchor else learn(probs.T, pool.targets, pool.groups))
        labels.append(decisions[-1].apply(probs.T))
    return tuple(decisions), np.array(labels)


def answer_outcomes(
    pool: Pool,
    metric: AnswerMetric,
    learn: Learn,
    folds: Array,
    weights: Sequence[FoldWeights],
) -> tuple[Array, Array, Array, Answers]:
    """Hits and contributions of rules as `Outcomes` holds them: rows, sums, gram; the answers.

    folds is (repeats, rows), weights are those of each repeat. The first axis is (hits,
    contributions); without hits where rows do not have one class each.
    """
    is_class, n_rules = pool.target == "class", len(weights[0][0][0])
    n_kinds = 2 if is_class else 1
    rows = np.zeros((n_kinds, len(folds), n_rules, folds.shape[1]))
    sums = np.zeros((n_kinds, N_NESTED, N_FOLDS, N_FOLDS, n_rules))
    gram = np.zeros((*sums.shape, n_rules))
    labels, decisions = [], []
    for repeat, fold_of in enumerate(folds):
        answers, of_folds = _answers_of_repeat(pool, learn, fold_of, weights[repeat])
        decisions.append(of_folds)
        kinds = [_contributions(metric, fold_of, answers, pool.targets)]
        if is_class:
            labels.append(answers[0].astype(np.int32))
            kinds.insert(0, np.asarray(answers == pool.targets, dtype=np.float64))
        for kind, outcomes in enumerate(kinds):
            rows[kind, repeat] = outcomes[0]
            if len(outcomes) > 1:
                sums[kind, repeat], gram[kind, repeat] = blend_outcomes(
                    fold_of, outcomes, pool.groups
                )
    return rows, sums, gram, Answers(np.array(labels) if is_class else None, decisions)


def _answers_of_repeat(
    pool: Pool, learn: Learn, fold_of: Array, weights: FoldWeights
) -> tuple[Array, list[list[Decision]]]:
    """The answers to rows without their fold, (1, rules, rows, …), and the decisions [fold][rule].

    Nested, (1 + folds, rules, rows, …): then those without one more fold, each set without another;
    the rows of that fold itself keep their answers.
    """
    is_nested, n_rules = len(weights[0]) > 1, len(weights[0][0])
    pairs = [(k, j) for k in range(N_FOLDS) for j in (range(k, N_FOLDS) if is_nested else [k])]
    empty = PLAIN[pool.target].apply(np.zeros((len(fold_of), len(pool.classes))))
    sets = 1 + N_FOLDS if is_nested else 1
    answers = np.zeros((sets, n_rules, *empty.shape), empty.dtype)
    decisions: list[list[Decision]] = [[] for _ in range(N_FOLDS)]
    for k, j in pairs:
        inside = np.flatnonzero(fold_of == k)
        others = np.flatnonzero(fold_of == j) if k != j else inside[:0]
        blends = weights[k][j if is_nested else 0]
        answered = _answers_of_folds(pool, learn, blends, (inside, others))
        for rule, (decision, held_out, of_others) in enumerate(answered):
            if k == j:
                decisions[k].append(decision)
                answers[0, rule, inside] = held_out
                if is_nested:
                    answers[1 + k, rule, inside] = held_out
            else:
                answers[1 + j, rule, inside] = held_out
                answers[1 + k, rule, others] = of_others
    return answers, decisions


def _answers_of_folds(
    pool: Pool, learn: Learn, weights: Array, held_out: tuple[Array, Array]
) -> Iterator[tuple[Decision, Array, Array]]:
    """Each rule's decision, learned without the rows of two folds, and its answers to either's.

    weights is (rules, members); the last rule, the anchor, answers by the plain decision.
    Probabilities are mixed of no more rows than are read.
    """
    rows = np.concatenate(held_out)
    kept = rows[:0]
    is_plain = isinstance(learn, Plain)
    if not is_plain:
        is_kept = np.ones(len(pool.targets), dtype=bool)
        is_kept[rows] = False
        kept = np.flatnonzero(is_kept)
    targets, groups = pool.targets[kept], None if pool.groups is None else pool.groups[kept]
    for rule, probs in enumerate(mixed(pool, weights, rows if is_plain else None)):
        is_anchor = rule == len(weights) - 1
        decision = (
            PLAIN[pool.target]
            if is_anchor or is_plain
            else learn(probs.take(kept, axis=1).T, targets, groups)
        )
        answers = decision.apply((probs if is_plain else probs.take(rows, axis=1)).T)
        yield decision, answers[: len(held_out[0])], answers[len(held_out[0]) :]


def answers_of_folds(decisions: Sequence[Decision], fold_of: Array, probs: Array) -> Array:
    """What the decision of each fold answers, (rows, …); probs is (classes, rows)."""
    inside = [np.flatnonzero(fold_of == k) for k in range(N_FOLDS)]
    parts = [
        decision.apply(probs.take(rows, axis=1).T)
        for decision, rows in zip(decisions, inside, strict=True)
    ]
    answers = np.concatenate(parts)
    answers[np.concatenate(inside)] = answers.copy()
    return answers


def _contributions(metric: AnswerMetric, fold_of: Array, answers: Array, targets: Array) -> Array:
    """The contributions of answers (sets, rules, rows, …), (sets, rules, rows).

    Those without one more fold are pooled over the rows of the other folds alone, so that they know
    nothing of it; in that fold the contributions of all rows stand in.
    """
    scored = np.empty((*answers.shape[:2], len(fold_of)))
    scored[:] = metric.contributions_of(answers[0], targets)
    for without, labels in enumerate(answers[1:]):
        kept = np.flatnonzero(fold_of != without)
        if len(kept):
            scored[1 + without][:, kept] = metric.contributions_of(labels[:, kept], targets[kept])
    return scored
