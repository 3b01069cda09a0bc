"""95 % intervals, in closed form where possible."""

from dataclasses import dataclass

import numpy as np

from ensemble.metrics.metric import Metric
from ensemble.metrics.rows import Array

Z = 1.959963984540054  # the normal distribution's 97.5 % point
# rows; from here on two bootstraps differ as much as one and the expansion (docs/log.md)
_EXPANDED = 1_000
_TINY = 1e-12
_LARGEST_SPREAD = 100.0  # of logarithms: e^100 is as good as unknown


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def without_ends(self) -> "Interval":
        """The same value, its ends unknown: NaN."""
        return Interval(self.value, np.nan, np.nan)

    def widened(self, times: float) -> "Interval":
        """The same value with both ends this many times as far from it."""
        return Interval(
            self.value,
            self.value - times * (self.value - self.low),
            self.value + times * (self.high - self.value),
        )


def wilson(share: float, n: float, z: float = Z) -> Interval:
    """Wilson's score interval of a share of n independent rows (Wilson, 1927).

    n may be an effective number of rows. Raises ValueError unless n is positive.
    """
    if n <= 0:
        raise ValueError("an interval needs at least one row")
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, max(0.0, float(center - half)), min(1.0, float(center + half)))


def share_interval(hits: Array, groups: Array | None = None, width: float = 1.0) -> Interval:
    """Wilson's interval of the mean of hits, width times as wide, on as many rows as they are worth.

    hits (rows,) are from 0 to 1; groups as in `by_group`.
    """
    share = float(hits.mean())
    n_rows, z = _rows_worth(hits - share, groups, share**2, (1 - share) ** 2)
    return wilson(share, n_rows / width**2, z)


def _rows_worth(values: Array, groups: Array | None, *unseen: float) -> tuple[float, float]:
    """As how many independent rows these count, and the quantile for them.

    Rows of a group count as fewer: by the design effect, how many times the variance of independent
    rows theirs is (Korn and Graubard, "Confidence intervals for proportions with small expected
    number of positive counts", 1998); of few groups it is Student's quantile. values (rows,) have
    the mean 0. From few errors the effect would be a guess, and without any there is none: a group
    of the usual size for each square in unseen, alike in all its rows, is added.
    """
    if groups is None:
        return len(values), Z
    n_groups, extra = int(groups.max()) + 1, sum(unseen)
    size = len(values) / n_groups
    squares = float((np.bincount(groups, values) ** 2).sum()) + size**2 * extra
    effect = max(1.0, squares / (float((values**2).sum()) + size * extra))
    return len(values) / effect, _t_quantile(max(3, n_groups - 1))


def paired_difference(hits_a: Array, hits_b: Array, groups: Array | None = None) -> Interval:
    """The accuracy of a minus that of b on the same rows.

    With Newcombe's paired interval (method 10, 1998); where rows belong to groups, of as many rows
    as they are worth to the difference. hits_a and hits_b are (rows,) shares from 0 to 1, one row
    each, groups as in `by_group`.
    """
    gains = hits_a - hits_b
    n_rows, z = _rows_worth(gains - gains.mean(), groups, 1.0, 1.0)
    a = wilson(float(hits_a.mean()), n_rows, z)
    b = wilson(float(hits_b.mean()), n_rows, z)
    difference = a.value - b.value
    phi = _phi(hits_a, hits_b, n_rows)
    a_below, a_above = a.value - a.low, a.high - a.value
    b_below, b_above = b.value - b.low, b.high - b.value
    below = a_below**2 - 2 * phi * a_below * b_above + b_above**2
    above = a_above**2 - 2 * phi * a_above * b_below + b_below**2
    return Interval(
        difference,
        difference - float(np.sqrt(max(below, 0))),
        difference + float(np.sqrt(max(above, 0))),
    )


def _phi(hits_a: Array, hits_b: Array, n: float) -> float:
    """Newcombe's correlation of two paired shares of n rows, continuity-corrected if positive."""
    both, only_a, only_b, neither = (
        n * float((a * b).mean()) for a in (hits_a, 1 - hits_a) for b in (hits_b, 1 - hits_b)
    )
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


def interval_of(
    metric: Metric,
    contributions: Array,
    seed: int,
    groups: Array | None = None,
    width: float = 1.0,
    smoothing: Array | None = None,
) -> Interval:
    """The interval of a metric's value, width times as wide as the plain one, within its bounds.

    contributions and groups are (rows,), smoothing is that of the metric, (2,). A share has
    Wilson's interval; log loss the bootstrap of contributions; errors one on the scale of
    logarithms; other values Wilson's with as many rows as their variance is worth. A value of NaN
    can be anything within the bounds.
    """
    if metric.interval_rule == "share":
        return share_interval(contributions, groups, width)
    low, high = metric.bounds
    if metric.interval_rule == "effective rows":
        return _wilson_within(metric.bounds, contributions, groups, width, smoothing)
    if metric.interval_rule == "logarithm":
        return _by_ratio(contributions, groups, width)
    widened = bootstrap_mean(by_group(contributions, groups), seed).widened(width)
    return Interval(widened.value, max(low, widened.low), min(high, widened.high))


