"""Bootstrap draws of paired outcomes, exact tests, and Holm's correction."""

import math
from collections.abc import Sequence

import numpy as np

from ensemble.metrics import TIE
from ensemble.predictions import Array

N_DRAWS = 10_000
_BLOCK = 4_000_000  # drawn rows in memory at once


def two_sided(change: Array, mean: float) -> float:
    """Twice the smaller tail of the bootstrap beyond 0.

    If no draw lies there, the tail of its normal approximation.
    """
    tail = min(int((change <= TIE).sum()), int((change >= -TIE).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(change) + 1))
    spread = float(change.std())
    if tail > 0 or spread <= 0:
        return p
    return min(p, math.erfc(abs(mean) / spread / math.sqrt(2)))


def seed_shares(rng: np.random.Generator, n_draws: int, n_seeds: int, is_drawn: bool) -> Array:
    """The share of each seed in each draw, (draws, seeds); one row of equal shares unless drawn."""
    if not is_drawn:
        return np.full((1, n_seeds), 1 / n_seeds)
    return np.asarray(rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_draws) / n_seeds)


def resampled_means(values: Array, seed: int) -> Array:
    """Means over drawn rows, the same rows for all values.

    values is (values, rows); returns (draws, values).
    """
    rng, n = np.random.default_rng(seed), values.shape[1]
    per_block, means = max(1, _BLOCK // n), []
    for n_done in range(0, N_DRAWS, per_block):
        n_draws = min(per_block, N_DRAWS - n_done)
        rows = rng.integers(0, n, (n_draws, n), dtype=np.uint32)
        cells = rows + np.arange(n_draws, dtype=np.int64)[:, None] * n
        counts = np.bincount(cells.ravel(), minlength=n_draws * n).reshape(n_draws, n)
        means.append(counts @ values.T / n)
    return np.concatenate(means)


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test with the mid-p (Fagerland, Lydersen and Laake, 2013), two-sided.

    only_a and only_b count the rows that only a, only b gets right.
    """
    n, k = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    steps = np.log(n - np.arange(k)) - np.log(np.arange(k) + 1)  # of log binomial(n, i)
    logs = np.concatenate([[0.0], np.cumsum(steps)]) - n * np.log(2)
    return float(min(1.0, 2 * np.exp(logs).sum() - np.exp(logs[-1])))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p (1979), in the given order."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
