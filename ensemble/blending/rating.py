"""Every weighting side by side: its cross-fitted score, its in-sample score, its optimism."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending import estimate
from ensemble.blending.answers import answers_of_folds
from ensemble.blending.contributions import contributions, out_of_fold, products
from ensemble.blending.cross_fit import (
    CONTRIBUTIONS,
    HITS,
    LOSSES,
    Outcomes,
    cross_fit,
)
from ensemble.blending.folds import N_FOLDS, N_REPEATS
from ensemble.blending.in_sample import in_sample
from ensemble.blending.options import Options
from ensemble.blending.pool import ClassPool, Pool
from ensemble.blending.rules import Rules
from ensemble.blending.scoring import Scoring
from ensemble.metrics import DEFAULT_METRIC, TIE, AnswerMetric, Interval
from ensemble.metrics.decision import Decision
from ensemble.predictions import Array


@dataclass(frozen=True)
class Rating:
    """A weighting: its cross-fitted and its in-sample scores, and its lead over the best member.

    score and fitted_score are by the metric; too_few says why its rows are too few for intervals,
    whose ends are then NaN. accuracy and log_loss are None where rows do not have one class each.
    difference is in the metric, positive if the weighting is better; the
    best member is cross-fitted too: chosen without the rows that score it.
    """

    name: str
    n_rows: int
    metric: str
    accuracy: Interval | None
    log_loss: Interval | None
    fitted_accuracy: float | None
    fitted_log_loss: float | None
    difference: Interval
    score: Interval
    fitted_score: float
    is_higher_better: bool
    too_few: str = ""

    @property
    def optimism(self) -> float:
        """How much better the in-sample score is in the metric: higher accuracy, lower log loss."""
        if self.is_higher_better:
            return self.fitted_score - self.score.value
        return self.score.value - self.fitted_score

    @property
    def verdict(self) -> str:
        """What the paired interval against the best member says."""
        if self.too_few:
            return f"too few rows to tell at n={self.n_rows}"
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

    weights (rules and the anchor, members) are fitted on all rows, decisions are learned on them;
    outcomes are cross-fitted; rule is the position of the rule that the options ask for, in names,
    in weights and in decisions. favored is the simplest rule within one standard error of the best,
    where rule is not, else "".
    """

    ratings: tuple[Rating, ...]
    names: tuple[str, ...]
    missing: str
    favored: str
    rule: int
    weights: Array
    decisions: tuple[Decision, ...]
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
    def decision(self) -> Decision:
        """The decision of the blend, learned from all rows."""
        return self.decisions[self.rule]

    @property
    def fold_weights(self) -> Array:
        """The blend's weights fitted without each fold of the first repeat, (folds, members)."""
        return np.asarray(self.outcomes.weights[0, :, self.rule])


def rate(
    pool: Pool,
    options: Options,
    archs: Sequence[str],
    seed: int,
    scoring: Scoring | None = None,
) -> Table:
    """Rate every rule on the rows of a pool by cross-fitting, by default by the options' metric.

    Raises SelectionError, MetricError.
    """
    scoring = scoring or _scoring_of(options, pool)
    rules = Rules(pool, options, archs, scoring)
    weights = rules.fit(rules.fit_rows)
    outcomes = cross_fit(pool, rules.fit_rows, rules.fit, seed, scoring.contributed, scoring.learn)
    kind, n_rules = scoring.kind, len(rules.names)
    rows = outcomes.rows[kind, :, 1:-1].mean(0)
    is_near_best = estimate.near_best(
        outcomes.signs[kind], rows.sum(1), products(rows, pool.groups), rows.shape[1]
    )
    simplest = int(np.argmax(is_near_best))
    positions = {name: i for i, name in enumerate(rules.names)} | {"best": 1 + simplest}
    choices = {name: np.full((N_REPEATS, N_FOLDS), i) for i, name in enumerate(rules.names)}
    choices["best"] = estimate.chosen_without_fold(outcomes, kind, range(1, n_rules))
    fitted, smoothing, decisions = in_sample(pool, weights, scoring)
    rater = _Rater(pool, outcomes, scoring, seed, None if smoothing is None else smoothing[0])
    ratings = [
        rater.rating(
            name,
            choice,
            fitted[:, positions[name]],
            None if smoothing is None else smoothing[positions[name]],
        )
        for name, choice in choices.items()
    ]
    rule = positions[options.weights]
    is_near = is_near_best[rule - 1] or rater.too_few
    return Table(
        ratings=tuple(ratings),
        names=rules.names,
        missing=rules.missing,
        favored="" if is_near else rules.names[1 + simplest],
        rule=rule,
        weights=weights,
        decisions=decisions,
        outcomes=outcomes,
    )


def _scoring_of(options: Options, pool: Pool) -> Scoring:
    """The scoring by the options' metric, else by the target's default. Raises MetricError."""
    name = options.metric or DEFAULT_METRIC[pool.target]
    scoring = Scoring.named(name, pool.classes, target=pool.target)
    return replace(scoring, is_decision_learned=options.is_decision_learned)