def lead_of(
    metric: Metric,
    ours: Array,
    theirs: Array,
    seed: int,
    groups: Array | None = None,
    width: float = 1.0,
    smoothing: tuple[Array, Array] | None = None,
) -> Interval:
    """How much better our predictions are than theirs on the same rows, with a paired interval.

    ours and theirs are contributions, (rows,), smoothing is that of both, (2,) each; the rest is as
    for `interval_of`, and so are the rules: Student's quantile and pseudo-rows where the rows are
    worth fewer than they are, else the bootstrap, of groups with that quantile, too.
    """
    gain = ours - theirs if metric.is_higher_better else theirs - ours
    units = by_group(gain, groups)
    if metric.interval_rule not in ("effective rows", "logarithm"):
        if groups is not None:  # a bootstrap of few units of unequal weight is too narrow
            width *= _t_quantile(_degrees_of_freedom(units)) / Z
        return bootstrap_mean(units, seed).widened(width)
    variance = float(units.var()) / len(units)
    row_variance = float(gain.var()) / len(gain)
    if smoothing is not None:
        extra = _paired_extra(ours, theirs, (float(smoothing[0][1]), float(smoothing[1][1])))
        variance += extra * (max(1.0, variance / row_variance) if row_variance > 0 else 1.0)
    half = width * _t_quantile(_degrees_of_freedom(units)) * variance**0.5
    value = float(gain.mean())
    return Interval(value, value - half, value + half)


def _paired_extra(ours: Array, theirs: Array, extras: tuple[float, float]) -> float:
    """The variance that pseudo-rows add to a difference, as correlated as the rows are."""
    spread = float(ours.std() * theirs.std())
    shared = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean())
    correlation = min(max(shared / spread, -1.0), 1.0) if spread > 0 else 0.0
    a, b = extras
    return max(0.0, a + b - 2 * correlation * float(np.sqrt(a * b)))


def score_of(
    metric: Metric, probs: Array, targets: Array, seed: int, groups: Array | None = None
) -> Interval:
    """The value of predictions with its interval; of several sets of predictions the mean value.

    probs is (rows, classes) or (sets, rows, classes), the rest (rows,).
    """
    sets = probs.reshape(-1, *probs.shape[-2:])
    contributions = metric.contributions(sets, targets).mean(0)
    smoothing = metric.smoothing(sets, targets).mean(0)
    return interval_of(metric, contributions, seed, groups, smoothing=smoothing)


def _wilson_within(
    bounds: tuple[float, float],
    contributions: Array,
    groups: Array | None,
    width: float,
    smoothing: Array | None,
) -> Interval:
    """Wilson's interval stretched to the bounds, with the rows that the variance is worth.

    The variance is itself an estimate, from few distinct errors a poor one, so Student's quantile
    replaces the normal one.
    """
    (low, high), value = bounds, float(contributions.mean())
    if np.isnan(value):
        return Interval(value, low, high)
    units = by_group(contributions, groups)
    variance = float(units.var()) / len(units)
    row_variance = float(contributions.var()) / len(contributions)
    change, extra = (0.0, 0.0) if smoothing is None else smoothing.tolist()
    extra *= max(1.0, variance / row_variance) if row_variance > 0 else 1.0
    stretch = high - low
    smoothed = min(max((value + change - low) / stretch, _TINY), 1 - _TINY)
    variance = max((variance + extra) / stretch**2, _TINY**2)
    n_rows = smoothed * (1 - smoothed) / variance / width**2
    share = min(max((value - low) / stretch, 0.0), 1.0)
    unit = wilson(share, n_rows, _t_quantile(_degrees_of_freedom(units)))
    ends = low + stretch * unit.low, low + stretch * unit.high
    return Interval(value, min(value, ends[0]), max(value, ends[1]))


def _by_ratio(contributions: Array, groups: Array | None, width: float) -> Interval:
    """The delta method on the logarithm of a mean of positive size, with Student's quantile.

    Errors have a long tail, and few rows show too little of it: both ends of a bootstrap are too low.
    """
    value, units = float(contributions.mean()), by_group(contributions, groups)
    if not value > 0:
        return Interval(value, value, value)
    error = float(units.std()) / len(units) ** 0.5 / value
    spread = min(width * _t_quantile(_degrees_of_freedom(units)) * error, _LARGEST_SPREAD)
    return Interval(value, value * float(np.exp(-spread)), value * float(np.exp(spread)))


def _degrees_of_freedom(values: Array) -> float:
    """Those of the chi-squared distribution with the variance of the sample variance, from 3 on."""
    squares = (values - values.mean()) ** 2
    mean_square = float(squares.mean())
    kurtosis = float((squares**2).mean()) / mean_square**2 if mean_square > 0 else len(values)
    return max(3.0, 2 * len(values) / max(kurtosis - 1, _TINY))


def _t_quantile(df: float) -> float:
    """Student's 97.5 % point (Cornish and Fisher's expansion), within 1 % from 3 degrees on."""
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    )
    return Z + sum(term / df**power for power, term in enumerate(terms, start=1))
