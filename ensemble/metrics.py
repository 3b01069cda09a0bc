"""Accuracy, log loss and their 95 % intervals, in closed form where possible (numpy only)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Z = 1.959963984540054  # the normal distribution's 97.5 % point
# rows; from here on two bootstraps differ as much as one and the expansion (docs/log.md)
_EXPANDED = 1_000
TIE = 1e-12  # sums that differ by less are a tie
FLOOR = 1e-15  # a true class of probability 0 would make log loss infinite


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def widened(self, times: float) -> "Interval":
        """The same value with both ends this many times as far from it."""
        return Interval(
            self.value,
            self.value - times * (self.value - self.low),
            self.value + times * (self.high - self.value),
        )


def predicted(probs: Array) -> Array:
    """The most probable class of each row, (rows,); ties, within rounding, go to the first class.

    probs is (..., classes).
    """
    return np.asarray(np.argmax(probs >= probs.max(-1, keepdims=True) - TIE, axis=-1))


def hits(probs: Array, targets: Array) -> Array:
    """1.0 where the most probable class is the true one.

    probs is (rows, classes), targets (rows,).
    """
    return np.asarray(predicted(probs) == targets, dtype=np.float64)


def losses(probs: Array, targets: Array) -> Array:
    """Each row's log loss in nats, positive. probs is (rows, classes), targets (rows,)."""
    true = np.take_along_axis(probs, targets[:, None], axis=-1)[:, 0].astype(np.float64)
    return -np.log(np.maximum(true, FLOOR))


def accuracy(probs: Array, targets: Array) -> float:
    """Share of rows whose most probable class is the true one."""
    return float(hits(probs, targets).mean())


def log_loss(probs: Array, targets: Array) -> float:
    """Mean negative log probability of the true class, in nats."""
    return float(losses(probs, targets).mean())


@dataclass(frozen=True)
class ClassScore:
    """One class of a run: its rows, and precision, recall and F1, 0 if undefined."""

    name: str
    n_rows: int
    precision: float
    recall: float
    f1: float


def per_class(probs: Array, targets: Array, classes: Sequence[str]) -> list[ClassScore]:
    """Every class's scores, in the order of classes. probs is (rows, classes), targets (rows,)."""
    n_predicted = np.bincount(predicted(probs), minlength=len(classes))
    n_true = np.bincount(targets, minlength=len(classes))
    n_right = np.bincount(targets[hits(probs, targets) > 0], minlength=len(classes))
    precision = n_right / np.maximum(n_predicted, 1)
    recall = n_right / np.maximum(n_true, 1)
    f1 = 2 * n_right / np.maximum(n_predicted + n_true, 1)
    columns = (n_true.tolist(), precision.tolist(), recall.tolist(), f1.tolist())
    return [ClassScore(*row) for row in zip(classes, *columns, strict=True)]


def wilson(share: float, n: float) -> Interval:
    """Wilson's score interval of a share of n independent rows (Wilson, 1927).

    n may be an effective number of rows. Raises ValueError unless n is positive.
    """
    if n <= 0:
        raise ValueError("an interval needs at least one row")
    center = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * np.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return Interval(share, max(0.0, float(center - half)), min(1.0, float(center + half)))


def paired_difference(hits_a: Array, hits_b: Array) -> Interval:
    """The accuracy of a minus that of b on the same rows.

    With Newcombe's paired interval (method 10, 1998). hits_a and hits_b are (rows,) shares from 0
    to 1, one row each.
    """
    n = len(hits_a)
    a = wilson(float(hits_a.mean()), n)
    b = wilson(float(hits_b.mean()), n)
    difference = a.value - b.value
    phi = _phi(hits_a, hits_b)
    a_below, a_above = a.value - a.low, a.high - a.value
    b_below, b_above = b.value - b.low, b.high - b.value
    below = a_below**2 - 2 * phi * a_below * b_above + b_above**2
    above = a_above**2 - 2 * phi * a_above * b_below + b_below**2
    return Interval(
        difference,
        difference - float(np.sqrt(max(below, 0))),
        difference + float(np.sqrt(max(above, 0))),
    )


def _phi(hits_a: Array, hits_b: Array) -> float:
    """Newcombe's correlation of two paired shares, continuity-corrected if it is positive."""
    n = len(hits_a)
    both = float((hits_a * hits_b).sum())
    only_a = float((hits_a * (1 - hits_b)).sum())
    only_b = float(((1 - hits_a) * hits_b).sum())
    neither = float(((1 - hits_a) * (1 - hits_b)).sum())
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins <= 0:
        return 0.0
    numerator = both * neither - only_a * only_b
    if numerator > 0:
        numerator = max(numerator - n / 2, 0.0)
    return float(numerator / np.sqrt(margins))


def by_group(values: Array, groups: Array | None) -> Array:
    """A value per group with the same mean as the rows, for a bootstrap over groups.

    values is (rows,), groups (rows,) whole numbers from 0; without groups the values of the rows.
    Each group's value is the mean plus the group's influence on it: the bootstrap of a ratio,
    linearized (Cameron and Miller, "A practitioner's guide to cluster-robust inference", 2015).
    """
    if groups is None:
        return values
    mean, n_groups = float(values.mean()), int(groups.max()) + 1
    influence = np.bincount(groups, values - mean, n_groups)
    return np.asarray(mean + influence * n_groups / len(values))


def bootstrap_mean(values: Array, seed: int, n_draws: int = 10_000) -> Interval:
    """The mean of values (rows,) with its percentile bootstrap interval over rows.

    From 1,000 rows on the ends come from the expansion of the bootstrap distribution (Hall, 1992,
    section 3.5) instead of draws.
    """
    mean = float(values.mean(dtype=np.float64))
    n = len(values)
    if n >= _EXPANDED:
        centered = values - mean
        spread = float(np.sqrt((centered**2).mean()))
        skewness = float((centered**3).mean()) / spread**3 if spread > 0 else 0.0
        low, high = (
            mean + spread / n**0.5 * (z + skewness * (z * z - 1) / (6 * n**0.5)) for z in (-Z, Z)
        )
        return Interval(mean, low, high)
    rng = np.random.default_rng(seed)
    per_block = max(1, 4_000_000 // n)
    means = []
    for n_done in range(0, n_draws, per_block):
        shape = (min(per_block, n_draws - n_done), n)
        means.append(values[rng.integers(0, n, shape, dtype=np.uint32)].mean(1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(mean, float(low), float(high))
