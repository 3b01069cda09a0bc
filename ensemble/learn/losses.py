"""The loss of each target; losses and metrics are summed on the device.

fastai copies those of each batch to the host, which waits for the device.
"""

from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import AvgLoss, AvgMetric, AvgSmoothLoss, Learner, Recorder
from fastai.losses import (
    BaseLoss,
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    MSELossFlat,
)
from torch import Tensor, nn

from ensemble.learn.catalog import Catalog
from ensemble.recipe import Fit
from ensemble.targets import sums_of


class MeanLoss(AvgLoss):
    """The mean loss over an epoch's images."""

    def accumulate(self, learn: Learner) -> None:  # noqa: D102
        n_images = len(learn.yb[0])
        self.total += learn.loss.detach().mean() * n_images
        self.count += n_images


class MeanMetric(AvgMetric):
    """The mean of a metric over an epoch's images."""

    def accumulate(self, learn: Learner) -> None:  # noqa: D102
        n_images = len(learn.yb[0])
        self.total += self.func(learn.pred, *learn.yb).detach() * n_images
        self.count += n_images


class SmoothLoss(AvgSmoothLoss):
    """fastai's running mean of the training loss."""

    val: Any  # a Tensor

    def accumulate(self, learn: Learner) -> None:  # noqa: D102
        self.count += 1
        loss = learn.loss.detach().mean().float()
        self.val = torch.lerp(loss, self.val.to(loss.device), self.beta)


class LossOnDevice(Callback):
    """Keeps losses on the device until the epoch ends."""

    order = Recorder.order - 1

    def before_fit(self) -> None:  # noqa: D102
        recorder = self.learn.recorder
        smooth_loss = SmoothLoss(recorder.smooth_loss.beta)
        # not by assignment: fastai warns of names that the Learner has as well
        vars(recorder).update(loss=MeanLoss(), smooth_loss=smooth_loss)

    def after_fit(self) -> None:  # noqa: D102
        losses = self.learn.recorder.losses
        self.learn.recorder.losses = list(torch.stack(losses).cpu()) if losses else []


def loss_of(fit: Fit, images: Catalog, device: torch.device) -> BaseLoss:
    """Cross-entropy; binary cross-entropy of each label; or smooth L1 of standardized numbers."""
    target = images.outputs.target
    if target == "number":
        return MSELossFlat() if fit.loss == "mse" else SmoothL1LossFlat()
    weight = None
    if fit.class_weights == "balanced":
        weight = torch.tensor(_weights(images), dtype=torch.float32).to(device)
    if target == "labels":
        return LabelsLoss(fit.label_smoothing, pos_weight=weight)
    is_flat = images.taught is None  # probabilities are (images, classes)
    return CrossEntropyLossFlat(weight=weight, label_smoothing=fit.label_smoothing, flatten=is_flat)


def _weights(images: Catalog) -> Any:
    """Weights of rare classes, (classes,), or of a label's images, as many as those without it."""
    learned = images.targets[images.learned]
    counts = sums_of(images.outputs.target, learned, len(images.classes))
    if images.outputs.target == "labels":
        return (len(images.readable("train")) - counts) / np.maximum(counts, 1)
    return counts.sum() / (len(counts) * np.maximum(counts, 1))


class LabelsLoss(BCEWithLogitsLossFlat):
    """Binary cross-entropy of each label; smoothing draws 0 and 1 towards a half by this share."""

    def __init__(self, smoothing: float, pos_weight: Tensor | None = None) -> None:
        super().__init__(pos_weight=pos_weight)
        self.smoothing = smoothing

    def __call__(self, inp: Tensor, targ: Tensor, **kwargs: Any) -> Tensor:
        """The mean over images and labels; both are (images, labels)."""
        smooth = targ * (1 - self.smoothing) + self.smoothing / 2
        loss: Tensor = super().__call__(inp, smooth, **kwargs)
        return loss


class SmoothL1LossFlat(BaseLoss):
    """torch's SmoothL1Loss on flattened outputs and targets."""

    def __init__(self) -> None:
        super().__init__(nn.SmoothL1Loss, floatify=True, is_2d=False)
