"""The learning-rate range test (Smith, 2015) with fastai's four rules, and a stated fallback when they fail.

It runs on the network as the first phase trains it, on a separate random stream, and restores
everything: training afterwards gives the same bytes as training with that rate in the recipe.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import minimum, slide, steep, valley
from fastai.learner import Learner

RULES = {"valley": valley, "slide": slide, "steep": steep, "minimum": minimum}
FALLBACK = 1e-3  # AdamW's usual rate, for a curve that no rule can read
FULL_STEPS, FEWEST_STEPS, SHARE = 100, 40, 5
FLAT = 0.02  # a curve whose smoothed loss falls by less than this share is flat


@dataclass(frozen=True)
class RangeTest:
    """Smoothed loss by rate, each rule's suggestion (None: too few points), the chosen rate and the rule behind it.

    rule is "fallback" where no rule can read the curve; note then has the reason.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestions: dict[str, float | None]
    chosen: float
    rule: str
    n_steps: int
    note: str = ""


def n_steps_for(run_steps: int) -> int:
    """A fifth of the run's steps, at most 100 and at least 40."""
    return max(FEWEST_STEPS, min(FULL_STEPS, run_steps // SHARE))


def range_test(learn: Learner, rule: str, n_steps: int, callbacks: Sequence[Callback]) -> RangeTest:
    """Train `n_steps` with growing rates, read the curve, restore the network.

    A full test runs from 1e-7 to 10; fewer steps cover 1e-5 to 1 only, or they would be too coarse.
    """
    start, end = (1e-7, 10) if n_steps >= FULL_STEPS else (1e-5, 1)
    path, learn.opt = learn.path, None
    with tempfile.TemporaryDirectory() as folder, learn.added_cbs(callbacks):
        learn.path = Path(folder)
        try:
            learn.lr_find(start, end, n_steps, show_plot=False, suggest_funcs=None)
        finally:
            learn.path, learn.opt = path, None
    rates = [float(rate) for rate in learn.recorder.lrs]
    losses = [float(loss) for loss in learn.recorder.losses]
    return read_curve(rates, losses, rule, n_steps)


def read_curve(
    rates: Sequence[float], losses: Sequence[float], rule: str, n_steps: int
) -> RangeTest:
    """Every rule's suggestion and the choice from a curve; a flat or diverging one falls back to 1e-3 and says so."""
    finite = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    kept_rates, kept = rates[:finite], losses[:finite]
    trimmed = slice(n_steps // 10, -5 if len(kept) > n_steps // 10 + 10 else None)
    suggestions = {
        name: _suggestion(function, kept_rates[trimmed], kept[trimmed], n_steps)
        for name, function in RULES.items()
    }
    problem = _problem(kept_rates, kept, trimmed, finite < len(losses))
    chosen = suggestions[rule]
    if not problem and chosen is None:
        problem = f"the {rule} rule found too few points"
    if problem or chosen is None:
        note = f"the range test found no rate ({problem}); using {FALLBACK:g}"
        return RangeTest(
            tuple(kept_rates), tuple(kept), suggestions, FALLBACK, "fallback", n_steps, note
        )
    return RangeTest(tuple(kept_rates), tuple(kept), suggestions, chosen, rule, n_steps)


def _problem(
    rates: Sequence[float], losses: Sequence[float], trimmed: slice, became_nan: bool
) -> str:
    """Why the rules, which see the trimmed curve alone, cannot read it; "" where they can."""
    read = losses[trimmed]
    if len(read) < 8:
        return f"only {len(read)} points" + (
            " before the loss was NaN or infinite" if became_nan else ""
        )
    if read[0] - min(read) >= FLAT * abs(read[0]):
        return ""
    return _shape(rates, losses)


def _shape(rates: Sequence[float], losses: Sequence[float]) -> str:
    """The whole curve in words, with the ends that the rules do not see: the CSV and the figure show them."""
    start, lowest = losses[0], min(losses)
    lowest_at = losses.index(lowest)
    if max(losses) - lowest < FLAT * abs(start):
        return "the curve is flat"
    if lowest_at == 0:
        is_rising = all(later >= earlier for earlier, later in pairwise(losses))
        if is_rising:
            return "the loss only rises"
        return f"the loss never falls below its first value, {start:.3f}"
    is_rising = losses[-1] - lowest >= FLAT * abs(lowest)
    ending = "and rises from there" if is_rising else "in steps that the rules leave out"
    rate = rates[lowest_at]
    return f"the loss falls from {start:.3f} to {lowest:.3f} at the rate {rate:.2g} {ending}"


def _suggestion(
    rule: Callable[..., tuple[float, object]],
    rates: Sequence[float],
    losses: Sequence[float],
    n_steps: int,
) -> float | None:
    try:
        rate = float(rule(torch.tensor(rates), torch.tensor(losses), n_steps)[0])
    except (IndexError, ValueError, RuntimeError, ZeroDivisionError):
        return None
    return rate if math.isfinite(rate) and rate > 0 else None
