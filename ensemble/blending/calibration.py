"""Temperature and floor for blended probabilities, and what they change.

The temperature is fitted after averaging (Rahaman and Thiery, 2021): averaging makes a blend less
confident than its members.
"""

import math
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
    """A temperature, then a floor.

    p ** (1 / temperature), normalized to sum to 1; then no probability below floor, normalized
    again.
    """

    temperature: float
    floor: float

    def __post_init__(self) -> None:
        if not (1e-3 <= self.temperature <= 1e3 and 0 <= self.floor <= 1):
            raise ValueError("a temperature or a floor out of range")

    def apply(self, probs: Array) -> Array:
        """The calibrated probabilities, (rows, classes)."""
        return _floored(_softmax(np.log(np.maximum(probs, FLOOR)) / self.temperature), self.floor)


@dataclass(frozen=True)
class Quality:
    """Log loss in nats, expected calibration error and Brier score; smaller is better.

    ece_noise is the mean calibration error on so many rows if every confidence were true.
    """

    log_loss: float
    ece: float
    ece_noise: float
    brier: float


@dataclass(frozen=True)
class Calibrated:
    """The calibration fitted on all rows, and the cross-fitted quality before and after.

    log_loss is the one after calibration, with its interval over rows or groups.
    """

    calibration: Calibration
    before: Quality
    after: Quality
    log_loss: Interval

    @property
    def helps(self) -> bool:
        """Whether it lowers the cross-fitted log loss; only then it is applied."""
        return self.after.log_loss < self.before.log_loss


def fit_calibration(probs: Array, targets: Array, start: float = 1.0) -> Calibration:
    """The temperature with the least log loss, searched from start, then the floor.

    probs is (rows, classes).
    """
    logs = np.log(np.maximum(probs, FLOOR), dtype=np.float32)
    temperature = _temperature(logs, targets, start)
    scaled = _softmax(logs / temperature)
    true = scaled[np.arange(len(targets)), targets]

    def loss(floor: float) -> float:
        sums = np.maximum(scaled, floor).sum(1)
        return float(np.log(sums / np.maximum(true, max(floor, FLOOR))).mean())

    possible = [floor for floor in FLOORS if floor * probs.shape[1] < 1]
    return Calibration(temperature, min(possible, key=loss))


def calibrate(
    probs: Array,
    fold_probs: Sequence[Array],
    fold_of: Array,
    targets: Array,
    groups: Array | None = None,
    seed: int = 0,
) -> Calibrated:
    """Fit a calibration on all rows, and score it by cross-fitting.

    fold_probs[k] are the probabilities (rows, classes) by weights fitted without fold k; fold_of
    (rows,) is the fold of each row.
    """
    calibration = fit_calibration(probs, targets)
    before, after = probs.copy(), probs.copy()  # too few rows for folds: both stay as they are
    for k, mixed in enumerate(fold_probs):
        inside = fold_of == k
        if inside.any() and not inside.all():
            before[inside] = mixed[inside]
            start = calibration.temperature
            fold_calibration = fit_calibration(mixed[~inside], targets[~inside], start)
            after[inside] = fold_calibration.apply(mixed[inside])
    losses = metrics.by_group(metrics.losses(after, targets), groups)
    return Calibrated(
        calibration=calibration,
        before=quality(before, targets),
        after=quality(after, targets),
        log_loss=metrics.bootstrap_mean(losses, seed),
    )


def quality(probs: Array, targets: Array) -> Quality:
    """How good probabilities are. probs is (rows, classes), targets (rows,)."""
    one_hot = np.eye(probs.shape[1])[targets]
    return Quality(
        log_loss=metrics.log_loss(probs, targets),
        ece=ece(probs, targets),
        ece_noise=ece_noise(probs),
        brier=float(((probs - one_hot) ** 2).sum(1).mean()),
    )


def ece(probs: Array, targets: Array) -> float:
    """Expected calibration error (Guo et al., 2017), 15 bins of equal width.

    The mean gap between confidence and accuracy over the bins, weighted by their rows.

    probs is (rows, classes), targets (rows,).
    """
    confidence, right = probs.max(1), metrics.hits(probs, targets)
    gaps = np.bincount(bins_of(confidence), right - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(targets))


def ece_noise(probs: Array) -> float:
    """The mean of `ece` where the confidences of probs (rows, classes) are the chances to be right.

    It is what few rows show without any miscalibration. The mean absolute deviation of a binomial
    count in each bin (de Moivre, 1730), at the bin's mean confidence.
    """
    confidence = probs.max(1)
    bins = bins_of(confidence)
    n_rows = np.bincount(bins, minlength=N_BINS).tolist()
    sums = np.bincount(bins, confidence, minlength=N_BINS).tolist()
    deviations = [_mean_deviation(n, total / n) for n, total in zip(n_rows, sums, strict=True) if n]
    return float(sum(deviations) / len(confidence))


def _mean_deviation(n: int, share: float) -> float:
    """The mean absolute deviation of a binomial count from n * share."""
    if not 0 < share < 1:
        return 0.0
    k = math.floor(n * share) + 1
    log_binomial = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    log_chance = log_binomial + k * math.log(share) + (n - k + 1) * math.log1p(-share)
    return 2 * k * math.exp(log_chance)


def bins_of(confidence: Array) -> Array:
    """The number of each confidence's bin, from 0 to N_BINS - 1."""
    return np.asarray(np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1))


def _temperature(logs: Array, targets: Array, start: float) -> float:
    """Newton's method for the log loss, convex in 1 / temperature; from 1/20 to 20."""
    true = logs[np.arange(len(targets)), targets]
    inverse = 1 / start
    for _ in range(50):
        weighted = _softmax(logs * inverse)
        weighted *= logs
        mean = weighted.sum(1)
        curvature = float((np.einsum("ij,ij->i", weighted, logs) - mean**2).mean())
        slope = float((mean - true).mean(dtype=np.float64))
        step = slope / curvature if curvature > 1e-12 else 0.0
        updated = min(max(inverse - step, inverse / 2, 0.05), inverse * 2, 20.0)
        change, inverse = abs(updated - inverse), updated
        if change < 1e-3 * inverse:  # the error after Newton's last step is about its square
            break
    return 1 / inverse


def _floored(probs: Array, floor: float) -> Array:
    raised = np.maximum(probs, floor)
    return np.asarray(raised / raised.sum(1, keepdims=True))


def _softmax(logs: Array) -> Array:
    probs = logs - logs.max(1, keepdims=True)
    np.exp(probs, out=probs)
    probs /= probs.sum(1, keepdims=True)
    return np.asarray(probs)
