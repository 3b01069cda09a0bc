"""The competition's metric of an epoch: over all validation images together, by ensemble/metrics."""

import numpy as np
import torch
from fastai.learner import Learner
from fastai.learner import Metric as EpochMetric
from torch import Tensor

from ensemble.errors import MetricError, RecipeError
from ensemble.learn.catalog import Catalog
from ensemble.learn.outputs import Outputs
from ensemble.metrics import Metric, check_defined, metric_named
from ensemble.recipe import Recipe


class OfAllRows(EpochMetric):
    """A metric of an epoch's predictions, NaN where they are not finite.

    Most metrics are no mean over batches, so the predictions stay on the device until the epoch ends.
    """

    def __init__(self, metric: Metric, outputs: Outputs) -> None:
        self.metric, self.outputs = metric, outputs
        self.reset()

    @property
    def name(self) -> str:
        """The metric's name, as fastai's table shows it."""
        return self.metric.name

    def reset(self) -> None:
        """Forget the last epoch."""
        self.probs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def accumulate(self, learn: Learner) -> None:
        """Keep a batch."""
        predicted = learn.pred.detach().as_subclass(Tensor).double()  # as predict.py computes them
        self.probs.append(self.outputs.activation(predicted).float())
        self.targets.append(self.outputs.decoded(learn.yb[0].detach().as_subclass(Tensor)))

    @property
    def value(self) -> float:
        """The value over all batches."""
        probs = torch.cat(self.probs).cpu().numpy()
        targets = torch.cat(self.targets).cpu().numpy()
        if not np.isfinite(probs).all():
            return float("nan")
        return float(self.metric.values(probs, targets))


def epoch_metric(recipe: Recipe, images: Catalog) -> tuple[Metric | None, str]:
    """The metric of a recipe's data.metric, None without one or where the rows do not define it.

    The second value says so then. Raises RecipeError where fit.monitor needs such a metric.
    """
    name, is_monitored = recipe.data.metric, recipe.fit.monitor == "metric"
    if name is None:
        if is_monitored:
            raise RecipeError(
                f"recipe {recipe.name}: fit.monitor: metric follows data.metric, which is not set\n"
                "set data.metric, such as roc_auc, or fit.monitor to valid_loss or accuracy"
            )
        return None, ""
    metric = metric_named(name, images.classes, recipe.data.positive, recipe.data.target)
    try:
        check_defined(metric, images.targets[images.readable("valid")])
    except MetricError as error:
        if is_monitored:
            raise RecipeError(
                f"recipe {recipe.name}: fit.monitor: metric: {error}\n"
                "set fit.monitor to valid_loss, or validate on rows of several classes"
            ) from None
        return None, str(error)
    return metric, ""
