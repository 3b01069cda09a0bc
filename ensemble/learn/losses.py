"""fastai's losses and metrics, summed on the device: fastai copies each batch's to the host, which waits for it."""

from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import AvgLoss, AvgMetric, AvgSmoothLoss, Learner, Recorder


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
