"""A blend: its members and weights, its test probabilities, and an honest estimate of its score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ensemble.blending import selection
from ensemble.blending.calibration import Calibrated, Calibration, calibrate
from ensemble.blending.diversity import Diversity, diversity
from ensemble.blending.fit_rows import ClassRows, FitRows
from ensemble.blending.folds import seed_from
from ensemble.blending.mixture import Answered, Mixture
from ensemble.blending.options import Options
from ensemble.blending.pool import Pool, open_pool
from ensemble.blending.ranks import check_ranks
from ensemble.blending.rating import Rating, Table, rate
from ensemble.blending.scoring import Scoring, all_values, scoring_of
from ensemble.blending.selection import Group
from ensemble.blending.test_set import TestScores, test_scores
from ensemble.metrics import positive_class
from ensemble.metrics.decision import Decision
from ensemble.numbers import percent
from ensemble.predictions import Array, Predictions
from ensemble.runs import GradedRun, Run
from ensemble.targets import Target


@dataclass(frozen=True)
class Member:
    """A run in the blend, its weight, and why it is in if the threshold did not select it."""

    run: Run
    weight: float
    reason: str

    @property
    def number(self) -> str | None:
        """The number that a run on classes predicts as its expected grade, None for other runs."""
        return self.run.classes[0] if isinstance(self.run, GradedRun) else None


@dataclass(frozen=True, eq=False)
class Blend:
    """Members sorted by run id, and everything that the terminal, the report and the manifest show.

    table rates the best member and every weighting, valid is the rating of the one in the options;
    chosen_weighting is that one's name or, for `best`, the weighting it chose; favored names a
    weighting that is better by more than one standard error, or is ""; missing says what the table
    lacks, metric_note why the runs' data.metric is not what the blend is scored by; is_metric_given:
    the options named the metric. in_sample holds
    every metric of the written blend on all validation rows, run_scores (by run id) the runs' values
    of the metric; diversity is in the order of group.runs. answered holds the blend's test
    probabilities and answers, None without a test set; of the members' refits if every member has
    one. is_decision_learned: the blend's decision was, though the most probable class may have won.
    test holds their scores if the test set is labeled; all other scores are of the networks before
    any refit.
    """

    group: Group
    members: tuple[Member, ...]
    options: Options
    table: tuple[Rating, ...]
    valid: Rating
    chosen_weighting: str
    favored: str
    missing: str
    metric_note: str
    is_metric_given: bool
    in_sample: dict[str, float]
    run_scores: dict[str, float]
    diversity: Diversity
    calibrated: Calibrated | None
    mixture: Mixture
    answered: Answered | None
    is_decision_learned: bool
    test: TestScores | None

    @property
    def predictions(self) -> Predictions | None:
        """The blended test probabilities, None without a test set."""
        return self.answered.predictions if self.answered else None

    @property
    def best(self) -> Rating:
        """The best member's rating."""
        return self.table[0]

    @property
    def favored_gain(self) -> float:
        """How much better the favored weighting's cross-fitted score is; 0 without one."""
        if not self.favored:
            return 0.0
        favored = next(rating for rating in self.table if rating.name == self.favored)
        gain = favored.score.value - self.valid.score.value
        return gain if favored.is_higher_better else -gain

    @property
    def gains(self) -> dict[str, float]:
        """By run id: what the blend loses without a member, what another run would add."""
        names = [run.id for run in self.group.runs]
        return dict(zip(names, self.diversity.gain.tolist(), strict=True))

    @property
    def unused_runs(self) -> tuple[Run, ...]:
        """The runs of the group that are not in the blend."""
        names = {member.run.id for member in self.members}
        return tuple(run for run in self.group.runs if run.id not in names)

    @property
    def target(self) -> Target:
        """What the members predict."""
        return self.group.runs[0].data.target

    def reason_of(self, member: Member) -> str:
        """Why a member is in: its reason, else `≥ 95.00 %`, `roc_auc ≥ 0.9`, or `every run`."""
        options, rating = self.options, self.valid
        bounds = [f"≥ {percent(options.min_acc)}"] if options.min_acc else []
        if options.min_score is not None:
            relation = "≥" if rating.is_higher_better else "≤"
            bounds.append(f"{rating.metric} {relation} {options.min_score:g}")
        return member.reason or ", ".join(bounds) or "every run"

    def disagreement(self, run_a: str, run_b: str) -> float:
        """How much two runs differ, as `Diversity` has it."""
        return float(self.diversity.disagreement[self._index(run_a), self._index(run_b)])

    def double_fault(self, run_a: str, run_b: str) -> float | None:
        """How often both runs are wrong, None of numbers."""
        shares = self.diversity.double_fault
        return None if shares is None else float(shares[self._index(run_a), self._index(run_b)])

    def _index(self, run_id: str) -> int:
        return [run.id for run in self.group.runs].index(run_id)

    @property
    def most_similar(self) -> tuple[str, str]:
        """The two members that differ least; needs at least two members."""
        pairs = combinations([member.run.id for member in self.members], 2)
        return min(pairs, key=lambda pair: self.disagreement(*pair))

    @property
    def of_refits(self) -> bool:
        """Whether the members' refits predict the test set."""
        return self.mixture.of_refits

    @property
    def calibration(self) -> Calibration | None:
        """The calibration applied to the test probabilities."""
        return self.mixture.calibration


