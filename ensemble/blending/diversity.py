"""Who differs from whom, and what the blend would be without a member or with one more."""

from dataclasses import dataclass

import numpy as np

from ensemble.blending.estimate import N_NESTED, N_PARTS, Outcomes, outcomes
from ensemble.blending.pool import Pool
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class Diversity:
    """disagreement and double_fault are (members, members): shares of rows that two name differently, get both wrong.

    gain is (members,): by how much the cross-fitted metric is better with the member than without it, its weight
    shared out among the others; for a run not chosen, what it would have added at the weight of an average member.
    NaN for the only member.
    """

    disagreement: Array
    double_fault: Array
    gain: Array


def diversity(pool: Pool, found: Outcomes, rule: int, metric: int, members: Array) -> Diversity:
    """Of all runs in the pool; members (members,) of bool says who is in the blend."""
    wrong = (~pool.hits).astype(np.float32)
    disagreement = np.array([(pool.labels != own).mean(1) for own in pool.labels])
    gain = _gain(pool, found, rule, metric, members)
    return Diversity(disagreement, (wrong @ wrong.T) / wrong.shape[1], gain)


def _gain(pool: Pool, found: Outcomes, rule: int, metric: int, members: Array) -> Array:
    n_members = len(members)
    sums = np.zeros(n_members + 1)
    for block, margins in pool.blocks():
        for repeat in range(N_NESTED):
            for k in range(N_PARTS):
                inside = np.flatnonzero(found.parts[repeat][block] == k)
                if len(inside):
                    weights = _changed(found.fits[repeat, k, rule], members)
                    sums += outcomes(pool, margins.take(inside), inside + block.start, weights)[
                        metric
                    ].sum(1)
    change = (sums[:-1] - sums[-1]) / (N_NESTED * len(pool.targets)) * (1 if metric == 0 else -1)
    gain = np.where(members, -change, change)
    return np.where(members & (members.sum() == 1), np.nan, gain)


def _changed(weights: Array, members: Array) -> Array:
    """Weights with each member taken out, or each other run taken in; last as they are. (members + 1, members)."""
    n_in = np.count_nonzero(weights)
    rows = []
    for i, is_in in enumerate(members):
        new = weights.copy()
        if is_in:
            new[i] = 0
            if not new.sum():
                new = (members & (np.arange(len(members)) != i)).astype(float)
        else:
            new = new * n_in / (n_in + 1)
            new[i] += 1 / (n_in + 1)
        rows.append(new / new.sum() if new.sum() else weights)
    return np.array([*rows, weights])
