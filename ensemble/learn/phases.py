"""The phases of a strategy: which layer groups train, for how many epochs, and on which schedule."""

from dataclasses import dataclass

import numpy as np
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.learner import Learner

from ensemble.errors import RecipeError
from ensemble.recipe import Fit

LR_MULT = (
    100.0  # fastai's fine_tune: the first layer group trains at a hundredth of the last one's rate
)


@dataclass(frozen=True)
class Phase:
    """Epochs that train the same layer groups, from first_group on (0: the stem, -1: the head alone)."""

    name: str
    n_epochs: int
    first_group: int
    pct_start: float = 0.25
    div: float = 25.0
    share_of_rate: float = 1.0
    is_unfrozen: bool = False


def plan(fit: Fit, n_groups: int) -> list[Phase]:
    """The phases of a strategy; fine_tune's shapes are fastai's (frozen, then unfrozen at half the rate).

    gradual spreads its epochs over the stages, from the last to the first; unfreeze_from makes it one step.
    Raises RecipeError where no phase has an epoch.
    """
    head_alone = Phase("frozen", fit.frozen_epochs, -1, pct_start=0.99)
    if fit.strategy == "scratch":
        phases = [Phase("scratch", fit.epochs, 0)]
    elif fit.strategy == "feature_extract":
        phases = [Phase("frozen", fit.epochs, -1)]
    elif fit.strategy == "linear_probe":
        phases = [Phase("linear probe", 1, -1)]
    elif fit.strategy == "fine_tune":
        phases = [head_alone, _unfrozen("unfrozen", fit.epochs, 0)]
    else:
        phases = [head_alone, *_gradual_steps(fit, n_groups)]
    phases = [phase for phase in phases if phase.n_epochs]
    if not phases:
        raise RecipeError("fit.epochs: no phase has an epoch, so nothing is trained")
    return phases


def _unfrozen(name: str, n_epochs: int, first_group: int) -> Phase:
    shape = {"pct_start": 0.3, "div": 5.0, "share_of_rate": 0.5}
    return Phase(name, n_epochs, first_group, is_unfrozen=True, **shape)


def _gradual_steps(fit: Fit, n_groups: int) -> list[Phase]:
    """The steps of gradual unfreezing: the body's stages unfreeze from the end, at most one step per epoch."""
    if fit.unfreeze_from is not None:
        return [_unfrozen(f"from {fit.unfreeze_from}", fit.epochs, n_groups - 2)]
    n_stages = n_groups - 1
    n_steps = min(n_stages, fit.epochs)
    phases = []
    for i in range(n_steps):
        n_epochs = fit.epochs * (i + 1) // n_steps - fit.epochs * i // n_steps
        first = n_stages - n_stages * (i + 1) // n_steps
        phases.append(_unfrozen(f"from stage {first + 1} of {n_stages}", n_epochs, first))
    return phases


def schedule(learn: Learner, name: str, phase: Phase, rates: float | slice) -> list[Callback]:
    """fastai's schedule of rates and momentum as a callback, rates by layer group.

    fastai's fit_flat_cos could not begin at a later epoch.
    """
    learn.opt.set_hyper("lr", rates)
    peak = np.array([group["lr"] for group in learn.opt.hypers])
    if name == "constant":
        return [ParamScheduler({"lr": lambda _: peak})]
    if name == "flat_cosine":
        return [ParamScheduler({"lr": combined_cos(0.75, peak, peak, peak / 1e5)})]
    rates_of_step = combined_cos(phase.pct_start, peak / phase.div, peak, peak / 1e5)
    momentum = combined_cos(phase.pct_start, *learn.moms)
    return [ParamScheduler({"lr": rates_of_step, "mom": momentum})]


def freeze(learn: Learner, phase: Phase) -> int:
    """A fresh optimizer that trains the phase's layer groups; returns how many parameters train."""
    learn.create_opt()
    learn.freeze_to(phase.first_group)
    return sum(p.numel() for p in learn.model.parameters() if p.requires_grad)