class _Rater:
    """Rates choices of rules by their outcomes, against the best member's."""

    def __init__(
        self,
        pool: Pool,
        outcomes: Outcomes,
        scoring: Scoring,
        seed: int,
        smoothing: Array | None,
    ) -> None:
        """smoothing (2,) is what pseudo-rows change in the metric of the best member."""
        self.pool, self.outcomes, self.scoring, self.seed = pool, outcomes, scoring, seed
        self.best_smoothing = smoothing
        self.best_member = estimate.mean_outcomes(outcomes, np.zeros((N_REPEATS, N_FOLDS), int))
        metric = scoring.contributed
        self.too_few = metric.too_few_rows(pool.targets) if metric else ""

    def rating(self, name: str, choice: Array, in_sample: Array, smoothing: Array | None) -> Rating:
        """The rating of a choice (repeats, folds) of rules.

        in_sample is (kinds,), smoothing (2,) what pseudo-rows change in the metric.
        """
        outcomes, groups, seed = self.outcomes, self.pool.groups, self.seed
        scored = self._scored(choice)
        kinds = range(len(scored))
        widths = [estimate.widening(outcomes, kind, choice) for kind in kinds]
        kind, metric = self.scoring.kind, self.scoring.metric
        accuracy: Interval | None = None
        log_loss: Interval | None = None
        if isinstance(self.pool, ClassPool):
            accuracy = metrics.share_interval(scored[HITS], groups, widths[HITS])
            of_losses = metrics.metric_named("log_loss", self.pool.classes)
            log_loss = metrics.interval_of(of_losses, scored[LOSSES], seed, groups, widths[LOSSES])
        if accuracy and log_loss and kind != CONTRIBUTIONS:
            score = (accuracy, log_loss)[kind]
        else:
            interval = metrics.interval_of(
                metric, scored[kind], seed, groups, widths[kind], smoothing
            )
            score = self._known(interval)
        return Rating(
            name=name,
            n_rows=len(self.pool.targets),
            metric=self.scoring.name,
            accuracy=accuracy,
            log_loss=log_loss,
            fitted_accuracy=float(in_sample[HITS]) if accuracy else None,
            fitted_log_loss=float(in_sample[LOSSES]) if log_loss else None,
            difference=self._known(self._lead(scored, choice, smoothing)),
            score=score,
            fitted_score=float(in_sample[kind]),
            is_higher_better=metric.is_higher_better,
            too_few=self.too_few,
        )

    def _scored(self, choice: Array) -> Array:
        """The outcomes of each row, means over repeats, (kinds, rows).

        A metric is computed on the pooled predictions of all folds, also where the rules differ.
        """
        outcomes, metric = self.outcomes, self.scoring.contributed
        scored = estimate.mean_outcomes(outcomes, choice)
        if metric is None or (choice == choice[:, :1]).all():
            return scored
        answers = outcomes.answers
        if isinstance(metric, AnswerMetric) and answers and answers.labels is not None:
            labels = estimate.of_choice(answers.labels, choice, outcomes.folds)
            contributed = metric.contributions_of(labels, self.pool.targets)
            scored[CONTRIBUTIONS] = contributed.mean(0)
            return scored
        folds = np.arange(N_FOLDS)
        of_repeats = []
        for repeat, (fold_of, rules) in enumerate(zip(outcomes.folds, choice, strict=False)):
            weights = outcomes.weights[repeat][None, folds, rules]
            if isinstance(metric, AnswerMetric) and answers:
                by_fold = [answers.decisions[repeat][k][rule] for k, rule in enumerate(rules)]
                (probs,) = out_of_fold(self.pool, fold_of, weights)
                answered = answers_of_folds(by_fold, fold_of, probs)
                of_repeats.append(metric.contributions_of(answered, self.pool.targets))
            else:
                of_repeats.append(contributions(self.pool, metric, fold_of, weights)[0])
        scored[CONTRIBUTIONS] = np.mean(of_repeats, axis=0)
        return scored

    def _lead(self, scored: Array, choice: Array, smoothing: Array | None) -> Interval:
        """How much better the scored outcomes are than the best member's, with its interval."""
        kind, groups, outcomes = self.scoring.kind, self.pool.groups, self.outcomes
        width = estimate.widening(outcomes, kind, choice, against=0)
        ours, theirs = scored[kind], self.best_member[kind]
        if kind == HITS:
            return metrics.paired_difference(ours, theirs, groups).widened(width)
        width *= estimate.unaveraged(outcomes, kind, choice, 0, ours - theirs)
        best = self.best_smoothing
        both = None if smoothing is None or best is None else (smoothing, best)
        return metrics.lead_of(
            self.scoring.metric, ours, theirs, self.seed, groups, width, smoothing=both
        )

    def _known(self, interval: Interval) -> Interval:
        """The interval; without its ends where the rows are too few."""
        return interval.without_ends() if self.too_few else interval
