"""How a run does on its validation rows, by the competition's metric first."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from ensemble import metrics
from ensemble.errors import MetricError
from ensemble.metrics import Metric
from ensemble.predictions import Predictions
from ensemble.runs.data_info import DataInfo
from ensemble.runs.record import Amount, Stored


class Scores(Stored):
    """How a run does on its validation rows; log loss positive, in nats.

    accuracy and log_loss are null where images do not have one class each.
    """

    metric: str | None = Field(None, description="data.metric, null without one")
    score: float | None = Field(
        None, description="its value, null where the rows or the classes do not define it"
    )
    accuracy: float | None = Field(ge=0, le=1)
    log_loss: Amount | None


def metric_of(data: DataInfo, classes: Sequence[str]) -> Metric | None:
    """The metric of data.metric for these classes, None without one or where they have no such one."""
    if data.metric is None:
        return None
    try:
        return metrics.metric_named(data.metric, classes, data.positive, data.target)
    except MetricError:
        return None


def score_by_metric(data: DataInfo, predictions: Predictions) -> float | None:
    """The value of data.metric on labeled rows, None where there is none."""
    metric = metric_of(data, predictions.classes)
    if metric is None:
        return None
    score = float(metric.values(predictions.probs, predictions.known_targets))
    return None if np.isnan(score) else score


def scores_of(valid: Predictions, data: DataInfo) -> Scores:
    """The scores of predictions on labeled validation rows."""
    is_class = valid.target == "class"
    return Scores(
        metric=data.metric,
        score=score_by_metric(data, valid),
        accuracy=metrics.accuracy(valid.probs, valid.known_targets) if is_class else None,
        log_loss=metrics.log_loss(valid.probs, valid.known_targets) if is_class else None,
    )
