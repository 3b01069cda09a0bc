"""The weights whose arithmetic mean has the least log loss: a convex problem over the simplex, solved to a proven gap.

With rows that sum to 1 only the true class's column matters. At weights w the gradient of member m is -d_m with
d_m = mean(true_m / (w · true)), and the log loss of w is at most max(d) - 1 above the optimum (the Frank-Wolfe gap).
Each step minimises the second-order model over non-negative weights and goes down the line towards its
minimum (sequential quadratic programming, Kim et al., 2020; the model's minimum by active sets, Bro and de Jong, 1997).
"""

import numpy as np

from ensemble.metrics import FLOOR
from ensemble.predictions import Array

GAP = 1e-6  # nats
_MAX_STEPS = 200
_DUST = 1e-9  # a smaller weight is none: it moves no log loss by more than GAP


def simplex_optimum(true: Array) -> tuple[Array, float]:
    """Weights (members,) and their duality gap in nats, from equal weights on. true is (members, rows).

    Never worse than a member or equal weights. Where several weights are as good, it is the way from equal weights that
    decides, never weights from other rows. Raises FloatingPointError where the gap stays above 1e-6.
    """
    true = np.maximum(true, FLOOR)
    weights = np.full(len(true), 1 / len(true))
    for _ in range(_MAX_STEPS):
        inverse = 1 / (weights @ true)
        drift = true @ inverse / true.shape[1]
        gap = float(drift.max()) - 1
        if gap <= GAP:
            break
        weights = _step(true, weights, inverse, drift)
    if gap > GAP:
        raise FloatingPointError(
            f"the weights for log loss did not settle: duality gap {gap:.1e} nats"
        )
    return _not_worse_than_simple(true, weights, drift), gap


def _step(true: Array, weights: Array, inverse: Array, drift: Array) -> Array:
    """The next weights, never worse than the last."""
    scaled = true * inverse
    curvature = scaled @ scaled.T / true.shape[1]
    curvature[np.diag_indices_from(curvature)] *= (
        1 + 1e-10
    )  # copies of a member are no singular system
    target = _non_negative(curvature, 2 * drift - 1, weights)
    before, size = -_log_sum(inverse), 1.0
    while size > 1e-4:
        trial = weights + size * (target - weights)
        trial = trial / trial.sum()
        if _log_sum(trial @ true) > before:
            return np.asarray(trial)
        size /= 2
    step = weights * drift  # EM for mixture weights never makes it worse
    return np.asarray(step / step.sum())


def _non_negative(matrix: Array, slope: Array, start: Array) -> Array:
    """The q ≥ 0 with the least q · matrix · q / 2 - slope · q, from a start that is not negative."""
    found, inside = start.copy(), start > 0
    for _ in range(3 * len(slope)):
        while inside.any():
            best = np.linalg.solve(matrix[np.ix_(inside, inside)], slope[inside])
            if best.min() > 0:
                found[inside] = best
                break
            now = found[inside]
            falling = best <= 0
            share = float((now[falling] / np.maximum(now[falling] - best[falling], 1e-300)).min())
            now = now + share * (best - now)
            now[falling & (now <= 1e-15)] = 0
            found[inside] = now
            inside &= found > 0
        uphill = np.where(inside, -np.inf, slope - matrix @ found)
        if uphill.max() <= 1e-12:
            break
        inside[int(np.argmax(uphill))] = True
    return found


def _not_worse_than_simple(true: Array, weights: Array, drift: Array) -> Array:
    """The weights without dust, or a single member or equal weights where those are as good.

    By convexity none of them can be that lies where the gradient does not fall.
    """
    weights = np.where(weights < _DUST, 0, weights)
    weights = weights / weights.sum()
    n = len(true)
    simple = [np.eye(n)[i] for i in np.flatnonzero(drift >= 1)] + (
        [np.full(n, 1 / n)] if drift.mean() >= 1 else []
    )
    return max([*simple, weights], key=lambda each: _log_sum(each @ true))


def _log_sum(values: Array) -> float:
    """The sum of logarithms of (rows,) values from FLOOR to 1 / FLOOR, eight multiplied before each logarithm."""
    n = len(values) // 8 * 8
    products = np.multiply.reduce(values[:n].reshape(8, -1), axis=0)
    return float(np.log(products).sum() + np.log(values[n:]).sum())
