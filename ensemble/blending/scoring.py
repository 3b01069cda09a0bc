"""The metric that rules are rated by, and each member's score on the rows that fit weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ensemble.blending.contributions import member_values
from ensemble.blending.cross_fit import CONTRIBUTIONS, HITS, LOSSES
from ensemble.blending.decisions import Learn, Plain, learner
from ensemble.blending.fit_rows import ClassRows, FitRows
from ensemble.blending.folds import in_one_fold
from ensemble.blending.pool import Pool
from ensemble.errors import MetricError, SelectionError
from ensemble.metrics import (
    DEFAULT_METRIC,
    AnswerMetric,
    Metric,
    check_defined,
    metric_named,
    metric_names,
)
from ensemble.numbers import count
from ensemble.predictions import Array
from ensemble.runs import Run
from ensemble.targets import Target

ACCURACY, LOG_LOSS = "accuracy", "log_loss"
OTHER_METRICS = {  # that all rows define
    "class": "--metric log_loss or accuracy",
    "labels": "--metric log_loss or f1_samples",
    "number": "--metric rmse or mae",
}
SHOWN_K = 5  # of map@k and top_k_accuracy@k where the metric is another


@dataclass(frozen=True)
class Scoring:
    """A metric of the pool's classes. Scores are its values, negated where less is better.

    target is what the pool predicts; is_decision_learned: whether decisions are learned where the
    metric reads them.
    """

    metric: Metric
    is_decision_learned: bool = False
    target: Target = "class"

    @classmethod
    def named(
        cls,
        name: str,
        classes: Sequence[str],
        positive: str | None = None,
        target: Target = "class",
    ) -> "Scoring":
        """By the metric's name. Raises MetricError."""
        return cls(metric_named(name, classes, positive, target), target=target)

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.metric.is_higher_better else -1

    @property
    def kind(self) -> int:
        """The outcomes that rules are rated by."""
        of_class = {ACCURACY: HITS, LOG_LOSS: LOSSES} if self.target == "class" else {}
        return of_class.get(self.name, CONTRIBUTIONS)

    @property
    def contributed(self) -> Metric | None:
        """The metric if rows contribute to it, None for accuracy and log loss of one class."""
        return self.metric if self.kind == CONTRIBUTIONS else None

    @property
    def learns_decisions(self) -> bool:
        """Whether decisions are learned."""
        return self.is_decision_learned and isinstance(self.metric, AnswerMetric)

    @property
    def learn(self) -> Learn:
        """What learns decisions from a blend's probabilities."""
        if self.is_decision_learned and isinstance(self.metric, AnswerMetric):
            return learner(self.metric, self.target)
        return Plain(self.target)

    def fit_rows(self, pool: Pool) -> FitRows:
        """All rows and members, with each member's value of the metric.

        Raises SelectionError where the rows do not define the metric.
        """
        rows = pool.fit_rows()
        if self.contributed is None:
            return rows
        (values,) = member_values(pool, self.metric, [(in_one_fold(len(pool.targets)), (0,))])
        try:
            check_defined(self.metric, pool.targets)
        except MetricError as error:
            several = ", or validate on rows of several classes"
            instead = OTHER_METRICS[self.target] + (several if self.target == "class" else "")
            raise SelectionError(f"{error}\nuse {instead}") from None
        return replace(rows, values=values)

    def member_values(self, rows: FitRows) -> Array:
        """The metric of each member on these rows, (members,); NaN where they do not define it."""
        if isinstance(rows, ClassRows) and self.kind != CONTRIBUTIONS:
            return rows.accuracies if self.kind == HITS else rows.log_losses
        assert rows.values is not None
        return rows.values

    def member_scores(self, rows: FitRows) -> Array:
        """Each member's score on these rows, (members,); -inf where they do not define it."""
        values = self.member_values(rows)
        return np.where(np.isnan(values), -np.inf, self.sign * values)


