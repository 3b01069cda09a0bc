"""Averages of the weights, which are validated and kept instead of the weights that are trained."""

from collections.abc import Iterable

import torch
from fastai.callback.core import Callback
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from ensemble.learn.amp import autocast
from ensemble.learn.callbacks import freeze_statistics
from ensemble.learn.keepers import State, copy_of
from ensemble.recipe import Fit


class Averaged(Callback):
    """Validates and keeps average, a network of n_averaged weights, once there are some."""

    order = 64  # after Best, which keeps the average while it is the model; before EndAt, which cancels validation

    def __init__(self, average: nn.Module) -> None:
        self.average = average
        self.n_averaged = 0

    def state_dict(self) -> tuple[State, int]:
        """A copy of the average, and how many weights are in it."""
        return copy_of(self.average), self.n_averaged

    def load_state_dict(self, weights: State, n_averaged: int) -> None:
        """Restore what state_dict gave."""
        self.average.load_state_dict(weights)
        self.n_averaged = n_averaged

    def before_validate(self) -> None:  # noqa: D102
        self.trained = self.learn.model
        if self.n_averaged:
            self.learn.model = self.average

    def after_validate(self) -> None:  # noqa: D102
        self.learn.model = self.trained


class MovingAverage(Averaged):
    """An exponential moving average after every step (timm's ModelEmaV3, with its warm-up)."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.ema = ModelEmaV3(network, decay=decay, use_warmup=True)
        super().__init__(self.ema.module)

    def after_batch(self) -> None:  # noqa: D102
        if self.training:
            self.n_averaged += 1
            self.ema.update(self.learn.model, self.n_averaged)


class LastEpochs(Averaged):
    """The mean of the weights after each of the last n_epochs (Izmailov et al., 2018), by torch's AveragedModel.

    Statistics of batch norms are those of the average itself on the training images.
    """

    def __init__(self, network: nn.Module, n_epochs: int, precision: str) -> None:
        self.mean = AveragedModel(network)
        super().__init__(self.mean.module)
        self.n_epochs, self.precision = n_epochs, precision

    def before_validate(self) -> None:  # noqa: D102
        if self.epoch >= self.n_epoch - self.n_epochs:
            self.mean.n_averaged.fill_(self.n_averaged)
            self.mean.update_parameters(self.learn.model)
            self.n_averaged += 1
            self._refresh_statistics()
        super().before_validate()

    def _refresh_statistics(self) -> None:
        trained = self.learn.model.train()
        freeze_statistics(trained)
        norms = [
            averaged
            for averaged, module in zip(self.average.modules(), trained.modules(), strict=True)
            if isinstance(averaged, _BatchNorm) and module.training and averaged.track_running_stats
        ]
        refresh_statistics(self.average, norms, self.dls.train, self.precision)


def refresh_statistics(
    network: nn.Module,
    norms: list[_BatchNorm],
    batches: Iterable[tuple[Tensor, ...]],
    precision: str,
) -> None:
    """Set the batch norms' statistics to their means over batches of images; all else is in evaluation mode."""
    network.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative mean
        norm.train()
    with torch.no_grad():
        for x, *_ in batches if norms else ():
            images = x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
            with autocast(precision, images.device):
                network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def average_of(network: nn.Module, fit: Fit, precision: str) -> Averaged | None:
    """The average that the recipe asks for."""
    if fit.average_last:
        return LastEpochs(network, fit.average_last, precision)
    return MovingAverage(network, fit.ema) if fit.ema else None
