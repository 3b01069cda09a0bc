"""Temperature and floor for blended probabilities, and what they change.

The temperature is learnt after averaging (Rahaman and Thiery, 2021): averaging makes a blend less sure of itself than
its members.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.metrics import FLOOR, Interval
from ensemble.predictions import Array

FLOORS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2)
N_BINS = 15


@dataclass(frozen=True)
class Calibration:
    """p ** (1 / temperature), made to sum to 1; then no probability below floor, again made to sum to 1."""

    temperature: float
    floor: float

    def apply(self, probs: Array) -> Array:
        """The calibrated probabilities, (rows, classes)."""
        return _floored(_softmax(np.log(np.maximum(probs, FLOOR)) / self.temperature), self.floor)


@dataclass(frozen=True)
class Quality:
    """Log loss in nats, the expected calibration error and the Brier score, all better when smaller."""

    log_loss: float
    ece: float
    brier: float


@dataclass(frozen=True)
class Calibrated:
    """The calibration learnt on all rows, and the quality before and after by calibrations learnt on other rows.

    log_loss is that of after, with its interval over rows or groups.
    """

    calibration: Calibration
    before: Quality
    after: Quality
    log_loss: Interval


def learn_calibration(probs: Array, targets: Array, near: float = 1.0) -> Calibration:
    """The temperature, sought from near, and then the floor with the least log loss. probs is (rows, classes)."""
    logs = np.log(np.maximum(probs, FLOOR), dtype=np.float32)
    temperature = _temperature(logs, targets, near)
    warm = _softmax(logs / temperature)
    own = warm[np.arange(len(targets)), targets]

    def loss(floor: float) -> float:
        return float(
            np.log(np.maximum(warm, floor).sum(1) / np.maximum(own, max(floor, FLOOR))).mean()
        )

    return Calibration(
        temperature, min((floor for floor in FLOORS if floor * probs.shape[1] < 1), key=loss)
    )


def calibrate(
    probs: Array,
    part_probs: Sequence[Array],
    part: Array,
    targets: Array,
    groups: Array | None = None,
    seed: int = 0,
) -> Calibrated:
    """Learn from all rows, and judge by parts. part_probs[k] are the probabilities by weights learnt without part k."""
    learnt = learn_calibration(probs, targets)
    before, after = probs.copy(), probs.copy()  # too few rows for parts: nothing is learnt
    for k, mixed in enumerate(part_probs):
        inside = part == k
        if inside.any() and not inside.all():
            before[inside] = mixed[inside]
            own = learn_calibration(mixed[~inside], targets[~inside], learnt.temperature)
            after[inside] = own.apply(mixed[inside])
    log_loss = metrics.bootstrap_mean(
        metrics.by_group(metrics.losses(after, targets), groups), seed
    )
    return Calibrated(learnt, quality(before, targets), quality(after, targets), log_loss)


def quality(probs: Array, targets: Array) -> Quality:
    """How good probabilities are. probs is (rows, classes), targets (rows,)."""
    true = np.eye(probs.shape[1])[targets]
    return Quality(
        metrics.log_loss(probs, targets),
        ece(probs, targets),
        float(((probs - true) ** 2).sum(1).mean()),
    )


def ece(probs: Array, targets: Array) -> float:
    """Expected calibration error: the gap of confidence and accuracy in 15 bins of equal width (Guo et al., 2017)."""
    confidence, right = probs.max(1), metrics.hits(probs, targets)
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(targets))


def _temperature(logs: Array, targets: Array, near: float) -> float:
    """Newton's method for the log loss, convex in 1 / temperature; from 1/20 to 20."""
    own = logs[np.arange(len(targets)), targets]
    inverse = 1 / near
    for _ in range(50):
        warm = _softmax(logs * inverse)
        warm *= logs
        mean = warm.sum(1)
        curvature = float((np.einsum("ij,ij->i", warm, logs) - mean**2).mean())
        step = float((mean - own).mean(dtype=np.float64)) / curvature if curvature > 1e-12 else 0.0
        moved = min(max(inverse - step, inverse / 2, 0.05), inverse * 2, 20.0)
        change, inverse = abs(moved - inverse), moved
        if change < 1e-3 * inverse:  # Newton's last step leaves its square
            break
    return 1 / inverse


def _floored(probs: Array, floor: float) -> Array:
    raised = np.maximum(probs, floor)
    return np.asarray(raised / raised.sum(1, keepdims=True))


def _softmax(logs: Array) -> Array:
    warm = logs - logs.max(1, keepdims=True)
    np.exp(warm, out=warm)
    warm /= warm.sum(1, keepdims=True)
    return np.asarray(warm)
