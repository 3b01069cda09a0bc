"""Mixed precision by fastai's callback, with an autocast that ends even where a batch raises an error.

fastai 2.8 enters autocast before a batch and leaves it after the loss. After an error between the two, such as
memory that runs out in the forward pass, autocast would stay on in the process, with stale copies of the weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.learner import Learner

AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> torch.autocast | nullcontext[None]:
    """A context manager in which a network computes in this precision."""
    if precision not in AMP:
        return nullcontext()
    return torch.autocast(device.type, AMP[precision])


class Amp(MixedPrecision):
    """bf16, or fp16 with a gradient scaler."""

    is_entered = False

    def __init__(self, precision: str) -> None:
        super().__init__(AMPMode.BF16 if precision == "bf16" else AMPMode.FP16)

    def before_fit(self) -> None:  # noqa: D102
        super().before_fit()
        self.autocast = autocast(self.amp_mode.value, self.dls.device)

    def before_batch(self) -> None:  # noqa: D102
        super().before_batch()
        self.is_entered = True

    def after_loss(self) -> None:  # noqa: D102
        self.leave()

    def leave(self) -> None:
        """Leave autocast if it is entered; this drops its cached copies of the weights."""
        if self.is_entered:
            self.is_entered = False
            super().after_loss()


@contextmanager
def clean_on_error(learn: Learner) -> Iterator[None]:
    """After an error in a fit: leave autocast, drop gradients and the graph of the last batch."""
    model = learn.model
    try:
        yield
    except BaseException:
        learn.model = model  # during validation it may be the average of the weights
        for callback in learn.cbs:
            if isinstance(callback, Amp):
                callback.leave()
        learn.model.zero_grad(set_to_none=True)
        learn.xb = learn.yb = ()
        learn.pred = learn.loss = learn.loss_grad = None
        raise
