"""What we add to fastai's training loop; each is given to one `fit` only, never left on the Learner."""

import math
import time
from collections.abc import Callable

import torch
from fastai.callback.core import Callback, CancelFitException, TrainEvalCallback
from fastai.callback.mixup import CutMix, MixUp
from torch import Tensor, nn, tensor
from torch.distributions import Beta

from ensemble.learn.device import seed_everything
from ensemble.memory import return_free_memory

LossTerm = tuple[nn.Module, float, float]  # a module, the price of its weights in L1 and in L2


class FrozenInEval(Callback):
    """Frozen modules stay in evaluation mode: their batch-norm statistics do not move (fastai's do)."""

    order = TrainEvalCallback.order + 1

    def before_train(self) -> None:  # noqa: D102
        freeze_statistics(self.learn.model)


def freeze_statistics(module: nn.Module) -> None:
    """Evaluation mode for every module all of whose parameters are frozen."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        freeze_statistics(child)


class SeedEpochs(Callback):
    """Every epoch starts its own random stream, so that nothing before it changes what it draws."""

    order = -100

    def __init__(self, seed: int, phase: str) -> None:
        self.seed, self.phase = seed, phase

    def before_epoch(self) -> None:  # noqa: D102
        for i, loader in enumerate(self.learn.dls.loaders):
            loader.rng = seed_everything(self.seed, self.phase, self.epoch, i)


class Penalize(Callback):
    """Adds L1 and L2 penalties of some modules' weights to the loss that is minimized, not to the one that is shown."""

    def __init__(self, terms: list[LossTerm]) -> None:
        self.terms = [(_weights_of(module), l1, l2) for module, l1, l2 in terms]

    def after_loss(self) -> None:  # noqa: D102
        if not self.training:
            return
        for weights, l1, l2 in self.terms:
            for weight in weights:
                penalty = l1 * weight.abs().sum()
                self.learn.loss_grad = self.learn.loss_grad + penalty + l2 * weight.square().sum()


def _weights_of(module: nn.Module) -> list[Tensor]:
    layers = (layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d))
    return [layer.weight for layer in layers]


class MixUpOrCutMix(CutMix):
    """Mixes each batch by MixUp or CutMix with equal chance; the alphas are those of their beta distributions."""

    def __init__(self, mixup: float, cutmix: float) -> None:
        super().__init__(cutmix)
        self.methods = [
            (MixUp, Beta(tensor(mixup), tensor(mixup))),
            (CutMix, Beta(tensor(cutmix), tensor(cutmix))),
        ]

    def before_batch(self) -> None:  # noqa: D102
        method, self.distrib = self.methods[int(torch.rand(()) < 0.5)]
        method.before_batch(self)


class FiniteLoss(Callback):
    """Ends training when its loss is NaN or infinite; `problem` then names epoch, batch and rate.

    It raises no error itself: fastai would put its own words before ours.
    """

    order = 60  # after the Recorder

    def __init__(self, phase: str, every: int) -> None:
        self.phase, self.every, self.problem = phase, every, ""

    def after_batch(self) -> None:  # noqa: D102
        if self.training and self.iter % self.every == 0 and not math.isfinite(self.loss.item()):
            self.problem = (
                f"the loss became {self.loss.item()} in phase {self.phase}, "
                f"epoch {self.epoch + 1}, batch {self.iter + 1}, "
                f"at rate {self.opt.hypers[-1]['lr']:.2g}\nset a smaller fit.lr"
            )
            raise CancelFitException


class Watch(Callback):
    """Reports batches and epochs; on a GPU it reads the loss rarely, since reading waits for the device."""

    order = 70

    def __init__(
        self, on_batch: Callable[[int, int, float | None], None], on_epoch: Callable[[float], None]
    ) -> None:
        self.on_batch, self.on_epoch = on_batch, on_epoch

    def before_epoch(self) -> None:  # noqa: D102
        self.started, self.has_trained = time.perf_counter(), False

    def before_train(self) -> None:  # noqa: D102
        self.has_trained = True

    def after_batch(self) -> None:  # noqa: D102
        if not self.training:
            return
        is_read = self.dls.device.type == "cpu" or self.iter % 50 == 49
        loss = self.smooth_loss.item() if is_read else None
        self.on_batch(self.epoch * self.n_iter + self.iter + 1, self.n_epoch * self.n_iter, loss)

    def after_epoch(self) -> None:  # noqa: D102
        if self.has_trained:  # else an epoch that resuming skipped
            self.on_epoch(time.perf_counter() - self.started)


class ReturnMemory(Callback):
    """Returns free memory every 100 steps on a CPU, whose heap would grow for as long as it trains."""

    def after_batch(self) -> None:  # noqa: D102
        if self.training and self.dls.device.type == "cpu" and self.train_iter % 100 == 0:
            return_free_memory()


class ChannelsLast(Callback):
    """Batches in the memory order that convolutions like, as plain tensors: fastai's slow down every step."""

    order = -5

    def before_batch(self) -> None:  # noqa: D102
        self.learn.xb = tuple(
            x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last) for x in self.xb
        )
        self.learn.yb = tuple(y.as_subclass(Tensor) for y in self.yb)


def nothing(*_: object) -> None:
    """A listener that does nothing."""
