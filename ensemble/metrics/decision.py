"""How probabilities become answers where a metric reads decisions.

A decision is learned by `ensemble/blending/decisions.py`, stored in a submission's manifest, and
applied to the blend's probabilities before any calibration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble.metrics.rows import FLOOR, TIE, Array, predicted
from ensemble.targets import Target

LEAST_POWER = 0.05


@dataclass(frozen=True)
class MostProbable:
    """The most probable class; ties, within rounding, go to the first class."""

    rule: Literal["most probable"] = "most probable"

    def apply(self, probs: Array) -> Array:
        """The answers, positions of classes (...,), of probs (..., classes)."""
        return predicted(probs)

    @property
    def words(self) -> str:
        """The decision in a few words."""
        return "the most probable class"


@dataclass(frozen=True)
class CutPoints:
    """The grade that the expected grade falls into: as many steps up as cut points are reached.

    steps is the place of each class in the order of grades, cuts rise, one fewer than there are
    classes.
    """

    classes: tuple[str, ...]
    steps: tuple[int, ...]
    cuts: tuple[float, ...]
    rule: Literal["cut points"] = "cut points"

    def __post_init__(self) -> None:
        is_order = sorted(self.steps) == list(range(len(self.classes)))
        if not is_order or len(self.cuts) != len(self.classes) - 1 or _falls(self.cuts):
            raise ValueError("cut points do not fit their classes")

    def apply(self, probs: Array) -> Array:
        """The answers, positions of classes (...,), of probs (..., classes)."""
        steps = np.searchsorted(self.cuts, expected_steps(probs, self.steps), side="right")
        return np.argsort(self.steps)[steps]

    @property
    def words(self) -> str:
        """The decision in a few words."""
        return f"cut points {_listed(self.cuts)} on the expected grade, counted from 0"


@dataclass(frozen=True)
class Threshold:
    """The first or the second of two classes: the second from a probability on."""

    classes: tuple[str, ...]
    threshold: float
    rule: Literal["threshold"] = "threshold"

    def __post_init__(self) -> None:
        if len(self.classes) != 2 or not 0 < self.threshold < 1:
            raise ValueError("a threshold needs two classes and lies between 0 and 1")

    def apply(self, probs: Array) -> Array:
        """The answers, positions of classes (...,), of probs (..., 2)."""
        return np.asarray(probs[..., 1] >= self.threshold).astype(np.int64)

    @property
    def words(self) -> str:
        """The decision in a few words."""
        return f"{self.classes[1][:40]!r} from a probability of {self.threshold:.3g}"


@dataclass(frozen=True)
class ExpectedGain:
    """The class whose answer gains most: weight * (probability - offset).

    The probability is recalibrated first: p ** power * factor, normalized to sum to 1. factors,
    weights and offsets are those of each class.
    """

    classes: tuple[str, ...]
    power: float
    factors: tuple[float, ...]
    weights: tuple[float, ...]
    offsets: tuple[float, ...]
    rule: Literal["expected gain"] = "expected gain"

    def __post_init__(self) -> None:
        columns = (self.factors, self.weights, self.offsets)
        if any(len(column) != len(self.classes) for column in columns):
            raise ValueError("gains do not fit their classes")
        if self.power < LEAST_POWER or min(self.factors) <= 0 or min(self.weights) < 0:
            raise ValueError("gains are out of range")

    def apply(self, probs: Array) -> Array:
        """The answers, positions of classes (...,), of probs (..., classes)."""
        calibrated = recalibrated(log_probs(probs), self.power, np.log(self.factors))
        return predicted((calibrated - np.array(self.offsets)) * np.array(self.weights))

    @property
    def words(self) -> str:
        """The decision in a few words."""
        heaviest, lightest = (
            self.classes[self.weights.index(pick(self.weights))][:40] for pick in (max, min)
        )
        ratio = max(self.weights) / max(min(self.weights), FLOOR)
        return f"the class of the highest expected gain: {heaviest!r} counts {ratio:.3g} times {lightest!r}"


@dataclass(frozen=True)
class LabelThreshold:
    """Each label whose probability is above the threshold; equal, within rounding, is not above."""

    threshold: float = 0.5
    rule: Literal["label threshold"] = "label threshold"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError("a threshold lies between 0 and 1")

    def apply(self, probs: Array) -> Array:
        """The answers of 0 and 1, of the shape of probs (..., labels)."""
        return np.asarray(probs > self.threshold + TIE).astype(np.uint8)

    @property
    def words(self) -> str:
        """The decision in a few words."""
        return f"each label above a probability of {self.threshold:.3g}"


@dataclass(frozen=True)
class Unchanged:
    """The predicted value as it is."""

    rule: Literal["unchanged"] = "unchanged"

    def apply(self, probs: Array) -> Array:
        """The answers, values (..., 1)."""
        return probs

    @property
    def words(self) -> str:
        """The decision in a few words."""
        return "the values as they are"


@dataclass(frozen=True)
class GradeCuts:
    """The whole number that a value falls into: as many above the lowest as cut points are reached."""

    lowest: int
    cuts: tuple[float, ...]
    rule: Literal["grade cuts"] = "grade cuts"

    def __post_init__(self) -> None:
        if _falls(self.cuts):
            raise ValueError("cut points rise")

    @classmethod
    def rounding(cls, lowest: int, n_grades: int) -> "GradeCuts":
        """The nearest of so many whole numbers from the lowest on; halves are rounded up."""
        return cls(lowest, tuple(lowest + step + 0.5 for step in range(n_grades - 1)))

    @property
    def is_rounding(self) -> bool:
        """Whether nothing was learned."""
        return self == GradeCuts.rounding(self.lowest, len(self.cuts) + 1)

    def apply(self, probs: Array) -> Array:
        """The answers, whole numbers as float64, of values (..., 1)."""
        values = np.clip(probs.astype(np.float64), self.lowest, self.lowest + len(self.cuts))
        steps = np.searchsorted(self.cuts, values, side="right")
        return np.asarray(steps + float(self.lowest))

    @property
    def words(self) -> str:
        """The decision in a few words."""
        if self.is_rounding:
            return f"rounded to whole numbers from {self.lowest} to {self.lowest + len(self.cuts)}"
        return f"whole numbers from {self.lowest} on, cut at {_listed(self.cuts)}"


Decision = (
    MostProbable | CutPoints | Threshold | ExpectedGain | LabelThreshold | Unchanged | GradeCuts
)
MOST_PROBABLE = MostProbable()
PLAIN: Mapping[Target, Decision] = {
    "class": MOST_PROBABLE,
    "labels": LabelThreshold(),
    "number": Unchanged(),
}


def is_plain(decision: Decision, target: Target) -> bool:
    """Whether a decision is one that nothing was learned for."""
    is_rounding = isinstance(decision, GradeCuts) and decision.is_rounding
    return is_rounding or decision == PLAIN[target]


def expected_steps(probs: Array, steps: tuple[int, ...]) -> Array:
    """The expected step, (...,), of probs (..., classes); equal rows have equal ones."""
    total = np.zeros(probs.shape[:-1])
    for column, step in enumerate(steps):
        total += step * probs[..., column]
    return total


def log_probs(probs: Array) -> Array:
    """Logarithms of probabilities, of 0 as of the least one."""
    logs = np.maximum(probs, FLOOR, dtype=np.float64)
    return np.asarray(np.log(logs, out=logs))


def recalibrated(logs: Array, power: float, log_factors: Array) -> Array:
    """p ** power * factor, normalized to sum to 1, (..., classes); logs are those of p."""
    calibrated = logs * power
    calibrated += log_factors
    calibrated -= calibrated.max(-1, keepdims=True)
    np.exp(calibrated, out=calibrated)
    calibrated /= calibrated.sum(-1, keepdims=True)
    return np.asarray(calibrated)


def _falls(numbers: tuple[float, ...]) -> bool:
    return any(later < earlier for earlier, later in zip(numbers, numbers[1:], strict=False))


def _listed(numbers: tuple[float, ...]) -> str:
    shown = ", ".join(f"{number:.3g}" for number in numbers[:8])
    return shown + (" …" if len(numbers) > 8 else "")
