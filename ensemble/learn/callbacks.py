"""What we add to fastai's training loop; each is given to one `fit` only, never left on the Learner."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from fastai.callback.core import (
    Callback,
    CancelFitException,
    CancelValidException,
    TrainEvalCallback,
)
from fastai.callback.mixup import CutMix, MixUp
from fastai.learner import AvgLoss, AvgMetric, AvgSmoothLoss, Learner, Recorder
from timm.utils import ModelEmaV3
from torch import Tensor, nn, tensor
from torch.distributions import Beta

from ensemble.learn.device import seed_everything
from ensemble.recipe import EarlyStop

State = dict[str, Tensor]


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


class Penalise(Callback):
    """Adds what the weights of some modules cost to the loss that is minimised, not to the one that is shown."""

    def __init__(self, parts: list[tuple[nn.Module, float, float]]) -> None:
        weights = (nn.Linear, nn.Conv2d)
        self.parts = [
            ([m.weight for m in part.modules() if isinstance(m, weights)], l1, l2)
            for part, l1, l2 in parts
        ]

    def after_loss(self) -> None:  # noqa: D102
        if not self.training:
            return
        for weights, l1, l2 in self.parts:
            for weight in weights:
                self.learn.loss_grad = (
                    self.learn.loss_grad + l1 * weight.abs().sum() + l2 * weight.square().sum()
                )


class MixUpOrCutMix(CutMix):
    """Each batch is mixed one way or the other, with equal chance; the alphas are those of their beta distributions."""

    def __init__(self, mixup: float, cutmix: float) -> None:
        super().__init__(cutmix)
        self.ways = [
            (MixUp, Beta(tensor(mixup), tensor(mixup))),
            (CutMix, Beta(tensor(cutmix), tensor(cutmix))),
        ]

    def before_batch(self) -> None:  # noqa: D102
        way, self.distrib = self.ways[int(torch.rand(()) < 0.5)]
        way.before_batch(self)


class FiniteLoss(Callback):
    """Ends training when its loss is no number; `problem` then names epoch, batch and rate.

    It does not raise an error itself: fastai would put its own words before ours.
    """

    order = 60  # after the Recorder

    def __init__(self, phase: str, every: int) -> None:
        self.phase, self.every, self.problem = phase, every, ""

    def after_batch(self) -> None:  # noqa: D102
        if self.training and self.iter % self.every == 0 and not math.isfinite(self.loss.item()):
            self.problem = (
                f"the loss became {self.loss.item()} in phase {self.phase}, epoch {self.epoch + 1}, batch "
                f"{self.iter + 1}, at rate {self.opt.hypers[-1]['lr']:.2g}\nset a smaller fit.lr"
            )
            raise CancelFitException


class Keeper(Callback):
    """Remembers the weights of one epoch over all phases of a run; what is_done says ends a phase before its time."""

    order = 63

    def __init__(self) -> None:
        self.whole: nn.Module | None = None  # the network, where only its head is on the Learner
        self.n_seen, self.kept_epoch, self.is_best = 0, 0, False
        self.state: State = {}

    def begin(self, phase: str, n_done: int) -> None:
        """A phase begins, or goes on after so many epochs."""

    @property
    def is_done(self) -> bool:
        """Whether the phase should train no further epoch."""
        return False

    @property
    def is_over(self) -> bool:
        """Whether no later phase should train either."""
        return False

    def before_epoch(self) -> None:  # noqa: D102
        # not in after_epoch: callbacks after this one would never hear of the last epoch
        if self.is_done:
            raise CancelFitException

    def memory(self) -> dict[str, Any]:
        """What it knows besides the weights, as plain values."""
        own = ("n_seen", "kept_epoch", "is_best", "waited", "best_value", "reference")
        return {name: getattr(self, name) for name in own if name in vars(self)}

    def recall(self, memory: dict[str, Any], state: State) -> None:
        """The inverse of memory."""
        vars(self).update(memory)
        self.state = state

    def keep(self) -> None:
        """Take the network as it is now."""
        network = self.learn.model if self.whole is None else self.whole
        self.kept_epoch, self.state = self.n_seen, copy_of(network)


class Best(Keeper):
    """Keeps the best epoch, or with `keep="last"` the last; stops a phase after `patience` epochs without a better."""

    def __init__(
        self, monitor: str, early_stop: EarlyStop | None = None, keep: str = "best"
    ) -> None:
        super().__init__()
        self.monitor, self.early_stop, self.keep_last = monitor, early_stop, keep == "last"
        self.waited = 0
        self.best_value = math.inf
        self.reference = math.inf

    @property
    def is_done(self) -> bool:
        """Whether patience is at its end."""
        return self.early_stop is not None and self.waited >= self.early_stop.patience

    def before_fit(self) -> None:  # noqa: D102
        self.waited = 0

    def after_validate(self) -> None:  # noqa: D102
        valid_loss, accuracy = self.learn.recorder.log[2:4]
        value = valid_loss if self.monitor == "valid_loss" else -accuracy
        self.n_seen += 1
        self.is_best = value < self.best_value  # a tie stays with the earlier epoch, NaN never wins
        if self.is_best:
            self.best_value = value
        if self.is_best or self.keep_last:
            self.keep()
        if self.early_stop is None:
            return
        if value < self.reference - self.early_stop.min_delta:
            self.reference, self.waited = value, 0
        else:
            self.waited += 1


class EndAt(Keeper):
    """Ends each phase after as many epochs as another fit kept of it, and keeps the last; nothing is validated."""

    order = 65

    def __init__(self, by_phase: Mapping[str, int]) -> None:
        super().__init__()
        self.by_phase, self.phase, self.n_in_phase = by_phase, "", 0

    def begin(self, phase: str, n_done: int) -> None:
        """A phase begins, or goes on after so many epochs."""
        self.phase, self.n_in_phase = phase, n_done

    @property
    def is_done(self) -> bool:
        """Whether the phase has had its epochs."""
        return self.n_in_phase >= self.by_phase.get(self.phase, 0)

    @property
    def is_over(self) -> bool:
        """Whether all phases have had theirs."""
        return self.n_seen >= sum(self.by_phase.values())

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException

    def after_cancel_validate(self) -> None:  # noqa: D102
        self.n_seen, self.n_in_phase = self.n_seen + 1, self.n_in_phase + 1
        if self.is_over:
            self.keep()


class Averaged(Callback):
    """Validates, and so keeps, an exponential moving average of the weights (timm's ModelEmaV3, with its warm-up)."""

    order = 64  # after Best, so that it is kept before it is put away again; before EndAt, which cancels validation

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.average = ModelEmaV3(network, decay=decay, use_warmup=True)
        self.n_steps = 0

    def after_batch(self) -> None:  # noqa: D102
        if self.training:
            self.n_steps += 1
            self.average.update(self.learn.model, self.n_steps)

    def before_validate(self) -> None:  # noqa: D102
        self.trained, self.learn.model = self.learn.model, self.average.module

    def after_validate(self) -> None:  # noqa: D102
        self.learn.model = self.trained


def copy_of(network: nn.Module) -> State:
    """The network's weights and statistics, apart from it, on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()
    }


class MeanLoss(AvgLoss):
    """The mean loss of a part, summed up where it is computed: fastai's copies it to the host for every batch."""

    def accumulate(self, learn: Learner) -> None:  # noqa: D102
        n_images = len(learn.yb[0])
        self.total += learn.loss.detach().mean() * n_images
        self.count += n_images


class MeanMetric(AvgMetric):
    """A metric's mean over a part, likewise."""

    def accumulate(self, learn: Learner) -> None:  # noqa: D102
        n_images = len(learn.yb[0])
        self.total += self.func(learn.pred, *learn.yb).detach() * n_images
        self.count += n_images


class SmoothLoss(AvgSmoothLoss):
    """fastai's running mean of the training loss, likewise."""

    def accumulate(self, learn: Learner) -> None:  # noqa: D102
        self.count += 1
        loss = learn.loss.detach().mean().float()
        self.val = torch.lerp(loss, self.val.to(loss.device), self.beta)


class LossOnDevice(Callback):
    """Losses wait on the device for the end of the epoch; reading each would stop the host once a batch."""

    order = Recorder.order - 1

    def before_fit(self) -> None:  # noqa: D102
        recorder = self.learn.recorder
        smooth_loss = SmoothLoss(recorder.smooth_loss.beta)
        vars(recorder).update(
            loss=MeanLoss(), smooth_loss=smooth_loss
        )  # else fastai warns of a name of the Learner's

    def after_fit(self) -> None:  # noqa: D102
        losses = self.learn.recorder.losses
        self.learn.recorder.losses = list(torch.stack(losses).cpu()) if losses else []


class Watch(Callback):
    """Tells a listener about batches and epochs; on a GPU the loss is read rarely: reading waits for the device."""

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
        loss = (
            self.smooth_loss.item()
            if self.dls.device.type == "cpu" or self.iter % 50 == 49
            else None
        )
        self.on_batch(self.epoch * self.n_iter + self.iter + 1, self.n_epoch * self.n_iter, loss)

    def after_epoch(self) -> None:  # noqa: D102
        if self.has_trained:  # else an epoch that was skipped on resuming
            self.on_epoch(time.perf_counter() - self.started)


class ChannelsLast(Callback):
    """Batches in the memory order that convolutions like, as plain tensors: fastai's own slow down every step."""

    order = -5

    def before_batch(self) -> None:  # noqa: D102
        self.learn.xb = tuple(
            x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last) for x in self.xb
        )
        self.learn.yb = tuple(y.as_subclass(Tensor) for y in self.yb)


def nothing(*_: object) -> None:
    """A listener that does not watch."""
