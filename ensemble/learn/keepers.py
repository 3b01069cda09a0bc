"""Which epoch's weights a run keeps: the best one, the last one, or the one that another fit kept."""

import math
from collections.abc import Mapping
from typing import Any

from fastai.callback.core import Callback, CancelFitException, CancelValidException
from torch import Tensor, nn

from ensemble.metrics import Metric
from ensemble.recipe import EarlyStop

State = dict[str, Tensor]
STORED = ("n_seen", "kept_epoch", "is_best", "waited", "best_value", "reference")


def copy_of(network: nn.Module) -> State:
    """A copy of the network's weights and statistics on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()
    }


class Keeper(Callback):
    """Keeps the weights of one epoch over all phases of a run; ends a phase early where is_done says so.

    whole_network is set where the Learner trains the head alone.
    """

    order = 63

    def __init__(self) -> None:
        self.whole_network: nn.Module | None = None
        self.n_seen, self.kept_epoch, self.is_best = 0, 0, False
        self.kept: State = {}

    def begin(self, phase: str, n_done: int) -> None:
        """A phase begins, or resumes after n_done epochs."""

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

    def state_dict(self) -> dict[str, Any]:
        """Its counters and scores as plain values; the kept weights are stored apart."""
        return {name: getattr(self, name) for name in STORED if name in vars(self)}

    def load_state_dict(self, state: dict[str, Any], kept: State) -> None:
        """Restore what state_dict gave, and the weights that were kept then."""
        for name, value in state.items():
            setattr(self, name, value)
        self.kept = kept

    def keep(self) -> None:
        """Copy the network as it is now."""
        network = self.learn.model if self.whole_network is None else self.whole_network
        self.kept_epoch, self.kept = self.n_seen, copy_of(network)


class Best(Keeper):
    """Keeps the best epoch, or the last with keep="last"; ends a phase after `patience` epochs without a better one.

    metric is what the monitor "metric" stands for.
    """

    def __init__(
        self,
        monitor: str,
        early_stop: EarlyStop | None = None,
        keep: str = "best",
        metric: Metric | None = None,
    ) -> None:
        super().__init__()
        self.early_stop, self.keep_last = early_stop, keep == "last"
        self.column = {"valid_loss": 2, "accuracy": 3, "metric": -1}[monitor]  # of the log
        is_higher_better = metric is None or metric.is_higher_better
        self.sign = {"valid_loss": 1, "accuracy": -1}.get(monitor, -1 if is_higher_better else 1)
        self.waited = 0
        self.best_value = math.inf
        self.reference = math.inf

    @property
    def is_done(self) -> bool:
        """Whether patience has run out."""
        return self.early_stop is not None and self.waited >= self.early_stop.patience

    def before_fit(self) -> None:  # noqa: D102
        self.waited = 0

    def after_validate(self) -> None:  # noqa: D102
        score = self.sign * self.learn.recorder.log[self.column]
        self.n_seen += 1
        self.is_best = score < self.best_value  # a tie stays with the earlier epoch, NaN never wins
        if self.is_best:
            self.best_value = score
        if self.is_best or self.keep_last:
            self.keep()
        if self.early_stop is None:
            return
        if score < self.reference - self.early_stop.min_delta:
            self.reference, self.waited = score, 0
        else:
            self.waited += 1


class EndAt(Keeper):
    """Ends each phase after the epochs that another fit kept of it, and keeps the last one; validates nothing."""

    order = 65

    def __init__(self, by_phase: Mapping[str, int]) -> None:
        super().__init__()
        self.by_phase, self.phase, self.n_in_phase = by_phase, "", 0

    def begin(self, phase: str, n_done: int) -> None:
        """A phase begins, or resumes after n_done epochs."""
        self.phase, self.n_in_phase = phase, n_done

    @property
    def is_done(self) -> bool:
        """Whether the phase has trained its epochs."""
        return self.n_in_phase >= self.by_phase.get(self.phase, 0)

    @property
    def is_over(self) -> bool:
        """Whether all phases have trained theirs."""
        return self.n_seen >= sum(self.by_phase.values())

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException

    def after_cancel_validate(self) -> None:  # noqa: D102
        self.n_seen, self.n_in_phase = self.n_seen + 1, self.n_in_phase + 1
        if self.is_over:
            self.keep()