def make_blend(
    runs: Sequence[Run],
    options: Options | None = None,
    data: str | None = None,
    positive: str | None = None,
) -> Blend:
    """Select, weight and score a blend of one group of runs.

    positive is the class that f1 is about, in place of the runs' data.positive. Raises
    SelectionError, MetricError, MismatchError, DamagedError.
    """
    options = options or Options()
    group = selection.choose_group(runs, data)
    with group.saying_grades():
        options = options.of_target(group.runs[0].data.target)
        scoring, metric_note = _scoring(group.runs, options, positive)
    pool = open_pool({run.id: run.valid for run in group.runs}, options.is_log, options.is_rank)
    is_metric_given = options.metric is not None
    options = replace(options, metric=scoring.name)
    archs = [selection.short_arch(run.arch) for run in group.runs]
    rows = scoring.fit_rows(pool)
    reasons = _select(group.runs, rows, options, archs, scoring)
    seed = seed_from(group.runs[0].data.valid)
    table = rate(pool, options, archs, seed, scoring)
    members = _members(group.runs, table.blend_weights, reasons)
    mixed = pool.mixed(np.array([*table.fold_weights, table.blend_weights]))
    has_calibration = pool.target == "class" and not options.is_rank
    calibrated = _calibrate(mixed, pool, table, seed) if has_calibration else None
    mixture = _mixture(members, options, calibrated, table.decision)
    by_id = {member.run.id: member.run for member in members}
    answered = mixture.of_test(by_id)
    mean = mixture.of_probabilities.of_test(by_id) if options.is_rank else answered
    best = group.runs[int(np.argmax(table.weights[0]))]
    names = [run.id for run in group.runs]
    return Blend(
        group=group,
        members=members,
        options=options,
        table=table.ratings,
        valid=table.rating_of(options.weights),
        chosen_weighting=table.rule_name,
        favored=table.favored,
        missing=table.missing,
        metric_note=metric_note,
        is_metric_given=is_metric_given,
        run_scores=dict(zip(names, scoring.member_values(rows).tolist(), strict=True)),
        in_sample=_in_sample(mixture, mixed[-1], pool, scoring),
        diversity=diversity(pool, table.outcomes, table.rule, scoring, table.blend_weights > 0),
        calibrated=calibrated,
        mixture=mixture,
        answered=answered,
        is_decision_learned=scoring.learns_decisions,
        test=test_scores(answered, mean, best, members[0].run, seed, scoring, table.decisions[0]),
    )


def _scoring(runs: Sequence[Run], options: Options, positive: str | None) -> tuple[Scoring, str]:
    """What the options score by, and why that is not the runs' data.metric.

    Raises MetricError, SelectionError.
    """
    classes = sorted(runs[0].classes)
    if positive is not None:
        positive_class("--positive", tuple(classes), positive)
    scoring, metric_note = scoring_of(runs, options.metric, classes, positive)
    if options.is_rank:
        check_ranks(scoring.metric, scoring.target)
    return replace(scoring, is_decision_learned=options.is_decision_learned), metric_note


def _select(
    runs: Sequence[Run], rows: FitRows, options: Options, archs: Sequence[str], scoring: Scoring
) -> Mapping[int, str]:
    """The reason by position of every selected run, "" if the threshold selects it.

    Raises SelectionError if no run is selected, DamagedError if run.json states another accuracy.
    """
    accuracies = rows.accuracies if isinstance(rows, ClassRows) else None
    if accuracies is not None:
        for run, accuracy in zip(runs, accuracies.tolist(), strict=True):
            run.check_score(accuracy)
    scores = scoring.member_scores(rows)
    reasons = options.selection.chosen(accuracies, scores, archs)
    if not reasons:
        decisive = scores if accuracies is None or options.min_score is not None else accuracies
        best = int(np.argmax(decisive))
        reached = {}
        if options.min_acc and accuracies is not None:
            reached["--min-acc"] = (options.min_acc, float(accuracies[best]))
        if options.min_score is not None:
            reached["--min-score"] = (options.min_score, scoring.sign * float(scores[best]))
        raise selection.nothing_reaches(runs, best, reached)
    return reasons


def _members(runs: Sequence[Run], weights: Array, reasons: Mapping[int, str]) -> tuple[Member, ...]:
    """The runs with a positive weight."""
    return tuple(
        Member(run, weight, reasons.get(i, ""))
        for i, (run, weight) in enumerate(zip(runs, weights.tolist(), strict=True))
        if weight
    )


def _calibrate(mixed: Array, pool: Pool, table: Table, seed: int) -> Calibrated:
    """mixed is (folds + 1, rows, classes): by the weights without each fold, then by all."""
    fold_of = table.outcomes.folds[0]
    return calibrate(mixed[-1], list(mixed[:-1]), fold_of, pool.targets, pool.groups, seed)


def _mixture(
    members: Sequence[Member],
    options: Options,
    calibrated: Calibrated | None,
    decision: Decision,
) -> Mixture:
    is_applied = calibrated is not None and options.calibrate and calibrated.helps
    return Mixture(
        weights={member.run.id: member.weight for member in members},
        is_log=options.is_log,
        calibration=calibrated.calibration if calibrated and is_applied else None,
        of_refits=all(member.run.refit_epochs is not None for member in members),
        is_rank=options.is_rank,
        decision=decision,
    )


def _in_sample(mixture: Mixture, mixed: Array, pool: Pool, scoring: Scoring) -> dict[str, float]:
    """Every metric of the blend, of ranks that alone which reads ranks; mixed is (rows, classes)."""
    if mixture.is_rank:
        return {scoring.name: float(scoring.metric.values(mixed, pool.targets))}
    answers = mixture.decision.apply(mixed)
    return all_values(mixture.calibrated(mixed), answers, pool.targets, pool.classes, scoring)
