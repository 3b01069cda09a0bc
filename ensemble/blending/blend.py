"""A blend: its members and weights, its test probabilities, and what may honestly be said about its score."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensemble import metrics
from ensemble.blending import selection
from ensemble.blending.calibration import Calibrated, Calibration, calibrate
from ensemble.blending.diversity import Diversity, diversity
from ensemble.blending.estimate import METRICS, seed_from
from ensemble.blending.mixture import Mixture
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import Options, Rating, Rules, table_of, verdict
from ensemble.blending.selection import Group
from ensemble.memory import keep_arrays
from ensemble.metrics import Interval
from ensemble.predictions import Predictions, aligned
from ensemble.runs import Run


@dataclass(frozen=True)
class Member:
    """A run in the blend, its weight, and why it is in where the threshold did not decide."""

    run: Run
    weight: float
    reason: str


@dataclass(frozen=True)
class TestScores:
    """The final blend on labelled test rows beside the member that validation called best."""

    n_rows: int
    accuracy: Interval
    log_loss: Interval
    best: str
    best_accuracy: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """What the paired interval says."""
        return verdict(self.difference, self.n_rows)


@dataclass(frozen=True, eq=False)
class Blend:
    """Members sorted by run id; table holds the best member and every weighting, valid is the one that was asked for.

    learnt_by is the weighting behind `best`, else its own name; diversity stands in the order of group.runs;
    predictions are the blended test probabilities, None without a test set, of the members' refits where every member
    has one, and test their scores where it is labelled; all other scores are of the first fits. missing says what the
    table lacks.
    """

    group: Group
    members: tuple[Member, ...]
    options: Options
    table: tuple[Rating, ...]
    valid: Rating
    learnt_by: str
    missing: str
    diversity: Diversity
    calibrated: Calibrated
    predictions: Predictions | None
    of_refits: bool
    test: TestScores | None

    @property
    def mixture(self) -> Mixture:
        """What makes its predictions of those of its members."""
        weights = {member.run.id: member.weight for member in self.members}
        return Mixture(weights, self.options.is_log, self.calibration, self.of_refits)

    @property
    def best(self) -> Rating:
        """The best member's rating."""
        return self.table[0]

    @property
    def gains(self) -> dict[str, float]:
        """By run id: what the blend loses without a member, what another run would have added."""
        return dict(
            zip((run.id for run in self.group.runs), self.diversity.gain.tolist(), strict=True)
        )

    @property
    def passed_over(self) -> tuple[Run, ...]:
        """The runs of the group that are not in."""
        inside = {member.run.id for member in self.members}
        return tuple(run for run in self.group.runs if run.id not in inside)

    def disagreement(self, one: str, other: str) -> float:
        """The share of rows that two runs name differently."""
        return float(self.diversity.disagreement[self._place(one), self._place(other)])

    def double_fault(self, one: str, other: str) -> float:
        """The share of rows that both runs get wrong."""
        return float(self.diversity.double_fault[self._place(one), self._place(other)])

    def _place(self, run_id: str) -> int:
        return [run.id for run in self.group.runs].index(run_id)

    @property
    def most_alike(self) -> tuple[str, str]:
        """The two members that differ least; needs two."""
        pairs = combinations([member.run.id for member in self.members], 2)
        return min(pairs, key=lambda pair: self.disagreement(*pair))

    @property
    def calibration(self) -> Calibration | None:
        """What was applied to the probabilities."""
        return self.calibrated.calibration if self.options.calibrate else None


def make_blend(
    runs: Sequence[Run], options: Options | None = None, data: str | None = None
) -> Blend:
    """Choose, weigh and score a blend of one group of runs. Raises SelectionError, MismatchError, DamagedError."""
    keep_arrays()
    options = options or Options()
    group = selection.choose_group(runs, data)
    pool = open_pool({run.id: run.valid for run in group.runs}, options.is_log)
    archs = [selection.short_arch(run.arch) for run in group.runs]
    sample = pool.sample()
    for run, accuracy in zip(group.runs, sample.accuracies.tolist(), strict=True):
        run.check_score(accuracy)
    reasons = options.selection.chosen(sample.accuracies, sample.log_losses, archs)
    if not reasons:
        raise selection.nothing_reaches(group.runs, sample.accuracies, options.min_acc)
    rules = Rules(pool, options, archs)
    seed = seed_from(group.runs[0].data.valid)
    learnt, found = rules.cross_fit(seed)
    table, rule = table_of(pool, rules, found, learnt, seed)
    weights = learnt[rule]
    members = tuple(
        Member(run, weight, reasons.get(i, ""))
        for i, (run, weight) in enumerate(zip(group.runs, weights.tolist(), strict=True))
        if weight
    )
    mixed = pool.mixed(np.array([*found.fits[0, :, rule], weights]))
    calibrated = calibrate(
        mixed[-1], list(mixed[:-1]), found.parts[0], pool.targets, pool.groups, seed
    )
    mixture = Mixture(
        {member.run.id: member.weight for member in members},
        options.is_log,
        calibrated.calibration if options.calibrate else None,
        of_refits=all(member.run.refit_epochs is not None for member in members),
    )
    predictions = mixture.of_test({member.run.id: member.run for member in members})
    return Blend(
        group=group,
        members=members,
        options=options,
        table=table,
        valid=next(rating for rating in table if rating.name == options.weights),
        learnt_by=rules.names[rule],
        missing=rules.missing,
        diversity=diversity(pool, found, rule, METRICS.index(options.metric), weights > 0),
        calibrated=calibrated,
        predictions=predictions,
        of_refits=mixture.of_refits,
        test=_test_scores(predictions, group.runs[int(np.argmax(learnt[0]))], members[0].run, seed),
    )


def _test_scores(blend: Predictions | None, best: Run, member: Run, seed: int) -> TestScores | None:
    """The test scores of the blend and of the member that validation called best; nothing is chosen by them.

    Raises MismatchError where the best is about other test rows than the members.
    """
    if blend is None or blend.targets is None or not best.data.n_test:
        return None
    of_refits = best.refit_epochs is not None and member.refit_epochs is not None
    tests = {run.id: run.test_refit if of_refits else run.test for run in (best, member)}
    single = dict(zip(sorted(tests), aligned(tests), strict=True))[best.id]
    hits, best_hits = (
        metrics.hits(blend.probs, blend.targets),
        metrics.hits(single.probs, blend.targets),
    )
    return TestScores(
        n_rows=len(hits),
        accuracy=metrics.wilson(float(hits.mean()), len(hits)),
        log_loss=metrics.bootstrap_mean(metrics.losses(blend.probs, blend.targets), seed),
        best=best.id,
        best_accuracy=float(best_hits.mean()),
        difference=metrics.paired_difference(hits, best_hits),
    )
