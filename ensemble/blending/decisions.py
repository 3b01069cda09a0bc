"""Decisions learned from validation rows, for metrics that read decisions.

Classes are answered by the gain that a metric expects of them under recalibrated probabilities
(Narasimhan, Ramaswamy, Saket and Agarwal, "Consistent multiclass algorithms for complex performance
measures", 2015), grades by cut points. Both learn few numbers: searches for one number per class
failed on held-out rows (docs/log.md). A learned decision replaces the most probable class only
where it gains more than one standard error on the rows that it was learned from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ensemble.metrics import TIE, AnswerMetric, by_group, predicted, true_probs
from ensemble.metrics.confusion import ClassCounts, GainMetric
from ensemble.metrics.decision import (
    LEAST_POWER,
    MOST_PROBABLE,
    PLAIN,
    CutPoints,
    Decision,
    ExpectedGain,
    GradeCuts,
    LabelThreshold,
    Threshold,
    Unchanged,
    expected_steps,
    log_probs,
    recalibrated,
)
from ensemble.metrics.distances import GradeKappa
from ensemble.metrics.kappa import QuadraticKappa
from ensemble.predictions import Array
from ensemble.targets import Target

# probs (rows, classes), targets (rows,), group numbers (rows,) or None
Learn = Callable[[Array, Array, Array | None], Decision]

_MOST_CELLS, _LEAST_ROWS = 20_000, 1_000  # probabilities and rows that gains are learned from
_N_STEPS = 8  # tables that gains are computed from, each from the gains before
_MOST_ROUNDS = 20  # of a search for cut points; 3 to 6 are usual
_DIGITS = 12
_MOST_LABELS = 200_000  # labels of rows that a threshold is learned from
_LOG_ODDS = np.linspace(-5, 3, 33)  # of thresholds
_MOST_GRADES = 1_000


@dataclass(frozen=True)
class Plain:
    """Learns nothing: the plain decision, whatever the rows."""

    target: Target

    def __call__(self, probs: Array, targets: Array, groups: Array | None = None) -> Decision:
        """The plain decision."""
        return PLAIN[self.target]


def learner(metric: AnswerMetric, target: Target = "class") -> Learn:
    """What learns a decision for this metric."""
    if target == "labels":
        return _Guarded(metric, partial(label_threshold, metric), lambda targets: PLAIN[target])
    if isinstance(metric, GradeKappa):
        return _Guarded(metric, grade_cuts, rounding)
    if isinstance(metric, QuadraticKappa):
        return _Guarded(metric, partial(cut_points, metric))
    if isinstance(metric, GainMetric):
        return _Guarded(metric, partial(expected_gain, metric))
    return Plain(target)


class _Guarded:
    """Learns a decision, and keeps it where it gains more than one standard error.

    Rows of a group are no independent evidence: the error is that of groups.
    """

    def __init__(
        self,
        metric: AnswerMetric,
        learn: Callable[[Array, Array], Decision],
        instead: Callable[[Array], Decision] = lambda targets: MOST_PROBABLE,
    ) -> None:
        self.metric, self.learn, self.instead = metric, learn, instead

    def __call__(self, probs: Array, targets: Array, groups: Array | None = None) -> Decision:
        plain = self.instead(targets)
        n_units = len(targets) if groups is None else len(np.unique(groups))
        is_unknown = self.metric.name == "f1_min" and self.metric.too_few_rows(targets)
        if n_units < 2 or is_unknown:
            return plain
        decision = self.learn(probs, targets)
        answers = np.stack([plain.apply(probs), decision.apply(probs)])
        plainly, learned = self.metric.contributions_of(answers, targets)
        gains = by_group(learned - plainly, groups)
        error = gains.std() / np.sqrt(len(gains))
        return decision if gains.mean() > error + TIE else plain


def cut_points(metric: QuadraticKappa, probs: Array, targets: Array) -> CutPoints:
    """Cut points on the expected grade.

    Halfway between those of the highest kappa on the rows and those of a linear fit. probs is
    (rows, classes), targets (rows,).
    """
    steps = metric.positions
    true = np.array(steps, dtype=np.float64)[targets]
    cuts = _halfway_cuts(expected_steps(probs, steps), true, len(steps))
    return CutPoints(metric.classes, steps, _rising(cuts))


def _halfway_cuts(grades: Array, true: Array, n_classes: int) -> Array:
    """Cut points, (classes - 1,); grades and true steps are (rows,)."""
    order = np.argsort(grades, kind="stable")
    rows = _GradedRows(grades[order], true[order])
    linear = rows.linear_cuts(n_classes).clip(-1, n_classes)
    return np.asarray((rows.best_cuts(n_classes) + linear) / 2)


def _rising(cuts: Array) -> tuple[float, ...]:
    return tuple(np.maximum.accumulate(cuts.round(_DIGITS)).tolist())


class _GradedRows:
    """Rows by rising expected grade, (rows,), and their true steps, float64.

    For the kappa k that is reached, cut j divides the rows whose true step is on average below
    k (j - 1/2) + (1 - k) mean from the others: each cut has the least sum of its own (the
    parametric method of Dinkelbach, 1967, for a ratio).
    """

    def __init__(self, grades: Array, true: Array) -> None:
        self.grades, self.true, self.mean = grades, true, float(true.mean())
        self.sums = np.append(np.cumsum(true[::-1])[::-1], 0)  # of the rows from a position on

    def best_cuts(self, n_classes: int) -> Array:
        """The cut points of the highest kappa, (classes - 1,)."""
        n_rows = len(self.true)
        is_cut = np.ones(n_rows + 1, dtype=bool)
        is_cut[1:-1] = np.diff(self.grades) > TIE
        positions = np.flatnonzero(is_cut)
        sums, n_above = self.sums[positions], n_rows - positions
        edges = np.concatenate([[-1.0], self.grades, [n_classes]])

        def cuts_at(levels: Array) -> Array:
            cuts = [int(np.argmin(level * n_above - sums)) for level in levels]
            return np.asarray(positions[cuts])

        cuts = self._positions(n_classes, cuts_at)
        between = (edges[cuts] + edges[cuts + 1]) / 2
        return np.asarray(np.where(cuts == 0, -1.0, np.where(cuts == n_rows, n_classes, between)))

    def linear_cuts(self, n_classes: int) -> Array:
        """The cut points where the true step is a linear function of the grade, (classes - 1,)."""
        center = float(self.grades.mean())
        centered = self.grades - center
        variance = float((centered**2).mean())
        slope = float((centered * self.true).mean()) / variance if variance > 0 else 1.0
        slope = max(slope, 1e-3)
        points = np.zeros(n_classes - 1)

        def cuts_at(levels: Array) -> Array:
            points[:] = (levels - self.mean) / slope + center
            return np.searchsorted(self.grades, points)

        self._positions(n_classes, cuts_at)
        return points

    def _positions(self, n_classes: int, cuts_at: Callable[[Array], Array]) -> Array:
        """The first row above each cut where the kappa no longer changes, (classes - 1,)."""
        kappa = 0.5
        for _ in range(_MOST_ROUNDS):
            cuts = cuts_at(kappa * (np.arange(1, n_classes) - 0.5) + (1 - kappa) * self.mean)
            reached = self._kappa(cuts)
            if abs(reached - kappa) < 1e-9:
                break
            kappa = reached
        return cuts

    def _kappa(self, cuts: Array) -> float:
        """The quadratic kappa; from 0, that a search for cut points never goes below."""
        n_above = len(self.true) - cuts
        squares = float((self.true**2).sum() + n_above @ (2 * np.arange(len(cuts)) + 1))
        expected = squares - 2 * self.mean * float(n_above.sum())
        distances = squares - 2 * float(self.sums[cuts].sum())
        return max(0.0, 1 - distances / expected) if expected else 0.0


def rounding(targets: Array) -> GradeCuts | Unchanged:
    """The nearest whole number from the lowest to the highest of the grades, (rows,).

    Values stay as they are where the grades are no whole numbers, or too many.
    """
    lowest, n_grades = targets.min(), targets.max() - targets.min() + 1
    if n_grades > _MOST_GRADES or (targets != np.rint(targets)).any():
        return Unchanged()
    return GradeCuts.rounding(int(lowest), int(n_grades))


def grade_cuts(values: Array, targets: Array) -> GradeCuts | Unchanged:
    """Cut points on values (rows, 1), as those on the expected grade; targets (rows,) are grades.

    Unchanged where `rounding` is.
    """
    rounded = rounding(targets)
    if isinstance(rounded, Unchanged):
        return rounded
    lowest, n_grades = rounded.lowest, len(rounded.cuts) + 1
    grades = (values[:, 0] - lowest).clip(0, n_grades - 1)
    return GradeCuts(lowest, _rising(_halfway_cuts(grades, targets - lowest, n_grades) + lowest))


def label_threshold(metric: AnswerMetric, probs: Array, targets: Array) -> LabelThreshold:
    """The threshold of all labels with the highest value of the metric, found on a grid of odds.

    probs is (rows, labels), targets (rows, labels).
    """
    n_rows = max(_LEAST_ROWS, _MOST_LABELS // probs.shape[1])
    kept = slice(None, None, -(-len(targets) // n_rows))
    rows, true = probs[kept], targets[kept]
    candidates = [LabelThreshold(round(float(t), _DIGITS)) for t in 1 / (1 + np.exp(-_LOG_ODDS))]
    values = [float(metric.values_of(each.apply(rows), true)) for each in candidates]
    return candidates[int(np.argmax(values))]


def expected_gain(metric: GainMetric, probs: Array, targets: Array) -> ExpectedGain | Threshold:
    """Gains of each class by recalibrated probabilities; a threshold where there are two classes.

    Tables are expected ones, by probabilities: they vary less than counts of true classes, of which
    the recalibration alone knows. probs is (rows, classes), targets (rows,).
    """
    n_classes = len(metric.classes)
    n_rows = max(_LEAST_ROWS, _MOST_CELLS // n_classes)
    kept = slice(None, None, -(-len(targets) // n_rows))
    n_true = np.bincount(targets, minlength=n_classes)
    log_prior = np.log((n_true + 1) / (len(targets) + n_classes))
    logs = log_probs(probs[kept])
    power, exponent = _recalibration(logs, targets[kept], log_prior)
    log_factors = exponent * log_prior
    calibrated = recalibrated(logs, power, log_factors)
    weights, offsets = np.ones(n_classes), np.zeros(n_classes)
    sums = calibrated.sum(0)
    for _ in range(_N_STEPS):
        answers = predicted((calibrated - offsets) * weights, tie=0.0)
        predicted_rows = np.bincount(answers, minlength=n_classes)
        right = np.bincount(answers, true_probs(calibrated, answers), minlength=n_classes)
        gains = metric.gains(ClassCounts(predicted_rows[None] * 1.0, right[None], sums))
        previous = np.stack([weights, offsets])
        if (np.abs(gains - previous) <= 1e-8 + 1e-4 * np.abs(previous)).all():
            break
        weights, offsets = gains
    if n_classes == 2:
        return _threshold(metric.classes, power, log_factors, weights, offsets)
    factors, weights = np.exp(log_factors), weights / weights.max()
    numbers = np.round([factors, weights, offsets], _DIGITS).tolist()
    return ExpectedGain(
        classes=metric.classes,
        power=round(power, _DIGITS),
        factors=tuple(numbers[0]),
        weights=tuple(numbers[1]),
        offsets=tuple(numbers[2]),
    )


def _threshold(
    classes: tuple[str, ...], power: float, log_factors: Array, weights: Array, offsets: Array
) -> Threshold:
    """The probability of the second class from which its gain is the greater one."""
    even = (weights[0] * (1 - offsets[0]) + weights[1] * offsets[1]) / weights.sum()
    even = float(np.clip(even, 1e-9, 1 - 1e-9))
    logit = (np.log(even / (1 - even)) - log_factors[1] + log_factors[0]) / power
    threshold = 1 / (1 + np.exp(-np.clip(logit, -20, 20)))
    return Threshold(classes, round(float(threshold), _DIGITS))


def _recalibration(logs: Array, targets: Array, log_prior: Array) -> tuple[float, float]:
    """The power, and the exponent of the class shares, with the least log loss.

    By Newton's method, with a prior worth one row for (1, 0). logs is (rows, classes).
    """
    n_rows = len(targets)
    true = np.array([logs[np.arange(n_rows), targets].mean(), log_prior[targets].mean()])
    parameters = start = np.array([1.0, 0.0])
    for _ in range(30):
        calibrated = recalibrated(logs, parameters[0], parameters[1] * log_prior)
        weighted = calibrated * logs
        means = np.stack([weighted.sum(1), calibrated @ log_prior])
        curvature = -means @ means.T / n_rows
        curvature[0, 0] += (weighted * logs).sum() / n_rows
        curvature[1, 1] += (calibrated @ log_prior**2).mean()
        curvature[[0, 1], [1, 0]] += (weighted @ log_prior).mean()
        slope = means.mean(1) - true + (parameters - start) / n_rows
        change = np.linalg.solve(curvature + np.eye(2) / n_rows, slope).clip(-1, 1)
        parameters = parameters - change
        parameters[0] = max(parameters[0], LEAST_POWER)
        if np.abs(change).max() < 1e-2:
            break
    return float(parameters[0]), float(parameters[1])
