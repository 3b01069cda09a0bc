"""Accuracy, log loss and their 95 % intervals, in closed form where there is one (numpy only)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Z = 1.959963984540054  # the normal distribution's 97.5 % point
_EXPANDED = 1_000  # rows; from here on draws differ among themselves by as much as from the expansion (docs/log.md)
TIE = 1e-12  # sums that differ by less are a tie
FLOOR = 1e-15  # a probability of 0 for the truth would make log loss infinite


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def widened(self, times: float) -> "Interval":
        """The same value with both sides this many times as far away."""
        return Interval(
            self.value,
            self.value - times * (self.value - self.low),
            self.value + times * (self.high - self.value),
        )


def predicted(probs: Array) -> Array:
    """The most probable class of each row; ties, within rounding, go to the first class. probs is (rows, classes)."""
    return np.asarray(np.argmax(probs >= probs.max(-1, keepdims=True) - TIE, axis=-1))


def hits(probs: Array, targets: Array) -> Array:
    """1.0 where the most probable class is the true one. probs is (rows, classes), targets (rows,)."""
    return np.asarray(predicted(probs) == targets, dtype=np.float64)


def losses(probs: Array, targets: Array) -> Array:
    """Each row's log loss in nats, positive. probs is (rows, classes), targets (rows,)."""
    true = np.take_along_axis(probs, targets[:, None], axis=-1)[:, 0].astype(np.float64)
    return -np.log(np.maximum(true, FLOOR))


def accuracy(probs: Array, targets: Array) -> float:
    """Share of rows whose most probable class is the true one."""
    return float(hits(probs, targets).mean())


def log_loss(probs: Array, targets: Array) -> float:
    """Mean negative log probability of the truth, in nats."""
    return float(losses(probs, targets).mean())


@dataclass(frozen=True)
class ClassScore:
    """One class of a run: its rows, and precision, recall and F1, 0 where nothing was predicted or is there."""

    name: str
    n_rows: int
    precision: float
    recall: float
    f1: float


def per_class(probs: Array, targets: Array, classes: Sequence[str]) -> list[ClassScore]:
    """Every class's scores, in the order of classes. probs is (rows, classes), targets (rows,)."""
    named, there = (
        np.bincount(labels, minlength=len(classes)) for labels in (predicted(probs), targets)
    )
    right = np.bincount(targets[hits(probs, targets) > 0], minlength=len(classes))
    precision, recall = right / np.maximum(named, 1), right / np.maximum(there, 1)
    f1 = 2 * right / np.maximum(named + there, 1)
    rows = zip(
        classes, there.tolist(), precision.tolist(), recall.tolist(), f1.tolist(), strict=True
    )
    return [ClassScore(*row) for row in rows]


def wilson(share: float, n: float) -> Interval:
    """Wilson's score interval of a share of n independent rows (Wilson, 1927); n may be the rows that it is worth.

    Raises ValueError without rows.
    """
    if n <= 0:
        raise ValueError("an interval needs at least one row")
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * np.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def paired_difference(hits_a: Array, hits_b: Array) -> Interval:
    """The accuracy of a minus that of b on the same rows, with Newcombe's paired interval (method 10, 1998).

    hits_a and hits_b are (rows,) shares from 0 to 1, one row each.
    """
    n = len(hits_a)
    a, b = wilson(float(hits_a.mean()), n), wilson(float(hits_b.mean()), n)
    difference = a.value - b.value
    phi = _phi(hits_a, hits_b)
    down = (
        (a.value - a.low) ** 2
        - 2 * phi * (a.value - a.low) * (b.high - b.value)
        + (b.high - b.value) ** 2
    )
    up = (
        (a.high - a.value) ** 2
        - 2 * phi * (a.high - a.value) * (b.value - b.low)
        + (b.value - b.low) ** 2
    )
    return Interval(
        difference,
        difference - float(np.sqrt(max(down, 0))),
        difference + float(np.sqrt(max(up, 0))),
    )


def _phi(hits_a: Array, hits_b: Array) -> float:
    """Newcombe's correlation of two paired shares, with his continuity correction where it is positive."""
    n = len(hits_a)
    both, only_a = float((hits_a * hits_b).sum()), float((hits_a * (1 - hits_b)).sum())
    only_b, neither = (
        float(((1 - hits_a) * hits_b).sum()),
        float(((1 - hits_a) * (1 - hits_b)).sum()),
    )
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins <= 0:
        return 0.0
    numerator = both * neither - only_a * only_b
    if numerator > 0:
        numerator = max(numerator - n / 2, 0.0)
    return float(numerator / np.sqrt(margins))


def by_group(values: Array, groups: Array | None) -> Array:
    """Values whose mean over groups is that of the rows, so that a bootstrap of them is one of groups; or the rows'.

    values is (rows,), groups (rows,) whole numbers from 0. Each group's value is the mean and its pull on it: the
    bootstrap of a ratio, linearised (Cameron and Miller, "A practitioner's guide to cluster-robust inference", 2015).
    """
    if groups is None:
        return values
    mean, n_groups = float(values.mean()), int(groups.max()) + 1
    pull = np.bincount(groups, values - mean, n_groups)
    return np.asarray(mean + pull * n_groups / len(values))


def bootstrap_mean(values: Array, seed: int, n_draws: int = 10_000) -> Interval:
    """The mean of per-row values with its percentile bootstrap interval over rows; values is (rows,).

    From 1,000 rows on the ends come from the bootstrap distribution's expansion (Hall, 1992, section 3.5) in place of
    draws.
    """
    mean = float(values.mean(dtype=np.float64))
    n = len(values)
    if n >= _EXPANDED:
        centred = values - mean
        spread = float(np.sqrt((centred**2).mean()))
        skewness = float((centred**3).mean()) / spread**3 if spread > 0 else 0.0
        low, high = (
            mean + spread / n**0.5 * (z + skewness * (z * z - 1) / (6 * n**0.5)) for z in (-Z, Z)
        )
        return Interval(mean, low, high)
    rng = np.random.default_rng(seed)
    per_block = max(1, 4_000_000 // n)
    means = [
        values[rng.integers(0, n, (min(per_block, n_draws - done), n), dtype=np.uint32)].mean(1)
        for done in range(0, n_draws, per_block)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(mean, float(low), float(high))
