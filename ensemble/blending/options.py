"""What `ens blend` may be told about selecting, weighting and averaging."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace

from ensemble.blending.selection import Selection
from ensemble.blending.weighting import CHOICES
from ensemble.errors import MetricError, SelectionError
from ensemble.metrics import Metric, metric_of_any_target
from ensemble.targets import IN_WORDS, Target

AVERAGES = ("arithmetic", "geometric", "rank")
DECISIONS = ("learned", "plain")


@dataclass(frozen=True)
class Options:
    """How members are selected, weighted and averaged.

    metric None is what the runs hold in data.metric, else the target's default. min_score bounds the metric in
    its own direction. decision learned: where the metric reads decisions, they are learned with the
    weights; plain: the most probable class.
    """

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    weights: str = "accuracy"
    metric: str | None = None
    average: str = "arithmetic"
    calibrate: bool = False
    min_score: float | None = None
    decision: str = "learned"

    def __post_init__(self) -> None:
        for key, names in {"weights": CHOICES, "average": AVERAGES, "decision": DECISIONS}.items():
            option = getattr(self, key)
            if option not in names:
                raise SelectionError(f"--{key} {option} is not one of {', '.join(names)}")
        if self.is_rank and self.calibrate:
            raise SelectionError(
                "--calibrate: ranks are no probabilities\nuse --average arithmetic or geometric"
            )
        if not 0 <= self.min_acc <= 1:
            raise SelectionError(f"--min-acc {self.min_acc}: from 0 to 1 is allowed")
        for key in ("per_arch", "max_members"):
            limit = getattr(self, key)
            if limit < 0:
                flag = key.replace("_", "-")
                raise SelectionError(f"--{flag} {limit}: 0 (no limit) or more is allowed")
        metric, min_score = self._metric, self.min_score
        low, high = metric.bounds if metric else (-math.inf, math.inf)
        is_bound = min_score is None or (math.isfinite(min_score) and low <= min_score <= high)
        if metric and not is_bound:
            allowed = f"{low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise SelectionError(
                f"--min-score {min_score:g}: {allowed} is allowed for {metric.name}"
            )

    @property
    def _metric(self) -> Metric | None:
        """The metric for columns that every metric has.

        None where it is not set, and for a name that no runs have: what is near it depends on them.
        """
        with suppress(MetricError):
            return metric_of_any_target(self.metric) if self.metric is not None else None
        return None

    def of_target(self, target: Target) -> "Options":
        """The options for runs that predict this. Raises SelectionError for those about classes.

        Weights in proportion to accuracy, the default, become the best.
        """
        if target == "class":
            if self.weights == "rmse":
                raise _refused("--weights rmse: is about numbers", "--weights logloss or best")
            return self
        about = f"these runs predict {IN_WORDS[target]}"
        if self.weights == ("rmse" if target == "labels" else "logloss"):
            raise _refused(f"--weights {self.weights}: {about}", "--weights best")
        if self.weights == "logodds":
            raise _refused(f"--weights logodds: is about classes, and {about}", "--weights best")
        if self.min_acc:
            raise _refused(f"--min-acc: is about classes, and {about}", "--min-score")
        if self.is_log or (self.is_rank and target == "number"):
            raise _refused(f"--average {self.average}: {about}", "--average arithmetic")
        if self.calibrate:
            raise _refused(
                f"--calibrate: is about classes, and {about}", "the probabilities as they are"
            )
        return replace(self, weights="best" if self.weights == "accuracy" else self.weights)

    @property
    def is_log(self) -> bool:
        """Whether logarithms are averaged."""
        return self.average == "geometric"

    @property
    def is_rank(self) -> bool:
        """Whether ranks are averaged."""
        return self.average == "rank"

    @property
    def is_decision_learned(self) -> bool:
        """Whether decisions are learned where the metric reads them."""
        return self.decision == "learned"

    @property
    def selection(self) -> Selection:
        """The options that select members."""
        sign = -1 if self._metric and not self._metric.is_higher_better else 1
        min_score = -math.inf if self.min_score is None else sign * self.min_score
        return Selection(self.min_acc, self.per_arch, self.max_members, min_score)


def _refused(problem: str, instead: str) -> SelectionError:
    return SelectionError(f"{problem}\nuse {instead}")
