"""What competitions score by: values, contributions of rows, and 95 % intervals. numpy only."""

from ensemble.metrics.baselines import Baselines, baselines
from ensemble.metrics.intervals import (
    Interval,
    Z,
    bootstrap_mean,
    by_group,
    interval_of,
    paired_difference,
    score_of,
    wilson,
)
from ensemble.metrics.lookup import DEFAULT_METRIC, check_defined, metric_named, metric_names
from ensemble.metrics.metric import DecisionMetric, Metric, Reads, Rule
from ensemble.metrics.rows import (
    FLOOR,
    TIE,
    Array,
    ClassScore,
    accuracy,
    given_labels,
    hits,
    log_loss,
    losses,
    per_class,
    predicted,
    ranked,
    true_probs,
)

__all__ = [
    "DEFAULT_METRIC",
    "FLOOR",
    "TIE",
    "Array",
    "Baselines",
    "ClassScore",
    "DecisionMetric",
    "Interval",
    "Metric",
    "Reads",
    "Rule",
    "Z",
    "accuracy",
    "baselines",
    "bootstrap_mean",
    "by_group",
    "check_defined",
    "given_labels",
    "hits",
    "interval_of",
    "log_loss",
    "losses",
    "metric_named",
    "metric_names",
    "paired_difference",
    "per_class",
    "predicted",
    "ranked",
    "score_of",
    "true_probs",
    "wilson",
]
