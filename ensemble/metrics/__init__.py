"""What competitions score by: values, contributions of rows, and 95 % intervals. numpy only."""

from ensemble.metrics.intervals import (
    Interval,
    Z,
    bootstrap_mean,
    by_group,
    interval_of,
    paired_difference,
    wilson,
)
from ensemble.metrics.lookup import metric_named, metric_names
from ensemble.metrics.metric import Metric, Reads
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
    "Interval",
    "Metric",
    "Reads",
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
    "true_probs",
    "wilson",
]
