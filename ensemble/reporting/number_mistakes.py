"""Where predicted numbers are far from the true ones: errors by range, images far off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble.predictions import Array, Predictions
from ensemble.targets import Target

N_DRAWN = 500  # points of a figure
N_RANGES = 5


@dataclass(frozen=True)
class FarOff:
    """An image with its true and its predicted number.

    thumbnail is a data URI, "" where the image is not available.
    """

    id: str
    true: float
    predicted: float
    thumbnail: str


@dataclass(frozen=True)
class RangeErrors:
    """The images whose true number is from low to high: the mean residual and the mean error."""

    low: float
    high: float
    n_rows: int
    bias: float
    mae: float


@dataclass(frozen=True, eq=False)
class NumberMistakes:
    """How predicted numbers differ from the true ones; a residual is the true minus the predicted.

    explained is the share of the variance that predictions explain (R²), NaN where all numbers are
    equal. drawn are pairs of a true and a predicted number, of at most N_DRAWN images spread evenly
    from the smallest true number to the largest; shown are the images of the largest residuals.
    """

    target: ClassVar[Target] = "number"
    n_rows: int
    classes: tuple[str, ...]
    rmse: float
    mae: float
    bias: float
    explained: float
    ranges: tuple[RangeErrors, ...]
    drawn: Array
    shown: tuple[FarOff, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The images of each range."""
        return {f"{each.low:.6g} to {each.high:.6g}": each.n_rows for each in self.ranges}


def number_mistakes_of(
    predictions: Predictions, thumbnail: Callable[[str], str], n_shown: int
) -> NumberMistakes:
    """Everything about predictions with true numbers; thumbnail gives a data URI by an id."""
    true, predicted = predictions.known_targets, predictions.probs[:, 0].astype(np.float64)
    residuals = true - predicted
    order = np.argsort(true, kind="stable")
    spread = np.unique(np.linspace(0, len(true) - 1, N_DRAWN).round().astype(int))
    variance = float(true.var())
    worst = np.argsort(-np.abs(residuals), kind="stable")[:n_shown].tolist()
    mean_square = float((residuals**2).mean())
    return NumberMistakes(
        n_rows=len(true),
        classes=predictions.classes,
        rmse=mean_square**0.5,
        mae=float(np.abs(residuals).mean()),
        bias=float(residuals.mean()),
        explained=1 - mean_square / variance if variance else float("nan"),
        ranges=_ranges(true[order], residuals[order]),
        drawn=np.stack([true, predicted], axis=1)[order[spread]],
        shown=tuple(
            FarOff(
                name := str(predictions.ids[i]),
                float(true[i]),
                float(predicted[i]),
                thumbnail(name),
            )
            for i in worst
            if residuals[i]
        ),
    )


def _ranges(true: Array, residuals: Array) -> tuple[RangeErrors, ...]:
    """Ranges of about as many images each, equal numbers together; true rises."""
    ends = [len(true) * i // N_RANGES for i in range(1, N_RANGES)]
    cuts = sorted({int(np.searchsorted(true, true[end])) for end in ends} | {0, len(true)})
    return tuple(
        RangeErrors(
            low=float(true[start]),
            high=float(true[stop - 1]),
            n_rows=stop - start,
            bias=float(residuals[start:stop].mean()),
            mae=float(np.abs(residuals[start:stop]).mean()),
        )
        for start, stop in zip(cuts, cuts[1:], strict=False)
    )