def scoring_of(
    runs: Sequence[Run], name: str | None, classes: Sequence[str], positive: str | None = None
) -> tuple[Scoring, str]:
    """The scoring by a named metric, else by the runs' own data.metric; and what to know about it.

    Without either it is the target's default, also where data.metric names no metric of these
    classes, which the second value then says. positive overrides the runs' data.positive. Raises MetricError,
    SelectionError where the runs disagree about what is not given.
    """
    target = runs[0].data.target
    default = _default(runs, classes)
    if name is not None:
        try:
            return Scoring.named(name, classes, _positive(runs, name, positive), target), ""
        except MetricError as error:
            raise MetricError(f"--metric: {error}") from None
    stored = _agreed(runs, "metric", "--metric NAME")
    if stored is None:
        return default, ""
    n_without = sum(run.data.metric is None for run in runs)
    note = f"{count(n_without, 'run')} without data.metric: scored by {stored}, as the others"
    try:
        scoring = Scoring.named(stored, classes, _positive(runs, stored, positive), target)
        return scoring, note if n_without else ""
    except MetricError as error:
        problem = str(error).splitlines()[0]
        instead = f"scored by {default.name}, not by data.metric"
        return default, f"{instead}: {problem}; --metric NAME chooses another"


def _default(runs: Sequence[Run], classes: Sequence[str]) -> Scoring:
    """The scoring by the default metric of what the runs predict."""
    target = runs[0].data.target
    return Scoring.named(DEFAULT_METRIC[target], classes, target=target)


def _positive(runs: Sequence[Run], name: str, positive: str | None) -> str | None:
    """The class that f1 is about; other metrics do not depend on it. Raises SelectionError."""
    if positive is None and name == "f1":
        return _agreed(runs, "positive", "--positive CLASS")
    return positive


def _agreed(runs: Sequence[Run], key: str, option: str) -> str | None:
    """The runs' only value of data.metric, which those without one follow, or of data.positive.

    Raises SelectionError.
    """
    run_ids: dict[str | None, str] = {getattr(run.data, key): run.id for run in runs}
    if key == "metric" and len(run_ids) > 1:
        run_ids.pop(None, None)
    if len(run_ids) > 1:
        settings = ", ".join(f"{run_id} has {setting}" for setting, run_id in run_ids.items())
        raise SelectionError(
            f"the runs have different values of data.{key}: {settings}\n"
            f"{option} overrides them; or choose runs with the same value by a PATTERN"
        )
    return next(iter(run_ids))


def leading_scoring(runs: Sequence[Run], classes: Sequence[str]) -> tuple[Scoring, str]:
    """What tables of these runs are sorted by: `scoring_of`, the default where they disagree.

    The second value says what to know about it.
    """
    try:
        return scoring_of(runs, None, classes)
    except SelectionError as error:
        default = _default(runs, classes)
        return default, f"sorted by {default.name}: {str(error).splitlines()[0]}"


def all_values(
    probs: Array, answers: Array, targets: Array, classes: Sequence[str], asked: Scoring
) -> dict[str, float]:
    """Every metric that these classes and rows have, by name, the asked one first.

    probs is (rows, classes), answers (rows,) are what metrics that read decisions are computed
    from. f1 is listed where it was asked for or its positive class names itself.
    """
    names = [name.replace("@k", f"@{SHOWN_K}") for name in metric_names(asked.target)]
    metrics = {asked.name: asked.metric}
    for name in names:
        try:
            metrics.setdefault(name, metric_named(name, classes, target=asked.target))
        except MetricError:
            continue
    values = {name: _value(metric, probs, answers, targets) for name, metric in metrics.items()}
    return {name: score for name, score in values.items() if not np.isnan(score)}


def _value(metric: Metric, probs: Array, answers: Array, targets: Array) -> float:
    if isinstance(metric, AnswerMetric):
        return float(metric.values_of(answers, targets))
    if metric.reads == "decisions":  # accuracy
        return float((answers == targets).mean())
    return float(metric.values(probs, targets))
