"""Every weighting side by side: its cross-fitted score, its in-sample score, its optimism."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending import estimate, intervals
from ensemble.blending.cross_fit import METRICS, Outcomes, cross_fit, hits_and_losses
from ensemble.blending.folds import N_FOLDS, N_REPEATS
from ensemble.blending.options import Options
from ensemble.blending.pool import Pool
from ensemble.blending.rules import BEST_MEMBER, Rules
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array


@dataclass(frozen=True)
class Rating:
    """A weighting: its cross-fitted and its in-sample scores, and its lead over the best member.

    difference is in the metric of the options, positive if the weighting is better; the best member
    is cross-fitted too: chosen without the rows that score it.
    """

    name: str
    n_rows: int
    metric: str
    accuracy: Interval
    log_loss: Interval
    fitted_accuracy: float
    fitted_log_loss: float
    difference: Interval

    @property
    def optimism(self) -> float:
        """How much better the in-sample score is in the metric: higher accuracy, lower log loss."""
        if self.metric == "accuracy":
            return self.fitted_accuracy - self.accuracy.value
        return self.log_loss.value - self.fitted_log_loss

    @property
    def verdict(self) -> str:
        """What the paired interval against the best member says."""
        return verdict(self.difference, self.n_rows)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "optimism": self.optimism, "verdict": self.verdict}


def verdict(difference: Interval, n_rows: int) -> str:
    """Better, worse, or not distinguishable."""
    if difference.low > TIE:
        return f"better at n={n_rows}"
    if difference.high < -TIE:
        return f"worse at n={n_rows}"
    return f"not distinguishable at n={n_rows}"


@dataclass(frozen=True, eq=False)
class Table:
    """A rating of the best member, of every rule and of `best`, and what they were computed from.

    weights (rules and the anchor, members) are fitted on all rows; outcomes are cross-fitted; rule
    is the position of the rule that the options ask for, in names and in weights.
    """

    ratings: tuple[Rating, ...]
    names: tuple[str, ...]
    missing: str
    rule: int
    weights: Array
    outcomes: Outcomes

    def rating_of(self, name: str) -> Rating:
        """The rating of this name."""
        return next(rating for rating in self.ratings if rating.name == name)

    @property
    def rule_name(self) -> str:
        """The name of the rule that the options ask for; for `best`, of the chosen rule."""
        return self.names[self.rule]

    @property
    def blend_weights(self) -> Array:
        """The weights of the blend, fitted on all rows, (members,)."""
        return np.asarray(self.weights[self.rule])

    @property
    def fold_weights(self) -> Array:
        """The blend's weights fitted without each fold of the first repeat, (folds, members)."""
        return np.asarray(self.outcomes.weights[0, :, self.rule])


def rate(pool: Pool, options: Options, archs: Sequence[str], seed: int) -> Table:
    """Rate every rule on the rows of a pool by cross-fitting. Raises SelectionError."""
    rules = Rules(pool, options, archs)
    weights = rules.fit(rules.fit_rows)
    outcomes = cross_fit(pool, rules.fit_rows, rules.fit, seed)
    metric = METRICS.index(options.metric)
    n_rules = len(rules.names)
    rows = outcomes.rows[metric, :, 1:-1].mean(0)
    simplest = estimate.simplest_near_best(metric, rows.sum(1), rows @ rows.T, rows.shape[1])
    positions = {name: i for i, name in enumerate(rules.names)} | {"best": 1 + simplest}
    choices = {name: np.full((N_REPEATS, N_FOLDS), i) for i, name in enumerate(rules.names)}
    choices["best"] = estimate.chosen_without_fold(outcomes, metric, range(1, n_rules))
    in_sample = _in_sample(pool, weights)
    single = estimate.mean_outcomes(outcomes, choices[BEST_MEMBER])
    ratings = [
        _rating(name, choice, pool, outcomes, single, in_sample[:, positions[name]], metric, seed)
        for name, choice in choices.items()
    ]
    return Table(
        ratings=tuple(ratings),
        names=rules.names,
        missing=rules.missing,
        rule=positions[options.weights],
        weights=weights,
        outcomes=outcomes,
    )


def _rating(
    name: str,
    choice: Array,
    pool: Pool,
    outcomes: Outcomes,
    single: Array,
    in_sample: Array,
    metric: int,
    seed: int,
) -> Rating:
    """The rating of a choice (repeats, folds) of rules; single (2, rows) is the best member's."""
    hits, losses = scored = estimate.mean_outcomes(outcomes, choice)
    widths = [estimate.widening(outcomes, kind, choice) for kind in range(2)]
    lead = _lead(scored, single, pool.groups, metric, seed)
    return Rating(
        name=name,
        n_rows=len(pool.targets),
        metric=METRICS[metric],
        accuracy=intervals.accuracy_interval(hits, widths[0], seed, pool.groups),
        log_loss=intervals.log_loss_interval(losses, widths[1], seed, pool.groups),
        fitted_accuracy=float(in_sample[0]),
        fitted_log_loss=float(in_sample[1]),
        difference=lead.widened(estimate.widening(outcomes, metric, choice, against=0)),
    )


def _in_sample(pool: Pool, weights: Array) -> Array:
    """Mean hits and losses on the rows that fitted the weights, (2, rules)."""
    blocks = [
        hits_and_losses(pool, margins, np.arange(block.start, block.stop), weights)
        for block, margins in pool.blocks()
    ]
    return np.asarray(np.concatenate(blocks, axis=2).mean(2))


def _lead(scored: Array, best: Array, groups: Array | None, metric: int, seed: int) -> Interval:
    """How much better scored is than best, with its paired interval.

    Both are (2, rows) of hits and losses.
    """
    if metric == 0 and groups is None:
        return metrics.paired_difference(scored[0], best[0])
    gain = scored[0] - best[0] if metric == 0 else best[1] - scored[1]
    return metrics.bootstrap_mean(metrics.by_group(gain, groups), seed)
