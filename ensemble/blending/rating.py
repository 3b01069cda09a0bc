"""Every weighting side by side: its cross-fitted score, its in-sample score, its optimism."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending import estimate
from ensemble.blending.estimate import METRICS, N_FOLDS, N_REPEATS, Outcomes
from ensemble.blending.pool import MEMORY, FitRows, Pool
from ensemble.blending.selection import Selection
from ensemble.blending.weighting import CHOICES, weightings
from ensemble.errors import SelectionError
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array

BEST_MEMBER = "best member"


@dataclass(frozen=True)
class Options:
    """How members are selected, weighted and averaged."""

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    weights: str = "accuracy"
    metric: str = "accuracy"
    average: str = "arithmetic"
    calibrate: bool = False

    def __post_init__(self) -> None:
        allowed = {"weights": CHOICES, "metric": METRICS, "average": ("arithmetic", "geometric")}
        for key, values in allowed.items():
            option = getattr(self, key)
            if option not in values:
                raise SelectionError(f"--{key} {option} is not one of {', '.join(values)}")
        if not 0 <= self.min_acc <= 1:
            raise SelectionError(f"--min-acc {self.min_acc}: from 0 to 1 is allowed")
        for key in ("per_arch", "max_members"):
            limit = getattr(self, key)
            if limit < 0:
                flag = key.replace("_", "-")
                raise SelectionError(f"--{flag} {limit}: 0 (no limit) or more is allowed")

    @property
    def is_log(self) -> bool:
        """Whether logarithms are averaged."""
        return self.average == "geometric"

    @property
    def selection(self) -> Selection:
        """The options that select members."""
        return Selection(self.min_acc, self.per_arch, self.max_members, self.metric)


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


class Rules:
    """Every rule in the table, as one function from rows to weights.

    First the best member, then the weightings, simplest first, then an anchor: equal weights for
    every run, whatever the rows.
    """

    def __init__(self, pool: Pool, options: Options, archs: Sequence[str]) -> None:
        self.options, self.archs = options, archs
        self.fit_rows = pool.fit_rows()
        has_margins = self.fit_rows.margins is not None
        self.weightings = weightings(options.metric, options.is_log, has_margins)
        self.names = (BEST_MEMBER, *self.weightings)
        self.missing = self._missing(pool.margin_bytes)
        if options.weights not in (*self.names, "best"):
            raise SelectionError(
                f"--weights {options.weights} is not available here\n{self.missing}"
            )

    def _missing(self, margin_bytes: int) -> str:
        if "logloss" not in self.names:
            return "logloss weights are the optimum of an arithmetic mean: --average arithmetic"
        if "greedy" not in self.names:
            return (
                f"greedy by accuracy needs {margin_bytes / 2**30:.1f} GiB, "
                f"more than {MEMORY / 2**30:.1f}: "
                "--metric log_loss needs less, --min-acc leaves out runs"
            )
        return ""

    def fit(self, rows: FitRows) -> Array:
        """Weights by every rule fitted on these rows, (rules and the anchor, members)."""
        n_members, n_rows = rows.hits.shape
        weights = np.full((len(self.names) + 1, n_members), 1 / n_members)
        if not n_rows:
            return weights
        is_log_loss = self.options.metric == "log_loss"
        losses = rows.log_losses if is_log_loss else np.zeros(n_members)
        scores = -losses if is_log_loss else rows.accuracies
        selected = list(self.options.selection.chosen(rows.accuracies, losses, self.archs))
        if not selected:
            selected = [int(np.argmax(scores))]
        best = selected[int(np.argmax(scores[selected]))]
        selected_rows = rows.of(np.array(selected))
        weights[:-1] = 0
        weights[0, best] = 1
        for rule_weights, weighting in zip(weights[1:-1], self.weightings.values(), strict=True):
            rule_weights[selected] = weighting(selected_rows)
        return weights


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
    outcomes = estimate.cross_fit(pool, rules.fit_rows, rules.fit, seed)
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
        accuracy=estimate.accuracy_interval(hits, widths[0], seed, pool.groups),
        log_loss=estimate.log_loss_interval(losses, widths[1], seed, pool.groups),
        fitted_accuracy=float(in_sample[0]),
        fitted_log_loss=float(in_sample[1]),
        difference=lead.widened(estimate.widening(outcomes, metric, choice, against=0)),
    )


def _in_sample(pool: Pool, weights: Array) -> Array:
    """Mean hits and losses on the rows that fitted the weights, (2, rules)."""
    blocks = [
        estimate.hits_and_losses(pool, margins, np.arange(block.start, block.stop), weights)
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
