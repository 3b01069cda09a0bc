"""Scores of every rule on the rows that fitted its weights and its decision."""

import numpy as np

from ensemble.blending.answers import answer_all
from ensemble.blending.contributions import mixed
from ensemble.blending.cross_fit import HITS, hits_and_losses
from ensemble.blending.pool import ClassPool, Pool
from ensemble.blending.scoring import Scoring
from ensemble.metrics import AnswerMetric
from ensemble.metrics.decision import PLAIN, Decision
from ensemble.predictions import Array


def in_sample(
    pool: Pool, weights: Array, scoring: Scoring
) -> tuple[Array, Array | None, tuple[Decision, ...]]:
    """Scores on the rows that fitted the weights, (kinds, rules); what pseudo-rows change in the
    metric of each rule's blend, (rules, 2); the rules' decisions.
    """
    means = np.empty((0, len(weights)))
    if isinstance(pool, ClassPool):
        blocks = [
            hits_and_losses(pool, margins, np.arange(block.start, block.stop), weights)
            for block, margins in pool.blocks()
        ]
        means = np.asarray(np.concatenate(blocks, axis=2).mean(2))
    metric, targets = scoring.contributed, pool.targets
    plain = (PLAIN[pool.target],) * len(weights)
    if metric is None:
        return means, None, plain
    if isinstance(metric, AnswerMetric):
        decisions, answers = answer_all(pool, scoring.learn, weights)
        if isinstance(pool, ClassPool):
            means[HITS] = (answers == targets).mean(1)
        means = np.vstack([means, metric.values_of(answers, targets)])
        return means, metric.smoothing_of(answers, targets), decisions
    of_blends = [
        (metric.values(probs.T, targets), metric.smoothing(probs.T, targets))
        for probs in mixed(pool, weights)
    ]
    values, smoothing = zip(*of_blends, strict=True)
    return np.vstack([means, values]), np.array(smoothing), plain
