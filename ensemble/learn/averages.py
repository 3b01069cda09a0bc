"""A moving average of the weights, which is validated and kept instead of the weights that are trained."""

from fastai.callback.core import Callback
from timm.utils import ModelEmaV3
from torch import nn

from ensemble.learn.keepers import State, copy_of


class MovingAverage(Callback):
    """An exponential moving average after every step (timm's ModelEmaV3, with its warm-up)."""

    order = 64  # after Best, which keeps the average while it is the model; before EndAt, which cancels validation

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.ema = ModelEmaV3(network, decay=decay, use_warmup=True)
        self.n_averaged = 0

    def state_dict(self) -> tuple[State, int]:
        """A copy of the average, and how many weights are in it."""
        return copy_of(self.ema.module), self.n_averaged

    def load_state_dict(self, weights: State, n_averaged: int) -> None:
        """Restore what state_dict gave."""
        self.ema.module.load_state_dict(weights)
        self.n_averaged = n_averaged

    def after_batch(self) -> None:  # noqa: D102
        if self.training:
            self.n_averaged += 1
            self.ema.update(self.learn.model, self.n_averaged)

    def before_validate(self) -> None:  # noqa: D102
        self.trained, self.learn.model = self.learn.model, self.ema.module

    def after_validate(self) -> None:  # noqa: D102
        self.learn.model = self.trained
