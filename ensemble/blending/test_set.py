"""How a blend does on labeled test rows; its test scores choose nothing."""

from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.blending.mixture import Answered
from ensemble.blending.rating import verdict
from ensemble.blending.scoring import ACCURACY, Scoring
from ensemble.metrics import AnswerMetric, Interval, Metric
from ensemble.metrics.decision import Decision
from ensemble.predictions import Array, aligned
from ensemble.runs import Run


@dataclass(frozen=True)
class TestScores:
    """The final blend on labeled test rows, compared with the member that is best on validation.

    score, best_score and difference are by the metric: accuracy, also for log loss and where the
    test rows are too few for an interval of the metric that the blend is scored by. Of labels and
    numbers there are accuracy and log_loss None, and ends of NaN where the rows are too few.
    """

    n_rows: int
    accuracy: Interval | None
    log_loss: Interval | None
    best: str
    best_accuracy: float | None
    difference: Interval
    metric: str
    score: Interval
    best_score: float

    @property
    def verdict(self) -> str:
        """What the paired interval says."""
        return verdict(self.difference, self.n_rows)


def test_scores(
    answered: Answered | None,
    mean: Answered | None,
    best: Run,
    member: Run,
    seed: int,
    scoring: Scoring,
    best_decision: Decision,
) -> TestScores | None:
    """The test scores of the blend and of the run that is best on validation; they choose nothing.

    best_decision is how that run answers. Accuracy and log loss are those of the mean of
    probabilities, also where ranks are averaged.
    Raises MismatchError if the best run predicts other test rows than the members.
    """
    targets = answered.predictions.targets if answered else None
    if answered is None or targets is None or mean is None or not best.data.n_test:
        return None
    blend = answered.predictions
    of_refits = best.refit_epochs is not None and member.refit_epochs is not None
    tests = {run.id: run.test_refit if of_refits else run.test for run in (best, member)}
    single = dict(zip(sorted(tests), aligned(tests), strict=True))[best.id]
    answers = np.stack([mean.answers, best_decision.apply(single.probs)])
    metric, by_accuracy = scoring.contributed, None
    if blend.target == "class":
        by_accuracy = _by_accuracy(answers, mean.predictions.probs, targets, best, seed)
        if metric is None or metric.too_few_rows(targets):
            return by_accuracy
    assert metric is not None
    probs = np.stack([blend.probs, single.probs])
    score, difference, best_score = _by_metric(metric, answers, probs, targets, seed)
    return TestScores(
        n_rows=len(targets),
        accuracy=by_accuracy.accuracy if by_accuracy else None,
        log_loss=by_accuracy.log_loss if by_accuracy else None,
        best=best.id,
        best_accuracy=by_accuracy.best_accuracy if by_accuracy else None,
        difference=difference,
        metric=scoring.name,
        score=score,
        best_score=best_score,
    )


def _by_metric(
    metric: Metric, answers: Array, probs: Array, targets: Array, seed: int
) -> tuple[Interval, Interval, float]:
    """The blend's score, its lead over the best run, and the score of that.

    answers and probs are those of the blend and of the best run, (2, rows, ...).
    """
    if isinstance(metric, AnswerMetric):
        contributions = metric.contributions_of(answers, targets)
        smoothing = metric.smoothing_of(answers, targets)
    else:
        contributions = metric.contributions(probs, targets)
        smoothing = metric.smoothing(probs, targets)
    ours, of_best = contributions
    score = metrics.interval_of(metric, ours, seed, smoothing=smoothing[0])
    difference = metrics.lead_of(
        metric, ours, of_best, seed, smoothing=(smoothing[0], smoothing[1])
    )
    if metric.too_few_rows(targets):
        score, difference = score.without_ends(), difference.without_ends()
    return score, difference, float(of_best.mean())


def _by_accuracy(answers: Array, probs: Array, targets: Array, best: Run, seed: int) -> TestScores:
    """The test scores of answers (blend and best, rows) and of the blend's probs (rows, classes)."""
    hits, best_hits = (answers == targets).astype(np.float64)
    accuracy = metrics.wilson(float(hits.mean()), len(hits))
    return TestScores(
        n_rows=len(hits),
        accuracy=accuracy,
        log_loss=metrics.bootstrap_mean(metrics.losses(probs, targets), seed),
        best=best.id,
        best_accuracy=float(best_hits.mean()),
        difference=metrics.paired_difference(hits, best_hits),
        metric=ACCURACY,
        score=accuracy,
        best_score=float(best_hits.mean()),
    )
