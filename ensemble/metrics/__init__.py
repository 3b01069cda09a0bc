"""What competitions score by: values, contributions of rows, and 95 % intervals. numpy only."""

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
from ensemble.metrics.lookup import metric_named, metric_names
from ensemble.metrics.metric import DecisionMetric, Metric, Reads, Rule
from ensemble.metrics.rows import (
    FLOOR,
    TIE,
    Array,
    ClassScore,
    accuracy,
    hits,
    log_loss,
    losses,
    per_class,
    predicted,
    true_probs,
)

__all__ = [
    "FLOOR",
    "TIE",
    "Array",
    "ClassScore",
    "DecisionMetric",
    "Interval",
    "Metric",
    "Reads",
    "Rule",
    "Z",
    "accuracy",
    "bootstrap_mean",
    "by_group",
    "hits",
    "interval_of",
    "log_loss",
    "losses",
    "metric_named",
    "metric_names",
    "paired_difference",
    "per_class",
    "predicted",
    "score_of",
    "true_probs",
    "wilson",
]
