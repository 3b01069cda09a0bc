"""A blend: its members and weights, its test probabilities, and what may honestly be said about its score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.blending import selection
from ensemble.blending.estimate import RowScores, cross_fitted, mix, seed_from
from ensemble.blending.selection import Group
from ensemble.blending.weighting import weighting_named
from ensemble.errors import MismatchError
from ensemble.metrics import Interval
from ensemble.predictions import Array, Predictions, Stack, stack
from ensemble.runs import Run


@dataclass(frozen=True)
class Member:
    """A run in the blend, its weight, and why it is in where the threshold did not decide."""

    run: Run
    weight: float
    reason: str


@dataclass(frozen=True, eq=False)
class Scores:
    """One set of rows: the blend, the best single member, and the paired difference of their accuracies."""

    n_rows: int
    blend: Interval
    log_loss: Interval
    best: str
    best_accuracy: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """What the paired interval says."""
        if self.difference.low > 0:
            return f"better at n={self.n_rows}"
        return f"worse at n={self.n_rows}" if self.difference.high < 0 else f"not distinguishable at n={self.n_rows}"


@dataclass(frozen=True, eq=False)
class Blend:
    """Members sorted by run id; valid is cross-fitted, fitted is on the rows that the weights saw.

    predictions are the blended test probabilities, None without a test set; test are its scores where it is labelled.
    """

    group: Group
    members: tuple[Member, ...]
    passed_over: tuple[Run, ...]
    options: dict[str, str | float | int]
    valid: Scores
    fitted: Interval
    fitted_log_loss: float
    predictions: Predictions | None
    test: Scores | None

    @property
    def optimism(self) -> float:
        """How much the fitted accuracy flatters."""
        return self.fitted.value - self.valid.blend.value


def make_blend(
    runs: Sequence[Run], min_acc: float = 0.0, per_arch: int = 0, weights: str = "accuracy", data: str | None = None
) -> Blend:
    """Choose, weigh and score a blend of one group of runs. Raises SelectionError, MismatchError, DamagedError."""
    weighting = weighting_named(weights)
    group = selection.choose_group(runs, data)
    stacked = stack({run.id: run.valid() for run in group.runs})
    targets = stacked.targets
    assert targets is not None  # Run.valid refuses predictions without targets
    archs = [selection.short_arch(run.arch) for run in group.runs]
    hits = np.stack([metrics.hits(probs, targets) for probs in stacked.probs])

    def rule(rows: Array) -> Array:
        accuracies = hits[:, rows].mean(1)
        kept = list(selection.chosen(accuracies, archs, min_acc, per_arch)) or [int(np.argmax(accuracies))]
        learnt = np.zeros(len(archs))
        learnt[kept] = weighting(hits[kept][:, rows])
        return learnt

    def best_rule(rows: Array) -> Array:
        best: Array = np.eye(len(archs))[np.argmax(hits[:, rows].mean(1))]
        return best

    accuracies = hits.mean(1)
    reasons = selection.chosen(accuracies, archs, min_acc, per_arch)
    if not reasons:
        raise selection.nothing_reaches(group.runs, accuracies, min_acc)
    learnt = rule(np.arange(len(targets)))
    seed = seed_from(group.runs[0].data.valid)
    honest = cross_fitted(stacked.probs, targets, rule, seed)
    honest_best = cross_fitted(stacked.probs, targets, best_rule, seed)
    fitted = mix(stacked.probs, learnt)
    best = group.runs[int(np.argmax(accuracies))]
    members = tuple(Member(group.runs[i], float(learnt[i]), reason) for i, reason in reasons.items())
    predictions = blend_test(members)
    return Blend(
        group=group,
        members=members,
        passed_over=tuple(run for i, run in enumerate(group.runs) if i not in reasons),
        options={"min_acc": min_acc, "per_arch": per_arch, "weights": weights, "average": "arithmetic"},
        valid=_scores(honest, honest_best, best.id, seed),
        fitted=metrics.wilson(metrics.accuracy(fitted, targets), len(targets)),
        fitted_log_loss=metrics.log_loss(fitted, targets),
        predictions=predictions,
        test=_test_scores(predictions, best, seed),
    )


def blend_test(members: Sequence[Member]) -> Predictions | None:
    """The weighted mean of the members' test probabilities, None without a test set. Raises MismatchError."""
    tests = {member.run.id: member.run.test() for member in members}
    present = {name: predictions for name, predictions in tests.items() if predictions is not None}
    if not present:
        return None
    if len(present) < len(tests):
        raise MismatchError(f"{min(tests.keys() - present.keys())} has no test predictions, {min(present)} has")
    stacked: Stack = stack(present)
    weights = np.array([{m.run.id: m.weight for m in members}[name] for name in stacked.members])
    return Predictions(stacked.ids, stacked.classes, mix(stacked.probs, weights), stacked.targets)


def _test_scores(blend: Predictions | None, best: Run, seed: int) -> Scores | None:
    """The test scores of the blend and of the member that validation called best; nothing is chosen by them."""
    best_test = best.test() if blend is not None and blend.targets is not None else None
    if blend is None or blend.targets is None or best_test is None:
        return None
    single = stack({best.id: best_test})
    return _scores(_row_scores(blend.probs, blend.targets), _row_scores(single.probs[0], blend.targets), best.id, seed)


def _row_scores(probs: Array, targets: Array) -> RowScores:
    return RowScores(metrics.hits(probs, targets), metrics.losses(probs, targets))


def _scores(blend: RowScores, best: RowScores, best_id: str, seed: int) -> Scores:
    return Scores(
        n_rows=len(blend.hits),
        blend=blend.accuracy,
        log_loss=blend.log_loss(seed),
        best=best_id,
        best_accuracy=best.accuracy.value,
        difference=metrics.paired_difference(blend.hits, best.hits),
    )
